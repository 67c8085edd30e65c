/* The field types of methods and properties: what each is in C, and how it is read, measured and
 * written. The expansions of methods.def and properties.def are made of these. Internal to amqp/,
 * in a header so that the hot methods are decoded inline. */
#ifndef LEVERET_AMQP_FIELDS_H
#define LEVERET_AMQP_FIELDS_H

#include "amqp/constants.h"
#include "amqp/table.h"
#include "amqp/wire.h"
#include "base/bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMQP_TYPE_bit bool
#define AMQP_TYPE_octet uint8_t
#define AMQP_TYPE_short uint16_t
#define AMQP_TYPE_long uint32_t
#define AMQP_TYPE_longlong uint64_t
#define AMQP_TYPE_shortstr struct bytes
#define AMQP_TYPE_longstr struct bytes
#define AMQP_TYPE_table struct amqp_table

#define AMQP_INLINE static inline __attribute__((always_inline))

/* Reads fields one after another. Neighbouring bits share an octet: `bits` holds what is left of
 * it, `bit_count` how many were taken. Both are constants to the compiler once inlined. */
struct amqp_reader {
    const uint8_t *at;
    const uint8_t *end;
    unsigned bits;
    unsigned bit_count;
};

/* The amqp_read functions return false when the input ends before the field does. */
AMQP_INLINE bool amqp_reader_has(const struct amqp_reader *r, size_t n)
{
    return (size_t)(r->end - r->at) >= n;
}

AMQP_INLINE bool amqp_read_bit(struct amqp_reader *r, bool *out)
{
    if (r->bit_count == 0 || r->bit_count == 8) {
        if (!amqp_reader_has(r, 1))
            return false;
        r->bits = *r->at++;
        r->bit_count = 0;
    }
    *out = (r->bits >> r->bit_count) & 1;
    r->bit_count++;
    return true;
}

AMQP_INLINE bool amqp_read_octet(struct amqp_reader *r, uint8_t *out)
{
    r->bit_count = 0;
    if (!amqp_reader_has(r, 1))
        return false;
    *out = *r->at++;
    return true;
}

AMQP_INLINE bool amqp_read_short(struct amqp_reader *r, uint16_t *out)
{
    r->bit_count = 0;
    if (!amqp_reader_has(r, 2))
        return false;
    *out = amqp_load16(r->at);
    r->at += 2;
    return true;
}

AMQP_INLINE bool amqp_read_long(struct amqp_reader *r, uint32_t *out)
{
    r->bit_count = 0;
    if (!amqp_reader_has(r, 4))
        return false;
    *out = amqp_load32(r->at);
    r->at += 4;
    return true;
}

AMQP_INLINE bool amqp_read_longlong(struct amqp_reader *r, uint64_t *out)
{
    r->bit_count = 0;
    if (!amqp_reader_has(r, 8))
        return false;
    *out = amqp_load64(r->at);
    r->at += 8;
    return true;
}

AMQP_INLINE bool amqp_read_run(struct amqp_reader *r, size_t n, struct bytes *out)
{
    if (!amqp_reader_has(r, n))
        return false;
    *out = bytes_of(r->at, n);
    r->at += n;
    return true;
}

AMQP_INLINE bool amqp_read_shortstr(struct amqp_reader *r, struct bytes *out)
{
    uint8_t n;

    return amqp_read_octet(r, &n) && amqp_read_run(r, n, out);
}

AMQP_INLINE bool amqp_read_longstr(struct amqp_reader *r, struct bytes *out)
{
    uint32_t n;

    return amqp_read_long(r, &n) && amqp_read_run(r, n, out);
}

/* The bounds only; what is inside is validated apart. */
AMQP_INLINE bool amqp_read_table(struct amqp_reader *r, struct amqp_table *out)
{
    return amqp_read_longstr(r, &out->encoded);
}

/* Measures and writes fields. Bits are gathered until another type or the end comes. */
struct amqp_writer {
    uint8_t *at;
    unsigned bits;
    unsigned bit_count;
};

AMQP_INLINE void amqp_writer_flush_bits(struct amqp_writer *w)
{
    if (w->bit_count == 0)
        return;
    w->at = amqp_store8(w->at, (uint8_t)w->bits);
    w->bits = 0;
    w->bit_count = 0;
}

AMQP_INLINE void amqp_write_bit(struct amqp_writer *w, bool b)
{
    if (w->bit_count == 8)
        amqp_writer_flush_bits(w);
    w->bits |= (unsigned)b << w->bit_count;
    w->bit_count++;
}

AMQP_INLINE void amqp_write_octet(struct amqp_writer *w, uint8_t n)
{
    amqp_writer_flush_bits(w);
    w->at = amqp_store8(w->at, n);
}

AMQP_INLINE void amqp_write_short(struct amqp_writer *w, uint16_t n)
{
    amqp_writer_flush_bits(w);
    w->at = amqp_store16(w->at, n);
}

AMQP_INLINE void amqp_write_long(struct amqp_writer *w, uint32_t n)
{
    amqp_writer_flush_bits(w);
    w->at = amqp_store32(w->at, n);
}

AMQP_INLINE void amqp_write_longlong(struct amqp_writer *w, uint64_t n)
{
    amqp_writer_flush_bits(w);
    w->at = amqp_store64(w->at, n);
}

AMQP_INLINE void amqp_write_shortstr(struct amqp_writer *w, struct bytes b)
{
    assert(b.size <= AMQP_SHORTSTR_MAX);
    amqp_writer_flush_bits(w);
    w->at = amqp_store_shortstr(w->at, b);
}

AMQP_INLINE void amqp_write_longstr(struct amqp_writer *w, struct bytes b)
{
    assert(b.size <= UINT32_MAX);
    amqp_writer_flush_bits(w);
    w->at = amqp_store_longstr(w->at, b);
}

AMQP_INLINE void amqp_write_table(struct amqp_writer *w, struct amqp_table t)
{
    amqp_write_longstr(w, t.encoded);
}

/* Zero and empty: what reserved fields are written as, and absent properties are. */
#define AMQP_ZERO_bit false
#define AMQP_ZERO_octet 0
#define AMQP_ZERO_short 0
#define AMQP_ZERO_long 0
#define AMQP_ZERO_longlong 0
#define AMQP_ZERO_shortstr bytes_of(NULL, 0)
#define AMQP_ZERO_longstr bytes_of(NULL, 0)
#define AMQP_ZERO_table ((struct amqp_table){.encoded = bytes_of(NULL, 0)})

/* The octets of a field; `*bits` counts the bits of the run it stands in. */
AMQP_INLINE size_t amqp_size_bit(bool b, unsigned *bits)
{
    (void)b;
    return (*bits)++ % 8 == 0 ? 1 : 0;
}

AMQP_INLINE size_t amqp_size_octet(uint8_t n, unsigned *bits)
{
    (void)n;
    *bits = 0;
    return 1;
}

AMQP_INLINE size_t amqp_size_short(uint16_t n, unsigned *bits)
{
    (void)n;
    *bits = 0;
    return 2;
}

AMQP_INLINE size_t amqp_size_long(uint32_t n, unsigned *bits)
{
    (void)n;
    *bits = 0;
    return 4;
}

AMQP_INLINE size_t amqp_size_longlong(uint64_t n, unsigned *bits)
{
    (void)n;
    *bits = 0;
    return 8;
}

AMQP_INLINE size_t amqp_size_shortstr(struct bytes b, unsigned *bits)
{
    *bits = 0;
    return 1 + b.size;
}

AMQP_INLINE size_t amqp_size_longstr(struct bytes b, unsigned *bits)
{
    *bits = 0;
    return 4 + b.size;
}

AMQP_INLINE size_t amqp_size_table(struct amqp_table t, unsigned *bits)
{
    return amqp_size_longstr(t.encoded, bits);
}

#endif
