/* What the simulation does not see: what rules cost, and what they leave behind. */
#include "tests/unit/queue_helpers.h"

#include "base/random.h"
#include "broker/queue_internal.h"
#include "tests/unit/unit.h"

static struct queue_fixture f;
static struct queue_rules rules;

static void given_rules(void)
{
    queue_start(&f);
    queue_finish(&f);
    effects_init(&f.effects);
    rules = (struct queue_rules)QUEUE_RULES_NONE;
    f.options.rules = &rules;
    f.queue = queue_create(&f.options, &f, &f.active);
}

static void publish_until(int64_t expiry_ms)
{
    struct message *m = numbered_message(&f, queue_next_sequence(f.queue, 0));

    ck_assert(queue_admit(f.queue, m, 0, &f.effects));
    ck_assert_uint_ne(
        queue_enqueue(f.queue, m, (struct store_location){0}, expiry_ms, 0, &f.effects), 0);
    message_unref(m);
}

START_TEST(queue_without_rules_has_nothing_for_them)
{
    queue_start(&f);
    publish_plain(&f, 10);
    consume_all(&f);
    deliver_some(&f, 10);
    ck_assert_ptr_null(f.queue->extra);
    queue_finish(&f);
}
END_TEST

START_TEST(what_a_message_needed_goes_with_its_time)
{
    queue_start(&f);
    publish_until(10);
    ck_assert_ptr_nonnull(f.queue->extra);
    queue_set_clock(f.queue, &f);
    queue_on_time(f.queue, 10, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 0);
    queue_set_clock(f.queue, NULL);
    ck_assert_ptr_null(f.queue->extra);
    queue_finish(&f);
}
END_TEST

START_TEST(timer_is_asked_for_only_when_it_is_earlier)
{
    given_rules();
    publish_until(100);
    publish_until(200);
    publish_until(50);
    publish_until(60);
    ck_assert_uint_eq(f.effects.count, 2);
    ck_assert_int_eq(f.effects.items[0].type, EFFECT_TIMER);
    ck_assert_int_eq(f.effects.items[0].due_ms, 100);
    ck_assert_int_eq(f.effects.items[1].due_ms, 50);
    forget_effects(&f);
    queue_on_time(f.queue, 55, &f.effects);
    ck_assert_uint_eq(f.effects.count, 1);
    ck_assert_int_eq(f.effects.items[0].due_ms, 60);
    queue_finish(&f);
}
END_TEST

START_TEST(many_messages_end_in_bounded_steps)
{
    uint32_t steps = 0;

    given_rules();
    for (uint32_t i = 0; i < 100000; i++)
        publish_until(10);
    forget_effects(&f);
    while (queue_message_count(f.queue) != 0) {
        uint64_t before = queue_message_count(f.queue);

        queue_on_time(f.queue, 10, &f.effects);
        ck_assert_uint_le(before - queue_message_count(f.queue), 2000);
        ck_assert_int_eq(f.effects.count, queue_message_count(f.queue) != 0);
        if (f.effects.count != 0)
            ck_assert_int_le(f.effects.items[0].due_ms, 10);
        forget_effects(&f);
        steps++;
    }
    ck_assert_uint_gt(steps, 10);
    queue_finish(&f);
}
END_TEST

START_TEST(overdue_messages_are_never_handed_out)
{
    struct effect got;

    given_rules();
    for (uint32_t i = 0; i < 5000; i++)
        publish_until(10);
    publish_until(20);
    ck_assert_int_eq(queue_get(f.queue, NULL, 15, &got, &f.effects), QUEUE_GET_MESSAGE);
    ck_assert_uint_eq(got.sequence, 5001);
    message_unref(got.message);
    queue_finish(&f);
}
END_TEST

START_TEST(times_of_consumed_messages_are_forgotten)
{
    struct consumer *c;

    given_rules();
    c = consume_all(&f);
    for (uint32_t i = 0; i < 100000; i++) {
        publish_until(1000000 + (int64_t)((i * UINT64_C(7919)) % 1000));
        deliver_some(&f, 1);
        consumer_settle(c, 0, UINT64_MAX, i % 3 == 0 ? SETTLE_REQUEUE : SETTLE_ACK, 0, &f.effects);
        forget_effects(&f);
        if (queue_message_count(f.queue) > 50)
            queue_purge(f.queue, NULL, NULL);
        ck_assert_uint_le(f.queue->extra->heap.count, 512);
        ck_assert_uint_le(f.queue->extra->runs.count, 512);
    }
    queue_finish(&f);
}
END_TEST

START_TEST(delivery_count_is_told_of_what_is_held)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 3);
    c = consume_all(&f);
    deliver_some(&f, 2);
    consumer_settle(c, 1, 1, SETTLE_REQUEUE, 0, &f.effects);
    ck_assert_uint_eq(queue_delivery_count(f.queue, 1), 1);
    ck_assert_uint_eq(queue_delivery_count(f.queue, 2), 0);
    ck_assert_uint_eq(queue_delivery_count(f.queue, 3), 0);
    deliver_some(&f, 1);
    consumer_settle(c, 3, 3, SETTLE_REQUEUE, 0, &f.effects);
    ck_assert_uint_eq(queue_delivery_count(f.queue, 1), 2);
    queue_finish(&f);
}
END_TEST

/* Those that were unacked when the broker ended are ready again. */
START_TEST(recovered_queue_that_is_too_long_is_shortened_in_bounded_steps)
{
    enum { COUNT = 1500 };

    given_rules();
    rules.max_length = 3;
    for (uint64_t n = 1; n <= COUNT; n++)
        restore_stored(&f, n, 1);
    queue_restore_lane_done(f.queue, 0, COUNT + 1);
    queue_restore_done(f.queue, &f.effects);
    expect_effect(&f, EFFECT_TIMER, 0);
    ck_assert_uint_eq(queue_message_count(f.queue), COUNT);
    queue_on_time(f.queue, 50, &f.effects);
    ck_assert_uint_gt(queue_message_count(f.queue), 3);
    queue_on_time(f.queue, 50, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 3);
    forget_effects(&f);
    queue_on_time(f.queue, 60, &f.effects);
    expect_no_effect(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(recovered_queue_that_rejects_what_is_too_much_keeps_what_it_has)
{
    given_rules();
    rules.max_length = 1;
    rules.overflow = OVERFLOW_REJECT_PUBLISH;
    restore_stored(&f, 1, 1);
    restore_stored(&f, 2, 0);
    queue_restore_lane_done(f.queue, 0, 3);
    queue_restore_done(f.queue, &f.effects);
    queue_on_time(f.queue, 50, &f.effects);
    expect_no_effect(&f);
    ck_assert_uint_eq(queue_message_count(f.queue), 2);
    queue_finish(&f);
}
END_TEST

UNIT_MAIN("queue_rules", queue_without_rules_has_nothing_for_them,
          what_a_message_needed_goes_with_its_time, timer_is_asked_for_only_when_it_is_earlier,
          many_messages_end_in_bounded_steps, overdue_messages_are_never_handed_out,
          times_of_consumed_messages_are_forgotten, delivery_count_is_told_of_what_is_held,
          recovered_queue_that_is_too_long_is_shortened_in_bounded_steps,
          recovered_queue_that_rejects_what_is_too_much_keeps_what_it_has)
