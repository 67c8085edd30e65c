#include "amqp/method.h"
#include "tests/unit/amqp_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SEEDS_PER_METHOD 200
#define CUTS_PER_METHOD 12

/* clang-format off */
#define TEXT(s) {.data = (const uint8_t *)(s), .size = sizeof(s) - 1}
#define TABLE(s) {.encoded = TEXT(s)}

/* A payload and what it means. */
static const struct {
    const char *notation;
    struct amqp_method method;
} literals[] = {
    {"000a000a 00 09 00000004 01'k''t'01 0000000e'PLAIN AMQPLAIN' 00000005'en_US'",
     {AMQP_CONNECTION_START, .connection_start = {
         .version_major = 0, .version_minor = 9, .server_properties = TABLE("\1kt\1"),
         .mechanisms = TEXT("PLAIN AMQPLAIN"), .locales = TEXT("en_US")}}},
    {"000a000b 00000000 05'PLAIN' 0000000c 00'guest'00'guest' 05'en_US'",
     {AMQP_CONNECTION_START_OK, .connection_start_ok = {
         .mechanism = TEXT("PLAIN"), .response = TEXT("\0guest\0guest"), .locale = TEXT("en_US")}}},
    {"000a0014 00000002'hm'",
     {AMQP_CONNECTION_SECURE, .connection_secure = {.challenge = TEXT("hm")}}},
    {"000a001e 07ff 00020000 003c",
     {AMQP_CONNECTION_TUNE, .connection_tune = {
         .channel_max = 2047, .frame_max = 131072, .heartbeat_s = 60}}},
    {"000a001f ffff 00001000 0000",
     {AMQP_CONNECTION_TUNE_OK, .connection_tune_ok = {
         .channel_max = 65535, .frame_max = 4096, .heartbeat_s = 0}}},
    {"000a0028 01'/' 00 00",
     {AMQP_CONNECTION_OPEN, .connection_open = {.virtual_host = TEXT("/")}}},
    {"000a0029 00", {AMQP_CONNECTION_OPEN_OK, {{0}}}},
    {"000a0032 0140 04'bye!' 0032 000a",
     {AMQP_CONNECTION_CLOSE, .connection_close = {
         .reply_code = 320, .reply_text = TEXT("bye!"), .class_id = 50, .method_id = 10}}},
    {"000a0033", {AMQP_CONNECTION_CLOSE_OK, {{0}}}},
    {"000a003c 0b'low on disk'",
     {AMQP_CONNECTION_BLOCKED, .connection_blocked = {.reason = TEXT("low on disk")}}},
    {"000a0046 00000003'new' 01'r'",
     {AMQP_CONNECTION_UPDATE_SECRET, .connection_update_secret = {
         .new_secret = TEXT("new"), .reason = TEXT("r")}}},
    {"0014000a 00", {AMQP_CHANNEL_OPEN, {{0}}}},
    {"0014000b 00000000", {AMQP_CHANNEL_OPEN_OK, {{0}}}},
    {"00140014 01", {AMQP_CHANNEL_FLOW, .channel_flow = {.active = true}}},
    {"00140028 0194 09'NOT_FOUND' 003c 0028",
     {AMQP_CHANNEL_CLOSE, .channel_close = {
         .reply_code = 404, .reply_text = TEXT("NOT_FOUND"), .class_id = 60, .method_id = 40}}},
    {"001e000a 05'/data' 1d",
     {AMQP_ACCESS_REQUEST, .access_request = {
         .realm = TEXT("/data"), .exclusive = true, .passive = false, .active = true,
         .write = true, .read = true}}},
    {"001e000b 0001", {AMQP_ACCESS_REQUEST_OK, .access_request_ok = {.ticket = 1}}},
    {"0028000a 0000 02'ex' 06'direct' 02 00000000",
     {AMQP_EXCHANGE_DECLARE, .exchange_declare = {
         .exchange = TEXT("ex"), .type = TEXT("direct"), .durable = true}}},
    {"0028000a 0000 02'ex' 05'topic' 1d 00000003 01'v''V'",
     {AMQP_EXCHANGE_DECLARE, .exchange_declare = {
         .exchange = TEXT("ex"), .type = TEXT("topic"), .passive = true, .auto_delete = true,
         .internal = true, .no_wait = true, .arguments = TABLE("\1vV")}}},
    {"00280014 0000 02'ex' 01",
     {AMQP_EXCHANGE_DELETE, .exchange_delete = {.exchange = TEXT("ex"), .if_unused = true}}},
    {"0028001e 0000 01'd' 01's' 03'a.b' 01 00000000",
     {AMQP_EXCHANGE_BIND, .exchange_bind = {
         .destination = TEXT("d"), .source = TEXT("s"), .routing_key = TEXT("a.b"),
         .no_wait = true}}},
    {"00280033", {AMQP_EXCHANGE_UNBIND_OK, {{0}}}},
    {"0032000a 0000 01'q' 02 00000013 0d'x-message-ttl''I'0000ea60",
     {AMQP_QUEUE_DECLARE, .queue_declare = {
         .queue = TEXT("q"), .durable = true,
         .arguments = TABLE("\15x-message-ttlI\0\0\xea\x60")}}},
    {"0032000a 0000 00 1c 00000000",
     {AMQP_QUEUE_DECLARE, .queue_declare = {
         .exclusive = true, .auto_delete = true, .no_wait = true}}},
    {"0032000b 01'q' 00000007 00000002",
     {AMQP_QUEUE_DECLARE_OK, .queue_declare_ok = {
         .queue = TEXT("q"), .message_count = 7, .consumer_count = 2}}},
    {"00320014 0000 01'q' 02'ex' 03'key' 00 00000000",
     {AMQP_QUEUE_BIND, .queue_bind = {
         .queue = TEXT("q"), .exchange = TEXT("ex"), .routing_key = TEXT("key")}}},
    {"0032001e 0000 01'q' 01",
     {AMQP_QUEUE_PURGE, .queue_purge = {.queue = TEXT("q"), .no_wait = true}}},
    {"00320028 0000 01'q' 03",
     {AMQP_QUEUE_DELETE, .queue_delete = {
         .queue = TEXT("q"), .if_unused = true, .if_empty = true}}},
    {"00320032 0000 01'q' 02'ex' 03'key' 00000000",
     {AMQP_QUEUE_UNBIND, .queue_unbind = {
         .queue = TEXT("q"), .exchange = TEXT("ex"), .routing_key = TEXT("key")}}},
    {"003c000a 00000000 0064 01",
     {AMQP_BASIC_QOS, .basic_qos = {.prefetch_count = 100, .global = true}}},
    {"003c0014 0000 01'q' 03'tag' 02 00000000",
     {AMQP_BASIC_CONSUME, .basic_consume = {
         .queue = TEXT("q"), .consumer_tag = TEXT("tag"), .no_ack = true}}},
    {"003c001e 03'tag' 01",
     {AMQP_BASIC_CANCEL, .basic_cancel = {.consumer_tag = TEXT("tag"), .no_wait = true}}},
    {"003c0028 0000 02'ex' 03'key' 01",
     {AMQP_BASIC_PUBLISH, .basic_publish = {
         .exchange = TEXT("ex"), .routing_key = TEXT("key"), .mandatory = true}}},
    {"003c0032 0138 08'NO_ROUTE' 02'ex' 03'key'",
     {AMQP_BASIC_RETURN, .basic_return = {
         .reply_code = 312, .reply_text = TEXT("NO_ROUTE"), .exchange = TEXT("ex"),
         .routing_key = TEXT("key")}}},
    {"003c003c 03'tag' 0102030405060708 01 02'ex' 03'key'",
     {AMQP_BASIC_DELIVER, .basic_deliver = {
         .consumer_tag = TEXT("tag"), .delivery_tag = 0x0102030405060708, .redelivered = true,
         .exchange = TEXT("ex"), .routing_key = TEXT("key")}}},
    {"003c0046 0000 01'q' 01", {AMQP_BASIC_GET, .basic_get = {.queue = TEXT("q"), .no_ack = true}}},
    {"003c0047 0000000000000001 00 00 01'q' 00000003",
     {AMQP_BASIC_GET_OK, .basic_get_ok = {
         .delivery_tag = 1, .routing_key = TEXT("q"), .message_count = 3}}},
    {"003c0048 00", {AMQP_BASIC_GET_EMPTY, {{0}}}},
    {"003c0050 0000000000000007 01",
     {AMQP_BASIC_ACK, .basic_ack = {.delivery_tag = 7, .multiple = true}}},
    {"003c005a ffffffffffffffff 00",
     {AMQP_BASIC_REJECT, .basic_reject = {.delivery_tag = UINT64_MAX}}},
    {"003c006e 01", {AMQP_BASIC_RECOVER, .basic_recover = {.requeue = true}}},
    {"003c0078 0000000000000002 02",
     {AMQP_BASIC_NACK, .basic_nack = {.delivery_tag = 2, .requeue = true}}},
    {"0055000a 01", {AMQP_CONFIRM_SELECT, .confirm_select = {.no_wait = true}}},
    {"005a000a", {AMQP_TX_SELECT, {{0}}}},
    {"005a001f", {AMQP_TX_ROLLBACK_OK, {{0}}}},
};
/* clang-format on */

#define LITERAL_COUNT (sizeof(literals) / sizeof(literals[0]))

static void expect_refused(const char *notation, unsigned code, unsigned class_id,
                           unsigned method_id, const char *error_text)
{
    struct amqp_method m;
    struct amqp_error err = {.code = 0};

    ck_assert_msg(amqp_method_decode(octets(notation), &m, &err) == -EPROTO, "%s", notation);
    ck_assert_uint_eq(err.code, code);
    ck_assert_uint_eq(err.class_id, class_id);
    ck_assert_uint_eq(err.method_id, method_id);
    ck_assert_str_eq(err.text, error_text);
    ck_assert_int_eq(amqp_method_decode(octets(notation), &m, NULL), -EPROTO);
}

START_TEST(literal_payloads_are_decoded)
{
    for (size_t i = 0; i < LITERAL_COUNT; i++) {
        struct amqp_method m;
        struct amqp_error err = {.code = 0};
        int rc = amqp_method_decode(octets(literals[i].notation), &m, &err);

        ck_assert_msg(rc == 0, "%s: %s", literals[i].notation, err.text);
        ck_assert_msg(methods_equal(&m, &literals[i].method), "%s", literals[i].notation);
    }
}
END_TEST

START_TEST(literal_payloads_are_encoded)
{
    for (size_t i = 0; i < LITERAL_COUNT; i++) {
        struct invention in;

        invention_begin(&in, 0);
        expect_octets(encoded_method(&in, &literals[i].method), octets(literals[i].notation),
                      literals[i].notation);
        invention_end(&in);
    }
}
END_TEST

START_TEST(ids_are_class_and_method)
{
    ck_assert_uint_eq(AMQP_CONNECTION_START, 0x000A000A);
    ck_assert_uint_eq(AMQP_QUEUE_DECLARE, 0x0032000A);
    ck_assert_uint_eq(amqp_method_class(AMQP_BASIC_NACK), 60);
    ck_assert_uint_eq(amqp_method_number(AMQP_BASIC_NACK), 120);
    ck_assert_uint_eq(amqp_method_peek(octets("003c0028 00")), AMQP_BASIC_PUBLISH);
    ck_assert_uint_eq(amqp_method_peek(octets("003c00")), 0);
}
END_TEST

START_TEST(methods_are_known_by_name)
{
    ck_assert_str_eq(amqp_method_name(AMQP_QUEUE_DECLARE), "queue.declare");
    ck_assert_str_eq(amqp_method_name(AMQP_BASIC_RECOVER_ASYNC), "basic.recover-async");
    ck_assert_str_eq(amqp_method_name(AMQP_TX_ROLLBACK_OK), "tx.rollback-ok");
    ck_assert_str_eq(amqp_method_name((enum amqp_method_id)0), "unknown");
    ck_assert_ptr_null(amqp_method_info((enum amqp_method_id)0x003c0079));
}
END_TEST

START_TEST(every_method_is_listed_once_in_order)
{
    size_t with_content = 0;

    ck_assert_uint_eq(AMQP_METHOD_COUNT, 66);
    for (size_t i = 0; i < AMQP_METHOD_COUNT; i++) {
        const struct amqp_method_info *m = &AMQP_METHODS[i];

        ck_assert(i == 0 || AMQP_METHODS[i - 1].id < m->id);
        ck_assert_ptr_eq(amqp_method_info(m->id), m);
        ck_assert_int_eq(m->has_content, amqp_method_has_content(m->id));
        with_content += m->has_content;
    }
    ck_assert_uint_eq(with_content, 4);
}
END_TEST

START_TEST(direction_and_wait_are_those_of_the_specification)
{
    ck_assert_int_eq(amqp_method_info(AMQP_BASIC_PUBLISH)->direction, AMQP_TO_SERVER);
    ck_assert_int_eq(amqp_method_info(AMQP_BASIC_DELIVER)->direction, AMQP_TO_CLIENT);
    ck_assert_int_eq(amqp_method_info(AMQP_CHANNEL_CLOSE)->direction, AMQP_BOTH);
    ck_assert(amqp_method_info(AMQP_QUEUE_DECLARE)->synchronous);
    ck_assert(!amqp_method_info(AMQP_QUEUE_DECLARE_OK)->synchronous);
    ck_assert(!amqp_method_info(AMQP_BASIC_ACK)->synchronous);
}
END_TEST

START_TEST(damaged_methods_are_refused)
{
    expect_refused("", AMQP_FRAME_ERROR, 0, 0, "FRAME_ERROR - method frame of 0 octets");
    expect_refused("003200", AMQP_FRAME_ERROR, 0, 0, "FRAME_ERROR - method frame of 3 octets");
    expect_refused("003c0063", AMQP_COMMAND_INVALID, 60, 99,
                   "COMMAND_INVALID - unimplemented method");
    expect_refused("0063000a", AMQP_COMMAND_INVALID, 99, 10,
                   "COMMAND_INVALID - unimplemented method");
    expect_refused("0032000a 0000 05'ab'", AMQP_FRAME_ERROR, 50, 10,
                   "FRAME_ERROR - cannot decode queue.declare: it ends inside field 'queue'");
    expect_refused("0032000a 00", AMQP_FRAME_ERROR, 50, 10,
                   "FRAME_ERROR - cannot decode queue.declare: it ends inside field 'reserved'");
    expect_refused("0032000a 0000 02'ab'", AMQP_FRAME_ERROR, 50, 10,
                   "FRAME_ERROR - cannot decode queue.declare: it ends inside field 'passive'");
    expect_refused("0032000a 0000 02'ab' 00 00000001", AMQP_FRAME_ERROR, 50, 10,
                   "FRAME_ERROR - cannot decode queue.declare: it ends inside field 'arguments'");
    expect_refused("0032000a 0000 02'ab' 00 00000000 'xyz'", AMQP_FRAME_ERROR, 50, 10,
                   "FRAME_ERROR - cannot decode queue.declare: 3 octets too many");
    expect_refused("005a000a 00", AMQP_FRAME_ERROR, 90, 10,
                   "FRAME_ERROR - cannot decode tx.select: 1 octets too many");
    expect_refused("0032000a 0000 02'ab' 00 00000004 01'k''Z'01", AMQP_SYNTAX_ERROR, 50, 10,
                   "SYNTAX_ERROR - table with an unknown type at octet 2 of 4 (0x5a)");
}
END_TEST

/* As RabbitMQ: names have to be UTF-8, what travels with a message is not looked into. */
START_TEST(names_are_utf8_except_beside_content)
{
    struct amqp_method m;

    expect_refused("0032000a 0000 02 fffe 00 00000000", AMQP_FRAME_ERROR, 50, 10,
                   "FRAME_ERROR - Malformed UTF-8 in shortstr: queue.declare, field 'queue'");
    expect_refused("003c001e 01 80 00", AMQP_FRAME_ERROR, 60, 30,
                   "FRAME_ERROR - Malformed UTF-8 in shortstr: basic.cancel, field 'consumer_tag'");
    ck_assert_int_eq(amqp_method_decode(octets("003c001e 02 c3a9 00"), &m, NULL), 0);
    ck_assert_int_eq(amqp_method_decode(octets("003c0028 0000 01 ff 01 fe 00"), &m, NULL), 0);
}
END_TEST

/* Clients put tickets and capabilities there. */
START_TEST(reserved_fields_may_hold_anything)
{
    struct amqp_method m;

    ck_assert_int_eq(amqp_method_decode(octets("000a0028 01'/' 03'abc' 01"), &m, NULL), 0);
    ck_assert(bytes_equal_string(m.connection_open.virtual_host, "/"));
    ck_assert_int_eq(amqp_method_decode(octets("003c0046 0065 01'q' 00"), &m, NULL), 0);
    ck_assert(bytes_equal_string(m.basic_get.queue, "q"));
    ck_assert_int_eq(amqp_method_decode(octets("0014000a 03'out'"), &m, NULL), 0);
    ck_assert_int_eq(amqp_method_decode(octets("00140014 ff"), &m, NULL), 0);
    ck_assert(m.channel_flow.active);
}
END_TEST

START_TEST(fields_are_views_into_the_payload)
{
    struct bytes payload = octets("003c0028 0000 02'ex' 03'key' 00");
    struct amqp_method m;

    ck_assert_int_eq(amqp_method_decode(payload, &m, NULL), 0);
    ck_assert_ptr_eq(m.basic_publish.exchange.data, payload.data + 7);
    ck_assert_ptr_eq(m.basic_publish.routing_key.data, payload.data + 10);
}
END_TEST

START_TEST(inline_decoders_agree_with_the_general_one)
{
    struct amqp_error err = {.code = 0};
    struct amqp_basic_publish publish;
    struct amqp_basic_deliver deliver;
    struct amqp_basic_ack ack;
    struct amqp_basic_nack nack;
    struct amqp_basic_reject reject;

    ck_assert_int_eq(
        amqp_basic_publish_decode(octets("003c0028 0000 02'ex' 03'key' 03"), &publish, &err), 0);
    ck_assert(bytes_equal_string(publish.exchange, "ex"));
    ck_assert(bytes_equal_string(publish.routing_key, "key"));
    ck_assert(publish.mandatory && publish.immediate);
    ck_assert_int_eq(amqp_basic_deliver_decode(
                         octets("003c003c 01't' 0000000000000009 00 00 01'q'"), &deliver, &err),
                     0);
    ck_assert_uint_eq(deliver.delivery_tag, 9);
    ck_assert_int_eq(amqp_basic_ack_decode(octets("003c0050 0000000000000007 01"), &ack, &err), 0);
    ck_assert_uint_eq(ack.delivery_tag, 7);
    ck_assert(ack.multiple);
    ck_assert_int_eq(amqp_basic_nack_decode(octets("003c0078 0000000000000007 02"), &nack, &err),
                     0);
    ck_assert(!nack.multiple && nack.requeue);
    ck_assert_int_eq(
        amqp_basic_reject_decode(octets("003c005a 0000000000000007 01"), &reject, &err), 0);
    ck_assert(reject.requeue);

    ck_assert_int_eq(amqp_basic_ack_decode(octets("003c0050 00000000000000"), &ack, &err), -EPROTO);
    ck_assert_uint_eq(err.code, AMQP_FRAME_ERROR);
    ck_assert_str_eq(err.text,
                     "FRAME_ERROR - cannot decode basic.ack: it ends inside field 'delivery_tag'");
}
END_TEST

START_TEST(frames_of_the_message_path_are_whole)
{
    uint8_t out[AMQP_BASIC_DELIVER_FRAME_MAX];
    size_t n =
        amqp_basic_deliver_encode(out, 0x0102, text("tag"), 7, true, text("ex"), text("key"));

    expect_octets(bytes_of(out, n),
                  octets("01 0102 00000018 003c003c 03'tag' 0000000000000007 01 02'ex' 03'key' ce"),
                  "deliver");
    ck_assert_uint_eq(n, amqp_basic_deliver_frame_size(text("tag"), text("ex"), text("key")));

    n = amqp_basic_publish_encode(out, 3, text("ex"), text("key"), true, false);
    expect_octets(bytes_of(out, n), octets("01 0003 0000000e 003c0028 0000 02'ex' 03'key' 01 ce"),
                  "publish");

    n = amqp_basic_ack_encode(out, 3, 258, true);
    expect_octets(bytes_of(out, n), octets("01 0003 0000000d 003c0050 0000000000000102 01 ce"),
                  "ack");
    ck_assert_uint_eq(n, AMQP_BASIC_ACK_FRAME_SIZE);
}
END_TEST

START_TEST(longest_frames_of_the_message_path_fit)
{
    uint8_t deliver[AMQP_BASIC_DELIVER_FRAME_MAX];
    uint8_t publish[AMQP_BASIC_PUBLISH_FRAME_MAX];
    char longest[AMQP_SHORTSTR_MAX];
    struct bytes s = bytes_of(longest, sizeof(longest));

    memset(longest, 'l', sizeof(longest));
    ck_assert_uint_eq(amqp_basic_deliver_encode(deliver, 1, s, 1, false, s, s), sizeof(deliver));
    ck_assert_uint_eq(amqp_basic_publish_encode(publish, 1, s, s, false, false), sizeof(publish));
}
END_TEST

START_TEST(method_frame_is_appended)
{
    struct amqp_method m = {.id = AMQP_CHANNEL_CLOSE_OK};
    struct buffer b;

    buffer_init(&b);
    buffer_append(&b, text("before"));
    amqp_method_frame_encode(5, &m, &b);
    expect_octets(buffer_bytes(&b), octets("'before' 01 0005 00000004 00140029 ce"), "frame");
    buffer_free(&b);
}
END_TEST

/* ---- Properties, of every method ---- */

START_TEST(encoded_methods_decode_to_themselves)
{
    uint64_t seed = first_seed();

    for (size_t i = 0; i < AMQP_METHOD_COUNT; i++) {
        for (uint64_t s = seed; s < seed + SEEDS_PER_METHOD; s++) {
            struct invention in;
            struct amqp_method m, again;
            struct bytes payload;
            struct amqp_error err = {.code = 0};
            int rc;

            invention_begin(&in, s);
            m = invent_method(&in, AMQP_METHODS[i].id);
            payload = exact_copy(encoded_method(&in, &m));
            rc = amqp_method_decode(payload, &again, &err);

            ck_assert_msg(rc == 0, "%s, seed %" PRIu64 ": %s", AMQP_METHODS[i].name, s, err.text);
            ck_assert_msg(methods_equal(&m, &again), "%s, seed %" PRIu64, AMQP_METHODS[i].name, s);
            ck_assert_msg(bytes_equal(encoded_method(&in, &again), payload), "%s, seed %" PRIu64,
                          AMQP_METHODS[i].name, s);
            free((void *)payload.data);
            invention_end(&in);
        }
    }
}
END_TEST

/* At every octet, and one octet behind the end. */
START_TEST(cut_and_overlong_methods_are_refused)
{
    uint64_t seed = first_seed();

    for (size_t i = 0; i < AMQP_METHOD_COUNT; i++) {
        for (uint64_t s = seed; s < seed + CUTS_PER_METHOD; s++) {
            struct invention in;
            struct amqp_method m, out;
            struct bytes payload;
            struct buffer longer;

            invention_begin(&in, s);
            m = invent_method(&in, AMQP_METHODS[i].id);
            payload = encoded_method(&in, &m);
            for (size_t n = 0; n < payload.size; n++) {
                struct bytes cut = exact_copy(bytes_of(payload.data, n));
                struct amqp_error err = {.code = 0};

                ck_assert_msg(amqp_method_decode(cut, &out, &err) == -EPROTO,
                              "%s, seed %" PRIu64 ", %zu of %zu", AMQP_METHODS[i].name, s, n,
                              payload.size);
                ck_assert_uint_eq(err.code, AMQP_FRAME_ERROR);
                free((void *)cut.data);
            }

            buffer_init(&longer);
            buffer_append(&longer, payload);
            buffer_append(&longer, text("x"));
            ck_assert_msg(amqp_method_decode(buffer_bytes(&longer), &out, NULL) == -EPROTO,
                          "%s, seed %" PRIu64, AMQP_METHODS[i].name, s);
            buffer_free(&longer);
            invention_end(&in);
        }
    }
}
END_TEST

UNIT_MAIN("amqp_method", literal_payloads_are_decoded, literal_payloads_are_encoded,
          ids_are_class_and_method, methods_are_known_by_name, every_method_is_listed_once_in_order,
          direction_and_wait_are_those_of_the_specification, damaged_methods_are_refused,
          names_are_utf8_except_beside_content, reserved_fields_may_hold_anything,
          fields_are_views_into_the_payload, inline_decoders_agree_with_the_general_one,
          frames_of_the_message_path_are_whole, longest_frames_of_the_message_path_fit,
          method_frame_is_appended, encoded_methods_decode_to_themselves,
          cut_and_overlong_methods_are_refused)
