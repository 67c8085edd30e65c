#include "tests/unit/queue_helpers.h"
#include "tests/unit/unit.h"

#include <malloc.h>
#include <stdio.h>

static struct queue_fixture f;

/* One way for a message to leave, and the effects it has. */
enum way_out { ACK, REJECT, REJECT_TO_DEAD_LETTERS, NO_ACK, GET };

static void leave(enum way_out way)
{
    static const enum settle_outcome outcomes[] = {
        [ACK] = SETTLE_ACK, [REJECT] = SETTLE_REJECT, [REJECT_TO_DEAD_LETTERS] = SETTLE_REJECT};
    struct consumer *c;

    f.options.has_dead_letter_exchange = way == REJECT_TO_DEAD_LETTERS;
    if (way == GET) {
        struct effect got;

        ck_assert_int_eq(queue_get(f.queue, NULL, 0, &got, &f.effects), QUEUE_GET_MESSAGE);
        ck_assert_uint_eq(got.sequence, 1);
        message_unref(got.message);
        return;
    }
    c = queue_consume(f.queue, &(struct consumer_options){.no_ack = way == NO_ACK}, NULL);
    deliver_some(&f, 1);
    expect_delivered(&f, 1, 0);
    if (way == NO_ACK)
        return;
    expect_no_effect(&f);
    consumer_settle(c, 1, 1, outcomes[way], 0, &f.effects);
    if (way == REJECT_TO_DEAD_LETTERS)
        ck_assert_int_eq(f.effects.items[f.next_effect++].type, EFFECT_DEAD_LETTER);
}

START_TEST(stored_message_settles_once_whichever_way_it_leaves)
{
    for (enum way_out way = ACK; way <= GET; way++) {
        queue_start(&f);
        publish_stored(&f, 1);
        leave(way);
        expect_effect(&f, EFFECT_SETTLED, 1);
        expect_no_effect(&f);
        queue_finish(&f);
    }
}
END_TEST

START_TEST(message_without_a_location_leaves_without_a_word)
{
    for (enum way_out way = ACK; way <= GET; way++) {
        queue_start(&f);
        publish_plain(&f, 1);
        leave(way);
        expect_no_effect(&f);
        queue_finish(&f);
    }
}
END_TEST

START_TEST(requeued_message_tells_how_often_it_was_out)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 1);
    publish_plain(&f, 1);
    c = consume_all(&f);
    for (uint32_t i = 1; i <= 3; i++) {
        deliver_some(&f, 2);
        forget_effects(&f);
        consumer_settle(c, 0, UINT64_MAX, SETTLE_REQUEUE, 0, &f.effects);
        ck_assert_uint_eq(f.effects.items[0].delivery_count, i);
        expect_effect(&f, EFFECT_RETURNED, 1);
        expect_no_effect(&f);
    }
    queue_finish(&f);
}
END_TEST

START_TEST(unused_comes_behind_what_the_last_consumer_gives_back)
{
    struct consumer *c;

    queue_start(&f);
    f.options.auto_delete = true;
    publish_stored(&f, 1);
    c = consume_all(&f);
    deliver_some(&f, 1);
    forget_effects(&f);
    consumer_release(c, 0, &f.effects);
    expect_effect(&f, EFFECT_RETURNED, 1);
    expect_effect(&f, EFFECT_UNUSED, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(purge_releases_ready_locations_and_destroy_the_rest)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 100);
    publish_plain(&f, 10);
    c = consume_all(&f);
    deliver_some(&f, 4);
    consumer_settle(c, 1, 1, SETTLE_REQUEUE, 0, &f.effects);
    page_out(&f, 10);
    ck_assert_uint_eq(queue_purge(f.queue, count_release, &f), 107);
    ck_assert_uint_eq(f.released, 97 + 10);
    forget_effects(&f);
    publish_stored(&f, 1);
    consumer_release(c, 0, &f.effects);
    f.released = 0;
    queue_destroy(f.queue, count_release, &f);
    ck_assert_uint_eq(f.released, 4);
    forget_effects(&f);
    effects_free(&f.effects);
}
END_TEST

/* State. */

static void expect_state(uint64_t expected_head, const char *expected_kept)
{
    struct sequence_list kept = {.items = NULL};
    uint64_t head;
    char text[64] = "";

    queue_state(f.queue, 0, &head, &kept);
    for (uint32_t i = 0; i < kept.count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d ", (int)kept.items[i]);
    ck_assert_uint_eq(head, expected_head);
    ck_assert_uint_le(queue_delivered_below(f.queue, 0), expected_head);
    ck_assert_str_eq(text, expected_kept);
    sequence_list_free(&kept);
}

START_TEST(state_is_what_waits_and_what_is_kept_below)
{
    struct consumer *one, *two;

    queue_start(&f);
    expect_state(1, "");
    publish_stored(&f, 5);
    publish_plain(&f, 1);
    publish_stored(&f, 2);
    expect_state(1, "");
    one = consume_all(&f);
    two = consume_all(&f);
    deliver_some(&f, 7);
    expect_state(8, "1 2 3 4 5 7 ");
    consumer_settle(one, 2, 2, SETTLE_ACK, 0, &f.effects);
    consumer_settle(two, 1, 2, SETTLE_REQUEUE, 0, &f.effects);
    expect_state(8, "1 2 4 5 7 ");
    queue_purge(f.queue, NULL, NULL);
    expect_state(9, "1 5 7 ");
    queue_finish(&f);
}
END_TEST

/* Relocation. */

static bool relocate(uint64_t number)
{
    const struct store_location to = {.segment = 2, .offset = (uint32_t)number};

    return queue_relocate(f.queue, number, stored_at(number), to);
}

START_TEST(moved_message_settles_where_it_was_moved_to)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 4);
    c = consume_all(&f);
    deliver_some(&f, 3);
    consumer_settle(c, 2, 2, SETTLE_REQUEUE, 0, &f.effects);
    forget_effects(&f);
    for (uint64_t n = 1; n <= 4; n++)
        ck_assert(relocate(n));
    deliver_some(&f, 10);
    consumer_settle(c, 0, UINT64_MAX, SETTLE_ACK, 0, &f.effects);
    for (uint32_t i = 0; i < f.effects.count; i++)
        ck_assert_uint_eq(f.effects.items[i].location.segment, 2);
    ck_assert_uint_eq(f.effects.count, 2 + 4);
    queue_finish(&f);
}
END_TEST

START_TEST(only_what_is_held_at_the_place_moves)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 3);
    c = consume_all(&f);
    deliver_some(&f, 2);
    ck_assert(!relocate(0));
    ck_assert(!relocate(4));
    ck_assert(relocate(1));
    ck_assert(!relocate(1));
    ck_assert(relocate(3));
    ck_assert(!relocate(3));
    consumer_settle(c, 2, 2, SETTLE_ACK, 0, &f.effects);
    ck_assert(!relocate(2));
    queue_finish(&f);
}
END_TEST

START_TEST(what_went_since_the_last_move_does_not_move)
{
    struct consumer *c;
    struct effect got;

    queue_start(&f);
    publish_stored(&f, 3);
    c = consume_all(&f);
    deliver_some(&f, 3);
    consumer_settle(c, 1, 3, SETTLE_REQUEUE, 0, &f.effects);
    consumer_pause(c);
    ck_assert(!relocate(100));
    ck_assert_int_eq(queue_get(f.queue, NULL, 0, &got, &f.effects), QUEUE_GET_MESSAGE);
    message_unref(got.message);
    ck_assert(!relocate(1));
    ck_assert(relocate(2));
    queue_purge(f.queue, NULL, NULL);
    ck_assert(!relocate(3));
    queue_finish(&f);
}
END_TEST

START_TEST(what_was_lost_since_the_last_move_does_not_move)
{
    struct message *lost[1] = {NULL};
    struct store_location location;
    uint64_t sequence;

    queue_start(&f);
    restore_stored(&f, 1, 1);
    restore_stored(&f, 2, 1);
    queue_restore_lane_done(f.queue, 0, 3);
    queue_restore_done(f.queue, &f.effects);
    ck_assert(!relocate(100));
    ck_assert_uint_eq(queue_fetch_list(f.queue, 1, UINT64_MAX, &sequence, &location), 1);
    queue_fetched(f.queue, &sequence, lost, 1, &f.effects);
    expect_effect(&f, EFFECT_SETTLED, 1);
    ck_assert(!relocate(1));
    ck_assert(relocate(2));
    queue_finish(&f);
}
END_TEST

START_TEST(message_is_found_wherever_it_waits)
{
    enum { COUNT = 20000 };

    queue_start(&f);
    publish_stored(&f, COUNT);
    consume_all(&f);
    while (queue_delivered_below(f.queue, 0) < COUNT - 2500) {
        ck_assert(relocate(queue_delivered_below(f.queue, 0) + 100));
        ck_assert(relocate(queue_delivered_below(f.queue, 0) + 2500));
        deliver_some(&f, 121);
        forget_effects(&f);
        publish_stored(&f, 50);
        ck_assert(relocate(queue_next_sequence(f.queue, 0) - 1));
    }
    queue_finish(&f);
}
END_TEST

START_TEST(message_is_found_after_much_has_left_and_come)
{
    queue_start(&f);
    publish_stored(&f, 10000);
    consume_all(&f);
    ck_assert(relocate(5000));
    deliver_some(&f, 8000);
    forget_effects(&f);
    publish_stored(&f, 50000);
    ck_assert(relocate(40000));
    ck_assert(relocate(8200));
    ck_assert(relocate(40001));
    deliver_some(&f, 100);
    ck_assert(relocate(8300));
    ck_assert(relocate(60000 - 100));
    queue_finish(&f);
}
END_TEST

/* Recovery. */

START_TEST(recovered_messages_come_in_order_and_as_they_were)
{
    queue_start(&f);
    restore_stored(&f, 3, 2);
    restore_stored(&f, 5, 1);
    restore_stored(&f, 6, 0);
    restore_stored(&f, 8, 0);
    restore_stored(&f, 100, 0);
    queue_restore_lane_done(f.queue, 0, 200);
    queue_restore_done(f.queue, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 5);
    ck_assert_uint_eq(queue_paged_count(f.queue), 5);
    ck_assert_uint_eq(queue_ready_bytes(f.queue), 5 * 8);
    /* What is missing may have left out of order: it must not come back. */
    expect_state(200, "3 5 6 8 100 ");
    ck_assert_uint_eq(queue_delivered_below(f.queue, 0), 6);
    ck_assert_uint_eq(queue_next_sequence(f.queue, 0), 200);
    publish_stored(&f, 1);

    consume_all(&f);
    ck_assert(!deliver_some(&f, 10));
    expect_effect(&f, EFFECT_FETCH, 0);
    ck_assert_uint_eq(fetch(&f, 10), 5);
    deliver_some(&f, 10);
    expect_delivered(&f, 3, 2);
    expect_delivered(&f, 5, 1);
    expect_delivered(&f, 6, 0);
    expect_delivered(&f, 8, 0);
    expect_delivered(&f, 100, 0);
    expect_delivered(&f, 200, 0);
    expect_no_effect(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(delivery_that_is_known_alone_keeps_its_place)
{
    queue_start(&f);
    restore_stored(&f, 1, 0);
    restore_stored(&f, 2, 1);
    restore_stored(&f, 3, 0);
    queue_restore_lane_done(f.queue, 0, 4);
    queue_restore_done(f.queue, &f.effects);
    expect_state(3, "1 2 ");
    ck_assert_uint_eq(queue_delivered_below(f.queue, 0), 1);
    fetch(&f, 10);
    consume_all(&f);
    deliver_some(&f, 10);
    expect_delivered(&f, 1, 0);
    expect_delivered(&f, 2, 1);
    expect_delivered(&f, 3, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(message_that_is_at_hand_is_recovered_with_it)
{
    struct message *m;

    queue_start(&f);
    m = numbered_message(&f, 7);
    ck_assert_int_eq(queue_restore(f.queue, 7, m, stored_at(7), 0, 8, EXPIRY_NEVER), 0);
    message_unref(m);
    queue_restore_lane_done(f.queue, 0, 8);
    queue_restore_done(f.queue, &f.effects);
    ck_assert_uint_eq(queue_paged_count(f.queue), 0);
    ck_assert_uint_eq(page_out(&f, 0), 24);
    ck_assert_uint_eq(queue_paged_count(f.queue), 1);
    queue_finish(&f);
}
END_TEST

START_TEST(nothing_recovered_is_an_empty_queue_with_a_past)
{
    queue_start(&f);
    queue_restore_lane_done(f.queue, 0, 41);
    queue_restore_done(f.queue, &f.effects);
    expect_state(41, "");
    publish_stored(&f, 1);
    expect_state(41, "");
    queue_finish(&f);
}
END_TEST

static size_t allocated(void)
{
    return mallinfo2().uordblks;
}

START_TEST(recovered_message_costs_little_however_wide_the_gaps)
{
    static const struct {
        uint64_t step;
        size_t most; /* bytes a message */
    } cases[] = {{1, 17}, {2, 34}, {3, 51}, {4, 49}, {5, 49}, {100, 49}};
    enum { COUNT = 100000 };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t before;

        queue_start(&f);
        before = allocated();
        for (uint64_t n = 1; n <= COUNT; n++)
            restore_stored(&f, n * cases[i].step, 0);
        queue_restore_lane_done(f.queue, 0, COUNT * cases[i].step + 1);
        queue_restore_done(f.queue, &f.effects);
        ck_assert_uint_le(allocated() - before, COUNT * cases[i].most);
        ck_assert_uint_eq(queue_message_count(f.queue), COUNT);
        ck_assert(relocate(COUNT / 2 * cases[i].step));
        queue_finish(&f);
    }
}
END_TEST

UNIT_MAIN(
    "queue_store", stored_message_settles_once_whichever_way_it_leaves,
    message_without_a_location_leaves_without_a_word, requeued_message_tells_how_often_it_was_out,
    unused_comes_behind_what_the_last_consumer_gives_back,
    purge_releases_ready_locations_and_destroy_the_rest, state_is_what_waits_and_what_is_kept_below,
    moved_message_settles_where_it_was_moved_to, only_what_is_held_at_the_place_moves,
    what_went_since_the_last_move_does_not_move, what_was_lost_since_the_last_move_does_not_move,
    message_is_found_wherever_it_waits, message_is_found_after_much_has_left_and_come,
    recovered_messages_come_in_order_and_as_they_were, delivery_that_is_known_alone_keeps_its_place,
    message_that_is_at_hand_is_recovered_with_it, nothing_recovered_is_an_empty_queue_with_a_past,
    recovered_message_costs_little_however_wide_the_gaps)
