/* A borrowed run of bytes: a pointer and a length. Owns nothing; the owner of the memory says
 * how long it lives. Not zero-terminated. Any thread. */
#ifndef LEVERET_BASE_BYTES_H
#define LEVERET_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

/* A view of `size` bytes at `data`. */
static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){.data = (const uint8_t *)data, .size = size};
}

/* A view of a zero-terminated string, without its terminator. */
static inline struct bytes bytes_from_string(const char *s)
{
    return bytes_of(s, strlen(s));
}

/* Equal length and content. */
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Equal to a zero-terminated string. */
static inline bool bytes_equal_string(struct bytes a, const char *s)
{
    return bytes_equal(a, bytes_from_string(s));
}

static inline bool bytes_starts_with(struct bytes a, const char *prefix)
{
    size_t n = strlen(prefix);

    return a.size >= n && (n == 0 || memcmp(a.data, prefix, n) == 0);
}

/* For printf's "%.*s": BYTES_ARGS(b) expands to the precision and the pointer. */
#define BYTES_ARGS(b) (int)(b).size, (b).size != 0 ? (const char *)(b).data : ""

/* A hash of the bytes, keyed with a seed drawn once per process, so that a peer cannot choose
 * names that collide. Not stable across processes: never store it. */
uint64_t bytes_hash(struct bytes b);

/* As bytes_hash, continuing from `seed` (another hash): for keys of several parts. */
uint64_t bytes_hash_seeded(struct bytes b, uint64_t seed);

/* A zero-terminated copy on the heap; the caller frees it with free(). Aborts without memory. */
char *bytes_to_string(struct bytes b);

#endif
