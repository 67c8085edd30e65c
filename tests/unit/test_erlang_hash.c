/* The values are those of erlang:phash2/1 and of the plugin's jump, as Erlang/OTP 25 gives them. */
#include "broker/erlang_hash.h"
#include "tests/unit/unit.h"

#include "base/random.h"

static uint32_t binary(const char *s)
{
    return erlang_hash_binary(bytes_from_string(s));
}

static uint32_t integer(enum value_type type, int64_t n)
{
    const struct value v = {.type = type, .integer = n};

    return erlang_hash_value(&v);
}

START_TEST(binary_hashes_as_in_erlang)
{
    ck_assert_uint_eq(binary(""), 13708901);
    ck_assert_uint_eq(binary("a"), 112802447);
    ck_assert_uint_eq(binary("abc"), 98228475);
    ck_assert_uint_eq(binary("abcdefghijk"), 96993671);
    ck_assert_uint_eq(binary("abcdefghijkl"), 15432855);
    ck_assert_uint_eq(binary("abcdefghijklmnopqrstuvwxyz"), 21348335);
}
END_TEST

START_TEST(list_of_binaries_hashes_as_in_erlang)
{
    const struct bytes items[] = {bytes_from_string("a"), bytes_from_string("b")};
    const struct bytes empty = bytes_from_string("");

    ck_assert_uint_eq(erlang_hash_binaries(items, 1), 53691870);
    ck_assert_uint_eq(erlang_hash_binaries(items, 2), 3094894);
    ck_assert_uint_eq(erlang_hash_binaries(&empty, 1), 38220213);
}
END_TEST

START_TEST(value_hashes_as_in_erlang)
{
    const struct value string = value_string(bytes_from_string("abc"));
    const struct value truth = value_boolean(true);
    const struct value nothing = value_void();
    const struct value real = {.type = VALUE_DOUBLE, .real = 1.5};

    ck_assert_uint_eq(erlang_hash_value(&string), 101716503);
    ck_assert_uint_eq(integer(VALUE_INT32, 5), 40839585);
    ck_assert_uint_eq(integer(VALUE_INT32, -5), 39932925);
    ck_assert_uint_eq(integer(VALUE_INT64, 1234567890123), 118372860);
    ck_assert_uint_eq(integer(VALUE_INT64, 134217727), 33099472);
    ck_assert_uint_eq(integer(VALUE_INT64, 134217728), 117666136);
    ck_assert_uint_eq(integer(VALUE_INT64, -134217728), 13500176);
    ck_assert_uint_eq(integer(VALUE_INT64, -134217729), 132651809);
    ck_assert_uint_eq(integer(VALUE_INT64, INT64_MAX), 791522474 % ERLANG_HASH_RANGE);
    ck_assert_uint_eq(integer(VALUE_INT64, INT64_MIN), 3065421126 % ERLANG_HASH_RANGE);
    ck_assert_uint_eq(integer(VALUE_TIMESTAMP, 5), 38694011);
    ck_assert_uint_eq(erlang_hash_value(&truth), 32030443);
    ck_assert_uint_eq(erlang_hash_value(&nothing), 27077197);
    ck_assert_uint_eq(erlang_hash_value(&real), 115320697);
    ck_assert_uint_eq(erlang_hash_undefined(), 45914356);
}
END_TEST

START_TEST(both_zeros_hash_alike)
{
    const struct value zero = {.type = VALUE_DOUBLE, .real = 0.0};
    const struct value negative = {.type = VALUE_DOUBLE, .real = -0.0};

    ck_assert_uint_eq(erlang_hash_value(&zero), 2578839279 % ERLANG_HASH_RANGE);
    ck_assert_uint_eq(erlang_hash_value(&negative), erlang_hash_value(&zero));
}
END_TEST

START_TEST(jump_goes_where_the_plugin_jumps)
{
    static const uint64_t counts[] = {1, 2, 3, 10, 1000};
    static const struct {
        uint32_t key;
        uint64_t buckets[5];
    } jumps[] = {
        {0, {0, 0, 0, 4, 807}},         {1, {0, 0, 2, 3, 856}},        {12345, {0, 0, 0, 0, 485}},
        {134217727, {0, 0, 2, 6, 220}}, {99999999, {0, 1, 2, 9, 603}},
    };

    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++)
            ck_assert_uint_eq(erlang_hash_jump(jumps[i].key, counts[n]), jumps[i].buckets[n]);
    }
}
END_TEST

START_TEST(jump_moves_to_the_new_bucket_or_stays)
{
    struct random_sequence r;

    random_sequence_seed(&r, 7);
    for (int i = 0; i < 2000; i++) {
        uint32_t key = (uint32_t)random_sequence_below(&r, ERLANG_HASH_RANGE);
        uint64_t before = 0;

        for (uint64_t count = 2; count < 60; count++) {
            uint64_t now = erlang_hash_jump(key, count);

            ck_assert(now == before || now == count - 1);
            before = now;
        }
    }
}
END_TEST

START_TEST(jump_copes_with_the_most_buckets)
{
    const uint64_t most = UINT64_C(1) << 62;

    for (uint32_t key = 0; key < 1000; key++)
        ck_assert_uint_lt(erlang_hash_jump(key, most), most);
}
END_TEST

UNIT_MAIN("erlang_hash", binary_hashes_as_in_erlang, list_of_binaries_hashes_as_in_erlang,
          value_hashes_as_in_erlang, both_zeros_hash_alike, jump_goes_where_the_plugin_jumps,
          jump_moves_to_the_new_bucket_or_stays, jump_copes_with_the_most_buckets)
