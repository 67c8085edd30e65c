#include "broker/message.h"

static uint8_t *put(uint8_t *where, struct bytes b)
{
    if (b.size != 0)
        memcpy(where, b.data, b.size);
    return where + b.size;
}

struct message *message_create(struct bytes exchange, struct bytes routing_key,
                               struct bytes properties, uint32_t body_size)
{
    size_t size =
        sizeof(struct message) + exchange.size + routing_key.size + properties.size + body_size;
    struct message *m;
    uint8_t *end;

    assert(exchange.size <= UINT8_MAX && routing_key.size <= UINT8_MAX);
    assert(properties.size <= UINT32_MAX);
    m = slab_alloc(size);
    if (m == NULL)
        return NULL;

    atomic_init(&m->references, 1);
    m->body_size = body_size;
    m->properties_size = (uint32_t)properties.size;
    m->exchange_size = (uint8_t)exchange.size;
    m->routing_key_size = (uint8_t)routing_key.size;
    m->priority = 0;
    m->flags = 0;
    end = put(m->data, exchange);
    end = put(end, routing_key);
    put(end, properties);
    return m;
}
