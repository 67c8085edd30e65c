/* Which policy applies, and what arguments and policies come to together. What RabbitMQ does is
 * what its 3.10.8 answered (rabbit_policy:effective_definition, list_queues). */
#include "broker/policy_set.h"

#include "base/clock.h"
#include "broker/topology.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct policy_set set;
static struct refusal refusal;

static void setup(void)
{
    arena_init(&arena);
    policy_set_init(&set);
    refusal.text[0] = '\0';
}

static void teardown(void)
{
    policy_set_clear(&set);
    arena_free(&arena);
}

static struct bytes text(const char *s)
{
    return bytes_from_string(s);
}

/* A table from "key=value key=value": numbers are numbers, `true` a boolean, the rest strings. NULL
 * and "" are empty. */
static const struct table *table_of(const char *notation)
{
    struct table *t = arena_alloc(&arena, sizeof(*t));
    char *copy =
        (char *)(uintptr_t)arena_copy(&arena, bytes_of(notation != NULL ? notation : "",
                                                       notation != NULL ? strlen(notation) + 1 : 1))
            .data;
    char *rest = copy;

    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        char *value = strchr(word, '=');
        char *end;
        long long number;

        ck_assert_ptr_nonnull(value);
        *value++ = '\0';
        number = strtoll(value, &end, 10);
        if (*value != '\0' && *end == '\0')
            table_set(&arena, t, word, value_int64(number));
        else if (strcmp(value, "true") == 0)
            table_set(&arena, t, word, value_boolean(true));
        else
            table_set(&arena, t, word, value_string(text(value)));
    }
    return t;
}

static struct policy_declaration declaration(const char *name, const char *pattern,
                                             const char *apply_to, int64_t priority,
                                             const char *definition)
{
    return (struct policy_declaration){
        .name = text(name),
        .pattern = text(pattern),
        .apply_to = text(apply_to),
        .priority = priority,
        .definition = table_of(definition),
    };
}

static bool put(const struct policy_declaration *d)
{
    struct policy *p = policy_create(d, text("/"), &refusal);
    bool changed;

    ck_assert_msg(p != NULL, "%s", refusal.text);
    changed = policy_set_put(&set, p);
    policy_unref(p);
    return changed;
}

static bool put_policy(const char *name, const char *pattern, const char *apply_to,
                       int64_t priority, const char *definition)
{
    const struct policy_declaration d = declaration(name, pattern, apply_to, priority, definition);

    return put(&d);
}

static bool put_operator(const char *name, const char *pattern, int64_t priority,
                         const char *definition)
{
    struct policy_declaration d = declaration(name, pattern, "queues", priority, definition);

    d.operator_policy = true;
    return put(&d);
}

static void expect_match(enum policy_object object, const char *name, const char *policy,
                         const char *operator_policy)
{
    struct policy_match m = policy_set_match(&set, object, text(name));

    ck_assert_msg((m.policy != NULL) == (policy != NULL), "policy of %s", name);
    ck_assert_msg((m.operator_policy != NULL) == (operator_policy != NULL), "operator policy of %s",
                  name);
    if (policy != NULL)
        ck_assert(bytes_equal_string(policy_declaration(m.policy)->name, policy));
    if (operator_policy != NULL)
        ck_assert(bytes_equal_string(policy_declaration(m.operator_policy)->name, operator_policy));
}

/* ---- Which applies ---- */

START_TEST(highest_priority_that_matches_applies)
{
    put_policy("low", "^q", "all", -1, "max-length=1");
    put_policy("high", "^q[0-9]", "all", 7, "max-length=2");
    put_policy("middle", "", "all", 0, "max-length=3");
    expect_match(POLICY_CLASSIC_QUEUE, "q1", "high", NULL);
    expect_match(POLICY_CLASSIC_QUEUE, "qa", "middle", NULL);
    ck_assert(policy_set_remove(&set, text("middle"), false));
    expect_match(POLICY_CLASSIC_QUEUE, "qa", "low", NULL);
    expect_match(POLICY_CLASSIC_QUEUE, "x", NULL, NULL);
    ck_assert(!policy_set_remove(&set, text("middle"), false));
    ck_assert(!policy_set_remove(&set, text("low"), true));
}
END_TEST

START_TEST(of_equal_priority_the_first_name_applies)
{
    put_policy("b", "^q", "all", 0, "max-length=1");
    put_policy("a", "^q", "all", 0, "max-length=2");
    put_policy("ab", "^q", "all", 0, "max-length=3");
    expect_match(POLICY_CLASSIC_QUEUE, "q", "a", NULL);
    put_policy("", "^q", "all", 0, "max-length=4");
    expect_match(POLICY_CLASSIC_QUEUE, "q", "", NULL);
    policy_set_remove(&set, text(""), false);
    policy_set_remove(&set, text("a"), false);
    expect_match(POLICY_CLASSIC_QUEUE, "q", "ab", NULL);
}
END_TEST

START_TEST(policy_applies_to_what_it_says)
{
    static const struct {
        const char *apply_to;
        bool exchange;
        bool classic;
        bool quorum;
    } cases[] = {
        {"all", true, true, true},
        {"", true, true, true},
        {"queues", false, true, true},
        {"classic_queues", false, true, false},
        {"quorum_queues", false, false, true},
        {"exchanges", true, false, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_policy("p", "", cases[i].apply_to, 0, "max-length=1 alternate-exchange=x");
        expect_match(POLICY_EXCHANGE, "n", cases[i].exchange ? "p" : NULL, NULL);
        expect_match(POLICY_CLASSIC_QUEUE, "n", cases[i].classic ? "p" : NULL, NULL);
        expect_match(POLICY_QUORUM_QUEUE, "n", cases[i].quorum ? "p" : NULL, NULL);
    }
}
END_TEST

/* One such key keeps the whole policy away (RabbitMQ). */
START_TEST(policy_with_a_key_of_another_type_does_not_apply)
{
    put_policy("all", "", "all", 0, "max-length=1");
    put_policy("quorum", "", "all", 1, "max-length=2 delivery-limit=3");
    expect_match(POLICY_CLASSIC_QUEUE, "q", "all", NULL);
    expect_match(POLICY_QUORUM_QUEUE, "q", "quorum", NULL);
    put_policy("classic", "", "all", 2, "max-length=2 ha-mode=all");
    expect_match(POLICY_CLASSIC_QUEUE, "q", "classic", NULL);
    expect_match(POLICY_QUORUM_QUEUE, "q", "quorum", NULL);
    expect_match(POLICY_EXCHANGE, "q", "classic", NULL);
}
END_TEST

START_TEST(operator_policies_are_of_their_own)
{
    put_policy("p", "^q", "queues", 9, "max-length=1");
    put_operator("p", "^q", 0, "max-length=2");
    put_operator("o", "^", 0, "max-length=3");
    expect_match(POLICY_CLASSIC_QUEUE, "q", "p", "o");
    ck_assert(policy_set_remove(&set, text("o"), true));
    expect_match(POLICY_CLASSIC_QUEUE, "q", "p", "p");
    ck_assert(policy_set_remove(&set, text("p"), false));
    expect_match(POLICY_CLASSIC_QUEUE, "q", NULL, "p");
}
END_TEST

START_TEST(putting_the_same_again_changes_nothing)
{
    struct policy *p;

    ck_assert(put_policy("p", "^q", "queues", 1, "max-length=1 expires=5"));
    p = policy_set_find(&set, text("p"), false);
    ck_assert(!put_policy("p", "^q", "queues", 1, "expires=5 max-length=1"));
    ck_assert_ptr_eq(policy_set_find(&set, text("p"), false), p);
    ck_assert(put_policy("p", "^q", "queues", 2, "max-length=1 expires=5"));
    ck_assert(put_policy("p", "^r", "queues", 2, "max-length=1 expires=5"));
    ck_assert(put_policy("p", "^r", "all", 2, "max-length=1 expires=5"));
    ck_assert(put_policy("p", "^r", "all", 2, "max-length=1 expires=6"));
    ck_assert_uint_eq(set.policies.count, 1);
}
END_TEST

/* ---- What is refused ---- */

static void expect_refused(const struct policy_declaration *d, const char *expected)
{
    refusal.text[0] = '\0';
    ck_assert_msg(policy_create(d, text("/"), &refusal) == NULL, "not refused: %s", expected);
    ck_assert_int_eq(refusal.code, REFUSAL_PRECONDITION_FAILED);
    ck_assert_str_eq(refusal.text, expected);
}

START_TEST(wrong_settings_are_refused_by_name)
{
    static const struct {
        const char *definition;
        const char *text;
    } cases[] = {
        {"", "its definition is empty"},
        {"foo=1", "'foo' is not a recognised setting"},
        {"max-length=1 max-priority=3", "'max-priority' is not a recognised setting"},
        {"x-max-length=1", "'x-max-length' is not a recognised setting"},
        {"max-age=1D", "'max-age' is not a recognised setting"},
        {"message-ttl=-1", "-1 is not a valid message-ttl"},
        {"message-ttl=soon", "<<\"soon\">> is not a valid message-ttl"},
        {"expires=0", "0 is not a valid expires"},
        {"max-length=-1", "-1 is not a valid max-length"},
        {"max-length-bytes=true", "true is not a valid max-length-bytes"},
        {"visibility-timeout=0", "0 is not a valid visibility-timeout"},
        {"consumer-timeout=x", "<<\"x\">> is not a valid consumer-timeout"},
        {"overflow=drop-tail", "<<\"drop-tail\">> is not a valid overflow"},
        {"dead-letter-exchange=5", "5 is not a valid dead-letter-exchange"},
        {"dead-letter-routing-key=5", "5 is not a valid dead-letter-routing-key"},
        {"dead-letter-strategy=maybe", "<<\"maybe\">> is not a valid dead-letter-strategy"},
        {"delivery-limit=-2", "-2 is not a valid delivery-limit"},
        {"alternate-exchange=5", "5 is not a valid alternate-exchange"},
        {"queue-mode=eager", "<<\"eager\">> is not a valid queue-mode"},
        {"queue-version=3", "3 is not a valid queue-version"},
        {"max-in-memory-length=-1", "-1 is not a valid max-in-memory-length"},
        {"max-in-memory-bytes=x", "<<\"x\">> is not a valid max-in-memory-bytes"},
        {"queue-leader-locator=here", "<<\"here\">> is not a valid queue-leader-locator"},
        {"queue-master-locator=1", "1 is not a valid queue-master-locator"},
        {"target-group-size=0", "0 is not a valid target-group-size"},
        {"ha-mode=some", "<<\"some\">> is not a valid ha-mode"},
        {"ha-params=x", "<<\"x\">> is not a valid ha-params"},
        {"ha-sync-mode=1", "1 is not a valid ha-sync-mode"},
        {"ha-sync-batch-size=0", "0 is not a valid ha-sync-batch-size"},
        {"ha-promote-on-shutdown=1", "1 is not a valid ha-promote-on-shutdown"},
        {"ha-promote-on-failure=1", "1 is not a valid ha-promote-on-failure"},
    };
    char expected[512];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct policy_declaration d = declaration("p", "", "all", 0, cases[i].definition);

        snprintf(expected, sizeof(expected), "policy 'p' in vhost '/': %s", cases[i].text);
        expect_refused(&d, expected);
    }
}
END_TEST

START_TEST(operator_policies_may_say_limits_alone)
{
    static const char *const allowed[] = {
        "expires=1",          "message-ttl=0",          "max-length=0",
        "max-length-bytes=0", "max-in-memory-length=1", "max-in-memory-bytes=1",
        "delivery-limit=1",   "visibility-timeout=1",   "consumer-timeout=1",
    };
    static const char *const refused[] = {
        "overflow=drop-head",
        "dead-letter-exchange=x",
        "dead-letter-routing-key=x",
        "alternate-exchange=x",
        "queue-mode=lazy",
        "ha-mode=all",
        "queue-leader-locator=balanced",
    };
    char expected[512];

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        put_operator("o", "", 0, allowed[i]);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct policy_declaration d = declaration("o", "", "queues", 0, refused[i]);

        d.operator_policy = true;
        snprintf(expected, sizeof(expected),
                 "operator policy 'o' in vhost '/': '%.*s' is not a recognised setting",
                 (int)(strchr(refused[i], '=') - refused[i]), refused[i]);
        expect_refused(&d, expected);
    }
}
END_TEST

START_TEST(wrong_declarations_are_refused)
{
    struct policy_declaration d = declaration("p", "(a", "all", 0, "expires=1");
    char name[257];

    expect_refused(&d, "policy 'p' in vhost '/': its pattern is no regular expression: missing "
                       "closing parenthesis (at offset 2)");
    d = declaration("p", "", "streams", 0, "expires=1");
    expect_refused(&d, "policy 'p' in vhost '/': apply-to 'streams' unrecognised; should be "
                       "'queues', 'classic_queues', 'quorum_queues', 'exchanges' or 'all'");
    memset(name, 'n', 256);
    name[256] = '\0';
    d = declaration(name, "", "all", 0, "expires=1");
    ck_assert_ptr_null(policy_create(&d, text("/"), &refusal));
    ck_assert_ptr_nonnull(strstr(refusal.text, "its name is longer than 255 bytes"));
    d = declaration("p", "", "all", 0, NULL);
    d.definition = NULL;
    expect_refused(&d, "policy 'p' in vhost '/': its definition is empty");
}
END_TEST

/* ---- Together ---- */

static void parse(struct queue_options *o, const char *arguments)
{
    ck_assert_msg(queue_options_parse(o, true, false, false, table_of(arguments), text("q"),
                                      text("/"), &refusal) == 0,
                  "%s", refusal.text);
}

static void expect_same_rules(const struct queue_options *a, const struct queue_options *b,
                              const char *what)
{
    ck_assert_msg((a->rules != NULL) == (b->rules != NULL), "%s: rules", what);
    if (a->rules != NULL) {
        ck_assert_msg(a->rules->message_ttl_ms == b->rules->message_ttl_ms, "%s: ttl", what);
        ck_assert_msg(a->rules->expires_ms == b->rules->expires_ms, "%s: expires", what);
        ck_assert_msg(a->rules->visibility_timeout_ms == b->rules->visibility_timeout_ms,
                      "%s: visibility", what);
        ck_assert_msg(a->rules->consumer_timeout_ms == b->rules->consumer_timeout_ms,
                      "%s: consumer timeout", what);
        ck_assert_msg(a->rules->max_length == b->rules->max_length, "%s: length", what);
        ck_assert_msg(a->rules->max_length_bytes == b->rules->max_length_bytes, "%s: bytes", what);
        ck_assert_msg(a->rules->delivery_limit == b->rules->delivery_limit, "%s: limit", what);
        ck_assert_msg(a->rules->overflow == b->rules->overflow, "%s: overflow", what);
        ck_assert_msg(a->rules->max_priority == b->rules->max_priority, "%s: priority", what);
        ck_assert_msg(a->rules->single_active_consumer == b->rules->single_active_consumer,
                      "%s: single", what);
        ck_assert_msg(a->rules->counts_deliveries == b->rules->counts_deliveries, "%s: counts",
                      what);
    }
    ck_assert_msg(a->has_dead_letter_exchange == b->has_dead_letter_exchange, "%s: dlx", what);
    ck_assert_msg(a->has_dead_letter_routing_key == b->has_dead_letter_routing_key, "%s: dlk",
                  what);
    if (a->has_dead_letter_exchange) {
        ck_assert(bytes_equal(a->dead_letters->exchange, b->dead_letters->exchange));
        ck_assert(bytes_equal(a->dead_letters->routing_key, b->dead_letters->routing_key));
    }
    ck_assert(a->durable == b->durable && a->exclusive == b->exclusive &&
              a->auto_delete == b->auto_delete);
}

/* What arguments and policies come to is what these arguments alone would be. */
static const struct {
    const char *arguments;
    const char *policy;
    const char *operator_policy;
    const char *together;
} merges[] = {
    /* Each key alone says what its argument says. */
    {"", "message-ttl=5", NULL, "x-message-ttl=5"},
    {"", "expires=5", NULL, "x-expires=5"},
    {"", "max-length=5", NULL, "x-max-length=5"},
    {"", "max-length-bytes=5", NULL, "x-max-length-bytes=5"},
    {"", "max-length=5 overflow=reject-publish", NULL, "x-max-length=5 x-overflow=reject-publish"},
    {"", "visibility-timeout=5", NULL, "x-visibility-timeout=5"},
    {"", "consumer-timeout=5", NULL, "x-consumer-timeout=5"},
    {"x-visibility-timeout=4 x-consumer-timeout=9", "visibility-timeout=5 consumer-timeout=5",
     "visibility-timeout=6 consumer-timeout=6", "x-visibility-timeout=4 x-consumer-timeout=5"},
    {"", "dead-letter-exchange=x", NULL, "x-dead-letter-exchange=x"},
    {"", "dead-letter-exchange=x dead-letter-routing-key=k", NULL,
     "x-dead-letter-exchange=x x-dead-letter-routing-key=k"},
    {"x-queue-type=quorum", "delivery-limit=5", NULL, "x-queue-type=quorum x-delivery-limit=5"},
    {"x-queue-type=quorum", "delivery-limit=50", NULL, "x-queue-type=quorum x-delivery-limit=50"},
    {"x-queue-type=quorum", "delivery-limit=-1", NULL, "x-queue-type=quorum x-delivery-limit=-1"},
    {"", NULL, "message-ttl=5 max-length=7", "x-message-ttl=5 x-max-length=7"},
    /* What has no effect has none. */
    {"x-max-length=3", "ha-mode=all queue-mode=lazy queue-version=2 max-in-memory-length=1", NULL,
     "x-max-length=3"},
    {"", "alternate-exchange=x", NULL, ""},
    /* The lowest number. */
    {"x-message-ttl=5", "message-ttl=6", NULL, "x-message-ttl=5"},
    {"x-message-ttl=6", "message-ttl=5", NULL, "x-message-ttl=5"},
    {"x-expires=6", "expires=5", "expires=4", "x-expires=4"},
    {"x-max-length=6", "max-length=5", "max-length=7", "x-max-length=5"},
    {"x-max-length=4", "max-length=5", "max-length=7", "x-max-length=4"},
    {"", "max-length=0", "max-length=7", "x-max-length=0"},
    {"x-max-length-bytes=6", NULL, "max-length-bytes=0", "x-max-length-bytes=0"},
    {"x-queue-type=quorum x-delivery-limit=9", "delivery-limit=5", "delivery-limit=7",
     "x-queue-type=quorum x-delivery-limit=5"},
    {"x-queue-type=quorum x-delivery-limit=-1", "delivery-limit=5", NULL,
     "x-queue-type=quorum x-delivery-limit=5"},
    {"x-queue-type=quorum x-delivery-limit=9", "delivery-limit=-1", NULL,
     "x-queue-type=quorum x-delivery-limit=9"},
    /* Of anything else the argument, of a quorum queue's overflow the policy. */
    {"x-max-length=1 x-overflow=reject-publish", "overflow=drop-head", NULL,
     "x-max-length=1 x-overflow=reject-publish"},
    {"x-max-length=1 x-overflow=reject-publish x-queue-type=quorum", "overflow=drop-head", NULL,
     "x-max-length=1 x-overflow=drop-head x-queue-type=quorum"},
    {"x-dead-letter-exchange=x", "dead-letter-exchange=y dead-letter-routing-key=k", NULL,
     "x-dead-letter-exchange=x x-dead-letter-routing-key=k"},
    {"x-dead-letter-exchange=x x-dead-letter-routing-key=j", "dead-letter-routing-key=k", NULL,
     "x-dead-letter-exchange=x x-dead-letter-routing-key=j"},
    /* What no policy says stays. */
    {"x-max-priority=3 x-single-active-consumer=true x-max-length=9", "max-length=5 expires=3",
     "message-ttl=4",
     "x-max-priority=3 x-single-active-consumer=true x-max-length=5 x-expires=3 x-message-ttl=4"},
};

START_TEST(arguments_and_policies_come_to_the_strictest)
{
    for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
        struct queue_options declared;
        struct queue_options merged;
        struct queue_options expected;
        struct policy_match match;

        parse(&declared, merges[i].arguments);
        parse(&expected, merges[i].together);
        if (merges[i].policy != NULL)
            put_policy("p", "", "all", 0, merges[i].policy);
        if (merges[i].operator_policy != NULL)
            put_operator("o", "", 0, merges[i].operator_policy);
        match = policy_set_match(
            &set, queue_options_is_quorum(&declared) ? POLICY_QUORUM_QUEUE : POLICY_CLASSIC_QUEUE,
            text("q"));
        policy_merge_options(&merged, &declared, &match);
        expect_same_rules(&merged, &expected, merges[i].arguments);
        queue_options_free(&merged);
        queue_options_free(&expected);
        queue_options_free(&declared);
        policy_set_clear(&set);
    }
}
END_TEST

/* As RabbitMQ 3.10.8 has it of a policy
 * {"max-length":7,"overflow":"reject-publish","message-ttl":5} and an operator policy
 * {"max-length":3,"expires":50000}. */
START_TEST(effective_definition_is_rabbitmqs)
{
    struct policy_match match;
    struct table merged;

    put_policy("b", "^lenq", "all", 0, "max-length=7 overflow=reject-publish message-ttl=5");
    put_operator("op", "^lenq", 0, "max-length=3 expires=50000");
    match = policy_set_match(&set, POLICY_CLASSIC_QUEUE, text("lenq"));
    merged = policy_merge_definitions(&arena, &match);
    ck_assert(table_equal(
        &merged, table_of("expires=50000 max-length=3 message-ttl=5 overflow=reject-publish")));
    match = policy_set_match(&set, POLICY_CLASSIC_QUEUE, text("other"));
    merged = policy_merge_definitions(&arena, &match);
    ck_assert_uint_eq(merged.count, 0);
}
END_TEST

/* ---- Queues and exchanges ---- */

/* Whether it did not follow yet; `length` is its limit then, or was, and is now. */
static bool follow(struct queue_handle *h, uint64_t was, uint64_t is)
{
    struct queue_effective *former;

    if (!queue_handle_follow(h, &set, &former))
        return false;
    ck_assert_uint_eq((former != NULL ? &former->options : &h->options)->rules->max_length, was);
    ck_assert_uint_eq(queue_handle_options(h)->rules->max_length, is);
    queue_effective_free(former);
    return true;
}

START_TEST(queue_follows_what_applies_to_it)
{
    struct queue_options options;
    struct queue_handle *h;

    parse(&options, "x-max-length=9");
    h = queue_handle_create(text("q"), &options, 0, 0);
    ck_assert(!follow(h, 0, 0));
    ck_assert_ptr_eq(queue_handle_options(h), &h->options);

    put_policy("p", "^q", "queues", 0, "max-length=5");
    ck_assert(follow(h, 9, 5));
    ck_assert_uint_eq(h->options.rules->max_length, 9);
    ck_assert(!follow(h, 0, 0));

    put_policy("other", "^r", "queues", 0, "max-length=4");
    ck_assert(!follow(h, 0, 0));
    put_policy("p", "^q", "queues", 0, "max-length=6");
    ck_assert(follow(h, 5, 6));
    put_operator("o", "", 0, "max-length=3");
    ck_assert(follow(h, 6, 3));
    policy_set_remove(&set, text("p"), false);
    ck_assert(follow(h, 3, 3));
    policy_set_remove(&set, text("o"), true);
    ck_assert(follow(h, 3, 9));
    ck_assert_ptr_eq(queue_handle_options(h), &h->options);
    put_operator("o", "", 0, "expires=1");
    ck_assert(follow(h, 9, 9));
    queue_handle_unref(h);
}
END_TEST

static void expect_alternate(struct topology *t, const char *exchange, const char *queue)
{
    const struct bytes key = text("nowhere");
    const struct route_request request = {.routing_keys = &key, .routing_key_count = 1};
    struct route route;

    route_init(&route);
    topology_route(t, topology_find_exchange(t, text(exchange)), &request, &route);
    ck_assert_uint_eq(route.count, queue != NULL);
    if (queue != NULL)
        ck_assert(bytes_equal_string(route.queues[0]->name, queue));
    route_free(&route);
}

static void add_exchange_and_queue(struct topology *t, const char *exchange, const char *queue)
{
    const struct exchange_declaration d = {.name = text(exchange), .type = text("fanout")};
    const struct binding_declaration b = {.source = text(exchange), .destination = text(queue)};
    struct queue_options options;
    struct queue_handle *h;

    ck_assert_int_eq(topology_declare_exchange(t, &d, &refusal), 0);
    parse(&options, "");
    h = queue_handle_create(text(queue), &options, 0, 0);
    topology_add_queue(t, h);
    queue_handle_unref(h);
    ck_assert_int_eq(topology_bind(t, &b, &refusal), 0);
}

static void declare_direct(struct topology *t, const char *name, const char *arguments)
{
    const struct exchange_declaration d = {
        .name = text(name), .type = text("direct"), .arguments = table_of(arguments)};

    ck_assert_int_eq(topology_declare_exchange(t, &d, &refusal), 0);
}

static void follow_all(struct topology *t)
{
    size_t cursor = 0;

    do {
        cursor = topology_follow_policies(t, cursor);
    } while (cursor != 0);
}

static void set_policy(struct topology *t, const char *definition)
{
    const struct policy_declaration d = declaration("p", "^x", "all", 0, definition);
    struct policy *p = policy_create(&d, text("/"), &refusal);

    policy_set_put(topology_policies(t), p);
    policy_unref(p);
    follow_all(t);
}

START_TEST(policy_gives_exchanges_an_alternate)
{
    struct topology *t = topology_create(text("/"), NULL);
    uint64_t epoch;

    add_exchange_and_queue(t, "ae1", "q1");
    add_exchange_and_queue(t, "ae2", "q2");
    declare_direct(t, "x", "");
    declare_direct(t, "xa", "alternate-exchange=ae2");
    declare_direct(t, "y", "");
    expect_alternate(t, "x", NULL);

    epoch = topology_epoch(t);
    set_policy(t, "alternate-exchange=ae1");
    ck_assert_uint_ne(topology_epoch(t), epoch);
    expect_alternate(t, "x", "q1");
    expect_alternate(t, "xa", "q2");
    expect_alternate(t, "y", NULL);
    declare_direct(t, "xb", "");
    expect_alternate(t, "xb", "q1");
    ck_assert(bytes_equal_string(
        policy_declaration(exchange_policy(topology_find_exchange(t, text("xb"))))->name, "p"));
    declare_direct(t, "x", "");
    ck_assert_int_eq(topology_declare_exchange(t,
                                               &(struct exchange_declaration){
                                                   .name = text("x"),
                                                   .type = text("direct"),
                                                   .arguments = table_of("alternate-exchange=ae1"),
                                               },
                                               &refusal),
                     -EPROTO);

    set_policy(t, "alternate-exchange=ae2");
    expect_alternate(t, "x", "q2");
    policy_set_remove(topology_policies(t), text("p"), false);
    follow_all(t);
    expect_alternate(t, "x", NULL);
    expect_alternate(t, "xa", "q2");
    ck_assert_ptr_null(exchange_policy(topology_find_exchange(t, text("x"))));
    topology_destroy(t);
}
END_TEST

/* ---- Cost ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Nothing of 10,000 patterns matches, so that all are held against the name: the quickest of some
 * tries, for others use the machine too. */
START_TEST(ten_thousand_policies_are_matched_in_a_millisecond)
{
    int64_t quickest_ns = INT64_MAX;
    char name[32];
    char pattern[64];

    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "policy-%d", i);
        snprintf(pattern, sizeof(pattern), i % 4 != 0 ? "^tenant-%d\\..*" : "\\.tenant%d\\.dead$",
                 i);
        put_policy(name, pattern, "queues", i % 7, "max-length=1");
    }
    for (int i = 0; i < 200; i++) {
        int64_t begin_ns = clock_monotonic_ns();
        int64_t took_ns;

        expect_match(POLICY_CLASSIC_QUEUE, "tenant-x.some.orders.of.theirs", NULL, NULL);
        took_ns = clock_monotonic_ns() - begin_ns;
        if (took_ns < quickest_ns)
            quickest_ns = took_ns;
    }
    printf("10,000 policies at one declare: %lld us\n", (long long)(quickest_ns / 1000));
    expect_match(POLICY_CLASSIC_QUEUE, "tenant-4711.x", "policy-4711", NULL);
    expect_match(POLICY_CLASSIC_QUEUE, "x.tenant4712.dead", "policy-4712", NULL);
#ifndef SANITIZED
    ck_assert_int_le(quickest_ns, 1000000);
#endif
}
END_TEST

#define CHECKED(test) tcase_add_test(tcase, test)

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    CHECKED(highest_priority_that_matches_applies);
    CHECKED(of_equal_priority_the_first_name_applies);
    CHECKED(policy_applies_to_what_it_says);
    CHECKED(policy_with_a_key_of_another_type_does_not_apply);
    CHECKED(operator_policies_are_of_their_own);
    CHECKED(putting_the_same_again_changes_nothing);
    CHECKED(wrong_settings_are_refused_by_name);
    CHECKED(operator_policies_may_say_limits_alone);
    CHECKED(wrong_declarations_are_refused);
    CHECKED(arguments_and_policies_come_to_the_strictest);
    CHECKED(effective_definition_is_rabbitmqs);
    CHECKED(queue_follows_what_applies_to_it);
    CHECKED(policy_gives_exchanges_an_alternate);
    CHECKED(ten_thousand_policies_are_matched_in_a_millisecond);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
