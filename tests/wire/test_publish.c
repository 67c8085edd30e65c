/* basic.publish: content of every size, properties as they came, returns, CC and BCC, user-id,
 * expiration, limits. And basic.get, which the tests read with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wire/raw.h"

static void given_queue(struct channel *ch)
{
    declare_queue(ch, "q", 0, NO_ARGS);
    confirm_select(ch);
}

/* Bytes that differ from place to place. */
static uint8_t *pattern_bytes(size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    return bytes;
}

START_TEST(body_of_any_size_comes_as_it_went)
{
    static const size_t sizes[] = {
        0,      1,      2,      4087,   4088,
        4089,   65535,  65536,  131063, 131064,
        131065, 262128, 262129, 500000, TEST_MAX_MESSAGE_SIZE,
    };
    struct channel *ch = connect_channel();
    uint8_t *body = pattern_bytes(sizes[_i]);
    struct delivery d;

    given_queue(ch);
    publish_bytes(ch, "", "q", 0, NULL, body, sizes[_i]);
    publish(ch, "q", "after");
    await_confirms(ch);
    d = expect_get(ch, "q", NULL, NO_ACK);
    ck_assert_uint_eq(d.body_size, sizes[_i]);
    ck_assert(sizes[_i] == 0 || memcmp(d.body, body, sizes[_i]) == 0);
    expect_get(ch, "q", "after", NO_ACK);
    free(body);
}
END_TEST

enum { SIZE_COUNT = 15 };

START_TEST(large_bodies_reach_consumers_with_small_frames)
{
    struct channel *ch = connect_channel();
    struct client *small = connect_client_tuned(test_broker(), "guest", "guest", "/", 0, 4096, 0);
    struct channel *consumer = open_channel(small);
    uint8_t *body = pattern_bytes(300000);

    given_queue(ch);
    consume(consumer, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < 5; i++) {
        struct delivery d;

        publish_bytes(ch, "", "q", 0, NULL, body, 300000);
        d = expect_delivery(consumer, NULL, 0);
        ck_assert_uint_eq(d.body_size, 300000);
        ck_assert_mem_eq(d.body, body, 300000);
    }
    free(body);
}
END_TEST

START_TEST(properties_come_as_they_went)
{
    struct channel *ch = connect_channel();
    amqp_basic_properties_t sent = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                  AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                  AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_EXPIRATION_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG |
                  AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_APP_ID_FLAG | AMQP_BASIC_CLUSTER_ID_FLAG,
        .content_type = text("text/plain"),
        .content_encoding = text("utf-8"),
        .headers = ARGS(
            arg_string("s", "text"), arg_int("I", -7), arg_long("l", 1LL << 40), arg_byte("b", -1),
            arg_short("u", -300), arg_double("d", 2.5), arg_float("f", 0.25F), arg_bool("t", true),
            arg_void("V"), arg_timestamp("T", 1700000000),
            arg_table("F", ARGS(arg_string("inner", "x"))), arg_strings("A", "one", "two", NULL)),
        .delivery_mode = 2,
        .priority = 7,
        .correlation_id = text("correlation"),
        .reply_to = text("reply"),
        .expiration = text("100000"),
        .message_id = text("id"),
        .timestamp = 1700000001,
        .type = text("type"),
        .user_id = text("guest"),
        .app_id = text("app"),
        .cluster_id = text("cluster"),
    };
    const amqp_basic_properties_t *p;
    struct delivery d;

    given_queue(ch);
    publish_with(ch, "", "q", 0, &sent, "a");
    await_confirms(ch);
    d = expect_get(ch, "q", "a", NO_ACK);
    p = d.properties;
    ck_assert_uint_eq(p->_flags, sent._flags);
    ck_assert_uint_eq(p->delivery_mode, 2);
    ck_assert_uint_eq(p->priority, 7);
    ck_assert_uint_eq(p->timestamp, 1700000001);
    ck_assert_uint_eq(p->content_type.len, 10);
    ck_assert_mem_eq(p->content_encoding.bytes, "utf-8", 5);
    ck_assert_mem_eq(p->correlation_id.bytes, "correlation", 11);
    ck_assert_mem_eq(p->reply_to.bytes, "reply", 5);
    ck_assert_mem_eq(p->expiration.bytes, "100000", 6);
    ck_assert_mem_eq(p->message_id.bytes, "id", 2);
    ck_assert_mem_eq(p->type.bytes, "type", 4);
    ck_assert_mem_eq(p->user_id.bytes, "guest", 5);
    ck_assert_mem_eq(p->app_id.bytes, "app", 3);
    ck_assert_mem_eq(p->cluster_id.bytes, "cluster", 7);
    ck_assert_int_eq(p->headers.num_entries, 12);
    ck_assert(field_is_string(header(&d, "s"), "text"));
    ck_assert_int_eq(header(&d, "I")->value.i32, -7);
    ck_assert_int_eq(header(&d, "l")->value.i64, 1LL << 40);
    ck_assert_int_eq(header(&d, "b")->value.i8, -1);
    ck_assert_int_eq(header(&d, "u")->value.i16, -300);
    ck_assert_double_eq(header(&d, "d")->value.f64, 2.5);
    ck_assert_float_eq(header(&d, "f")->value.f32, 0.25F);
    ck_assert_int_eq(header(&d, "t")->value.boolean, 1);
    ck_assert_int_eq(header(&d, "V")->kind, AMQP_FIELD_KIND_VOID);
    ck_assert_int_eq(header(&d, "T")->kind, AMQP_FIELD_KIND_TIMESTAMP);
    ck_assert(field_is_string(table_field(&header(&d, "F")->value.table, "inner"), "x"));
    ck_assert_int_eq(header(&d, "A")->value.array.num_entries, 2);
}
END_TEST

START_TEST(no_properties_stay_none)
{
    struct channel *ch = connect_channel();

    given_queue(ch);
    publish(ch, "q", "a");
    await_confirms(ch);
    ck_assert_uint_eq(expect_get(ch, "q", "a", NO_ACK).properties->_flags, 0);
}
END_TEST

START_TEST(unroutable_mandatory_message_returns_before_its_confirm)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    given_queue(ch);
    publish_with(ch, "amq.direct", "nowhere", MANDATORY,
                 PROPS(AMQP_BASIC_MESSAGE_ID_FLAG, .message_id = text("m1")), "a");
    d = expect_return(ch, "a");
    ck_assert_str_eq(d.exchange, "amq.direct");
    ck_assert_str_eq(d.routing_key, "nowhere");
    ck_assert_mem_eq(d.properties->message_id.bytes, "m1", 2);
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
    publish_with(ch, "", "none", MANDATORY, NULL, "");
    expect_return(ch, "");
    expect_confirm(ch, NULL);
}
END_TEST

START_TEST(routable_mandatory_message_does_not_return)
{
    struct channel *ch = connect_channel();

    given_queue(ch);
    publish_with(ch, "", "q", MANDATORY, NULL, "a");
    await_confirms(ch);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(unroutable_message_is_dropped_and_confirmed)
{
    struct channel *ch = connect_channel();

    given_queue(ch);
    publish(ch, "none", "a");
    await_confirms(ch);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(large_unroutable_message_returns_whole)
{
    struct channel *ch = connect_channel();
    uint8_t *body = pattern_bytes(400000);
    struct delivery d;

    publish_bytes(ch, "", "none", MANDATORY, NULL, body, 400000);
    d = expect_return(ch, NULL);
    ck_assert_uint_eq(d.body_size, 400000);
    ck_assert_mem_eq(d.body, body, 400000);
    free(body);
}
END_TEST

START_TEST(cc_and_bcc_add_keys)
{
    struct channel *ch = connect_channel();
    const amqp_field_value_t *cc;
    struct delivery d;

    confirm_select(ch);
    declare_queue(ch, "to", 0, NO_ARGS);
    declare_queue(ch, "copy", 0, NO_ARGS);
    declare_queue(ch, "blind", 0, NO_ARGS);
    publish_with(ch, "", "to", 0,
                 HEADERS(arg_strings("CC", "copy", "to", NULL), arg_strings("BCC", "blind", NULL),
                         arg_string("kept", "yes")),
                 "a");
    await_confirms(ch);
    d = expect_get(ch, "to", "a", NO_ACK);
    ck_assert_str_eq(d.routing_key, "to");
    cc = header(&d, "CC");
    ck_assert_ptr_nonnull(cc);
    ck_assert_int_eq(cc->value.array.num_entries, 2);
    ck_assert_ptr_null(header(&d, "BCC"));
    ck_assert(field_is_string(header(&d, "kept"), "yes"));
    d = expect_get(ch, "copy", "a", NO_ACK);
    ck_assert_str_eq(d.routing_key, "to");
    d = expect_get(ch, "blind", "a", NO_ACK);
    ck_assert_str_eq(d.routing_key, "to");
    ck_assert_ptr_null(header(&d, "BCC"));
    expect_get_empty(ch, "to");
}
END_TEST

START_TEST(cc_passes_over_what_is_no_string)
{
    amqp_field_value_t items[] = {
        {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 5},
        {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("copy")},
        {.kind = AMQP_FIELD_KIND_VOID},
    };
    const amqp_table_entry_t cc = {
        .key = text("CC"),
        .value = {.kind = AMQP_FIELD_KIND_ARRAY, .value.array = {3, items}},
    };
    struct channel *ch = connect_channel();
    struct delivery d;

    confirm_select(ch);
    declare_queue(ch, "to", 0, NO_ARGS);
    declare_queue(ch, "copy", 0, NO_ARGS);
    publish_with(ch, "", "to", 0, HEADERS(cc), "a");
    await_confirms(ch);
    expect_get(ch, "to", "a", NO_ACK);
    d = expect_get(ch, "copy", "a", NO_ACK);
    ck_assert_int_eq(header(&d, "CC")->value.array.num_entries, 3);
}
END_TEST

START_TEST(cc_routes_what_the_key_does_not)
{
    struct channel *ch = connect_channel();

    given_queue(ch);
    bind_queue(ch, "q", "amq.topic", "a.*", NO_ARGS);
    publish_with(ch, "amq.topic", "z", MANDATORY, HEADERS(arg_strings("CC", "a.b", NULL)), "a");
    await_confirms(ch);
    expect_get(ch, "q", "a", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(own_user_id_passes)
{
    struct channel *ch = connect_channel();

    given_queue(ch);
    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_USER_ID_FLAG, .user_id = text("guest")), "a");
    await_confirms(ch);
    expect_get(ch, "q", "a", NO_ACK);
}
END_TEST

/* Its tag is all that lets it: a user who may as much otherwise is refused, an administrator too.
 */
START_TEST(an_impersonator_publishes_as_anybody)
{
    struct channel *own = connect_channel();
    struct channel *ch = connect_channel_as("impersonator", "impersonator-pw");
    struct delivery d;

    given_queue(own);
    confirm_select(ch);
    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_USER_ID_FLAG, .user_id = text("guest")), "a");
    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_USER_ID_FLAG, .user_id = text("no-such")), "b");
    await_confirms(ch);
    d = expect_get(own, "q", "a", NO_ACK);
    ck_assert_uint_eq(d.properties->user_id.len, 5);
    ck_assert_mem_eq(d.properties->user_id.bytes, "guest", 5);
    d = expect_get(own, "q", "b", NO_ACK);
    ck_assert_uint_eq(d.properties->user_id.len, 7);
    ck_assert_mem_eq(d.properties->user_id.bytes, "no-such", 7);

    publish_with(own, "", "q", 0, PROPS(AMQP_BASIC_USER_ID_FLAG, .user_id = text("impersonator")),
                 "c");
    expect_channel_error(own, 406,
                         "PRECONDITION_FAILED - user_id property set to 'impersonator' but "
                         "authenticated user was 'guest'");
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(valid_expirations_pass)
{
    static const char *const values[] = {"0", "1", "60000", "315360000000"};
    struct channel *ch = connect_channel();

    given_queue(ch);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        publish_with(ch, "", "q", 0,
                     PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text(values[i])), "a");
    await_confirms(ch);
}
END_TEST

START_TEST(too_large_a_message_is_refused_before_it_is_read)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes b = {.size = 0};

    SKIP_WITH_ORACLE("it reads the whole message first");
    raw_handshake(r);
    raw_open_channel(r, 1);
    put_u16(&b, 0);
    put_short_string(&b, "");
    put_short_string(&b, "q");
    put_u8(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_PUBLISH_METHOD, &b);
    raw_send_header(r, 1, 1ULL << 40);
    raw_expect_channel_error(r, 1, 406, "PRECONDITION_FAILED - message size 1099511627776 *",
                             AMQP_BASIC_PUBLISH_METHOD);
    /* what of it comes nonetheless is passed over, and the channel can be opened again */
    raw_send_frame(r, 3, 1, "ignored", 7);
    raw_send_method(r, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, NULL);
    raw_open_channel(r, 1);
}
END_TEST

START_TEST(get_tells_what_is_left)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    given_queue(ch);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    publish(ch, "q", "c");
    await_confirms(ch);
    d = expect_get(ch, "q", "a", 0);
    ck_assert_uint_eq(d.message_count, 2);
    ck_assert_uint_eq(d.tag, 1);
    ck_assert_str_eq(d.routing_key, "q");
    d = expect_get(ch, "q", "b", NO_ACK);
    ck_assert_uint_eq(d.message_count, 1);
    d = expect_get(ch, "q", "c", 0);
    ck_assert_uint_eq(d.message_count, 0);
    ck_assert_uint_eq(d.tag, 3);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(publishes_of_one_channel_keep_their_order_across_queues)
{
    struct channel *ch = connect_channel();
    struct channel *a = connect_channel();
    struct channel *b = connect_channel();
    char body[16];

    confirm_select(ch);
    declare_queue(a, "a", EXCLUSIVE, NO_ARGS);
    declare_queue(b, "b", EXCLUSIVE, NO_ARGS);
    bind_queue(a, "a", "amq.fanout", "", NO_ARGS);
    bind_queue(b, "b", "amq.fanout", "", NO_ARGS);
    for (int i = 0; i < 500; i++) {
        snprintf(body, sizeof(body), "%d", i);
        publish_to(ch, "amq.fanout", "", body);
    }
    consume(a, "a", "c", NO_ACK, NO_ARGS);
    consume(b, "b", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < 500; i++) {
        snprintf(body, sizeof(body), "%d", i);
        expect_delivery(a, body, 0);
        expect_delivery(b, body, 0);
    }
    await_confirms(ch);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("publish");
    TCase *tcase = wire_tcase(suite, "content");

    tcase_add_loop_test(tcase, body_of_any_size_comes_as_it_went, 0, SIZE_COUNT);
    tcase_add_test(tcase, large_bodies_reach_consumers_with_small_frames);
    tcase_add_test(tcase, properties_come_as_they_went);
    tcase_add_test(tcase, no_properties_stay_none);
    tcase = wire_tcase(suite, "return");
    tcase_add_test(tcase, unroutable_mandatory_message_returns_before_its_confirm);
    tcase_add_test(tcase, routable_mandatory_message_does_not_return);
    tcase_add_test(tcase, unroutable_message_is_dropped_and_confirmed);
    tcase_add_test(tcase, large_unroutable_message_returns_whole);
    tcase = wire_tcase(suite, "rules");
    tcase_add_test(tcase, cc_and_bcc_add_keys);
    tcase_add_test(tcase, cc_passes_over_what_is_no_string);
    tcase_add_test(tcase, cc_routes_what_the_key_does_not);
    tcase_add_test(tcase, own_user_id_passes);
    tcase_add_test(tcase, an_impersonator_publishes_as_anybody);
    tcase_add_test(tcase, valid_expirations_pass);
    tcase_add_test(tcase, too_large_a_message_is_refused_before_it_is_read);
    tcase = wire_tcase(suite, "get");
    tcase_add_test(tcase, get_tells_what_is_left);
    tcase_add_test(tcase, publishes_of_one_channel_keep_their_order_across_queues);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
