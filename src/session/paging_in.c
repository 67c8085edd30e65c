#include "session/paging_in.h"

#include "base/log.h"
#include "base/memory.h"
#include "session/durable_log.h"
#include "session/paging.h"
#include "session/queue_home.h"
#include "session/shard.h"

#include <stdlib.h>
#include <string.h>

/* Messages and bytes of one read. */
#define PAGING_READ_MESSAGES 1024u
#define PAGING_READ_BYTES (4u * 1024u * 1024u)
/* How long after a read failed it is tried again. */
#define PAGING_RETRY_MS 1000

/* ---- What waits for messages ---- */

/* A basic.get that waits. */
struct parked_get {
    struct list_node node;
    struct queue_command command;
};

void paging_park_get(struct shard *s, const struct queue_command *c)
{
    struct parked_get *get = memory_alloc_zeroed(1, sizeof(*get));

    get->command = *c;
    list_append(&s->paging.in.parked, &get->node);
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
    list_for_each_safe(&s->paging.in.parked, node) {
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

/* ---- Reads ---- */

/* One read of messages for their queue, from one journal. */
struct fetch {
    struct paging_read read;
    struct list_node node;      /* in paging_in.failed */
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
        locations[*run] = paging_place(locations[*run]);
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
        messages[n] = unwritten_pages_find(&s->paging.unwritten, paging_place(locations[n]));
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
                            ? unwritten_pages_find(&s->paging.unwritten, paging_place(location))
                            : NULL;

    return m != NULL ? message_ref(m) : NULL;
}

static void on_retry(struct timer *t)
{
    struct paging_in *p = container_of(t, struct paging_in, retry);
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
    list_append(&s->paging.in.failed, &fetch->node);
    if (!timer_is_set(&s->paging.in.retry))
        timer_set(&s->worker->timers, &s->paging.in.retry, shard_now_ms(s) + PAGING_RETRY_MS);
}

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

/* ---- Life ---- */

void paging_in_init(struct paging_in *p, struct shard *s)
{
    p->shard = s;
    list_init(&p->parked);
    list_init(&p->failed);
    timer_init(&p->retry, on_retry);
}

void paging_in_release(struct paging_in *p)
{
    while (!list_empty(&p->parked))
        free(container_of(list_take_first(&p->parked), struct parked_get, node));
    while (!list_empty(&p->failed))
        fetch_free(container_of(list_take_first(&p->failed), struct fetch, node));
}
