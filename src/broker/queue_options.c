#include "broker/queue_options.h"

#include "broker/value_text.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#define DEAD_LETTER_EXCHANGE "x-dead-letter-exchange"
#define DEAD_LETTER_ROUTING_KEY "x-dead-letter-routing-key"
#define QUEUE_TYPE "x-queue-type"
#define DELIVERY_LIMIT "x-delivery-limit"
#define OVERFLOW "x-overflow"

/* Of a quorum queue that does not say otherwise (RabbitMQ 4, "Poison Message Handling"). */
#define QUORUM_DELIVERY_LIMIT 20

/* Ten years, RabbitMQ's limit on every time an argument gives. */
#define LONGEST_MS (INT64_C(10) * 365 * 24 * 60 * 60 * 1000)

enum argument_kind {
    ARGUMENT_INTEGER,
    ARGUMENT_BOOLEAN,
    ARGUMENT_STRING,
    ARGUMENT_ANY, /* compared, and nothing else */
    ARGUMENT_REFUSED,
};

/* In the texts of a refusal ~ stands for the refused value. */
struct argument {
    const char *name;
    enum argument_kind kind;
    bool checked_first;         /* before all that are not */
    int64_t minimum;            /* of an integer */
    int64_t maximum;            /* of an integer, or of a string's length where it is not 0 */
    const char *below;          /* refuses an integer from 0 up to the minimum */
    const char *above;          /* refuses what is above the maximum */
    const char *const *choices; /* of a string; NULL = any; ends with NULL */
    const char *no_choice;      /* refuses a string that is not among them */
    const char *needs;          /* another argument that must be there, or NULL */
    const char *alone;          /* refuses this one when that is missing */
    const char *absent; /* the string that not giving the argument is the same as, or NULL */
};

static const char *const strategies[] = {"at-most-once", "at-least-once", NULL};
static const char *const overflows[] = {"drop-head", "reject-publish", "reject-publish-dlx", NULL};
static const char *const modes[] = {"default", "lazy", NULL};
static const char *const types[] = {"classic", "quorum", NULL};
static const char *const leader_locators[] = {"client-local", "balanced", "random", "least-leaders",
                                              NULL};

/* In RabbitMQ's order, which decides what a client is told when several are wrong. Arguments that
 * RabbitMQ takes for one type of queue only are taken for both. */
static const struct argument known[] = {
    {.name = "x-expires",
     .kind = ARGUMENT_INTEGER,
     .minimum = 1,
     .maximum = LONGEST_MS,
     .below = "{value_zero,~}",
     .above = "{value_too_large,~}"},
    {.name = "x-message-ttl",
     .kind = ARGUMENT_INTEGER,
     .maximum = LONGEST_MS,
     .above = "{value_too_large,~}"},
    {.name = DEAD_LETTER_EXCHANGE,
     .kind = ARGUMENT_STRING,
     .checked_first = true,
     .maximum = UINT8_MAX,
     .above = "\"longer than 255 bytes\""},
    {.name = DEAD_LETTER_ROUTING_KEY,
     .kind = ARGUMENT_STRING,
     .maximum = UINT8_MAX,
     .above = "\"longer than 255 bytes\"",
     .needs = DEAD_LETTER_EXCHANGE,
     .alone = "routing_key_but_no_dlx_defined"},
    {.name = "x-dead-letter-strategy",
     .kind = ARGUMENT_STRING,
     .choices = strategies,
     .no_choice = "invalid_dlx_strategy"},
    {.name = "x-max-length", .kind = ARGUMENT_INTEGER, .maximum = INT64_MAX},
    {.name = "x-max-length-bytes", .kind = ARGUMENT_INTEGER, .maximum = INT64_MAX},
    {.name = "x-max-in-memory-length", .kind = ARGUMENT_INTEGER, .maximum = INT64_MAX},
    {.name = "x-max-in-memory-bytes", .kind = ARGUMENT_INTEGER, .maximum = INT64_MAX},
    {.name = "x-max-priority",
     .kind = ARGUMENT_INTEGER,
     .maximum = UINT8_MAX,
     .above = "{max_value_exceeded,~}"},
    {.name = OVERFLOW,
     .kind = ARGUMENT_STRING,
     .choices = overflows,
     .no_choice = "invalid_overflow"},
    {.name = "x-queue-mode",
     .kind = ARGUMENT_STRING,
     .choices = modes,
     .no_choice = "\"unsupported queue mode '~'\""},
    {.name = "x-queue-version",
     .kind = ARGUMENT_INTEGER,
     .minimum = 1,
     .maximum = 2,
     .below = "\"unsupported queue version '~'\"",
     .above = "\"unsupported queue version '~'\""},
    {.name = "x-single-active-consumer", .kind = ARGUMENT_BOOLEAN},
    {.name = QUEUE_TYPE,
     .kind = ARGUMENT_STRING,
     .checked_first = true,
     .choices = types,
     .no_choice = "\"unsupported queue type '~'\"",
     .absent = "classic"},
    {.name = "x-quorum-initial-group-size",
     .kind = ARGUMENT_INTEGER,
     .minimum = 1,
     .maximum = INT64_MAX,
     .below = "{value_zero,~}"},
    {.name = "x-queue-leader-locator",
     .kind = ARGUMENT_STRING,
     .choices = leader_locators,
     .no_choice = "invalid_queue_locator_arg"},
    {.name = "x-queue-master-locator", .kind = ARGUMENT_ANY},
    {.name = DELIVERY_LIMIT, .kind = ARGUMENT_INTEGER, .minimum = -1, .maximum = INT64_MAX},
    {.name = "x-consumer-timeout",
     .kind = ARGUMENT_INTEGER,
     .minimum = 1,
     .maximum = LONGEST_MS,
     .below = "{value_zero,~}",
     .above = "{value_too_large,~}"},
    {.name = "x-visibility-timeout",
     .kind = ARGUMENT_INTEGER,
     .minimum = 1,
     .maximum = LONGEST_MS,
     .below = "{value_zero,~}",
     .above = "{value_too_large,~}"},
    /* Those of streams. */
    {.name = "x-max-age", .kind = ARGUMENT_REFUSED},
    {.name = "x-stream-max-segment-size-bytes", .kind = ARGUMENT_REFUSED},
    {.name = "x-initial-cluster-size", .kind = ARGUMENT_REFUSED},
};

#define ARGUMENT_COUNT (sizeof(known) / sizeof(known[0]))

/* What is declared, and its names for the texts. */
struct declaration {
    const struct table *arguments;
    struct bytes queue;
    struct bytes vhost;
    struct refusal *refusal;
};

/* An integer or a string that is out of its range. */
static void write_value(const struct value *v, char text[VALUE_TEXT_SIZE])
{
    if (v->type == VALUE_STRING)
        snprintf(text, VALUE_TEXT_SIZE, "%.*s", BYTES_ARGS(v->bytes));
    else
        snprintf(text, VALUE_TEXT_SIZE, "%" PRId64, v->integer);
}

static int refuse_value(const struct declaration *d, const struct argument *argument,
                        const char *why, const struct value *v)
{
    const char *place = strchrnul(why, '~');
    char text[VALUE_TEXT_SIZE] = "";

    if (*place != '\0')
        write_value(v, text);
    return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                  "invalid arg '%s' for queue '%.*s' in vhost '%.*s': %.*s%s%s", argument->name,
                  BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost), (int)(place - why), why, text,
                  *place != '\0' ? place + 1 : place);
}

static int refuse_type(const struct declaration *d, const struct argument *argument,
                       const struct value *v)
{
    const char *type = value_type_name(v->type);

    if (strcmp(argument->name, DEAD_LETTER_EXCHANGE) == 0)
        return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                      "invalid type '%s' for arg '%s' in queue '%.*s' in vhost '%.*s'", type,
                      argument->name, BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost));
    return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                  argument->kind == ARGUMENT_INTEGER
                      ? "invalid arg '%s' for queue '%.*s' in vhost '%.*s': "
                        "\"expected integer, got %s\""
                      : "invalid arg '%s' for queue '%.*s' in vhost '%.*s': "
                        "{unacceptable_type,%s}",
                  argument->name, BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost), type);
}

static bool is_quorum(const struct table *t)
{
    const struct value *type = table_get(t, QUEUE_TYPE);

    return type != NULL && type->type == VALUE_STRING && bytes_equal_string(type->bytes, "quorum");
}

static int check_integer(const struct declaration *d, const struct argument *argument,
                         const struct value *v)
{
    if (!value_is_integer(v))
        return refuse_type(d, argument, v);
    if (v->integer > argument->maximum)
        return refuse_value(d, argument, argument->above, v);
    if (v->integer >= argument->minimum)
        return 0;
    return refuse_value(d, argument, v->integer < 0 ? "{value_negative,~}" : argument->below, v);
}

static int check_string(const struct declaration *d, const struct argument *argument,
                        const struct value *v)
{
    if (v->type != VALUE_STRING)
        return refuse_type(d, argument, v);
    if (argument->needs != NULL && table_get(d->arguments, argument->needs) == NULL)
        return refuse_value(d, argument, argument->alone, v);
    if (argument->maximum != 0 && v->bytes.size > (size_t)argument->maximum)
        return refuse_value(d, argument, argument->above, v);
    if (argument->choices == NULL)
        return 0;
    for (const char *const *choice = argument->choices; *choice != NULL; choice++) {
        if (bytes_equal_string(v->bytes, *choice))
            return 0;
    }
    return refuse_value(d, argument, argument->no_choice, v);
}

static int check_argument(const struct declaration *d, const struct argument *argument,
                          const struct value *v)
{
    switch (argument->kind) {
    case ARGUMENT_INTEGER:
        return check_integer(d, argument, v);
    case ARGUMENT_BOOLEAN:
        return v->type == VALUE_BOOLEAN ? 0 : refuse_type(d, argument, v);
    case ARGUMENT_STRING:
        return check_string(d, argument, v);
    case ARGUMENT_ANY:
        return 0;
    case ARGUMENT_REFUSED:
        return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                      "invalid arg '%s' for queue '%.*s' in vhost '%.*s' of queue type %s",
                      argument->name, BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost),
                      is_quorum(d->arguments) ? "rabbit_quorum_queue" : "rabbit_classic_queue");
    }
    return 0;
}

static int check_arguments(const struct declaration *d, bool checked_first)
{
    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        const struct value *v;
        int rc;

        if (known[i].checked_first != checked_first)
            continue;
        v = table_get(d->arguments, known[i].name);
        rc = v != NULL ? check_argument(d, &known[i], v) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int refuse_property(const struct declaration *d, const char *property)
{
    return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                  "invalid property '%s' for queue '%.*s' in vhost '%.*s'", property,
                  BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost));
}

/* What a quorum queue cannot be. */
static int check_properties(const struct declaration *d, bool durable, bool exclusive,
                            bool auto_delete)
{
    if (!is_quorum(d->arguments))
        return 0;
    if (auto_delete)
        return refuse_property(d, "auto-delete");
    if (exclusive)
        return refuse_property(d, "exclusive-owner");
    if (!durable)
        return refuse_property(d, "non-durable");
    return 0;
}

static bool string_argument(const struct table *t, const char *name, struct bytes *out)
{
    const struct value *v = table_get(t, name);

    if (v == NULL)
        return false;
    *out = v->bytes;
    return true;
}

static void read_dead_letters(struct queue_options *o)
{
    struct dead_letter_address address = {.exchange = bytes_of(NULL, 0)};
    struct dead_letter_address *made;

    o->has_dead_letter_exchange =
        string_argument(&o->arguments, DEAD_LETTER_EXCHANGE, &address.exchange);
    o->has_dead_letter_routing_key =
        string_argument(&o->arguments, DEAD_LETTER_ROUTING_KEY, &address.routing_key);
    if (!o->has_dead_letter_exchange)
        return;
    made = arena_alloc(&o->arena, sizeof(*made));
    *made = address;
    o->dead_letters = made;
}

/* The integer, or `otherwise` when it is not given. */
static int64_t integer_argument(const struct table *t, const char *name, int64_t otherwise)
{
    const struct value *v = table_get(t, name);

    return v != NULL ? v->integer : otherwise;
}

static uint64_t limit_argument(const struct table *t, const char *name)
{
    int64_t limit = integer_argument(t, name, -1);

    return limit >= 0 ? (uint64_t)limit : UINT64_MAX;
}

static bool boolean_argument(const struct table *t, const char *name)
{
    const struct value *v = table_get(t, name);

    return v != NULL && v->boolean;
}

static enum queue_overflow overflow_argument(const struct table *t)
{
    const struct value *v = table_get(t, OVERFLOW);

    if (v == NULL || bytes_equal_string(v->bytes, "drop-head"))
        return OVERFLOW_DROP_HEAD;
    return bytes_equal_string(v->bytes, "reject-publish") ? OVERFLOW_REJECT_PUBLISH
                                                          : OVERFLOW_REJECT_PUBLISH_DLX;
}

/* RabbitMQ "Quorum Queues", "Dead Lettering": at least once only where the queue has room for what
 * waits, by refusing what is published, and somewhere to send it; else at most once. */
static bool confirms_letters(const struct table *t)
{
    const struct value *strategy = table_get(t, "x-dead-letter-strategy");

    return strategy != NULL && bytes_equal_string(strategy->bytes, "at-least-once") &&
           overflow_argument(t) == OVERFLOW_REJECT_PUBLISH &&
           table_get(t, DEAD_LETTER_EXCHANGE) != NULL;
}

static void read_rules(const struct table *t, struct queue_rules *r)
{
    const struct value *limit = table_get(t, DELIVERY_LIMIT);

    r->message_ttl_ms = integer_argument(t, "x-message-ttl", INT64_MAX);
    r->expires_ms = integer_argument(t, "x-expires", INT64_MAX);
    r->max_length = limit_argument(t, "x-max-length");
    r->max_length_bytes = limit_argument(t, "x-max-length-bytes");
    r->overflow = overflow_argument(t);
    r->max_priority = (uint8_t)integer_argument(t, "x-max-priority", 0);
    r->single_active_consumer = boolean_argument(t, "x-single-active-consumer");
    r->visibility_timeout_ms = integer_argument(t, "x-visibility-timeout", INT64_MAX);
    r->consumer_timeout_ms = integer_argument(t, "x-consumer-timeout", INT64_MAX);
    r->counts_deliveries = is_quorum(t) || limit != NULL;
    r->letters_confirmed = confirms_letters(t);
    if (limit != NULL)
        r->delivery_limit = limit_argument(t, DELIVERY_LIMIT);
    else if (is_quorum(t))
        r->delivery_limit = QUORUM_DELIVERY_LIMIT;
}

static bool has_rules(const struct queue_rules *r)
{
    return r->message_ttl_ms != INT64_MAX || r->expires_ms != INT64_MAX ||
           r->max_length != UINT64_MAX || r->max_length_bytes != UINT64_MAX ||
           r->visibility_timeout_ms != INT64_MAX || r->consumer_timeout_ms != INT64_MAX ||
           r->max_priority != 0 || r->single_active_consumer || r->counts_deliveries ||
           r->letters_confirmed;
}

static const struct queue_rules *make_rules(struct arena *a, const struct table *t)
{
    struct queue_rules rules = QUEUE_RULES_NONE;
    struct queue_rules *made;

    read_rules(t, &rules);
    if (!has_rules(&rules))
        return NULL;
    made = arena_alloc(a, sizeof(*made));
    *made = rules;
    return made;
}

int queue_options_parse(struct queue_options *o, bool durable, bool exclusive, bool auto_delete,
                        const struct table *arguments, struct bytes queue, struct bytes vhost,
                        struct refusal *r)
{
    const struct declaration d = {
        .arguments = arguments, .queue = queue, .vhost = vhost, .refusal = r};
    int rc = 0;

    *o = (struct queue_options){
        .durable = durable, .exclusive = exclusive, .auto_delete = auto_delete};
    arena_init(&o->arena);
    if (arguments == NULL || arguments->count == 0)
        return 0;

    rc = check_arguments(&d, true);
    if (rc == 0)
        rc = check_arguments(&d, false);
    if (rc == 0)
        rc = check_properties(&d, durable, exclusive, auto_delete);
    if (rc != 0)
        return rc;

    o->arguments = table_copy(&o->arena, arguments);
    queue_options_read(o);
    return 0;
}

void queue_options_read(struct queue_options *o)
{
    read_dead_letters(o);
    o->rules = make_rules(&o->arena, &o->arguments);
}

bool queue_options_is_quorum(const struct queue_options *o)
{
    return is_quorum(&o->arguments);
}

bool queue_argument_is_valid(const char *name, const struct value *v)
{
    struct argument alone;
    struct table none = table_empty();
    struct refusal refusal;
    const struct declaration d = {.arguments = &none, .refusal = &refusal};

    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        alone = known[i];
        alone.needs = NULL;
        return check_argument(&d, &alone, v) == 0;
    }
    return false;
}

void queue_options_for_delays(struct queue_options *o, bool durable)
{
    const struct queue_rules rules = QUEUE_RULES_NONE;
    struct queue_rules *made;

    *o = (struct queue_options){.durable = durable, .has_dead_letter_exchange = true};
    arena_init(&o->arena);
    made = arena_alloc(&o->arena, sizeof(*made));
    *made = rules;
    made->delays = true;
    o->rules = made;
}

void queue_options_free(struct queue_options *o)
{
    arena_free(&o->arena);
    o->arguments = table_empty();
    o->has_dead_letter_exchange = false;
    o->has_dead_letter_routing_key = false;
    o->dead_letters = NULL;
    o->rules = NULL;
}

static int inequivalent_property(const struct declaration *d, const char *property, bool received)
{
    return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                  "inequivalent arg '%s' for queue '%.*s' in vhost '%.*s': received '%s' but "
                  "current is '%s'",
                  property, BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost), received ? "true" : "false",
                  received ? "false" : "true");
}

static int inequivalent_argument(const struct declaration *d, const char *name,
                                 const struct value *received, const struct value *current)
{
    char received_text[VALUE_TEXT_SIZE];
    char current_text[VALUE_TEXT_SIZE];

    value_text_pair(received, current, received_text, current_text);
    return refuse(d->refusal, REFUSAL_PRECONDITION_FAILED,
                  "inequivalent arg '%s' for queue '%.*s' in vhost '%.*s': received %s but "
                  "current is %s",
                  name, BYTES_ARGS(d->queue), BYTES_ARGS(d->vhost), received_text, current_text);
}

static bool arguments_equivalent(const struct argument *argument, const struct value *a,
                                 const struct value *b)
{
    const struct value *given = a != NULL ? a : b;

    if (a != NULL && b != NULL)
        return value_equal(a, b);
    if (given == NULL)
        return true;
    return argument->absent != NULL && given->type == VALUE_STRING &&
           bytes_equal_string(given->bytes, argument->absent);
}

int queue_options_equivalent(const struct queue_options *current,
                             const struct queue_options *received, struct bytes queue,
                             struct bytes vhost, struct refusal *r)
{
    const struct declaration d = {
        .arguments = &received->arguments, .queue = queue, .vhost = vhost, .refusal = r};

    if (received->durable != current->durable)
        return inequivalent_property(&d, "durable", received->durable);
    if (received->auto_delete != current->auto_delete)
        return inequivalent_property(&d, "auto_delete", received->auto_delete);
    if (received->arguments.count == 0 && current->arguments.count == 0)
        return 0;

    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        const struct value *now = table_get(&current->arguments, known[i].name);
        const struct value *asked = table_get(&received->arguments, known[i].name);

        if (!arguments_equivalent(&known[i], asked, now))
            return inequivalent_argument(&d, known[i].name, asked, now);
    }
    return 0;
}
