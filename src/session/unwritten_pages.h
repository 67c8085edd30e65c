/* Messages on their way into page segments (session/paging.h). Each is kept until its page is
 * written: it can be had meanwhile, and is not lost when the disk does not take it. One thread. */
#ifndef LEVERET_SESSION_UNWRITTEN_PAGES_H
#define LEVERET_SESSION_UNWRITTEN_PAGES_H

#include "base/hash_map.h"
#include "base/list.h"
#include "broker/message.h"
#include "broker/store_location.h"

#include <stdbool.h>
#include <stdint.h>

struct unwritten_pages {
    struct hash_map by_location;
    struct list in_order;
};

void unwritten_pages_init(struct unwritten_pages *u);
void unwritten_pages_free(struct unwritten_pages *u);

/* Keeps the message (a reference is taken) until the position `mark` is written. */
void unwritten_pages_add(struct unwritten_pages *u, struct store_location location, uint64_t mark,
                         struct message *msg);

/* Everything up to the position is written. */
void unwritten_pages_written(struct unwritten_pages *u, uint64_t position);

/* What is kept by now never will be written: it is kept until unwritten_pages_drop(). */
void unwritten_pages_failed(struct unwritten_pages *u);

/* The message there, borrowed, or NULL: it is written. O(1). */
struct message *unwritten_pages_find(const struct unwritten_pages *u,
                                     struct store_location location);

/* Nobody holds the message there any more. O(1). */
void unwritten_pages_drop(struct unwritten_pages *u, struct store_location location);

static inline bool unwritten_pages_empty(const struct unwritten_pages *u)
{
    return u->by_location.count == 0;
}

#endif
