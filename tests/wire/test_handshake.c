/* From the first byte to open-ok: protocol header, mechanisms, tuning, virtual hosts, time-outs,
 * heartbeats. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/raw.h"

#define REFUSED_TEXT(mechanism) \
    "ACCESS_REFUSED - Login was refused using authentication mechanism " mechanism \
    ". For details see the broker logfile."
#define FAILURE_CLOSE "authentication_failure_close"

static struct raw *started(void)
{
    struct raw *r = raw_connect(test_broker());

    raw_send_protocol_header(r);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    return r;
}

static struct raw *logged_in(const char *user)
{
    struct raw *r = started();
    char response[128];
    int n = snprintf(response, sizeof(response), "%c%s%c%s%s", 0, user, 0, user,
                     strcmp(user, "guest") == 0 ? "" : "-pw");

    raw_send_start_ok(r, NULL, "PLAIN", response, (size_t)n);
    raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    return r;
}

START_TEST(wrong_protocol_header_is_answered_with_ours)
{
    static const char *const headers[] = {
        "GET / HT",
        "AMQP\1\1\0\x0a",
        "AMQP\0\1\0\0",
        "AMQP\0\0\x09\x02",
        "\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    struct raw *r = raw_connect(test_broker());
    char answer[8];

    raw_send(r, headers[_i], 8);
    raw_read(r, answer, sizeof(answer));
    ck_assert_mem_eq(answer, "AMQP\0\0\x09\x01", 8);
    raw_expect_end(r);
}
END_TEST

START_TEST(protocol_header_may_come_byte_by_byte)
{
    struct raw *r = raw_connect(test_broker());

    for (int i = 0; i < 8; i++)
        raw_send(r, &"AMQP\0\0\x09\x01"[i], 1);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
}
END_TEST

static bool contains_word(const uint8_t *s, size_t size, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= size; i++) {
        bool begins = i == 0 || s[i - 1] == ' ';
        bool ends = i + n == size || s[i + n] == ' ';

        if (begins && ends && memcmp(s + i, word, n) == 0)
            return true;
    }
    return false;
}

START_TEST(start_names_version_mechanisms_and_locale)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_frame f;
    const uint8_t *p;
    uint32_t size;

    raw_send_protocol_header(r);
    f = raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    ck_assert_uint_eq(f.payload[0], 0);
    ck_assert_uint_eq(f.payload[1], 9);
    p = f.payload + 2;
    size = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    p += 4 + size;
    size = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    p += 4;
    ck_assert(contains_word(p, size, "PLAIN"));
    ck_assert(contains_word(p, size, "AMQPLAIN"));
    p += size;
    ck_assert_mem_eq(p, "\0\0\0\5en_US", 9);
}
END_TEST

START_TEST(server_properties_tell_what_clients_ask_for)
{
    static const char *const capabilities[] = {
        "publisher_confirms",     "exchange_exchange_bindings",   "basic.nack",
        "consumer_cancel_notify", "connection.blocked",           "consumer_priorities",
        "per_consumer_qos",       "authentication_failure_close", "direct_reply_to",
    };
    struct client *c = connect_client();
    const amqp_table_t *properties = amqp_get_server_properties(client_connection(c));
    const amqp_field_value_t *table = table_field(properties, "capabilities");

    ck_assert_ptr_nonnull(table);
    ck_assert_int_eq(table->kind, AMQP_FIELD_KIND_TABLE);
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
        const amqp_field_value_t *value = table_field(&table->value.table, capabilities[i]);

        ck_assert_msg(value != NULL && value->kind == AMQP_FIELD_KIND_BOOLEAN &&
                          value->value.boolean,
                      "no capability %s", capabilities[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        static const char *const names[] = {"product", "version", "platform", "copyright",
                                            "information"};

        ck_assert_msg(table_field(properties, names[i]) != NULL, "no %s", names[i]);
    }
    ck_assert_ptr_nonnull(table_field(properties, "cluster_name"));
    ck_assert(field_is_string(table_field(properties, "product"),
                              against_oracle() ? "RabbitMQ" : "leveret"));
}
END_TEST

START_TEST(tune_offers_the_limits)
{
    struct raw *r = started();
    struct raw_frame f;

    raw_send_start_ok(r, NULL, "PLAIN", "\0guest\0guest", 12);
    f = raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    ck_assert_uint_eq(f.size, 8);
    ck_assert_mem_eq(f.payload, "\x07\xff\x00\x02\x00\x00\x00\x3c", 8); /* 2047, 131072, 60 */
}
END_TEST

START_TEST(amqplain_logs_in)
{
    struct raw *r = started();
    struct raw_bytes b = {.size = 0};

    put_short_string(&b, "LOGIN");
    put_u8(&b, 'S');
    put_long_string(&b, "guest", 5);
    put_short_string(&b, "PASSWORD");
    put_u8(&b, 'S');
    put_long_string(&b, "guest", 5);
    raw_send_start_ok(r, NULL, "AMQPLAIN", b.data, b.size);
    raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    raw_send_tune_ok(r, 2047, 131072, 0);
    raw_send_open(r, "/");
    raw_expect_method(r, 0, AMQP_CONNECTION_OPEN_OK_METHOD);
}
END_TEST

START_TEST(amqplain_with_a_wrong_password_is_refused)
{
    struct raw *r = started();
    struct raw_bytes b = {.size = 0};

    put_short_string(&b, "LOGIN");
    put_u8(&b, 'S');
    put_long_string(&b, "guest", 5);
    put_short_string(&b, "PASSWORD");
    put_u8(&b, 'S');
    put_long_string(&b, "wrong", 5);
    raw_send_start_ok(r, FAILURE_CLOSE, "AMQPLAIN", b.data, b.size);
    raw_expect_connection_error(r, 403, REFUSED_TEXT("AMQPLAIN"), 0);
}
END_TEST

START_TEST(failed_login_is_told_to_those_who_understand)
{
    static const struct {
        const char *response;
        size_t size;
    } responses[] = {
        {"\0guest\0wrong", 12},
        {"\0unheard\0guest", 14},
        {"\0guest\0", 7},
        {"\0\0", 2},
    };
    struct raw *r = started();

    raw_send_start_ok(r, FAILURE_CLOSE, "PLAIN", responses[_i].response, responses[_i].size);
    raw_expect_connection_error(r, 403, REFUSED_TEXT("PLAIN"), 0);
}
END_TEST

START_TEST(failed_login_just_ends_for_others)
{
    struct raw *r = started();

    raw_send_start_ok(r, NULL, "PLAIN", "\0guest\0wrong", 12);
    raw_expect_end(r);
}
END_TEST

/* RabbitMQ drops the socket; a close with a reason tells more. */
static void expect_refusal_in_handshake(struct raw *r, unsigned code)
{
    if (against_oracle())
        raw_expect_end(r);
    else
        raw_expect_connection_error(r, code, "*", (amqp_method_number_t)ANY_METHOD);
}

START_TEST(unknown_mechanism_is_refused)
{
    struct raw *r = started();

    raw_send_start_ok(r, FAILURE_CLOSE, "SCRAM-SHA-1", "x", 1);
    if (against_oracle())
        raw_expect_end(r);
    else
        raw_expect_connection_error(
            r, 503, "COMMAND_INVALID - unknown authentication mechanism 'SCRAM-SHA-1'",
            (amqp_method_number_t)ANY_METHOD);
}
END_TEST

START_TEST(plain_response_without_its_zeros_is_refused)
{
    struct raw *r = started();

    raw_send_start_ok(r, FAILURE_CLOSE, "PLAIN", "guest", 5);
    if (against_oracle())
        raw_expect_end(r);
    else
        raw_expect_connection_error(r, 403, "ACCESS_REFUSED - *", (amqp_method_number_t)ANY_METHOD);
}
END_TEST

START_TEST(tune_ok_beyond_the_offer_is_refused)
{
    static const struct {
        unsigned channel_max;
        uint32_t frame_max;
    } values[] = {
        {2048, 131072}, {65535, 131072}, {0, 131072}, {2047, 131073},
        {2047, 4095},   {2047, 1},       {2047, 0},
    };
    struct raw *r = logged_in("guest");

    raw_send_tune_ok(r, values[_i].channel_max, values[_i].frame_max, 0);
    expect_refusal_in_handshake(r, 530);
}
END_TEST

START_TEST(tune_ok_may_ask_for_less)
{
    struct client *c = connect_client_tuned(test_broker(), "guest", "guest", "/", 3, 4096, 0);
    struct channel *ch = open_channel(c);
    static char body[20000];
    struct delivery d;

    /* librabbitmq refuses frames above what was negotiated */
    memset(body, 'x', sizeof(body) - 1);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", body);
    await_message_count(ch, "q", 1);
    d = expect_get(ch, "q", body, NO_ACK);
    ck_assert_uint_eq(d.body_size, sizeof(body) - 1);
}
END_TEST

START_TEST(frames_keep_to_the_negotiated_size)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    struct raw_bytes b = {.size = 0};
    static uint8_t body[10000];
    size_t got = 0;
    struct raw_frame f;

    declare_queue(ch, "q", 0, NO_ARGS);
    publish_bytes(ch, "", "q", 0, NULL, body, sizeof(body));
    await_message_count(ch, "q", 1);
    raw_handshake_with(r, NULL, 10, 4096, 0);
    raw_open_channel(r, 1);
    put_u16(&b, 0);
    put_short_string(&b, "q");
    put_u8(&b, 1);
    raw_send_method(r, 1, AMQP_BASIC_GET_METHOD, &b);
    raw_expect_method(r, 1, AMQP_BASIC_GET_OK_METHOD);
    f = raw_read_frame(r);
    ck_assert_uint_eq(f.type, 2);
    while (got < sizeof(body)) {
        f = raw_read_frame(r);
        ck_assert_uint_eq(f.type, 3);
        ck_assert_uint_le(f.size + 8, 4096);
        got += f.size;
    }
    ck_assert_uint_eq(got, sizeof(body));
}
END_TEST

START_TEST(unknown_vhost_is_refused)
{
    struct raw *r = logged_in("guest");

    raw_send_tune_ok(r, 2047, 131072, 0);
    raw_send_open(r, "no-such");
    raw_expect_connection_error(r, 530, "NOT_ALLOWED - vhost no-such not found",
                                AMQP_CONNECTION_OPEN_METHOD);
}
END_TEST

START_TEST(vhost_without_permission_is_refused)
{
    struct raw *r = logged_in("nobody");

    raw_send_tune_ok(r, 2047, 131072, 0);
    raw_send_open(r, "/");
    raw_expect_connection_error(r, 530,
                                "NOT_ALLOWED - access to vhost '/' refused for user 'nobody'",
                                AMQP_CONNECTION_OPEN_METHOD);
    r = logged_in("guest");
    raw_send_tune_ok(r, 2047, 131072, 0);
    raw_send_open(r, "other");
    raw_expect_connection_error(r, 530,
                                "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'",
                                AMQP_CONNECTION_OPEN_METHOD);
}
END_TEST

START_TEST(methods_before_their_time_are_refused)
{
    struct raw *r = started();

    raw_send_tune_ok(r, 2047, 131072, 0); /* instead of start-ok */
    if (against_oracle())
        raw_expect_end(r);
    else
        raw_expect_connection_error(r, 503, "COMMAND_INVALID - *",
                                    (amqp_method_number_t)ANY_METHOD);
}
END_TEST

START_TEST(channel_before_open_is_refused)
{
    struct raw *r = logged_in("guest");
    struct raw_bytes b = {.size = 0};

    raw_send_tune_ok(r, 2047, 131072, 0);
    put_short_string(&b, "");
    raw_send_method(r, 1, AMQP_CHANNEL_OPEN_METHOD, &b);
    raw_expect_connection_error(r, 505, "UNEXPECTED_FRAME*", (amqp_method_number_t)ANY_METHOD);
}
END_TEST

START_TEST(handshake_that_stalls_is_ended)
{
    struct raw *silent = raw_connect(test_broker());
    struct raw *halfway = started();
    int64_t begin = now_ms();
    size_t bytes;

    ck_assert(raw_read_to_end(silent, &bytes));
    ck_assert_int_ge(now_ms() - begin, TEST_HANDSHAKE_TIMEOUT_MS - 500);
    ck_assert(raw_read_to_end(halfway, &bytes));
}
END_TEST

START_TEST(time_before_a_connection_does_not_count_for_it)
{
    struct raw *silent = raw_connect(test_broker());
    size_t bytes;

    ck_assert(raw_read_to_end(silent, &bytes)); /* the other workers have idled that long */
    for (int i = 0; i < 12; i++)
        connect_client();
}
END_TEST

START_TEST(heartbeats_go_both_ways)
{
    struct raw *alive = raw_connect(test_broker());
    struct raw *silent = raw_connect(test_broker());
    int64_t begin = now_ms();
    bool dropped = false;
    int beats = 0;

    raw_handshake_with(alive, NULL, 2047, 131072, 1);
    raw_handshake_with(silent, NULL, 2047, 131072, 1);
    while (!dropped && now_ms() - begin < deadline_ms()) {
        struct raw_frame f = raw_read_frame(alive);

        ck_assert_uint_eq(f.type, 8);
        ck_assert_uint_eq(f.channel, 0);
        ck_assert_uint_eq(f.size, 0);
        raw_send_frame(alive, 8, 0, "", 0);
        beats++;
        while (!dropped && raw_comes(silent, 0)) {
            char buffer[8];

            dropped = recv(silent->fd, buffer, sizeof(buffer), 0) <= 0;
        }
    }
    ck_assert_msg(dropped, "a client that sends no heartbeats stays");
    ck_assert_int_ge(now_ms() - begin, 1500); /* two intervals, less a tick */
    ck_assert_int_ge(beats, 2);
    raw_open_channel(alive, 1);
    if (!against_oracle())
        ck_assert(broker_log_awaits(
            test_broker(), " ms, of one each 1 s (the client's own; limits.heartbeat_s is 60)"));
}
END_TEST

START_TEST(any_traffic_counts_as_a_heartbeat)
{
    struct raw *r = raw_connect(test_broker());
    int64_t begin = now_ms();

    raw_handshake_with(r, NULL, 2047, 131072, 1);
    raw_open_channel(r, 1);
    while (now_ms() - begin < 3500) {
        struct raw_bytes b = {.size = 0};

        put_u8(&b, 1);
        raw_comes(r, 300);
        raw_send_method(r, 1, AMQP_CHANNEL_FLOW_METHOD, &b);
        raw_expect_method(r, 1, AMQP_CHANNEL_FLOW_OK_METHOD);
    }
}
END_TEST

START_TEST(no_heartbeats_when_none_were_agreed)
{
    struct raw *r = raw_connect(test_broker());

    raw_handshake_with(r, NULL, 2047, 131072, 0);
    ck_assert(!raw_comes(r, 1500));
    raw_open_channel(r, 1);
}
END_TEST

START_TEST(whole_handshake_may_come_in_one_packet)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes b = {.size = 0};

    /* header, start-ok, tune-ok, open, channel.open 1: a client that waits for nothing */
    put_bytes(&b, "AMQP\0\0\x09\x01", 8);
    put_bytes(&b, "\1\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\5PLAIN\0\0\0\x0c\0guest\0guest\5en_US\xce",
              44);
    put_bytes(&b, "\1\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\2\0\0\0\0\xce", 20);
    put_bytes(&b, "\1\0\0\0\0\0\x08\0\x0a\0\x28\1/\0\0\xce", 16);
    put_bytes(&b, "\1\0\1\0\0\0\x05\0\x14\0\x0a\0\xce", 13);
    raw_send(r, b.data, b.size);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    raw_expect_method(r, 0, AMQP_CONNECTION_OPEN_OK_METHOD);
    raw_expect_method(r, 1, AMQP_CHANNEL_OPEN_OK_METHOD);
}
END_TEST

START_TEST(connection_close_is_answered)
{
    struct client *c = connect_client();

    open_channel(c);
    close_client(c);
}
END_TEST

START_TEST(new_secret_is_taken)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes b = {.size = 0};

    raw_handshake(r);
    put_long_string(&b, "guest", 5);
    put_short_string(&b, "it was time");
    raw_send_method(r, 0, CONNECTION_UPDATE_SECRET_METHOD, &b);
    raw_expect_method(r, 0, CONNECTION_UPDATE_SECRET_OK_METHOD);
    raw_open_channel(r, 1);
}
END_TEST

START_TEST(frames_after_close_are_discarded)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    struct raw_bytes close = {.size = 0};
    struct raw_bytes declare = {.size = 0};

    raw_handshake(r);
    raw_open_channel(r, 1);
    put_u16(&close, 200);
    put_short_string(&close, "");
    put_u32(&close, 0);
    put_u16(&declare, 0);
    put_short_string(&declare, "unheard");
    put_u8(&declare, 0);
    put_u32(&declare, 0);
    raw_send_method(r, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    raw_send_method(r, 1, AMQP_QUEUE_DECLARE_METHOD, &declare);
    raw_expect_method(r, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
    send_queue_declare(ch, "unheard", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'unheard' in vhost '/'");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("handshake");
    TCase *tcase = wire_tcase(suite, "start");

    tcase_add_loop_test(tcase, wrong_protocol_header_is_answered_with_ours, 0, 5);
    tcase_add_test(tcase, protocol_header_may_come_byte_by_byte);
    tcase_add_test(tcase, start_names_version_mechanisms_and_locale);
    tcase_add_test(tcase, server_properties_tell_what_clients_ask_for);
    tcase_add_test(tcase, whole_handshake_may_come_in_one_packet);
    tcase = wire_tcase(suite, "login");
    tcase_add_test(tcase, amqplain_logs_in);
    tcase_add_test(tcase, amqplain_with_a_wrong_password_is_refused);
    tcase_add_loop_test(tcase, failed_login_is_told_to_those_who_understand, 0, 4);
    tcase_add_test(tcase, failed_login_just_ends_for_others);
    tcase_add_test(tcase, unknown_mechanism_is_refused);
    tcase_add_test(tcase, plain_response_without_its_zeros_is_refused);
    tcase = wire_tcase(suite, "tune");
    tcase_add_test(tcase, tune_offers_the_limits);
    tcase_add_loop_test(tcase, tune_ok_beyond_the_offer_is_refused, 0, 7);
    tcase_add_test(tcase, tune_ok_may_ask_for_less);
    tcase_add_test(tcase, frames_keep_to_the_negotiated_size);
    tcase = wire_tcase(suite, "open");
    tcase_add_test(tcase, unknown_vhost_is_refused);
    tcase_add_test(tcase, vhost_without_permission_is_refused);
    tcase_add_test(tcase, methods_before_their_time_are_refused);
    tcase_add_test(tcase, channel_before_open_is_refused);
    tcase = wire_tcase(suite, "time");
    tcase_add_test(tcase, handshake_that_stalls_is_ended);
    tcase_add_test(tcase, time_before_a_connection_does_not_count_for_it);
    tcase_add_test(tcase, heartbeats_go_both_ways);
    tcase_add_test(tcase, any_traffic_counts_as_a_heartbeat);
    tcase_add_test(tcase, no_heartbeats_when_none_were_agreed);
    tcase = wire_tcase(suite, "close");
    tcase_add_test(tcase, connection_close_is_answered);
    tcase_add_test(tcase, new_secret_is_taken);
    tcase_add_test(tcase, frames_after_close_are_discarded);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
