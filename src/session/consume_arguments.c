#include "session/consume_arguments.h"

#include "server/vhost.h"
#include "session/channel.h"
#include "session/expiration.h"

#include <inttypes.h>
#include <stdio.h>

enum argument_kind {
    ARGUMENT_INTEGER,
    ARGUMENT_BOOLEAN,
    ARGUMENT_TIMEOUT,
    ARGUMENT_REFUSED,
};

#define CONSUMER_TIMEOUT "x-consumer-timeout"
#define VISIBILITY_TIMEOUT "x-visibility-timeout"

/* In RabbitMQ's order, which decides what a client is told when several are wrong. */
static const struct argument {
    const char *name;
    enum argument_kind of_classic; /* queues */
    enum argument_kind of_quorum;
} known[] = {
    {"x-priority", ARGUMENT_INTEGER, ARGUMENT_INTEGER},
    {"x-cancel-on-ha-failover", ARGUMENT_BOOLEAN, ARGUMENT_REFUSED},
    {"x-stream-offset", ARGUMENT_REFUSED, ARGUMENT_REFUSED},
    {CONSUMER_TIMEOUT, ARGUMENT_TIMEOUT, ARGUMENT_TIMEOUT},
    {VISIBILITY_TIMEOUT, ARGUMENT_TIMEOUT, ARGUMENT_TIMEOUT},
};

static bool is_quorum(const struct queue_handle *queue)
{
    const struct value *type = table_get(&queue->options.arguments, "x-queue-type");

    return type != NULL && bytes_equal_string(type->bytes, "quorum");
}

static int refuse_argument(struct channel *ch, const struct queue_handle *queue,
                           const char *argument, const char *why, const char *what, const char *end)
{
    return channel_refuse(
        ch, AMQP_PRECONDITION_FAILED, "invalid arg '%s' for queue '%.*s' in vhost '%.*s'%s%s%s",
        argument, BYTES_ARGS(queue->name), BYTES_ARGS(ch->connection->vhost->name), why, what, end);
}

static int refuse_type(struct channel *ch, const struct queue_handle *queue, const char *argument,
                       const struct value *v)
{
    return refuse_argument(ch, queue, argument, ": \"expected integer, got ",
                           value_type_name(v->type), "\"");
}

/* Milliseconds, more than none and less than ten years, as of the arguments of queues. */
static int check_timeout(struct channel *ch, const struct queue_handle *queue, const char *argument,
                         const struct value *v)
{
    char text[24];

    if (!value_is_integer(v))
        return refuse_type(ch, queue, argument, v);
    if (v->integer > 0 && v->integer <= EXPIRATION_MAX_MS)
        return 0;
    snprintf(text, sizeof(text), "%" PRId64, v->integer);
    return refuse_argument(ch, queue, argument,
                           v->integer == 0  ? ": {value_zero,"
                           : v->integer < 0 ? ": {value_negative,"
                                            : ": {value_too_large,",
                           text, "}");
}

static int check(struct channel *ch, const struct queue_handle *queue, const struct argument *a,
                 const struct value *v)
{
    bool quorum = is_quorum(queue);

    switch (quorum ? a->of_quorum : a->of_classic) {
    case ARGUMENT_INTEGER:
        if (value_is_integer(v))
            return 0;
        return refuse_type(ch, queue, a->name, v);
    case ARGUMENT_TIMEOUT:
        return check_timeout(ch, queue, a->name, v);
    case ARGUMENT_BOOLEAN:
        if (v->type == VALUE_BOOLEAN)
            return 0;
        return refuse_argument(ch, queue, a->name, ": {unacceptable_type,",
                               value_type_name(v->type), "}");
    case ARGUMENT_REFUSED:
        return refuse_argument(ch, queue, a->name, " of queue type ",
                               quorum ? "rabbit_quorum_queue" : "rabbit_classic_queue", "");
    }
    return 0;
}

int consume_arguments_read(struct channel *ch, const struct queue_handle *queue,
                           struct amqp_table arguments, struct consumer_options *options)
{
    struct value v;

    if (arguments.encoded.size == 0)
        return 0;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        int rc = 0;

        if (amqp_table_find(arguments.encoded, known[i].name, &v))
            rc = check(ch, queue, &known[i], &v);
        if (rc < 0)
            return rc;
    }
    if (amqp_table_find(arguments.encoded, "x-priority", &v))
        options->priority = v.integer > INT32_MAX   ? INT32_MAX
                            : v.integer < INT32_MIN ? INT32_MIN
                                                    : (int32_t)v.integer;
    if (amqp_table_find(arguments.encoded, VISIBILITY_TIMEOUT, &v))
        options->visibility_timeout_ms = v.integer;
    if (amqp_table_find(arguments.encoded, CONSUMER_TIMEOUT, &v))
        options->consumer_timeout_ms = v.integer;
    return 0;
}
