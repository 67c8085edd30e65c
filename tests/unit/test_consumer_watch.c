/* How long deliveries may stay unacked: the visibility timeout and the consumer timeout. */
#include "tests/unit/queue_helpers.h"

#include "broker/queue_internal.h"
#include "tests/unit/unit.h"

enum { HOUR_MS = 3600000 };

static struct queue_fixture f;
static struct queue_rules rules;

static void given_queue_with(int64_t visibility_timeout_ms)
{
    f = (struct queue_fixture){.body_size = 8};
    list_init(&f.active);
    effects_init(&f.effects);
    rules = (struct queue_rules)QUEUE_RULES_NONE;
    rules.visibility_timeout_ms = visibility_timeout_ms;
    f.options.rules = &rules;
    f.queue = queue_create(&f.options, &f, &f.active);
}

static struct consumer *consume_with(const struct consumer_options *options)
{
    return queue_consume(f.queue, options, NULL);
}

static void deliver_at(int64_t now_ms)
{
    queue_deliver(f.queue, UINT32_MAX, now_ms, &f.effects);
}

/* The effect that comes next of this type; others may come before it. */
static const struct effect *next_of(enum effect_type type)
{
    while (f.next_effect < f.effects.count) {
        const struct effect *e = &f.effects.items[f.next_effect++];

        if (e->type == type)
            return e;
    }
    ck_abort_msg("no effect of type %d", (int)type);
    return NULL;
}

static void expect_timer(const struct consumer *c, int64_t due_ms)
{
    const struct effect *e = next_of(EFFECT_CONSUMER_TIMER);

    ck_assert_ptr_eq(e->consumer, c);
    ck_assert_int_eq(e->due_ms, due_ms);
}

static void expect_taken_back(const struct consumer *c, uint64_t first, uint64_t last)
{
    const struct effect *e = next_of(EFFECT_TAKEN_BACK);

    ck_assert_ptr_eq(e->consumer, c);
    ck_assert_uint_eq(e->number, first);
    ck_assert_uint_eq(e->sequence, last);
}

static uint32_t count_effects(enum effect_type type)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < f.effects.count; i++)
        count += f.effects.items[i].type == type;
    return count;
}

static void expect_counts(uint64_t expired, uint64_t extended, uint64_t late)
{
    struct queue_lease_counts counts = queue_lease_counts(f.queue);

    ck_assert_uint_eq(counts.expired, expired);
    ck_assert_uint_eq(counts.extended, extended);
    ck_assert_uint_eq(counts.late, late);
}

START_TEST(delivery_without_a_timeout_costs_nothing)
{
    struct consumer *c;

    queue_start(&f);
    publish_plain(&f, 10);
    c = consume_all(&f);
    deliver_at(0);
    ck_assert_ptr_null(c->watch);
    ck_assert_ptr_null(c->unacked.deadlines);
    ck_assert_ptr_null(f.queue->extra);
    ck_assert_uint_eq(count_effects(EFFECT_CONSUMER_TIMER), 0);
    queue_finish(&f);
}
END_TEST

START_TEST(delivery_goes_back_when_its_time_is_up)
{
    struct consumer *c;

    given_queue_with(100);
    publish_plain(&f, 3);
    c = consume_with(&(struct consumer_options){.prefetch = 2});
    deliver_at(1000);
    expect_timer(c, 1100);
    forget_effects(&f);

    consumer_on_time(c, 1099, 10, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 1);
    expect_timer(c, 1100);
    consumer_on_time(c, 1100, 10, &f.effects);
    expect_taken_back(c, 1, 2);
    expect_counts(2, 0, 0);
    ck_assert_uint_eq(queue_message_count(f.queue), 3);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 0);
    forget_effects(&f);

    /* With its credit, and told that they come again. */
    deliver_at(1101);
    ck_assert_uint_eq(f.effects.items[0].number, 3);
    ck_assert(f.effects.items[0].redelivered);
    ck_assert_uint_eq(f.effects.items[0].delivery_count, 1);
    queue_finish(&f);
}
END_TEST

START_TEST(settled_delivery_does_not_go_back)
{
    struct consumer *c;

    given_queue_with(100);
    publish_plain(&f, 3);
    c = consume_all(&f);
    deliver_at(0);
    ck_assert_uint_eq(consumer_settle(c, 1, 2, SETTLE_ACK, 99, &f.effects), 2);
    consumer_on_time(c, 100, 10, &f.effects);
    expect_taken_back(c, 3, 3);
    ck_assert_uint_eq(consumer_settle(c, 3, 3, SETTLE_ACK, 101, &f.effects), 0);
    ck_assert_uint_eq(queue_message_count(f.queue), 1);
    expect_counts(1, 0, 0);
    queue_count_late(f.queue, 1);
    expect_counts(1, 0, 1);
    queue_finish(&f);
}
END_TEST

START_TEST(time_of_the_consumer_counts_before_that_of_the_queue)
{
    struct consumer *slow;
    struct consumer *quick;

    given_queue_with(100);
    publish_plain(&f, 2);
    slow = consume_with(&(struct consumer_options){.prefetch = 1, .visibility_timeout_ms = 500});
    quick = consume_with(&(struct consumer_options){.prefetch = 1, .visibility_timeout_ms = 50});
    deliver_at(0);
    expect_timer(slow, 500);
    expect_timer(quick, 50);
    queue_finish(&f);
}
END_TEST

START_TEST(consumer_may_have_a_timeout_where_the_queue_has_none)
{
    struct consumer *c;

    queue_start(&f);
    publish_plain(&f, 1);
    c = consume_with(&(struct consumer_options){.visibility_timeout_ms = 50});
    deliver_at(0);
    consumer_on_time(c, 50, 10, &f.effects);
    expect_taken_back(c, 1, 1);
    expect_counts(1, 0, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(getter_has_the_timeout_of_the_queue)
{
    struct consumer *getter;
    struct effect got;

    given_queue_with(100);
    publish_plain(&f, 1);
    getter = consume_with(&(struct consumer_options){.getter = true});
    ck_assert_int_eq(queue_get(f.queue, getter, 0, &got, &f.effects), QUEUE_GET_MESSAGE);
    expect_timer(getter, 100);
    consumer_on_time(getter, 100, 10, &f.effects);
    expect_taken_back(getter, 1, 1);
    ck_assert_uint_eq(queue_message_count(f.queue), 1);
    queue_finish(&f);
}
END_TEST

START_TEST(consumer_that_acknowledges_nothing_has_no_timeout)
{
    struct consumer *c;

    given_queue_with(100);
    publish_plain(&f, 1);
    c = consume_with(&(struct consumer_options){
        .no_ack = true, .visibility_timeout_ms = 50, .default_consumer_timeout_ms = HOUR_MS});
    deliver_at(0);
    ck_assert_ptr_null(c->watch);
    ck_assert_uint_eq(count_effects(EFFECT_CONSUMER_TIMER), 0);
    queue_finish(&f);
}
END_TEST

/* As when a policy is changed: what is delivered keeps its time. */
START_TEST(new_timeout_of_the_queue_counts_from_the_next_delivery_on)
{
    struct consumer *c;

    given_queue_with(100);
    c = consume_all(&f);
    publish_plain(&f, 1);
    deliver_at(0);
    rules.visibility_timeout_ms = 10;
    publish_plain(&f, 1);
    deliver_at(5);
    consumer_on_time(c, 15, 10, &f.effects);
    expect_taken_back(c, 2, 2);
    rules.visibility_timeout_ms = INT64_MAX;
    deliver_at(20);
    consumer_on_time(c, 100, 10, &f.effects);
    expect_taken_back(c, 1, 1);
    consumer_on_time(c, HOUR_MS, 10, &f.effects);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 1);
    queue_finish(&f);
}
END_TEST

START_TEST(expired_delivery_counts_toward_the_delivery_limit)
{
    struct consumer *c;

    given_queue_with(100);
    rules.delivery_limit = 1;
    f.options.has_dead_letter_exchange = true;
    publish_plain(&f, 1);
    c = consume_all(&f);
    deliver_at(0);
    consumer_on_time(c, 100, 10, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 1);
    deliver_at(100);
    consumer_on_time(c, 200, 10, &f.effects);
    ck_assert_int_eq(next_of(EFFECT_DEAD_LETTER)->reason, DEAD_LETTER_DELIVERY_LIMIT);
    ck_assert_uint_eq(queue_message_count(f.queue), 0);
    queue_finish(&f);
}
END_TEST

START_TEST(many_at_once_go_back_a_few_at_a_time_and_in_order)
{
    struct consumer *c;
    uint32_t calls = 0;

    given_queue_with(100);
    publish_plain(&f, 1000);
    c = consume_all(&f);
    deliver_at(0);
    do {
        forget_effects(&f);
        consumer_on_time(c, 100, 64, &f.effects);
        expect_taken_back(c, 64 * calls + 1, calls == 15 ? 1000 : 64 * (calls + 1));
        calls++;
    } while (queue_unacked_count(f.queue) != 0);
    ck_assert_uint_eq(calls, 16);
    deliver_at(101);
    for (uint64_t n = 1; n <= 1000; n++)
        ck_assert_uint_eq(next_of(EFFECT_DELIVER)->sequence, n);
    queue_finish(&f);
}
END_TEST

START_TEST(more_that_is_due_is_asked_for_at_once)
{
    struct consumer *c;

    given_queue_with(100);
    publish_plain(&f, 3);
    c = consume_all(&f);
    deliver_at(0);
    forget_effects(&f);
    consumer_on_time(c, 150, 2, &f.effects);
    expect_timer(c, 100);
    queue_finish(&f);
}
END_TEST

START_TEST(consumer_in_time_asks_once_a_timeout)
{
    struct consumer *c;
    uint32_t timers = 0;

    given_queue_with(100);
    c = consume_all(&f);
    for (uint64_t n = 1; n <= 1000; n++) {
        publish_plain(&f, 1);
        deliver_at((int64_t)n);
        consumer_settle(c, n, n, SETTLE_ACK, (int64_t)n, &f.effects);
        if (n % 100 == 0)
            consumer_on_time(c, (int64_t)n, 10, &f.effects);
        timers += count_effects(EFFECT_CONSUMER_TIMER);
        forget_effects(&f);
    }
    ck_assert_uint_le(timers, 11);
    queue_finish(&f);
}
END_TEST

START_TEST(credit_of_the_pool_comes_back)
{
    struct credit_pool *pool = credit_pool_create();
    struct consumer *c;

    atomic_store(&pool->limit, 2);
    given_queue_with(100);
    publish_plain(&f, 3);
    c = consume_with(&(struct consumer_options){.pool = pool});
    deliver_at(0);
    ck_assert_uint_eq(atomic_load(&pool->in_use), 2);
    consumer_on_time(c, 100, 10, &f.effects);
    ck_assert_uint_eq(atomic_load(&pool->in_use), 0);
    queue_finish(&f);
    credit_pool_unref(pool);
}
END_TEST

START_TEST(extended_delivery_stays_and_the_others_go)
{
    struct consumer *c;

    given_queue_with(100);
    publish_plain(&f, 3);
    c = consume_all(&f);
    deliver_at(0);
    ck_assert_uint_eq(consumer_extend(c, 2, 2, 500, 50, &f.effects), 1);
    consumer_on_time(c, 100, 10, &f.effects);
    expect_taken_back(c, 1, 1);
    expect_taken_back(c, 3, 3);
    ck_assert_uint_eq(consumer_extend(c, 1, 1, 500, 101, &f.effects), 0);
    consumer_on_time(c, 549, 10, &f.effects);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 1);
    consumer_on_time(c, 550, 10, &f.effects);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 0);
    expect_counts(3, 1, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(shortened_delivery_goes_earlier)
{
    struct consumer *c;

    given_queue_with(HOUR_MS);
    publish_plain(&f, 2);
    c = consume_all(&f);
    deliver_at(0);
    forget_effects(&f);
    consumer_extend(c, 2, 2, 10, 0, &f.effects);
    expect_timer(c, 10);
    consumer_on_time(c, 10, 10, &f.effects);
    expect_taken_back(c, 2, 2);
    queue_finish(&f);
}
END_TEST

START_TEST(released_delivery_goes_at_once)
{
    struct consumer *c;

    given_queue_with(HOUR_MS);
    publish_plain(&f, 5);
    c = consume_all(&f);
    deliver_at(0);
    consumer_settle(c, 3, 3, SETTLE_ACK, 0, &f.effects);
    ck_assert_uint_eq(consumer_extend(c, 2, 4, 0, 0, &f.effects), 2);
    expect_taken_back(c, 2, 2);
    expect_taken_back(c, 4, 4);
    ck_assert_uint_eq(queue_message_count(f.queue), 2);
    ck_assert_uint_eq(consumer_extend(c, 0, UINT64_MAX, 0, 0, &f.effects), 2);
    ck_assert_uint_eq(consumer_extend(c, 0, UINT64_MAX, 0, 0, &f.effects), 0);
    expect_counts(0, 4, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(delivery_without_a_timeout_is_held_and_gets_none)
{
    struct consumer *c;

    queue_start(&f);
    publish_plain(&f, 2);
    c = consume_all(&f);
    deliver_at(0);
    ck_assert_uint_eq(consumer_extend(c, 0, UINT64_MAX, 10, 0, &f.effects), 2);
    consumer_on_time(c, HOUR_MS, 10, &f.effects);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 2);
    queue_finish(&f);
}
END_TEST

/* ---- The consumer timeout ---- */

static void expect_overdue(struct consumer *c, int64_t now_ms, int64_t timeout_ms)
{
    struct consumer_overdue overdue = consumer_on_time(c, now_ms, 10, &f.effects);

    ck_assert_uint_ne(overdue.up_to, 0);
    ck_assert_int_eq(overdue.timeout_ms, timeout_ms);
}

static void expect_in_time(struct consumer *c, int64_t now_ms)
{
    ck_assert_uint_eq(consumer_on_time(c, now_ms, 10, &f.effects).up_to, 0);
}

START_TEST(oldest_delivery_is_overdue_after_the_timeout)
{
    struct consumer *c;

    queue_start(&f);
    publish_plain(&f, 1);
    c = consume_with(&(struct consumer_options){.default_consumer_timeout_ms = 3200});
    deliver_at(1000);
    expect_timer(c, 4300);
    expect_in_time(c, 4200);
    expect_overdue(c, 4300, 3200);
    /* Told once, and again when it is still there after as long. */
    forget_effects(&f);
    expect_in_time(c, 4301);
    expect_overdue(c, 7501, 3200);
    queue_finish(&f);
}
END_TEST

START_TEST(what_was_settled_in_time_is_not_overdue)
{
    struct consumer *c;

    queue_start(&f);
    c = consume_with(&(struct consumer_options){.default_consumer_timeout_ms = 3200});
    publish_plain(&f, 1);
    deliver_at(0);
    consumer_settle(c, 1, 1, SETTLE_ACK, 10, &f.effects);
    expect_in_time(c, 3300);
    publish_plain(&f, 1);
    forget_effects(&f);
    deliver_at(4000);
    expect_timer(c, 7300);
    expect_in_time(c, 7200);
    expect_overdue(c, 7300, 3200);
    queue_finish(&f);
}
END_TEST

START_TEST(only_what_waited_so_long_is_overdue)
{
    struct consumer *c;
    struct consumer_overdue overdue;

    queue_start(&f);
    c = consume_with(&(struct consumer_options){.default_consumer_timeout_ms = 3200});
    for (int64_t now_ms = 0; now_ms < 3000; now_ms += 500) {
        publish_plain(&f, 1);
        deliver_at(now_ms);
    }
    overdue = consumer_on_time(c, 4300, 10, &f.effects);
    ck_assert_uint_eq(overdue.up_to, 3);
    queue_finish(&f);
}
END_TEST

START_TEST(own_timeout_counts_before_the_queues_and_that_before_the_default)
{
    const struct consumer_options plain = {.default_consumer_timeout_ms = 9600};
    const struct consumer_options own = {.consumer_timeout_ms = 320,
                                         .default_consumer_timeout_ms = 9600};
    struct consumer *c;

    given_queue_with(INT64_MAX);
    publish_plain(&f, 1);
    c = consume_with(&plain);
    deliver_at(0);
    expect_in_time(c, 3300);
    /* As when a policy is changed. */
    rules.consumer_timeout_ms = 3200;
    expect_overdue(c, 3600, 3200);
    consumer_release(c, 3600, &f.effects);

    c = consume_with(&own);
    deliver_at(10000);
    expect_overdue(c, 10330, 320);
    queue_finish(&f);
}
END_TEST

/* Whether the consumer had marks of a longer timeout or not. */
START_TEST(shorter_timeout_of_the_queue_counts_at_once)
{
    struct queue_rules shorter = {.max_length = 0};
    struct queue_options options = {.durable = false};
    struct consumer *c;

    given_queue_with(INT64_MAX);
    publish_plain(&f, 2);
    c = consume_with(
        &(struct consumer_options){.prefetch = 1, .default_consumer_timeout_ms = HOUR_MS});
    deliver_at(0);
    shorter = rules;
    shorter.consumer_timeout_ms = 320;
    options.rules = &shorter;
    forget_effects(&f);
    queue_change_options(f.queue, &options, 1000, &f.effects);
    expect_timer(c, 1320);
    consumer_settle(c, 1, 1, SETTLE_ACK, 1010, &f.effects);
    deliver_at(1100);
    expect_in_time(c, 1420);
    expect_overdue(c, 1440, 320);
    queue_finish(&f);
}
END_TEST

/* As when a policy is set: nobody knows how old they are. */
START_TEST(timeout_that_comes_later_counts_for_what_is_there)
{
    struct consumer *c;

    given_queue_with(INT64_MAX);
    publish_plain(&f, 2);
    c = consume_all(&f);
    deliver_at(0);
    rules.consumer_timeout_ms = 3200;
    queue_change_options(f.queue, &f.options, 1000, &f.effects);
    expect_timer(c, 4300);
    expect_in_time(c, 4200);
    expect_overdue(c, 4300, 3200);
    queue_finish(&f);
}
END_TEST

UNIT_MAIN("consumer_watch", delivery_without_a_timeout_costs_nothing,
          delivery_goes_back_when_its_time_is_up, settled_delivery_does_not_go_back,
          time_of_the_consumer_counts_before_that_of_the_queue,
          consumer_may_have_a_timeout_where_the_queue_has_none, getter_has_the_timeout_of_the_queue,
          consumer_that_acknowledges_nothing_has_no_timeout,
          new_timeout_of_the_queue_counts_from_the_next_delivery_on,
          expired_delivery_counts_toward_the_delivery_limit,
          many_at_once_go_back_a_few_at_a_time_and_in_order, more_that_is_due_is_asked_for_at_once,
          consumer_in_time_asks_once_a_timeout, credit_of_the_pool_comes_back,
          extended_delivery_stays_and_the_others_go, shortened_delivery_goes_earlier,
          released_delivery_goes_at_once, delivery_without_a_timeout_is_held_and_gets_none,
          oldest_delivery_is_overdue_after_the_timeout, what_was_settled_in_time_is_not_overdue,
          only_what_waited_so_long_is_overdue,
          own_timeout_counts_before_the_queues_and_that_before_the_default,
          shorter_timeout_of_the_queue_counts_at_once,
          timeout_that_comes_later_counts_for_what_is_there)
