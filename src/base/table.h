/* Typed values and tables of named values: arguments of queues, exchanges, bindings and
 * consumers, and the headers of messages, decoded. The types are those of AMQP 0-9-1 field
 * values as RabbitMQ reads them ("AMQP 0-9-1 Errata", table of field types).
 *
 * A table, its keys and its values live in the arena they were built in and die with it.
 * Fields keep their order; keys are unique when built with table_set. One thread at a time. */
#ifndef LEVERET_BASE_TABLE_H
#define LEVERET_BASE_TABLE_H

#include "base/arena.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* The value of each enumerator is the type's octet on the wire. */
enum value_type {
    VALUE_BOOLEAN = 't',
    VALUE_INT8 = 'b',
    VALUE_UINT8 = 'B',
    VALUE_INT16 = 's',
    VALUE_UINT16 = 'u',
    VALUE_INT32 = 'I',
    VALUE_UINT32 = 'i',
    VALUE_INT64 = 'l',
    VALUE_FLOAT = 'f',
    VALUE_DOUBLE = 'd',
    VALUE_DECIMAL = 'D',
    VALUE_STRING = 'S',
    VALUE_ARRAY = 'A',
    VALUE_TIMESTAMP = 'T',
    VALUE_TABLE = 'F',
    VALUE_VOID = 'V',
    VALUE_BYTES = 'x',
};

struct table_field;

struct table {
    struct table_field *fields;
    uint32_t count;
    uint32_t capacity;
};

struct value_array {
    struct value *items;
    uint32_t count;
    uint32_t capacity;
};

struct value {
    enum value_type type;
    union {
        bool boolean;    /* t */
        int64_t integer; /* b B s u I i l, and T (seconds since 1970) */
        double real;     /* f d */
        struct {
            uint8_t scale;
            int32_t unscaled;
        } decimal;                /* D: unscaled / 10^scale */
        struct bytes bytes;       /* S x */
        struct value_array array; /* A */
        struct table table;       /* F */
    };
};

struct table_field {
    struct bytes key; /* at most 255 bytes */
    struct value value;
};

/* An empty table; allocates nothing. */
static inline struct table table_empty(void)
{
    return (struct table){.fields = NULL, .count = 0, .capacity = 0};
}

/* The value under `key`, or NULL. The first when a peer sent the key twice. */
const struct value *table_get(const struct table *t, const char *key);
const struct value *table_get_bytes(const struct table *t, struct bytes key);

/* Adds the field at the end without looking for an equal key; copies neither key nor value's
 * bytes (they must live in the arena or longer). */
void table_append(struct arena *a, struct table *t, struct bytes key, struct value v);

/* Replaces the value under `key`, or adds the field at the end. Copies as table_append does. */
void table_set(struct arena *a, struct table *t, const char *key, struct value v);

/* Removes the field under `key`. Returns whether there was one. */
bool table_remove(struct table *t, const char *key);

/* Adds an item at the end (or, prepend, at the start) of an array. */
void value_array_append(struct arena *a, struct value_array *array, struct value v);
void value_array_prepend(struct arena *a, struct value_array *array, struct value v);

/* Constructors. The bytes are borrowed. */
struct value value_boolean(bool b);
struct value value_int64(int64_t n);
struct value value_int32(int32_t n);
struct value value_string(struct bytes s);
struct value value_timestamp(int64_t seconds);
struct value value_table(struct table t);
struct value value_array(struct value_array array);
struct value value_void(void);

/* Whether the type is one of the integer types (b B s u I i l; not T). */
bool value_is_integer(const struct value *v);

/* A deep copy into `a`. */
struct value value_copy(struct arena *a, const struct value *v);
struct table table_copy(struct arena *a, const struct table *t);

/* Equality as RabbitMQ compares arguments and headers: integers and floats by numeric value over
 * all widths, other types by type and content; arrays in order; tables by key whatever their
 * order. */
bool value_equal(const struct value *a, const struct value *b);
bool table_equal(const struct table *a, const struct table *b);

/* The name RabbitMQ gives the type in its error texts: "signedint", "longstr", "bool", "long",
 * "unsignedbyte", "double", "table", "array", "void", … A static string. */
const char *value_type_name(enum value_type type);

#endif
