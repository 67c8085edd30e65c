/* What happens between workers: connections whose consumers are on queues at home elsewhere. Each
 * test does the same from so many connections that some of them are not on the queue's worker. */
#include "tests/wire/harness.h"

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

static Suite *make_suite(void)
{
    Suite *suite = suite_create("workers");
    TCase *tcase = wire_tcase(suite, "workers");

    tcase_add_test(tcase, common_limit_behind_a_cancel_does_not_reach_the_consumer_that_is_gone);
    tcase_add_test(tcase, client_that_is_held_back_may_vanish);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
