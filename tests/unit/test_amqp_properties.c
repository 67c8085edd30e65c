#include "amqp/properties.h"
#include "tests/unit/amqp_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SEEDS 5000

/* Every property, in order. */
static const char all_properties[] =
    "fffc 0a'text/plain' 04'gzip' 00000004 01'k' 't' 01 02 09 02'id' 02'to' 05'60000' 01'm'"
    "0000000065a0bc00 01't' 05'guest' 03'app' 01'c'";

static void expect_refused(struct bytes payload, unsigned code, const char *error_text)
{
    struct amqp_content_header h;
    struct amqp_error err = {.code = 0};

    ck_assert_msg(amqp_content_header_decode(payload, &h, &err) == -EPROTO, "%s", error_text);
    ck_assert_uint_eq(err.code, code);
    ck_assert_uint_eq(err.class_id, 60);
    ck_assert_uint_eq(err.method_id, 40);
    ck_assert_str_eq(err.text, error_text);
    ck_assert_int_eq(amqp_content_header_decode(payload, &h, NULL), -EPROTO);
}

START_TEST(content_header_is_decoded_where_it_lies)
{
    struct bytes payload = octets("003c 0000 0000000000000400 8000 01'a'");
    struct amqp_content_header h;
    struct amqp_properties p;

    ck_assert_int_eq(amqp_content_header_decode(payload, &h, NULL), 0);
    ck_assert_uint_eq(h.class_id, 60);
    ck_assert_uint_eq(h.weight, 0);
    ck_assert_uint_eq(h.body_size, 1024);
    ck_assert_ptr_eq(h.properties.data, payload.data + 12);
    ck_assert_uint_eq(h.properties.size, 4);

    ck_assert_int_eq(amqp_content_header_decode_properties(payload, &h, &p, NULL), 0);
    ck_assert(bytes_equal_string(p.content_type, "a"));
}
END_TEST

START_TEST(every_property_is_decoded)
{
    struct bytes raw = octets(all_properties);
    struct amqp_properties p;
    struct value v;
    struct buffer b;

    ck_assert_int_eq(amqp_properties_decode(raw, &p, NULL), 0);
    ck_assert_uint_eq(p.present, AMQP_PROPERTY_ALL);
    ck_assert(bytes_equal_string(p.content_type, "text/plain"));
    ck_assert(bytes_equal_string(p.content_encoding, "gzip"));
    ck_assert(amqp_table_find(p.headers.encoded, "k", &v) && v.boolean);
    ck_assert_uint_eq(p.delivery_mode, AMQP_PERSISTENT);
    ck_assert_uint_eq(p.priority, 9);
    ck_assert(bytes_equal_string(p.correlation_id, "id"));
    ck_assert(bytes_equal_string(p.reply_to, "to"));
    ck_assert(bytes_equal_string(p.expiration, "60000"));
    ck_assert(bytes_equal_string(p.message_id, "m"));
    ck_assert_uint_eq(p.timestamp, 1705032704);
    ck_assert(bytes_equal_string(p.type, "t"));
    ck_assert(bytes_equal_string(p.user_id, "guest"));
    ck_assert(bytes_equal_string(p.app_id, "app"));
    ck_assert(bytes_equal_string(p.cluster_id, "c"));

    buffer_init(&b);
    amqp_properties_encode(&p, &b);
    expect_octets(buffer_bytes(&b), raw, "all properties");
    buffer_free(&b);
}
END_TEST

START_TEST(absent_properties_are_zero)
{
    struct amqp_properties p;

    memset(&p, 0xff, sizeof(p));
    ck_assert_int_eq(amqp_properties_decode(AMQP_PROPERTIES_NONE, &p, NULL), 0);
    ck_assert_uint_eq(p.present, 0);
    ck_assert_uint_eq(p.content_type.size, 0);
    ck_assert_uint_eq(p.headers.encoded.size, 0);
    ck_assert_uint_eq(p.delivery_mode, 0);
    ck_assert_uint_eq(p.timestamp, 0);
    ck_assert_uint_eq(p.cluster_id.size, 0);
}
END_TEST

/* Present and empty is not absent. */
START_TEST(presence_is_a_matter_of_the_flag)
{
    struct amqp_properties p;

    ck_assert_int_eq(amqp_properties_decode(octets("0100 00"), &p, NULL), 0);
    ck_assert(amqp_properties_has(&p, AMQP_PROPERTY_EXPIRATION));
    ck_assert(!amqp_properties_has(&p, AMQP_PROPERTY_MESSAGE_ID));
    ck_assert_uint_eq(p.expiration.size, 0);
}
END_TEST

START_TEST(damaged_content_headers_are_refused)
{
    expect_refused(octets("003c 0000 00000000000000"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header is cut short");
    expect_refused(octets("003c 0000 0000000000000001"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header without property flags");
    expect_refused(octets("003c 0000 0000000000000001 80"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header without property flags");
    expect_refused(octets("003c 0000 0000000000000001 8000 05'ab'"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header ends inside property content_type");
    expect_refused(octets("003c 0000 0000000000000001 2000 00000009 01'k' 't'01"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header ends inside property headers");
    expect_refused(octets("003c 0000 0000000000000001 0040 000000"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header ends inside property timestamp");
    expect_refused(octets("003c 0000 0000000000000001 0000 00"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header with octets after its properties");
    expect_refused(octets("003c 0000 0000000000000001 0001 0000"), AMQP_FRAME_ERROR,
                   "FRAME_ERROR - content header with property flags beyond the first sixteen");
    expect_refused(octets("003c 0000 0000000000000001 2000 00000004 01'k' 'Z'01"),
                   AMQP_SYNTAX_ERROR,
                   "SYNTAX_ERROR - table with an unknown type at octet 2 of 4 (0x5a)");
    expect_refused(
        octets("0032 0000 0000000000000001 0000"), AMQP_UNEXPECTED_FRAME,
        "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead");
    expect_refused(octets("003c 0001 0000000000000001 0000"), AMQP_UNEXPECTED_FRAME,
                   "UNEXPECTED_FRAME - content header with a weight");
}
END_TEST

START_TEST(delivery_mode_is_read_alone)
{
    ck_assert_uint_eq(amqp_properties_delivery_mode(AMQP_PROPERTIES_NONE), AMQP_TRANSIENT);
    ck_assert_uint_eq(amqp_properties_delivery_mode(octets("1000 02")), AMQP_PERSISTENT);
    ck_assert_uint_eq(amqp_properties_delivery_mode(octets("1000 01")), AMQP_TRANSIENT);
    ck_assert_uint_eq(amqp_properties_delivery_mode(octets(all_properties)), AMQP_PERSISTENT);
    ck_assert_uint_eq(amqp_properties_delivery_mode(octets("c000 01'a' 01'b'")), AMQP_TRANSIENT);
    ck_assert_uint_eq(amqp_properties_delivery_mode(octets("1000")), AMQP_TRANSIENT);
    ck_assert_uint_eq(amqp_properties_delivery_mode(octets("")), AMQP_TRANSIENT);
}
END_TEST

START_TEST(content_header_frame_is_encoded)
{
    uint8_t out[AMQP_CONTENT_HEADER_OVERHEAD + 3];

    ck_assert_uint_eq(amqp_content_header_encode(out, 0x0102, 0x0304, octets("1000 02")),
                      sizeof(out));
    expect_octets(bytes_of(out, sizeof(out)),
                  octets("02 0102 0000000f 003c 0000 0000000000000304 1000 02 ce"), "header frame");
}
END_TEST

START_TEST(encoded_properties_decode_to_themselves)
{
    uint64_t seed = first_seed();

    for (uint64_t end = seed + SEEDS; seed < end; seed++) {
        struct invention in;
        struct amqp_properties p, again, viewed;
        struct buffer b;
        struct bytes raw;
        uint8_t mode;

        invention_begin(&in, seed);
        buffer_init(&b);
        p = invent_properties(&in);
        amqp_properties_encode(&p, &b);
        raw = exact_copy(buffer_bytes(&b));
        mode =
            amqp_properties_has(&p, AMQP_PROPERTY_DELIVERY_MODE) ? p.delivery_mode : AMQP_TRANSIENT;

        ck_assert_msg(amqp_properties_encoded_size(&p) == b.size, "seed %" PRIu64, seed);
        ck_assert_msg(amqp_properties_decode(raw, &again, NULL) == 0, "seed %" PRIu64, seed);
        ck_assert_msg(properties_equal(&p, &again), "seed %" PRIu64, seed);
        ck_assert_msg(amqp_properties_view(raw, &viewed), "seed %" PRIu64, seed);
        ck_assert_msg(properties_equal(&p, &viewed), "seed %" PRIu64, seed);
        ck_assert_msg(amqp_properties_delivery_mode(raw) == mode, "seed %" PRIu64, seed);
        free((void *)raw.data);
        buffer_free(&b);
        invention_end(&in);
    }
}
END_TEST

START_TEST(cut_properties_are_refused)
{
    uint64_t seed = first_seed();

    for (uint64_t end = seed + 200; seed < end; seed++) {
        struct invention in;
        struct amqp_properties p, out;
        struct amqp_error err;
        struct buffer b;

        invention_begin(&in, seed);
        buffer_init(&b);
        p = invent_properties(&in);
        amqp_properties_encode(&p, &b);
        for (size_t n = 0; n < b.size; n++) {
            struct bytes cut = exact_copy(bytes_of(b.data, n));

            err.code = 0;
            ck_assert_msg(amqp_properties_decode(cut, &out, &err) == -EPROTO,
                          "seed %" PRIu64 ", %zu of %zu", seed, n, b.size);
            ck_assert_uint_eq(err.code, AMQP_FRAME_ERROR);
            amqp_properties_delivery_mode(cut);
            free((void *)cut.data);
        }
        buffer_free(&b);
        invention_end(&in);
    }
}
END_TEST

UNIT_MAIN("amqp_properties", content_header_is_decoded_where_it_lies, every_property_is_decoded,
          absent_properties_are_zero, presence_is_a_matter_of_the_flag,
          damaged_content_headers_are_refused, delivery_mode_is_read_alone,
          content_header_frame_is_encoded, encoded_properties_decode_to_themselves,
          cut_properties_are_refused)
