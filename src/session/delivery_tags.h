/* The deliveries of a channel that are not settled yet, by delivery tag.
 *
 * Adding, finding and settling are O(1) while tags are settled roughly in order. Where one is kept
 * back while many later ones are settled, the memory stays in proportion to those that are left
 * and finding is a binary search. Memory is forgotten when a large ring empties. One thread: the
 * channel's worker. */
#ifndef LEVERET_SESSION_DELIVERY_TAGS_H
#define LEVERET_SESSION_DELIVERY_TAGS_H

#include <stdbool.h>
#include <stdint.h>

struct subscription;

struct delivery_tag_entry {
    struct subscription *subscription; /* NULL: settled */
    uint64_t tag;
    uint64_t number : 63;        /* the consumer's number for it (broker/queue.h) */
    uint64_t in_transaction : 1; /* settled by a transaction that has not committed */
};

struct delivery_tags {
    struct delivery_tag_entry *ring; /* in ascending order of tags */
    uint32_t capacity;               /* a power of two, or 0 */
    uint32_t first;                  /* the place of the oldest entry */
    uint32_t length;                 /* entries from the oldest to the newest, settled ones too */
    uint32_t count;                  /* of them, those that are not settled */
};

void delivery_tags_init(struct delivery_tags *u);
void delivery_tags_free(struct delivery_tags *u);

/* Notes that `tag` was delivered. Tags ascend; those left out count as settled. */
void delivery_tags_add(struct delivery_tags *u, uint64_t tag, struct subscription *s,
                       uint64_t number);

/* The entry of a tag that is delivered and not settled, or NULL. Valid until the next add. */
struct delivery_tag_entry *delivery_tags_find(struct delivery_tags *u, uint64_t tag);

/* Settles the tag, which delivery_tags_find() knows. */
void delivery_tags_remove(struct delivery_tags *u, uint64_t tag);

/* The lowest tag that is not settled; 0 when there is none. */
uint64_t delivery_tags_first(const struct delivery_tags *u);

/* The next tag above `tag` that is not settled; 0 when there is none. */
uint64_t delivery_tags_next(const struct delivery_tags *u, uint64_t tag);

#endif
