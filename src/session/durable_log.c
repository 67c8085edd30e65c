#include "session/durable_log.h"

#include "base/log.h"
#include "base/memory.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/connection.h"
#include "session/held_settles.h"
#include "session/paging.h"
#include "session/queue_publish.h"
#include "session/shard.h"
#include "session/undefined_queue.h"
#include "store/definitions.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAITS_MIN_CAPACITY 256u
/* How long after a failure the journal is tried again. */
#define RETRY_AFTER_MS 1000

/* Above this a journal's memory goes back when nothing was appended for so long. */
#define WATCHED_MEMORY_BYTES ((size_t)256 << 10)
#define REST_AFTER_MS 1000

/* Who waits for a position of the journal. */
struct durable_wait {
    uint64_t position;
    struct publish_origin origin;
    uint32_t worker; /* where that lives */
    bool settles;    /* waits for settled records alone */
};

/* ---- What the journal asks ---- */

static bool id_matches(const struct hash_node *node, const void *key)
{
    return container_of(node, const struct durable_lane, by_id)->journal.id ==
           *(const uint64_t *)key;
}

static struct durable_lane *find_lane(const struct durable_log *log, uint64_t id)
{
    struct hash_node *node = hash_map_find(&log->lanes, id, id_matches, &id);

    return node == NULL ? NULL : container_of(node, struct durable_lane, by_id);
}

static struct queue *queue_of(const struct durable_lane *lane)
{
    return lane->durable->queue->queue;
}

static void answer_state(void *context, uint64_t queue_id, uint64_t *head, const uint64_t **kept,
                         uint32_t *kept_count)
{
    struct durable_log *log = context;
    const struct durable_lane *lane = find_lane(log, queue_id);

    assert(lane != NULL); /* the journal forgets a lane as we do, in release_lane() */
    queue_state(queue_of(lane), lane->number, head, &log->kept);
    if (lane->durable->held.count != 0)
        durable_queue_list_held(lane->durable, queue_lane_first_sequence(lane->number), *head,
                                &log->kept);
    *kept = log->kept.items;
    *kept_count = log->kept.count;
}

static bool answer_relocate(void *context, uint64_t queue_id, uint64_t sequence,
                            struct store_location from, struct store_location to)
{
    const struct durable_lane *lane = find_lane(context, queue_id);

    return lane != NULL && (queue_relocate(queue_of(lane), sequence, from, to) ||
                            durable_queue_relocate_held(lane->durable, sequence, from, to));
}

static bool answer_is_live(void *context, uint64_t queue_id, uint64_t sequence,
                           struct store_location location)
{
    return answer_relocate(context, queue_id, sequence, location, location);
}

static uint32_t answer_delivery_count(void *context, uint64_t queue_id, uint64_t sequence)
{
    const struct durable_lane *lane = find_lane(context, queue_id);
    uint32_t mark = lane != NULL ? durable_queue_held_mark(lane->durable, sequence) : 0;

    if (lane == NULL || mark != 0)
        return mark;
    return queue_delivery_count(queue_of(lane), sequence);
}

static void handle_progress(struct worker *w, struct mail_record *r);

/* On the journal's thread. */
static void notify(void *context)
{
    struct durable_log *log = context;

    worker_post(log->shard->worker, handle_progress, &log, sizeof(log));
}

/* ---- Life ---- */

static void retry_later(struct durable_log *log)
{
    timer_set(&log->shard->worker->timers, &log->retry, shard_now_ms(log->shard) + RETRY_AFTER_MS);
}

static void rest_later(struct durable_log *log)
{
    log->rest_position = journal_appended(log->journal);
    timer_set(&log->shard->worker->timers, &log->rest, shard_now_ms(log->shard) + REST_AFTER_MS);
}

static void on_rest(struct timer *t)
{
    struct durable_log *log = container_of(t, struct durable_log, rest);

    if (log->rest_position != journal_appended(log->journal) || !journal_give_back(log->journal))
        rest_later(log);
}

/* A journal that has much memory is looked at until it rests. */
static void watch_rest(struct durable_log *log)
{
    if (!timer_is_set(&log->rest) && journal_memory_bytes(log->journal) > WATCHED_MEMORY_BYTES)
        rest_later(log);
}

static void hold_wait(struct durable_log *log, const struct durable_wait *wait)
{
    if (log->held_wait_count == log->held_wait_capacity) {
        log->held_wait_capacity =
            log->held_wait_capacity != 0 ? 2 * log->held_wait_capacity : WAITS_MIN_CAPACITY;
        log->held_waits =
            memory_resize(log->held_waits, log->held_wait_capacity, sizeof(*log->held_waits));
    }
    log->held_waits[log->held_wait_count++] = *wait;
}

/* The journal begins anew with the states of all queues, synced: all that was settled is in them.
 */
static void answer_held_waits(struct durable_log *log)
{
    for (uint32_t i = 0; i < log->held_wait_count; i++)
        queue_answer_publish(log->shard, log->held_waits[i].worker, &log->held_waits[i].origin,
                             true);
    free(log->held_waits);
    log->held_waits = NULL;
    log->held_wait_count = 0;
    log->held_wait_capacity = 0;
}

static void on_retry(struct timer *t)
{
    struct durable_log *log = container_of(t, struct durable_log, retry);
    int rc = journal_retry(log->journal);

    if (!journal_is_failed(log->journal))
        answer_held_waits(log);
    if (rc == 0)
        log_info("journal", "journal %u takes messages again", log->number);
    else
        retry_later(log);
}

int durable_log_open(struct durable_log *log, struct shard *s, uint32_t number,
                     const char *directory)
{
    const struct config_journal *c = &s->worker->server->config->journal;
    const struct journal_options options = {
        .files = &SYSTEM_FILES,
        .directory = directory,
        .segment_size_bytes = c->segment_size_bytes,
        .sync = (enum journal_sync)c->sync,
        .sync_interval_ms = c->sync_interval_ms,
        .compact_below_percent = c->compact_below_percent,
        .notify = notify,
        .queue_state = answer_state,
        .is_live = answer_is_live,
        .delivery_count = answer_delivery_count,
        .relocate = answer_relocate,
        .context = log,
        .reserve_bytes = c->reserve_bytes,
        .shortages = &s->broker->short_journals,
    };

    *log = (struct durable_log){
        .shard = s, .number = number, .write_buffer_bytes = c->write_buffer_bytes};
    hash_map_init(&log->lanes);
    list_init(&log->touched);
    timer_init(&log->retry, on_retry);
    timer_init(&log->rest, on_rest);
    return journal_open(&log->journal, &options);
}

void durable_log_start(struct durable_log *log)
{
    if (journal_wants_retry(log->journal))
        retry_later(log);
}

void durable_log_close(struct durable_log *log)
{
    uint64_t end = journal_close(log->journal);

    if (end > log->noted_end)
        definitions_note_journal(log->shard->broker->definitions, log->number, end);
    for (struct hash_node *n = hash_map_first(&log->lanes); n != NULL;
         n = hash_map_next(&log->lanes, n))
        durable_queue_forget_held(container_of(n, struct durable_lane, by_id)->durable, NULL, NULL);
    hash_map_clear(&log->lanes);
    free(log->waits);
    free(log->held_waits);
    sequence_list_free(&log->kept);
}

static void lane_init(struct durable_queue *d, struct durable_lane *lane, uint32_t number)
{
    lane->durable = d;
    lane->number = number;
    lane->delivered_below = queue_lane_first_sequence(number);
    list_node_init(&lane->touched);
    journal_queue_init(&lane->journal, durable_lane_id(d->id, number));
    hash_map_insert(&d->log->lanes, &lane->by_id, lane->journal.id);
}

struct durable_queue *durable_queue_create(struct durable_log *log, struct queue_handle *queue,
                                           uint64_t id)
{
    struct durable_queue *d = memory_alloc_zeroed(1, sizeof(*d));

    d->log = log;
    d->queue = queue;
    d->id = id;
    d->lane_count = queue_lane_count(queue->queue);
    hash_map_init(&d->held);
    if (d->lane_count > 1)
        d->higher = memory_alloc_zeroed(d->lane_count - 1, sizeof(struct durable_lane *));
    lane_init(d, &d->lowest, 0);
    return d;
}

static struct durable_lane *need_lane(struct durable_queue *d, uint32_t number)
{
    struct durable_lane **higher;

    if (number == 0)
        return &d->lowest;
    higher = &d->higher[number - 1];
    if (*higher == NULL) {
        *higher = memory_alloc_zeroed(1, sizeof(**higher));
        lane_init(d, *higher, number);
    }
    return *higher;
}

/* The lane of a stored message of the queue. */
static struct durable_lane *lane_with(struct durable_queue *d, uint64_t sequence)
{
    return need_lane(d, queue_lane_of_sequence(sequence));
}

/* Calls `each` for every lane of which something was kept. */
static void visit_lanes(struct durable_queue *d, void (*each)(struct durable_lane *lane))
{
    each(&d->lowest);
    for (uint32_t i = 0; i + 1 < d->lane_count; i++) {
        if (d->higher[i] != NULL)
            each(d->higher[i]);
    }
}

void durable_queue_adopt(struct durable_queue *d, uint32_t lane, uint64_t next_sequence,
                         uint64_t delivered_below)
{
    struct durable_lane *l = need_lane(d, lane);

    journal_adopt_queue(d->log->journal, &l->journal, l->journal.id, next_sequence,
                        delivered_below);
    l->delivered_below = delivered_below;
}

static void release_lane(struct durable_lane *lane)
{
    struct durable_log *log = lane->durable->log;

    list_remove(&lane->touched);
    hash_map_remove(&log->lanes, &lane->by_id);
    journal_queue_release(log->journal, &lane->journal);
}

void durable_queue_discard(struct durable_queue *d)
{
    for (uint32_t i = 0; i + 1 < d->lane_count; i++)
        free(d->higher[i]);
    undefined_queue_discard(d);
    free(d->higher);
    free(d);
}

static void release_held(void *context, struct store_location location)
{
    durable_queue_release(context, location);
}

void durable_queue_free(struct durable_queue *d)
{
    durable_queue_forget_held(d, release_held, d);
    undefined_queue_forget(d);
    visit_lanes(d, release_lane);
    durable_queue_discard(d);
}

/* ---- Appending ---- */

struct store_location durable_queue_append(struct durable_queue *d, const struct message *msg,
                                           int64_t expires_ms)
{
    struct durable_log *log = d->log;
    uint32_t number = d->higher != NULL ? queue_lane_of(d->queue->queue, msg) : 0;
    uint64_t sequence = queue_next_sequence(d->queue->queue, number);
    struct durable_lane *lane;

    if (!journal_takes_messages(log->journal) || undefined_queue_refuses(d))
        return (struct store_location){.segment = 0};
    lane = need_lane(d, number);
    if (!list_linked(&lane->touched)) {
        lane->safe_below = sequence;
        lane->mark_below = sequence;
        list_append(&log->touched, &lane->touched);
    }
    return journal_append_message(log->journal, &lane->journal, sequence, msg, expires_ms);
}

static struct durable_wait *wait_at(const struct durable_log *log, uint32_t distance)
{
    return &log->waits[(log->wait_first + distance) & (log->wait_capacity - 1)];
}

static void grow_waits(struct durable_log *log)
{
    uint32_t capacity = log->wait_capacity != 0 ? 2 * log->wait_capacity : WAITS_MIN_CAPACITY;
    struct durable_wait *waits = memory_alloc(capacity * sizeof(*waits));

    for (uint32_t i = 0; i < log->wait_count; i++)
        waits[i] = *wait_at(log, i);
    free(log->waits);
    log->waits = waits;
    log->wait_capacity = capacity;
    log->wait_first = 0;
}

static void await(struct durable_log *log, const struct publish_origin *origin, uint32_t worker,
                  bool settles)
{
    if (journal_durable(log->journal) == journal_appended(log->journal)) {
        queue_answer_publish(log->shard, worker, origin, true);
        return;
    }
    if (log->wait_count == log->wait_capacity)
        grow_waits(log);
    *wait_at(log, log->wait_count++) = (struct durable_wait){
        .position = journal_appended(log->journal),
        .origin = *origin,
        .worker = worker,
        .settles = settles,
    };
}

void durable_log_await(struct durable_log *log, const struct publish_origin *origin,
                       uint32_t worker)
{
    await(log, origin, worker, false);
}

void durable_queue_await(struct durable_queue *d, const struct publish_origin *origin,
                         uint32_t worker)
{
    if (d->undefined != NULL || !durable_queue_is_defined(d))
        undefined_queue_await(d, origin, worker);
    else
        durable_log_await(d->log, origin, worker);
}

void durable_log_await_synced(struct durable_log *log, struct channel *channel, uint64_t number,
                              uint32_t worker)
{
    const struct publish_origin origin = {
        .kind = ORIGIN_CONFIRM, .channel = channel, .number = number};

    if (journal_is_failed(log->journal)) {
        hold_wait(log, &(struct durable_wait){.origin = origin, .worker = worker});
        return;
    }
    journal_request_sync(log->journal);
    await(log, &origin, worker, true);
}

bool durable_log_holds_back(struct durable_log *log)
{
    if (journal_gathered_bytes(log->journal) < log->write_buffer_bytes)
        return false;
    log->holds_back = true;
    return true;
}

static void handle_let_go(struct worker *w, struct mail_record *r)
{
    struct list_node *node;

    (void)r;
    while ((node = list_take_first(&shard_of(w)->held_back)) != NULL)
        connection_resume_reading(container_of(node, struct connection, held_back),
                                  READ_PAUSED_BY_JOURNAL);
}

/* The journal's thread has been given what waited. Those that another journal holds back are let go
 * as well: it will hold them back again. */
static void let_go(struct durable_log *log)
{
    const struct server *server = log->shard->worker->server;

    if (!log->holds_back || journal_gathered_bytes(log->journal) >= log->write_buffer_bytes)
        return;
    log->holds_back = false;
    for (uint32_t to = 0; to < server->worker_count; to++) {
        struct mail_record r = {.handle = handle_let_go, .size = sizeof(r)};

        shard_send(log->shard, to, &r);
    }
}

uint64_t durable_queue_safe_below(const struct durable_queue *d, uint32_t lane)
{
    const struct durable_lane *l = lane == 0 ? &d->lowest : d->higher[lane - 1];

    if (l == NULL)
        return UINT64_MAX;
    if (l->lost_below != 0 && queue_delivered_below(queue_of(l), lane) < l->lost_below)
        return queue_lane_first_sequence(lane);
    return list_linked(&l->touched) ? l->safe_below : UINT64_MAX;
}

void durable_queue_settled(struct durable_queue *d, uint64_t sequence,
                           struct store_location location)
{
    if (durable_queue_hold_settled(d, sequence))
        return;
    journal_append_settle(d->log->journal, &lane_with(d, sequence)->journal, sequence, location);
}

void durable_queue_returned(struct durable_queue *d, uint64_t sequence, uint32_t delivery_count)
{
    journal_append_returned(d->log->journal, &lane_with(d, sequence)->journal, sequence,
                            delivery_count);
}

void durable_queue_died(struct durable_queue *d, uint64_t sequence, enum dead_letter_reason reason)
{
    durable_queue_returned(d, sequence, durable_mark(reason));
}

static void lane_delivered(struct durable_lane *lane)
{
    uint64_t below = queue_delivered_below(queue_of(lane), lane->number);

    if (below <= lane->delivered_below)
        return;
    lane->delivered_below = below;
    journal_append_delivered(lane->durable->log->journal, &lane->journal, below);
}

void durable_queue_delivered(struct durable_queue *d)
{
    if (d->higher == NULL)
        lane_delivered(&d->lowest);
    else
        visit_lanes(d, lane_delivered);
}

void durable_queue_release(struct durable_queue *d, struct store_location location)
{
    journal_release_message(d->log->journal, location);
}

static void lane_purged(struct durable_lane *lane)
{
    journal_append_state(lane->durable->log->journal, &lane->journal);
}

void durable_queue_purged(struct durable_queue *d)
{
    visit_lanes(d, lane_purged);
}

void durable_log_end_turn(struct durable_log *log)
{
    journal_submit(log->journal);
}

/* ---- Progress ---- */

static void tell_waits(struct durable_log *log, uint64_t up_to, bool accepted)
{
    while (log->wait_count != 0) {
        struct durable_wait wait = *wait_at(log, 0);

        if (wait.position > up_to)
            return;
        log->wait_first = (log->wait_first + 1) & (log->wait_capacity - 1);
        log->wait_count--;
        if (wait.settles && !accepted)
            hold_wait(log, &wait);
        else
            queue_answer_publish(log->shard, wait.worker, &wait.origin, accepted);
    }
}

/* The position that was marked is durable: so is what the touched lanes had then. The next mark is
 * what they have now. */
static void advance_marks(struct durable_log *log)
{
    if (journal_durable(log->journal) < log->mark)
        return;
    list_for_each_safe(&log->touched, node) {
        struct durable_lane *lane = container_of(node, struct durable_lane, touched);
        uint64_t next = queue_next_sequence(queue_of(lane), lane->number);

        lane->safe_below = lane->mark_below;
        lane->mark_below = next;
        if (lane->safe_below == next)
            list_remove(&lane->touched);
    }
    log->mark = journal_appended(log->journal);
}

/* What was appended and is not durable is lost: publishers hear of it, and the messages stay in
 * their queues, in memory, as if they had been transient. */
static void on_failure(struct durable_log *log, int error)
{
    struct journal_figures figures;
    struct list_node *node;

    journal_figures(log->journal, &figures);
    log_error("journal",
              "journal %u cannot be written: %s; persistent messages are refused until it can "
              "(%" PRIu64 " segments of %" PRIu64 " MiB, with messages of %" PRIu64 " MiB)",
              log->number, strerror(error), figures.segments, figures.bytes >> 20,
              figures.live_bytes >> 20);
    log->failures++;
    while ((node = list_take_first(&log->touched)) != NULL) {
        struct durable_lane *lane = container_of(node, struct durable_lane, touched);

        lane->lost_below = queue_next_sequence(queue_of(lane), lane->number);
    }
    tell_waits(log, UINT64_MAX, false);
    retry_later(log);
}

/* Notes each segment that something was synced in, so that it is missed when it is not there at a
 * start, unless the disk is full. */
static void note_end(struct durable_log *log)
{
    uint64_t end = journal_synced_end(log->journal);

    if (end >> 32 == log->noted_end >> 32 || journal_wants_retry(log->journal))
        return;
    log->noted_end = end;
    definitions_note_journal(log->shard->broker->definitions, log->number, end);
}

static void handle_progress(struct worker *w, struct mail_record *r)
{
    struct durable_log *log = *(struct durable_log **)(void *)(r + 1);
    int error = 0;

    (void)w;
    switch (journal_collect(log->journal, &error)) {
    case JOURNAL_NOTHING:
        break;
    case JOURNAL_ADVANCED:
        tell_waits(log, journal_durable(log->journal), true);
        advance_marks(log);
        note_end(log);
        watch_rest(log);
        break;
    case JOURNAL_FAILED:
        on_failure(log, error);
        break;
    }
    let_go(log);
    paging_take_reads(log->shard, log->journal);
    dead_reads_go_on(log->shard);
}
