/* Entries of a queue in ascending order of their numbers, which come in any order: messages that
 * were delivered before and came back. They may be in memory or not.
 *
 * They stand in blocks, and a directory tells where each block begins. Adding and taking are O(1)
 * at both ends and O(log n) elsewhere, whatever the order, so no turn ever pays for all of them.
 * The memory is close to that of the entries where they come in order, up or down, and less than
 * three times that of them at the worst.
 *
 * The caller owns the entries' references to messages. One thread. */
#ifndef LEVERET_BROKER_ENTRY_LIST_H
#define LEVERET_BROKER_ENTRY_LIST_H

#include "broker/entries.h"

#include <stdbool.h>
#include <stdint.h>

struct entry_block {
    uint64_t first; /* the number of its first entry */
    struct entry *places;
    uint16_t begin; /* the first place in use */
    uint16_t count; /* not 0 */
    uint16_t capacity;
    uint16_t paged; /* of them not in memory */
};

static_assert(sizeof(struct entry_block) <= 24, "what a search looks at");

struct entry_list {
    struct entry_block *blocks; /* with room before the first and behind the last */
    uint32_t blocks_begin;
    uint32_t block_count;
    uint32_t blocks_capacity;
    uint32_t count;
    uint32_t paged;       /* of them not in memory */
    uint32_t loaded;      /* before the first that is not in memory */
    uint64_t first_paged; /* its number; UINT64_MAX when there is none */
};

/* Where an entry is. */
struct entry_cursor {
    uint32_t block;
    uint32_t index;
};

/* Empty; holds no memory but its own. */
void entry_list_init(struct entry_list *l);

/* Frees the memory, whatever is in it. */
void entry_list_free(struct entry_list *l);

/* Adds an entry whose number is not there. */
void entry_list_add(struct entry_list *l, const struct entry *entry);

/* The first entry; there is one. */
static inline struct entry *entry_list_first(const struct entry_list *l)
{
    const struct entry_block *block = &l->blocks[l->blocks_begin];

    return &block->places[block->begin];
}

/* Takes the first entry; there is one. */
void entry_list_take_first(struct entry_list *l, struct entry *out);

/* ---- Places ---- */

/* The first entry with this number or a higher one, or behind the last. */
struct entry_cursor entry_list_seek(const struct entry_list *l, uint64_t sequence);

/* The entry behind the first `count`, or behind the last. O(count). */
struct entry_cursor entry_list_behind(const struct entry_list *l, uint32_t count);

/* The entry there, or NULL behind the last. Its message is changed by the functions below alone. */
struct entry *entry_list_at(const struct entry_list *l, struct entry_cursor at);

/* The entry with this number, or NULL, and where it is. */
struct entry *entry_list_find(const struct entry_list *l, uint64_t sequence,
                              struct entry_cursor *at);

void entry_list_next(const struct entry_list *l, struct entry_cursor *at);

/* Goes on to the first entry in memory from here on, or behind the last. Blocks of which nothing is
 * in memory are passed in one step. */
void entry_list_skip_paged(const struct entry_list *l, struct entry_cursor *at);

/* Takes the entry that is there; what stands behind it moves. */
void entry_list_take(struct entry_list *l, struct entry_cursor at, struct entry *out);

/* ---- Paging ---- */

/* Takes the message, with the reference, of the entry there. */
struct message *entry_list_page(struct entry_list *l, struct entry_cursor at);

/* Gives the entry there its message back, with the reference. */
void entry_list_put(struct entry_list *l, struct entry_cursor at, struct message *m);

/* To be called after a run of entry_list_put(): finds what `loaded` and `first_paged` are. */
void entry_list_tidy(struct entry_list *l);

#endif
