/* How long a consumer's deliveries may stay unacked: the visibility timeout, which takes a message
 * back, and the consumer timeout, which ends the channel. */
#include "broker/queue_internal.h"

#include "base/memory.h"

#include <stdlib.h>

/* How exactly the age of a delivery is known: in parts of the consumer timeout. */
#define AGE_STEPS 32

static struct consumer_watch *need_watch(struct consumer *c)
{
    if (c->watch == NULL) {
        c->watch = memory_alloc_zeroed(1, sizeof(*c->watch));
        c->watch->timer_ms = EXPIRY_NEVER;
    }
    return c->watch;
}

void consumer_watch_begin(struct consumer *c, const struct consumer_options *options)
{
    c->own_consumer_timeout = options->consumer_timeout_ms != 0;
    c->consumer_timeout_ms = c->own_consumer_timeout ? options->consumer_timeout_ms
                                                     : options->default_consumer_timeout_ms;
    if (options->visibility_timeout_ms != 0 && !c->no_ack)
        need_watch(c)->visibility_timeout_ms = options->visibility_timeout_ms;
}

void consumer_watch_end(struct consumer *c)
{
    if (c->watch == NULL)
        return;
    delivery_deadlines_free(&c->watch->deadlines);
    delivery_ages_free(&c->watch->ages);
    free(c->watch);
}

void consumer_set_clock(struct consumer *c, void *clock)
{
    need_watch(c)->clock = clock;
}

void *consumer_clock(const struct consumer *c)
{
    return c->watch != NULL ? c->watch->clock : NULL;
}

/* The rules may change at any time: what they say now counts. EXPIRY_NEVER: for ever. */
static int64_t visibility_timeout_ms(const struct consumer *c)
{
    const struct queue_rules *rules = c->queue->options->rules;

    if (c->watch != NULL && c->watch->visibility_timeout_ms != 0)
        return c->watch->visibility_timeout_ms;
    return rules != NULL ? rules->visibility_timeout_ms : EXPIRY_NEVER;
}

static int64_t consumer_timeout_ms(const struct consumer *c)
{
    const struct queue_rules *rules = c->queue->options->rules;

    if (!c->own_consumer_timeout && rules != NULL && rules->consumer_timeout_ms != EXPIRY_NEVER)
        return rules->consumer_timeout_ms;
    return c->consumer_timeout_ms != 0 ? c->consumer_timeout_ms : EXPIRY_NEVER;
}

/* Asks for a call of consumer_on_time(), unless it comes early enough as it is. */
static void ask_timer(struct consumer *c, int64_t due_ms, struct effects *out)
{
    struct effect *timer;

    if (due_ms >= c->watch->timer_ms)
        return;
    c->watch->timer_ms = due_ms;
    timer = effects_add(out, EFFECT_CONSUMER_TIMER, c->queue);
    timer->consumer = c;
    timer->due_ms = due_ms;
}

/* When the oldest delivery is overdue, or to be told of again. */
static int64_t overdue_ms(const struct consumer *c, int64_t timeout_ms)
{
    uint64_t oldest = unacked_at(&c->unacked, 0)->number;
    int64_t due_ms = delivery_ages_until(&c->watch->ages, oldest) + timeout_ms;

    return due_ms > c->watch->tell_ms ? due_ms : c->watch->tell_ms;
}

static int64_t age_step_ms(int64_t timeout_ms)
{
    return timeout_ms < AGE_STEPS ? 1 : timeout_ms / AGE_STEPS;
}

static void note_age(struct consumer *c, int64_t timeout_ms, int64_t now_ms, struct effects *out)
{
    struct delivery_ages *ages = &c->watch->ages;
    uint64_t oldest = unacked_at(&c->unacked, 0)->number;

    delivery_ages_note(ages, c->unacked.next_number - 1, oldest, now_ms, age_step_ms(timeout_ms));
    ask_timer(c, overdue_ms(c, timeout_ms), out);
}

void consumer_watch_delivery(struct consumer *c, int64_t now_ms, struct effects *out)
{
    int64_t visible_ms = visibility_timeout_ms(c);
    int64_t timeout_ms;

    if (visible_ms != EXPIRY_NEVER) {
        delivery_deadlines_add(&need_watch(c)->deadlines, &c->unacked, now_ms + visible_ms);
        ask_timer(c, now_ms + visible_ms, out);
    }
    if (c->watch != NULL && !delivery_ages_due(&c->watch->ages, now_ms))
        return;
    timeout_ms = consumer_timeout_ms(c);
    if (timeout_ms == EXPIRY_NEVER)
        return;
    need_watch(c);
    note_age(c, timeout_ms, now_ms, out);
}

/* What is unacked and of no known age, for there was no timeout, is taken to be delivered now. */
void consumer_watch_rules(struct consumer *c, int64_t now_ms, struct effects *out)
{
    int64_t timeout_ms = consumer_timeout_ms(c);

    if (c->watch != NULL)
        delivery_ages_begin_anew(&c->watch->ages, now_ms);
    if (c->unacked.count == 0 || timeout_ms == EXPIRY_NEVER)
        return;
    if (need_watch(c)->ages.count == 0)
        note_age(c, timeout_ms, now_ms, out);
    else
        ask_timer(c, overdue_ms(c, timeout_ms), out);
}

/* ---- Counts ---- */

struct queue_lease_counts queue_lease_counts(const struct queue *q)
{
    return q->extra != NULL ? q->extra->leases : (struct queue_lease_counts){.expired = 0};
}

void queue_count_late(struct queue *q, uint32_t count)
{
    queue_need_extra(q)->leases.late += count;
}

/* ---- Taking back ---- */

/* Deliveries with numbers in a row are told of at once. `*told`: how many effects there were with
 * the last one of this kind. */
static void tell_taken_back(struct consumer *c, uint64_t number, struct effects *out,
                            uint32_t *told)
{
    struct effect *e;

    if (*told != 0 && out->items[*told - 1].sequence + 1 == number) {
        out->items[*told - 1].sequence = number;
        return;
    }
    e = effects_add(out, EFFECT_TAKEN_BACK, c->queue);
    e->consumer = c;
    e->number = number;
    e->sequence = number;
    *told = out->count;
}

static uint32_t take_back_due(struct consumer *c, int64_t now_ms, uint32_t budget,
                              struct effects *out)
{
    struct unacked *u = &c->unacked;
    uint32_t taken = 0;
    uint32_t told = 0;
    uint32_t distance;

    if (delivery_deadlines_first(&c->watch->deadlines, u, &distance) > now_ms)
        return 0;
    consumer_settle_begin(c, SETTLE_REQUEUE, now_ms, out);
    while (taken < budget &&
           delivery_deadlines_first(&c->watch->deadlines, u, &distance) <= now_ms) {
        struct unacked_slot *slot = unacked_at(u, distance);

        tell_taken_back(c, slot->number, out, &told);
        consumer_settle_entry(c, unacked_take(u, slot), SETTLE_REQUEUE, now_ms, out);
        taken++;
    }
    consumer_settle_end(c, taken, SETTLE_REQUEUE, out);
    queue_need_extra(c->queue)->leases.expired += taken;
    return taken;
}

/* Tells what is overdue and asks for the time at which the next one will be, or this one is to be
 * told again. */
static struct consumer_overdue check_ages(struct consumer *c, int64_t now_ms, struct effects *out)
{
    struct delivery_ages *ages = &c->watch->ages;
    struct consumer_overdue overdue = {.timeout_ms = consumer_timeout_ms(c)};

    if (c->unacked.count == 0) {
        delivery_ages_forget(ages);
        return overdue;
    }
    if (ages->count == 0 || overdue.timeout_ms == EXPIRY_NEVER)
        return overdue;
    if (overdue_ms(c, overdue.timeout_ms) <= now_ms) {
        overdue.up_to = delivery_ages_made_by(ages, now_ms - overdue.timeout_ms) - 1;
        c->watch->tell_ms = now_ms + overdue.timeout_ms;
    }
    ask_timer(c, overdue_ms(c, overdue.timeout_ms), out);
    return overdue;
}

struct consumer_overdue consumer_on_time(struct consumer *c, int64_t now_ms, uint32_t budget,
                                         struct effects *out)
{
    struct consumer_overdue overdue = {.up_to = 0};
    uint32_t distance;

    if (c->watch == NULL)
        return overdue;
    c->watch->timer_ms = EXPIRY_NEVER;
    take_back_due(c, now_ms, budget, out);
    overdue = check_ages(c, now_ms, out);
    ask_timer(c, delivery_deadlines_first(&c->watch->deadlines, &c->unacked, &distance), out);
    return overdue;
}

/* ---- Extension ---- */

static uint32_t take_back(struct consumer *c, uint64_t first, uint64_t last, int64_t now_ms,
                          struct effects *out)
{
    struct unacked *u = &c->unacked;
    uint32_t taken = 0;
    uint32_t told = 0;

    consumer_settle_begin(c, SETTLE_REQUEUE, now_ms, out);
    for (uint32_t i = unacked_find(u, first); i < u->span; i++) {
        struct unacked_slot *slot = unacked_at(u, i);

        if (slot->number > last)
            break;
        if (unacked_is_settled(slot))
            continue;
        tell_taken_back(c, slot->number, out, &told);
        consumer_settle_entry(c, unacked_take(u, slot), SETTLE_REQUEUE, now_ms, out);
        taken++;
    }
    consumer_settle_end(c, taken, SETTLE_REQUEUE, out);
    return taken;
}

uint32_t consumer_extend(struct consumer *c, uint64_t first, uint64_t last, int64_t timeout_ms,
                         int64_t now_ms, struct effects *out)
{
    uint32_t distance;
    uint32_t held;

    if (timeout_ms == 0)
        held = take_back(c, first, last, now_ms, out);
    else
        held = delivery_deadlines_move(&need_watch(c)->deadlines, &c->unacked, first, last,
                                       now_ms + timeout_ms);
    if (held == 0)
        return 0;
    queue_need_extra(c->queue)->leases.extended += held;
    if (timeout_ms != 0)
        ask_timer(c, delivery_deadlines_first(&c->watch->deadlines, &c->unacked, &distance), out);
    return held;
}
