#include "broker/entry_list.h"

#include "base/memory.h"

#include <assert.h>

/* A block has at most so many places; the first one begins small. */
#define BLOCK_PLACES 128u
#define FIRST_PLACES 8u

/* Neighbours that have no more than this together become one. */
#define MERGED_PLACES (BLOCK_PLACES * 3 / 4)

#define FIRST_BLOCKS 2u

void entry_list_init(struct entry_list *l)
{
    *l = (struct entry_list){.first_paged = UINT64_MAX};
}

static struct entry_block *block_at(const struct entry_list *l, uint32_t i)
{
    return &l->blocks[l->blocks_begin + i];
}

static struct entry *place(const struct entry_block *b, uint32_t i)
{
    return &b->places[b->begin + i];
}

void entry_list_free(struct entry_list *l)
{
    for (uint32_t i = 0; i < l->block_count; i++)
        free(block_at(l, i)->places);
    free(l->blocks);
    entry_list_init(l);
}

/* ---- The directory ---- */

/* Moves the blocks to the middle of the directory, which grows when it is more than half full. */
static void centre_blocks(struct entry_list *l)
{
    uint32_t capacity = l->blocks_capacity;
    struct entry_block *blocks = l->blocks;
    uint32_t begin;

    if (2 * l->block_count >= capacity) {
        capacity = capacity != 0 ? 2 * capacity : FIRST_BLOCKS;
        blocks = memory_resize(NULL, capacity, sizeof(*blocks));
    }
    begin = (capacity - l->block_count) / 2;
    if (l->block_count != 0)
        memmove(&blocks[begin], block_at(l, 0), l->block_count * sizeof(*blocks));
    if (blocks != l->blocks)
        free(l->blocks);
    l->blocks = blocks;
    l->blocks_capacity = capacity;
    l->blocks_begin = begin;
}

/* Makes room for a block before the one at `i`; what is fewer moves. */
static struct entry_block *open_directory(struct entry_list *l, uint32_t i)
{
    bool down = i < l->block_count / 2 + l->block_count % 2;

    if (down ? l->blocks_begin == 0 : l->blocks_begin + l->block_count == l->blocks_capacity)
        centre_blocks(l);
    if (down && l->blocks_begin != 0) {
        memmove(block_at(l, 0) - 1, block_at(l, 0), i * sizeof(struct entry_block));
        l->blocks_begin--;
    } else {
        memmove(block_at(l, i + 1), block_at(l, i),
                (l->block_count - i) * sizeof(struct entry_block));
    }
    l->block_count++;
    return block_at(l, i);
}

static struct entry_block *new_block(struct entry_list *l, uint32_t i, uint32_t capacity)
{
    struct entry *places = memory_resize(NULL, capacity, sizeof(*places));
    struct entry_block *b = open_directory(l, i);

    *b = (struct entry_block){.places = places, .capacity = (uint16_t)capacity};
    return b;
}

static void remove_block(struct entry_list *l, uint32_t i)
{
    free(block_at(l, i)->places);
    if (i < l->block_count / 2) {
        memmove(block_at(l, 1), block_at(l, 0), i * sizeof(struct entry_block));
        l->blocks_begin++;
    } else {
        memmove(block_at(l, i), block_at(l, i + 1),
                (l->block_count - i - 1) * sizeof(struct entry_block));
    }
    l->block_count--;
}

/* ---- Finding ---- */

/* The last block that does not begin behind `sequence`; the first when all do. There is one. */
static uint32_t block_of(const struct entry_list *l, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = l->block_count;

    if (sequence >= block_at(l, high - 1)->first)
        return high - 1;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (block_at(l, middle)->first <= sequence)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first place with this number or a higher one; `count` when there is none. */
static uint32_t place_of(const struct entry_block *b, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = b->count;

    if (sequence > place(b, high - 1)->sequence)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (place(b, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void cursor_settle(const struct entry_list *l, struct entry_cursor *at)
{
    if (at->block < l->block_count && at->index == block_at(l, at->block)->count)
        *at = (struct entry_cursor){.block = at->block + 1};
}

struct entry_cursor entry_list_seek(const struct entry_list *l, uint64_t sequence)
{
    struct entry_cursor at = {.block = 0};

    if (l->block_count == 0)
        return at;
    at.block = block_of(l, sequence);
    at.index = place_of(block_at(l, at.block), sequence);
    cursor_settle(l, &at);
    return at;
}

struct entry_cursor entry_list_behind(const struct entry_list *l, uint32_t count)
{
    struct entry_cursor at = {.block = 0};

    while (at.block < l->block_count && count >= block_at(l, at.block)->count)
        count -= block_at(l, at.block++)->count;
    at.index = at.block < l->block_count ? count : 0;
    return at;
}

struct entry *entry_list_at(const struct entry_list *l, struct entry_cursor at)
{
    return at.block < l->block_count ? place(block_at(l, at.block), at.index) : NULL;
}

struct entry *entry_list_find(const struct entry_list *l, uint64_t sequence,
                              struct entry_cursor *at)
{
    struct entry *entry;

    *at = entry_list_seek(l, sequence);
    entry = entry_list_at(l, *at);
    return entry != NULL && entry->sequence == sequence ? entry : NULL;
}

void entry_list_next(const struct entry_list *l, struct entry_cursor *at)
{
    at->index++;
    cursor_settle(l, at);
}

void entry_list_skip_paged(const struct entry_list *l, struct entry_cursor *at)
{
    while (at->block < l->block_count) {
        const struct entry_block *b = block_at(l, at->block);

        if (b->paged == b->count)
            *at = (struct entry_cursor){.block = at->block + 1};
        else if (place(b, at->index)->message == NULL)
            entry_list_next(l, at);
        else
            return;
    }
}

/* How many entries are before one. */
static uint32_t rank(const struct entry_list *l, struct entry_cursor at)
{
    uint32_t before = at.index;

    for (uint32_t i = 0; i < at.block; i++)
        before += block_at(l, i)->count;
    return before;
}

/* Of the entries before this one all are in memory, and so many they are. */
static void find_first_paged(struct entry_list *l, struct entry_cursor at, uint32_t before)
{
    while (at.block < l->block_count) {
        const struct entry_block *b = block_at(l, at.block);

        if (b->paged == 0) {
            before += b->count - at.index;
            at = (struct entry_cursor){.block = at.block + 1};
            continue;
        }
        if (place(b, at.index)->message == NULL)
            break;
        before++;
        entry_list_next(l, &at);
    }
    l->loaded = before;
    l->first_paged =
        at.block < l->block_count ? place(block_at(l, at.block), at.index)->sequence : UINT64_MAX;
}

/* ---- Adding ---- */

static void move_places(struct entry_block *b, uint32_t begin)
{
    memmove(&b->places[begin], place(b, 0), b->count * sizeof(struct entry));
    b->begin = (uint16_t)begin;
}

static bool is_at_end(const struct entry_block *b, uint32_t i)
{
    return i == b->count && b->begin + b->count == b->capacity;
}

/* Whether there is room before the place at `i`. Where all would have to move for one that comes in
 * order, there must be enough that they need not move again soon. */
static bool has_room(const struct entry_block *b, uint32_t i)
{
    if (is_at_end(b, i) || (i == 0 && b->begin == 0))
        return b->count <= b->capacity / 2;
    return b->count < b->capacity;
}

/* Opens a place before the one at `i`; there is room. */
static void open_place(struct entry_block *b, uint32_t i)
{
    bool down;

    if (is_at_end(b, i))
        move_places(b, 0);
    else if (i == 0 && b->begin == 0)
        move_places(b, b->capacity - b->count);
    down = i == 0 || (b->begin != 0 && i != b->count &&
                      (i < b->count / 2u || b->begin + b->count == b->capacity));
    if (down) {
        memmove(place(b, 0) - 1, place(b, 0), i * sizeof(struct entry));
        b->begin--;
    } else {
        memmove(place(b, i + 1), place(b, i), (b->count - i) * sizeof(struct entry));
    }
    b->count++;
}

static uint32_t count_paged(const struct entry_block *b)
{
    uint32_t paged = 0;

    for (uint32_t i = 0; i < b->count; i++)
        paged += place(b, i)->message == NULL;
    return paged;
}

/* Moves the upper half of a block into one of its own behind it. */
static void split_block(struct entry_list *l, uint32_t i)
{
    struct entry_block *upper = new_block(l, i + 1, BLOCK_PLACES);
    struct entry_block *b = block_at(l, i);
    uint32_t half = b->count / 2u;

    upper->count = (uint16_t)(b->count - half);
    memcpy(upper->places, place(b, half), upper->count * sizeof(struct entry));
    upper->first = upper->places[0].sequence;
    upper->paged = (uint16_t)count_paged(upper);
    b->count = (uint16_t)half;
    b->paged -= upper->paged;
}

/* Has room made for an entry that belongs `at` a place; the place may become another. */
static void make_room(struct entry_list *l, struct entry_cursor *at)
{
    struct entry_block *b = block_at(l, at->block);

    if (has_room(b, at->index))
        return;
    if (b->capacity < BLOCK_PLACES) {
        b->capacity *= 2;
        b->places = memory_resize(b->places, b->capacity, sizeof(*b->places));
    } else if (at->index == b->count) {
        *at = (struct entry_cursor){.block = at->block + 1};
        if (at->block == l->block_count || !has_room(block_at(l, at->block), 0))
            new_block(l, at->block, BLOCK_PLACES);
    } else if (at->index == 0) {
        new_block(l, at->block, BLOCK_PLACES);
    } else {
        split_block(l, at->block);
        b = block_at(l, at->block);
        if (at->index > b->count)
            *at = (struct entry_cursor){.block = at->block + 1, .index = at->index - b->count};
    }
}

void entry_list_add(struct entry_list *l, const struct entry *entry)
{
    struct entry_cursor at = {.block = 0};
    struct entry_block *b;

    if (l->block_count == 0) {
        new_block(l, 0, FIRST_PLACES);
    } else {
        at.block = block_of(l, entry->sequence);
        at.index = place_of(block_at(l, at.block), entry->sequence);
    }
    make_room(l, &at);
    b = block_at(l, at.block);
    open_place(b, at.index);
    *place(b, at.index) = *entry;
    b->first = place(b, 0)->sequence;
    l->count++;
    if (entry->message == NULL) {
        b->paged++;
        l->paged++;
    }
    if (entry->sequence > l->first_paged)
        return;
    if (entry->message != NULL) {
        l->loaded++;
    } else {
        l->first_paged = entry->sequence;
        l->loaded = rank(l, at);
    }
}

/* ---- Taking ---- */

static void close_place(struct entry_block *b, uint32_t i)
{
    b->count--;
    if (i < b->count / 2u || i == 0) {
        memmove(place(b, 1), place(b, 0), i * sizeof(struct entry));
        b->begin++;
    } else {
        memmove(place(b, i), place(b, i + 1), (b->count - i) * sizeof(struct entry));
    }
}

/* Makes a block and the next one, if there is one, a single block when they have little. Returns
 * whether they had. */
static bool merge_blocks(struct entry_list *l, uint32_t i)
{
    struct entry_block *b = block_at(l, i);
    const struct entry_block *next = b + 1;

    if (i + 1 >= l->block_count || b->count + next->count > MERGED_PLACES)
        return false;
    if (b->begin + b->count + next->count > b->capacity)
        move_places(b, 0);
    memcpy(place(b, b->count), place(next, 0), next->count * sizeof(struct entry));
    b->count += next->count;
    b->paged += next->paged;
    remove_block(l, i + 1);
    return true;
}

static void tidy_block(struct entry_list *l, uint32_t i)
{
    struct entry_block *b = block_at(l, i);

    if (b->count == 0) {
        remove_block(l, i);
        return;
    }
    b->first = place(b, 0)->sequence;
    if (!merge_blocks(l, i) && i != 0)
        merge_blocks(l, i - 1);
}

void entry_list_take(struct entry_list *l, struct entry_cursor at, struct entry *out)
{
    struct entry_block *b = block_at(l, at.block);

    *out = *place(b, at.index);
    close_place(b, at.index);
    l->count--;
    if (out->message == NULL) {
        b->paged--;
        l->paged--;
    }
    tidy_block(l, at.block);
    if (out->sequence < l->first_paged)
        l->loaded--;
    else if (out->sequence == l->first_paged)
        find_first_paged(l, entry_list_seek(l, out->sequence), l->loaded);
}

void entry_list_take_first(struct entry_list *l, struct entry *out)
{
    entry_list_take(l, (struct entry_cursor){.block = 0}, out);
}

/* ---- Paging ---- */

struct message *entry_list_page(struct entry_list *l, struct entry_cursor at)
{
    struct entry *entry = entry_list_at(l, at);
    struct message *m;

    assert(entry != NULL);
    m = entry->message;
    entry->message = NULL;
    block_at(l, at.block)->paged++;
    l->paged++;
    if (entry->sequence < l->first_paged) {
        l->first_paged = entry->sequence;
        l->loaded = rank(l, at);
    }
    return m;
}

void entry_list_put(struct entry_list *l, struct entry_cursor at, struct message *m)
{
    struct entry *entry = entry_list_at(l, at);

    assert(entry != NULL);
    entry->message = m;
    block_at(l, at.block)->paged--;
    l->paged--;
}

void entry_list_tidy(struct entry_list *l)
{
    if (l->first_paged != UINT64_MAX)
        find_first_paged(l, entry_list_seek(l, l->first_paged), l->loaded);
}
