/* What a clean restart keeps, and what it ends. With fewer and with more workers than before. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/fault/bulk.h"
#include "tests/wire/harness.h"

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "vhosts: [/, other]\n"
                             "users:\n"
                             "  - {name: guest, password: guest}\n"
                             "permissions:\n"
                             "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n"
                             "  - {user: guest, vhost: other, configure: '.*', write: '.*', "
                             "read: '.*'}\n";

/* The workers of three lives. */
static const int lives[][3] = {{1, 1, 1}, {4, 2, 1}, {1, 4, 2}};
enum { LIVES = sizeof(lives) / sizeof(lives[0]) };

static const amqp_basic_properties_t PERSISTENT = {
    ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
    .delivery_mode = 2,
};

/* Long enough for a restart to take less. */
enum { EXPIRY_MS = 3000 };

static int64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_until_ms(int64_t when_ms)
{
    const struct timespec a_while = {.tv_nsec = 10000000};

    while (clock_ms() < when_ms)
        nanosleep(&a_while, NULL);
}

static struct channel *channel_to(const struct broker *b)
{
    return open_channel(connect_client_to(b));
}

static void restart(struct broker *b, int workers)
{
    ck_assert(broker_end(b));
    broker_launch(b, CONFIG, workers);
}

START_TEST(messages_are_as_they_were)
{
    const amqp_basic_properties_t all = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                  AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                  AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                  AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG,
        .content_type = text("application/json"),
        .content_encoding = text("gzip"),
        .headers = ARGS(arg_string("text", "value"), arg_long("long", -5), arg_bool("yes", true),
                        arg_table("inner", ARGS(arg_int("n", 7)))),
        .delivery_mode = 2,
        .priority = 9,
        .correlation_id = text("correlation"),
        .reply_to = text("replies"),
        .message_id = text("id"),
        .timestamp = 1234567890,
        .type = text("type"),
        .app_id = text("app"),
    };
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_exchange(ch, "x", "topic", DURABLE, NO_ARGS);
    declare_queue(ch, "q", DURABLE, NO_ARGS);
    bind_queue(ch, "q", "x", "a.#", NO_ARGS);
    confirm_select(ch);
    publish_with(ch, "x", "a.b.c", 0, &all, "first");
    publish(ch, "q", "transient");
    publish_with(ch, "", "q", 0, &PERSISTENT, "");
    publish_with(ch, "", "q", 0, &PERSISTENT, "third");
    await_confirms(ch);
    close_client(ch->client);
    for (int life = 1; life < 3; life++) {
        restart(b, lives[_i][life]);
        ch = channel_to(b);
        ck_assert_uint_eq(message_count(ch, "q"), 3);
        d = expect_get(ch, "q", "first", life == 1 ? 0 : REDELIVERED);
        ck_assert_str_eq(d.exchange, "x");
        ck_assert_str_eq(d.routing_key, "a.b.c");
        ck_assert_uint_eq(d.properties->_flags, all._flags);
        ck_assert_uint_eq(d.properties->priority, 9);
        ck_assert_uint_eq(d.properties->timestamp, 1234567890);
        ck_assert_uint_eq(d.properties->app_id.len, 3);
        ck_assert_uint_eq(d.properties->reply_to.len, 7);
        ck_assert_int_eq(d.properties->headers.num_entries, 4);
        ck_assert(field_is_string(header(&d, "text"), "value"));
        ck_assert(field_is_int(header(&d, "long"), -5));
        ck_assert(field_is_int(table_field(&header(&d, "inner")->value.table, "n"), 7));
        expect_get(ch, "q", "", life == 1 ? 0 : REDELIVERED);
        /* Unacked: it is back, where it was, and known to have been delivered. */
        close_client(ch->client);
    }
    ch = channel_to(b);
    expect_get(ch, "q", "first", REDELIVERED);
    expect_get(ch, "q", "", REDELIVERED);
    expect_get(ch, "q", "third", 0);
    expect_get_empty(ch, "q");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(acked_messages_do_not_come_back)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "q", DURABLE, NO_ARGS);
    confirm_select(ch);
    for (int i = 0; i < 100; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        publish_with(ch, "", "q", 0, &PERSISTENT, body);
    }
    await_confirms(ch);
    for (int i = 0; i < 100; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        d = expect_get(ch, "q", body, 0);
        if (i % 2 == 0)
            ack(ch, d.tag, 0);
    }
    close_client(ch->client);
    for (int life = 1; life < 3; life++) {
        restart(b, lives[_i][life]);
        ch = channel_to(b);
        ck_assert_uint_eq(message_count(ch, "q"), 50);
        for (int i = 1; i < 100; i += 2) {
            char body[16];

            snprintf(body, sizeof(body), "%d", i);
            expect_get(ch, "q", body, REDELIVERED);
        }
        close_client(ch->client);
    }
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(queues_and_exchanges_live_as_declared)
{
    struct broker *b = broker_prepare();
    struct channel *ch;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "durable", DURABLE,
                  ARGS(arg_int("x-max-length", 5), arg_string("x-overflow", "reject-publish")));
    declare_queue(ch, "transient", 0, NO_ARGS);
    declare_queue(ch, "exclusive", DURABLE | EXCLUSIVE, NO_ARGS);
    declare_queue(ch, "auto", DURABLE | AUTO_DELETE, NO_ARGS);
    declare_queue(ch, "deleted", DURABLE, NO_ARGS);
    delete_queue(ch, "deleted", 0);
    declare_exchange(ch, "x.durable", "headers", DURABLE, NO_ARGS);
    declare_exchange(ch, "x.internal", "fanout", DURABLE | INTERNAL, NO_ARGS);
    declare_exchange(ch, "x.transient", "direct", 0, NO_ARGS);
    declare_exchange(ch, "x.deleted", "direct", DURABLE, NO_ARGS);
    delete_exchange(ch, "x.deleted", 0);
    bind_queue(ch, "durable", "x.transient", "k", NO_ARGS);
    close_client(ch->client);
    for (int life = 1; life < 3; life++) {
        static const char *const gone[] = {"transient", "exclusive", "deleted"};

        restart(b, lives[_i][life]);
        ch = channel_to(b);
        declare_queue(ch, "durable", DURABLE,
                      ARGS(arg_int("x-max-length", 5), arg_string("x-overflow", "reject-publish")));
        declare_queue(ch, "auto", DURABLE | AUTO_DELETE, NO_ARGS);
        declare_exchange(ch, "x.durable", "headers", DURABLE, NO_ARGS);
        declare_exchange(ch, "x.internal", "fanout", DURABLE | INTERNAL, NO_ARGS);
        for (int i = 0; i < 3; i++) {
            send_queue_declare(ch, gone[i], PASSIVE, NO_ARGS);
            expect_channel_error(ch, 404, "NOT_FOUND*");
            reopen_channel(ch);
        }
        send_exchange_declare(ch, "x.transient", "direct", PASSIVE, NO_ARGS);
        expect_channel_error(ch, 404, "NOT_FOUND*");
        reopen_channel(ch);
        send_exchange_declare(ch, "x.deleted", "direct", PASSIVE, NO_ARGS);
        expect_channel_error(ch, 404, "NOT_FOUND*");
        reopen_channel(ch);
        send_queue_declare(ch, "durable", DURABLE, ARGS(arg_int("x-max-length", 6)));
        expect_channel_error(ch, 406, "PRECONDITION_FAILED*");
        close_client(ch->client);
    }
    ch = channel_to(b);
    consume(ch, "auto", "c", 0, NO_ARGS);
    cancel(ch, "c");
    await_queue_gone(ch, "auto");
    close_client(ch->client);
    restart(b, lives[_i][0]);
    ch = channel_to(b);
    send_queue_declare(ch, "auto", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND*");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(routes_are_as_they_were)
{
    struct broker *b = broker_prepare();
    struct channel *ch;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "by.header", DURABLE, NO_ARGS);
    declare_queue(ch, "by.exchange", DURABLE, NO_ARGS);
    declare_queue(ch, "by.default", DURABLE, NO_ARGS);
    declare_queue(ch, "unbound", DURABLE, NO_ARGS);
    declare_exchange(ch, "alternate", "fanout", DURABLE, NO_ARGS);
    declare_exchange(ch, "h", "headers", DURABLE,
                     ARGS(arg_string("alternate-exchange", "alternate")));
    declare_exchange(ch, "t", "topic", DURABLE, NO_ARGS);
    declare_exchange(ch, "f", "fanout", DURABLE, NO_ARGS);
    bind_queue(ch, "by.header", "h", "",
               ARGS(arg_string("x-match", "all"), arg_int("size", 3), arg_string("colour", "red")));
    bind_queue(ch, "by.default", "alternate", "", NO_ARGS);
    bind_exchange(ch, "f", "t", "orders.*", NO_ARGS);
    bind_queue(ch, "by.exchange", "f", "", NO_ARGS);
    bind_queue(ch, "unbound", "f", "", NO_ARGS);
    unbind_queue(ch, "unbound", "f", "", NO_ARGS);
    close_client(ch->client);
    for (int life = 1; life < 3; life++) {
        struct delivery d;

        restart(b, lives[_i][life]);
        ch = channel_to(b);
        confirm_select(ch);
        publish_with(ch, "h", "", 0, HEADERS(arg_int("size", 3), arg_string("colour", "red")),
                     "red");
        publish_with(ch, "h", "", 0, HEADERS(arg_int("size", 3)), "pale");
        publish_to(ch, "t", "orders.new", "order");
        await_confirms(ch);
        d = expect_get(ch, "by.header", "red", 0);
        ack(ch, d.tag, 0);
        d = expect_get(ch, "by.default", "pale", 0);
        ack(ch, d.tag, 0);
        d = expect_get(ch, "by.exchange", "order", 0);
        ack(ch, d.tag, 0);
        expect_get_empty(ch, "by.header");
        expect_get_empty(ch, "unbound");
        close_client(ch->client);
    }
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(vhosts_keep_their_own)
{
    struct broker *b = broker_prepare();
    struct channel *ch;

    broker_launch(b, CONFIG, lives[_i][0]);
    for (int i = 0; i < 2; i++) {
        ch = open_channel(
            connect_client_tuned(b, "guest", "guest", i == 0 ? "/" : "other", 0, 131072, 0));
        declare_queue(ch, "q", DURABLE, NO_ARGS);
        confirm_select(ch);
        publish_with(ch, "", "q", 0, &PERSISTENT, i == 0 ? "here" : "there");
        await_confirms(ch);
        close_client(ch->client);
    }
    for (int life = 1; life < 3; life++) {
        restart(b, lives[_i][life]);
        for (int i = 0; i < 2; i++) {
            ch = open_channel(
                connect_client_tuned(b, "guest", "guest", i == 0 ? "/" : "other", 0, 131072, 0));
            ck_assert_uint_eq(message_count(ch, "q"), 1);
            expect_get(ch, "q", i == 0 ? "here" : "there", life == 1 ? 0 : REDELIVERED);
            close_client(ch->client);
        }
    }
    ck_assert(broker_stop(b));
}
END_TEST

static void publish_persistent(struct channel *ch, const char *queue, const char *expiration,
                               const char *body)
{
    amqp_basic_properties_t p = PERSISTENT;

    if (expiration != NULL) {
        p._flags |= AMQP_BASIC_EXPIRATION_FLAG;
        p.expiration = text(expiration);
    }
    publish_with(ch, "", queue, 0, &p, body);
}

/* Times go on while the broker is away: what ended meanwhile is dead-lettered after the start, and
 * not a whole time later. */
START_TEST(clocks_go_on)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;
    int64_t published_ms;
    int64_t started_ms;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "dead", DURABLE, NO_ARGS);
    declare_queue(ch, "ttl", DURABLE,
                  ARGS(arg_int("x-message-ttl", EXPIRY_MS),
                       arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    confirm_select(ch);
    publish_persistent(ch, "q", "3600000", "stays");
    publish_persistent(ch, "q", "3000", "delivered");
    published_ms = clock_ms();
    publish_persistent(ch, "q", "2900", "own");
    publish_persistent(ch, "ttl", NULL, "queue's");
    await_confirms(ch);
    expect_get(ch, "q", "stays", 0);
    expect_get(ch, "q", "delivered", 0);
    close_client(ch->client);
    ck_assert(broker_end(b));

    wait_until_ms(published_ms + EXPIRY_MS + 100);
    started_ms = clock_ms();
    broker_launch(b, CONFIG, lives[_i][1]);
    ch = channel_to(b);
    await_message_count(ch, "dead", 3);
    ck_assert_int_lt(clock_ms() - started_ms, EXPIRY_MS - 100);
    for (int i = 0; i < 3; i++) {
        d = expect_get(ch, "dead", NULL, 0);
        ck_assert(field_is_string(header(&d, "x-first-death-reason"), "expired"));
    }
    expect_get(ch, "q", "stays", REDELIVERED);
    expect_get_empty(ch, "q");
    expect_get_empty(ch, "ttl");
    close_client(ch->client);

    /* They do not come back. */
    restart(b, lives[_i][2]);
    ch = channel_to(b);
    ck_assert_uint_eq(message_count(ch, "dead"), 3);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
    ck_assert_uint_eq(message_count(ch, "ttl"), 0);
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(delivery_counts_go_on)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-delivery-limit", 8)));
    confirm_select(ch);
    publish_persistent(ch, "q", NULL, "a");
    await_confirms(ch);
    for (int life = 0; life < 3; life++) {
        if (life != 0) {
            close_client(ch->client);
            restart(b, lives[_i][life]);
            ch = channel_to(b);
        }
        for (int i = 0; i < 3; i++) {
            int count = 3 * life + i;

            d = expect_get(ch, "q", "a", count != 0 ? REDELIVERED : 0);
            ck_assert(field_is_int(header(&d, "x-delivery-count"), count));
            nack(ch, d.tag, REQUEUE);
        }
    }
    expect_get_empty(ch, "q");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

/* The deliveries of a message that is held each time the broker is killed. What is confirmed was
 * recorded behind the delivery before it. */
START_TEST(deliveries_that_kills_end_count)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;

    broker_launch(b, CONFIG, 1);
    ch = channel_to(b);
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-delivery-limit", 3)));
    confirm_select(ch);
    publish_persistent(ch, "q", NULL, "a");
    await_confirms(ch);
    for (int count = 0; count <= 3; count++) {
        d = expect_get(ch, "q", "a", count != 0 ? REDELIVERED : 0);
        ck_assert(field_is_int(header(&d, "x-delivery-count"), count));
        declare_queue(ch, "beside", DURABLE, NO_ARGS);
        publish_persistent(ch, "beside", NULL, "b");
        await_confirms(ch);
        ck_assert(broker_kill(b));
        broker_launch(b, CONFIG, 1);
        ch = channel_to(b);
        confirm_select(ch);
    }
    /* It comes once more than the limit says, as its last return was not seen; no more. */
    d = expect_get(ch, "q", "a", REDELIVERED);
    ck_assert(field_is_int(header(&d, "x-delivery-count"), 4));
    nack(ch, d.tag, REQUEUE);
    expect_get_empty(ch, "q");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

/* One goes back when its time is up, and is delivered again; it is held when the broker ends. */
START_TEST(deliveries_under_a_timeout_are_ready_again)
{
    enum { SHORT_MS = 20, LONG_MS = 3600000 };
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(
        ch, "q", DURABLE,
        ARGS(arg_int("x-visibility-timeout", SHORT_MS), arg_string("x-queue-type", "quorum")));
    confirm_select(ch);
    publish_persistent(ch, "q", NULL, "a");
    await_confirms(ch);
    expect_get(ch, "q", "a", 0);
    await_message_count(ch, "q", 1);
    consume(ch, "q", "c", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
    d = expect_delivery(ch, "a", REDELIVERED);
    ck_assert(field_is_int(header(&d, "x-delivery-count"), 1));
    close_client(ch->client);
    ch = channel_to(b);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "a", REDELIVERED);
    drop_client(ch->client);
    restart(b, lives[_i][1]);
    ch = channel_to(b);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
    d = expect_get(ch, "q", "a", REDELIVERED);
    ck_assert(field_is_int(header(&d, "x-delivery-count"), 3));
    /* And the timeout counts as before. */
    await_message_count(ch, "q", 1);
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(priorities_keep_their_order)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;
    char body[16];

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "q", DURABLE, ARGS(arg_int("x-max-priority", 10)));
    confirm_select(ch);
    for (int i = 0; i < 300; i++) {
        amqp_basic_properties_t p = PERSISTENT;

        p._flags |= AMQP_BASIC_PRIORITY_FLAG;
        p.priority = (uint8_t)(i % 3 * 5);
        snprintf(body, sizeof(body), "%d", i);
        publish_with(ch, "", "q", 0, &p, body);
    }
    await_confirms(ch);
    /* Of the highest priority one is gone, and one was delivered. */
    d = expect_get(ch, "q", "2", 0);
    ack(ch, d.tag, 0);
    expect_get(ch, "q", "5", 0);
    close_client(ch->client);
    for (int life = 1; life < 3; life++) {
        restart(b, lives[_i][life]);
        ch = channel_to(b);
        ck_assert_uint_eq(message_count(ch, "q"), 299);
        expect_get(ch, "q", "5", REDELIVERED);
        close_client(ch->client);
    }
    ch = channel_to(b);
    for (int lane = 2; lane >= 0; lane--) {
        for (int i = lane; i < 300; i += 3) {
            snprintf(body, sizeof(body), "%d", i);
            if (i != 2)
                expect_get(ch, "q", body, i == 5 ? REDELIVERED : 0);
        }
    }
    expect_get_empty(ch, "q");
    close_client(ch->client);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(dead_letters_keep_their_story)
{
    struct broker *b = broker_prepare();
    struct channel *ch;
    struct delivery d;

    broker_launch(b, CONFIG, lives[_i][0]);
    ch = channel_to(b);
    declare_queue(ch, "dead", DURABLE, NO_ARGS);
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    confirm_select(ch);
    publish_with(ch, "", "q", 0, &PERSISTENT, "a");
    await_confirms(ch);
    d = expect_get(ch, "q", "a", 0);
    reject(ch, d.tag, 0);
    await_message_count(ch, "dead", 1);
    close_client(ch->client);
    for (int life = 1; life < 3; life++) {
        const amqp_field_value_t *deaths;

        restart(b, lives[_i][life]);
        ch = channel_to(b);
        expect_get_empty(ch, "q");
        d = expect_get(ch, "dead", "a", life == 1 ? 0 : REDELIVERED);
        deaths = header(&d, "x-death");
        ck_assert(deaths != NULL && deaths->kind == AMQP_FIELD_KIND_ARRAY);
        ck_assert_int_eq(deaths->value.array.num_entries, 1);
        ck_assert(field_is_string(
            table_field(&deaths->value.array.entries[0].value.table, "reason"), "rejected"));
        ck_assert(
            field_is_int(table_field(&deaths->value.array.entries[0].value.table, "count"), 1));
        close_client(ch->client);
    }
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- Files that are gone ---- */

static const char SEGMENTS_CONFIG[] = "listeners:\n"
                                      "  - {address: 127.0.0.1, port: @PORT@}\n"
                                      "workers: @WORKERS@\n"
                                      "journal:\n"
                                      "  segment_size: 1MiB\n";

static const char *const losses[] = {
    "rm -r %s/journal/0",
    "rm $(ls %s/journal/0/*.segment | tail -n 1)",
    "truncate -s 0 $(ls %s/journal/0/*.segment | tail -n 1)",
    "truncate -s -100 $(ls %s/journal/0/*.segment | tail -n 1)",
};
enum { LOSSES = sizeof(losses) / sizeof(losses[0]) };

/* There is nothing behind them that would tell. */
START_TEST(a_journal_without_its_end_is_told_of)
{
    const struct bulk orders = {.queue = "orders", .size = 1000, .persistent = true};
    struct broker *b = broker_prepare();
    char directory[512];
    char command[1200];

    broker_launch(b, SEGMENTS_CONFIG, 1);
    bulk_declare(b, "orders", true);
    bulk_fill(b, &orders, 0, 3000);
    ck_assert(broker_end(b));
    broker_launch(b, SEGMENTS_CONFIG, 1);
    ck_assert(!broker_log_holds(b, "its end is missing"));
    bulk_fill(b, &orders, 3000, 1);
    ck_assert(broker_end(b));
    broker_data_directory(b, directory, sizeof(directory));
    snprintf(command, sizeof(command), losses[_i], directory);
    ck_assert_int_eq(system(command), 0);
    broker_launch(b, SEGMENTS_CONFIG, 1);
    ck_assert(broker_log_awaits(b, "its end is missing"));
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("restart");
    TCase *tcase = tcase_create("restart");

    tcase_set_timeout(tcase, 12.0 * deadline_ms() / 1000.0);
    tcase_add_loop_test(tcase, messages_are_as_they_were, 0, LIVES);
    tcase_add_loop_test(tcase, acked_messages_do_not_come_back, 0, LIVES);
    tcase_add_loop_test(tcase, queues_and_exchanges_live_as_declared, 0, LIVES);
    tcase_add_loop_test(tcase, routes_are_as_they_were, 0, LIVES);
    tcase_add_loop_test(tcase, vhosts_keep_their_own, 0, LIVES);
    tcase_add_loop_test(tcase, clocks_go_on, 0, LIVES);
    tcase_add_loop_test(tcase, delivery_counts_go_on, 0, LIVES);
    tcase_add_test(tcase, deliveries_that_kills_end_count);
    tcase_add_loop_test(tcase, deliveries_under_a_timeout_are_ready_again, 0, LIVES);
    tcase_add_loop_test(tcase, priorities_keep_their_order, 0, LIVES);
    tcase_add_loop_test(tcase, dead_letters_keep_their_story, 0, LIVES);
    tcase_add_loop_test(tcase, a_journal_without_its_end_is_told_of, 0, LOSSES);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
