#include "tests/fault/actors.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_MAX = 1024,
    HELD_MAX = 256,
    NOTED_MAX = 4096,
    SETTLES_BETWEEN_BARRIERS = 40,
    IDLE_MS = 20,
};

uint32_t random_below(uint64_t *state, uint32_t bound)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 16) % bound;
}

static uint64_t seed_of(const struct trial *t, int actor)
{
    return t->seed * 1000003u + (uint64_t)t->round * 1009u + (uint64_t)actor * 7919u;
}

/* Adds a message to the ledger and sends it. */
static bool send_message(struct trial *t, struct link *l, const char *exchange, const char *key,
                         uint32_t id)
{
    static _Thread_local uint8_t body[LEDGER_MAX_BODY];
    char text[LEDGER_ID_SIZE];
    amqp_basic_properties_t properties;
    struct ledger_message m;

    pthread_mutex_lock(&t->ledger.lock);
    m = t->ledger.messages[id];
    pthread_mutex_unlock(&t->ledger.lock);
    ledger_publish_properties(&m, id, text, &properties);
    return link_publish(l, exchange, key, false, &properties, body, ledger_body(id, body));
}

/* ---- Publishers under confirms ---- */

struct window {
    uint64_t first; /* tag */
    uint32_t count;
    uint32_t ids[WINDOW_MAX];
    bool settled[WINDOW_MAX];
};

static void window_add(struct window *w, uint32_t id)
{
    uint64_t tag = w->first + w->count++;

    w->ids[tag % WINDOW_MAX] = id;
    w->settled[tag % WINDOW_MAX] = false;
}

static void window_settle(struct ledger *l, struct window *w, uint64_t tag)
{
    if (tag < w->first || tag >= w->first + w->count || w->settled[tag % WINDOW_MAX]) {
        ledger_violation(l, "a confirm of %llu, which is not awaited", (unsigned long long)tag);
        return;
    }
    w->settled[tag % WINDOW_MAX] = true;
    ledger_confirm(l, w->ids[tag % WINDOW_MAX]);
}

static void window_advance(struct window *w)
{
    while (w->count != 0 && w->settled[w->first % WINDOW_MAX]) {
        w->first++;
        w->count--;
    }
}

static void on_confirm(struct ledger *l, struct window *w, const struct link_event *e)
{
    bool multiple;
    bool accepted;
    uint64_t tag = link_confirm_tag(e, &multiple, &accepted);

    if (!accepted)
        ledger_violation(l, "publish %llu was nacked", (unsigned long long)tag);
    for (uint64_t i = w->first; multiple && i < tag; i++) {
        if (!w->settled[i % WINDOW_MAX])
            window_settle(l, w, i);
    }
    window_settle(l, w, tag);
    window_advance(w);
}

static uint32_t new_message(const struct publisher *p, uint32_t turn, uint64_t *state)
{
    uint32_t targets = 0;

    if (p->fanout) {
        for (int i = 0; i < p->queue_count; i++)
            targets |= 1u << (p->first_queue + i);
    } else {
        targets = 1u << (p->first_queue + (int)(turn % (uint32_t)p->queue_count));
    }
    return ledger_add(&p->trial->ledger, p->number, targets, random_below(state, 8) != 0);
}

static const char *key_of(const struct publisher *p, uint32_t turn)
{
    int queue = p->first_queue + (int)(turn % (uint32_t)p->queue_count);

    return p->fanout ? "some.key" : p->trial->ledger.queue_names[queue];
}

void *run_publisher(void *publisher)
{
    const struct publisher *p = publisher;
    struct ledger *ledger = &p->trial->ledger;
    uint64_t state = seed_of(p->trial, p->number);
    struct window window = {.first = 1};
    struct link l;
    uint32_t turn = 0;

    if (!link_open(&l, p->trial->broker) || !link_confirm_select(&l))
        goto end;
    while (!l.lost && (turn < p->most || window.count != 0)) {
        struct link_event e;
        enum link_result result;

        while (!l.lost && turn < p->most && window.count < p->window) {
            uint32_t id = new_message(p, turn, &state);

            window_add(&window, id);
            send_message(p->trial, &l, p->exchange, key_of(p, turn), id);
            turn++;
        }
        result = link_next(&l, 6 * deadline_ms(), &e);
        if (result == LINK_EVENT &&
            (e.method == AMQP_BASIC_ACK_METHOD || e.method == AMQP_BASIC_NACK_METHOD))
            on_confirm(ledger, &window, &e);
        else if (result == LINK_EVENT)
            ledger_violation(ledger, "publisher %u got %s", p->number, amqp_method_name(e.method));
        else if (result == LINK_NOTHING)
            ledger_violation(ledger, "publisher %u waits in vain for a confirm", p->number);
        if (result == LINK_NOTHING)
            break;
    }
end:
    link_drop(&l);
    return NULL;
}

/* ---- Transactions ---- */

void *run_tx_publisher(void *publisher)
{
    const struct publisher *p = publisher;
    struct ledger *ledger = &p->trial->ledger;
    uint64_t state = seed_of(p->trial, p->number);
    amqp_tx_select_t select = {0};
    amqp_tx_commit_t commit = {0};
    amqp_tx_rollback_t rollback = {0};
    struct link l;
    uint32_t turn = 0;

    if (!link_open(&l, p->trial->broker))
        return NULL;
    link_call(&l, AMQP_TX_SELECT_METHOD, &select, AMQP_TX_SELECT_OK_METHOD);
    while (!l.lost && turn < p->most) {
        uint32_t ids[20];
        uint32_t count = 1 + random_below(&state, 20);
        bool regret = random_below(&state, 6) == 0;

        for (uint32_t i = 0; i < count; i++) {
            ids[i] = new_message(p, turn, &state);
            if (regret)
                ledger_settled(ledger, ids[i], p->first_queue);
            send_message(p->trial, &l, p->exchange, key_of(p, turn), ids[i]);
            turn++;
        }
        if (regret) {
            link_call(&l, AMQP_TX_ROLLBACK_METHOD, &rollback, AMQP_TX_ROLLBACK_OK_METHOD);
        } else if (link_call(&l, AMQP_TX_COMMIT_METHOD, &commit, AMQP_TX_COMMIT_OK_METHOD) !=
                   NULL) {
            for (uint32_t i = 0; i < count; i++)
                ledger_confirm(ledger, ids[i]);
        }
    }
    link_drop(&l);
    return NULL;
}

/* ---- Consumers ---- */

struct noted {
    uint32_t count;
    uint32_t ids[NOTED_MAX];
};

static void note(struct noted *n, uint32_t id)
{
    if (n->count < NOTED_MAX)
        n->ids[n->count++] = id;
}

struct held {
    uint64_t tag;
    uint32_t id;
};

enum barrier {
    BARRIER_NONE,
    BARRIER_QUEUE, /* a persistent message in the queue is not confirmed yet */
    BARRIER_DEAD,  /* nor is one where its dead letters go */
};

/* A consumer at work. What it has settled and seen is sure when a message that it published to the
 * queue afterwards is confirmed, for that is behind it in the journal. */
struct consuming {
    const struct consumer *as;
    struct link link;
    uint64_t state;
    struct held held[HELD_MAX]; /* ascending */
    uint32_t held_count;
    enum barrier barrier;
    uint32_t barrier_id;
    uint32_t settles;
    struct noted settled, settled_before;
    struct noted seen, seen_before;
    struct noted rejected, rejected_before;
};

static void barrier_start(struct consuming *c)
{
    const struct consumer *as = c->as;

    if (c->barrier != BARRIER_NONE)
        return;
    c->settles = 0;
    c->settled_before = c->settled;
    c->seen_before = c->seen;
    c->rejected_before = c->rejected;
    c->settled.count = c->seen.count = c->rejected.count = 0;
    c->barrier = BARRIER_QUEUE;
    c->barrier_id = ledger_add(&as->trial->ledger, as->number, 1u << as->queue, true);
    send_message(as->trial, &c->link, "", as->trial->ledger.queue_names[as->queue], c->barrier_id);
}

static void barrier_reached(struct consuming *c)
{
    const struct consumer *as = c->as;
    struct ledger *l = &as->trial->ledger;

    ledger_confirm(l, c->barrier_id);
    if (c->barrier == BARRIER_DEAD) {
        for (uint32_t i = 0; i < c->rejected_before.count; i++)
            ledger_confirm_at(l, c->rejected_before.ids[i], as->dead);
        c->barrier = BARRIER_NONE;
        return;
    }
    for (uint32_t i = 0; i < c->settled_before.count; i++)
        ledger_settled(l, c->settled_before.ids[i], as->queue);
    for (uint32_t i = 0; i < c->seen_before.count; i++)
        ledger_mark(l, c->seen_before.ids[i], as->queue);
    c->barrier = BARRIER_NONE;
    if (c->rejected_before.count == 0)
        return;
    c->barrier = BARRIER_DEAD;
    c->barrier_id = ledger_add(l, as->number, 1u << as->dead, true);
    send_message(as->trial, &c->link, "", l->queue_names[as->dead], c->barrier_id);
}

static void forget_held(struct consuming *c, uint32_t from, uint32_t count)
{
    memmove(&c->held[from], &c->held[from + count],
            (c->held_count - from - count) * sizeof(c->held[0]));
    c->held_count -= count;
}

/* Acks held[at], or with `multiple` all up to it. */
static void send_ack(struct consuming *c, uint32_t at, bool multiple)
{
    amqp_basic_ack_t m = {.delivery_tag = c->held[at].tag, .multiple = multiple};
    uint32_t first = multiple ? 0 : at;

    for (uint32_t i = first; i <= at; i++) {
        ledger_settle_sent(&c->as->trial->ledger, c->held[i].id, c->as->queue);
        note(&c->settled, c->held[i].id);
    }
    forget_held(c, first, at - first + 1);
    link_send(&c->link, AMQP_BASIC_ACK_METHOD, &m);
    c->settles++;
}

static void send_requeue(struct consuming *c, uint32_t at)
{
    amqp_basic_nack_t m = {.delivery_tag = c->held[at].tag, .requeue = true};

    forget_held(c, at, 1);
    link_send(&c->link, AMQP_BASIC_NACK_METHOD, &m);
}

static void send_reject(struct consuming *c, uint32_t at)
{
    amqp_basic_reject_t m = {.delivery_tag = c->held[at].tag};

    ledger_reject_sent(&c->as->trial->ledger, c->held[at].id, c->as->queue, c->as->dead);
    note(&c->rejected, c->held[at].id);
    forget_held(c, at, 1);
    link_send(&c->link, AMQP_BASIC_REJECT_METHOD, &m);
    c->settles++;
}

static void settle_some(struct consuming *c)
{
    uint32_t at = random_below(&c->state, c->held_count);

    switch (random_below(&c->state, 10)) {
    case 0:
    case 1:
        break;
    case 2:
        send_requeue(c, at);
        break;
    case 3:
        if (c->as->dead >= 0)
            send_reject(c, at);
        break;
    case 4:
        send_ack(c, at, true);
        break;
    default:
        send_ack(c, at, false);
        break;
    }
}

static void hold(struct consuming *c, const struct link_event *e)
{
    const amqp_basic_deliver_t *m = e->fields;
    uint32_t id = ledger_delivered(&c->as->trial->ledger, c->as->queue, e, m->redelivered);

    if (id == UINT32_MAX || c->held_count == HELD_MAX)
        return;
    c->held[c->held_count++] = (struct held){.tag = m->delivery_tag, .id = id};
    note(&c->seen, id);
}

static bool start_consuming(struct consuming *c, const struct consumer *as)
{
    amqp_basic_qos_t qos = {0};
    amqp_basic_consume_t consume = {0};

    c->as = as;
    c->state = seed_of(as->trial, as->number);
    if (!link_open(&c->link, as->trial->broker))
        return false;
    qos.prefetch_count = (uint16_t)(1 + random_below(&c->state, 100));
    __atomic_fetch_add(&as->trial->ledger.unseen_allowed[as->queue], qos.prefetch_count,
                       __ATOMIC_RELAXED);
    consume.queue = amqp_cstring_bytes(as->trial->ledger.queue_names[as->queue]);
    consume.consumer_tag = amqp_cstring_bytes("c");
    return link_call(&c->link, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD) != NULL &&
           link_send(&c->link, AMQP_BASIC_CONSUME_METHOD, &consume);
}

void *run_consumer(void *consumer)
{
    struct consuming *c = calloc(1, sizeof(*c));
    struct link_event e;
    bool good = start_consuming(c, consumer);
    amqp_confirm_select_t select = {0};

    if (good)
        link_send(&c->link, AMQP_CONFIRM_SELECT_METHOD, &select);
    while (good) {
        switch (link_next(&c->link, IDLE_MS, &e)) {
        case LINK_LOST:
            good = false;
            break;
        case LINK_NOTHING:
            if (c->held_count != 0)
                send_ack(c, c->held_count - 1, true);
            barrier_start(c);
            break;
        case LINK_EVENT:
            if (e.method == AMQP_BASIC_DELIVER_METHOD) {
                hold(c, &e);
                if (c->held_count != 0)
                    settle_some(c);
            } else if (e.method == AMQP_BASIC_ACK_METHOD && c->barrier != BARRIER_NONE) {
                barrier_reached(c);
            } else if (e.method != AMQP_BASIC_CONSUME_OK_METHOD &&
                       e.method != AMQP_CONFIRM_SELECT_OK_METHOD) {
                ledger_violation(&c->as->trial->ledger, "a consumer got %s",
                                 amqp_method_name(e.method));
            }
            if (c->settles >= SETTLES_BETWEEN_BARRIERS)
                barrier_start(c);
            break;
        }
    }
    link_drop(&c->link);
    free(c);
    return NULL;
}

/* Acks all that is held in one transaction, with a persistent message to the same queue. */
static void send_commit(struct consuming *c)
{
    amqp_basic_ack_t ack = {.delivery_tag = c->held[c->held_count - 1].tag, .multiple = true};
    amqp_tx_commit_t commit = {0};

    for (uint32_t i = 0; i < c->held_count; i++)
        ledger_settle_sent(&c->as->trial->ledger, c->held[i].id, c->as->queue);
    link_send(&c->link, AMQP_BASIC_ACK_METHOD, &ack);
    barrier_start(c);
    for (uint32_t i = 0; i < c->held_count; i++)
        note(&c->settled, c->held[i].id);
    c->held_count = 0;
    link_send(&c->link, AMQP_TX_COMMIT_METHOD, &commit);
}

void *run_tx_consumer(void *consumer)
{
    struct consuming *c = calloc(1, sizeof(*c));
    struct link_event e;
    amqp_tx_select_t select = {0};
    bool good = start_consuming(c, consumer);

    if (good)
        link_send(&c->link, AMQP_TX_SELECT_METHOD, &select);
    while (good) {
        enum link_result result = link_next(&c->link, IDLE_MS, &e);

        if (result == LINK_LOST)
            break;
        if (result == LINK_EVENT && e.method == AMQP_BASIC_DELIVER_METHOD)
            hold(c, &e);
        else if (result == LINK_EVENT && e.method == AMQP_TX_COMMIT_OK_METHOD)
            barrier_reached(c);
        if (c->held_count != 0 && c->barrier == BARRIER_NONE &&
            (result == LINK_NOTHING || c->held_count >= 10))
            send_commit(c);
    }
    link_drop(&c->link);
    free(c);
    return NULL;
}
