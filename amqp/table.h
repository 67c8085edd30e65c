/* Field tables on the wire (AMQP 0-9-1 §4.2.5.5, types as RabbitMQ reads them: enum value_type in
 * base/table.h). Sans I/O and without state; any thread. */
#ifndef LEVERET_AMQP_TABLE_H
#define LEVERET_AMQP_TABLE_H

#include "amqp/error.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A table as it came or will go: what follows the four octets of its length. Borrowed. Inside a
 * decoded method or decoded properties it has been validated. */
struct amqp_table {
    struct bytes encoded;
};

/* What a table from a peer may be at most. */
struct amqp_table_limits {
    unsigned depth;    /* tables and arrays inside one another, the outermost counted; what
                        * exceeds AMQP_TABLE_DEPTH_MAX counts as that */
    size_t size_bytes; /* encoded, without the length */
};

#define AMQP_TABLE_DEPTH_MAX 32

/* AMQP_TABLE_DEPTH_MAX deep, of any size (frames bound it): for tables in methods and
 * properties. */
extern const struct amqp_table_limits AMQP_TABLE_LIMITS;

/* Whether the encoded table is well formed: every length inside its bounds, known types only,
 * within the limits. Reads each octet of structure once, allocates nothing.
 *
 * Also reads the type 'L', which some clients send for 'l'.
 *
 * Returns 0, or -EPROTO with a 502 SYNTAX_ERROR in `err` (may be NULL), class and method 0. */
int amqp_table_validate(struct bytes encoded, const struct amqp_table_limits *limits,
                        struct amqp_error *err);

/* Decodes a table into `out`, its fields in `arena`.
 *
 * Keys and strings are views into `encoded`, which must outlive `out`; table_copy makes one that
 * stands alone. Validates with AMQP_TABLE_LIMITS first. Equal keys are all kept. 'L' becomes
 * VALUE_INT64, timestamps keep their 64 bits.
 *
 * Returns 0, or -EPROTO as amqp_table_validate. */
int amqp_table_decode(struct arena *arena, struct bytes encoded, struct table *out,
                      struct amqp_error *err);

/* The bytes a table takes when encoded, with the four of its length. */
size_t amqp_table_encoded_size(const struct table *t);

/* Appends the table with its length. Keys are at most 255 bytes long. */
void amqp_table_encode(const struct table *t, struct buffer *out);

/* As amqp_table_encode, without the length: the content of a struct amqp_table. */
void amqp_table_encode_fields(const struct table *t, struct buffer *out);

/* Appends one value: its type and what it holds. */
void amqp_value_encode(const struct value *v, struct buffer *out);

/* Looks for the first field under `key` at the top of a valid table, without decoding the rest and
 * without allocation. A value that is a table or an array comes with its type and, in `bytes`, its
 * encoded content (for amqp_table_decode, amqp_array_next); the others as in struct value, their
 * strings views into `encoded`.
 *
 * Returns whether it is there. Of a table that is not valid, what comes before the damage is
 * found. */
bool amqp_table_find(struct bytes encoded, const char *key, struct value *out);

/* Takes the next field off the front of `*rest` (at first the encoded table); the value as
 * amqp_table_find gives it. Returns false at the end or at damage. */
bool amqp_table_next(struct bytes *rest, struct bytes *key, struct value *out);

/* Takes the next item off the front of `*rest` (at first the content of an array, as
 * amqp_table_find gives it). Returns false at the end or at damage. */
bool amqp_array_next(struct bytes *rest, struct value *out);

#endif
