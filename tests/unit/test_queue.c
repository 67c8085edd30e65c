#include "broker/queue.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* A queue with its worker: an active list and a batch of effects. Bodies are short strings. */
static struct queue_options options;
static struct list active;
static struct effects effects;
static struct queue *queue;
static uint32_t next_effect; /* the first one that no expectation has seen */

/* The program is linked with --wrap, so that allocations can be counted. */
static unsigned long allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations++;
    return __real_realloc(p, size);
}

static void start(void)
{
    options = (struct queue_options){.durable = false};
    list_init(&active);
    effects_init(&effects);
    next_effect = 0;
    queue = queue_create(&options, &options, &active);
}

/* Drops what the effects own and starts a new batch. */
static void carry_out(void)
{
    for (uint32_t i = 0; i < effects.count; i++) {
        const struct effect *e = &effects.items[i];

        if (e->type == EFFECT_DEAD_LETTER || (e->type == EFFECT_DELIVER && e->number == 0))
            message_unref(e->message);
    }
    effects.count = 0;
    next_effect = 0;
}

static void finish(void)
{
    struct consumer *c;

    while ((c = queue_first_consumer(queue)) != NULL)
        consumer_release(c, 0, &effects);
    carry_out();
    queue_destroy(queue, NULL, NULL);
    ck_assert(list_empty(&active));
    effects_free(&effects);
}

static uint64_t publish(const char *body)
{
    struct message *m = message_create(bytes_of(NULL, 0), bytes_from_string("q"), bytes_of(NULL, 0),
                                       (uint32_t)strlen(body));
    uint64_t sequence;

    memcpy(message_body(m), body, strlen(body));
    sequence = queue_enqueue(queue, m, (struct store_location){0}, EXPIRY_NEVER, 0, &effects);
    message_unref(m);
    return sequence;
}

static void publish_all(const char *bodies)
{
    for (const char *b = bodies; *b != '\0'; b++)
        publish((const char[]){*b, '\0'});
}

static struct consumer *consume(uint32_t prefetch)
{
    return queue_consume(queue, &(struct consumer_options){.prefetch = prefetch}, NULL);
}

static struct consumer *consume_with_priority(int32_t priority, uint32_t prefetch)
{
    return queue_consume(
        queue, &(struct consumer_options){.priority = priority, .prefetch = prefetch}, NULL);
}

static bool deliver(uint32_t budget)
{
    return queue_deliver(queue, budget, 0, &effects);
}

static void settle(struct consumer *c, uint64_t first, uint64_t last, enum settle_outcome outcome,
                   uint32_t expected)
{
    ck_assert_uint_eq(consumer_settle(c, first, last, outcome, 0, &effects), expected);
}

enum expected_flag { FRESH, REDELIVERED };

static void expect_delivery(const struct consumer *to, const char *body, uint64_t number,
                            enum expected_flag flag)
{
    const struct effect *e = &effects.items[next_effect];

    ck_assert_msg(next_effect < effects.count, "no delivery of %s", body);
    next_effect++;
    ck_assert_int_eq(e->type, EFFECT_DELIVER);
    ck_assert_ptr_eq(e->queue, queue);
    ck_assert_msg(bytes_equal_string(message_body_bytes(e->message), body), "%.*s instead of %s",
                  BYTES_ARGS(message_body_bytes(e->message)), body);
    ck_assert_ptr_eq(e->consumer, to);
    ck_assert_uint_eq(e->number, number);
    ck_assert_int_eq(e->redelivered, flag == REDELIVERED);
    ck_assert_int_eq(e->delivery_count != 0, flag == REDELIVERED);
}

static void expect_nothing_more(void)
{
    ck_assert_uint_eq(next_effect, effects.count);
}

static void expect_counts(uint64_t ready, uint64_t unacked)
{
    ck_assert_uint_eq(queue_message_count(queue), ready);
    ck_assert_uint_eq(queue_unacked_count(queue), unacked);
}

START_TEST(messages_come_in_the_order_they_were_published)
{
    struct consumer *c;

    start();
    ck_assert_uint_eq(publish("a"), 1);
    ck_assert_uint_eq(publish("b"), 2);
    publish("c");
    c = consume(0);
    ck_assert(!deliver(10));
    expect_delivery(c, "a", 1, FRESH);
    expect_delivery(c, "b", 2, FRESH);
    expect_delivery(c, "c", 3, FRESH);
    expect_nothing_more();
    expect_counts(0, 3);
    finish();
}
END_TEST

START_TEST(queue_is_active_while_it_can_deliver_and_no_longer)
{
    struct consumer *c;

    start();
    publish("a");
    ck_assert(list_empty(&active));
    c = consume(1);
    ck_assert_ptr_eq(queue_from_active(list_first(&active)), queue);
    ck_assert_ptr_eq(queue_owner(queue), &options);
    publish("b");
    ck_assert(!deliver(10));
    ck_assert(list_empty(&active));
    settle(c, 1, 1, SETTLE_ACK, 1);
    ck_assert(!list_empty(&active));
    consumer_pause(c);
    ck_assert(list_empty(&active));
    consumer_resume(c);
    ck_assert(!list_empty(&active));
    ck_assert_uint_eq(queue_purge(queue, NULL, NULL), 1);
    ck_assert(list_empty(&active));
    finish();
}
END_TEST

START_TEST(budget_bounds_a_turn_and_says_that_there_is_more)
{
    struct consumer *c;

    start();
    c = consume(0);
    publish_all("abc");
    ck_assert(deliver(2));
    expect_delivery(c, "a", 1, FRESH);
    expect_delivery(c, "b", 2, FRESH);
    expect_nothing_more();
    ck_assert(!list_empty(&active));
    ck_assert(!deliver(2));
    expect_delivery(c, "c", 3, FRESH);
    finish();
}
END_TEST

START_TEST(consumers_take_turns_in_the_order_they_came)
{
    struct consumer *first, *second, *third;

    start();
    first = consume(0);
    second = consume(0);
    third = consume(0);
    publish_all("abcde");
    deliver(10);
    expect_delivery(first, "a", 1, FRESH);
    expect_delivery(second, "b", 1, FRESH);
    expect_delivery(third, "c", 1, FRESH);
    expect_delivery(first, "d", 2, FRESH);
    expect_delivery(second, "e", 2, FRESH);
    expect_nothing_more();
    finish();
}
END_TEST

START_TEST(turns_go_on_from_one_batch_to_the_next)
{
    struct consumer *first, *second;

    start();
    first = consume(0);
    second = consume(0);
    publish("a");
    deliver(10);
    publish("b");
    deliver(10);
    publish("c");
    deliver(10);
    expect_delivery(first, "a", 1, FRESH);
    expect_delivery(second, "b", 1, FRESH);
    expect_delivery(first, "c", 2, FRESH);
    finish();
}
END_TEST

START_TEST(consumer_without_credit_is_passed_over)
{
    struct consumer *first, *second;

    start();
    first = consume(1);
    second = consume(0);
    publish_all("abc");
    deliver(10);
    expect_delivery(first, "a", 1, FRESH);
    expect_delivery(second, "b", 1, FRESH);
    expect_delivery(second, "c", 2, FRESH);
    settle(first, 1, 1, SETTLE_ACK, 1);
    publish_all("de");
    deliver(10);
    expect_delivery(second, "d", 3, FRESH);
    expect_delivery(first, "e", 2, FRESH);
    finish();
}
END_TEST

START_TEST(higher_priority_comes_first_while_it_has_credit)
{
    struct consumer *low, *high, *middle;

    start();
    low = consume_with_priority(-5, 0);
    high = consume_with_priority(10, 2);
    middle = consume_with_priority(0, 1);
    publish_all("abcde");
    deliver(10);
    expect_delivery(high, "a", 1, FRESH);
    expect_delivery(high, "b", 2, FRESH);
    expect_delivery(middle, "c", 1, FRESH);
    expect_delivery(low, "d", 1, FRESH);
    expect_delivery(low, "e", 2, FRESH);
    settle(high, 1, 2, SETTLE_ACK, 2);
    publish("f");
    deliver(10);
    expect_delivery(high, "f", 3, FRESH);
    finish();
}
END_TEST

START_TEST(equals_take_turns_within_their_priority)
{
    struct consumer *one, *two;

    start();
    one = consume_with_priority(7, 0);
    consume_with_priority(3, 0);
    two = consume_with_priority(7, 0);
    publish_all("abc");
    deliver(10);
    expect_delivery(one, "a", 1, FRESH);
    expect_delivery(two, "b", 1, FRESH);
    expect_delivery(one, "c", 2, FRESH);
    finish();
}
END_TEST

START_TEST(prefetch_bounds_the_unacked)
{
    struct consumer *c;

    start();
    c = consume(2);
    publish_all("abcd");
    ck_assert(!deliver(10));
    expect_delivery(c, "a", 1, FRESH);
    expect_delivery(c, "b", 2, FRESH);
    expect_nothing_more();
    settle(c, 2, 2, SETTLE_ACK, 1);
    deliver(10);
    expect_delivery(c, "c", 3, FRESH);
    expect_nothing_more();
    expect_counts(1, 2);
    finish();
}
END_TEST

START_TEST(no_ack_knows_no_prefetch_and_leaves_nothing_unacked)
{
    struct consumer *c;

    start();
    c = queue_consume(queue, &(struct consumer_options){.no_ack = true, .prefetch = 1}, NULL);
    ck_assert(consumer_no_ack(c));
    publish_all("abc");
    deliver(10);
    expect_delivery(c, "a", 0, FRESH);
    expect_delivery(c, "b", 0, FRESH);
    expect_delivery(c, "c", 0, FRESH);
    expect_counts(0, 0);
    finish();
}
END_TEST

START_TEST(requeued_message_returns_to_its_place)
{
    struct consumer *c;

    start();
    c = consume(0);
    publish_all("abcd");
    deliver(3);
    settle(c, 2, 2, SETTLE_REQUEUE, 1);
    expect_counts(2, 2);
    next_effect = effects.count;
    deliver(10);
    expect_delivery(c, "b", 4, REDELIVERED);
    expect_delivery(c, "d", 5, FRESH);
    finish();
}
END_TEST

START_TEST(requeued_messages_keep_their_order_whoever_had_them)
{
    struct consumer *one, *two, *third;

    start();
    one = consume(3);
    two = consume(3);
    publish_all("abcdefg");
    deliver(10);
    next_effect = effects.count;
    consumer_cancel(one, 0, &effects);
    consumer_cancel(two, 0, &effects);
    settle(two, 1, 3, SETTLE_REQUEUE, 3);
    settle(one, 3, 3, SETTLE_REQUEUE, 1);
    settle(one, 1, 1, SETTLE_REQUEUE, 1);
    settle(one, 2, 2, SETTLE_REQUEUE, 1);
    third = consume(0);
    deliver(10);
    for (uint64_t i = 0; i < 6; i++)
        expect_delivery(third, (const char[]){(char)('a' + i), '\0'}, i + 1, REDELIVERED);
    expect_delivery(third, "g", 7, FRESH);
    expect_nothing_more();
    finish();
}
END_TEST

START_TEST(delivery_count_tells_how_often_it_was_out_before)
{
    struct consumer *c;

    start();
    c = consume(1);
    publish("a");
    for (uint32_t i = 0; i < 4; i++) {
        deliver(1);
        ck_assert_uint_eq(effects.items[i].delivery_count, i);
        settle(c, i + 1, i + 1, SETTLE_REQUEUE, 1);
    }
    finish();
}
END_TEST

START_TEST(settled_numbers_are_passed_over)
{
    struct consumer *c;

    start();
    c = consume(0);
    publish_all("abcde");
    deliver(10);
    settle(c, 2, 2, SETTLE_ACK, 1);
    settle(c, 2, 2, SETTLE_ACK, 0);
    settle(c, 1, 3, SETTLE_ACK, 2);
    settle(c, 0, 3, SETTLE_ACK, 0);
    settle(c, 6, 9, SETTLE_ACK, 0);
    settle(c, 0, UINT64_MAX, SETTLE_ACK, 2);
    expect_counts(0, 0);
    finish();
}
END_TEST

START_TEST(rejected_message_is_dead_lettered_when_the_queue_has_where_to)
{
    struct consumer *c;

    start();
    options.has_dead_letter_exchange = true;
    c = consume(0);
    publish_all("ab");
    deliver(10);
    next_effect = effects.count;
    settle(c, 1, 2, SETTLE_REJECT, 2);
    ck_assert_uint_eq(effects.count, next_effect + 2);
    for (int i = 0; i < 2; i++) {
        const struct effect *e = &effects.items[next_effect++];

        ck_assert_int_eq(e->type, EFFECT_DEAD_LETTER);
        ck_assert_int_eq(e->reason, DEAD_LETTER_REJECTED);
        ck_assert_ptr_eq(e->queue, queue);
        ck_assert(bytes_equal_string(message_body_bytes(e->message), i == 0 ? "a" : "b"));
    }
    expect_counts(0, 0);
    finish();
}
END_TEST

START_TEST(rejected_message_is_dropped_otherwise)
{
    struct consumer *c;

    start();
    c = consume(0);
    publish("a");
    deliver(10);
    next_effect = effects.count;
    settle(c, 1, 1, SETTLE_REJECT, 1);
    expect_nothing_more();
    expect_counts(0, 0);
    finish();
}
END_TEST

START_TEST(get_takes_the_first_ready_message)
{
    struct effect got;

    start();
    ck_assert_int_eq(queue_get(queue, NULL, 0, &got, &effects), QUEUE_GET_EMPTY);
    publish_all("ab");
    ck_assert_int_eq(queue_get(queue, NULL, 0, &got, &effects), QUEUE_GET_MESSAGE);
    ck_assert(bytes_equal_string(message_body_bytes(got.message), "a"));
    ck_assert_uint_eq(got.number, 0);
    ck_assert(!got.redelivered);
    ck_assert_uint_eq(atomic_load(&got.message->references), 1);
    message_unref(got.message);
    expect_counts(1, 0);
    finish();
}
END_TEST

START_TEST(getter_settles_as_a_consumer_and_counts_as_none)
{
    struct consumer *getter;
    struct effect got;

    start();
    options.auto_delete = true;
    getter = queue_consume(queue, &(struct consumer_options){.getter = true}, NULL);
    ck_assert_uint_eq(queue_consumer_count(queue), 0);
    publish_all("ab");
    ck_assert(list_empty(&active));
    ck_assert_int_eq(queue_get(queue, getter, 0, &got, &effects), QUEUE_GET_MESSAGE);
    ck_assert_ptr_eq(got.consumer, getter);
    ck_assert_uint_eq(got.number, 1);
    settle(getter, 1, 1, SETTLE_REQUEUE, 1);
    ck_assert_int_eq(queue_get(queue, getter, 0, &got, &effects), QUEUE_GET_MESSAGE);
    ck_assert(bytes_equal_string(message_body_bytes(got.message), "a"));
    ck_assert(got.redelivered);
    ck_assert_uint_eq(got.number, 2);
    consumer_release(getter, 0, &effects);
    expect_nothing_more();
    expect_counts(2, 0);
    finish();
}
END_TEST

START_TEST(get_works_beside_an_exclusive_consumer)
{
    struct effect got;

    start();
    queue_consume(queue, &(struct consumer_options){.exclusive = true}, NULL);
    ck_assert_ptr_nonnull(queue_consume(queue, &(struct consumer_options){.getter = true}, NULL));
    ck_assert_int_eq(queue_get(queue, NULL, 0, &got, &effects), QUEUE_GET_EMPTY);
    finish();
}
END_TEST

START_TEST(cancelled_consumer_keeps_its_unacked_and_gets_no_more)
{
    struct consumer *c;

    start();
    c = consume(0);
    publish_all("ab");
    deliver(1);
    next_effect = effects.count;
    consumer_cancel(c, 0, &effects);
    consumer_cancel(c, 0, &effects);
    ck_assert(!deliver(10));
    expect_nothing_more();
    expect_counts(1, 1);
    ck_assert_uint_eq(queue_consumer_count(queue), 0);
    settle(c, 1, 1, SETTLE_ACK, 1);
    expect_counts(1, 0);
    finish();
}
END_TEST

START_TEST(released_consumer_gives_everything_back_in_place)
{
    struct consumer *one, *two;

    start();
    one = consume(3);
    publish_all("abcd");
    deliver(10);
    settle(one, 2, 2, SETTLE_ACK, 1);
    deliver(10);
    consumer_release(one, 0, &effects);
    expect_counts(3, 0);
    two = consume(0);
    next_effect = effects.count;
    deliver(10);
    expect_delivery(two, "a", 1, REDELIVERED);
    expect_delivery(two, "c", 2, REDELIVERED);
    expect_delivery(two, "d", 3, REDELIVERED);
    finish();
}
END_TEST

START_TEST(auto_delete_queue_is_unused_when_its_last_consumer_goes)
{
    struct consumer *one, *two;

    start();
    options.auto_delete = true;
    one = consume(0);
    two = consume(0);
    consumer_cancel(one, 0, &effects);
    expect_nothing_more();
    consumer_release(two, 0, &effects);
    ck_assert_uint_eq(effects.count, 1);
    ck_assert_int_eq(effects.items[0].type, EFFECT_UNUSED);
    ck_assert_ptr_eq(effects.items[0].queue, queue);
    consumer_release(one, 0, &effects);
    ck_assert_uint_eq(effects.count, 1);
    finish();
}
END_TEST

START_TEST(other_queue_outlives_its_last_consumer)
{
    start();
    consumer_cancel(consume(0), 0, &effects);
    expect_nothing_more();
    finish();
}
END_TEST

START_TEST(exclusive_consumer_is_alone)
{
    const struct consumer_options exclusive = {.exclusive = true};
    struct consumer *c;

    start();
    c = queue_consume(queue, &exclusive, NULL);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_null(consume(0));
    ck_assert_ptr_null(queue_consume(queue, &exclusive, NULL));
    consumer_cancel(c, 0, &effects);
    c = consume(0);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_null(queue_consume(queue, &exclusive, NULL));
    consumer_release(c, 0, &effects);
    ck_assert_ptr_nonnull(queue_consume(queue, &exclusive, NULL));
    finish();
}
END_TEST

START_TEST(paused_consumer_gets_nothing_and_others_its_share)
{
    struct consumer *one, *two;

    start();
    one = consume(0);
    two = consume(0);
    consumer_pause(one);
    consumer_pause(one);
    publish_all("ab");
    deliver(10);
    expect_delivery(two, "a", 1, FRESH);
    expect_delivery(two, "b", 2, FRESH);
    consumer_resume(one);
    consumer_resume(one);
    publish_all("cd");
    deliver(10);
    expect_delivery(two, "c", 3, FRESH);
    expect_delivery(one, "d", 1, FRESH);
    expect_nothing_more();
    finish();
}
END_TEST

START_TEST(pool_is_one_limit_for_its_consumers)
{
    struct credit_pool *pool = credit_pool_create();
    struct consumer *one, *two, *free_one;

    start();
    atomic_store(&pool->limit, 2);
    one = queue_consume(queue, &(struct consumer_options){.pool = pool}, NULL);
    two = queue_consume(queue, &(struct consumer_options){.pool = pool}, NULL);
    publish_all("abcd");
    ck_assert(!deliver(10));
    expect_delivery(one, "a", 1, FRESH);
    expect_delivery(two, "b", 1, FRESH);
    expect_nothing_more();

    free_one = queue_consume(queue, &(struct consumer_options){.pool = NULL}, NULL);
    deliver(1);
    expect_delivery(free_one, "c", 1, FRESH);
    consumer_cancel(free_one, 0, &effects);

    settle(two, 1, 1, SETTLE_ACK, 1);
    ck_assert(!deliver(10));
    ck_assert(credit_pool_take_starved(pool));
    consumer_pool_refilled(one);
    consumer_pool_refilled(two);
    ck_assert(!deliver(10));
    expect_delivery(one, "d", 2, FRESH);
    expect_nothing_more();

    consumer_release(one, 0, &effects);
    consumer_release(two, 0, &effects);
    ck_assert_uint_eq(atomic_load(&pool->in_use), 0);
    ck_assert_uint_eq(atomic_load(&pool->references), 1);
    credit_pool_unref(pool);
    finish();
}
END_TEST

START_TEST(purge_drops_ready_messages_alone)
{
    struct consumer *c;

    start();
    options.has_dead_letter_exchange = true;
    c = consume(2);
    publish_all("abcde");
    deliver(10);
    settle(c, 1, 1, SETTLE_REQUEUE, 1);
    next_effect = effects.count;
    ck_assert_uint_eq(queue_purge(queue, NULL, NULL), 4);
    expect_nothing_more();
    expect_counts(0, 1);
    ck_assert_uint_eq(queue_ready_bytes(queue), 0);
    ck_assert_uint_eq(queue_purge(queue, NULL, NULL), 0);
    ck_assert_uint_eq(publish("f"), 6);
    finish();
}
END_TEST

START_TEST(bytes_are_those_of_ready_bodies)
{
    struct consumer *c;

    start();
    publish("12345");
    publish("123");
    ck_assert_uint_eq(queue_ready_bytes(queue), 8);
    c = consume(1);
    deliver(10);
    ck_assert_uint_eq(queue_ready_bytes(queue), 3);
    settle(c, 1, 1, SETTLE_REQUEUE, 1);
    ck_assert_uint_eq(queue_ready_bytes(queue), 8);
    finish();
}
END_TEST

START_TEST(walk_meets_every_consumer_that_is_not_released)
{
    struct consumer *one, *two, *three;

    start();
    one = consume(0);
    two = queue_consume(queue, &(struct consumer_options){.getter = true}, &active);
    three = consume(0);
    consumer_cancel(three, 0, &effects);
    consumer_release(consume(0), 0, &effects);
    ck_assert_ptr_eq(queue_first_consumer(queue), one);
    ck_assert_ptr_eq(queue_next_consumer(queue, one), two);
    ck_assert_ptr_eq(queue_next_consumer(queue, two), three);
    ck_assert_ptr_null(queue_next_consumer(queue, three));
    ck_assert_ptr_eq(consumer_session(two), &active);
    ck_assert_ptr_eq(consumer_queue(two), queue);
    finish();
}
END_TEST

START_TEST(backlog_larger_than_a_chunk_keeps_its_order)
{
    struct consumer *c;
    char body[16];

    start();
    for (int i = 0; i < 1000; i++) {
        snprintf(body, sizeof(body), "%d", i);
        publish(body);
    }
    c = consume(0);
    ck_assert(deliver(500));
    settle(c, 1, 500, SETTLE_REQUEUE, 500);
    carry_out();
    ck_assert(!deliver(2000));
    for (int i = 0; i < 1000; i++) {
        snprintf(body, sizeof(body), "%d", i);
        expect_delivery(c, body, (uint64_t)i + 501, i < 500 ? REDELIVERED : FRESH);
    }
    finish();
}
END_TEST

/* One batch of a busy queue: in, out, acknowledged. Without assertions, which allocate. */
static bool pass_through(struct consumer *c, struct message *m, uint32_t batch)
{
    uint64_t last;
    bool more;

    for (uint32_t i = 0; i < batch; i++)
        queue_enqueue(queue, m, (struct store_location){0}, EXPIRY_NEVER, 0, &effects);
    more = queue_deliver(queue, batch, 0, &effects);
    last = effects.items[batch - 1].number;
    effects.count = 0;
    return !more && consumer_settle(c, last + 1 - batch, last, SETTLE_ACK, 0, &effects) == batch;
}

START_TEST(steady_state_allocates_nothing)
{
    struct message *m;
    struct consumer *c;
    unsigned long before;
    bool passed = true;

    start();
    m = message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0);
    c = consume(1000);
    for (uint32_t batch = 1; batch <= 500; batch++)
        passed = pass_through(c, m, batch) && passed;
    before = allocations;
    for (int round = 0; round < 20; round++) {
        for (uint32_t batch = 1; batch <= 500; batch += 7)
            passed = pass_through(c, m, batch) && passed;
    }
    before = allocations - before;
    ck_assert_uint_eq(before, 0);
    ck_assert(passed);
    ck_assert_uint_gt(allocations, 0);
    message_unref(m);
    finish();
}
END_TEST

START_TEST(idle_queue_is_one_allocation)
{
    unsigned long before = allocations;

    start();
    before = allocations - before;
    ck_assert_uint_eq(before, 1);
    finish();
}
END_TEST

UNIT_MAIN("queue", messages_come_in_the_order_they_were_published,
          queue_is_active_while_it_can_deliver_and_no_longer,
          budget_bounds_a_turn_and_says_that_there_is_more,
          consumers_take_turns_in_the_order_they_came, turns_go_on_from_one_batch_to_the_next,
          consumer_without_credit_is_passed_over, higher_priority_comes_first_while_it_has_credit,
          equals_take_turns_within_their_priority, prefetch_bounds_the_unacked,
          no_ack_knows_no_prefetch_and_leaves_nothing_unacked,
          requeued_message_returns_to_its_place,
          requeued_messages_keep_their_order_whoever_had_them,
          delivery_count_tells_how_often_it_was_out_before, settled_numbers_are_passed_over,
          rejected_message_is_dead_lettered_when_the_queue_has_where_to,
          rejected_message_is_dropped_otherwise, get_takes_the_first_ready_message,
          getter_settles_as_a_consumer_and_counts_as_none, get_works_beside_an_exclusive_consumer,
          cancelled_consumer_keeps_its_unacked_and_gets_no_more,
          released_consumer_gives_everything_back_in_place,
          auto_delete_queue_is_unused_when_its_last_consumer_goes,
          other_queue_outlives_its_last_consumer, exclusive_consumer_is_alone,
          paused_consumer_gets_nothing_and_others_its_share, pool_is_one_limit_for_its_consumers,
          purge_drops_ready_messages_alone, bytes_are_those_of_ready_bodies,
          walk_meets_every_consumer_that_is_not_released,
          backlog_larger_than_a_chunk_keeps_its_order, steady_state_allocates_nothing,
          idle_queue_is_one_allocation)
