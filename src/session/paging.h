/* Keeping deep queues on disk and not in memory: near the memory target the bodies of messages far
 * from the head of their queue leave memory, and come back when their turn nears. So do those of
 * messages that consumers hold unacked, and come back if the messages do. On the shard's worker.
 *
 * Stored messages (session/durable_log.h) are read back from the journal. Transient ones are
 * written to page segments first, which are the shard's own and mean nothing after a restart. */
#ifndef LEVERET_SESSION_PAGING_H
#define LEVERET_SESSION_PAGING_H

#include "base/list.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "net/timer_wheel.h"
#include "session/lost_messages.h"
#include "session/paging_in.h"
#include "session/unwritten_pages.h"
#include "store/journal.h"

#include <stdbool.h>
#include <stdint.h>

struct shard;

struct paging {
    struct shard *shard;
    struct journal *pages;
    struct journal_queue page_queue; /* stands for all queues in the page segments */
    struct list queues;              /* long ones, by queue_handle.paging */
    struct paging_in in;
    struct timer tick;
    struct unwritten_pages unwritten;
    struct lost_messages lost;
    int64_t pages_retry_ms; /* when failed page segments are tried again */
    bool pages_full;        /* transient messages were not taken */
    uint32_t quiet_ticks;   /* since there was something to page */
    uint64_t begin_bytes;   /* of the process's memory: messages are paged out above it */
};

/* Opens the page segments in `directory`, which is empty. Returns 0 or -errno. */
int paging_open(struct paging *p, struct shard *s, const char *directory, uint64_t target_bytes);
void paging_close(struct paging *p);

/* After a message with a body of `body_size` bytes was enqueued, or messages of whatever size
 * (UINT32_MAX) came back or came from the disk: a queue that has become long, with what is unacked,
 * is watched from now on. */
void paging_watch(struct shard *s, struct queue_handle *queue, uint32_t body_size);

/* The queue is deleted. */
void paging_forget(struct queue_handle *queue);

/* Whether the location is in the page segments, and releasing a message there. */
bool paging_owns(struct store_location location);
/* The location as the page segments have it; one in the journal stays as it is. */
struct store_location paging_place(struct store_location location);
/* The number of the segment that it is in, there or in the journal. */
uint32_t paging_segment(struct store_location location);
void paging_release(struct shard *s, struct store_location location);

#endif
