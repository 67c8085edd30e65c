#include "amqp/frame.h"
#include "amqp/method.h"
#include "amqp/properties.h"
#include "perf/slab.h"

#include <check.h>
#include <stdlib.h>

static struct slab slab;
static struct size_distribution sizes;
static struct slab_shape shape;

static void setup(void)
{
    shape = (struct slab_shape){
        .exchange = bytes_from_string("x"),
        .routing_key = bytes_from_string("key"),
        .properties = AMQP_PROPERTIES_NONE,
        .size = &sizes,
        .frame_max = 4096,
        .target_bytes = 20000,
    };
}

static void teardown(void)
{
    slab_free(&slab);
}

static struct amqp_frame take_frame(struct bytes *frames, uint8_t type)
{
    struct amqp_frame frame = {0};
    struct amqp_error error;
    ssize_t taken = amqp_frame_decode(*frames, 4096, &frame, &error);

    ck_assert_int_gt(taken, 0);
    ck_assert_uint_eq(frame.type, type);
    ck_assert_uint_eq(frame.channel, 1);
    *frames = bytes_of(frames->data + taken, frames->size - (size_t)taken);
    return frame;
}

struct message {
    struct bytes routing_key;
    uint64_t size;
    int64_t stamp_ns;
    struct slab_mark mark;
};

/* Reads one message off the front, as a broker would. */
static struct message take_message(struct bytes *frames)
{
    struct message m = {0};
    struct amqp_method method;
    struct amqp_content_header header;
    struct amqp_error error;
    struct amqp_frame frame = take_frame(frames, AMQP_FRAME_METHOD);
    uint64_t packed;
    uint64_t got = 0;

    ck_assert_int_eq(amqp_method_decode(amqp_frame_payload(&frame), &method, &error), 0);
    ck_assert_uint_eq(method.id, AMQP_BASIC_PUBLISH);
    ck_assert(bytes_equal_string(method.basic_publish.exchange, "x"));
    m.routing_key = method.basic_publish.routing_key;

    frame = take_frame(frames, AMQP_FRAME_HEADER);
    ck_assert_int_eq(amqp_content_header_decode(amqp_frame_payload(&frame), &header, &error), 0);
    m.size = header.body_size;

    while (got < m.size) {
        frame = take_frame(frames, AMQP_FRAME_BODY);
        if (got == 0 && m.size >= SLAB_MARK_SIZE) {
            memcpy(&m.stamp_ns, frame.payload, sizeof(m.stamp_ns));
            memcpy(&packed, frame.payload + sizeof(m.stamp_ns), sizeof(packed));
            m.mark = slab_mark_unpack(packed);
        }
        got += frame.size;
    }
    ck_assert_uint_eq(got, m.size);
    return m;
}

START_TEST(marks_survive_packing)
{
    struct slab_mark m = slab_mark_unpack(slab_mark_pack(
        (struct slab_mark){.run = 4095, .producer = 16383, .number = ((uint64_t)1 << 38) - 1}));

    ck_assert_uint_eq(m.run, 4095);
    ck_assert_uint_eq(m.producer, 16383);
    ck_assert_uint_eq(m.number, ((uint64_t)1 << 38) - 1);
}
END_TEST

/* Sizes below the mark, of one frame, and of several. */
START_TEST(messages_are_whole_and_marked_whatever_their_size)
{
    static const char *const all[] = {"0", "15", "16", "1024", "4088", "4089", "20000", "0..9000"};
    uint64_t bytes = 0;
    uint64_t sum = 0;
    uint64_t number = 0;

    size_distribution_parse(&sizes, all[_i]);
    slab_init(&slab, &shape, 1);
    while (number < 300) {
        struct slab_mark first = {.run = 3, .producer = 9, .number = number};
        uint32_t count = slab_available(&slab) < 7 ? slab_available(&slab) : 7;
        struct bytes frames = slab_take(&slab, count, first, 1000, 10, &bytes);

        for (uint32_t i = 0; i < count; i++) {
            struct message m = take_message(&frames);

            ck_assert(bytes_equal_string(m.routing_key, "key"));
            sum += m.size;
            if (m.size < SLAB_MARK_SIZE)
                continue;
            ck_assert_int_eq(m.stamp_ns, 1000 + 10 * (int64_t)i);
            ck_assert_uint_eq(m.mark.run, 3);
            ck_assert_uint_eq(m.mark.producer, 9);
            ck_assert_uint_eq(m.mark.number, number + i);
        }
        ck_assert_uint_eq(frames.size, 0);
        number += count;
    }
    ck_assert_uint_eq(bytes, sum);
}
END_TEST

START_TEST(keys_are_drawn_from_the_range)
{
    bool seen[4] = {false};
    uint64_t bytes = 0;

    size_distribution_parse(&sizes, "16");
    shape.keys = 4;
    shape.key_range = 1000;
    slab_init(&slab, &shape, 1);
    for (int n = 0; n < 200; n++) {
        struct bytes frames =
            slab_take(&slab, 1, (struct slab_mark){.number = (uint64_t)n}, 0, 0, &bytes);
        struct message m = take_message(&frames);
        bool known = false;

        for (uint64_t k = 0; k < 4; k++) {
            char key[16];

            slab_key_write(key, k * 250);
            if (bytes_equal_string(m.routing_key, key))
                known = seen[k] = true;
        }
        ck_assert(known);
    }
    ck_assert(seen[0] && seen[1] && seen[2] && seen[3]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perf_slab");
    TCase *tc = tcase_create("slab");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, marks_survive_packing);
    tcase_add_loop_test(tc, messages_are_whole_and_marked_whatever_their_size, 0, 8);
    tcase_add_test(tc, keys_are_drawn_from_the_range);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
