/* The delayed exchange (RabbitMQ's rabbitmq_delayed_message_exchange): routes as the type in its
 * argument x-delayed-type does, but a message with a header x-delay when that time is over. */
#include "broker/exchange.h"

#define INNER_TYPE "x-delayed-type"

static const struct value *inner_type(const struct table *arguments)
{
    const struct value *type = table_get(arguments, INNER_TYPE);

    return type != NULL && type->type == VALUE_STRING ? type : NULL;
}

static int check_declaration(const struct table *arguments, struct refusal *r)
{
    const struct value *type = inner_type(arguments);
    const struct exchange_router *inner;

    if (type == NULL)
        return refuse(r, REFUSAL_PRECONDITION_FAILED,
                      "Invalid argument, '" INNER_TYPE "' must be an existing exchange type");
    if (bytes_equal_string(type->bytes, exchange_delayed.type))
        return refuse(r, REFUSAL_PRECONDITION_FAILED,
                      "Invalid argument, 'x-delayed-message' can't be used for '" INNER_TYPE "'");
    inner = exchange_router_find(type->bytes);
    if (inner == NULL)
        return refuse(r, REFUSAL_COMMAND_INVALID, "unknown exchange type '%.*s'",
                      BYTES_ARGS(type->bytes));
    return inner->check_declaration != NULL ? inner->check_declaration(arguments, r) : 0;
}

const struct exchange_router *exchange_delayed_inner(const struct table *arguments)
{
    return exchange_router_find(inner_type(arguments)->bytes);
}

/* Its exchanges route by the other type's functions. */
const struct exchange_router exchange_delayed = {
    .type = "x-delayed-message",
    .check_declaration = check_declaration,
};
