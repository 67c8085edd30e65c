#include "session/paging.h"

#include "base/log.h"
#include "base/system_memory.h"
#include "session/broker.h"
#include "session/durable_log.h"
#include "session/shard.h"

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
/* How long after page segments could not be written they are tried again. */
#define PAGING_RETRY_MS 1000
/* Segment numbers of page segments, told apart from the journal's. */
#define PAGE_SEGMENT_BIT 0x80000000u
#define PAGE_SEGMENT_SIZE (16u * 1024u * 1024u)

/* ---- Locations ---- */

bool paging_owns(struct store_location location)
{
    return (location.segment & PAGE_SEGMENT_BIT) != 0;
}

struct store_location paging_place(struct store_location location)
{
    location.segment &= ~PAGE_SEGMENT_BIT;
    return location;
}

uint32_t paging_segment(struct store_location location)
{
    return paging_place(location).segment;
}

void paging_release(struct shard *s, struct store_location location)
{
    unwritten_pages_drop(&s->paging.unwritten, paging_place(location));
    journal_release_message(s->paging.pages, paging_place(location));
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
    timer_init(&p->tick, on_tick);
    paging_in_init(&p->in, s);
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

/* ---- The end ---- */

void paging_close(struct paging *p)
{
    if (p->pages == NULL)
        return;
    journal_close(p->pages);
    unwritten_pages_free(&p->unwritten);
    paging_in_release(&p->in);
}
