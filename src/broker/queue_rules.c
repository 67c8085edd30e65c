/* What a queue does beyond keeping messages and handing them out: expiry, length limits, a single
 * active consumer. */
#include "broker/entries_depth.h"
#include "broker/queue_internal.h"
#include "broker/queue_lanes.h"

#include "base/memory.h"

/* Messages that end in one go. */
#define END_BUDGET 1024u

/* Messages that give way to one while queue_trim() is at work: the queue grows no longer. */
#define TRIM_BUDGET 64u

/* Times in the heap that nobody waits for, beyond as many as are waited for. */
#define HEAP_SPARE 64u

/* ---- The extra ---- */

struct queue_extra *queue_need_extra(struct queue *q)
{
    if (q->extra == NULL) {
        q->extra = memory_alloc_zeroed(1, sizeof(*q->extra));
        q->extra->timer_ms = EXPIRY_NEVER;
        if (q->options->rules != NULL && q->options->rules->max_priority != 0)
            q->extra->lanes = queue_lanes_create(q, q->options->rules->max_priority + 1u);
    }
    return q->extra;
}

void queue_free_extra(struct queue *q)
{
    free(q->extra->held);
    expiry_runs_clear(&q->extra->runs);
    expiry_heap_clear(&q->extra->heap);
    if (q->extra->lanes != NULL)
        queue_lanes_free(q->extra->lanes);
    free(q->extra);
    q->extra = NULL;
}

void queue_drop_extra(struct queue *q)
{
    const struct queue_extra *x = q->extra;

    if (q->options->rules == NULL && x->held == NULL && x->clock == NULL && x->runs.count == 0 &&
        x->heap.count == 0 && x->letters == 0 &&
        (x->leases.expired | x->leases.extended | x->leases.late) == 0)
        queue_free_extra(q);
}

void queue_set_clock(struct queue *q, void *clock)
{
    queue_need_extra(q)->clock = clock;
    queue_drop_extra(q);
}

void *queue_clock(const struct queue *q)
{
    return q->extra != NULL ? q->extra->clock : NULL;
}

/* Asks for a call of queue_on_time(), unless it comes early enough as it is. */
static void ask_timer(struct queue *q, int64_t due_ms, struct effects *out)
{
    if (due_ms >= q->extra->timer_ms)
        return;
    q->extra->timer_ms = due_ms;
    effects_add(out, EFFECT_TIMER, q)->due_ms = due_ms;
}

/* ---- Expiry ---- */

int64_t queue_expiry(const struct queue *q, int64_t expiration_ms, int64_t now_ms)
{
    const struct queue_rules *rules = q->options->rules;

    if (rules != NULL && rules->message_ttl_ms < expiration_ms)
        expiration_ms = rules->message_ttl_ms;
    return expiration_ms == EXPIRY_NEVER ? EXPIRY_NEVER : now_ms + expiration_ms;
}

/* The expiry code of the first that waits in a lane. */
static inline uint64_t expiry_at_head(struct queue *q, struct entries *lane, uint64_t sequence)
{
    struct expiry_runs *runs = queue_lane_runs(q, lane);

    return runs->count != 0 ? expiry_runs_at_head(runs, sequence) : 0;
}

static bool is_ready(struct queue *q, uint64_t sequence)
{
    return entries_has(queue_lane_with(q, sequence), sequence);
}

static bool is_needed(void *context, const struct expiry_run *run)
{
    return is_ready(context, run->sequence);
}

/* How many times the heap may be needed for, at most. */
static uint64_t count_needed(struct queue *q)
{
    uint64_t needed = HEAP_SPARE;

    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        struct entries *e;

        if (!queue_lane_is_there(q, lane))
            continue;
        e = queue_lane(q, lane);
        needed += queue_lane_runs(q, e)->out_of_order + entries_count(e) - e->waiting;
    }
    return needed;
}

/* Into the heap, where the times of what was taken since remain until they are most. */
static void add_to_heap(struct queue *q, uint64_t sequence, uint64_t code)
{
    struct expiry_heap *h = &q->extra->heap;

    if (h->count == h->capacity && h->count >= 2 * count_needed(q))
        expiry_heap_filter(h, is_needed, q);
    expiry_heap_add(h, sequence, code);
}

/* A message that waits for its first delivery expires in its time. */
static void add_expiry(struct queue *q, uint64_t sequence, int64_t expiry_ms)
{
    uint64_t code = expiry_encode(expiry_ms);

    queue_need_extra(q);
    if (expiry_runs_add(queue_lane_runs(q, queue_lane_with(q, sequence)), sequence, code))
        add_to_heap(q, sequence, code);
}

void queue_watch_expiry(struct queue *q, const struct entry *entry, struct effects *out)
{
    queue_need_extra(q);
    add_to_heap(q, entry->sequence, entry->expiry);
    ask_timer(q, expiry_decode(entry->expiry), out);
}

void queue_restore_expiry(struct queue *q, const struct entry *entry)
{
    struct queue_extra *x = queue_need_extra(q);
    struct entries *lane = queue_lane_with(q, entry->sequence);

    if (entry->delivery_count != 0 ||
        expiry_runs_add(queue_lane_runs(q, lane), entry->sequence, entry->expiry))
        expiry_heap_add(&x->heap, entry->sequence, entry->expiry);
}

void queue_forget_expiries(struct queue *q)
{
    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        if (queue_lane_is_there(q, lane))
            expiry_runs_clear(queue_lane_runs(q, queue_lane(q, lane)));
    }
    expiry_heap_clear(&q->extra->heap);
    queue_drop_extra(q);
}

/* The expiry code of the first message of a lane. */
static uint64_t first_expiry(struct queue *q, struct entries *first, uint64_t *sequence)
{
    uint64_t code;

    *sequence = entries_first(first, &code);
    if (code == 0 && *sequence >= entries_head_sequence(first))
        code = expiry_at_head(q, first, *sequence);
    return code;
}

/* Nothing is watched, came back or is missing. */
static bool is_simple(struct queue *q, struct entries *lane)
{
    return lane->depth == NULL && lane->delivered == NULL && queue_lane_runs(q, lane)->count == 0;
}

struct entries *queue_can_take_by_rules(struct queue *q, int64_t now_ms, struct effects *out)
{
    uint64_t now = expiry_encode(now_ms);

    for (;;) {
        struct entries *first = queue_first_lane(q);
        struct entry entry;
        uint64_t sequence;
        uint64_t code;

        if (is_simple(q, first)) {
            entries_look_ahead(first);
            return first->waiting != 0 ? first : NULL;
        }
        if (entries_count(first) == 0)
            return NULL;
        code = first_expiry(q, first, &sequence);
        if (code == 0 || code > now)
            return entries_can_take(first) ? first : NULL;
        entries_take(first, sequence, &entry);
        queue_end_entry(q, &entry, DEAD_LETTER_EXPIRED, out);
    }
}

void queue_take_by_rules(struct queue *q, struct entries *lane, struct entry *entry)
{
    entries_take_first(lane, entry);
    if (entry->expiry == 0)
        entry->expiry = expiry_at_head(q, lane, entry->sequence) & EXPIRY_CODE_MAX;
}

/* What expires next in order. */
struct next_run {
    struct expiry_runs *runs;
    const struct expiry_run *run; /* NULL: nothing does */
};

static struct next_run find_next_run(struct queue *q)
{
    struct next_run next = {.run = NULL};

    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        struct entries *e = queue_lane(q, lane);
        const struct expiry_run *run;
        struct expiry_runs *runs;

        if (e == NULL)
            continue;
        runs = queue_lane_runs(q, e);
        if (runs->count == 0)
            continue;
        expiry_runs_at_head(runs, entries_head_sequence(e));
        run = expiry_runs_next(runs);
        if (run != NULL && (next.run == NULL || expiry_run_before(run, next.run)))
            next = (struct next_run){.runs = runs, .run = run};
    }
    return next;
}

/* The number of what expires next, whether it is still there or not, and its code, 0 when nothing
 * does. Its time is not watched any more if it is due at `now`, or if the message is gone. */
static uint64_t take_next_time(struct queue *q, uint64_t now, uint64_t *sequence, bool *is_there)
{
    struct expiry_heap *h = &q->extra->heap;
    struct next_run next = find_next_run(q);
    bool out_of_order =
        h->count != 0 && (next.run == NULL || expiry_run_before(&h->items[0], next.run));
    const struct expiry_run *run = out_of_order ? &h->items[0] : next.run;
    uint64_t code = run != NULL ? run->code : 0;

    if (code == 0)
        return 0;
    *sequence = run->sequence;
    *is_there = is_ready(q, *sequence);
    if (*is_there && code > now)
        return code;
    if (out_of_order) {
        expiry_heap_drop_first(h);
        expiry_runs_drop(queue_lane_runs(q, queue_lane_with(q, *sequence)), *sequence);
    } else {
        expiry_runs_drop_next(next.runs);
    }
    return code;
}

/* The expiry code of the ready message that expires next, 0 when none does. One that is due at
 * `now` is to be ended by the caller: `*sequence` is its number. */
static uint64_t take_next_expiry(struct queue *q, uint64_t now, uint64_t *sequence)
{
    bool is_there = false;
    uint64_t code;

    do {
        code = take_next_time(q, now, sequence, &is_there);
    } while (code != 0 && !is_there);
    return code;
}

void queue_start_clock(struct queue *q, struct effects *out)
{
    uint64_t sequence;
    uint64_t code = take_next_expiry(q, 0, &sequence);

    if (code != 0)
        ask_timer(q, expiry_decode(code), out);
}

/* Ends what is due, then asks for the next time. */
static void expire(struct queue *q, int64_t now_ms, struct effects *out)
{
    uint64_t now = expiry_encode(now_ms);
    uint64_t sequence;
    uint64_t code = 0;

    for (uint32_t n = 0; n < END_BUDGET; n++) {
        struct entry entry;

        code = take_next_expiry(q, now, &sequence);
        if (code == 0 || code > now)
            break;
        entries_take(queue_lane_with(q, sequence), sequence, &entry);
        queue_end_entry(q, &entry, DEAD_LETTER_EXPIRED, out);
    }
    if (code != 0)
        ask_timer(q, expiry_decode(code), out);
}

/* ---- Length ---- */

static bool exceeds(const struct queue *q, uint64_t more_messages, uint64_t more_bytes)
{
    const struct queue_rules *rules = q->options->rules;

    if (rules == NULL)
        return false;
    if (rules->max_length != UINT64_MAX &&
        queue_message_count(q) + q->extra->letters + more_messages > rules->max_length)
        return true;
    return rules->max_length_bytes != UINT64_MAX &&
           queue_ready_bytes(q) + q->extra->letter_bytes + more_bytes > rules->max_length_bytes;
}

void queue_set_letters(struct queue *q, uint64_t count, uint64_t bytes)
{
    struct queue_extra *x = queue_need_extra(q);

    x->letters = count;
    x->letter_bytes = bytes;
    queue_drop_extra(q);
}

/* Consumers get what they can take: it takes no room, and is no victim. */
static void serve(struct queue *q, int64_t now_ms, struct effects *out)
{
    if (list_empty(&q->ready_levels))
        return;
    queue_hand_out(q, UINT32_MAX, now_ms, out);
}

/* Up to `budget` messages, all that are too many when that is 0. */
static void drop_head(struct queue *q, uint32_t budget, struct effects *out)
{
    uint32_t dropped = 0;

    while (exceeds(q, 0, 0)) {
        struct entries *first = queue_first_lane(q);
        struct entry entry;
        uint64_t expiry;

        if (entries_count(first) == 0 || (budget != 0 && dropped++ == budget))
            return;
        entries_take(first, entries_first(first, &expiry), &entry);
        queue_end_entry(q, &entry, DEAD_LETTER_MAXLEN, out);
    }
}

static bool drops_head(const struct queue *q)
{
    const struct queue_rules *rules = q->options->rules;

    return rules != NULL && rules->overflow == OVERFLOW_DROP_HEAD &&
           (rules->max_length != UINT64_MAX || rules->max_length_bytes != UINT64_MAX);
}

void queue_make_room(struct queue *q, int64_t now_ms, struct effects *out)
{
    if (!drops_head(q))
        return;
    serve(q, now_ms, out);
    queue_update_active(q);
}

void queue_keep_limits(struct queue *q, struct effects *out)
{
    if (drops_head(q))
        drop_head(q, q->extra->trimming ? TRIM_BUDGET : 0, out);
}

bool queue_change_options(struct queue *q, const struct queue_options *options, int64_t now_ms,
                          struct effects *out)
{
    q->options = options;
    list_for_each(&q->consumers, node)
        consumer_watch_rules(container_of(node, struct consumer, by_queue), now_ms, out);
    if (options->rules == NULL) {
        if (q->extra != NULL) {
            q->extra->trimming = false;
            queue_drop_extra(q);
        }
        return false;
    }
    queue_need_extra(q);
    q->extra->trimming = drops_head(q) && exceeds(q, 0, 0);
    queue_used(q, now_ms, out);
    return q->extra->trimming;
}

bool queue_trim(struct queue *q, uint32_t budget, struct effects *out)
{
    if (q->extra == NULL || !q->extra->trimming)
        return false;
    queue_held_changed(q);
    drop_head(q, budget, out);
    q->extra->trimming = exceeds(q, 0, 0) && queue_message_count(q) != 0;
    queue_update_active(q);
    return q->extra->trimming;
}

void queue_trim_recovered(struct queue *q, struct effects *out)
{
    q->extra->trimming = drops_head(q) && exceeds(q, 0, 0);
    if (q->extra->trimming)
        ask_timer(q, 0, out);
}

bool queue_admit(struct queue *q, struct message *msg, int64_t now_ms, struct effects *out)
{
    struct effect *dead;

    if (!exceeds(q, 1, msg->body_size) || drops_head(q))
        return true;
    queue_held_changed(q);
    serve(q, now_ms, out);
    queue_update_active(q);
    if (!exceeds(q, 1, msg->body_size))
        return true;
    if (q->options->rules->overflow != OVERFLOW_REJECT_PUBLISH_DLX ||
        !q->options->has_dead_letter_exchange)
        return false;
    dead = effects_add(out, EFFECT_DEAD_LETTER, q);
    dead->reason = DEAD_LETTER_MAXLEN;
    dead->message = message_ref(msg);
    return false;
}

uint64_t queue_enqueue_by_rules(struct queue *q, struct message *msg,
                                struct store_location location, int64_t expiry_ms, int64_t now_ms,
                                struct effects *out)
{
    uint64_t sequence = queue_append(q, msg, location);

    if (sequence == 0)
        return 0;
    queue_held_changed(q);
    if (expiry_ms != EXPIRY_NEVER)
        add_expiry(q, sequence, expiry_ms);
    if (expiry_ms <= now_ms || (drops_head(q) && exceeds(q, 0, 0))) {
        /* What expires at this very moment may still be handed out at once. */
        serve(q, now_ms - 1, out);
        if (expiry_ms <= now_ms)
            expire(q, now_ms, out);
        queue_keep_limits(q, out);
        queue_fetch_ahead(q, out);
    } else if (expiry_ms != EXPIRY_NEVER) {
        ask_timer(q, expiry_ms, out);
    }
    queue_update_active(q);
    return sequence;
}

/* ---- Use ---- */

static bool expires(const struct queue *q)
{
    return q->options->rules != NULL && q->options->rules->expires_ms != EXPIRY_NEVER;
}

static int64_t unused_ms(const struct queue *q)
{
    return q->extra->used_ms + q->options->rules->expires_ms;
}

void queue_used(struct queue *q, int64_t now_ms, struct effects *out)
{
    if (!expires(q))
        return;
    q->extra->used_ms = now_ms;
    if (q->consumer_count == 0)
        ask_timer(q, unused_ms(q), out);
}

/* Returns whether the queue was not used for its time. */
static bool check_use(struct queue *q, int64_t now_ms, struct effects *out)
{
    if (!expires(q) || q->consumer_count != 0)
        return false;
    if (unused_ms(q) <= now_ms)
        return true;
    ask_timer(q, unused_ms(q), out);
    return false;
}

void queue_on_time(struct queue *q, int64_t now_ms, struct effects *out)
{
    queue_held_changed(q);
    if (q->extra == NULL)
        return;
    q->extra->timer_ms = EXPIRY_NEVER;
    expire(q, now_ms, out);
    if (queue_trim(q, END_BUDGET, out))
        ask_timer(q, now_ms, out);
    queue_update_active(q);
    if (check_use(q, now_ms, out))
        effects_add(out, EFFECT_UNUSED, q);
}

/* ---- A single active consumer ---- */

static bool is_exclusive(const struct queue *q)
{
    return q->options->rules != NULL && q->options->rules->single_active_consumer;
}

void queue_consumer_came(struct queue *q, struct consumer *c)
{
    if (!is_exclusive(q))
        return;
    if (q->extra->active == NULL)
        q->extra->active = c;
    else
        c->standby = true;
}

/* The one of the highest priority, of equals the oldest, or NULL. */
static struct consumer *find_successor(struct queue *q)
{
    struct consumer *found = NULL;

    list_for_each(&q->consumers, node) {
        struct consumer *c = container_of(node, struct consumer, by_queue);

        if (c->getter || c->cancelled)
            continue;
        if (found == NULL || c->level->priority > found->level->priority)
            found = c;
    }
    return found;
}

void queue_consumer_stopped(struct queue *q, struct consumer *c, int64_t now_ms,
                            struct effects *out)
{
    if (q->consumer_count == 0)
        queue_used(q, now_ms, out);
    if (q->extra->active != c)
        return;
    q->extra->active = find_successor(q);
    if (q->extra->active == NULL)
        return;
    q->extra->active->standby = false;
    consumer_update(q->extra->active);
}
