/* Publisher confirms, transactions and the modes' exclusion of each other. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"
#include "tests/wire/raw.h"

START_TEST(confirms_count_from_one_since_select)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "before");
    confirm_select(ch);
    publish(ch, "q", "a");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
    publish(ch, "q", "b");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 2);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(each_message_of_a_burst_is_confirmed_once)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    declare_queue(other, "r", 0, NO_ARGS);
    confirm_select(ch);
    for (int i = 0; i < 5000; i++)
        publish(ch, i % 3 == 0 ? "r" : "q", "x");
    await_confirms(ch);
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "q") + message_count(ch, "r"), 5000);
}
END_TEST

/* A publish as it goes over the wire: method, header and body. */
static size_t put_publish(uint8_t *out, const char *queue)
{
    struct raw_bytes b = {.size = 0};
    size_t queue_size = strlen(queue);

    put_u8(&b, 1); /* a method frame on channel 1 */
    put_u16(&b, 1);
    put_u32(&b, (uint32_t)(4 + 2 + 1 + 1 + queue_size + 1));
    put_u32(&b, AMQP_BASIC_PUBLISH_METHOD);
    put_u16(&b, 0);
    put_short_string(&b, "");
    put_short_string(&b, queue);
    put_u8(&b, 0);
    put_u8(&b, 0xce);
    put_u8(&b, 2); /* its header */
    put_u16(&b, 1);
    put_u32(&b, 14);
    put_u32(&b, 60 << 16);
    put_u64(&b, 1);
    put_u16(&b, 0);
    put_u8(&b, 0xce);
    put_u8(&b, 3); /* its body */
    put_u16(&b, 1);
    put_u32(&b, 1);
    put_u8(&b, 'x');
    put_u8(&b, 0xce);
    memcpy(out, b.data, b.size);
    return b.size;
}

/* Sent in one write, so that how busy the machine is has no say in how much is read at a time. */
START_TEST(burst_is_confirmed_with_few_frames)
{
    enum { PUBLISHES = 1000, ROOM = 100 };
    static uint8_t burst[PUBLISHES * ROOM];
    struct raw_bytes b = {.size = 0};
    struct channel *ch = connect_channel();
    struct raw *r = raw_connect(test_broker());
    size_t size = 0;
    uint64_t last = 0;
    int frames = 0;

    SKIP_WITH_ORACLE("it coalesces by its own timing");
    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    put_u8(&b, 0);
    raw_send_method(r, 1, AMQP_CONFIRM_SELECT_METHOD, &b);
    raw_expect_method(r, 1, AMQP_CONFIRM_SELECT_OK_METHOD);
    for (int i = 0; i < PUBLISHES; i++)
        size += put_publish(burst + size, "q");
    raw_send(r, burst, size);
    while (last < PUBLISHES) {
        struct raw_frame f = raw_expect_method(r, 1, AMQP_BASIC_ACK_METHOD);
        uint64_t tag = 0;

        for (int i = 0; i < 8; i++)
            tag = tag << 8 | f.payload[i];
        ck_assert_uint_gt(tag, last);
        ck_assert(f.payload[8] == 1 || tag == last + 1);
        last = tag;
        frames++;
    }
    ck_assert_uint_eq(last, PUBLISHES);
    ck_assert_int_lt(frames, PUBLISHES / 10);
    raw_close(r);
}
END_TEST

START_TEST(confirm_select_again_is_fine)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    send_confirm_select(ch, 0);
    expect_reply(ch, AMQP_CONFIRM_SELECT_OK_METHOD);
    publish(ch, "q", "a");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
    send_confirm_select(ch, 0);
    expect_reply(ch, AMQP_CONFIRM_SELECT_OK_METHOD);
    publish(ch, "q", "b");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 2);
}
END_TEST

START_TEST(confirm_select_without_answer)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    send_confirm_select(ch, NO_WAIT);
    publish(ch, "q", "a");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
}
END_TEST

START_TEST(confirmed_message_is_in_its_queue)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    for (int i = 0; i < 10; i++) {
        struct channel *other = connect_channel();

        declare_queue(other, "q", 0, NO_ARGS);
        publish(ch, "q", "a");
        await_confirms(ch);
        expect_get(other, "q", "a", NO_ACK);
        delete_queue(other, "q", 0);
        close_client(other->client);
    }
}
END_TEST

START_TEST(message_to_a_deleted_queue_is_confirmed)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    confirm_select(ch);
    declare_queue(other, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    delete_queue(other, "q", 0);
    publish(ch, "q", "b");
    await_confirms(ch);
}
END_TEST

START_TEST(commit_makes_publishes_visible)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    declare_queue(other, "r", 0, NO_ARGS);
    tx_select(ch);
    publish(ch, "q", "a");
    publish(ch, "r", "b");
    publish(ch, "q", "c");
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(other, "q"), 0);
    tx_commit(ch);
    ck_assert_uint_eq(message_count(other, "q"), 2);
    ck_assert_uint_eq(message_count(other, "r"), 1);
    expect_get(other, "q", "a", NO_ACK);
    expect_get(other, "r", "b", NO_ACK);
    expect_get(other, "q", "c", NO_ACK);
}
END_TEST

START_TEST(rollback_forgets_publishes)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    tx_select(ch);
    publish(ch, "q", "a");
    tx_rollback(ch);
    publish(ch, "q", "b");
    tx_commit(ch);
    expect_get(ch, "q", "b", 0);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(acks_count_at_commit)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    await_message_count(ch, "q", 2);
    tx_select(ch);
    expect_get(ch, "q", "a", 0);
    expect_get(ch, "q", "b", 0);
    ack(ch, 1, 0);
    tx_commit(ch);
    ack(ch, 2, 0);
    drop_client(ch->client); /* b's ack was never committed */
    await_message_count(other, "q", 1);
    expect_get(other, "q", "b", REDELIVERED);
}
END_TEST

START_TEST(rollback_of_an_ack_leaves_it_unacked)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    await_message_count(ch, "q", 1);
    tx_select(ch);
    expect_get(ch, "q", "a", 0);
    ack(ch, 1, 0);
    tx_rollback(ch);
    expect_get_empty(ch, "q"); /* unacked, not requeued */
    ack(ch, 1, 0);             /* so it can be acked again */
    tx_commit(ch);
    recover(ch, REQUEUE);
    tx_commit(ch);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(rejects_count_at_commit)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    await_message_count(ch, "q", 1);
    tx_select(ch);
    expect_get(ch, "q", "a", 0);
    reject(ch, 1, REQUEUE);
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    tx_commit(ch);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "a", REDELIVERED);
}
END_TEST

START_TEST(recover_leaves_what_the_transaction_settles)
{
    static const char *const bodies[] = {"a", "b", "c", "d"};
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    for (int i = 0; i < 4; i++)
        publish(ch, "q", bodies[i]);
    await_message_count(ch, "q", 4);
    tx_select(ch);
    for (int i = 0; i < 4; i++)
        expect_get(ch, "q", bodies[i], 0);
    ack(ch, 1, 0);
    reject(ch, 3, 0);
    recover(ch, REQUEUE);
    expect_get(ch, "q", "b", NO_ACK | REDELIVERED);
    expect_get(ch, "q", "d", NO_ACK | REDELIVERED);
    expect_get_empty(ch, "q");
    tx_commit(ch);
    recover(ch, REQUEUE);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(rolled_back_settlements_are_recovered)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    await_message_count(ch, "q", 1);
    tx_select(ch);
    expect_get(ch, "q", "a", 0);
    ack(ch, 1, 0);
    recover(ch, REQUEUE);
    expect_get_empty(ch, "q");
    tx_rollback(ch);
    recover(ch, REQUEUE);
    expect_get(ch, "q", "a", NO_ACK | REDELIVERED);
}
END_TEST

START_TEST(returns_come_with_the_commit)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    tx_select(ch);
    publish_with(ch, "", "none", MANDATORY, NULL, "a");
    send_tx_commit(ch);
    expect_return(ch, "a");
    expect_method(ch, AMQP_TX_COMMIT_OK_METHOD);
}
END_TEST

START_TEST(empty_commits_are_fine)
{
    struct channel *ch = connect_channel();

    tx_select(ch);
    tx_select(ch);
    tx_commit(ch);
    tx_rollback(ch);
    tx_commit(ch);
}
END_TEST

START_TEST(closed_transaction_is_rolled_back)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    tx_select(ch);
    publish(ch, "q", "a");
    close_channel(ch);
    expect_nothing(other, "q");
    ck_assert_uint_eq(message_count(other, "q"), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("confirms");
    TCase *tcase = wire_tcase(suite, "confirms");

    tcase_add_test(tcase, confirms_count_from_one_since_select);
    tcase_add_test(tcase, each_message_of_a_burst_is_confirmed_once);
    tcase_add_test(tcase, burst_is_confirmed_with_few_frames);
    tcase_add_test(tcase, confirm_select_again_is_fine);
    tcase_add_test(tcase, confirm_select_without_answer);
    tcase_add_test(tcase, confirmed_message_is_in_its_queue);
    tcase_add_test(tcase, message_to_a_deleted_queue_is_confirmed);
    tcase = wire_tcase(suite, "transactions");
    tcase_add_test(tcase, commit_makes_publishes_visible);
    tcase_add_test(tcase, rollback_forgets_publishes);
    tcase_add_test(tcase, acks_count_at_commit);
    tcase_add_test(tcase, rollback_of_an_ack_leaves_it_unacked);
    tcase_add_test(tcase, rejects_count_at_commit);
    tcase_add_test(tcase, recover_leaves_what_the_transaction_settles);
    tcase_add_test(tcase, rolled_back_settlements_are_recovered);
    tcase_add_test(tcase, returns_come_with_the_commit);
    tcase_add_test(tcase, empty_commits_are_fine);
    tcase_add_test(tcase, closed_transaction_is_rolled_back);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
