#include "base/buffer.h"
#include "base/random.h"
#include "session/output.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A stream that takes as much as the test allows and remembers it. */
static struct {
    struct stream stream;
    struct buffer taken;
    size_t allowance; /* bytes it still takes before it says -EAGAIN */
    size_t most;      /* taken by one call, 0: everything */
    unsigned calls;
    int error; /* 0: none */
} sink;

static ssize_t sink_writev(struct stream *s, const struct iovec *runs, int count)
{
    size_t left = sink.allowance;
    size_t taken = 0;

    (void)s;
    sink.calls++;
    ck_assert_int_gt(count, 0);
    if (sink.error != 0)
        return sink.error;
    if (sink.most != 0 && sink.most < left)
        left = sink.most;
    if (left == 0)
        return -EAGAIN;
    for (int i = 0; i < count && left != 0; i++) {
        size_t n = runs[i].iov_len < left ? runs[i].iov_len : left;

        if (runs[i].iov_len == 0)
            ck_abort_msg("an empty run is written");
        buffer_append(&sink.taken, bytes_of(runs[i].iov_base, n));
        taken += n;
        left -= n;
    }
    sink.allowance -= taken;
    return (ssize_t)taken;
}

static const struct stream_ops sink_ops = {.writev = sink_writev};

static struct output_pool pool;
static struct output output;
static struct buffer added; /* what the stream is to get */

static void start(void)
{
    memset(&sink, 0, sizeof(sink));
    sink.stream.ops = &sink_ops;
    sink.allowance = SIZE_MAX;
    buffer_init(&sink.taken);
    buffer_init(&added);
    output_pool_init(&pool);
    output_init(&output, &pool);
}

static void finish(void)
{
    output_release(&output);
    output_pool_release(&pool);
    buffer_free(&sink.taken);
    buffer_free(&added);
}

/* Byte `i` of all that is ever added. */
static uint8_t pattern(size_t i)
{
    return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

static void fill(uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = pattern(added.size + i);
    buffer_append(&added, bytes_of(out, size));
}

static void add_copy(size_t size, size_t reserved)
{
    fill(output_reserve(&output, reserved), size);
    output_commit(&output, size);
}

static struct message *make_message(size_t size)
{
    return message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), (uint32_t)size);
}

/* Adds a body by reference; the test keeps a reference of its own. */
static struct message *add_reference(size_t size)
{
    struct message *m = make_message(size);

    fill(message_body(m), size);
    output_add_reference(&output, m, message_body_bytes(m));
    return m;
}

static unsigned references(struct message *m)
{
    return atomic_load(&m->references);
}

static void expect_taken(void)
{
    ck_assert_uint_eq(sink.taken.size, added.size - output.pending_bytes);
    ck_assert(sink.taken.size == 0 || memcmp(sink.taken.data, added.data, sink.taken.size) == 0);
}

START_TEST(nothing_added_writes_nothing)
{
    start();
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    ck_assert_uint_eq(sink.calls, 0);
    ck_assert_uint_eq(output.pending_bytes, 0);
    finish();
}
END_TEST

START_TEST(small_things_go_out_in_one_write)
{
    start();
    for (size_t size = 1; size < 100; size++)
        add_copy(size, 200);
    ck_assert_uint_eq(output.pending_bytes, added.size);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    ck_assert_uint_eq(sink.calls, 1);
    expect_taken();
    ck_assert_ptr_null(output.first);
    finish();
}
END_TEST

START_TEST(reserved_bytes_that_are_not_committed_are_not_written)
{
    start();
    memset(output_reserve(&output, 500), 0xee, 500);
    output_commit(&output, 0);
    add_copy(3, 500);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    expect_taken();
    finish();
}
END_TEST

START_TEST(more_than_a_chunk_in_a_row_fits)
{
    start();
    add_copy(10, 10);
    add_copy(10 * OUTPUT_CHUNK_SIZE, 10 * OUTPUT_CHUNK_SIZE);
    add_copy(10, 10);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    expect_taken();
    ck_assert_uint_le(pool.spare_count, 2); /* the large one is not kept */
    finish();
}
END_TEST

START_TEST(reference_goes_out_in_its_place_and_is_dropped)
{
    struct message *m;

    start();
    add_copy(7, 7);
    m = add_reference(5000);
    ck_assert_uint_eq(references(m), 2);
    add_copy(1, 1);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    ck_assert_uint_eq(sink.calls, 1);
    expect_taken();
    ck_assert_uint_eq(references(m), 1);
    message_unref(m);
    finish();
}
END_TEST

START_TEST(reference_is_kept_until_its_last_byte_is_written)
{
    struct message *m;

    start();
    m = add_reference(1000);
    sink.allowance = 999;
    ck_assert_int_eq(output_flush(&output, &sink.stream), -EAGAIN);
    ck_assert_uint_eq(output.pending_bytes, 1);
    ck_assert_uint_eq(references(m), 2);
    sink.allowance = 1;
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    ck_assert_uint_eq(references(m), 1);
    expect_taken();
    message_unref(m);
    finish();
}
END_TEST

START_TEST(empty_reference_is_none)
{
    struct message *m;

    start();
    m = add_reference(0);
    ck_assert_uint_eq(references(m), 1);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    ck_assert_uint_eq(sink.calls, 0);
    message_unref(m);
    finish();
}
END_TEST

START_TEST(release_drops_what_waits)
{
    enum { MESSAGES = 60 };
    struct message *messages[MESSAGES];

    start();
    for (int i = 0; i < MESSAGES; i++) {
        messages[i] = add_reference(100);
        add_copy(10, 10);
    }
    sink.allowance = 150;
    ck_assert_int_eq(output_flush(&output, &sink.stream), -EAGAIN);
    output_release(&output);
    ck_assert_uint_eq(output.pending_bytes, 0);
    for (int i = 0; i < MESSAGES; i++) {
        ck_assert_uint_eq(references(messages[i]), 1);
        message_unref(messages[i]);
    }
    finish();
}
END_TEST

START_TEST(error_of_the_stream_is_passed_on)
{
    start();
    add_copy(10, 10);
    sink.error = -ECONNRESET;
    ck_assert_int_eq(output_flush(&output, &sink.stream), -ECONNRESET);
    ck_assert_uint_eq(output.pending_bytes, 10);
    finish();
}
END_TEST

START_TEST(written_chunks_are_used_again_up_to_a_bound)
{
    start();
    for (int i = 0; i < OUTPUT_SPARE_CHUNKS + 10; i++)
        add_copy(OUTPUT_CHUNK_SIZE, OUTPUT_CHUNK_SIZE);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    ck_assert_uint_eq(pool.spare_count, OUTPUT_SPARE_CHUNKS);
    add_copy(1, 1);
    ck_assert_uint_eq(pool.spare_count, OUTPUT_SPARE_CHUNKS - 1);
    ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
    expect_taken();
    finish();
}
END_TEST

/* A write has room for a limited number of runs; where it ends inside a chunk, nothing behind that
 * chunk may go out first. */
START_TEST(chunk_that_does_not_fit_a_write_is_not_overtaken)
{
    for (int lone = 0; lone < 70; lone++) {
        start();
        for (int i = 0; i < 120; i++) {
            if (i >= lone)
                add_copy(i % 5 == 4 ? 9000 : 1, 9000);
            message_unref(add_reference(3));
        }
        add_copy(OUTPUT_CHUNK_SIZE, OUTPUT_CHUNK_SIZE);
        add_copy(OUTPUT_CHUNK_SIZE, OUTPUT_CHUNK_SIZE);
        ck_assert_int_eq(output_flush(&output, &sink.stream), 0);
        expect_taken();
        finish();
    }
}
END_TEST

static void add_something(struct random_sequence *r, struct message *shared)
{
    size_t size = random_sequence_below(r, UINT64_C(1) << random_sequence_below(r, 16));

    switch (random_sequence_below(r, 4)) {
    case 0:
        message_unref(add_reference(size));
        return;
    case 1: { /* a part of a message that others hold too */
        size_t offset = random_sequence_below(r, shared->body_size);
        struct bytes run = bytes_of(message_body(shared) + offset, shared->body_size - offset);

        output_add_reference(&output, shared, run);
        buffer_append(&added, run);
        return;
    }
    case 2:
        add_copy(size, size + random_sequence_below(r, 1000));
        return;
    default: /* a frame's head and its body, as deliveries are */
        add_copy(40, 60);
        message_unref(add_reference(1 + size % 100));
        return;
    }
}

static void run_random(uint64_t seed)
{
    struct random_sequence r;
    struct message *shared = make_message(1000);

    start();
    memset(message_body(shared), 0xab, 1000);
    random_sequence_seed(&r, seed);
    for (int step = 0; step < 40; step++) {
        int rc;

        for (uint64_t n = random_sequence_below(&r, 80); n != 0; n--)
            add_something(&r, shared);
        sink.most = random_sequence_below(&r, UINT64_C(1) << random_sequence_below(&r, 18));
        sink.allowance = step == 39 ? SIZE_MAX : random_sequence_below(&r, 300000);
        rc = output_flush(&output, &sink.stream);
        ck_assert_int_eq(rc, output.pending_bytes == 0 ? 0 : -EAGAIN);
        ck_assert_msg(
            sink.taken.size + output.pending_bytes == added.size &&
                (sink.taken.size == 0 || memcmp(sink.taken.data, added.data, sink.taken.size) == 0),
            "seed %llu: what was written is not what was added", (unsigned long long)seed);
        buffer_consume(&added, sink.taken.size);
        buffer_clear(&sink.taken);
    }
    ck_assert_uint_eq(output.pending_bytes, 0);
    ck_assert_uint_eq(references(shared), 1);
    message_unref(shared);
    finish();
}

START_TEST(bytes_written_are_the_bytes_added)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run_random(seed);
}
END_TEST

UNIT_MAIN("output", nothing_added_writes_nothing, small_things_go_out_in_one_write,
          reserved_bytes_that_are_not_committed_are_not_written, more_than_a_chunk_in_a_row_fits,
          reference_goes_out_in_its_place_and_is_dropped,
          reference_is_kept_until_its_last_byte_is_written, empty_reference_is_none,
          release_drops_what_waits, error_of_the_stream_is_passed_on,
          written_chunks_are_used_again_up_to_a_bound,
          chunk_that_does_not_fit_a_write_is_not_overtaken, bytes_written_are_the_bytes_added)
