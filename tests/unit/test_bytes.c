#include "base/bytes.h"
#include "base/random.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

START_TEST(equality_is_of_length_and_content)
{
    static const struct {
        struct bytes a, b;
        bool equal;
    } cases[] = {
        {{NULL, 0}, {NULL, 0}, true},
        {{NULL, 0}, {(const uint8_t *)"", 0}, true},
        {{NULL, 0}, {(const uint8_t *)"a", 1}, false},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"ab", 2}, true},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"abc", 3}, false},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"ac", 2}, false},
        {{(const uint8_t *)"a\0b", 3}, {(const uint8_t *)"a\0b", 3}, true},
        {{(const uint8_t *)"a\0b", 3}, {(const uint8_t *)"a\0c", 3}, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(bytes_equal(cases[i].a, cases[i].b) == cases[i].equal, "case %zu", i);
        ck_assert_msg(bytes_equal(cases[i].b, cases[i].a) == cases[i].equal, "case %zu", i);
    }
}
END_TEST

START_TEST(string_view_has_no_terminator)
{
    struct bytes b = bytes_from_string("hare");

    ck_assert_uint_eq(b.size, 4);
    ck_assert(bytes_equal_string(b, "hare"));
    ck_assert(!bytes_equal_string(b, "hares"));
    ck_assert(!bytes_equal_string(bytes_of("hare", 5), "hare"));
}
END_TEST

START_TEST(prefix_is_found_at_the_start_only)
{
    struct bytes name = bytes_from_string("amq.direct");

    ck_assert(bytes_starts_with(name, "amq."));
    ck_assert(bytes_starts_with(name, "amq.direct"));
    ck_assert(bytes_starts_with(name, ""));
    ck_assert(bytes_starts_with(bytes_of(NULL, 0), ""));
    ck_assert(!bytes_starts_with(name, "direct"));
    ck_assert(!bytes_starts_with(name, "amq.direct."));
    ck_assert(!bytes_starts_with(bytes_of(NULL, 0), "a"));
}
END_TEST

START_TEST(printed_bytes_end_where_the_view_ends)
{
    char out[32];

    snprintf(out, sizeof(out), "[%.*s]", BYTES_ARGS(bytes_of("hare and hound", 4)));
    ck_assert_str_eq(out, "[hare]");
    snprintf(out, sizeof(out), "[%.*s]", BYTES_ARGS(bytes_of(NULL, 0)));
    ck_assert_str_eq(out, "[]");
}
END_TEST

START_TEST(copied_string_is_terminated_and_its_own)
{
    char source[] = "burrow";
    char *copy = bytes_to_string(bytes_of(source, 3));
    char *empty = bytes_to_string(bytes_of(NULL, 0));

    source[0] = 'x';
    ck_assert_str_eq(copy, "bur");
    ck_assert_str_eq(empty, "");
    free(copy);
    free(empty);
}
END_TEST

START_TEST(equal_bytes_hash_alike_wherever_they_lie)
{
    uint8_t memory[64 + 16];
    uint8_t content[64];

    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof(content); size++) {
        for (size_t offset = 0; offset < 16; offset++) {
            memcpy(memory + offset, content, size);
            ck_assert_uint_eq(bytes_hash(bytes_of(memory + offset, size)),
                              bytes_hash(bytes_of(content, size)));
        }
    }
}
END_TEST

START_TEST(seed_changes_the_hash)
{
    struct bytes b = bytes_from_string("orders");

    ck_assert_uint_eq(bytes_hash_seeded(b, 1), bytes_hash_seeded(b, 1));
    ck_assert_uint_ne(bytes_hash_seeded(b, 1), bytes_hash_seeded(b, 2));
    ck_assert_uint_ne(bytes_hash_seeded(b, 1), bytes_hash(b));
}
END_TEST

START_TEST(zero_bytes_count_in_the_hash)
{
    static const uint8_t zeroes[32] = {0};

    for (size_t a = 0; a <= sizeof(zeroes); a++) {
        for (size_t b = 0; b < a; b++)
            ck_assert_uint_ne(bytes_hash(bytes_of(zeroes, a)), bytes_hash(bytes_of(zeroes, b)));
    }
}
END_TEST

/* Names as people give them (a word and a number) must spread over the low bits, which choose
 * the bucket: with 4,096 names in 4,096 buckets a fair hash puts no more than a dozen in one. */
START_TEST(similar_names_spread_over_buckets)
{
    enum { NAMES = 4096, FULLEST = 12 };
    static unsigned buckets[NAMES];

    for (unsigned i = 0; i < NAMES; i++) {
        char name[32];

        snprintf(name, sizeof(name), "queue.%u", i);
        buckets[bytes_hash_seeded(bytes_from_string(name), 42) % NAMES]++;
    }
    for (unsigned i = 0; i < NAMES; i++)
        ck_assert_uint_le(buckets[i], FULLEST);
}
END_TEST

UNIT_MAIN("bytes", equality_is_of_length_and_content, string_view_has_no_terminator,
          prefix_is_found_at_the_start_only, printed_bytes_end_where_the_view_ends,
          copied_string_is_terminated_and_its_own, equal_bytes_hash_alike_wherever_they_lie,
          seed_changes_the_hash, zero_bytes_count_in_the_hash, similar_names_spread_over_buckets)
