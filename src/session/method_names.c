#include "session/method_names.h"

#include <string.h>

static void strip(struct bytes *name, uint8_t *room)
{
    size_t size = 0;

    if (name->size == 0 || (memchr(name->data, '\r', name->size) == NULL &&
                            memchr(name->data, '\n', name->size) == NULL))
        return;
    for (size_t i = 0; i < name->size; i++) {
        if (name->data[i] != '\r' && name->data[i] != '\n')
            room[size++] = name->data[i];
    }
    *name = bytes_of(room, size);
}

static void strip_two(struct bytes *first, struct bytes *second, struct method_names *names)
{
    strip(first, names->room[0]);
    strip(second, names->room[1]);
}

void method_names_strip(struct amqp_method *m, struct method_names *names)
{
    switch ((int)m->id) {
    case AMQP_EXCHANGE_DECLARE:
        strip(&m->exchange_declare.exchange, names->room[0]);
        return;
    case AMQP_EXCHANGE_DELETE:
        strip(&m->exchange_delete.exchange, names->room[0]);
        return;
    case AMQP_EXCHANGE_BIND:
        strip_two(&m->exchange_bind.destination, &m->exchange_bind.source, names);
        return;
    case AMQP_EXCHANGE_UNBIND:
        strip_two(&m->exchange_unbind.destination, &m->exchange_unbind.source, names);
        return;
    case AMQP_QUEUE_DECLARE:
        strip(&m->queue_declare.queue, names->room[0]);
        return;
    case AMQP_QUEUE_DELETE:
        strip(&m->queue_delete.queue, names->room[0]);
        return;
    case AMQP_QUEUE_BIND:
        strip_two(&m->queue_bind.queue, &m->queue_bind.exchange, names);
        return;
    case AMQP_QUEUE_UNBIND:
        strip_two(&m->queue_unbind.queue, &m->queue_unbind.exchange, names);
        return;
    default:
        return;
    }
}
