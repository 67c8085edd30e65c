/* What delayed exchanges keep over kills and restarts, with fewer and with more workers than
 * before: every confirmed persistent message, for as long as it was to be delayed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wire/harness.h"

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "users:\n"
                             "  - {name: guest, password: guest}\n"
                             "permissions:\n"
                             "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n";

/* Bodies leave memory as soon as they can. */
static const char SMALL[] = "listeners:\n"
                            "  - {address: 127.0.0.1, port: @PORT@}\n"
                            "workers: @WORKERS@\n"
                            "memory: {target: 1MiB}\n"
                            "users:\n"
                            "  - {name: guest, password: guest}\n"
                            "permissions:\n"
                            "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n";

/* The workers of two lives. */
static const int lives[][2] = {{1, 1}, {4, 2}, {1, 4}};
enum { LIVES = sizeof(lives) / sizeof(lives[0]) };

enum { LONG_MS = 3600000 };

static struct channel *channel_to(const struct broker *b)
{
    return open_channel(connect_client_to(b));
}

static void declare_delayed(struct channel *ch)
{
    declare_exchange(ch, "x", "x-delayed-message", DURABLE,
                     ARGS(arg_string("x-delayed-type", "direct")));
    declare_queue(ch, "q", DURABLE, NO_ARGS);
    bind_queue(ch, "q", "x", "k", NO_ARGS);
}

static void publish_delayed(struct channel *ch, int mode, int delay_ms, const char *body)
{
    publish_with(ch, "x", "k", 0,
                 PROPS(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
                       .headers = ARGS(arg_int("x-delay", delay_ms)),
                       .delivery_mode = (uint8_t)mode),
                 body);
}

/* Some were due while the broker was away, some are not yet. */
START_TEST(times_go_on_over_a_kill)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    int64_t begin;
    struct delivery d;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_delayed(ch);
    confirm_select(ch);
    begin = now_ms();
    publish_delayed(ch, 2, 1500, "later");
    publish_delayed(ch, 2, 1, "before");
    publish_delayed(ch, 2, 300, "meanwhile");
    publish_delayed(ch, 1, 300, "transient");
    publish_delayed(ch, 2, LONG_MS, "much later");
    await_confirms(ch);
    await_message_count(ch, "q", 1);
    ck_assert(broker_kill(b));
    while (now_ms() < begin + 300)
        ;
    broker_launch(b, CONFIG, lives[_i][1]);

    ch = channel_to(b);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    /* The end of its delay may not have been on disk yet. */
    do {
        d = expect_delivery(ch, NULL, 0);
    } while (strcmp(d.body, "before") == 0);
    ck_assert_str_eq(d.body, "meanwhile");
    ck_assert(field_is_int(header(&d, "x-delay"), -300));
    ck_assert_str_eq(d.exchange, "x");
    expect_delivery(ch, "later", 0);
    /* Each life holds one clock against the other, in whole milliseconds. */
    ck_assert_int_ge(now_ms(), begin + 1500 - 2);
    cancel(ch, "c");
    delete_queue(ch, "q", 0);
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

/* What was routed in one life is not routed in the next, and what was not is, once. */
START_TEST(each_is_routed_in_one_life)
{
    enum { COUNT = 40 };
    struct broker *b = broker_prepare();
    char seen[COUNT] = {0};
    struct channel *ch;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_delayed(ch);
    confirm_select(ch);
    for (int i = 0; i < COUNT; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        publish_delayed(ch, 2, i % 2 == 0 ? 1 : 1200, body);
    }
    await_confirms(ch);
    await_message_count(ch, "q", COUNT / 2);
    close_client(ch->client);
    ck_assert(broker_end(b));
    broker_launch(b, CONFIG, lives[_i][1]);
    ch = channel_to(b);
    await_message_count(ch, "q", COUNT);
    for (int i = 0; i < COUNT; i++) {
        int number = atoi(expect_get(ch, "q", NULL, NO_ACK).body);

        ck_assert_int_eq(seen[number], 0);
        seen[number] = 1;
    }
    expect_get_empty(ch, "q");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(deleted_exchange_leaves_nothing)
{
    struct broker *b = broker_prepare();
    struct channel *ch;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_delayed(ch);
    confirm_select(ch);
    publish_delayed(ch, 2, 500, "gone");
    await_confirms(ch);
    delete_exchange(ch, "x", 0);
    ck_assert(broker_kill(b));
    broker_launch(b, CONFIG, lives[_i][1]);
    ch = channel_to(b);
    declare_delayed(ch);
    confirm_select(ch);
    publish_delayed(ch, 2, 700, "new");
    await_confirms(ch);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "new", NO_ACK);
    expect_get_empty(ch, "q");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

/* More than memory has room for: read from disk when it is due. */
START_TEST(paged_messages_come_when_they_are_due)
{
    enum { COUNT = 12000, SIZE = 1000, EACH_MS = 2500 };
    struct broker *b = broker_prepare();
    static char seen[COUNT];
    static char body[SIZE];
    struct channel *ch;
    int64_t begin;

    memset(seen, 0, sizeof(seen));
    memset(body, 'b', sizeof(body));
    broker_launch(b, SMALL, 1);
    ch = channel_to(b);
    declare_delayed(ch);
    confirm_select(ch);
    begin = now_ms();
    for (int i = 0; i < COUNT; i++) {
        memcpy(body, &i, sizeof(i));
        /* Half of them persistent; the last comes first. */
        publish_bytes(ch, "x", "k", 0,
                      PROPS(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
                            .headers = ARGS(arg_int("x-delay", EACH_MS - i / 10)),
                            .delivery_mode = (uint8_t)(1 + i % 2)),
                      body, sizeof(body));
        if (i % 1000 == 999) {
            await_confirms(ch);
            recycle_client(ch->client);
        }
    }
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < COUNT; i++) {
        struct delivery d = expect_delivery(ch, NULL, 0);
        int number;

        memcpy(&number, d.body, sizeof(number));
        ck_assert_uint_eq(d.body_size, SIZE);
        ck_assert_int_eq(seen[number], 0);
        ck_assert_int_ge(now_ms(), begin + EACH_MS - number / 10);
        seen[number] = 1;
        if (i % 1000 == 999)
            recycle_client(ch->client);
    }
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delayed");
    TCase *tcase = tcase_create("delayed");

    tcase_set_timeout(tcase, 12.0 * deadline_ms() / 1000.0);
    tcase_add_loop_test(tcase, times_go_on_over_a_kill, 0, LIVES);
    tcase_add_loop_test(tcase, each_is_routed_in_one_life, 1, 2);
    tcase_add_loop_test(tcase, deleted_exchange_leaves_nothing, 1, 2);
    tcase_add_test(tcase, paged_messages_come_when_they_are_due);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
