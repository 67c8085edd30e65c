#include "session/paging.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/system_memory.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/durable_log.h"
#include "session/queue_home.h"
#include "session/shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A queue is long, and watched, from this many messages or bytes of bodies on; so much at its head
 * stays in memory. */
#define PAGING_LONG_QUEUE 4096u
#define PAGING_LONG_BYTES (16u * 1024u * 1024u)
#define PAGING_KEEP_FIRST 1024u
#define PAGING_KEEP_BYTES (4u * 1024u * 1024u)
/* A queue that is long by its bytes alone has messages of at least this size. */
#define PAGING_LARGE_BODY (PAGING_LONG_BYTES / PAGING_LONG_QUEUE)
/* How often memory is looked at while there are long queues, and how soon again while there is too
 * much; messages paged out in one go. */
#define PAGING_TICK_MS 100
#define PAGING_BUSY_TICK_MS 5
#define PAGING_BATCH 20000u
/* About so many bytes may wait to be written to page segments. */
#define PAGING_UNWRITTEN_BYTES (16u * 1024u * 1024u)
/* Paging begins so far below the target, a sixteenth of it: what is published between two looks at
 * the memory is to stay below it as well. */
#define PAGING_HEADROOM_DIVISOR 16u
/* How often memory is looked at once more when there is nothing left to page and it is above the
 * target. */
#define PAGING_QUIET_TICKS 20u
/* Messages and bytes of one read. */
#define PAGING_READ_MESSAGES 1024u
#define PAGING_READ_BYTES (4u * 1024u * 1024u)
/* How long after a read failed it is tried again. */
#define PAGING_RETRY_MS 1000
/* Segment numbers of page segments, told apart from the journal's. */
#define PAGE_SEGMENT_BIT 0x80000000u
#define PAGE_SEGMENT_SIZE (16u * 1024u * 1024u)

/* ---- Locations ---- */

bool paging_owns(struct store_location location)
{
    return (location.segment & PAGE_SEGMENT_BIT) != 0;
}

static struct store_location in_pages(struct store_location location)
{
    location.segment &= ~PAGE_SEGMENT_BIT;
    return location;
}

uint32_t paging_segment(struct store_location location)
{
    return in_pages(location).segment;
}

void paging_release(struct shard *s, struct store_location location)
{
    unwritten_pages_drop(&s->paging.unwritten, in_pages(location));
    journal_release_message(s->paging.pages, in_pages(location));
}

/* ---- Life ---- */

static void handle_pages_progress(struct worker *w, struct mail_record *r)
{
    struct paging *p = *(struct paging **)(void *)(r + 1);
    int error;

    (void)w;
    switch (journal_collect(p->pages, &error)) {
    case JOURNAL_NOTHING:
        break;
    case JOURNAL_ADVANCED:
        unwritten_pages_written(&p->unwritten, journal_durable(p->pages));
        break;
    case JOURNAL_FAILED:
        log_error("paging", "page segments cannot be written: %s; messages stay in memory",
                  strerror(error));
        unwritten_pages_failed(&p->unwritten);
        break;
    }
    paging_take_reads(p->shard, p->pages);
    dead_reads_go_on(p->shard);
}

/* On a thread of the page segments. */
static void notify(void *context)
{
    struct paging *p = context;

    worker_post(p->shard->worker, handle_pages_progress, &p, sizeof(p));
}

/* Nothing is read back from page segments at a start, so no state is needed in them. */
static void no_state(void *context, uint64_t queue_id, uint64_t *head, const uint64_t **kept,
                     uint32_t *kept_count)
{
    (void)context;
    (void)queue_id;
    *head = 1;
    *kept = NULL;
    *kept_count = 0;
}

static bool no_relocation(void *context, uint64_t queue_id, uint64_t sequence,
                          struct store_location from, struct store_location to)
{
    (void)context;
    (void)queue_id;
    (void)sequence;
    (void)from;
    (void)to;
    return false;
}

static void on_tick(struct timer *t);
static void on_retry(struct timer *t);

int paging_open(struct paging *p, struct shard *s, const char *directory, uint64_t target_bytes)
{
    const struct journal_options options = {
        .files = &SYSTEM_FILES,
        .directory = directory,
        .segment_size_bytes = PAGE_SEGMENT_SIZE,
        .sync = JOURNAL_SYNC_NEVER,
        .compact_below_percent = 0,
        .notify = notify,
        .queue_state = no_state,
        .relocate = no_relocation,
        .context = p,
        .shortages = &s->broker->short_journals,
    };

    *p = (struct paging){
        .shard = s,
        .begin_bytes = target_bytes - target_bytes / PAGING_HEADROOM_DIVISOR,
    };
    unwritten_pages_init(&p->unwritten);
    list_init(&p->queues);
    list_init(&p->parked);
    list_init(&p->failed);
    timer_init(&p->tick, on_tick);
    timer_init(&p->retry, on_retry);
    lost_messages_init(&p->lost);
    journal_queue_init(&p->page_queue, 1);
    return journal_open(&p->pages, &options);
}

/* ---- Paging out ---- */

/* Writes a transient message to the page segments. */
static struct store_location page(void *context, struct message *msg)
{
    struct paging *p = context;
    struct store_location location = {.segment = 0};

    if (!journal_takes_messages(p->pages))
        return location;
    location = journal_append_message(p->pages, &p->page_queue, 1, msg, 0);
    if (store_location_is_none(location))
        return location;
    unwritten_pages_add(&p->unwritten, location, journal_appended(p->pages), msg);
    location.segment |= PAGE_SEGMENT_BIT;
    return location;
}

static uint64_t safe_below(const struct queue_handle *queue, uint32_t lane)
{
    const struct durable_queue *d = queue->durable;
    uint64_t next = queue_next_sequence(queue->queue, lane);

    return d != NULL && durable_queue_safe_below(d, lane) < next ? durable_queue_safe_below(d, lane)
                                                                 : next;
}

static uint64_t page_out_lane(struct paging *p, struct queue_handle *queue, uint32_t lane)
{
    return queue_page_out(queue->queue, lane,
                          queue_messages_within(queue->queue, PAGING_KEEP_BYTES, PAGING_KEEP_FIRST),
                          safe_below(queue, lane) - 1,
                          queue_messages_within(queue->queue, PAGING_UNWRITTEN_BYTES, PAGING_BATCH),
                          page, p);
}

struct unacked_context {
    struct paging *paging;
    const struct queue_handle *queue;
};

static bool is_safe(void *context, uint64_t sequence)
{
    const struct unacked_context *c = context;

    return sequence < safe_below(c->queue, queue_lane_of_sequence(sequence));
}

static struct store_location page_unacked(void *context, struct message *msg)
{
    struct unacked_context *c = context;
    struct store_location nowhere = {.segment = 0};

    return journal_gathered_bytes(c->paging->pages) < PAGING_UNWRITTEN_BYTES ? page(c->paging, msg)
                                                                             : nowhere;
}

/* What is delivered last goes first. */
static uint64_t page_out(struct paging *p, struct queue_handle *queue)
{
    struct unacked_context unacked = {.paging = p, .queue = queue};
    uint64_t given_back = 0;

    for (uint32_t lane = 0; lane < queue_lane_count(queue->queue); lane++)
        given_back += page_out_lane(p, queue, lane);
    return given_back + queue_page_out_unacked(queue->queue, PAGING_KEEP_BYTES, PAGING_BATCH,
                                               is_safe, page_unacked, &unacked);
}

/* Page segments that failed, or that stood back for a journal without space, are asked again for
 * what they did not take. */
static void retry_pages(struct paging *p)
{
    int64_t now_ms = shard_now_ms(p->shard);

    if (journal_is_failed(p->pages) && now_ms >= p->pages_retry_ms) {
        p->pages_retry_ms = now_ms + PAGING_RETRY_MS;
        if (journal_retry(p->pages) == 0)
            log_info("paging", "page segments can be written again");
    }
    if (!journal_takes_messages(p->pages)) {
        p->pages_full = true;
        return;
    }
    if (!p->pages_full)
        return;
    p->pages_full = false;
    list_for_each(&p->queues, node)
        queue_page_again(container_of(node, struct queue_handle, paging)->queue);
}

/* What is ready and what is unacked. */
static uint64_t count_messages(const struct queue *q)
{
    return queue_message_count(q) + queue_unacked_count(q);
}

static uint64_t count_bytes(const struct queue *q)
{
    return queue_ready_bytes(q) + queue_unacked_resident_bytes(q);
}

static void unwatch_short(struct queue_handle *queue)
{
    if (count_messages(queue->queue) < PAGING_LONG_QUEUE / 2 &&
        count_bytes(queue->queue) < PAGING_LONG_BYTES / 2)
        list_remove(&queue->paging);
}

static void on_tick(struct timer *t)
{
    struct paging *p = container_of(t, struct paging, tick);
    struct shard *s = p->shard;
    bool over = system_memory_exceeds(p->begin_bytes);
    uint64_t freed = 0;
    bool busy;

    retry_pages(p);
    list_for_each_safe(&p->queues, node) {
        struct queue_handle *queue = container_of(node, struct queue_handle, paging);

        if (over && journal_gathered_bytes(p->pages) < PAGING_UNWRITTEN_BYTES)
            freed += page_out(p, queue);
        unwatch_short(queue);
    }
    journal_end_dead_segment(p->pages);
    journal_submit(p->pages);
    busy = freed != 0 || !unwritten_pages_empty(&p->unwritten);
    if (!list_empty(&p->queues) || journal_has_live(p->pages))
        p->quiet_ticks = 0;
    else
        p->quiet_ticks++;
    /* Looking at the memory gives what is free back to the system. */
    if (p->quiet_ticks == 0 || (over && p->quiet_ticks < PAGING_QUIET_TICKS) ||
        !journal_give_back(p->pages))
        timer_set(&s->worker->timers, t,
                  shard_now_ms(s) + (busy ? PAGING_BUSY_TICK_MS : PAGING_TICK_MS));
}

/* `body_size` spares queues of small messages the sum of their bytes. */
static bool is_long(const struct queue *q, uint32_t body_size)
{
    return count_messages(q) >= PAGING_LONG_QUEUE ||
           (body_size >= PAGING_LARGE_BODY && count_bytes(q) >= PAGING_LONG_BYTES);
}

void paging_watch(struct shard *s, struct queue_handle *queue, uint32_t body_size)
{
    struct paging *p = &s->paging;

    if (p->pages == NULL || list_linked(&queue->paging) || !is_long(queue->queue, body_size))
        return;
    list_append(&p->queues, &queue->paging);
    if (!timer_is_set(&p->tick))
        timer_set(&s->worker->timers, &p->tick, shard_now_ms(s) + PAGING_TICK_MS);
}

void paging_forget(struct queue_handle *queue)
{
    list_remove(&queue->paging);
}

/* ---- Paging in ---- */

/* One read of messages for their queue, from one journal. */
struct fetch {
    struct paging_read read;
    struct list_node node;      /* in paging.failed */
    struct queue_handle *queue; /* a reference */
    uint32_t count;
    struct fetched {
        uint64_t sequence;
        struct store_location location;
    } items[];
};

/* The journal that has the first location, and how many of the list it has written in a row. */
static struct journal *journal_of(struct shard *s, const struct queue_handle *queue,
                                  struct store_location *locations, uint32_t count, uint32_t *run)
{
    const struct durable_queue *d = queue->durable;
    bool pages = paging_owns(locations[0]);

    for (*run = 0; *run < count && paging_owns(locations[*run]) == pages; ++*run) {
        locations[*run] = in_pages(locations[*run]);
        if (pages && *run != 0 &&
            unwritten_pages_find(&s->paging.unwritten, locations[*run]) != NULL)
            break;
    }
    return pages ? s->paging.pages : d->log->journal;
}

static void finish_fetch(struct shard *s, struct paging_read *read, struct journal_read_result *r);

static void start_fetch(struct queue_handle *queue, struct journal *j, const uint64_t *sequences,
                        const struct store_location *locations, uint32_t count)
{
    struct fetch *fetch = memory_alloc(sizeof(*fetch) + count * sizeof(fetch->items[0]));

    list_node_init(&fetch->node);
    fetch->queue = queue_handle_ref(queue);
    fetch->read.finish = finish_fetch;
    fetch->count = count;
    for (uint32_t i = 0; i < count; i++) {
        fetch->items[i].sequence = sequences[i];
        fetch->items[i].location = locations[i];
    }
    journal_read(j, locations, count, &fetch->read);
}

static void take_in(struct shard *s, struct queue_handle *queue, const uint64_t *sequences,
                    struct message *const *messages, uint32_t count)
{
    queue_fetched(queue->queue, sequences, messages, count, &s->effects);
    paging_watch(s, queue, UINT32_MAX);
    shard_run_effects(s);
    paging_ask_parked(s, queue);
}

/* Whether the first messages are not written yet: then they are brought from memory. */
static bool fetch_unwritten(struct shard *s, struct queue_handle *queue, const uint64_t *sequences,
                            const struct store_location *locations, uint32_t count)
{
    struct message *messages[PAGING_READ_MESSAGES];
    uint32_t n = 0;

    while (n < count && paging_owns(locations[n])) {
        messages[n] = unwritten_pages_find(&s->paging.unwritten, in_pages(locations[n]));
        if (messages[n] == NULL)
            break;
        message_ref(messages[n++]);
    }
    if (n != 0)
        take_in(s, queue, sequences, messages, n);
    return n != 0;
}

void paging_fetch(struct shard *s, struct queue_handle *queue)
{
    struct store_location locations[PAGING_READ_MESSAGES];
    uint64_t sequences[PAGING_READ_MESSAGES];
    struct journal *j;
    uint32_t count = queue_fetch_list(queue->queue, PAGING_READ_MESSAGES, PAGING_READ_BYTES,
                                      sequences, locations);

    if (count == 0 || fetch_unwritten(s, queue, sequences, locations, count))
        return;
    j = journal_of(s, queue, locations, count, &count);
    start_fetch(queue, j, sequences, locations, count);
}

static void fetch_free(struct fetch *fetch)
{
    queue_handle_unref(fetch->queue);
    free(fetch);
}

void paging_read(struct shard *s, const struct queue_handle *queue, struct store_location location,
                 struct paging_read *read)
{
    uint32_t run;
    struct journal *j = journal_of(s, queue, &location, 1, &run);

    journal_read(j, &location, 1, read);
}

struct message *paging_find_unwritten(struct shard *s, struct store_location location)
{
    struct message *m = paging_owns(location)
                            ? unwritten_pages_find(&s->paging.unwritten, in_pages(location))
                            : NULL;

    return m != NULL ? message_ref(m) : NULL;
}

static void on_retry(struct timer *t)
{
    struct paging *p = container_of(t, struct paging, retry);
    struct list again;
    struct list_node *node;

    list_init(&again);
    list_splice(&again, &p->failed);
    while ((node = list_take_first(&again)) != NULL) {
        struct fetch *fetch = container_of(node, struct fetch, node);

        if (fetch->queue->queue != NULL)
            paging_fetch(p->shard, fetch->queue);
        fetch_free(fetch);
    }
}

/* The messages are still on disk: the queue stands still until they can be read. */
static void try_again_later(struct shard *s, struct fetch *fetch, int error)
{
    log_error("paging", "messages of queue '%.*s' cannot be read: %s; trying again in %d ms",
              BYTES_ARGS(fetch->queue->name), strerror(-error), PAGING_RETRY_MS);
    list_append(&s->paging.failed, &fetch->node);
    if (!timer_is_set(&s->paging.retry))
        timer_set(&s->worker->timers, &s->paging.retry, shard_now_ms(s) + PAGING_RETRY_MS);
}

/* A basic.get that waits. */
struct parked_get {
    struct list_node node;
    struct queue_command command;
};

void paging_park_get(struct shard *s, const struct queue_command *c)
{
    struct parked_get *get = memory_alloc_zeroed(1, sizeof(*get));

    get->command = *c;
    list_append(&s->paging.parked, &get->node);
}

/* GCC's analyzer takes the list's head for its first node, in spite of list_first(). */
#if defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-use-of-uninitialized-value"
#pragma GCC diagnostic ignored "-Wanalyzer-free-of-non-heap"
#endif
void paging_ask_parked(struct shard *s, const struct queue_handle *queue)
{
    struct list again;

    list_init(&again);
    list_for_each_safe(&s->paging.parked, node) {
        if (container_of(node, struct parked_get, node)->command.queue == queue) {
            list_remove(node);
            list_append(&again, node);
        }
    }
    while (!list_empty(&again)) {
        struct parked_get *get = container_of(list_take_first(&again), struct parked_get, node);

        get->command.head.handle(s->worker, &get->command.head);
        free(get);
    }
}
#if defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static void take_in_fetched(struct shard *s, const struct fetch *fetch,
                            struct message *const *messages)
{
    uint64_t sequences[PAGING_READ_MESSAGES];

    for (uint32_t i = 0; i < fetch->count; i++) {
        sequences[i] = fetch->items[i].sequence;
        if (messages[i] == NULL)
            lost_messages_report(s, fetch->queue, sequences[i], fetch->items[i].location);
    }
    take_in(s, fetch->queue, sequences, messages, fetch->count);
}

static void drop_fetched(const struct journal_read_result *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->messages[i] != NULL)
            message_unref(r->messages[i]);
    }
}

static void finish_fetch(struct shard *s, struct paging_read *read, struct journal_read_result *r)
{
    struct fetch *fetch = container_of(read, struct fetch, read);

    if (fetch->queue->queue == NULL) {
        drop_fetched(r);
    } else if (r->error != 0) {
        try_again_later(s, fetch, r->error);
        return;
    } else {
        take_in_fetched(s, fetch, r->messages);
    }
    fetch_free(fetch);
}

void paging_take_reads(struct shard *s, struct journal *j)
{
    struct journal_read_result r;

    while (journal_take_read(j, &r)) {
        struct paging_read *read = r.token;

        read->finish(s, read, &r);
        journal_read_result_free(&r);
    }
}

void paging_close(struct paging *p)
{
    if (p->pages == NULL)
        return;
    journal_close(p->pages);
    unwritten_pages_free(&p->unwritten);
    while (!list_empty(&p->parked))
        free(container_of(list_take_first(&p->parked), struct parked_get, node));
    while (!list_empty(&p->failed))
        fetch_free(container_of(list_take_first(&p->failed), struct fetch, node));
}
