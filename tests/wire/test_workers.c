/* What happens between workers: connections whose consumers are on queues at home elsewhere. Each
 * test does the same from so many connections that some of them are not on the queue's worker. */
#include "tests/wire/harness.h"
#include "tests/wire/raw.h"

#include <string.h>
#include <sys/socket.h>

enum { CONNECTIONS = 16 };

/* The subscription is on its way out when the channel gets a common limit. */
START_TEST(common_limit_behind_a_cancel_does_not_reach_the_consumer_that_is_gone)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *other = connect_channel();

        consume(other, "q", "c", 0, NO_ARGS);
        send_cancel(other, "c", 0);
        send_qos(other, 5, GLOBAL);
        expect_method(other, AMQP_BASIC_CANCEL_OK_METHOD);
        expect_method(other, AMQP_BASIC_QOS_OK_METHOD);
        ck_assert_uint_eq(consumer_count(other, "q"), 0);
    }
    publish(ch, "q", "a");
    expect_get(ch, "q", "a", 0);
}
END_TEST

/* Deliveries of a client that does not read are held back; it goes without having read them. */
START_TEST(client_that_is_held_back_may_vanish)
{
    enum { MESSAGES = 40, SIZE = 100000 };
    static char body[SIZE];
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    confirm_select(ch);
    for (int i = 0; i < MESSAGES; i++)
        publish_bytes(ch, "", "q", 0, NULL, body, SIZE);
    await_confirms(ch);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct client *c = connect_client();
        struct channel *other = open_channel(c);

        consume(other, "q", "c", 0, NO_ARGS);
        drop_client(c);
        await_message_count(ch, "q", MESSAGES);
    }
}
END_TEST

static void send_passive_declare_without_wait(struct raw *r, const char *queue)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, queue);
    put_u8(&b, 1 | 16); /* passive, no-wait */
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_QUEUE_DECLARE_METHOD, &b);
}

static void send_publish(struct raw *r, const char *queue, const char *body)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, "");
    put_short_string(&b, queue);
    put_u8(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_PUBLISH_METHOD, &b);
    raw_send_header(r, 1, strlen(body));
    raw_send_frame(r, 3, 1, body, strlen(body));
}

static void send_connection_close(struct raw *r)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 200);
    put_short_string(&b, "bye");
    put_u16(&b, 0);
    put_u16(&b, 0);
    raw_send_method(r, 0, AMQP_CONNECTION_CLOSE_METHOD, &b);
}

/* A method whose answer comes from another worker, publishes behind it, and the end of the
 * connection right behind those. */
static void publish_behind_a_question(struct raw *r)
{
    raw_handshake(r);
    raw_open_channel(r, 1);
    send_passive_declare_without_wait(r, "q");
    for (int i = 0; i < 10; i++)
        send_publish(r, "q", "a");
}

START_TEST(close_does_not_overtake_what_was_sent_before_it)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct raw *r = raw_connect(test_broker());

        publish_behind_a_question(r);
        send_connection_close(r);
        raw_expect_method(r, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
        ck_assert_uint_eq(message_count(ch, "q"), 10);
        purge_queue(ch, "q");
    }
}
END_TEST

START_TEST(end_of_the_stream_does_not_overtake_what_was_sent_before_it)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct raw *r = raw_connect(test_broker());

        publish_behind_a_question(r);
        shutdown(r->fd, SHUT_WR);
        await_message_count(ch, "q", 10);
        purge_queue(ch, "q");
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("workers");
    TCase *tcase = wire_tcase(suite, "workers");

    tcase_add_test(tcase, common_limit_behind_a_cancel_does_not_reach_the_consumer_that_is_gone);
    tcase_add_test(tcase, client_that_is_held_back_may_vanish);
    tcase_add_test(tcase, close_does_not_overtake_what_was_sent_before_it);
    tcase_add_test(tcase, end_of_the_stream_does_not_overtake_what_was_sent_before_it);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
