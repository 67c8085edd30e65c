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
#define TRIMMED_FOR_ONE 64 /* at most, while a new limit is not reached yet */
#define LANES 4            /* of a queue with priorities */
#define NOWHERE ((struct store_location){.segment = 0})

enum entry_state { ENTRY_READY, ENTRY_UNACKED, ENTRY_GONE };

struct model_entry {
    struct message *message;
    uint32_t lane;
    uint64_t sequence; /* ascending in its lane */
    enum entry_state state;
    uint32_t deliveries;
    struct store_location location;
    int64_t expiry_ms;
    bool paged; /* not in memory */
};

struct model_queue {
    struct queue *real;
    struct queue_options options;
    struct queue_rules rules;
    struct model_entry entries[ENTRIES]; /* in the order they came; number n is at n - 1 */
    uint32_t count;
    uint64_t next_sequence[LANES];
    uint32_t first_left; /* all before it are gone */
    bool active;
    uint64_t active_since;
    bool fetching;
    uint64_t page_next[LANES];           /* paging goes on here */
    uint64_t delivered_page_next[LANES]; /* and here among what was delivered before */
    uint64_t paged_bytes[LANES];         /* taken for those of the messages not in memory */
    uint64_t taken_below[LANES]; /* behind the last that left while others waited before it */
    int64_t timer_ms;            /* asked for */
    int64_t used_ms;
    uint32_t letters;            /* dead letters that wait to be confirmed */
    uint32_t letter_bytes;       /* of their bodies */
    struct model_consumer *sole; /* the single active consumer */
    bool trimming;               /* since a new limit */
    uint64_t expired;            /* deliveries that were taken back */
    uint64_t extended;
    uint32_t generation; /* of `real` */
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
    uint64_t age;              /* when it came */
    uint64_t turn;             /* among able equals the lowest is next */
    uint32_t numbers[ENTRIES]; /* the message under number n is at n - 1, 0 when settled */
    int64_t due_ms[ENTRIES];   /* when it goes back */
    bool moved[ENTRIES];       /* its time is not in the order of the numbers */
    int64_t latest_ms;         /* of those in order */
    int64_t timer_ms;          /* asked for */
    uint64_t count;
    uint32_t unacked;
    uint32_t paged;       /* of them not in memory */
    uint64_t paged_bytes; /* taken for those */
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
    uint32_t expiring_percent;
    struct model_fetch fetches[FETCHES];
    struct store_location pages[ENTRIES]; /* what the page function is to answer */
    struct message *paged[ENTRIES];       /* and for which message */
    uint32_t page_count;
    uint32_t pages_asked;
    struct sequence_list kept;
    uint64_t clock; /* orders turns and activations */
    int64_t now_ms;
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

static bool model_is_able(const struct model_consumer *c)
{
    if (c->real == NULL || c->options.getter || c->cancelled || c->paused || c->starved)
        return false;
    if (c->queue->rules.single_active_consumer && c->queue->sole != c)
        return false;
    return c->options.no_ack || c->options.prefetch == 0 || c->unacked < c->options.prefetch;
}

static void model_update_turn(struct model_consumer *c)
{
    bool able = model_is_able(c);

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

/* The oldest of the highest priority. */
static uint32_t model_first_ready(const struct model_queue *q)
{
    uint32_t first = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].state == ENTRY_READY &&
            (first == 0 || q->entries[i].lane > q->entries[first - 1].lane))
            first = i + 1;
    }
    return first;
}

static bool model_is_waiting(const struct model_entry *entry)
{
    return entry->state == ENTRY_READY && entry->deliveries == 0;
}

/* The sequence number of the first of a lane that waits for its first delivery. */
static uint64_t model_head(const struct model_queue *q, uint32_t lane)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].lane == lane && model_is_waiting(&q->entries[i]))
            return q->entries[i].sequence;
    }
    return q->next_sequence[lane];
}

static uint32_t model_lanes(const struct model_queue *q)
{
    return q->rules.max_priority + 1u;
}

static struct model_entry *model_find(struct model_queue *q, uint64_t sequence)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].sequence == sequence)
            return &q->entries[i];
    }
    return NULL;
}

static bool model_can_hand_out(const struct model_queue *q)
{
    uint32_t first = model_first_ready(q);

    return first != 0 && !q->entries[first - 1].paged;
}

static uint32_t model_paged_in_lane(const struct model_queue *q, uint32_t lane)
{
    uint32_t paged = 0;

    for (uint32_t i = q->first_left; i < q->count; i++)
        paged +=
            q->entries[i].state == ENTRY_READY && q->entries[i].paged && q->entries[i].lane == lane;
    return paged;
}

static uint32_t model_paged_count(const struct model_queue *q)
{
    uint32_t paged = 0;

    for (uint32_t lane = 0; lane < model_lanes(q); lane++)
        paged += model_paged_in_lane(q, lane);
    return paged;
}

/* How many messages of a lane come before the first one that is not in memory: what came back, and
 * the waiting ones by their numbers. All when all are. */
static uint64_t model_ahead_in_lane(const struct model_queue *q, uint32_t lane, bool *all)
{
    uint32_t delivered_loaded = 0;
    uint32_t ready = 0;
    uint64_t first_waiting = UINT64_MAX;
    uint64_t first_delivered = UINT64_MAX;

    *all = true;
    for (uint32_t i = q->first_left; i < q->count; i++) {
        const struct model_entry *entry = &q->entries[i];
        uint64_t *first = model_is_waiting(entry) ? &first_waiting : &first_delivered;

        if (entry->state != ENTRY_READY || entry->lane != lane)
            continue;
        ready++;
        *all = *all && !entry->paged;
        if (entry->paged && *first == UINT64_MAX)
            *first = entry->sequence;
        delivered_loaded += !model_is_waiting(entry) && first_delivered == UINT64_MAX;
    }
    if (*all)
        return ready;
    if (first_delivered < first_waiting)
        return delivered_loaded;
    return delivered_loaded + first_waiting - model_head(q, lane);
}

static uint64_t model_ahead(const struct model_queue *q)
{
    uint64_t ahead = 0;
    bool all = true;

    for (uint32_t lane = model_lanes(q); lane-- != 0 && all;)
        ahead += model_ahead_in_lane(q, lane, &all);
    return ahead;
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

/* RabbitMQ "Single Active Consumer": of the highest priority, of equals the oldest. */
static void model_choose_sole(struct model_queue *q)
{
    struct model_consumer *best = NULL;

    for (struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++) {
        if (c->real == NULL || c->queue != q || c->options.getter || c->cancelled)
            continue;
        if (best == NULL || c->options.priority > best->options.priority ||
            (c->options.priority == best->options.priority && c->age < best->age))
            best = c;
    }
    q->sole = best;
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
    e->sequence = entry->sequence;
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

static void model_ask_timer(struct model_queue *q, int64_t due_ms)
{
    if (due_ms >= q->timer_ms)
        return;
    q->timer_ms = due_ms;
    expect(EFFECT_TIMER, q)->due_ms = due_ms;
}

static uint64_t model_bytes(const struct model_queue *q)
{
    uint64_t bytes = 0;

    for (uint32_t lane = 0; lane < LANES; lane++)
        bytes += q->paged_bytes[lane];

    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].state == ENTRY_READY && !q->entries[i].paged)
            bytes += q->entries[i].message->body_size;
    }
    return bytes;
}

/* A ready message, or one that just came back, leaves for a reason of the queue's. */
static void model_end(struct model_queue *q, uint32_t sequence, enum dead_letter_reason reason)
{
    struct model_entry *entry = &q->entries[sequence - 1];
    struct effect *dead;

    entry->state = ENTRY_GONE;
    if (q->options.has_dead_letter_exchange) {
        dead = expect(EFFECT_DEAD_LETTER, q);
        dead->reason = reason;
        dead->delivery_count = entry->deliveries;
        dead->message = entry->paged ? NULL : entry->message;
        dead->sequence = entry->sequence;
        dead->location = entry->location;
        if (entry->paged)
            return;
    }
    expect_stored(EFFECT_SETTLED, q, sequence);
}

/* A waiting one leaves out of order. */
static void model_taken(struct model_queue *q, const struct model_entry *entry)
{
    if (entry->sequence >= q->taken_below[entry->lane])
        q->taken_below[entry->lane] = entry->sequence + 1;
}

/* As model_end(), for one that is ready: nobody knows the size of one that is not in memory. */
static void model_end_ready(struct model_queue *q, uint32_t sequence,
                            enum dead_letter_reason reason)
{
    struct model_entry *entry = &q->entries[sequence - 1];

    if (entry->paged)
        q->paged_bytes[entry->lane] -=
            q->paged_bytes[entry->lane] / model_paged_in_lane(q, entry->lane);
    if (entry->deliveries == 0 && entry->sequence != model_head(q, entry->lane))
        model_taken(q, entry);
    model_end(q, sequence, reason);
}

/* What is first ends if it has expired. */
static bool model_can_take(struct model_queue *q, int64_t now_ms)
{
    uint32_t first;

    while ((first = model_first_ready(q)) != 0) {
        if (q->entries[first - 1].expiry_ms > now_ms)
            return !q->entries[first - 1].paged;
        model_end_ready(q, first, DEAD_LETTER_EXPIRED);
    }
    return false;
}

/* The ready message that expires next, or 0. */
static uint32_t model_next_to_expire(const struct model_queue *q)
{
    uint32_t next = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (entry->state == ENTRY_READY && entry->expiry_ms != EXPIRY_NEVER &&
            (next == 0 || entry->expiry_ms < q->entries[next - 1].expiry_ms ||
             (entry->expiry_ms == q->entries[next - 1].expiry_ms &&
              entry->sequence < q->entries[next - 1].sequence)))
            next = i + 1;
    }
    return next;
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

static int64_t model_visibility_ms(const struct model_consumer *c)
{
    if (c->options.no_ack)
        return EXPIRY_NEVER;
    if (c->options.visibility_timeout_ms != 0)
        return c->options.visibility_timeout_ms;
    return c->queue->rules.visibility_timeout_ms;
}

static void model_ask_consumer_timer(struct model_consumer *c, int64_t due_ms)
{
    struct effect *timer;

    if (due_ms >= c->timer_ms)
        return;
    c->timer_ms = due_ms;
    timer = expect(EFFECT_CONSUMER_TIMER, c->queue);
    timer->consumer = c->real;
    timer->due_ms = due_ms;
}

/* The last delivery begins to wait for its settlement. */
static void model_watch(struct model_consumer *c, int64_t now_ms)
{
    int64_t timeout_ms = model_visibility_ms(c);
    uint64_t last = c->count - 1;

    c->due_ms[last] = timeout_ms != EXPIRY_NEVER ? now_ms + timeout_ms : EXPIRY_NEVER;
    if (timeout_ms == EXPIRY_NEVER)
        return;
    if (c->unacked == 1)
        c->latest_ms = 0;
    c->moved[last] = c->due_ms[last] < c->latest_ms;
    if (!c->moved[last])
        c->latest_ms = c->due_ms[last];
    model_ask_consumer_timer(c, c->due_ms[last]);
}

/* The number of the delivery that goes back next, 0 when none does. */
static uint64_t model_next_due(const struct model_consumer *c)
{
    uint64_t next = 0;

    for (uint64_t n = 1; n <= c->count; n++) {
        if (c->numbers[n - 1] == 0 || c->due_ms[n - 1] == EXPIRY_NEVER)
            continue;
        if (next == 0 || c->due_ms[n - 1] < c->due_ms[next - 1] ||
            (c->due_ms[n - 1] == c->due_ms[next - 1] && c->moved[next - 1] && !c->moved[n - 1]))
            next = n;
    }
    return next;
}

/* Gives the entry to `c`, or, when that is NULL, to a basic.get without acknowledgement. */
static void model_hand_out(struct model_queue *q, uint32_t sequence, struct model_consumer *c,
                           int64_t now_ms, struct effect *out)
{
    struct model_entry *entry = &q->entries[sequence - 1];

    out->message = entry->message;
    out->sequence = entry->sequence;
    out->location = entry->location;
    out->delivery_count = entry->deliveries;
    out->redelivered = entry->deliveries != 0;
    entry->deliveries++;
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
    model_watch(c, now_ms);
}

static uint32_t model_hand_out_some(struct model_queue *q, uint32_t budget, int64_t now_ms)
{
    uint32_t delivered = 0;

    while (delivered < budget && model_can_take(q, now_ms)) {
        struct model_consumer *c = model_next_consumer(q);

        if (c == NULL)
            break;
        if (model_take_credit(c)) {
            model_hand_out(q, model_first_ready(q), c, now_ms, expect(EFFECT_DELIVER, q));
            c->turn = sim.clock++;
            delivered++;
        }
        model_update_turn(c);
    }
    return delivered;
}

static void model_serve(struct model_queue *q, int64_t now_ms)
{
    if (model_next_consumer(q) != NULL)
        model_hand_out_some(q, UINT32_MAX, now_ms);
}

static void model_deliver(struct model_queue *q, uint32_t budget)
{
    if (model_hand_out_some(q, budget, sim.now_ms) != 0 || model_next_consumer(q) != NULL)
        model_fetch_ahead(q);
}

static bool model_exceeds(const struct model_queue *q, uint32_t messages, uint32_t bytes)
{
    return model_ready_count(q) + q->letters + messages > q->rules.max_length ||
           model_bytes(q) + q->letter_bytes + bytes > q->rules.max_length_bytes;
}

static bool model_drops_head(const struct model_queue *q)
{
    return q->rules.overflow == OVERFLOW_DROP_HEAD &&
           (q->rules.max_length != UINT64_MAX || q->rules.max_length_bytes != UINT64_MAX);
}

static void model_drop_head(struct model_queue *q, uint32_t budget)
{
    while (budget-- != 0 && model_exceeds(q, 0, 0) && model_first_ready(q) != 0)
        model_end_ready(q, model_first_ready(q), DEAD_LETTER_MAXLEN);
}

static void model_trim(struct model_queue *q, uint32_t budget)
{
    if (!q->trimming)
        return;
    model_drop_head(q, budget);
    q->trimming = model_exceeds(q, 0, 0) && model_first_ready(q) != 0;
}

static void model_keep_limits(struct model_queue *q)
{
    if (model_drops_head(q))
        model_drop_head(q, q->trimming ? TRIMMED_FOR_ONE : UINT32_MAX);
}

/* What is due ends in the order of time, before `timer` the next time is asked for. */
static void model_expire(struct model_queue *q)
{
    uint32_t next;

    while ((next = model_next_to_expire(q)) != 0 && q->entries[next - 1].expiry_ms <= sim.now_ms)
        model_end_ready(q, next, DEAD_LETTER_EXPIRED);
}

static void model_settle_one(struct model_consumer *c, uint32_t sequence,
                             enum settle_outcome outcome)
{
    struct model_queue *q = c->queue;
    struct model_entry *entry = &q->entries[sequence - 1];
    uint64_t paged_bytes = 0;

    c->unacked--;
    if (entry->paged) {
        paged_bytes = c->paged_bytes / c->paged--;
        c->paged_bytes -= paged_bytes;
    }
    if (c->pool != NULL)
        c->pool->in_use--;
    switch (outcome) {
    case SETTLE_ACK:
        entry->state = ENTRY_GONE;
        expect_stored(EFFECT_SETTLED, q, sequence);
        return;
    case SETTLE_REJECT:
        entry->deliveries--;
        model_end(q, sequence, DEAD_LETTER_REJECTED);
        return;
    case SETTLE_REQUEUE:
        if (entry->deliveries > q->rules.delivery_limit) {
            model_end(q, sequence, DEAD_LETTER_DELIVERY_LIMIT);
        } else if (entry->expiry_ms <= sim.now_ms) {
            model_end(q, sequence, DEAD_LETTER_EXPIRED);
        } else {
            entry->state = ENTRY_READY;
            q->paged_bytes[entry->lane] += paged_bytes;
            if (entry->sequence < q->delivered_page_next[entry->lane])
                q->delivered_page_next[entry->lane] = entry->sequence;
            expect_stored(EFFECT_RETURNED, q, sequence);
            if (entry->expiry_ms != EXPIRY_NEVER)
                model_ask_timer(q, entry->expiry_ms);
        }
        return;
    }
}

static uint32_t model_settle(struct model_consumer *c, uint64_t first, uint64_t last,
                             enum settle_outcome outcome)
{
    uint32_t settled = 0;

    if (outcome == SETTLE_REQUEUE && model_drops_head(c->queue)) {
        model_serve(c->queue, sim.now_ms);
        model_update_active(c->queue);
    }
    for (uint64_t n = 1; n <= c->count; n++) {
        if (n < first || n > last || c->numbers[n - 1] == 0)
            continue;
        model_settle_one(c, c->numbers[n - 1], outcome);
        c->numbers[n - 1] = 0;
        settled++;
    }
    model_update_turn(c);
    if (settled != 0 && outcome == SETTLE_REQUEUE)
        model_keep_limits(c->queue);
    return settled;
}

/* The delivery goes back, whoever took it; `told` is the effect that tells of those before it. */
static struct effect *model_take_back(struct model_consumer *c, uint64_t number,
                                      struct effect *told)
{
    if (told == NULL || told->sequence + 1 != number) {
        told = expect(EFFECT_TAKEN_BACK, c->queue);
        told->consumer = c->real;
        told->number = number;
    }
    told->sequence = number;
    model_settle_one(c, c->numbers[number - 1], SETTLE_REQUEUE);
    c->numbers[number - 1] = 0;
    return told;
}

static void model_begin_taking_back(struct model_consumer *c)
{
    if (!model_drops_head(c->queue))
        return;
    model_serve(c->queue, sim.now_ms);
    model_update_active(c->queue);
}

static void model_end_taking_back(struct model_consumer *c, uint32_t taken)
{
    model_update_turn(c);
    if (taken != 0)
        model_keep_limits(c->queue);
}

static void model_take_back_due(struct model_consumer *c, uint32_t budget)
{
    struct effect *told = NULL;
    uint64_t next = model_next_due(c);
    uint32_t taken = 0;

    if (next == 0 || c->due_ms[next - 1] > sim.now_ms)
        return;
    model_begin_taking_back(c);
    while (taken < budget && (next = model_next_due(c)) != 0 && c->due_ms[next - 1] <= sim.now_ms) {
        told = model_take_back(c, next, told);
        taken++;
    }
    model_end_taking_back(c, taken);
    c->queue->expired += taken;
}

static uint32_t model_release_now(struct model_consumer *c, uint64_t first, uint64_t last)
{
    struct effect *told = NULL;
    uint32_t taken = 0;

    model_begin_taking_back(c);
    for (uint64_t n = 1; n <= c->count; n++) {
        if (n < first || n > last || c->numbers[n - 1] == 0)
            continue;
        told = model_take_back(c, n, told);
        taken++;
    }
    model_end_taking_back(c, taken);
    return taken;
}

static uint64_t model_oldest(const struct model_consumer *c)
{
    uint64_t n = 1;

    while (c->numbers[n - 1] == 0)
        n++;
    return n;
}

static uint32_t model_extend(struct model_consumer *c, uint64_t first, uint64_t last,
                             int64_t timeout_ms)
{
    int64_t due_ms = sim.now_ms + timeout_ms;
    bool all = c->unacked != 0 && first <= model_oldest(c) && last >= c->count;
    uint32_t held = 0;
    uint64_t next;

    for (uint64_t n = 1; n <= c->count; n++) {
        if (n < first || n > last || c->numbers[n - 1] == 0)
            continue;
        held++;
        if (c->due_ms[n - 1] == EXPIRY_NEVER)
            continue;
        c->moved[n - 1] = !all;
        c->due_ms[n - 1] = due_ms;
        if (all)
            c->latest_ms = due_ms;
    }
    next = model_next_due(c);
    if (held != 0 && next != 0)
        model_ask_consumer_timer(c, c->due_ms[next - 1]);
    return held;
}

/* The queue's time to expire begins anew. */
static void model_use(struct model_queue *q)
{
    if (q->rules.expires_ms == EXPIRY_NEVER)
        return;
    q->used_ms = sim.now_ms;
    if (model_consumer_count(q) == 0)
        model_ask_timer(q, q->used_ms + q->rules.expires_ms);
}

/* Returns whether its queue is unused for it now. */
static bool model_stop(struct model_consumer *c)
{
    struct model_queue *q = c->queue;

    if (c->cancelled)
        return false;
    c->cancelled = true;
    model_update_turn(c);
    model_update_active(q);
    if (!c->options.getter && model_consumer_count(q) == 0)
        model_use(q);
    if (q->sole == c) {
        model_choose_sole(q);
        if (q->sole != NULL)
            model_update_turn(q->sole);
        model_update_active(q);
    }
    return !c->options.getter && model_consumer_count(q) == 0 && q->options.auto_delete;
}

/* What must hold after each command. */

static void require_effects(void)
{
    for (uint32_t i = 0; i < sim.effects.count && i < sim.expected_count; i++)
        require(sim.effects.items[i].type == sim.expected[i].type,
                "effect %" PRIu32 " is of type %d instead of %d", i, sim.effects.items[i].type,
                sim.expected[i].type);
    require(sim.effects.count == sim.expected_count, "%" PRIu32 " effects instead of %" PRIu32,
            sim.effects.count, sim.expected_count);
    for (uint32_t i = 0; i < sim.effects.count; i++) {
        const struct effect *is = &sim.effects.items[i];
        const struct effect *should = &sim.expected[i];

        require(is->type == should->type && is->queue == should->queue, "effect %" PRIu32, i);
        require(is->consumer == should->consumer, "consumer of effect %" PRIu32, i);
        /* Or its time. */
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

        if (e->type == EFFECT_DEAD_LETTER && e->message == NULL)
            release_location(NULL, e->location);
        else if (e->type == EFFECT_DEAD_LETTER || (e->type == EFFECT_DELIVER && e->number == 0))
            message_unref(e->message);
        if (e->type == EFFECT_SETTLED)
            release_location(NULL, e->location);
        if (e->type == EFFECT_TIMER)
            queue_set_clock(e->queue, &sim);
    }
    sim.effects.count = 0;
    sim.expected_count = 0;
}

/* What a journal would record. */
static void require_state(const struct model_queue *q, uint32_t lane)
{
    uint64_t head = model_head(q, lane);
    uint32_t kept = 0;
    uint64_t real_head;

    if (head < q->taken_below[lane])
        head = q->taken_below[lane];
    queue_state(q->real, lane, &real_head, &sim.kept);
    require(real_head == head, "head %" PRIu64 " instead of %" PRIu64, real_head, head);
    for (uint32_t i = q->first_left; i < q->count; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (entry->state == ENTRY_GONE || store_location_is_none(entry->location) ||
            entry->lane != lane || entry->sequence >= head)
            continue;
        require(kept < sim.kept.count && sim.kept.items[kept] == entry->sequence,
                "kept without %" PRIu64, entry->sequence);
        kept++;
    }
    require(kept == sim.kept.count, "%" PRIu32 " kept instead of %" PRIu32, sim.kept.count, kept);
}

/* Of those that are in memory. */
static uint64_t model_unacked_bytes(const struct model_queue *q)
{
    uint64_t bytes = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        if (q->entries[i].state == ENTRY_UNACKED && !q->entries[i].paged)
            bytes += message_footprint(q->entries[i].message);
    }
    return bytes;
}

static void require_counts(struct model_queue *q)
{
    uint64_t resident_bytes = 0;
    uint64_t bytes = model_bytes(q);
    uint32_t unacked = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
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
    require(queue_lane_count(q->real) == model_lanes(q), "lanes");
    for (uint32_t lane = 0; lane < model_lanes(q); lane++) {
        require(queue_next_sequence(q->real, lane) == q->next_sequence[lane],
                "next sequence %" PRIu64, queue_next_sequence(q->real, lane));
        require(queue_delivered_below(q->real, lane) == model_head(q, lane),
                "delivered below %" PRIu64, queue_delivered_below(q->real, lane));
        if (chance(5))
            require_state(q, lane);
    }
    require(queue_message_count(q->real) == model_ready_count(q),
            "message count %" PRIu64 " instead of %" PRIu32, queue_message_count(q->real),
            model_ready_count(q));
    require(queue_ready_bytes(q->real) == bytes, "bytes %" PRIu64 " instead of %" PRIu64,
            queue_ready_bytes(q->real), bytes);
    require(queue_unacked_count(q->real) == unacked, "unacked %" PRIu64 " instead of %" PRIu32,
            queue_unacked_count(q->real), unacked);
    require(queue_unacked_resident_bytes(q->real) == model_unacked_bytes(q),
            "unacked bytes %" PRIu64 " instead of %" PRIu64, queue_unacked_resident_bytes(q->real),
            model_unacked_bytes(q));
    require(queue_consumer_count(q->real) == model_consumer_count(q), "consumer count");
    require(queue_lease_counts(q->real).expired == q->expired, "expired deliveries");
    require(queue_lease_counts(q->real).extended == q->extended, "extended deliveries");
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
    m->priority = (uint8_t)(chance(50) ? 0 : below(2 * LANES));
    sim.messages[sim.message_count++] = m;
    return m;
}

static int64_t some_expiry(const struct model_queue *q)
{
    static const int64_t longest[] = {1, 20, 20, 2000};
    int64_t ttl_ms = q->rules.message_ttl_ms;
    int64_t expiration_ms = EXPIRY_NEVER;
    int64_t expiry_ms;

    if (chance(sim.expiring_percent))
        expiration_ms = (int64_t)below((uint32_t)longest[below(4)]);
    expiry_ms = queue_expiry(q->real, expiration_ms, sim.now_ms);
    if (expiration_ms > ttl_ms)
        expiration_ms = ttl_ms;
    if (expiration_ms != EXPIRY_NEVER)
        expiration_ms += sim.now_ms;
    require(expiry_ms == expiration_ms, "expiry %" PRId64, expiry_ms);
    return expiry_ms;
}

/* Whether the queue takes the message, by a limit that refuses. */
static bool admit(struct model_queue *q, struct message *m)
{
    bool admitted = true;

    if (!model_drops_head(q) && model_exceeds(q, 1, m->body_size)) {
        model_serve(q, sim.now_ms);
        admitted = !model_exceeds(q, 1, m->body_size);
    }
    if (!admitted && q->rules.overflow == OVERFLOW_REJECT_PUBLISH_DLX &&
        q->options.has_dead_letter_exchange) {
        struct effect *dead = expect(EFFECT_DEAD_LETTER, q);

        dead->reason = DEAD_LETTER_MAXLEN;
        dead->message = m;
    }
    require(queue_admit(q->real, m, sim.now_ms, &sim.effects) == admitted, "admission");
    settle_world(q);
    return admitted;
}

static void model_enqueued(struct model_queue *q, int64_t expiry_ms)
{
    uint32_t next;

    if (expiry_ms > sim.now_ms && !(model_drops_head(q) && model_exceeds(q, 0, 0))) {
        if (expiry_ms != EXPIRY_NEVER)
            model_ask_timer(q, expiry_ms);
        return;
    }
    model_serve(q, sim.now_ms - 1);
    if (expiry_ms <= sim.now_ms) {
        model_expire(q);
        next = model_next_to_expire(q);
        if (next != 0)
            model_ask_timer(q, q->entries[next - 1].expiry_ms);
    }
    model_keep_limits(q);
    model_fetch_ahead(q);
}

static void enqueue_one(struct model_queue *q, struct message *m)
{
    struct store_location location = NOWHERE;
    uint64_t sequence;
    int64_t expiry_ms;
    uint32_t lane = m->priority < model_lanes(q) ? m->priority : q->rules.max_priority;

    if (q->count == ENTRIES || !admit(q, m))
        return;
    if (chance(sim.stored_percent))
        location = store_message(m);
    expiry_ms = some_expiry(q);
    sequence = queue_enqueue(q->real, m, location, expiry_ms, sim.now_ms, &sim.effects);
    q->entries[q->count++] = (struct model_entry){.message = m,
                                                  .lane = lane,
                                                  .sequence = q->next_sequence[lane]++,
                                                  .state = ENTRY_READY,
                                                  .location = location,
                                                  .expiry_ms = expiry_ms};
    require(sequence == q->entries[q->count - 1].sequence, "sequence %" PRIu64, sequence);
    model_enqueued(q, expiry_ms);
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
    more = queue_deliver(q->real, budget, sim.now_ms, &sim.effects);
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
    require(consumer_settle(c->real, first, last, outcome, sim.now_ms, &sim.effects) == settled,
            "settled not %" PRIu32, settled);
    settle_world(c->queue);
    if (c->pool != NULL)
        refill_pool(c->pool);
}

static void command_extend(void)
{
    struct model_consumer *c = some_consumer();
    int64_t timeout_ms = chance(30) ? 0 : 1 + (int64_t)below(40);
    uint64_t first, last;
    uint32_t held;

    if (c == NULL)
        return;
    first = below((uint32_t)c->count + 2);
    last = chance(70) ? first : first + below(1 + (uint32_t)c->count);
    if (chance(20)) {
        first = 0;
        last = UINT64_MAX;
    }
    held = timeout_ms == 0 ? model_release_now(c, first, last)
                           : model_extend(c, first, last, timeout_ms);
    c->queue->extended += held;
    require(consumer_extend(c->real, first, last, timeout_ms, sim.now_ms, &sim.effects) == held,
            "extended not %" PRIu32, held);
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
    *c = (struct model_consumer){.queue = q, .timer_ms = EXPIRY_NEVER};
    c->options.no_ack = chance(20);
    c->options.exclusive = chance(10);
    c->options.getter = chance(20);
    c->options.priority = (int32_t)below(4) - 2;
    c->options.prefetch = below(5) * below(5);
    if (chance(20))
        c->options.visibility_timeout_ms = 1 + below(40);
    if (c->options.getter)
        c->options.no_ack = false;
    if (!c->options.getter && chance(40)) {
        struct model_pool *p = &sim.pools[below(POOLS)];

        c->options.pool = p->real;
        c->pool = c->options.no_ack ? NULL : p;
    }
    refused = !c->options.getter && (model_in_exclusive_use(q) ||
                                     (c->options.exclusive && (model_consumer_count(q) != 0 ||
                                                               q->rules.single_active_consumer)));

    c->real = queue_consume(q->real, &c->options, c);
    require((c->real == NULL) == refused, "consume");
    if (c->real == NULL)
        return;
    require(consumer_session(c->real) == c && consumer_queue(c->real) == q->real &&
                consumer_no_ack(c->real) == c->options.no_ack,
            "what a consumer says of itself");
    c->age = sim.clock++;
    if (q->sole == NULL)
        model_choose_sole(q);
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
    consumer_cancel(c->real, sim.now_ms, &sim.effects);
    settle_world(c->queue);
}

static void release(struct model_consumer *c)
{
    bool unused = model_stop(c);

    model_settle(c, 0, UINT64_MAX, SETTLE_REQUEUE);
    if (unused)
        expect(EFFECT_UNUSED, c->queue);
    consumer_release(c->real, sim.now_ms, &sim.effects);
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

static enum queue_get_outcome model_get(struct model_queue *q, struct model_consumer *c,
                                        struct effect *got)
{
    enum queue_get_outcome outcome = QUEUE_GET_MESSAGE;

    if (model_can_take(q, sim.now_ms)) {
        *got = (struct effect){.type = EFFECT_DELIVER, .queue = q->real};
        model_hand_out(q, model_first_ready(q), c, sim.now_ms, got);
    } else if (model_first_ready(q) == 0) {
        return QUEUE_GET_EMPTY;
    } else {
        outcome = QUEUE_GET_WAIT;
    }
    model_fetch_ahead(q);
    return outcome;
}

static void command_get(void)
{
    struct model_consumer *c = some_consumer();
    struct model_queue *q = some_queue();
    enum queue_get_outcome outcome;
    struct effect is;

    if (c != NULL && c->options.getter)
        q = c->queue;
    else
        c = NULL;
    outcome = model_get(q, c, expect(EFFECT_UNUSED, q));
    effects_add(&sim.effects, EFFECT_UNUSED, q->real);
    require(queue_get(q->real, c != NULL ? c->real : NULL, sim.now_ms, &is, &sim.effects) ==
                outcome,
            "get");
    if (outcome == QUEUE_GET_MESSAGE)
        sim.effects.items[0] = is;
    settle_world(q);
}

/* All its ready messages are gone, with their locations. */
static void model_clear(struct model_queue *q)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        struct model_entry *entry = &q->entries[i];

        if (entry->state != ENTRY_READY)
            continue;
        q->paged_bytes[entry->lane] = 0;
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

/* A message that is in memory is looked at: the paging file may be full. Returns whether it is on
 * the disk then. */
static bool model_page(struct model_entry *entry)
{
    if (store_location_is_none(entry->location)) {
        if (!chance(10))
            entry->location = store_message(entry->message);
        sim.paged[sim.page_count] = entry->message;
        sim.pages[sim.page_count++] = entry->location;
    }
    entry->paged = !store_location_is_none(entry->location);
    return entry->paged;
}

static void model_page_out_one(struct model_queue *q, struct model_entry *entry)
{
    if (!entry->paged && model_page(entry))
        q->paged_bytes[entry->lane] += entry->message->body_size;
}

static bool model_was_delivered(const struct model_entry *entry, uint32_t lane)
{
    return entry->state == ENTRY_READY && entry->lane == lane && entry->deliveries != 0;
}

static bool model_has_delivered_in_memory(const struct model_queue *q, uint32_t lane)
{
    for (uint32_t i = q->first_left; i < q->count; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (model_was_delivered(entry, lane) && !entry->paged)
            return true;
    }
    return false;
}

/* Returns how many of `max` are left. */
static uint32_t model_page_out_delivered(struct model_queue *q, uint32_t lane, uint32_t keep,
                                         uint64_t up_to, uint32_t max)
{
    if (!model_has_delivered_in_memory(q, lane))
        return max;
    for (uint32_t i = q->first_left; i < q->count && max != 0; i++) {
        struct model_entry *entry = &q->entries[i];

        if (!model_was_delivered(entry, lane) || entry->sequence > up_to)
            continue;
        if (keep != 0) {
            keep--;
            continue;
        }
        if (entry->sequence < q->delivered_page_next[lane])
            continue;
        q->delivered_page_next[lane] = entry->sequence + 1;
        if (entry->paged)
            continue;
        max--;
        model_page_out_one(q, entry);
    }
    return max;
}

static uint32_t model_ready_above(const struct model_queue *q, uint32_t lane)
{
    uint32_t count = 0;

    for (uint32_t i = q->first_left; i < q->count; i++)
        count += q->entries[i].state == ENTRY_READY && q->entries[i].lane > lane;
    return count;
}

static void model_page_out(struct model_queue *q, uint32_t lane, uint32_t keep_first,
                           uint64_t up_to, uint32_t max)
{
    uint32_t ready = 0;
    uint32_t to_keep = keep_first;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        /* What is in a higher lane, or came back, counts as being in front. */
        bool in_front = q->entries[i].lane > lane ||
                        (q->entries[i].lane == lane && q->entries[i].deliveries != 0);

        if (q->entries[i].state != ENTRY_READY)
            continue;
        ready += q->entries[i].lane >= lane;
        if (in_front && to_keep != 0)
            to_keep--;
    }
    if (keep_first >= ready)
        return;
    for (uint32_t i = q->first_left; i < q->count && max != 0; i++) {
        struct model_entry *entry = &q->entries[i];

        if (!model_is_waiting(entry) || entry->lane != lane || entry->sequence > up_to)
            continue;
        if (to_keep != 0) {
            to_keep--;
            continue;
        }
        if (entry->sequence < q->page_next[lane])
            continue;
        model_page_out_one(q, entry);
        q->page_next[lane] = entry->sequence + 1;
        max--;
    }
}

static void command_page_out(uint32_t most)
{
    struct model_queue *q = some_queue();
    uint32_t lane = below(model_lanes(q));
    uint32_t keep_first = below(3) * below(1 + most);
    uint64_t up_to = q->next_sequence[lane];
    uint32_t max = below(1 + 4 * most);
    uint32_t max_waiting;
    uint32_t above;
    uint32_t keep;

    if (chance(20) && q->count != 0)
        up_to = q->entries[below(q->count)].sequence;
    if (queue_lane_of_sequence(up_to) != lane)
        up_to = q->next_sequence[lane];
    if (chance(10)) {
        memset(q->page_next, 0, sizeof(q->page_next));
        memset(q->delivered_page_next, 0, sizeof(q->delivered_page_next));
        queue_page_again(q->real);
    }
    sim.page_count = 0;
    sim.pages_asked = 0;
    above = model_ready_above(q, lane);
    keep = keep_first > above ? keep_first - above : 0;
    max_waiting = model_page_out_delivered(q, lane, keep, up_to, max);
    model_page_out(q, lane, keep_first, up_to, max_waiting);
    /* The test has a reference to every message. */
    require(queue_page_out(q->real, lane, keep_first, up_to, max, answer_page, NULL) == 0,
            "bytes given back");
    require(sim.pages_asked == sim.page_count, "asked to page %" PRIu32 " messages not %" PRIu32,
            sim.pages_asked, sim.page_count);
    settle_world(q);
}

static bool answer_is_safe(void *context, uint64_t sequence)
{
    const uint64_t *safe_to = context;

    return sequence <= *safe_to;
}

static void model_page_out_consumer(struct model_consumer *c, uint64_t keep_bytes, uint64_t safe_to,
                                    uint32_t *left)
{
    for (uint64_t n = 0; n < c->count; n++) {
        struct model_entry *entry;

        if (model_unacked_bytes(c->queue) <= keep_bytes || *left == 0)
            return;
        if (c->numbers[n] == 0)
            continue;
        entry = &c->queue->entries[c->numbers[n] - 1];
        if (entry->paged)
            continue;
        --*left;
        if (entry->sequence > safe_to || !model_page(entry))
            return;
        c->paged++;
        c->paged_bytes += entry->message->body_size;
    }
}

static void command_page_out_unacked(uint32_t most)
{
    struct model_queue *q = some_queue();
    uint64_t keep_bytes = below(3) * below(1000);
    uint64_t safe_to = UINT64_MAX;
    uint32_t max = below(1 + 4 * most);
    uint32_t left = max;

    if (chance(20) && q->count != 0)
        safe_to = q->entries[below(q->count)].sequence;
    sim.page_count = 0;
    sim.pages_asked = 0;
    for (struct consumer *c = queue_first_consumer(q->real); c != NULL;
         c = queue_next_consumer(q->real, c))
        model_page_out_consumer(consumer_session(c), keep_bytes, safe_to, &left);
    require(queue_page_out_unacked(q->real, keep_bytes, max, answer_is_safe, answer_page,
                                   &safe_to) == 0,
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

/* Lists those of one part of a lane that are missing among the next `max` from its first missing
 * one on. Returns how many of `max` that leaves. */
static uint32_t model_list(const struct model_queue *q, uint32_t lane, bool delivered, uint32_t max,
                           struct model_fetch *f)
{
    bool found = false;

    for (uint32_t i = q->first_left; i < q->count && max != 0; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (entry->lane != lane)
            continue;
        if (delivered ? !model_was_delivered(entry, lane) : !model_is_waiting(entry))
            continue;
        found = found || entry->paged;
        if (!found)
            continue;
        max--;
        if (!entry->paged)
            continue;
        f->sequences[f->count] = entry->sequence;
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
    for (uint32_t lane = model_lanes(q); lane-- != 0 && f->count < max;)
        model_list(q, lane, false, model_list(q, lane, true, max - f->count, f), f);
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

static void model_put(struct model_queue *q, struct model_entry *entry)
{
    uint64_t counted = entry->message->body_size;

    if (counted > q->paged_bytes[entry->lane] || model_paged_in_lane(q, entry->lane) == 1)
        counted = q->paged_bytes[entry->lane];
    q->paged_bytes[entry->lane] -= counted;
    entry->paged = false;
}

/* The outcome of a read for one message. Returns the message, or NULL when it is lost. */
static struct message *model_fetched_one(struct model_queue *q, uint64_t sequence,
                                         struct store_location location)
{
    struct model_entry *entry = model_find(q, sequence);
    bool wanted = entry != NULL && entry->state == ENTRY_READY && entry->paged;

    if (!chance(3)) {
        if (wanted)
            model_put(q, entry);
        return message_ref(sim.store[location.offset].message);
    }
    if (wanted) {
        expect_stored(EFFECT_SETTLED, q, (uint32_t)(entry - q->entries) + 1);
        q->paged_bytes[entry->lane] -=
            q->paged_bytes[entry->lane] / model_paged_in_lane(q, entry->lane);
        if (entry->deliveries == 0)
            model_taken(q, entry);
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
        uint32_t number = q->first_left + below(q->count - q->first_left + 2);
        struct model_entry *entry =
            number > 0 && number <= q->count ? &q->entries[number - 1] : NULL;
        uint64_t sequence = entry != NULL ? entry->sequence : q->next_sequence[0];
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
        require(queue_relocate(q->real, sequence, from, to) == held, "relocate %" PRIu64, sequence);
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

/* Those that a policy may change: some, or all of them. */
static void choose_limits(struct model_queue *q, bool all)
{
    q->rules.overflow = (enum queue_overflow)below(3);
    if (all || chance(30))
        q->rules.message_ttl_ms = below(30);
    if (chance(20))
        q->rules.expires_ms = 1 + below(50);
    if (all || chance(30))
        q->rules.max_length = below(20) * below(10);
    if (all || chance(20))
        q->rules.max_length_bytes = below(100);
    if (all || chance(30))
        q->rules.delivery_limit = below(4);
    if (chance(30))
        q->rules.visibility_timeout_ms = 1 + below(40);
}

/* Some queues have all rules at once. */
static void choose_rules(struct model_queue *q)
{
    bool all = chance(15);

    q->rules = (struct queue_rules)QUEUE_RULES_NONE;
    if (!all && chance(40))
        return;
    q->options.rules = &q->rules;
    choose_limits(q, all);
    q->rules.single_active_consumer = chance(30);
    if (all || chance(50))
        q->rules.max_priority = (uint8_t)below(LANES);
    if (all)
        q->options.has_dead_letter_exchange = true;
}

static void create_queue(struct model_queue *q)
{
    q->options =
        (struct queue_options){.auto_delete = chance(50), .has_dead_letter_exchange = chance(50)};
    choose_rules(q);
    q->count = 0;
    q->first_left = 0;
    q->active = false;
    q->fetching = false;
    memset(q->page_next, 0, sizeof(q->page_next));
    memset(q->delivered_page_next, 0, sizeof(q->delivered_page_next));
    memset(q->taken_below, 0, sizeof(q->taken_below));
    for (uint32_t lane = 0; lane < LANES; lane++)
        q->next_sequence[lane] = queue_lane_first_sequence(lane);
    memset(q->paged_bytes, 0, sizeof(q->paged_bytes));
    q->timer_ms = EXPIRY_NEVER;
    q->letters = 0;
    q->letter_bytes = 0;
    q->expired = 0;
    q->extended = 0;
    q->sole = NULL;
    q->trimming = false;
    q->generation++;
    q->real = queue_create(&q->options, q, &sim.active);
    model_use(q);
    queue_used(q->real, sim.now_ms, &sim.effects);
    settle_world(q);
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

/* Dead letters wait, or are taken: they take room. */
static void command_letters(void)
{
    struct model_queue *q = some_queue();

    if (q->rules.overflow != OVERFLOW_REJECT_PUBLISH || q->options.rules == NULL)
        return;
    q->letters = chance(50) ? 0 : below(20);
    q->letter_bytes = q->letters != 0 ? below(100) : 0;
    queue_set_letters(q->real, q->letters, q->letter_bytes);
    settle_world(q);
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
    if (entry->paged)
        q->paged_bytes[entry->lane] += entry->message->body_size;
    require(queue_restore(q->real, entry->sequence, entry->paged ? NULL : entry->message,
                          entry->location, entry->deliveries, entry->message->body_size,
                          entry->expiry_ms) == 0,
            "restore");
    if (model_is_waiting(entry) && !entry->paged)
        q->page_next[entry->lane] = 0;
    if (entry->deliveries != 0 && !entry->paged)
        q->delivered_page_next[entry->lane] = 0;
}

/* What is missing between and behind those that wait left out of order, for all that is known. */
static uint64_t model_missing_below(const struct model_queue *q, uint32_t lane)
{
    uint64_t missing_below = 0;
    uint64_t last = 0;

    for (uint32_t i = q->first_left; i < q->count; i++) {
        const struct model_entry *entry = &q->entries[i];

        if (entry->lane != lane || !model_is_waiting(entry))
            continue;
        if (last != 0 && last + 1 != entry->sequence)
            missing_below = entry->sequence;
        last = entry->sequence;
    }
    return last != 0 && last + 1 != q->next_sequence[lane] ? q->next_sequence[lane] : missing_below;
}

/* The broker ends and starts again: what has a location is there, in memory or not. */
static void command_restart(void)
{
    struct model_queue *q = some_queue();
    uint32_t missing = below(4) * below(100);
    uint32_t next;

    release_consumers(q);
    queue_destroy(q->real, NULL, NULL);
    q->real = NULL;
    model_update_active(q);

    q->real = queue_create(&q->options, q, &sim.active);
    q->generation++;
    q->fetching = false;
    memset(q->paged_bytes, 0, sizeof(q->paged_bytes));
    q->timer_ms = EXPIRY_NEVER;
    q->used_ms = 0;
    q->letters = 0;
    q->letter_bytes = 0;
    q->expired = 0;
    q->extended = 0;
    q->sole = NULL;
    q->trimming = false;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        q->page_next[lane] = UINT64_MAX;
        q->delivered_page_next[lane] = UINT64_MAX;
    }
    for (uint32_t number = q->first_left + 1; number <= q->count; number++)
        restore_entry(q, number);
    for (uint32_t lane = 0; lane < model_lanes(q); lane++) {
        q->next_sequence[lane] += missing;
        if (q->page_next[lane] != 0)
            q->page_next[lane] = q->next_sequence[lane];
        if (q->delivered_page_next[lane] != 0)
            q->delivered_page_next[lane] = q->next_sequence[lane];
        q->taken_below[lane] = model_missing_below(q, lane);
        queue_restore_lane_done(q->real, lane, q->next_sequence[lane]);
    }
    queue_restore_done(q->real, &sim.effects);
    next = model_next_to_expire(q);
    if (next != 0)
        model_ask_timer(q, q->entries[next - 1].expiry_ms);
    q->trimming = model_drops_head(q) && model_exceeds(q, 0, 0);
    if (q->trimming)
        model_ask_timer(q, 0);
    settle_world(q);
}

/* The consumers' timers, which may have to wait, and what is due may be more than is done. */
static void pass_time_of_consumers(void)
{
    for (struct model_consumer *c = sim.consumers; c < sim.consumers + CONSUMERS; c++) {
        uint32_t budget = chance(50) ? UINT32_MAX : 1 + below(4);
        uint64_t next;

        if (c->real == NULL || c->timer_ms > sim.now_ms || chance(10))
            continue;
        c->timer_ms = EXPIRY_NEVER;
        model_take_back_due(c, budget);
        next = model_next_due(c);
        if (next != 0)
            model_ask_consumer_timer(c, c->due_ms[next - 1]);
        require(consumer_on_time(c->real, sim.now_ms, budget, &sim.effects).up_to == 0, "overdue");
        settle_world(c->queue);
        if (c->pool != NULL)
            refill_pool(c->pool);
    }
}

/* Time passes, and a timer that was asked for may have to wait. */
static void command_pass_time(void)
{
    sim.now_ms += below(3) * below(20);
    pass_time_of_consumers();
    for (struct model_queue *q = sim.queues; q < sim.queues + QUEUES; q++) {
        uint32_t next;

        if (q->timer_ms > sim.now_ms || chance(10))
            continue;
        q->timer_ms = EXPIRY_NEVER;
        model_expire(q);
        next = model_next_to_expire(q);
        if (next != 0)
            model_ask_timer(q, q->entries[next - 1].expiry_ms);
        model_trim(q, UINT32_MAX);
        if (q->rules.expires_ms != EXPIRY_NEVER && model_consumer_count(q) == 0) {
            if (q->used_ms + q->rules.expires_ms <= sim.now_ms)
                expect(EFFECT_UNUSED, q);
            else
                model_ask_timer(q, q->used_ms + q->rules.expires_ms);
        }
        queue_on_time(q->real, sim.now_ms, &sim.effects);
        settle_world(q);
        require(queue_clock(q->real) == &sim, "a queue has lost its clock");
        if (q->timer_ms == EXPIRY_NEVER)
            queue_set_clock(q->real, NULL);
    }
}

static void command_use(void)
{
    struct model_queue *q = some_queue();

    model_use(q);
    queue_used(q->real, sim.now_ms, &sim.effects);
    settle_world(q);
}

/* Another policy applies. */
static void command_change(void)
{
    struct model_queue *q = some_queue();
    uint8_t max_priority = q->rules.max_priority;
    bool single_active_consumer = q->rules.single_active_consumer;
    bool trimming;

    q->rules = (struct queue_rules)QUEUE_RULES_NONE;
    q->rules.max_priority = max_priority;
    q->rules.single_active_consumer = single_active_consumer;
    if (chance(70))
        choose_limits(q, false);
    else if (max_priority == 0 && !single_active_consumer)
        q->options.rules = NULL;
    if (chance(70) || max_priority != 0 || single_active_consumer)
        q->options.rules = &q->rules;
    if (q->options.rules == NULL)
        q->rules = (struct queue_rules)QUEUE_RULES_NONE;
    q->options.has_dead_letter_exchange = chance(50);

    q->trimming = model_drops_head(q) && model_exceeds(q, 0, 0);
    model_use(q);
    trimming = queue_change_options(q->real, &q->options, sim.now_ms, &sim.effects);
    require(trimming == q->trimming, "trimming is %d", trimming);
    settle_world(q);
}

static void command_trim(void)
{
    struct model_queue *q = some_queue();
    uint32_t budget = 1 + below(100);
    bool trimming;

    model_trim(q, budget);
    trimming = queue_trim(q->real, budget, &sim.effects);
    require(trimming == q->trimming, "trimming is %d", trimming);
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
    EXTEND,
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
    PASS_TIME,
    USE,
    CHANGE,
    TRIM,
    LETTERS,
    COMMANDS,
};

static const struct command commands[COMMANDS] = {
    [ENQUEUE] = {"enqueue", 25},
    [BULK] = {"enqueue many", 1},
    [DELIVER] = {"deliver", 30},
    [SETTLE] = {"settle", 25},
    [EXTEND] = {"extend", 4},
    [CONSUME] = {"consume", 8},
    [CANCEL] = {"cancel", 2},
    [RELEASE] = {"release", 2},
    [PAUSE] = {"pause", 3},
    [RESUME] = {"resume", 4},
    [GET] = {"get", 5},
    [PURGE] = {"purge", 1},
    [LIMIT] = {"limit a pool", 3},
    [RECREATE] = {"recreate", 1},
    [PAGE_OUT] = {"page out", 5},
    [FETCH] = {"fetch", 20},
    [FETCHED] = {"fetched", 30},
    [RELOCATE] = {"relocate", 2},
    [RESTART] = {"restart", 1},
    [PASS_TIME] = {"pass time", 10},
    [USE] = {"use", 1},
    [CHANGE] = {"change", 1},
    [TRIM] = {"trim", 2},
    [LETTERS] = {"letters", 2},
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
    case EXTEND:
        command_extend();
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
        if (chance(40))
            command_page_out_unacked(10 * scale);
        else
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
    case PASS_TIME:
        command_pass_time();
        return;
    case USE:
        command_use();
        return;
    case CHANGE:
        command_change();
        return;
    case TRIM:
        command_trim();
        return;
    case LETTERS:
        command_letters();
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
    sim.expiring_percent = chance(50) ? 0 : below(101);
    sim.clock = 0;
    sim.now_ms = below(1000);
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
