/* Random commands against the core, beside a model so plain that it is right by inspection: every
 * queue is the list of all that was ever put into it, and what happens next is found by looking at
 * all of it. After each command the effects, the counts and the active list must be the model's.
 *
 * LEVERET_SIMULATION_SEED=n runs that seed alone; LEVERET_SIMULATION_SEEDS=n runs seeds 1 to n. */
#include "base/random.h"
#include "broker/queue.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_SEEDS 3000
#define QUEUES 3
#define CONSUMERS 10
#define POOLS 2
#define ENTRIES 4096 /* put into one queue in a run */
#define MESSAGES (ENTRIES * QUEUES)
#define EFFECTS 16384
#define LOCATIONS 60000
#define FETCHES 8
#define FETCH_MAX 200
#define NOWHERE ((struct store_location){.segment = 0})

enum entry_state { ENTRY_READY, ENTRY_UNACKED, ENTRY_GONE };

struct model_entry {
    struct message *message;
    enum entry_state state;
    uint32_t deliveries;
    struct store_location location;
    bool paged;    /* not in memory */
    bool restored; /* delivered before the last restart or kept for paging, and not since */
};

struct model_queue {
    struct queue *real;
    struct queue_options options;
    struct model_entry entries[ENTRIES]; /* the one with sequence n is at n - 1 */
    uint32_t count;
    uint32_t first_left; /* all before it are gone */
    bool active;
    uint64_t active_since;
    bool fetching;
    uint32_t page_next;          /* paging goes on here */
    uint32_t restored_page_next; /* and here among the restored */
    uint64_t lost_bytes;         /* of lost messages, since it was empty */
    uint32_t generation;         /* of `real` */
};

/* A read that is under way. */
struct model_fetch {
    struct model_queue *queue; /* NULL: a free place */
    uint32_t generation;
    uint32_t count;
    uint64_t sequences[FETCH_MAX];
    struct store_location locations[FETCH_MAX];
};

/* What the store keeps at a location. */
struct model_stored {
    struct message *message;
    bool live;
};

struct model_pool {
    struct credit_pool *real;
    uint32_t limit;
    uint32_t in_use;
    bool starved;
};

struct model_consumer {
    struct consumer *real; /* NULL: a free place */
    struct model_queue *queue;
    struct model_pool *pool;
    struct consumer_options options;
    bool cancelled;
    bool paused;
    bool starved;
    bool able;
    uint64_t turn;             /* among able equals the lowest is next */
    uint32_t numbers[ENTRIES]; /* the sequence under number n is at n - 1, 0 when settled */
    uint64_t count;
    uint32_t unacked;
};

struct simulation {
    struct random_sequence random;
    struct list active;
    struct effects effects;
    struct model_queue queues[QUEUES];
    struct model_consumer consumers[CONSUMERS];
    struct model_pool pools[POOLS];
    struct message *messages[MESSAGES]; /* one reference each, to see that the others go */
    uint32_t message_count;
    struct effect expected[EFFECTS];
    uint32_t expected_count;
    struct model_stored store[LOCATIONS]; /* the location with offset n is at n */
    uint32_t location_count;
    uint32_t stored_percent; /* of what is published */
    struct model_fetch fetches[FETCHES];
    struct store_location pages[ENTRIES]; /* what the page function is to answer */
    struct message *paged[ENTRIES];       /* and for which message */
    uint32_t page_count;
    uint32_t pages_asked;
    struct sequence_list kept;
    uint64_t clock; /* orders turns and activations */
};

static struct simulation sim;
static uint64_t current_seed;
static uint32_t current_step;
static const char *current_command;

/* How to run the present seed again; written when the core aborts or a sanitizer stops it. */
static char seed_line[64];
static size_t seed_line_size;

static void say_seed(void)
{
    ssize_t written = write(STDERR_FILENO, seed_line, seed_line_size);

    (void)written;
}

static void on_abort(int number)
{
    (void)number;
    say_seed();
}

/* There in a sanitized build only. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void require(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void require(bool holds, const char *format, ...)
{
    char text[256];
    va_list args;

    if (holds)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    say_seed();
    ck_abort_msg("seed %" PRIu64 ", step %" PRIu32 ", %s: %s", current_seed, current_step,
                 current_command, text);
}

static uint32_t below(uint32_t bound)
{
    return (uint32_t)random_sequence_below(&sim.random, bound);
}

static bool chance(uint32_t percent)
{
    return below(100) < percent;
}

/* The store. */

static struct store_location store_message(struct message *m)
{
    if (sim.location_count == LOCATIONS)
        return NOWHERE;
    sim.store[sim.location_count] = (struct model_stored){.message = m, .live = true};
    return (struct store_location){.segment = 7, .offset = sim.location_count++};
}

static void release_location(void *context, struct store_location l)
{
    (void)context;
    require(l.segment == 7 && l.offset < sim.location_count, "a location from nowhere");
    require(sim.store[l.offset].live, "location %" PRIu32 " is released twice", l.offset);
    sim.store[l.offset].live = false;
}

static bool same_location(struct store_location a, struct store_location b)
{
    return a.segment == b.segment && a.offset == b.offset;
}

/* The model. */

static bool model_can_take(const struct model_consumer *c)
{
    if (c->real == NULL || c->options.getter || c->cancelled || c->paused || c->starved)
        return false;
    return c->options.no_ack || c->options.prefetch == 0 || c->unacked < c->options.prefetch;
}

static void model_update_turn(struct model_consumer *c)
{
    bool able = model_can_take(c);

    if (able && !c->able)
        c->turn = sim.clock++;
    c->able = able;
}

static uint32_t model_ready_count(const struct model_queue *q)
{
    uint32_t ready = 0;

    for (uint32_t i = q->first_left; i < q->count; i++)
        ready += q->entries[i].state == ENTRY_READY;
    return ready;
}

static uint32_t model_first_ready(const struct model_queue *q)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].state == ENTRY_READY)
            return i + 1;
    }
    return 0;
}

static bool model_is_waiting(const struct model_entry *entry)
{
    return entry->state == ENTRY_READY && entry->deliveries == 0;
}

/* The first that waits for its first delivery. */
static uint32_t model_head(const struct model_queue *q)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (model_is_waiting(&q->entries[i]))
            return i + 1;
    }
    return q->count + 1;
}

static bool model_can_hand_out(const struct model_queue *q)
{
    uint32_t first = model_first_ready(q);

    return first != 0 && !q->entries[first - 1].paged;
}

static uint32_t model_paged_count(const struct model_queue *q)
{
    uint32_t paged = 0;

    for (uint32_t i = q->first_left; i < q->count; i++)
        paged += q->entries[i].state == ENTRY_READY && q->entries[i].paged;
    return paged;
}

/* How many messages come before the first one that is not in memory: what came back, and the
 * waiting ones by their numbers. */
static uint32_t model_ahead(const struct model_queue *q)
{
    uint32_t returned = 0;
    uint32_t restored = 0;
    uint32_t restored_loaded = 0;
    uint32_t first_paged = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (entry->state != ENTRY_READY)
            continue;
        returned += entry->deliveries != 0 && !entry->restored;
        restored += entry->restored;
        restored_loaded += entry->restored && !entry->paged && restored_loaded + 1 == restored;
        if (model_is_waiting(entry) && entry->paged && first_paged == 0)
            first_paged = i + 1;
    }
    if (restored_loaded != restored)
        return returned + restored_loaded;
    return returned + restored + first_paged - model_head(q);
}

static bool model_runs_dry(const struct model_queue *q)
{
    if (model_paged_count(q) == 0)
        return false;
    return !model_can_hand_out(q) || model_ahead(q) < QUEUE_READ_AHEAD_MESSAGES;
}

static struct model_consumer *model_next_consumer(const struct model_queue *q)
{
    struct model_consumer *next = NULL;

    for (struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++) {
        if (c->real == NULL || c->queue != q || !c->able)
            continue;
        if (next == NULL || c->options.priority > next->options.priority ||
            (c->options.priority == next->options.priority && c->turn < next->turn))
            next = c;
    }
    return next;
}

static uint32_t model_consumer_count(const struct model_queue *q)
{
    uint32_t count = 0;

    for (const struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++)
        count += c->real != NULL && c->queue == q && !c->options.getter && !c->cancelled;
    return count;
}

static bool model_in_exclusive_use(const struct model_queue *q)
{
    for (const struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++) {
        if (c->real != NULL && c->queue == q && c->options.exclusive && !c->options.getter &&
            !c->cancelled)
            return true;
    }
    return false;
}

static void model_update_active(struct model_queue *q)
{
    bool active = q->real != NULL && model_next_consumer(q) != NULL && model_first_ready(q) != 0 &&
                  (model_can_hand_out(q) || !q->fetching);

    if (active && !q->active)
        q->active_since = sim.clock++;
    q->active = active;
}

static struct effect *expect(enum effect_type type, struct model_queue *q)
{
    struct effect *e = &sim.expected[sim.expected_count++];

    require(sim.expected_count < EFFECTS, "the test's own limit on effects is too low");
    *e = (struct effect){.type = type, .queue = q->real};
    return e;
}

/* An effect about one message, when it has a location. */
static void expect_stored(enum effect_type type, struct model_queue *q, uint32_t sequence)
{
    const struct model_entry *entry = &q->entries[sequence - 1];
    struct effect *e;

    if (store_location_is_none(entry->location))
        return;
    e = expect(type, q);
    e->sequence = sequence;
    e->location = entry->location;
    if (type == EFFECT_RETURNED)
        e->delivery_count = entry->deliveries;
}

static void model_fetch_ahead(struct model_queue *q)
{
    if (q->fetching || !model_runs_dry(q))
        return;
    q->fetching = true;
    expect(EFFECT_FETCH, q);
}

static bool model_take_credit(struct model_consumer *c)
{
    struct model_pool *p = c->pool;

    if (p == NULL)
        return true;
    if (p->limit != 0 && p->in_use >= p->limit) {
        p->starved = true;
        c->starved = true;
        return false;
    }
    p->in_use++;
    return true;
}

/* Gives the entry to `c`, or, when that is NULL, to a basic.get without acknowledgement. */
static void model_hand_out(struct model_queue *q, uint32_t sequence, struct model_consumer *c,
                           struct effect *out)
{
    struct model_entry *entry = &q->entries[sequence - 1];

    out->message = entry->message;
    out->sequence = sequence;
    out->location = entry->location;
    out->delivery_count = entry->deliveries;
    out->redelivered = entry->deliveries != 0;
    entry->deliveries++;
    entry->restored = false;
    if (c == NULL || c->options.no_ack) {
        entry->state = ENTRY_GONE;
        if (c != NULL)
            out->consumer = c->real;
        expect_stored(EFFECT_SETTLED, q, sequence);
        return;
    }
    entry->state = ENTRY_UNACKED;
    c->numbers[c->count++] = sequence;
    c->unacked++;
    out->number = c->count;
    out->consumer = c->real;
}

static void model_deliver(struct model_queue *q, uint32_t budget)
{
    uint32_t delivered = 0;

    while (delivered < budget && model_can_hand_out(q)) {
        struct model_consumer *c = model_next_consumer(q);

        if (c == NULL)
            break;
        if (model_take_credit(c)) {
            model_hand_out(q, model_first_ready(q), c, expect(EFFECT_DELIVER, q));
            c->turn = sim.clock++;
            delivered++;
        }
        model_update_turn(c);
    }
    if (delivered != 0 || model_next_consumer(q) != NULL)
        model_fetch_ahead(q);
}

static void model_settle_one(struct model_consumer *c, uint32_t sequence,
                             enum settle_outcome outcome)
{
    struct model_queue *q = c->queue;
    struct model_entry *entry = &q->entries[sequence - 1];
    struct effect *dead;

    entry->state = outcome == SETTLE_REQUEUE ? ENTRY_READY : ENTRY_GONE;
    c->unacked--;
    if (c->pool != NULL)
        c->pool->in_use--;
    if (outcome == SETTLE_REJECT && q->options.has_dead_letter_exchange) {
        dead = expect(EFFECT_DEAD_LETTER, q);
        dead->reason = DEAD_LETTER_REJECTED;
        dead->delivery_count = entry->deliveries - 1;
        dead->message = entry->message;
        dead->sequence = sequence;
        dead->location = entry->location;
    }
    expect_stored(outcome == SETTLE_REQUEUE ? EFFECT_RETURNED : EFFECT_SETTLED, q, sequence);
}

static uint32_t model_settle(struct model_consumer *c, uint64_t first, uint64_t last,
                             enum settle_outcome outcome)
{
    uint32_t settled = 0;

    for (uint64_t n = 1; n <= c->count; n++) {
        if (n < first || n > last || c->numbers[n - 1] == 0)
            continue;
        model_settle_one(c, c->numbers[n - 1], outcome);
        c->numbers[n - 1] = 0;
        settled++;
    }
    model_update_turn(c);
    return settled;
}

/* Returns whether its queue is unused for it now. */
static bool model_stop(struct model_consumer *c)
{
    struct model_queue *q = c->queue;

    if (c->cancelled)
        return false;
    c->cancelled = true;
    model_update_turn(c);
    return !c->options.getter && model_consumer_count(q) == 0 && q->options.auto_delete;
}

/* What must hold after each command. */

static void require_effects(void)
{
    require(sim.effects.count == sim.expected_count, "%" PRIu32 " effects instead of %" PRIu32,
            sim.effects.count, sim.expected_count);
    for (uint32_t i = 0; i < sim.effects.count; i++) {
        const struct effect *is = &sim.effects.items[i];
        const struct effect *should = &sim.expected[i];

        require(is->type == should->type && is->queue == should->queue, "effect %" PRIu32, i);
        require(is->consumer == should->consumer, "consumer of effect %" PRIu32, i);
        require(is->number == should->number, "effect %" PRIu32 " has number %" PRIu64, i,
                is->number);
        require(is->message == should->message, "message of effect %" PRIu32, i);
        require(is->redelivered == should->redelivered, "redelivered of effect %" PRIu32, i);
        require(is->delivery_count == should->delivery_count, "delivery count of effect %" PRIu32,
                i);
        require(is->reason == should->reason, "reason of effect %" PRIu32, i);
        require(is->sequence == should->sequence, "effect %" PRIu32 " is about %" PRIu64, i,
                is->sequence);
        require(same_location(is->location, should->location), "location of effect %" PRIu32, i);
    }
}

static void carry_out_effects(void)
{
    require_effects();
    for (uint32_t i = 0; i < sim.effects.count; i++) {
        const struct effect *e = &sim.effects.items[i];

        if (e->type == EFFECT_DEAD_LETTER || (e->type == EFFECT_DELIVER && e->number == 0))
            message_unref(e->message);
        if (e->type == EFFECT_SETTLED)
            release_location(NULL, e->location);
    }
    sim.effects.count = 0;
    sim.expected_count = 0;
}

/* What a journal would record. */
static void require_state(const struct model_queue *q)
{
    uint32_t head = model_head(q);
    uint32_t kept = 0;
    uint64_t real_head;

    queue_state(q->real, &real_head, &sim.kept);
    require(real_head == head, "head %" PRIu64 " instead of %" PRIu32, real_head, head);
    for (uint32_t i = q->first_left; i + 1 < head; i++) {
        if (q->entries[i].state == ENTRY_GONE || store_location_is_none(q->entries[i].location))
            continue;
        require(kept < sim.kept.count && sim.kept.items[kept] == i + 1, "kept without %" PRIu32,
                i + 1);
        kept++;
    }
    require(kept == sim.kept.count, "%" PRIu32 " kept instead of %" PRIu32, sim.kept.count, kept);
}

static void require_counts(struct model_queue *q)
{
    uint64_t resident_bytes = 0;
    uint64_t bytes = 0;
    uint32_t unacked = 0;

    if (model_first_ready(q) == 0)
        q->lost_bytes = 0;
    bytes = q->lost_bytes;
    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].state == ENTRY_READY)
            bytes += q->entries[i].message->body_size;
        if (model_is_waiting(&q->entries[i]) && !q->entries[i].paged)
            resident_bytes += message_footprint(q->entries[i].message);
        unacked += q->entries[i].state == ENTRY_UNACKED;
    }
    require(queue_resident_bytes(q->real) == resident_bytes,
            "resident bytes %" PRIu64 " instead of %" PRIu64, queue_resident_bytes(q->real),
            resident_bytes);
    require(queue_paged_count(q->real) == model_paged_count(q),
            "paged count %" PRIu64 " instead of %" PRIu32, queue_paged_count(q->real),
            model_paged_count(q));
    require(queue_next_sequence(q->real) == q->count + 1, "next sequence %" PRIu64,
            queue_next_sequence(q->real));
    require(queue_delivered_below(q->real) == model_head(q), "delivered below %" PRIu64,
            queue_delivered_below(q->real));
    if (chance(5))
        require_state(q);
    require(queue_message_count(q->real) == model_ready_count(q),
            "message count %" PRIu64 " instead of %" PRIu32, queue_message_count(q->real),
            model_ready_count(q));
    require(queue_ready_bytes(q->real) == bytes, "bytes %" PRIu64 " instead of %" PRIu64,
            queue_ready_bytes(q->real), bytes);
    require(queue_unacked_count(q->real) == unacked, "unacked %" PRIu64 " instead of %" PRIu32,
            queue_unacked_count(q->real), unacked);
    require(queue_consumer_count(q->real) == model_consumer_count(q), "consumer count");
    while (q->first_left < q->count && q->entries[q->first_left].state == ENTRY_GONE)
        q->first_left++;
}

static void require_active_list(void)
{
    uint64_t since = 0;
    uint32_t listed = 0;
    uint32_t active = 0;

    list_for_each(&sim.active, node) {
        struct model_queue *q = queue_owner(queue_from_active(node));

        require(q->active, "a queue is in the active list and can deliver nothing");
        require(listed == 0 || q->active_since > since, "the active list is out of order");
        since = q->active_since;
        listed++;
    }
    for (struct model_queue *q = sim.queues; q < sim.queues + QUEUES; q++)
        active += q->active;
    require(listed == active, "%" PRIu32 " active queues instead of %" PRIu32, listed, active);
}

static void settle_world(struct model_queue *q)
{
    carry_out_effects();
    if (q->real != NULL)
        require_counts(q);
    model_update_active(q);
    require_active_list();
}

/* The commands. */

static struct model_queue *some_queue(void)
{
    return &sim.queues[below(QUEUES)];
}

static struct model_consumer *some_consumer(void)
{
    struct model_consumer *c = &sim.consumers[below(CONSUMERS)];

    return c->real != NULL ? c : NULL;
}

static struct message *publish_message(void)
{
    struct message *m;

    if (sim.message_count == MESSAGES)
        return NULL;
    m = message_create(bytes_from_string("x"), bytes_from_string("key"), bytes_of(NULL, 0),
                       below(5));
    sim.messages[sim.message_count++] = m;
    return m;
}

static void enqueue_one(struct model_queue *q, struct message *m)
{
    struct store_location location = NOWHERE;
    uint64_t sequence;

    if (q->count == ENTRIES)
        return;
    if (chance(sim.stored_percent))
        location = store_message(m);
    sequence = queue_enqueue(q->real, m, location, 0, &sim.effects);
    q->entries[q->count++] =
        (struct model_entry){.message = m, .state = ENTRY_READY, .location = location};
    require(sequence == q->count, "sequence %" PRIu64 " instead of %" PRIu32, sequence, q->count);
    settle_world(q);
}

static void command_enqueue(uint32_t most)
{
    struct model_queue *q = some_queue();

    for (uint32_t n = 1 + below(most); n != 0; n--) {
        struct message *m = publish_message();

        if (m == NULL)
            return;
        enqueue_one(q, m);
        if (chance(10))
            enqueue_one(some_queue(), m);
    }
}

static void command_deliver(uint32_t most)
{
    struct list_node *first = list_first(&sim.active);
    uint32_t budget = below(most + 1);
    struct model_queue *q = some_queue();
    bool more;

    if (first != NULL && chance(80))
        q = queue_owner(queue_from_active(first));
    model_deliver(q, budget);
    more = queue_deliver(q->real, budget, 0, &sim.effects);
    settle_world(q);
    require(more == q->active, "deliver says %d", more);
}

static void refill_pool(struct model_pool *p)
{
    bool expected;

    expected = p->starved && (p->limit == 0 || p->in_use < p->limit);
    require(credit_pool_take_starved(p->real) == expected, "starved mark of a pool");
    if (!expected)
        return;
    p->starved = false;
    for (struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++) {
        if (c->real == NULL || c->pool != p)
            continue;
        c->starved = false;
        model_update_turn(c);
        consumer_pool_refilled(c->real);
        settle_world(c->queue);
    }
}

static void command_settle(void)
{
    static const enum settle_outcome outcomes[] = {SETTLE_ACK, SETTLE_ACK, SETTLE_REQUEUE,
                                                   SETTLE_REJECT};
    struct model_consumer *c = some_consumer();
    enum settle_outcome outcome = outcomes[below(4)];
    uint64_t first, last;
    uint32_t settled;

    if (c == NULL)
        return;
    first = below((uint32_t)c->count + 2);
    last = chance(50) ? first : first + below(1 + (uint32_t)c->count);
    if (chance(10))
        first = 0;
    settled = model_settle(c, first, last, outcome);
    require(consumer_settle(c->real, first, last, outcome, 0, &sim.effects) == settled,
            "settled not %" PRIu32, settled);
    settle_world(c->queue);
    if (c->pool != NULL)
        refill_pool(c->pool);
}

static void command_consume(void)
{
    struct model_consumer *c = &sim.consumers[below(CONSUMERS)];
    struct model_queue *q = some_queue();
    bool refused;

    if (c->real != NULL)
        return;
    *c = (struct model_consumer){.queue = q};
    c->options.no_ack = chance(20);
    c->options.exclusive = chance(10);
    c->options.getter = chance(20);
    c->options.priority = (int32_t)below(4) - 2;
    c->options.prefetch = below(5) * below(5);
    if (c->options.getter)
        c->options.no_ack = false;
    if (!c->options.getter && chance(40)) {
        struct model_pool *p = &sim.pools[below(POOLS)];

        c->options.pool = p->real;
        c->pool = c->options.no_ack ? NULL : p;
    }
    refused = !c->options.getter &&
              (model_in_exclusive_use(q) || (c->options.exclusive && model_consumer_count(q) != 0));

    c->real = queue_consume(q->real, &c->options, c);
    require((c->real == NULL) == refused, "consume");
    if (c->real == NULL)
        return;
    require(consumer_session(c->real) == c && consumer_queue(c->real) == q->real &&
                consumer_no_ack(c->real) == c->options.no_ack,
            "what a consumer says of itself");
    model_update_turn(c);
    settle_world(q);
}

static void command_cancel(void)
{
    struct model_consumer *c = some_consumer();

    if (c == NULL)
        return;
    if (model_stop(c))
        expect(EFFECT_UNUSED, c->queue);
    consumer_cancel(c->real, &sim.effects);
    settle_world(c->queue);
}

static void release(struct model_consumer *c)
{
    bool unused = model_stop(c);

    model_settle(c, 0, UINT64_MAX, SETTLE_REQUEUE);
    if (unused)
        expect(EFFECT_UNUSED, c->queue);
    consumer_release(c->real, 0, &sim.effects);
    c->real = NULL;
    settle_world(c->queue);
    if (c->pool != NULL)
        refill_pool(c->pool);
}

static void command_release(void)
{
    struct model_consumer *c = some_consumer();

    if (c != NULL)
        release(c);
}

static void command_pause(bool pause)
{
    struct model_consumer *c = some_consumer();

    if (c == NULL)
        return;
    c->paused = pause;
    model_update_turn(c);
    if (pause)
        consumer_pause(c->real);
    else
        consumer_resume(c->real);
    settle_world(c->queue);
}

static enum queue_get_outcome model_get(struct model_queue *q, struct model_consumer *c)
{
    enum queue_get_outcome outcome = QUEUE_GET_MESSAGE;

    if (model_first_ready(q) == 0)
        return QUEUE_GET_EMPTY;
    if (model_can_hand_out(q))
        model_hand_out(q, model_first_ready(q), c, expect(EFFECT_DELIVER, q));
    else
        outcome = QUEUE_GET_WAIT;
    model_fetch_ahead(q);
    return outcome;
}

static void command_get(void)
{
    struct model_consumer *c = some_consumer();
    struct model_queue *q = some_queue();
    enum queue_get_outcome outcome;
    struct effect *got;

    if (c != NULL && c->options.getter)
        q = c->queue;
    else
        c = NULL;
    got = effects_add(&sim.effects, EFFECT_UNUSED, NULL);
    outcome = model_get(q, c);
    require(queue_get(q->real, c != NULL ? c->real : NULL, 0, got, &sim.effects) == outcome, "get");
    if (outcome != QUEUE_GET_MESSAGE) {
        sim.effects.count--;
        memmove(sim.effects.items, sim.effects.items + 1,
                sim.effects.count * sizeof(*sim.effects.items));
    }
    settle_world(q);
}

/* All its ready messages are gone, with their locations. */
static void model_clear(struct model_queue *q)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        struct model_entry *entry = &q->entries[i];

        if (entry->state != ENTRY_READY)
            continue;
        entry->state = ENTRY_GONE;
        if (!store_location_is_none(entry->location))
            require(!sim.store[entry->location.offset].live, "a location is not released");
    }
}

static void command_purge(void)
{
    struct model_queue *q = some_queue();
    uint32_t ready = model_ready_count(q);

    require(queue_purge(q->real, release_location, NULL) == ready, "purged not %" PRIu32, ready);
    model_clear(q);
    settle_world(q);
}

static struct store_location answer_page(void *context, struct message *m)
{
    uint32_t asked = sim.pages_asked++;

    (void)context;
    require(asked < sim.page_count && sim.paged[asked] == m, "another message is to be paged");
    return sim.pages[asked];
}

/* A message that waits is looked at: the paging file may be full. */
static void model_page_out_one(struct model_entry *entry)
{
    if (entry->paged)
        return;
    if (store_location_is_none(entry->location)) {
        if (!chance(10))
            entry->location = store_message(entry->message);
        sim.paged[sim.page_count] = entry->message;
        sim.pages[sim.page_count++] = entry->location;
    }
    entry->paged = !store_location_is_none(entry->location);
}

/* Many that came back are treated as the restored are. */
static void model_merge_returned(struct model_queue *q, uint32_t keep_first)
{
    uint32_t returned = 0;
    uint32_t restored = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        returned += q->entries[i].state == ENTRY_READY && q->entries[i].deliveries != 0 &&
                    !q->entries[i].restored;
        restored += q->entries[i].state == ENTRY_READY && q->entries[i].restored;
    }
    if (returned <= keep_first || returned < restored / 16)
        return;
    for (uint32_t i = q->count; i-- > q->first_left;) {
        struct model_entry *entry = &q->entries[i];

        if (entry->state != ENTRY_READY || entry->deliveries == 0 || entry->restored)
            continue;
        entry->restored = true;
        if (i + 1 < q->restored_page_next)
            q->restored_page_next = i + 1;
    }
}

static bool model_has_restored_in_memory(const struct model_queue *q)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].state == ENTRY_READY && q->entries[i].restored && !q->entries[i].paged)
            return true;
    }
    return false;
}

/* Returns how many of `max` are left. */
static uint32_t model_page_out_restored(struct model_queue *q, uint32_t keep_first, uint32_t up_to,
                                        uint32_t max)
{
    uint32_t place = 0;

    if (!model_has_restored_in_memory(q))
        return max;
    for (uint32_t i = q->first_left; i < q->count && i + 1 <= up_to && max != 0; i++) {
        struct model_entry *entry = &q->entries[i];

        if (entry->state != ENTRY_READY || !entry->restored)
            continue;
        if (place++ < keep_first || i + 1 < q->restored_page_next)
            continue;
        q->restored_page_next = i + 2;
        if (entry->paged)
            continue;
        max--;
        model_page_out_one(entry);
    }
    return max;
}

static void model_page_out(struct model_queue *q, uint32_t keep_first, uint32_t up_to, uint32_t max)
{
    uint32_t ready = model_ready_count(q);
    uint32_t to_keep = keep_first;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        /* What came back counts as being in front. */
        if (q->entries[i].state == ENTRY_READY && q->entries[i].deliveries != 0 && to_keep != 0)
            to_keep--;
    }
    if (keep_first >= ready)
        return;
    for (uint32_t i = q->first_left; i < q->count && i + 1 <= up_to && max != 0; i++) {
        if (!model_is_waiting(&q->entries[i]))
            continue;
        if (to_keep != 0) {
            to_keep--;
            continue;
        }
        if (i + 1 < q->page_next)
            continue;
        model_page_out_one(&q->entries[i]);
        q->page_next = i + 2;
        max--;
    }
}

static void command_page_out(uint32_t most)
{
    struct model_queue *q = some_queue();
    uint32_t keep_first = below(3) * below(1 + most);
    uint32_t up_to = chance(80) ? q->count : q->first_left + below(1 + most);
    uint32_t max = below(1 + 4 * most);

    if (chance(10)) {
        q->page_next = 0;
        q->restored_page_next = 0;
        queue_page_again(q->real);
    }
    sim.page_count = 0;
    sim.pages_asked = 0;
    model_merge_returned(q, keep_first);
    model_page_out(q, keep_first, up_to, model_page_out_restored(q, keep_first, up_to, max));
    /* The test has a reference to every message. */
    require(queue_page_out(q->real, keep_first, up_to, max, answer_page, NULL) == 0,
            "bytes given back");
    require(sim.pages_asked == sim.page_count, "asked to page %" PRIu32 " messages not %" PRIu32,
            sim.pages_asked, sim.page_count);
    settle_world(q);
}

static struct model_fetch *free_fetch(void)
{
    for (struct model_fetch *f = sim.fetches; f < sim.fetches + FETCHES; f++) {
        if (f->queue == NULL)
            return f;
    }
    return NULL;
}

/* Lists those of one part that are missing among the next `max` from its first missing one on.
 * Returns how many of `max` that leaves. */
static uint32_t model_list(const struct model_queue *q, bool restored, uint32_t max,
                           struct model_fetch *f)
{
    bool found = false;

    for (uint32_t i = q->first_left; i < q->count && max != 0; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (restored ? entry->state != ENTRY_READY || !entry->restored : !model_is_waiting(entry))
            continue;
        found = found || entry->paged;
        if (!found)
            continue;
        max--;
        if (!entry->paged)
            continue;
        f->sequences[f->count] = i + 1;
        f->locations[f->count++] = entry->location;
    }
    return max;
}

/* Starts a read, whether or not one was asked for: it may be a second attempt. */
static void command_fetch(uint32_t most)
{
    struct model_queue *q = some_queue();
    struct model_fetch *f = free_fetch();
    uint64_t sequences[FETCH_MAX];
    struct store_location locations[FETCH_MAX];
    uint32_t max = 1 + below(most < FETCH_MAX ? most : FETCH_MAX);
    uint32_t count;

    if (f == NULL || (!q->fetching && chance(80)))
        return;
    f->count = 0;
    model_list(q, false, model_list(q, true, max, f), f);
    q->fetching = f->count != 0;
    count = queue_fetch_list(q->real, max, UINT64_MAX, sequences, locations);
    require(count == f->count, "%" PRIu32 " to be fetched instead of %" PRIu32, count, f->count);
    for (uint32_t i = 0; i < count; i++) {
        require(sequences[i] == f->sequences[i], "%" PRIu64 " is to be fetched", sequences[i]);
        require(same_location(locations[i], f->locations[i]), "location to be fetched");
    }
    f->queue = count != 0 ? q : NULL;
    f->generation = q->generation;
    settle_world(q);
}

/* The outcome of a read for one message. Returns the message, or NULL when it is lost. */
static struct message *model_fetched_one(struct model_queue *q, uint64_t sequence,
                                         struct store_location location)
{
    struct model_entry *entry = &q->entries[sequence - 1];
    bool wanted = entry->state == ENTRY_READY && entry->paged;

    if (!chance(3)) {
        if (wanted)
            entry->paged = false;
        return message_ref(sim.store[location.offset].message);
    }
    if (wanted) {
        expect_stored(EFFECT_SETTLED, q, (uint32_t)sequence);
        q->lost_bytes += entry->message->body_size;
        entry->state = ENTRY_GONE;
    }
    return NULL;
}

static void shuffle_fetch(struct model_fetch *f)
{
    for (uint32_t i = f->count; i > 1; i--) {
        uint32_t j = below(i);
        uint64_t sequence = f->sequences[j];
        struct store_location location = f->locations[j];

        f->sequences[j] = f->sequences[i - 1];
        f->locations[j] = f->locations[i - 1];
        f->sequences[i - 1] = sequence;
        f->locations[i - 1] = location;
    }
}

/* Any read ends, with all it was to read or a part, in any order. */
static void command_fetched(void)
{
    struct model_fetch *f = &sim.fetches[below(FETCHES)];
    struct message *messages[FETCH_MAX];
    struct model_queue *q = f->queue;

    f->queue = NULL;
    if (q == NULL || f->generation != q->generation)
        return;
    if (chance(20))
        shuffle_fetch(f);
    if (chance(10))
        f->count = below(f->count + 1);
    for (uint32_t i = 0; i < f->count; i++)
        messages[i] = model_fetched_one(q, f->sequences[i], f->locations[i]);
    q->fetching = false;
    queue_fetched(q->real, f->sequences, messages, f->count, &sim.effects);
    settle_world(q);
}

static void command_relocate(uint32_t most)
{
    struct model_queue *q = some_queue();

    for (uint32_t n = below(1 + most); n != 0; n--) {
        uint32_t sequence = q->first_left + below(q->count - q->first_left + 2);
        struct model_entry *entry =
            sequence > 0 && sequence <= q->count ? &q->entries[sequence - 1] : NULL;
        bool held =
            entry != NULL && entry->state != ENTRY_GONE && !store_location_is_none(entry->location);
        struct store_location from = held ? entry->location : NOWHERE;
        struct store_location to;

        if (!held || chance(10)) {
            from = (struct store_location){.segment = 7, .offset = UINT32_MAX};
            held = false;
        }
        to = held ? store_message(entry->message) : from;
        if (store_location_is_none(to))
            return;
        require(queue_relocate(q->real, sequence, from, to) == held, "relocate %" PRIu32, sequence);
        if (held) {
            sim.store[from.offset].live = false;
            entry->location = to;
        }
    }
    settle_world(q);
}

static void command_limit_pool(void)
{
    struct model_pool *p = &sim.pools[below(POOLS)];

    p->limit = below(6);
    atomic_store(&p->real->limit, p->limit);
    refill_pool(p);
}

static void require_walk(struct model_queue *q)
{
    uint32_t walked = 0;
    uint32_t expected = 0;

    for (struct consumer *c = queue_first_consumer(q->real); c != NULL;
         c = queue_next_consumer(q->real, c)) {
        const struct model_consumer *m = consumer_session(c);

        require(m->real == c && m->queue == q, "a consumer of another queue");
        walked++;
    }
    for (const struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++)
        expected += c->real != NULL && c->queue == q;
    require(walked == expected, "walked over %" PRIu32 " consumers", walked);
}

static void create_queue(struct model_queue *q)
{
    q->options =
        (struct queue_options){.auto_delete = chance(50), .has_dead_letter_exchange = chance(50)};
    q->count = 0;
    q->first_left = 0;
    q->active = false;
    q->fetching = false;
    q->page_next = 0;
    q->restored_page_next = 0;
    q->lost_bytes = 0;
    q->generation++;
    q->real = queue_create(&q->options, q, &sim.active);
}

static void release_consumers(struct model_queue *q)
{
    struct consumer *c;

    require_walk(q);
    while ((c = queue_first_consumer(q->real)) != NULL)
        release(consumer_session(c));
}

static void destroy_queue(struct model_queue *q)
{
    release_consumers(q);
    queue_destroy(q->real, release_location, NULL);
    model_clear(q);
    q->real = NULL;
    model_update_active(q);
    require_active_list();
}

static void command_recreate(void)
{
    struct model_queue *q = some_queue();

    destroy_queue(q);
    create_queue(q);
}

static void restore_entry(struct model_queue *q, uint32_t sequence)
{
    struct model_entry *entry = &q->entries[sequence - 1];

    if (store_location_is_none(entry->location))
        entry->state = ENTRY_GONE;
    if (entry->state == ENTRY_GONE)
        return;
    /* The record of a delivery may outlive those of deliveries before it. */
    if (chance(2))
        entry->deliveries++;
    entry->paged = !chance(5);
    entry->restored = entry->deliveries != 0;
    require(queue_restore(q->real, sequence, entry->paged ? NULL : entry->message, entry->location,
                          entry->deliveries, entry->message->body_size) == 0,
            "restore");
    if (model_is_waiting(entry) && !entry->paged)
        q->page_next = 0;
}

/* The broker ends and starts again: what has a location is there, in memory or not. */
static void command_restart(void)
{
    struct model_queue *q = some_queue();
    uint32_t missing = below(4) * below(100);

    release_consumers(q);
    queue_destroy(q->real, NULL, NULL);
    q->real = NULL;
    model_update_active(q);

    q->real = queue_create(&q->options, q, &sim.active);
    q->generation++;
    q->fetching = false;
    q->lost_bytes = 0;
    q->page_next = ENTRIES + 1;
    q->restored_page_next = 0;
    for (uint32_t sequence = q->first_left + 1; sequence <= q->count; sequence++)
        restore_entry(q, sequence);
    while (missing-- != 0 && q->count < ENTRIES)
        q->entries[q->count++] = (struct model_entry){.state = ENTRY_GONE};
    if (q->page_next != 0)
        q->page_next = q->count + 1;
    queue_restore_done(q->real, q->count + 1);
    settle_world(q);
}

struct command {
    const char *name;
    uint32_t weight;
};

enum command_index {
    ENQUEUE,
    BULK,
    DELIVER,
    SETTLE,
    CONSUME,
    CANCEL,
    RELEASE,
    PAUSE,
    RESUME,
    GET,
    PURGE,
    LIMIT,
    RECREATE,
    PAGE_OUT,
    FETCH,
    FETCHED,
    RELOCATE,
    RESTART,
    COMMANDS,
};

static const struct command commands[COMMANDS] = {
    [ENQUEUE] = {"enqueue", 25},  [BULK] = {"enqueue many", 1}, [DELIVER] = {"deliver", 30},
    [SETTLE] = {"settle", 25},    [CONSUME] = {"consume", 8},   [CANCEL] = {"cancel", 2},
    [RELEASE] = {"release", 2},   [PAUSE] = {"pause", 3},       [RESUME] = {"resume", 4},
    [GET] = {"get", 5},           [PURGE] = {"purge", 1},       [LIMIT] = {"limit a pool", 3},
    [RECREATE] = {"recreate", 1}, [PAGE_OUT] = {"page out", 5}, [FETCH] = {"fetch", 20},
    [FETCHED] = {"fetched", 30},  [RELOCATE] = {"relocate", 2}, [RESTART] = {"restart", 1},
};

static enum command_index some_command(void)
{
    uint32_t total = 0;
    uint32_t chosen;
    uint32_t i = 0;

    for (i = 0; i < COMMANDS; i++)
        total += commands[i].weight;
    chosen = below(total);
    for (i = 0; chosen >= commands[i].weight; i++)
        chosen -= commands[i].weight;
    return (enum command_index)i;
}

static void step(uint32_t scale)
{
    enum command_index command = some_command();

    current_command = commands[command].name;
    switch (command) {
    case ENQUEUE:
        command_enqueue(4 * scale);
        return;
    case BULK:
        command_enqueue(300);
        return;
    case DELIVER:
        command_deliver(10 * scale);
        return;
    case SETTLE:
        command_settle();
        return;
    case CONSUME:
        command_consume();
        return;
    case CANCEL:
        command_cancel();
        return;
    case RELEASE:
        command_release();
        return;
    case PAUSE:
        command_pause(true);
        return;
    case RESUME:
        command_pause(false);
        return;
    case GET:
        command_get();
        return;
    case PURGE:
        command_purge();
        return;
    case LIMIT:
        command_limit_pool();
        return;
    case RECREATE:
        command_recreate();
        return;
    case PAGE_OUT:
        command_page_out(10 * scale);
        return;
    case FETCH:
        command_fetch(10 * scale);
        return;
    case FETCHED:
        command_fetched();
        return;
    case RELOCATE:
        command_relocate(20 * scale);
        return;
    case RESTART:
        command_restart();
        return;
    case COMMANDS:
        return;
    }
}

static void start(uint64_t seed)
{
    random_sequence_seed(&sim.random, seed);
    list_init(&sim.active);
    effects_init(&sim.effects);
    sim.message_count = 0;
    sim.expected_count = 0;
    sim.location_count = 0;
    sim.stored_percent = chance(30) ? 0 : 50 * (1 + below(2));
    sim.clock = 0;
    for (struct model_fetch *f = sim.fetches; f < sim.fetches + FETCHES; f++)
        f->queue = NULL;
    for (struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++)
        c->real = NULL;
    for (struct model_pool *p = sim.pools; p < sim.pools + POOLS; p++)
        *p = (struct model_pool){.real = credit_pool_create()};
    for (struct model_queue *q = sim.queues; q < sim.queues + QUEUES; q++)
        create_queue(q);
}

static void finish(void)
{
    current_command = "the end";
    for (struct model_queue *q = sim.queues; q < sim.queues + QUEUES; q++)
        destroy_queue(q);
    for (struct model_pool *p = sim.pools; p < sim.pools + POOLS; p++) {
        require(atomic_load(&p->real->in_use) == 0, "credit is lost");
        require(atomic_load(&p->real->references) == 1, "a pool has a reference too many");
        credit_pool_unref(p->real);
    }
    for (uint32_t i = 0; i < sim.message_count; i++) {
        require(atomic_load(&sim.messages[i]->references) == 1,
                "message %" PRIu32 " of %" PRIu32 " has a reference too many", i,
                sim.message_count);
        message_unref(sim.messages[i]);
    }
    for (uint32_t i = 0; i < sim.location_count; i++)
        require(!sim.store[i].live, "location %" PRIu32 " is not released", i);
    effects_free(&sim.effects);
    sequence_list_free(&sim.kept);
}

/* Most runs are short and narrow, so that rules meet; some are long and wide, so that chunks,
 * rings and heaps grow and shrink. */
static void simulate(uint64_t seed)
{
    uint32_t scale;
    uint32_t steps;

    current_seed = seed;
    seed_line_size = (size_t)snprintf(seed_line, sizeof(seed_line),
                                      "LEVERET_SIMULATION_SEED=%" PRIu64 " fails\n", seed);
    current_step = 0;
    current_command = "the start";
    start(seed);
    scale = chance(3) ? 20 : 1;
    steps = 100 + below(200) + (scale != 1 ? 500 : 0);
    while (current_step < steps) {
        step(scale);
        current_step++;
    }
    finish();
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(core_does_what_the_model_does)
{
    uint64_t first = number_from_environment("LEVERET_SIMULATION_SEED", 1);
    uint64_t count = number_from_environment(
        "LEVERET_SIMULATION_SEEDS", getenv("LEVERET_SIMULATION_SEED") != NULL ? 1 : DEFAULT_SEEDS);

    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(say_seed);
    for (uint64_t seed = first; seed < first + count; seed++)
        simulate(seed);
}
END_TEST

UNIT_MAIN("simulation", core_does_what_the_model_does)
