/* What the tests of the codec share: octets written legibly, and random tables, properties and
 * methods, made by walking the same tables that the codec expands. */
#ifndef LEVERET_TESTS_AMQP_HELPERS_H
#define LEVERET_TESTS_AMQP_HELPERS_H

#include "amqp/method.h"
#include "amqp/properties.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/random.h"
#include "base/table.h"

#include <stdbool.h>
#include <stdint.h>

/* Octets from hexadecimal digits and quoted text; spaces are ignored: "0032 000a 05 'hello'". They
 * live until the process ends, in memory of exactly their size. */
struct bytes octets(const char *notation);

/* A copy in memory of exactly its size, so that a sanitizer sees what reads behind it. The caller
 * frees `data`. */
struct bytes exact_copy(struct bytes b);

/* Fails the test unless both are the same octets, showing them and `what`. */
void expect_octets(struct bytes got, struct bytes wanted, const char *what);

static inline struct bytes text(const char *s)
{
    return bytes_from_string(s);
}

/* Random inventions, all from one seed. What is invented lives until invention_end. */
struct invention {
    uint64_t seed;
    struct random_sequence random;
    struct arena arena;
};

void invention_begin(struct invention *in, uint64_t seed);
void invention_end(struct invention *in);

/* The first seed of a run: $AMQP_TEST_SEED to replay one, else drawn anew. */
uint64_t first_seed(void);

/* UTF-8 of at most 255 octets, often short, sometimes empty. */
struct bytes invent_text(struct invention *in);

/* Every type of value; tables and arrays at most `depth` deep. No NaN, no key
 * twice. */
struct table invent_table(struct invention *in, unsigned depth);
struct amqp_table invent_encoded_table(struct invention *in);

struct amqp_properties invent_properties(struct invention *in);
struct amqp_method invent_method(struct invention *in, enum amqp_method_id id);

/* Equal in every field that is not reserved. */
bool methods_equal(const struct amqp_method *a, const struct amqp_method *b);
bool properties_equal(const struct amqp_properties *a, const struct amqp_properties *b);

/* The payload of the method, in the invention's memory. */
struct bytes encoded_method(struct invention *in, const struct amqp_method *m);

#endif
