#include "amqp/frame.h"
#include "tests/unit/amqp_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>

#define FRAME_MAX 4096u

static void expect_error(const char *notation, const char *error_text)
{
    struct amqp_frame f;
    struct amqp_error err = {.code = 0};

    ck_assert_msg(amqp_frame_decode(octets(notation), FRAME_MAX, &f, &err) == -EPROTO, "%s",
                  notation);
    ck_assert_uint_eq(err.code, AMQP_FRAME_ERROR);
    ck_assert_uint_eq(err.class_id, 0);
    ck_assert_uint_eq(err.method_id, 0);
    ck_assert_str_eq(err.text, error_text);
}

START_TEST(frame_is_decoded_where_it_lies)
{
    struct bytes in = octets("01 0203 00000004 00 14 00 0b ce 'next'");
    struct amqp_frame f;
    struct amqp_error err;

    ck_assert_int_eq(amqp_frame_decode(in, FRAME_MAX, &f, &err), 12);
    ck_assert_uint_eq(f.type, AMQP_FRAME_METHOD);
    ck_assert_uint_eq(f.channel, 0x0203);
    ck_assert_uint_eq(f.size, 4);
    ck_assert_ptr_eq(f.payload, in.data + 7);
}
END_TEST

START_TEST(empty_payload_is_a_frame)
{
    struct amqp_frame f;
    struct amqp_error err;

    ck_assert_int_eq(amqp_frame_decode(octets("08 0000 00000000 ce"), FRAME_MAX, &f, &err), 8);
    ck_assert_uint_eq(f.type, AMQP_FRAME_HEARTBEAT);
    ck_assert_int_eq(amqp_frame_decode(octets("03 0001 00000000 ce"), FRAME_MAX, &f, &err), 8);
    ck_assert_uint_eq(f.type, AMQP_FRAME_BODY);
}
END_TEST

START_TEST(part_of_a_frame_needs_more)
{
    struct bytes whole = octets("03 0001 00000005 'hello' ce");
    struct amqp_frame f;
    struct amqp_error err;

    for (size_t n = 0; n < whole.size; n++) {
        struct bytes part = exact_copy(bytes_of(whole.data, n));

        ck_assert_int_eq(amqp_frame_decode(part, FRAME_MAX, &f, &err), 0);
        free((void *)part.data);
    }
    ck_assert_int_eq(amqp_frame_decode(whole, FRAME_MAX, &f, &err), (ssize_t)whole.size);
}
END_TEST

START_TEST(damaged_frames_are_frame_errors)
{
    expect_error("03 0001 00000002 'hi' 00",
                 "FRAME_ERROR - invalid frame end marker 0x00: type 3, payload of 2 octets");
    expect_error("00 0000 00000000", "FRAME_ERROR - unknown frame type 0");
    expect_error("04 0000 00000000", "FRAME_ERROR - unknown frame type 4");
    expect_error("07 0000 00000000", "FRAME_ERROR - unknown frame type 7");
    expect_error("09 0000 00000000", "FRAME_ERROR - unknown frame type 9");
    expect_error("ff 0000 00000000", "FRAME_ERROR - unknown frame type 255");
    expect_error("08 0000 00000001", "FRAME_ERROR - heartbeat with a payload of 1 octets");
    expect_error("03 0001 ffffffff", "FRAME_ERROR - frame too large: type 3, payload of 4294967295 "
                                     "octets, frame_max 4096");
}
END_TEST

/* RabbitMQ's fudge: the payload alone may be frame_max long. */
START_TEST(payload_may_be_as_long_as_frame_max)
{
    struct amqp_frame f;
    struct amqp_error err;

    ck_assert_int_eq(amqp_frame_decode(octets("03 0001 00001000"), FRAME_MAX, &f, &err), 0);
    ck_assert_int_eq(amqp_frame_decode(octets("03 0001 00001001"), FRAME_MAX, &f, &err), -EPROTO);
}
END_TEST

START_TEST(frame_max_of_zero_is_no_limit)
{
    struct amqp_frame f = {.size = 0};
    struct amqp_error err;

    ck_assert_int_eq(amqp_frame_decode(octets("03 0001 ffffffff"), 0, &f, &err), 0);
    ck_assert_uint_eq(f.size, UINT32_MAX);
}
END_TEST

START_TEST(header_alone_is_decoded_and_checked)
{
    struct amqp_frame f;
    struct amqp_error err = {.code = 0};

    amqp_frame_header_decode(octets("03 fffe 00010203").data, &f);
    ck_assert_uint_eq(f.type, AMQP_FRAME_BODY);
    ck_assert_uint_eq(f.channel, 0xfffe);
    ck_assert_uint_eq(f.size, 0x010203);
    ck_assert_int_eq(amqp_frame_header_check(&f, 0x010203, &err), 0);
    ck_assert_int_eq(amqp_frame_header_check(&f, 0x010202, &err), -EPROTO);
    ck_assert_uint_eq(err.code, AMQP_FRAME_ERROR);
}
END_TEST

START_TEST(headers_and_heartbeats_are_encoded)
{
    uint8_t out[8];

    ck_assert_uint_eq(amqp_frame_encode_header(out, AMQP_FRAME_BODY, 0x0102, 0x03040506), 7);
    expect_octets(bytes_of(out, 7), octets("03 0102 03040506"), "frame header");
    ck_assert_uint_eq(amqp_frame_encode_heartbeat(out), 8);
    expect_octets(bytes_of(out, 8), octets("08 0000 00000000 ce"), "heartbeat");
}
END_TEST

UNIT_MAIN("amqp_frame", frame_is_decoded_where_it_lies, empty_payload_is_a_frame,
          part_of_a_frame_needs_more, damaged_frames_are_frame_errors,
          payload_may_be_as_long_as_frame_max, frame_max_of_zero_is_no_limit,
          header_alone_is_decoded_and_checked, headers_and_heartbeats_are_encoded)
