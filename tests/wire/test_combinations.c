/* Several rules in one queue: what each would do alone, and which comes first where they meet. The
 * tests that need no argument of another queue type hold for RabbitMQ as well. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"
#include "tests/wire/raw.h"

#define DEAD_LETTERED \
    arg_string("x-dead-letter-exchange", ""), arg_string("x-dead-letter-routing-key", "dead")

enum type { CLASSIC, QUORUM, TYPES };

static const char *const types[TYPES] = {"classic", "quorum"};

static const amqp_basic_properties_t *with_priority(uint8_t priority)
{
    static amqp_basic_properties_t p;

    p = (amqp_basic_properties_t){._flags = AMQP_BASIC_PRIORITY_FLAG, .priority = priority};
    return &p;
}

static const amqp_basic_properties_t *with_expiration(uint8_t priority, const char *ms)
{
    static amqp_basic_properties_t p;

    p = (amqp_basic_properties_t){._flags = AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_EXPIRATION_FLAG,
                                  .priority = priority,
                                  .expiration = text(ms)};
    return &p;
}

static struct channel *given_queues(amqp_table_t arguments)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "dead", DURABLE, NO_ARGS);
    declare_queue(ch, "q", DURABLE, arguments);
    confirm_select(ch);
    return ch;
}

/* The table of x-death for this queue and reason, or NULL. */
static const amqp_table_t *death_of(const struct delivery *d, const char *queue, const char *reason)
{
    const amqp_field_value_t *deaths = header(d, "x-death");

    for (int i = 0; deaths != NULL && i < deaths->value.array.num_entries; i++) {
        const amqp_table_t *t = &deaths->value.array.entries[i].value.table;

        if (field_is_string(table_field(t, "queue"), queue) &&
            field_is_string(table_field(t, "reason"), reason))
            return t;
    }
    return NULL;
}

static struct delivery expect_dead(struct channel *ch, const char *body, const char *reason)
{
    struct delivery d;

    await_message_count(ch, "dead", 1);
    d = expect_get(ch, "dead", body, NO_ACK);
    ck_assert_msg(death_of(&d, "q", reason) != NULL, "%s did not die as %s", body, reason);
    return d;
}

/* Everything in one queue, of either type; RabbitMQ has priorities for classic queues alone, and
 * delivery limits for quorum ones. */
START_TEST(all_rules_in_one_queue)
{
    struct channel *ch;
    struct delivery b;
    struct delivery d;

    SKIP_WITH_ORACLE("it has no queue type with all of these arguments");
    ch = given_queues(ARGS(arg_string("x-queue-type", types[_i]), arg_int("x-max-priority", 3),
                           arg_int("x-message-ttl", 60000), arg_int("x-max-length", 4),
                           arg_string("x-overflow", "reject-publish"),
                           arg_int("x-delivery-limit", 1), DEAD_LETTERED));
    publish_with(ch, "", "q", 0, with_priority(0), "a");
    publish_with(ch, "", "q", 0, with_priority(2), "b");
    publish_with(ch, "", "q", 0, with_expiration(2, "150"), "c");
    publish_with(ch, "", "q", 0, with_priority(1), "d");
    await_confirms(ch);
    publish_with(ch, "", "q", 0, with_priority(3), "too many");
    expect_confirm_nack(ch);

    /* The highest comes back to its place, once; the second time it was too often. */
    b = expect_get(ch, "q", "b", 0);
    reject(ch, b.tag, REQUEUE);
    b = expect_get(ch, "q", "b", REDELIVERED);
    reject(ch, b.tag, REQUEUE);
    d = expect_dead(ch, "b", "delivery_limit");
    ck_assert_uint_eq(d.properties->priority, 2);

    /* The next one ends in its time, amid others. */
    d = expect_dead(ch, "c", "expired");
    ck_assert(
        field_is_string(table_field(death_of(&d, "q", "expired"), "original-expiration"), "150"));
    ck_assert_uint_eq(message_count(ch, "q"), 2);

    /* There is room for what was refused, and it goes first. */
    confirm_select(ch);
    publish_with(ch, "", "q", 0, with_priority(3), "e");
    expect_confirm(ch, NULL);
    d = expect_get(ch, "q", "e", 0);
    ack(ch, d.tag, 0);
    d = expect_get(ch, "q", "d", 0);
    reject(ch, d.tag, 0);
    expect_dead(ch, "d", "rejected");
    expect_get(ch, "q", "a", 0);
    expect_get_empty(ch, "q");
}
END_TEST

/* What drops is what would be delivered next: the highest. */
START_TEST(length_drops_by_priority)
{
    struct channel *ch =
        given_queues(ARGS(arg_int("x-max-priority", 5), arg_int("x-max-length", 2), DEAD_LETTERED));
    struct delivery d;

    publish_with(ch, "", "q", 0, with_priority(0), "low");
    publish_with(ch, "", "q", 0, with_priority(5), "high");
    await_confirms(ch);
    publish_with(ch, "", "q", 0, with_priority(3), "mid");
    await_confirms(ch);
    d = expect_dead(ch, "high", "maxlen");
    ck_assert_uint_eq(d.properties->priority, 5);
    expect_get(ch, "q", "mid", NO_ACK);
    expect_get(ch, "q", "low", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(what_expires_makes_room)
{
    struct channel *ch = given_queues(ARGS(
        arg_string("x-queue-type", types[_i]), arg_int("x-max-length", 1),
        arg_int("x-message-ttl", 200), arg_string("x-overflow", "reject-publish"), DEAD_LETTERED));

    publish(ch, "q", "a");
    expect_confirm(ch, NULL);
    if (!against_oracle()) {
        /* Its quorum queues may take one more. */
        publish(ch, "q", "b");
        expect_confirm_nack(ch);
    }
    expect_dead(ch, "a", "expired");
    publish(ch, "q", "c");
    await_message_count(ch, "q", 1);
    expect_dead(ch, "c", "expired");
}
END_TEST

/* Two rules end a message that comes back: it was delivered too often, and its time is over. */
START_TEST(limit_counts_before_time)
{
    struct channel *ch;
    struct delivery d;

    SKIP_WITH_ORACLE("its quorum queues look at the time of messages that wait only");
    ch = given_queues(ARGS(arg_string("x-queue-type", types[_i]), arg_int("x-delivery-limit", 0),
                           arg_int("x-message-ttl", 100), DEAD_LETTERED));
    publish(ch, "q", "m");
    await_confirms(ch);
    d = expect_get(ch, "q", "m", 0);
    /* Another one that came later has expired: so has this one. */
    publish(ch, "q", "clock");
    expect_dead(ch, "clock", "expired");
    reject(ch, d.tag, REQUEUE);
    expect_dead(ch, "m", "delivery_limit");
}
END_TEST

/* The usual way to try again later: rejected into a queue where messages wait and expire back. */
START_TEST(retry_by_two_queues_keeps_count)
{
    struct channel *ch = connect_channel();
    struct delivery d;
    int64_t rejected;

    declare_queue(
        ch, "q", DURABLE,
        ARGS(arg_string("x-queue-type", types[_i]), arg_string("x-dead-letter-exchange", ""),
             arg_string("x-dead-letter-routing-key", "wait"), arg_int("x-max-length", 5)));
    declare_queue(ch, "wait", DURABLE,
                  ARGS(arg_string("x-queue-type", types[_i]), arg_int("x-message-ttl", 30),
                       arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "q")));
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_with(ch, "", "q", 0, with_priority(7), "m");
    d = expect_delivery(ch, "m", 0);
    for (int tries = 1; tries <= 3; tries++) {
        rejected = now_ms();
        reject(ch, d.tag, 0);
        d = expect_delivery(ch, "m", 0);
        ck_assert_int_ge(now_ms() - rejected, 30);
        ck_assert_uint_eq(d.properties->priority, 7);
        ck_assert(field_is_int(table_field(death_of(&d, "q", "rejected"), "count"), tries));
        ck_assert(field_is_int(table_field(death_of(&d, "wait", "expired"), "count"), tries));
        ck_assert_int_eq(header(&d, "x-death")->value.array.num_entries, 2);
        ck_assert(field_is_string(header(&d, "x-first-death-queue"), "q"));
    }
    ack(ch, d.tag, 0);
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "wait"), 0);
}
END_TEST

/* One queue's dead letters are another's, with rules of its own: dropped there, they tell both. */
START_TEST(dead_letters_obey_the_rules_where_they_go)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "middle", 0,
                  ARGS(arg_int("x-max-length", 1), arg_int("x-max-priority", 3), DEAD_LETTERED));
    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-message-ttl", 1), arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "middle")));
    publish_with(ch, "", "q", 0, with_priority(1), "first");
    await_message_count(ch, "middle", 1);
    publish_with(ch, "", "q", 0, with_priority(3), "second");
    d = expect_dead(ch, "second", "expired");
    ck_assert_ptr_nonnull(death_of(&d, "middle", "maxlen"));
    ck_assert_int_eq(header(&d, "x-death")->value.array.num_entries, 2);
    ck_assert(field_is_string(header(&d, "x-first-death-queue"), "q"));
    expect_get(ch, "middle", "first", NO_ACK);
}
END_TEST

/* A single active consumer with a window of one: priorities decide between its deliveries, and the
 * next consumer goes on with what came back. */
START_TEST(one_consumer_at_a_time_gets_priorities_and_limits)
{
    struct channel *ch;
    struct channel *other;
    struct delivery d;

    SKIP_WITH_ORACLE("its priority queues have no delivery limit");
    ch = given_queues(ARGS(arg_string("x-queue-type", types[_i]), arg_int("x-max-priority", 3),
                           arg_bool("x-single-active-consumer", true),
                           arg_int("x-delivery-limit", 1), DEAD_LETTERED));
    other = open_channel(ch->client);
    publish_with(ch, "", "q", 0, with_priority(1), "low");
    publish_with(ch, "", "q", 0, with_priority(2), "high");
    await_confirms(ch);
    qos(other, 1, 0);
    consume(other, "q", "active", 0, NO_ARGS);
    expect_delivery(other, "high", 0);
    qos(ch, 1, 0);
    consume(ch, "q", "next", 0, NO_ARGS);
    close_channel(other);
    d = expect_delivery(ch, "high", REDELIVERED);
    ck_assert(field_is_int(header(&d, "x-delivery-count"), 1));
    reject(ch, d.tag, REQUEUE);
    d = expect_delivery(ch, "low", 0);
    ack(ch, d.tag, 0);
    cancel(ch, "next");
    expect_dead(ch, "high", "delivery_limit");
}
END_TEST

/* A time for all and shorter ones for some, by priority: each ends in its own time. */
START_TEST(times_run_in_every_priority)
{
    struct channel *ch;
    int64_t begin;

    SKIP_WITH_ORACLE("it looks at the first message of a priority only");
    ch = given_queues(ARGS(arg_int("x-max-priority", 3), arg_int("x-message-ttl", 400),
                           arg_int("x-max-length-bytes", 100), DEAD_LETTERED));
    begin = now_ms();
    publish_with(ch, "", "q", 0, with_priority(3), "3");
    publish_with(ch, "", "q", 0, with_expiration(3, "300"), "3 sooner");
    publish_with(ch, "", "q", 0, with_expiration(0, "100"), "0");
    publish_with(ch, "", "q", 0, with_expiration(1, "200"), "1");
    await_confirms(ch);
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    expect_delivery(ch, "0", 0);
    expect_delivery(ch, "1", 0);
    expect_delivery(ch, "3 sooner", 0);
    expect_delivery(ch, "3", 0);
    ck_assert_int_ge(now_ms() - begin, 400);
}
END_TEST

/* ---- A channel that ends with several consumers of a queue ---- */

enum end { END_OF_CHANNEL, END_OF_CONNECTION, END_BY_ERROR, ENDS };

static void raw_qos_of_one(struct raw *r, unsigned channel)
{
    struct raw_bytes b = {.size = 0};

    put_u32(&b, 0);
    put_u16(&b, 1);
    put_u8(&b, 0);
    raw_send_method(r, channel, AMQP_BASIC_QOS_METHOD, &b);
    raw_expect_method(r, channel, AMQP_BASIC_QOS_OK_METHOD);
}

static void raw_consume(struct raw *r, unsigned channel, const char *tag)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, "q");
    put_short_string(&b, tag);
    put_u8(&b, 0);
    put_u32(&b, 0);
    raw_send_method(r, channel, AMQP_BASIC_CONSUME_METHOD, &b);
    raw_expect_method(r, channel, AMQP_BASIC_CONSUME_OK_METHOD);
}

static void raw_expect_delivery(struct raw *r, unsigned channel)
{
    raw_expect_method(r, channel, AMQP_BASIC_DELIVER_METHOD);
    ck_assert_uint_eq(raw_read_frame(r).type, AMQP_FRAME_HEADER);
    ck_assert_uint_eq(raw_read_frame(r).type, AMQP_FRAME_BODY);
}

static void put_frame(struct raw_bytes *out, unsigned channel, amqp_method_number_t method,
                      const struct raw_bytes *arguments)
{
    put_u8(out, AMQP_FRAME_METHOD);
    put_u16(out, channel);
    put_u32(out, (uint32_t)(4 + arguments->size));
    put_u32(out, method);
    put_bytes(out, arguments->data, arguments->size);
    put_u8(out, AMQP_FRAME_END);
}

static void put_close(struct raw_bytes *out, unsigned channel, amqp_method_number_t method)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 200);
    put_short_string(&b, "bye");
    put_u16(&b, 0);
    put_u16(&b, 0);
    put_frame(out, channel, method, &b);
}

static void put_ack(struct raw_bytes *out, unsigned channel, uint64_t tag)
{
    struct raw_bytes b = {.size = 0};

    put_u64(&b, tag);
    put_u8(&b, 0);
    put_frame(out, channel, AMQP_BASIC_ACK_METHOD, &b);
}

/* In one go: an ack that has the second consumer take one more, and the end. */
static void ack_and_end(struct raw *r, unsigned channel, uint64_t tag, enum end end)
{
    struct raw_bytes out = {.size = 0};

    put_ack(&out, channel, tag);
    if (end == END_OF_CHANNEL)
        put_close(&out, channel, AMQP_CHANNEL_CLOSE_METHOD);
    else if (end == END_OF_CONNECTION)
        put_close(&out, 0, AMQP_CONNECTION_CLOSE_METHOD);
    else
        put_ack(&out, 7, 1);
    raw_send(r, out.data, out.size);
    if (end == END_OF_CHANNEL)
        raw_expect_method(r, channel, AMQP_CHANNEL_CLOSE_OK_METHOD);
    else if (end == END_OF_CONNECTION)
        raw_expect_method(r, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
    else
        raw_expect_connection_error(r, 504, "CHANNEL_ERROR - expected 'channel.open'",
                                    AMQP_BASIC_ACK_METHOD);
    raw_close(r);
}

/* What the first consumer gives back makes room for what the second one could take: it ends as
 * well, and gets nothing of it. */
START_TEST(consumers_that_end_together_get_nothing_more)
{
    unsigned second_channel = _i == END_OF_CONNECTION ? 2 : 1;
    struct channel *ch;
    struct raw *r;
    struct delivery d;

    SKIP_WITH_ORACLE("its queue delivers before the channel ends");
    ch = given_queues(
        ARGS(arg_int("x-max-length", 10), arg_int("x-delivery-limit", 5), DEAD_LETTERED));
    for (int round = 0; round < 5; round++) {
        publish(ch, "q", "1");
        publish(ch, "q", "2");
        publish(ch, "q", "3");
        await_confirms(ch);
        r = raw_connect(test_broker());
        raw_handshake(r);
        raw_open_channel(r, 1);
        if (second_channel != 1)
            raw_open_channel(r, second_channel);
        raw_qos_of_one(r, 1);
        raw_qos_of_one(r, second_channel);
        raw_consume(r, 1, "a");
        raw_expect_delivery(r, 1);
        raw_consume(r, second_channel, "b");
        raw_expect_delivery(r, second_channel);
        ack_and_end(r, second_channel, second_channel == 1 ? 2 : 1, (enum end)_i);

        await_message_count(ch, "q", 2);
        d = expect_get(ch, "q", "1", NO_ACK | REDELIVERED);
        ck_assert(field_is_int(header(&d, "x-delivery-count"), 1));
        d = expect_get(ch, "q", "3", NO_ACK);
        ck_assert(field_is_int(header(&d, "x-delivery-count"), 0));
    }
}
END_TEST

/* Each message that a consumer holds would end when it comes back, in its own way. */
START_TEST(nothing_dies_in_a_queue_that_is_deleted)
{
    const amqp_table_t rules[] = {
        ARGS(arg_int("x-delivery-limit", 0), DEAD_LETTERED),
        ARGS(arg_int("x-message-ttl", 50), DEAD_LETTERED),
        ARGS(arg_int("x-max-length", 1), DEAD_LETTERED),
        ARGS(arg_int("x-max-length", 1), arg_int("x-delivery-limit", 0)),
    };
    struct channel *ch;
    struct channel *other;

    SKIP_WITH_ORACLE("it has delivery limits for quorum queues alone");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        ch = given_queues(rules[i]);
        other = connect_channel();
        qos(ch, 3, 0);
        consume(ch, "q", "holder", 0, NO_ARGS);
        for (int n = 0; n < 3; n++) {
            publish_with(other, "", "q", 0,
                         PROPS(AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2), "held");
            expect_delivery(ch, "held", 0);
        }
        ck_assert(!something_comes(ch, 100)); /* their time is over */
        delete_queue(other, "q", 0);
        expect_cancel(ch, "holder");
        expect_get_empty(ch, "dead");
        close_client(ch->client);
        close_client(other->client);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("combinations");
    TCase *tcase = wire_tcase(suite, "combinations");

    tcase_add_loop_test(tcase, all_rules_in_one_queue, 0, TYPES);
    tcase_add_test(tcase, length_drops_by_priority);
    tcase_add_loop_test(tcase, what_expires_makes_room, 0, TYPES);
    tcase_add_loop_test(tcase, limit_counts_before_time, 0, TYPES);
    tcase_add_loop_test(tcase, retry_by_two_queues_keeps_count, 0, TYPES);
    tcase_add_test(tcase, dead_letters_obey_the_rules_where_they_go);
    tcase_add_loop_test(tcase, one_consumer_at_a_time_gets_priorities_and_limits, 0, TYPES);
    tcase_add_test(tcase, times_run_in_every_priority);
    tcase_add_test(tcase, nothing_dies_in_a_queue_that_is_deleted);
    tcase_add_loop_test(tcase, consumers_that_end_together_get_nothing_more, 0, ENDS);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
