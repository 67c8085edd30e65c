/* x-dead-letter-strategy: at-least-once over kills: between two queues, wherever they are at home,
 * no message is lost, and what died in the one is not delivered there any more. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wire/harness.h"

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "dead_letters: {window: 64, retry_min_ms: 20, retry_max_ms: 100}\n"
                             "users:\n"
                             "  - {name: guest, password: guest}\n"
                             "permissions:\n"
                             "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n";

enum { COUNT = 3000, LIVES = 6 };

/* How often each number came. */
static uint32_t came[COUNT];

static const amqp_basic_properties_t PERSISTENT = {
    ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
    .delivery_mode = 2,
};

#define AT_LEAST_ONCE \
    arg_string("x-queue-type", "quorum"), arg_string("x-dead-letter-exchange", "dlx"), \
        arg_string("x-dead-letter-strategy", "at-least-once"), \
        arg_string("x-overflow", "reject-publish")

static struct channel *channel_to(const struct broker *b)
{
    return open_channel(connect_client_to(b));
}

static void publish_numbers(struct channel *ch, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        publish_with(ch, "", "q", 0, &PERSISTENT, body);
    }
}

/* Rejects what comes until `count` of it have. */
static void reject_all(struct channel *ch, int count)
{
    qos(ch, 200, 0);
    consume(ch, "q", "c", 0, NO_ARGS);
    for (int i = 0; i < count; i++)
        reject(ch, expect_delivery(ch, NULL, ANY_REDELIVERED).tag, 0);
}

static void take_all(struct channel *ch, const char *queue)
{
    uint32_t count = message_count(ch, queue);

    for (uint32_t i = 0; i < count; i++)
        came[atoi(expect_get(ch, queue, NULL, NO_ACK).body)]++;
}

/* Nothing leads to a queue: all letters wait, over two lives, and hold up no shutdown. */
START_TEST(waiting_letters_are_not_delivered_after_a_kill)
{
    struct broker *b = broker_prepare();
    struct channel *ch;

    memset(came, 0, sizeof(came));
    broker_launch(b, CONFIG, 2);
    ch = channel_to(b);
    declare_exchange(ch, "dlx", "fanout", DURABLE, NO_ARGS);
    declare_queue(ch, "q", DURABLE, ARGS(AT_LEAST_ONCE));
    confirm_select(ch);
    publish_numbers(ch, 0, 200);
    await_confirms(ch);
    reject_all(ch, 199);
    expect_delivery(ch, "199", 0); /* is not settled */
    cancel(ch, "c");
    /* What is confirmed behind them says that the deaths are on disk. */
    publish_with(ch, "", "q", 0, &PERSISTENT, "200");
    await_confirms(ch);
    for (int life = 0; life < 2; life++) {
        int64_t begin;

        if (life != 0)
            close_client(ch->client);
        begin = now_ms();
        ck_assert(life == 0 ? broker_kill(b) : broker_end(b));
        ck_assert_int_lt(now_ms() - begin, 3000);
        broker_launch(b, CONFIG, 2 - life);
        ch = channel_to(b);
        ck_assert_uint_eq(message_count(ch, "q"), 2);
        expect_get(ch, "q", "199", ANY_REDELIVERED);
        expect_get(ch, "q", "200", ANY_REDELIVERED);
        expect_get_empty(ch, "q");
    }
    declare_queue(ch, "dead", DURABLE, NO_ARGS);
    bind_queue(ch, "dead", "dlx", "", NO_ARGS);
    await_message_count(ch, "dead", 199);
    take_all(ch, "dead");
    for (int i = 0; i < 199; i++)
        ck_assert_uint_eq(came[i], 1);
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

/* Rejected amid kills; the queues were declared on two connections, so that they may be at home on
 * two workers. At last each number is in one of the queues, at least once. */
START_TEST(no_letter_is_lost_in_a_kill)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct channel *other;

    memset(came, 0, sizeof(came));
    broker_launch(b, CONFIG, 4);
    ch = channel_to(b);
    declare_exchange(ch, "dlx", "fanout", DURABLE, NO_ARGS);
    declare_queue(ch, "q", DURABLE, ARGS(AT_LEAST_ONCE));
    for (int i = 0; i < 3; i++) {
        char name[16];

        snprintf(name, sizeof(name), "dead%d", i);
        other = channel_to(b);
        declare_queue(other, name, DURABLE, NO_ARGS);
        bind_queue(other, name, "dlx", "", NO_ARGS);
        close_client(other->client);
    }
    confirm_select(ch);
    publish_numbers(ch, 0, COUNT);
    await_confirms(ch);
    for (int life = 0; life < LIVES; life++) {
        reject_all(ch, COUNT / 2 / LIVES);
        ck_assert(broker_kill(b));
        broker_launch(b, CONFIG, life % 2 == 0 ? 4 : 2);
        ch = channel_to(b);
    }
    /* The rest dies in peace. */
    consume(ch, "q", "c", 0, NO_ARGS);
    while (message_count(ch, "q") != 0 || something_comes(ch, 100)) {
        while (something_comes(ch, 0))
            reject(ch, expect_delivery(ch, NULL, ANY_REDELIVERED).tag, 0);
    }
    cancel(ch, "c");
    for (int i = 0; i < 3; i++) {
        char name[16];

        snprintf(name, sizeof(name), "dead%d", i);
        memset(came, 0, sizeof(came));
        for (int asked = 0; asked < 500; asked++) {
            uint32_t missing = 0;

            take_all(ch, name);
            for (int n = 0; n < COUNT; n++)
                missing += came[n] == 0;
            if (missing == 0)
                break;
            something_comes(ch, 20);
        }
        for (int n = 0; n < COUNT; n++)
            ck_assert_msg(came[n] != 0, "message %d is not in %s", n, name);
    }
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("confirmed_letters");
    TCase *tcase = tcase_create("confirmed_letters");

    tcase_set_timeout(tcase, 12.0 * deadline_ms() / 1000.0);
    tcase_add_test(tcase, waiting_letters_are_not_delivered_after_a_kill);
    tcase_add_test(tcase, no_letter_is_lost_in_a_kill);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
