#include "tests/fault/declarer.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

void declarer_init(struct declarer *d, struct trial *trial, int number)
{
    memset(d, 0, sizeof(*d));
    d->trial = trial;
    d->number = number;
    snprintf(d->hub, sizeof(d->hub), "hub.%d", number);
    for (int i = 0; i < DECLARER_NAMES; i++) {
        snprintf(d->things[i].queue, sizeof(d->things[i].queue), "d.%d.%d", number, i);
        snprintf(d->things[i].exchange, sizeof(d->things[i].exchange), "x.%d.%d", number, i);
    }
}

/* ---- Steps; each leaves doubt when it is not answered ---- */

static bool declare_hub(struct declarer *d, struct link *l)
{
    amqp_exchange_declare_t m = {
        .exchange = amqp_cstring_bytes(d->hub),
        .type = amqp_cstring_bytes("direct"),
        .durable = true,
    };

    return link_call(l, AMQP_EXCHANGE_DECLARE_METHOD, &m, AMQP_EXCHANGE_DECLARE_OK_METHOD) != NULL;
}

static void declare_queue_of(struct link *l, struct declared *t)
{
    amqp_table_entry_t length = {
        .key = amqp_cstring_bytes("x-max-length"),
        .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 10000},
    };
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes(t->queue), .durable = true};

    if (t->queue[strlen(t->queue) - 1] % 2 == 0)
        m.arguments = (amqp_table_t){1, &length};
    t->queue_known = DOUBTFUL;
    if (link_call(l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD) != NULL)
        t->queue_known = PRESENT;
}

static void delete_queue_of(struct link *l, struct declared *t)
{
    amqp_queue_delete_t m = {.queue = amqp_cstring_bytes(t->queue)};

    t->queue_known = DOUBTFUL;
    t->bound = t->bound == ABSENT ? ABSENT : DOUBTFUL;
    t->least = 0;
    if (link_call(l, AMQP_QUEUE_DELETE_METHOD, &m, AMQP_QUEUE_DELETE_OK_METHOD) == NULL)
        return;
    t->queue_known = ABSENT;
    t->bound = ABSENT;
    t->most = 0;
}

static void bind_queue_of(const struct declarer *d, struct link *l, struct declared *t, bool bind)
{
    amqp_queue_bind_t bind_method = {
        .queue = amqp_cstring_bytes(t->queue),
        .exchange = amqp_cstring_bytes(d->hub),
        .routing_key = amqp_cstring_bytes(t->queue),
    };
    amqp_queue_unbind_t unbind_method = {
        .queue = bind_method.queue,
        .exchange = bind_method.exchange,
        .routing_key = bind_method.routing_key,
    };

    t->bound = DOUBTFUL;
    if (bind &&
        link_call(l, AMQP_QUEUE_BIND_METHOD, &bind_method, AMQP_QUEUE_BIND_OK_METHOD) != NULL)
        t->bound = PRESENT;
    if (!bind &&
        link_call(l, AMQP_QUEUE_UNBIND_METHOD, &unbind_method, AMQP_QUEUE_UNBIND_OK_METHOD) != NULL)
        t->bound = ABSENT;
}

static void declare_exchange_of(struct link *l, struct declared *t)
{
    static const char *const types[] = {"direct", "fanout", "topic", "headers"};
    amqp_exchange_declare_t m = {
        .exchange = amqp_cstring_bytes(t->exchange),
        .type = amqp_cstring_bytes(types[t->exchange[strlen(t->exchange) - 1] % 4]),
        .durable = true,
    };

    t->exchange_known = DOUBTFUL;
    if (link_call(l, AMQP_EXCHANGE_DECLARE_METHOD, &m, AMQP_EXCHANGE_DECLARE_OK_METHOD) != NULL)
        t->exchange_known = PRESENT;
}

static void delete_exchange_of(struct link *l, struct declared *t)
{
    amqp_exchange_delete_t m = {.exchange = amqp_cstring_bytes(t->exchange)};

    t->exchange_known = DOUBTFUL;
    if (link_call(l, AMQP_EXCHANGE_DELETE_METHOD, &m, AMQP_EXCHANGE_DELETE_OK_METHOD) != NULL)
        t->exchange_known = ABSENT;
}

/* One confirmed message, persistent or not. Returns whether it was routed. */
static bool publish_one(struct link *l, const char *exchange, const char *key, bool persistent,
                        bool *routed)
{
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
        .delivery_mode = persistent ? 2 : 1,
    };
    struct link_event e;

    *routed = true;
    if (!link_publish(l, exchange, key, true, &properties, "x", 1))
        return false;
    while (link_next(l, 6 * deadline_ms(), &e) == LINK_EVENT) {
        if (e.method == AMQP_BASIC_ACK_METHOD)
            return true;
        *routed = false;
        if (e.method != AMQP_BASIC_RETURN_METHOD)
            break;
    }
    return false;
}

static void fill_queue_of(struct declarer *d, struct link *l, struct declared *t)
{
    bool routed;

    t->most++;
    if (!publish_one(l, "", t->queue, true, &routed))
        return;
    if (routed)
        t->least++;
    else
        ledger_violation(&d->trial->ledger, "%s, which is declared, is not there", t->queue);
}

static void step(struct declarer *d, struct link *l, uint64_t *state)
{
    struct declared *t = &d->things[random_below(state, DECLARER_NAMES)];

    switch (random_below(state, 8)) {
    case 0:
    case 1:
        if (t->queue_known == ABSENT)
            declare_queue_of(l, t);
        break;
    case 2:
        if (t->queue_known == PRESENT)
            delete_queue_of(l, t);
        break;
    case 3:
        if (t->queue_known == PRESENT)
            bind_queue_of(d, l, t, t->bound == ABSENT);
        break;
    case 4:
        if (t->exchange_known == ABSENT)
            declare_exchange_of(l, t);
        break;
    case 5:
        if (t->exchange_known == PRESENT)
            delete_exchange_of(l, t);
        break;
    default:
        if (t->queue_known == PRESENT)
            fill_queue_of(d, l, t);
        break;
    }
}

void *run_declarer(void *declarer)
{
    struct declarer *d = declarer;
    uint64_t state = d->trial->seed + (uint64_t)d->trial->round * 31u + (uint64_t)d->number;
    struct link l;

    if (link_open(&l, d->trial->broker) && link_confirm_select(&l) && declare_hub(d, &l)) {
        while (!l.lost) {
            step(d, &l, &state);
            if (link_refusal() != 0 && !l.lost) {
                ledger_violation(&d->trial->ledger, "a declarer was refused with %u",
                                 link_refusal());
                break;
            }
        }
    }
    link_drop(&l);
    return NULL;
}

/* ---- Inspection ---- */

static void settle_doubt(struct declarer *d, const char *what, enum known *known, bool present)
{
    if (*known != DOUBTFUL && (*known == PRESENT) != present)
        ledger_violation(&d->trial->ledger, "%s is %s", what,
                         present ? "back though it was deleted" : "gone though it was declared");
    *known = present ? PRESENT : ABSENT;
}

static void inspect_queue(struct declarer *d, struct link *l, struct declared *t)
{
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes(t->queue), .passive = true};
    const amqp_queue_declare_ok_t *ok =
        link_call(l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD);

    settle_doubt(d, t->queue, &t->queue_known, ok != NULL);
    if (ok == NULL) {
        t->least = t->most = 0;
        return;
    }
    if (ok->message_count < t->least || ok->message_count > t->most)
        ledger_violation(&d->trial->ledger, "%s has %u messages, not %u to %u", t->queue,
                         ok->message_count, t->least, t->most);
    t->least = t->most = ok->message_count;
    declare_queue_of(l, t); /* with equal arguments: they are as they were */
    if (link_refusal() != 0)
        ledger_violation(&d->trial->ledger, "%s has other arguments", t->queue);
}

static void inspect_exchange(struct declarer *d, struct link *l, struct declared *t)
{
    amqp_exchange_declare_t m = {.exchange = amqp_cstring_bytes(t->exchange), .passive = true};
    bool present =
        link_call(l, AMQP_EXCHANGE_DECLARE_METHOD, &m, AMQP_EXCHANGE_DECLARE_OK_METHOD) != NULL;

    settle_doubt(d, t->exchange, &t->exchange_known, present);
    if (!present)
        return;
    declare_exchange_of(l, t);
    if (link_refusal() != 0)
        ledger_violation(&d->trial->ledger, "%s has another type", t->exchange);
}

/* By a transient message, which does not count in the next life. */
static void inspect_binding(struct declarer *d, struct link *l, struct declared *t)
{
    char what[80];
    bool routed;

    if (!publish_one(l, d->hub, t->queue, false, &routed))
        return;
    snprintf(what, sizeof(what), "the binding of %s", t->queue);
    settle_doubt(d, what, &t->bound, routed);
}

void declarer_inspect(struct declarer *d, struct link *l)
{
    if (!declare_hub(d, l))
        ledger_violation(&d->trial->ledger, "%s cannot be declared", d->hub);
    for (int i = 0; i < DECLARER_NAMES; i++) {
        inspect_queue(d, l, &d->things[i]);
        inspect_exchange(d, l, &d->things[i]);
    }
    link_confirm_select(l);
    for (int i = 0; i < DECLARER_NAMES; i++)
        inspect_binding(d, l, &d->things[i]);
}
