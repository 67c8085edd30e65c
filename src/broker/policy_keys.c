#include "broker/policy.h"

#include <stddef.h>

#define QUEUES (POLICY_CLASSIC_QUEUE | POLICY_QUORUM_QUEUE)
#define ALL (POLICY_EXCHANGE | QUEUES)

static bool is_string(const struct value *v)
{
    return v->type == VALUE_STRING;
}

static bool is_exchange_name(const struct value *v)
{
    return v->type == VALUE_STRING && v->bytes.size <= UINT8_MAX;
}

static bool is_positive(const struct value *v)
{
    return value_is_integer(v) && v->integer > 0;
}

static bool is_mirroring_mode(const struct value *v)
{
    return v->type == VALUE_STRING &&
           (bytes_equal_string(v->bytes, "all") || bytes_equal_string(v->bytes, "exactly") ||
            bytes_equal_string(v->bytes, "nodes"));
}

/* A number of nodes, or their names. */
static bool is_mirroring_parameter(const struct value *v)
{
    return value_is_integer(v) || v->type == VALUE_ARRAY;
}

/* Those of RabbitMQ 3.10 to 4, without what is for streams and for links to other brokers. What
 * concerns copies on other nodes is taken, so that what was exported can be imported, and means
 * nothing to one node. */
const struct policy_key POLICY_KEYS[] = {
    {.name = "message-ttl",
     .argument = "x-message-ttl",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true},
    {.name = "expires",
     .argument = "x-expires",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true},
    {.name = "max-length",
     .argument = "x-max-length",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true},
    {.name = "max-length-bytes",
     .argument = "x-max-length-bytes",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true},
    {.name = "visibility-timeout",
     .argument = "x-visibility-timeout",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true},
    {.name = "consumer-timeout",
     .argument = "x-consumer-timeout",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true},
    {.name = "overflow", .argument = "x-overflow", .merge = POLICY_MERGE_OVERFLOW, .objects = ALL},
    {.name = "dead-letter-exchange",
     .argument = "x-dead-letter-exchange",
     .merge = POLICY_MERGE_ARGUMENT,
     .objects = ALL},
    {.name = "dead-letter-routing-key",
     .argument = "x-dead-letter-routing-key",
     .merge = POLICY_MERGE_ARGUMENT,
     .objects = ALL},
    {.name = "dead-letter-strategy",
     .argument = "x-dead-letter-strategy",
     .merge = POLICY_MERGE_ARGUMENT,
     .objects = POLICY_EXCHANGE | POLICY_QUORUM_QUEUE},
    {.name = "delivery-limit",
     .argument = "x-delivery-limit",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = POLICY_EXCHANGE | POLICY_QUORUM_QUEUE,
     .operator_too = true},
    {.name = "alternate-exchange", .objects = ALL, .is_valid = is_exchange_name},
    {.name = "queue-mode",
     .argument = "x-queue-mode",
     .merge = POLICY_MERGE_ARGUMENT,
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true},
    {.name = "queue-version",
     .argument = "x-queue-version",
     .merge = POLICY_MERGE_ARGUMENT,
     .objects = ALL,
     .has_no_effect = true},
    {.name = "max-in-memory-length",
     .argument = "x-max-in-memory-length",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true,
     .has_no_effect = true},
    {.name = "max-in-memory-bytes",
     .argument = "x-max-in-memory-bytes",
     .merge = POLICY_MERGE_MINIMUM,
     .objects = ALL,
     .operator_too = true,
     .has_no_effect = true},
    {.name = "queue-leader-locator",
     .argument = "x-queue-leader-locator",
     .merge = POLICY_MERGE_ARGUMENT,
     .objects = POLICY_EXCHANGE | POLICY_QUORUM_QUEUE,
     .has_no_effect = true},
    {.name = "queue-master-locator",
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true,
     .is_valid = is_string},
    {.name = "target-group-size",
     .objects = POLICY_EXCHANGE | POLICY_QUORUM_QUEUE,
     .has_no_effect = true,
     .is_valid = is_positive},
    {.name = "ha-mode",
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true,
     .is_valid = is_mirroring_mode},
    {.name = "ha-params",
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true,
     .is_valid = is_mirroring_parameter},
    {.name = "ha-sync-mode",
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true,
     .is_valid = is_string},
    {.name = "ha-sync-batch-size", .objects = ALL, .has_no_effect = true, .is_valid = is_positive},
    {.name = "ha-promote-on-shutdown",
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true,
     .is_valid = is_string},
    {.name = "ha-promote-on-failure",
     .objects = POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE,
     .has_no_effect = true,
     .is_valid = is_string},
    {.name = NULL},
};

const struct policy_key *policy_key_find(struct bytes name)
{
    for (const struct policy_key *key = POLICY_KEYS; key->name != NULL; key++) {
        if (bytes_equal_string(name, key->name))
            return key;
    }
    return NULL;
}
