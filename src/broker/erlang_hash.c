#include "broker/erlang_hash.h"

#include "broker/value_text.h"

#include <string.h>

/* Constants that keep the types of terms apart: multiples of the golden ratio, modulo 2^32. */
#define GOLDEN UINT32_C(0x9e3779b9)
#define HASH_INTEGER GOLDEN
#define HASH_NIL (2 * GOLDEN)
#define HASH_ATOM (3 * GOLDEN)
#define HASH_TUPLE (9 * GOLDEN)
#define HASH_NEGATIVE (10 * GOLDEN)
#define HASH_POSITIVE (11 * GOLDEN)
#define HASH_FLOAT (12 * GOLDEN)
#define HASH_BINARY (13 * GOLDEN)

/* Erlang's number for the empty list among the types of terms. */
#define NIL_TYPE 2

/* What atoms hash to: a hash of their names. */
#define ATOM_UNDEFINED UINT32_C(180132084)
#define ATOM_TRUE UINT32_C(506293)
#define ATOM_FALSE UINT32_C(7111573)

static uint32_t atom_of_type(enum value_type type)
{
    switch (type) {
    case VALUE_BOOLEAN:
        return 431708; /* bool */
    case VALUE_INT8:
        return 434341; /* byte */
    case VALUE_UINT8:
        return 58662725; /* unsignedbyte */
    case VALUE_INT16:
        return 7992980; /* short */
    case VALUE_UINT16:
        return 132130980; /* unsignedshort */
    case VALUE_INT32:
        return 239851428; /* signedint */
    case VALUE_UINT32:
        return 238548900; /* unsignedint */
    case VALUE_INT64:
        return 472647; /* long */
    case VALUE_FLOAT:
        return 7157124; /* float */
    case VALUE_DOUBLE:
        return 112638245; /* double */
    case VALUE_DECIMAL:
        return 179962652; /* decimal */
    case VALUE_STRING:
        return 56945346; /* longstr */
    case VALUE_ARRAY:
        return 6854793; /* array */
    case VALUE_TIMESTAMP:
        return 63626560; /* timestamp */
    case VALUE_TABLE:
        return 8026405; /* table */
    case VALUE_VOID:
        return 513524; /* void */
    case VALUE_BYTES:
        return 110119065; /* binary */
    }
    return 0;
}

/* Three words in Bob Jenkins's reversible mix ("lookup2", 1996); `c` is the hash so far. */
struct mix {
    uint32_t a, b, c;
};

static void mix(struct mix *m)
{
    static const uint8_t shifts[3][3] = {{13, 8, 13}, {12, 16, 5}, {3, 10, 15}};

    for (unsigned i = 0; i < 3; i++) {
        m->a = (m->a - m->b - m->c) ^ (m->c >> shifts[i][0]);
        m->b = (m->b - m->c - m->a) ^ (m->a << shifts[i][1]);
        m->c = (m->c - m->a - m->b) ^ (m->b >> shifts[i][2]);
    }
}

static uint32_t add_words(uint32_t hash, uint32_t x, uint32_t y, uint32_t constant)
{
    struct mix m = {.a = constant + x, .b = constant + y, .c = hash};

    mix(&m);
    return m.c;
}

static uint32_t add_word(uint32_t hash, uint32_t x, uint32_t constant)
{
    return add_words(hash, x, 0, constant);
}

/* Up to four bytes from `at` on, as far as there are any; the first is the lowest. */
static uint32_t word_at(struct bytes b, size_t at)
{
    uint32_t word = 0;

    for (size_t i = 0; i < 4 && at + i < b.size; i++)
        word |= (uint32_t)b.data[at + i] << (8 * i);
    return word;
}

/* Twelve bytes at a time; what remains at the end is mixed in with the length, which takes the
 * lowest byte of the last word. */
static uint32_t add_binary(uint32_t hash, struct bytes b)
{
    struct mix m = {.a = GOLDEN, .b = GOLDEN, .c = hash + HASH_BINARY};
    size_t at = 0;

    if (b.size == 0)
        return m.c;
    for (; b.size - at >= 12; at += 12) {
        m.a += word_at(b, at);
        m.b += word_at(b, at + 4);
        m.c += word_at(b, at + 8);
        mix(&m);
    }
    m.a += word_at(b, at);
    m.b += word_at(b, at + 4);
    m.c += (uint32_t)b.size + (word_at(b, at + 8) << 8);
    mix(&m);
    return m.c;
}

/* Integers of up to 28 bits are one word, with their sign mixed in; others are two. */
static uint32_t add_integer(uint32_t hash, int64_t n)
{
    const int64_t small = INT64_C(1) << 27;
    uint64_t size = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

    if (n < -small || n >= small)
        return add_words(hash, (uint32_t)size, (uint32_t)(size >> 32),
                         n < 0 ? HASH_NEGATIVE : HASH_POSITIVE);
    if (n < 0)
        hash = add_word(hash, (uint32_t)size, HASH_INTEGER);
    return add_word(hash, (uint32_t)n, HASH_INTEGER);
}

/* Both zeros are one. */
static uint32_t add_real(uint32_t hash, double real)
{
    uint64_t bits;

    if (real == 0)
        real = 0;
    memcpy(&bits, &real, sizeof(bits));
    return add_words(hash, (uint32_t)(bits >> 32), (uint32_t)bits, HASH_FLOAT);
}

static uint32_t in_range(uint32_t hash)
{
    return hash & (ERLANG_HASH_RANGE - 1);
}

uint32_t erlang_hash_binary(struct bytes b)
{
    return in_range(add_binary(0, b));
}

uint32_t erlang_hash_binaries(const struct bytes *items, uint32_t count)
{
    uint32_t hash = 0;

    for (uint32_t i = 0; i < count; i++)
        hash = add_binary(hash, items[i]);
    return in_range(add_word(hash, NIL_TYPE, HASH_NIL));
}

uint32_t erlang_hash_undefined(void)
{
    return in_range(ATOM_UNDEFINED);
}

/* What has other values within: by its text. */
static uint32_t add_text(uint32_t hash, const struct value *v)
{
    char text[VALUE_TEXT_SIZE];

    value_text_term(v, text);
    return add_binary(hash, bytes_from_string(text));
}

static uint32_t add_value(uint32_t hash, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOLEAN:
        return add_word(hash, v->boolean ? ATOM_TRUE : ATOM_FALSE, HASH_ATOM);
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        return add_integer(hash, v->integer);
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        return add_real(hash, v->real);
    case VALUE_STRING:
    case VALUE_BYTES:
        return add_binary(hash, v->bytes);
    case VALUE_VOID:
        return add_word(hash, ATOM_UNDEFINED, HASH_ATOM);
    case VALUE_DECIMAL:
    case VALUE_ARRAY:
    case VALUE_TABLE:
        return add_text(hash, v);
    }
    return hash;
}

uint32_t erlang_hash_value(const struct value *v)
{
    uint32_t hash = add_word(0, 2, HASH_TUPLE);

    hash = add_word(hash, atom_of_type(v->type), HASH_ATOM);
    return in_range(add_value(hash, v));
}

/* Sebastiano Vigna's xorshift1024*, seeded by his xorshift64* as Erlang's rand seeds it. */
struct draws {
    uint64_t state[16];
    unsigned at;
};

static uint64_t seed_of(uint32_t key)
{
    const uint64_t mask = (UINT64_C(1) << 21) - 1;
    uint64_t n = (key & mask) + 1;

    return (((n * 2097131) & mask) << 43) | (((n * 2097133) & mask) << 22) |
           (((n * 2097143) & mask) << 1) | 1;
}

static void draws_seed(struct draws *d, uint32_t key)
{
    uint64_t x = seed_of(key);

    for (unsigned i = 16; i-- != 0;) {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        d->state[i] = x * UINT64_C(2685821657736338717);
    }
    d->at = 0;
}

static uint64_t draws_next(struct draws *d)
{
    uint64_t first = d->state[d->at];
    uint64_t second;

    d->at = (d->at + 1) & 15;
    second = d->state[d->at];
    second ^= second << 31;
    second ^= second >> 11;
    second ^= first ^ (first >> 30);
    d->state[d->at] = second;
    return second * UINT64_C(1181783497276652981);
}

/* J. Lamping and E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014): each draw
 * is the next number of buckets at which the key would move to the one that was added last. */
uint64_t erlang_hash_jump(uint32_t key, uint64_t count)
{
    struct draws d;
    uint64_t bucket = 0;

    if (count == 1)
        return 0;
    draws_seed(&d, key);
    for (;;) {
        double draw = (double)draws_next(&d) / 0x1p64;
        double next = (double)(bucket + 1) / draw;

        if (!(next < (double)count))
            return bucket;
        bucket = (uint64_t)next;
    }
}
