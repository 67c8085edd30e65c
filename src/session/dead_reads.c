#include "session/dead_reads.h"

#include "base/log.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/dead_letters.h"
#include "session/durable_log.h"
#include "session/held_settles.h"
#include "session/paging.h"
#include "session/shard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Messages and about as many bytes that are read at a time, and what one counts before any is
 * known. */
#define READING_MESSAGES 1024u
#define READING_BYTES (4u * 1024u * 1024u)
#define FIRST_BODY_SIZE (64u * 1024u)

/* Nothing is read while a journal has more to write than this: letters are not to gather faster
 * than they are written. */
#define GATHERED_BYTES (8u * 1024u * 1024u)

/* From so many in line on, what can wait should. */
#define BEHIND_COUNT 4096u

/* How long after a read failed it is tried again. */
#define RETRY_MS 1000

/* A queue that has letters in line. */
struct queue_in_line {
    struct hash_node node;
    struct queue_handle *queue; /* a reference */
    uint32_t count;
};

struct dead_read {
    struct paging_read read;
    struct list_node in_line;
    struct list_node in_unread;
    struct queue_in_line *of;
    struct queue_handle *queue; /* of->queue */
    struct held_settle *held;   /* its settlement; NULL for one that no journal keeps */
    struct message *message;    /* a reference; NULL: not read yet, or lost */
    uint64_t sequence;
    struct store_location location; /* in a page segment, or none; held: held->location */
    enum dead_letter_reason reason;
    bool done;
};

static void on_retry(struct timer *t);

void dead_reads_init(struct dead_reads *r, struct shard *s)
{
    *r = (struct dead_reads){.shard = s, .last_body_size = FIRST_BODY_SIZE};
    list_init(&r->line);
    list_init(&r->unread);
    hash_map_init(&r->queues);
    timer_init(&r->retry, on_retry);
}

static bool is_of(const struct hash_node *node, const void *key)
{
    return container_of(node, struct queue_in_line, node)->queue == key;
}

static uint64_t hash_of(const struct queue_handle *queue)
{
    return (uint64_t)(uintptr_t)queue * UINT64_C(0x9e3779b97f4a7c15);
}

static struct hash_node *find_queue(const struct dead_reads *r, const struct queue_handle *queue)
{
    return r->count != 0 ? hash_map_find(&r->queues, hash_of(queue), is_of, queue) : NULL;
}

/* The queue has one more letter in line. */
static struct queue_in_line *join(struct dead_reads *r, struct queue_handle *queue)
{
    struct hash_node *node = find_queue(r, queue);
    struct queue_in_line *of;

    if (node != NULL) {
        of = container_of(node, struct queue_in_line, node);
    } else {
        of = memory_alloc_zeroed(1, sizeof(*of));
        of->queue = queue_handle_ref(queue);
        hash_map_insert(&r->queues, &of->node, hash_of(queue));
    }
    of->count++;
    r->count++;
    return of;
}

static void leave(struct dead_reads *r, struct queue_in_line *of)
{
    r->count--;
    if (--of->count != 0)
        return;
    hash_map_remove(&r->queues, &of->node);
    queue_handle_unref(of->queue);
    free(of);
}

static void free_read(struct dead_reads *r, struct dead_read *d)
{
    list_remove(&d->in_line);
    list_remove(&d->in_unread);
    leave(r, d->of);
    free(d);
}

void dead_reads_release(struct dead_reads *r)
{
    while (!list_empty(&r->line)) {
        struct dead_read *d = container_of(list_first(&r->line), struct dead_read, in_line);

        if (d->message != NULL)
            message_unref(d->message);
        free_read(r, d);
    }
    hash_map_clear(&r->queues);
}

bool dead_reads_want(const struct shard *s, const struct effect *e)
{
    return e->message == NULL || find_queue(&s->dead_reads, queue_owner(e->queue)) != NULL;
}

bool dead_reads_are_behind(const struct shard *s)
{
    return s->dead_reads.count >= BEHIND_COUNT;
}

/* ---- The end of the line ---- */

/* Where the message is by now. */
static struct store_location where(const struct dead_read *d)
{
    return d->held != NULL ? d->held->location : d->location;
}

/* Nobody wants the message any more: its queue was deleted. */
static bool is_gone(const struct dead_read *d)
{
    return d->held != NULL && !held_settle_is_wanted(d->held);
}

static void bury(struct shard *s, struct dead_read *d)
{
    struct message *m = d->message;

    d->message = NULL;
    if (m == NULL && !is_gone(d))
        lost_messages_report(s, d->queue, d->sequence, where(d));
    if (d->held != NULL) {
        held_settle_read(d->held, m);
    } else {
        if (m != NULL) {
            dead_letter_send(s, d->queue, m, d->reason, NULL);
            message_unref(m);
        }
        if (!store_location_is_none(d->location))
            paging_release(s, d->location);
    }
    free_read(&s->dead_reads, d);
}

/* ---- Reading ---- */

static void finish_read(struct shard *s, struct paging_read *read,
                        struct journal_read_result *result);

static bool writes_lag(const struct shard *s)
{
    return (s->log != NULL && journal_gathered_bytes(s->log->journal) >= GATHERED_BYTES) ||
           journal_gathered_bytes(s->paging.pages) >= GATHERED_BYTES;
}

static bool may_read_more(const struct dead_reads *r)
{
    uint64_t bytes = (uint64_t)r->reading * (r->last_body_size + 1u);

    if (writes_lag(r->shard))
        return false;
    return r->reading == 0 || (r->reading < READING_MESSAGES && bytes < READING_BYTES);
}

static void start_read(struct dead_reads *r, struct dead_read *d)
{
    if (is_gone(d)) {
        d->done = true;
        return;
    }
    r->reading++;
    paging_read(r->shard, d->queue, where(d), &d->read);
}

/* Publishes what is first and ready, and has the next read, for as long as either can be done. */
static void advance(struct dead_reads *r)
{
    struct list_node *node;

    if (r->advancing)
        return;
    r->advancing = true;
    for (;;) {
        node = list_first(&r->line);
        if (node != NULL && container_of(node, struct dead_read, in_line)->done) {
            bury(r->shard, container_of(node, struct dead_read, in_line));
            continue;
        }
        if (list_empty(&r->unread) || timer_is_set(&r->retry) || !may_read_more(r))
            break;
        start_read(r, container_of(list_take_first(&r->unread), struct dead_read, in_unread));
    }
    r->advancing = false;
}

/* The message is still on disk: nothing is read until it is tried again. */
static void try_again_later(struct dead_reads *r, struct dead_read *d, int error)
{
    if (!timer_is_set(&r->retry)) {
        log_error("paging",
                  "messages of queue '%.*s' cannot be read to be dead-lettered: %s; trying again "
                  "in %d ms",
                  BYTES_ARGS(d->queue->name), strerror(-error), RETRY_MS);
        timer_set(&r->shard->worker->timers, &r->retry, shard_now_ms(r->shard) + RETRY_MS);
    }
    list_prepend(&r->unread, &d->in_unread);
}

void dead_reads_go_on(struct shard *s)
{
    if (list_empty(&s->dead_reads.line))
        return;
    advance(&s->dead_reads);
    shard_run_effects(s);
}

static void on_retry(struct timer *t)
{
    dead_reads_go_on(container_of(t, struct dead_reads, retry)->shard);
}

static void finish_read(struct shard *s, struct paging_read *read,
                        struct journal_read_result *result)
{
    struct dead_reads *r = &s->dead_reads;
    struct dead_read *d = container_of(read, struct dead_read, read);

    r->reading--;
    if (result->error != 0) {
        try_again_later(r, d, result->error);
        return;
    }
    d->done = true;
    d->message = result->messages[0];
    if (d->message != NULL)
        r->last_body_size = d->message->body_size;
    dead_reads_go_on(s);
}

/* ---- The beginning ---- */

static struct dead_read *enter(struct dead_reads *r, struct queue_handle *queue,
                               struct held_settle *held, uint64_t sequence)
{
    struct dead_read *d = memory_alloc_zeroed(1, sizeof(*d));

    d->read.finish = finish_read;
    list_append(&r->line, &d->in_line);
    list_node_init(&d->in_unread);
    d->of = join(r, queue);
    d->queue = queue;
    d->held = held;
    d->sequence = sequence;
    return d;
}

static void begin(struct dead_reads *r, struct dead_read *d)
{
    if (d->message == NULL)
        d->message = paging_find_unwritten(r->shard, where(d));
    d->done = d->message != NULL;
    if (!d->done)
        list_append(&r->unread, &d->in_unread);
    advance(r);
}

void dead_reads_add(struct shard *s, const struct effect *e)
{
    struct effect unread = *e;
    struct dead_read *d;

    unread.message = NULL;
    d = enter(&s->dead_reads, queue_owner(e->queue), held_settle_begin_reading(s, &unread),
              e->sequence);
    d->reason = e->reason;
    d->message = e->message;
    if (e->message == NULL && d->held == NULL)
        d->location = e->location; /* else it is given back by itself */
    begin(&s->dead_reads, d);
}

void dead_reads_read(struct shard *s, struct held_settle *held)
{
    begin(&s->dead_reads, enter(&s->dead_reads, held->queue, held, held->sequence));
}
