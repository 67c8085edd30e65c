#include "tests/unit/queue_helpers.h"
#include "tests/unit/unit.h"

#include <malloc.h>

/* What message_footprint() says of a message with a body of 8 bytes. */
#define FOOTPRINT 24u

static struct queue_fixture f;

START_TEST(deep_messages_leave_memory_and_the_first_stay)
{
    queue_start(&f);
    publish_stored(&f, 1000);
    ck_assert_uint_eq(queue_resident_bytes(f.queue), 1000 * FOOTPRINT);
    ck_assert_uint_eq(page_out(&f, 100), 900 * FOOTPRINT);
    ck_assert_uint_eq(queue_resident_bytes(f.queue), 100 * FOOTPRINT);
    ck_assert_uint_eq(queue_paged_count(f.queue), 900);
    ck_assert_uint_eq(queue_message_count(f.queue), 1000);
    ck_assert_uint_eq(queue_ready_bytes(f.queue), 8000);
    consume_all(&f);
    deliver_some(&f, 2000);
    for (uint64_t n = 1; n <= 100; n++)
        expect_delivered(&f, n, 0);
    expect_effect(&f, EFFECT_FETCH, 0);
    expect_no_effect(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(what_came_back_counts_among_the_first)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 10);
    c = consume_all(&f);
    deliver_some(&f, 4);
    consumer_settle(c, 2, 3, SETTLE_REQUEUE, 0, &f.effects);
    page_out(&f, 3);
    ck_assert_uint_eq(queue_resident_bytes(f.queue), 1 * FOOTPRINT);
    queue_finish(&f);
}
END_TEST

/* In order, or each before the one that came back before it. */
START_TEST(many_that_came_back_leave_memory_too)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        struct consumer *c;

        queue_start(&f);
        publish_stored(&f, 1000);
        c = consume_all(&f);
        deliver_some(&f, 900);
        if (backwards) {
            for (uint64_t n = 900; n >= 1; n--)
                consumer_settle(c, n, n, SETTLE_REQUEUE, 0, &f.effects);
        } else {
            consumer_settle(c, 1, 900, SETTLE_REQUEUE, 0, &f.effects);
        }
        forget_effects(&f);
        ck_assert_uint_eq(page_out(&f, 100), 900 * FOOTPRINT);
        ck_assert_uint_eq(queue_paged_count(f.queue), 900);
        ck_assert_uint_eq(queue_message_count(f.queue), 1000);
        deliver_some(&f, 50);
        for (uint64_t n = 1; n <= 50; n++)
            expect_delivered(&f, n, 1);
        forget_effects(&f);
        consumer_settle(c, 921, 930, SETTLE_REQUEUE, 0, &f.effects); /* 21 to 30 once more */
        forget_effects(&f);
        deliver_some(&f, 10);
        for (uint64_t n = 21; n <= 30; n++)
            expect_delivered(&f, n, 2);
        forget_effects(&f);
        fetch(&f, 2000);
        deliver_some(&f, 2000);
        for (uint64_t n = 51; n <= 1000; n++)
            expect_delivered(&f, n, n <= 900 ? 1 : 0);
        forget_effects(&f);
        ck_assert_uint_eq(queue_message_count(f.queue), 0);
        queue_finish(&f);
    }
}
END_TEST

START_TEST(unacked_messages_leave_memory_and_an_ack_needs_none)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 100);
    c = consume_all(&f);
    deliver_some(&f, 100);
    forget_effects(&f);
    ck_assert_uint_eq(queue_unacked_resident_bytes(f.queue), 100 * FOOTPRINT);
    ck_assert_uint_eq(page_out_unacked(&f, 0, 100), 100 * FOOTPRINT);
    ck_assert_uint_eq(queue_unacked_resident_bytes(f.queue), 0);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 100);
    ck_assert_uint_eq(consumer_settle(c, 1, 100, SETTLE_ACK, 0, &f.effects), 100);
    for (uint64_t n = 1; n <= 100; n++)
        expect_effect(&f, EFFECT_SETTLED, n);
    expect_no_effect(&f);
    ck_assert_uint_eq(queue_unacked_count(f.queue), 0);
    queue_finish(&f);
}
END_TEST

START_TEST(unacked_messages_on_disk_come_back_to_their_place)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 100);
    c = consume_all(&f);
    deliver_some(&f, 60);
    page_out_unacked(&f, 0, 40);
    ck_assert_uint_eq(queue_unacked_resident_bytes(f.queue), 20 * FOOTPRINT);
    consumer_settle(c, 11, 60, SETTLE_REQUEUE, 0, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 90);
    ck_assert_uint_eq(queue_paged_count(f.queue), 30);
    ck_assert_uint_eq(queue_ready_bytes(f.queue), 90 * 8);
    forget_effects(&f);
    deliver_some(&f, 100);
    expect_effect(&f, EFFECT_FETCH, 0);
    expect_no_effect(&f);
    ck_assert_uint_eq(fetch(&f, 100), 30);
    deliver_some(&f, 100);
    for (uint64_t n = 11; n <= 100; n++)
        expect_delivered(&f, n, n <= 60 ? 1 : 0);
    forget_effects(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(unacked_message_on_disk_is_dead_lettered_from_there)
{
    struct consumer *c;
    const struct effect *dead;

    queue_start(&f);
    f.options.has_dead_letter_exchange = true;
    publish_stored(&f, 2);
    c = consume_all(&f);
    deliver_some(&f, 2);
    forget_effects(&f);
    page_out_unacked(&f, FOOTPRINT, 2);
    ck_assert_uint_eq(queue_unacked_resident_bytes(f.queue), FOOTPRINT);
    consumer_settle(c, 1, 2, SETTLE_REJECT, 0, &f.effects);
    ck_assert_uint_eq(f.effects.count, 3);
    dead = &f.effects.items[0];
    ck_assert_int_eq(dead->type, EFFECT_DEAD_LETTER);
    ck_assert_ptr_null(dead->message);
    ck_assert_uint_eq(dead->location.offset, 1);
    dead = &f.effects.items[1];
    ck_assert_int_eq(dead->type, EFFECT_DEAD_LETTER);
    ck_assert_ptr_nonnull(dead->message);
    ck_assert_int_eq(f.effects.items[2].type, EFFECT_SETTLED);
    f.next_effect = f.effects.count;
    forget_effects(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(unacked_message_without_a_location_gets_one_or_stays)
{
    struct consumer *c;

    queue_start(&f);
    publish_plain(&f, 10);
    c = consume_all(&f);
    deliver_some(&f, 10);
    forget_effects(&f);
    f.paging_fails = true;
    ck_assert_uint_eq(page_out_unacked(&f, 0, 10), 0);
    ck_assert_uint_eq(f.pages, 1);
    f.paging_fails = false;
    ck_assert_uint_eq(page_out_unacked(&f, 0, 10), 10 * FOOTPRINT);
    ck_assert_uint_eq(page_out_unacked(&f, 0, 10), 0);
    ck_assert_uint_eq(f.pages, 11);
    consumer_settle(c, 1, 10, SETTLE_ACK, 0, &f.effects);
    expect_effect(&f, EFFECT_SETTLED, 1);
    forget_effects(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(what_is_not_durable_yet_stays)
{
    queue_start(&f);
    publish_stored(&f, 10);
    queue_page_out(f.queue, 0, 0, 4, 100, NULL, NULL);
    ck_assert_uint_eq(queue_paged_count(f.queue), 4);
    queue_page_out(f.queue, 0, 0, 7, 100, NULL, NULL);
    ck_assert_uint_eq(queue_paged_count(f.queue), 7);
    queue_finish(&f);
}
END_TEST

START_TEST(no_message_is_looked_at_twice)
{
    queue_start(&f);
    f.paging_fails = true;
    publish_plain(&f, 1000);
    page_out(&f, 950);
    ck_assert_uint_eq(f.pages, 50);
    page_out(&f, 0);
    ck_assert_uint_eq(f.pages, 50);
    publish_plain(&f, 10);
    page_out(&f, 0);
    ck_assert_uint_eq(f.pages, 60);
    queue_page_again(f.queue);
    page_out(&f, 0);
    ck_assert_uint_eq(f.pages, 60 + 1010);
    queue_finish(&f);
}
END_TEST

START_TEST(call_goes_on_where_the_last_one_stopped)
{
    queue_start(&f);
    publish_stored(&f, 1000);
    for (uint32_t i = 1; i <= 10; i++) {
        ck_assert_uint_eq(queue_page_out(f.queue, 0, 0, UINT64_MAX, 100, NULL, NULL),
                          100 * FOOTPRINT);
        ck_assert_uint_eq(queue_paged_count(f.queue), 100 * i);
    }
    ck_assert_uint_eq(queue_page_out(f.queue, 0, 0, UINT64_MAX, 100, NULL, NULL), 0);
    publish_stored(&f, 3);
    ck_assert_uint_eq(queue_page_out(f.queue, 0, 0, UINT64_MAX, 100, NULL, NULL), 3 * FOOTPRINT);
    queue_finish(&f);
}
END_TEST

START_TEST(message_without_a_location_gets_one_once)
{
    queue_start(&f);
    publish_plain(&f, 10);
    page_out(&f, 0);
    ck_assert_uint_eq(f.pages, 10);
    ck_assert_uint_eq(fetch(&f, 10), 10);
    queue_page_again(f.queue);
    page_out(&f, 0);
    ck_assert_uint_eq(f.pages, 10);
    ck_assert_uint_eq(queue_paged_count(f.queue), 10);
    ck_assert_uint_eq(queue_purge(f.queue, count_release, &f), 10);
    ck_assert_uint_eq(f.released, 10);
    queue_finish(&f);
}
END_TEST

START_TEST(message_that_cannot_be_paged_stays_until_there_is_room)
{
    queue_start(&f);
    publish_plain(&f, 5);
    publish_stored(&f, 5);
    f.paging_fails = true;
    page_out(&f, 0);
    ck_assert_uint_eq(queue_paged_count(f.queue), 5);
    f.paging_fails = false;
    page_out(&f, 0);
    ck_assert_uint_eq(queue_paged_count(f.queue), 5);
    queue_page_again(f.queue);
    page_out(&f, 0);
    ck_assert_uint_eq(queue_paged_count(f.queue), 10);
    queue_finish(&f);
}
END_TEST

START_TEST(message_in_use_elsewhere_gives_nothing_back)
{
    struct message *m;

    queue_start(&f);
    m = numbered_message(&f, 1);
    queue_enqueue(f.queue, m, stored_at(1), EXPIRY_NEVER, 0, &f.effects);
    ck_assert_uint_eq(page_out(&f, 0), 0);
    ck_assert_uint_eq(queue_paged_count(f.queue), 1);
    ck_assert_uint_eq(atomic_load(&m->references), 1);
    message_unref(m);
    queue_finish(&f);
}
END_TEST

START_TEST(queue_that_lacks_its_first_message_asks_once_and_rests)
{
    queue_start(&f);
    publish_stored(&f, 10);
    page_out(&f, 0);
    consume_all(&f);
    ck_assert(!list_empty(&f.active));
    ck_assert(!deliver_some(&f, 10));
    expect_effect(&f, EFFECT_FETCH, 0);
    ck_assert(list_empty(&f.active));
    ck_assert(!deliver_some(&f, 10));
    publish_stored(&f, 1);
    ck_assert(list_empty(&f.active));
    expect_no_effect(&f);

    ck_assert_uint_eq(fetch(&f, 3), 3);
    ck_assert(!list_empty(&f.active));
    deliver_some(&f, 10);
    for (uint64_t n = 1; n <= 3; n++)
        expect_delivered(&f, n, 0);
    expect_effect(&f, EFFECT_FETCH, 0);
    expect_no_effect(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(queue_paged_out_to_the_head_during_a_read_rests)
{
    queue_start(&f);
    publish_stored(&f, 10);
    page_out(&f, 5);
    consume_all(&f);
    deliver_some(&f, 1);
    expect_delivered(&f, 1, 0);
    expect_effect(&f, EFFECT_FETCH, 0);
    ck_assert(!list_empty(&f.active));
    queue_page_again(f.queue);
    page_out(&f, 0);
    ck_assert(list_empty(&f.active));
    queue_finish(&f);
}
END_TEST

START_TEST(nothing_is_fetched_for_nobody)
{
    struct consumer *c;

    queue_start(&f);
    publish_stored(&f, 10);
    page_out(&f, 0);
    c = consume_all(&f);
    consumer_pause(c);
    ck_assert(!deliver_some(&f, 10));
    expect_no_effect(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(get_waits_for_a_message_that_is_not_in_memory)
{
    struct effect got;

    queue_start(&f);
    publish_stored(&f, 2);
    page_out(&f, 0);
    ck_assert_int_eq(queue_get(f.queue, NULL, 0, &got, &f.effects), QUEUE_GET_WAIT);
    ck_assert_int_eq(queue_get(f.queue, NULL, 0, &got, &f.effects), QUEUE_GET_WAIT);
    expect_effect(&f, EFFECT_FETCH, 0);
    expect_no_effect(&f);
    fetch(&f, 10);
    for (uint64_t n = 1; n <= 2; n++) {
        ck_assert_int_eq(queue_get(f.queue, NULL, 0, &got, &f.effects), QUEUE_GET_MESSAGE);
        ck_assert_uint_eq(got.sequence, n);
        message_unref(got.message);
    }
    ck_assert_int_eq(queue_get(f.queue, NULL, 0, &got, &f.effects), QUEUE_GET_EMPTY);
    queue_finish(&f);
}
END_TEST

START_TEST(reading_ahead_begins_before_memory_runs_out)
{
    enum { KEPT = QUEUE_READ_AHEAD_MESSAGES + 100 };

    queue_start(&f);
    publish_stored(&f, 10000);
    page_out(&f, KEPT);
    consume_all(&f);
    ck_assert(deliver_some(&f, 100));
    ck_assert_uint_eq(f.effects.count, 100);
    forget_effects(&f);
    ck_assert(deliver_some(&f, 1));
    expect_delivered(&f, 101, 0);
    expect_effect(&f, EFFECT_FETCH, 0);
    ck_assert(deliver_some(&f, 500));
    ck_assert_uint_eq(f.effects.count, 2 + 500);
    forget_effects(&f);
    ck_assert_uint_eq(fetch(&f, 2000), 2000);
    ck_assert(deliver_some(&f, 1));
    ck_assert_uint_eq(f.effects.count, 1);
    queue_finish(&f);
}
END_TEST

START_TEST(what_was_delivered_before_a_restart_is_read_ahead_too)
{
    enum { COUNT = 3 * QUEUE_READ_AHEAD_MESSAGES };

    queue_start(&f);
    for (uint64_t n = 1; n <= COUNT; n++)
        restore_stored(&f, n, 1);
    queue_restore_lane_done(f.queue, 0, COUNT + 1);
    queue_restore_done(f.queue, &f.effects);
    ck_assert_uint_eq(fetch(&f, QUEUE_READ_AHEAD_MESSAGES + 10), QUEUE_READ_AHEAD_MESSAGES + 10);
    consume_all(&f);
    deliver_some(&f, 10);
    ck_assert_uint_eq(f.effects.count, 10);
    forget_effects(&f);
    deliver_some(&f, 1);
    expect_delivered(&f, 11, 1);
    expect_effect(&f, EFFECT_FETCH, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(first_message_is_fetched_however_many_are_there_behind_it)
{
    enum { BEHIND = 2 * QUEUE_READ_AHEAD_MESSAGES };

    queue_start(&f);
    restore_stored(&f, 1, 0);
    for (uint64_t n = 2; n <= BEHIND + 1; n++)
        restore_stored(&f, n, 1);
    queue_restore_lane_done(f.queue, 0, BEHIND + 2);
    queue_restore_done(f.queue, &f.effects);
    ck_assert_uint_eq(fetch(&f, BEHIND), BEHIND);
    consume_all(&f);
    deliver_some(&f, 1);
    expect_effect(&f, EFFECT_FETCH, 0);
    ck_assert_uint_eq(fetch(&f, BEHIND), 1);
    deliver_some(&f, 2);
    expect_delivered(&f, 1, 0);
    expect_delivered(&f, 2, 1);
    queue_finish(&f);
}
END_TEST

START_TEST(large_messages_are_read_ahead_by_their_bytes)
{
    queue_start(&f);
    f.body_size = QUEUE_READ_AHEAD_BYTES / 4;
    publish_stored(&f, 10);
    page_out(&f, 6);
    consume_all(&f);
    deliver_some(&f, 2);
    expect_delivered(&f, 1, 0);
    expect_delivered(&f, 2, 0);
    expect_no_effect(&f);
    deliver_some(&f, 1);
    expect_delivered(&f, 3, 0);
    expect_effect(&f, EFFECT_FETCH, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(list_is_bounded_by_bytes_and_holds_one_at_least)
{
    uint64_t sequences[10];
    struct store_location locations[10];

    queue_start(&f);
    f.body_size = 1000;
    publish_stored(&f, 10);
    page_out(&f, 2);
    ck_assert_uint_eq(queue_fetch_list(f.queue, 10, 5500, sequences, locations), 5);
    ck_assert_uint_eq(sequences[0], 3);
    ck_assert_uint_eq(sequences[4], 7);
    ck_assert_uint_eq(locations[4].offset, 7);
    ck_assert_uint_eq(queue_fetch_list(f.queue, 10, 10, sequences, locations), 1);
    ck_assert_uint_eq(queue_fetch_list(f.queue, 4, UINT64_MAX, sequences, locations), 4);
    queue_finish(&f);
}
END_TEST

START_TEST(list_with_nothing_on_it_ends_the_request)
{
    uint64_t sequence;
    struct store_location location;

    queue_start(&f);
    publish_stored(&f, 3);
    page_out(&f, 0);
    consume_all(&f);
    deliver_some(&f, 1);
    expect_effect(&f, EFFECT_FETCH, 0);
    queue_purge(f.queue, NULL, NULL);
    ck_assert_uint_eq(queue_fetch_list(f.queue, 1, UINT64_MAX, &sequence, &location), 0);
    publish_stored(&f, 1);
    page_out(&f, 0);
    deliver_some(&f, 1);
    expect_effect(&f, EFFECT_FETCH, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(messages_that_left_or_came_meanwhile_are_dropped)
{
    uint64_t sequences[4] = {1, 2, 3, 4};
    struct store_location locations[4];
    struct message *messages[4];

    queue_start(&f);
    publish_stored(&f, 3);
    page_out(&f, 0);
    ck_assert_uint_eq(queue_fetch_list(f.queue, 4, UINT64_MAX, sequences, locations), 3);
    queue_purge(f.queue, NULL, NULL);
    publish_stored(&f, 1);
    for (uint64_t n = 1; n <= 4; n++)
        messages[n - 1] = numbered_message(&f, n);
    queue_fetched(f.queue, sequences, messages, 4, &f.effects);
    ck_assert_uint_eq(queue_message_count(f.queue), 1);
    ck_assert_uint_eq(queue_resident_bytes(f.queue), FOOTPRINT);
    expect_no_effect(&f);
    queue_finish(&f);
}
END_TEST

START_TEST(lost_messages_leave_the_queue)
{
    uint64_t sequences[500];
    struct store_location locations[500];
    struct message *messages[500] = {NULL};

    queue_start(&f);
    restore_stored(&f, 1, 1);
    for (uint64_t n = 2; n <= 301; n++)
        restore_stored(&f, n, 0);
    queue_restore_lane_done(f.queue, 0, 302);
    queue_restore_done(f.queue, &f.effects);
    consume_all(&f);
    ck_assert_uint_eq(queue_fetch_list(f.queue, 500, UINT64_MAX, sequences, locations), 301);
    messages[200] = numbered_message(&f, 201);
    queue_fetched(f.queue, sequences, messages, 300, &f.effects);
    for (uint64_t n = 1; n <= 300; n++) {
        if (n != 201)
            expect_effect(&f, EFFECT_SETTLED, n);
    }
    expect_no_effect(&f);
    ck_assert_uint_eq(queue_message_count(f.queue), 2);
    ck_assert_uint_eq(queue_delivered_below(f.queue, 0), 201);
    deliver_some(&f, 10);
    expect_delivered(&f, 201, 0);
    expect_effect(&f, EFFECT_FETCH, 0);

    queue_fetched(f.queue, sequences + 300, messages + 300, 1, &f.effects);
    expect_effect(&f, EFFECT_SETTLED, 301);
    ck_assert_uint_eq(queue_message_count(f.queue), 0);
    ck_assert_uint_eq(queue_ready_bytes(f.queue), 0);
    ck_assert_uint_eq(queue_delivered_below(f.queue, 0), 302);
    publish_stored(&f, 1);
    deliver_some(&f, 1);
    expect_delivered(&f, 302, 0);
    queue_finish(&f);
}
END_TEST

START_TEST(backlog_drains_in_order_while_it_is_paged_in_and_out)
{
    struct consumer *c;
    uint64_t next = 1;

    queue_start(&f);
    publish_stored(&f, 5000);
    page_out(&f, 700);
    c = consume_all(&f);
    while (queue_message_count(f.queue) != 0) {
        bool asked = false;

        deliver_some(&f, 100);
        for (uint32_t i = 0; i < f.effects.count; i++)
            asked = asked || f.effects.items[i].type == EFFECT_FETCH;
        while (f.next_effect < f.effects.count && !(asked && f.next_effect + 1 == f.effects.count))
            expect_delivered(&f, next++, 0);
        forget_effects(&f);
        consumer_settle(c, 0, UINT64_MAX, SETTLE_ACK, 0, &f.effects);
        forget_effects(&f);
        if (asked)
            ck_assert_uint_gt(fetch(&f, 1500), 0);
        if (next < 4000)
            publish_stored(&f, 30);
        page_out(&f, 700);
        ck_assert_uint_le(queue_resident_bytes(f.queue), 4000 * FOOTPRINT);
    }
    ck_assert_uint_eq(next, queue_next_sequence(f.queue, 0));
    queue_finish(&f);
}
END_TEST

START_TEST(paged_out_message_costs_its_slot)
{
    enum { COUNT = 100000 };
    size_t before;
    size_t resident;

    queue_start(&f);
    before = mallinfo2().uordblks;
    f.body_size = 104;
    publish_stored(&f, COUNT);
    resident = mallinfo2().uordblks - before;
    page_out(&f, 0);
    ck_assert_uint_le(resident, COUNT * (size_t)(104 + 48));
    ck_assert_uint_le(mallinfo2().uordblks - before, COUNT * (size_t)18);
    queue_finish(&f);
}
END_TEST

UNIT_MAIN("queue_paging", deep_messages_leave_memory_and_the_first_stay,
          what_came_back_counts_among_the_first, many_that_came_back_leave_memory_too,
          unacked_messages_leave_memory_and_an_ack_needs_none,
          unacked_messages_on_disk_come_back_to_their_place,
          unacked_message_on_disk_is_dead_lettered_from_there,
          unacked_message_without_a_location_gets_one_or_stays, what_is_not_durable_yet_stays,
          no_message_is_looked_at_twice, call_goes_on_where_the_last_one_stopped,
          message_without_a_location_gets_one_once,
          message_that_cannot_be_paged_stays_until_there_is_room,
          message_in_use_elsewhere_gives_nothing_back,
          queue_that_lacks_its_first_message_asks_once_and_rests,
          queue_paged_out_to_the_head_during_a_read_rests, nothing_is_fetched_for_nobody,
          get_waits_for_a_message_that_is_not_in_memory,
          reading_ahead_begins_before_memory_runs_out,
          what_was_delivered_before_a_restart_is_read_ahead_too,
          first_message_is_fetched_however_many_are_there_behind_it,
          large_messages_are_read_ahead_by_their_bytes,
          list_is_bounded_by_bytes_and_holds_one_at_least, list_with_nothing_on_it_ends_the_request,
          messages_that_left_or_came_meanwhile_are_dropped, lost_messages_leave_the_queue,
          backlog_drains_in_order_while_it_is_paged_in_and_out, paged_out_message_costs_its_slot)
