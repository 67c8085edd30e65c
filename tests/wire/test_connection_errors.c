/* Every error that closes a connection: what no client library sends, byte by byte. */
#include <string.h>

#include "tests/wire/raw.h"

enum {
    FRAME_METHOD = 1,
    FRAME_HEADER = 2,
    FRAME_BODY = 3,
    FRAME_HEARTBEAT = 8,
    /* held to no method */
    ANY = ANY_METHOD,
};

struct connection_error {
    const char *name;
    unsigned code;
    const char *text;
    int64_t method;
    bool unlike_rabbitmq; /* RabbitMQ drops the socket, or says 541 */
    void (*provoke)(struct raw *r);
};

static void send_declare(struct raw *r, unsigned channel, const char *queue)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, queue);
    put_u8(&b, 0);
    put_u32(&b, 0);
    raw_send_method(r, channel, AMQP_QUEUE_DECLARE_METHOD, &b);
}

static void send_publish_method(struct raw *r, unsigned channel, const char *key, unsigned bits)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, "");
    put_short_string(&b, key);
    put_u8(&b, bits);
    raw_send_method(r, channel, AMQP_BASIC_PUBLISH_METHOD, &b);
}

/* A content header with these bytes after the property flags. */
static void send_properties(struct raw *r, unsigned flags, const void *data, size_t size)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 60);
    put_u16(&b, 0);
    put_u64(&b, 0);
    put_u16(&b, flags);
    put_bytes(&b, data, size);
    raw_send_frame(r, FRAME_HEADER, 1, b.data, b.size);
}

static void send_arguments(struct raw *r, unsigned channel, amqp_method_number_t method,
                           const void *data, size_t size)
{
    struct raw_bytes b = {.size = 0};

    put_bytes(&b, data, size);
    raw_send_method(r, channel, method, &b);
}

/* A queue declare whose argument table has these bytes. */
static void send_declare_with_table(struct raw *r, const void *data, size_t size)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, "q");
    put_u8(&b, 0);
    put_long_string(&b, data, size);
    raw_send_method(r, 1, AMQP_QUEUE_DECLARE_METHOD, &b);
}

static void send_consume_method(struct raw *r, const char *queue, const char *tag)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, queue);
    put_short_string(&b, tag);
    put_u8(&b, 0);
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_CONSUME_METHOD, &b);
}

static void send_exchange_of_type(struct raw *r, const char *type)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, "odd");
    put_short_string(&b, type);
    put_u8(&b, 0);
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_EXCHANGE_DECLARE_METHOD, &b);
}

static void open_beyond_the_maximum(struct raw *r)
{
    struct raw_bytes b = {.size = 0};

    for (unsigned channel = 2; channel <= 8; channel++)
        raw_open_channel(r, channel);
    put_short_string(&b, "");
    raw_send_method(r, 9, AMQP_CHANNEL_OPEN_METHOD, &b);
}

static void reuse_a_tag(struct raw *r)
{
    send_declare(r, 1, "q");
    raw_expect_method(r, 1, AMQP_QUEUE_DECLARE_OK_METHOD);
    send_consume_method(r, "q", "t");
    raw_expect_method(r, 1, AMQP_BASIC_CONSUME_OK_METHOD);
    send_consume_method(r, "q", "t");
}

/* name, code, text, the method that the close names, unlike RabbitMQ, what provokes it on a
 * connection with channel 1 open, channel_max 8 and frame_max 4096. */
#define CONNECTION_ERRORS(X) \
    X(method_on_a_closed_channel, 504, "CHANNEL_ERROR - expected 'channel.open'", \
      AMQP_QUEUE_DECLARE_METHOD, false, send_declare(r, 2, "q")) \
    X(content_on_a_closed_channel, 504, "CHANNEL_ERROR - expected 'channel.open'", \
      AMQP_BASIC_PUBLISH_METHOD, false, send_publish_method(r, 2, "q", 0); \
      raw_send_header(r, 2, 0)) \
    X(second_open, 504, "CHANNEL_ERROR - second 'channel.open' seen", AMQP_CHANNEL_OPEN_METHOD, \
      false, send_arguments(r, 1, AMQP_CHANNEL_OPEN_METHOD, "\0", 1)) \
    X(channel_method_on_channel_zero, 504, "CHANNEL_ERROR - *", AMQP_QUEUE_DECLARE_METHOD, false, \
      send_declare(r, 0, "q")) \
    X(channel_open_on_channel_zero, 504, "CHANNEL_ERROR - *", AMQP_CHANNEL_OPEN_METHOD, false, \
      send_arguments(r, 0, AMQP_CHANNEL_OPEN_METHOD, "\0", 1)) \
    X(connection_open_again, 504, "CHANNEL_ERROR - *", AMQP_CONNECTION_OPEN_METHOD, false, \
      raw_send_open(r, "/")) \
    X(start_ok_again, 504, "CHANNEL_ERROR - *", AMQP_CONNECTION_START_OK_METHOD, false, \
      raw_send_start_ok(r, NULL, "PLAIN", "\0guest\0guest", 12)) \
    X(tune_ok_again, 504, "CHANNEL_ERROR - *", AMQP_CONNECTION_TUNE_OK_METHOD, false, \
      raw_send_tune_ok(r, 8, 4096, 0)) \
    X(blocked_from_a_client, 504, "CHANNEL_ERROR - *", AMQP_CONNECTION_BLOCKED_METHOD, false, \
      send_arguments(r, 0, AMQP_CONNECTION_BLOCKED_METHOD, "\1r", 2)) \
    X(connection_method_on_a_channel, 503, "COMMAND_INVALID - *", AMQP_CONNECTION_OPEN_METHOD, \
      false, send_arguments(r, 1, AMQP_CONNECTION_OPEN_METHOD, "\1/\0\0", 4)) \
    X(connection_close_on_a_channel, 503, "COMMAND_INVALID - *", AMQP_CONNECTION_CLOSE_METHOD, \
      false, send_arguments(r, 1, AMQP_CONNECTION_CLOSE_METHOD, "\0\xc8\0\0\0\0\0", 7)) \
    X(reply_from_a_client, 503, "COMMAND_INVALID - *", AMQP_QUEUE_DECLARE_OK_METHOD, false, \
      send_arguments(r, 1, AMQP_QUEUE_DECLARE_OK_METHOD, "\1q\0\0\0\0\0\0\0\0", 10)) \
    X(delivery_from_a_client, 503, "COMMAND_INVALID - *", AMQP_BASIC_DELIVER_METHOD, false, \
      send_arguments(r, 1, AMQP_BASIC_DELIVER_METHOD, "\1t\0\0\0\0\0\0\0\1\0\0\0", 13); \
      raw_send_header(r, 1, 0)) \
    X(close_ok_unasked, 503, "COMMAND_INVALID - *", AMQP_CHANNEL_CLOSE_OK_METHOD, false, \
      raw_send_method(r, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, NULL)) \
    X(unknown_class, 503, "COMMAND_INVALID - *", ANY, true, \
      raw_send_method(r, 1, 61u << 16 | 10, NULL)) \
    X(unknown_method, 503, "COMMAND_INVALID - *", ANY, true, \
      raw_send_method(r, 1, 60u << 16 | 99, NULL)) \
    X(bad_frame_end, 501, "FRAME_ERROR - *", ANY, false, \
      raw_send(r, "\1\0\1\0\0\0\5\0\x14\0\x14\1\xcf", 13)) \
    X(unknown_frame_type, 501, "FRAME_ERROR - *", ANY, false, raw_send_frame(r, 7, 1, "abc", 3)) \
    X(frame_type_zero, 501, "FRAME_ERROR - *", ANY, false, raw_send_frame(r, 0, 1, "abc", 3)) \
    X(oversize_frame_at_its_header, 501, "FRAME_ERROR - *", ANY, false, \
      raw_send(r, "\1\0\1\0\0\x20\0", 7)) \
    X(huge_frame_at_its_header, 501, "FRAME_ERROR - *", ANY, false, \
      raw_send(r, "\3\0\1\xff\xff\xff\xff", 7)) \
    X(truncated_method, 501, "FRAME_ERROR - *", ANY, false, \
      send_arguments(r, 1, AMQP_QUEUE_DECLARE_METHOD, "\0\0\5ab", 5)) \
    X(method_with_a_tail, 501, "FRAME_ERROR - *", ANY, false, \
      send_arguments(r, 1, AMQP_CHANNEL_FLOW_METHOD, "\1zzzz", 5)) \
    X(method_frame_without_method, 501, "FRAME_ERROR - *", ANY, false, \
      raw_send_frame(r, FRAME_METHOD, 1, "\0", 1)) \
    X(empty_method_frame, 501, "FRAME_ERROR - *", ANY, false, \
      raw_send_frame(r, FRAME_METHOD, 1, "", 0)) \
    X(table_longer_than_its_frame, 501, "FRAME_ERROR - *", ANY, false, \
      send_arguments(r, 1, AMQP_QUEUE_DECLARE_METHOD, "\0\0\1q\0\0\0\0\x64\1", 10)) \
    X(unknown_field_type, 502, "SYNTAX_ERROR - *", ANY, true, \
      send_declare_with_table(r, "\1k?x", 4)) \
    X(table_ends_in_a_name, 502, "SYNTAX_ERROR - *", ANY, true, \
      send_declare_with_table(r, "\5ab", 3)) \
    X(table_ends_in_a_string, 502, "SYNTAX_ERROR - *", ANY, true, \
      send_declare_with_table(r, "\1kS\0\0\0\5ab", 9)) \
    X(properties_cut_short, 501, "FRAME_ERROR - *", ANY, true, send_publish_method(r, 1, "q", 0); \
      send_properties(r, 0x8000, \
                      "\xff" \
                      "ab", \
                      3)) \
    X(properties_with_a_tail, 501, "FRAME_ERROR - *", ANY, true, \
      send_publish_method(r, 1, "q", 0); \
      send_properties(r, 0x1000, "\2x", 2)) \
    X(headers_of_unknown_type, 502, "SYNTAX_ERROR - *", ANY, true, \
      send_publish_method(r, 1, "q", 0); \
      send_properties(r, 0x2000, "\0\0\0\3\1k?", 7)) \
    X(content_header_cut_short, 501, "FRAME_ERROR - *", ANY, true, \
      send_publish_method(r, 1, "q", 0); \
      raw_send_frame(r, FRAME_HEADER, 1, "\0\x3c\0\0", 4)) \
    X(heartbeat_on_a_channel, 505, "UNEXPECTED_FRAME - *", ANY, false, \
      raw_send_frame(r, FRAME_HEARTBEAT, 1, "", 0)) \
    X(heartbeat_with_a_payload, 501, "FRAME_ERROR - *", ANY, false, \
      raw_send_frame(r, FRAME_HEARTBEAT, 0, "abc", 3)) \
    X(header_without_method, 505, "UNEXPECTED_FRAME - *", ANY, false, raw_send_header(r, 1, 3)) \
    X(body_without_method, 505, "UNEXPECTED_FRAME - *", ANY, false, \
      raw_send_frame(r, FRAME_BODY, 1, "abc", 3)) \
    X(header_on_channel_zero, 505, "UNEXPECTED_FRAME - *", ANY, false, raw_send_header(r, 0, 3)) \
    X(body_on_channel_zero, 505, "UNEXPECTED_FRAME - *", ANY, false, \
      raw_send_frame(r, FRAME_BODY, 0, "abc", 3)) \
    X(method_instead_of_header, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 0); \
      send_declare(r, 1, "q")) \
    X(method_instead_of_body, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 0); \
      raw_send_header(r, 1, 3); send_declare(r, 1, "q")) \
    X(body_instead_of_header, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 0); \
      raw_send_frame(r, FRAME_BODY, 1, "abc", 3)) \
    X(second_header, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 0); \
      raw_send_header(r, 1, 3); raw_send_header(r, 1, 3)) \
    X(header_of_another_class, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 0); \
      raw_send_frame(r, FRAME_HEADER, 1, "\0\x32\0\0\0\0\0\0\0\0\0\3\0\0", 14)) \
    X(body_longer_than_announced, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 0); \
      raw_send_header(r, 1, 3); raw_send_frame(r, FRAME_BODY, 1, "abcdef", 6); \
      send_declare(r, 1, "q")) \
    X(unknown_exchange_type, 503, "COMMAND_INVALID - unknown exchange type 'unheard-of'", \
      AMQP_EXCHANGE_DECLARE_METHOD, false, send_exchange_of_type(r, "unheard-of")) \
    X(reused_consumer_tag, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", \
      AMQP_BASIC_CONSUME_METHOD, false, reuse_a_tag(r)) \
    X(immediate, 540, "NOT_IMPLEMENTED - immediate=true", AMQP_BASIC_PUBLISH_METHOD, false, \
      send_publish_method(r, 1, "q", 2); \
      raw_send_header(r, 1, 0)) \
    X(recover_without_requeue, 540, "NOT_IMPLEMENTED - requeue=false", AMQP_BASIC_RECOVER_METHOD, \
      false, send_arguments(r, 1, AMQP_BASIC_RECOVER_METHOD, "\0", 1)) \
    X(recover_async_without_requeue, 540, "NOT_IMPLEMENTED - requeue=false", \
      AMQP_BASIC_RECOVER_ASYNC_METHOD, false, \
      send_arguments(r, 1, AMQP_BASIC_RECOVER_ASYNC_METHOD, "\0", 1)) \
    X(prefetch_size, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)", AMQP_BASIC_QOS_METHOD, false, \
      send_arguments(r, 1, AMQP_BASIC_QOS_METHOD, "\0\0\0\x0a\0\0\0", 7)) \
    X(flow_off, 540, "NOT_IMPLEMENTED - active=false", AMQP_CHANNEL_FLOW_METHOD, false, \
      send_arguments(r, 1, AMQP_CHANNEL_FLOW_METHOD, "\0", 1)) \
    X(more_channels_than_agreed, 530, "NOT_ALLOWED - *", ANY, false, open_beyond_the_maximum(r))

#define DEFINE_CASE(name, code, text, method, unlike, ...) \
    static void provoke_##name(struct raw *r) \
    { \
        HERE; \
        __VA_ARGS__; \
    }
CONNECTION_ERRORS(DEFINE_CASE)

#define LIST_CASE(name, code, text, method, unlike, ...) \
    {#name, code, text, method, unlike, provoke_##name},
static const struct connection_error connection_errors[] = {CONNECTION_ERRORS(LIST_CASE)};

enum { CONNECTION_ERROR_COUNT = sizeof(connection_errors) / sizeof(connection_errors[0]) };

START_TEST(error_closes_the_connection_with_its_reason)
{
    const struct connection_error *e = &connection_errors[_i];
    struct channel *bystander = connect_channel();
    struct raw *r;

    if (e->unlike_rabbitmq)
        SKIP_WITH_ORACLE("it drops the socket or says 541");
    harness_case(e->name);
    declare_queue(bystander, "q", 0, NO_ARGS);
    r = raw_connect(test_broker());
    raw_handshake_with(r, NULL, 8, 4096, 0);
    raw_open_channel(r, 1);

    e->provoke(r);

    raw_expect_connection_error(r, e->code, e->text, (amqp_method_number_t)e->method);
    ck_assert_uint_eq(message_count(bystander, "q"), 0);
}
END_TEST

START_TEST(frames_of_exactly_the_maximum_are_taken)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    static uint8_t body[4096 - 8];

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake_with(r, NULL, 8, 4096, 0);
    raw_open_channel(r, 1);
    send_publish_method(r, 1, "q", 0);
    raw_send_header(r, 1, sizeof(body));
    raw_send_frame(r, FRAME_BODY, 1, body, sizeof(body));
    await_message_count(ch, "q", 1);
}
END_TEST

START_TEST(empty_body_frames_amid_a_body_are_taken)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    send_publish_method(r, 1, "q", 0);
    raw_send_header(r, 1, 3);
    raw_send_frame(r, FRAME_BODY, 1, "", 0);
    raw_send_frame(r, FRAME_BODY, 1, "ab", 2);
    raw_send_frame(r, FRAME_BODY, 1, "", 0);
    raw_send_frame(r, FRAME_BODY, 1, "c", 1);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "abc", NO_ACK);
}
END_TEST

START_TEST(frames_may_come_byte_by_byte)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    static const char frames[] = "\1\0\1\0\0\0\x0a\0\x3c\0\x28\0\0\0\1q\0\xce"
                                 "\2\0\1\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\5\0\0\xce"
                                 "\3\0\1\0\0\0\5hello\xce";

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    for (size_t i = 0; i < sizeof(frames) - 1; i++)
        raw_send(r, &frames[i], 1);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "hello", NO_ACK);
}
END_TEST

START_TEST(contents_of_two_channels_may_interleave)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();

    declare_queue(ch, "first", 0, NO_ARGS);
    declare_queue(ch, "second", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    raw_open_channel(r, 2);
    send_publish_method(r, 1, "first", 0);
    send_publish_method(r, 2, "second", 0);
    raw_send_header(r, 2, 4);
    raw_send_header(r, 1, 4);
    raw_send_frame(r, FRAME_BODY, 1, "on", 2);
    raw_send_frame(r, FRAME_BODY, 2, "tw", 2);
    raw_send_frame(r, FRAME_HEARTBEAT, 0, "", 0);
    raw_send_frame(r, FRAME_BODY, 2, "o.", 2);
    raw_send_frame(r, FRAME_BODY, 1, "e.", 2);
    await_message_count(ch, "first", 1);
    await_message_count(ch, "second", 1);
    expect_get(ch, "first", "one.", NO_ACK);
    expect_get(ch, "second", "two.", NO_ACK);
}
END_TEST

START_TEST(lost_connection_in_mid_content_publishes_nothing)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    send_publish_method(r, 1, "q", 0);
    raw_send_header(r, 1, 4);
    raw_send_frame(r, FRAME_BODY, 1, "ha", 2);
    raw_close(r);
    publish(ch, "q", "whole");
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "whole", NO_ACK);
}
END_TEST

START_TEST(long_text_is_cut_to_what_a_close_holds)
{
    struct channel *ch = connect_channel();
    char name[256];

    memset(name, 'z', 255);
    name[255] = '\0';
    send_get(ch, name, 0);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'zzzzzzzz*");
}
END_TEST

START_TEST(work_of_a_failed_connection_before_the_error_counts)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    send_publish_method(r, 1, "q", 0);
    raw_send_header(r, 1, 0);
    send_declare(r, 5, "unheard");
    raw_expect_connection_error(r, 504, "CHANNEL_ERROR - expected 'channel.open'",
                                AMQP_QUEUE_DECLARE_METHOD);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "", NO_ACK);
}
END_TEST

START_TEST(access_request_is_granted)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_frame f;

    raw_handshake(r);
    raw_open_channel(r, 1);
    send_arguments(r, 1, AMQP_ACCESS_REQUEST_METHOD, "\5/data\x1f", 7);
    f = raw_expect_method(r, 1, AMQP_ACCESS_REQUEST_OK_METHOD);
    ck_assert_uint_eq(f.size, 2);
    ck_assert_mem_eq(f.payload, "\0\1", 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("connection errors");
    TCase *tcase = wire_tcase(suite, "table");

    tcase_add_loop_test(tcase, error_closes_the_connection_with_its_reason, 0,
                        CONNECTION_ERROR_COUNT);
    tcase = wire_tcase(suite, "frames");
    tcase_add_test(tcase, frames_of_exactly_the_maximum_are_taken);
    tcase_add_test(tcase, empty_body_frames_amid_a_body_are_taken);
    tcase_add_test(tcase, frames_may_come_byte_by_byte);
    tcase_add_test(tcase, contents_of_two_channels_may_interleave);
    tcase_add_test(tcase, lost_connection_in_mid_content_publishes_nothing);
    tcase_add_test(tcase, long_text_is_cut_to_what_a_close_holds);
    tcase_add_test(tcase, work_of_a_failed_connection_before_the_error_counts);
    tcase_add_test(tcase, access_request_is_granted);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
