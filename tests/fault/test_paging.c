/* Backlogs several times larger than the memory target, and the disk they take: what is consumed,
 * purged or deleted gives it back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/fault/bulk.h"
#include "tests/wire/harness.h"

enum {
    MIB = 1024 * 1024,
    TARGET_MIB = 32,
    BODY = 4096,
    MESSAGES = 36 * 1024, /* 144 MiB */
    LARGE_BODY = 256 * 1024,
    LARGE_MESSAGES = 576,  /* 144 MiB */
    SLACK_MIB = 40,        /* of resident memory above the target */
    JOURNAL_REST_MIB = 22, /* two segments of 8 MiB, two reserves, and a little */
    PAGED_REST_MIB = 1,    /* page segments that have just begun */
};

#define HEAD \
    "listeners:\n" \
    "  - {address: 127.0.0.1, port: @PORT@}\n" \
    "workers: @WORKERS@\n" \
    "disk:\n" \
    "  free_limit: 0\n"

static const char PAGING_CONFIG[] = HEAD "memory:\n"
                                         "  target: 32MiB\n"
                                         "  high_watermark_percent: 0\n"
                                         "journal:\n"
                                         "  segment_size: 8MiB\n"
                                         "  reserve: 1MiB\n";

static const char SMALL_SEGMENTS_CONFIG[] = HEAD "journal:\n"
                                                 "  segment_size: 1MiB\n"
                                                 "  reserve: 1MiB\n";

static const struct bulk kinds[] = {
    {.queue = "backlog", .size = BODY, .persistent = true},
    {.queue = "backlog", .size = BODY, .persistent = false},
};

/* Publishing may be ahead of the disk for a moment. */
static void check_memory(const struct broker *b, const char *when)
{
    bool sanitized = broker_is_sanitized();
    int64_t begin = now_ms();
    long first_mib = broker_resident_kib(b) / 1024;
    long mib = first_mib;

    while (!sanitized && mib > TARGET_MIB + SLACK_MIB) {
        const struct timespec step = {.tv_nsec = 50000000};

        ck_assert_msg(now_ms() - begin < deadline_ms(), "%s: %ld MiB resident, target %d MiB", when,
                      mib, TARGET_MIB);
        nanosleep(&step, NULL);
        mib = broker_resident_kib(b) / 1024;
    }
    printf("%s: %ld MiB resident, %ld after %lld ms, with a target of %d MiB\n", when, first_mib,
           mib, (long long)(now_ms() - begin), TARGET_MIB);
}

/* A backlog of few messages, each of them large. */
START_TEST(backlog_of_large_messages_is_on_disk_and_comes_back_in_order)
{
    const struct bulk k = {.queue = "large", .size = LARGE_BODY, .persistent = _i % 2 == 0};
    struct broker *b = broker_prepare();

    broker_launch(b, PAGING_CONFIG, 2);
    bulk_declare(b, k.queue, true);
    bulk_fill(b, &k, 0, LARGE_MESSAGES);
    check_memory(b, k.persistent ? "large persistent backlog" : "large transient backlog");
    bulk_drain(b, &k, 0, LARGE_MESSAGES);
    check_memory(b, "drained");
    ck_assert_uint_eq(bulk_count(b, k.queue), 0);
    ck_assert(broker_stop(b));
}
END_TEST

static void await_small(const struct broker *b, const struct bulk *k)
{
    if (k->persistent)
        bulk_await_disk_use(b, "journal", JOURNAL_REST_MIB * MIB);
    else
        bulk_await_disk_use(b, "paged", PAGED_REST_MIB * MIB);
}

START_TEST(backlog_beyond_memory_is_on_disk_and_comes_back_in_order)
{
    const struct bulk *k = &kinds[_i % 2];
    struct broker *b = broker_prepare();

    broker_launch(b, PAGING_CONFIG, _i < 2 ? 1 : 2);
    bulk_declare(b, k->queue, true);
    bulk_fill(b, k, 0, MESSAGES);
    check_memory(b, k->persistent ? "persistent backlog" : "transient backlog");
    ck_assert_uint_eq(bulk_count(b, k->queue), MESSAGES);
    bulk_get(b, k, 0, 300);
    bulk_drain(b, k, 300, MESSAGES - 300);
    check_memory(b, "drained");
    ck_assert_uint_eq(bulk_count(b, k->queue), 0);
    await_small(b, k);

    bulk_fill(b, k, 0, MESSAGES);
    bulk_get(b, k, 0, 3);
    bulk_purge(b, k->queue);
    ck_assert_uint_eq(bulk_count(b, k->queue), 0);
    await_small(b, k);

    bulk_fill(b, k, 5, MESSAGES / 2);
    bulk_delete(b, k->queue);
    await_small(b, k);
    bulk_declare(b, k->queue, true);
    ck_assert_uint_eq(bulk_count(b, k->queue), 0);
    bulk_fill(b, k, 7, 100);
    bulk_drain(b, k, 7, 100);
    ck_assert(broker_stop(b));
}
END_TEST

/* All is unacked at once, and comes back; twice, for then all has been delivered. */
START_TEST(backlog_that_is_unacked_or_came_back_is_on_disk)
{
    const struct bulk *k = &kinds[_i];
    struct broker *b = broker_prepare();
    struct link l;

    broker_launch(b, PAGING_CONFIG, 1 + _i);
    bulk_declare(b, k->queue, true);
    bulk_fill(b, k, 0, MESSAGES);
    for (int i = 0; i < 2; i++) {
        bulk_hold(b, k, 0, MESSAGES, &l);
        check_memory(b, k->persistent ? "persistent, unacked" : "transient, unacked");
        link_drop(&l);
        bulk_await_count(b, k->queue, MESSAGES);
        check_memory(b, k->persistent ? "persistent, requeued" : "transient, requeued");
    }
    bulk_drain(b, k, 0, MESSAGES);
    await_small(b, k);
    ck_assert(broker_stop(b));
}
END_TEST

/* What is on the disk alone is read once more when it dies, a part at a time, and letters of what
 * is in memory come behind it: in order. */
START_TEST(unacked_backlog_is_dead_lettered)
{
    const struct bulk *k = &kinds[_i];
    const struct bulk dead = {.queue = "dead", .size = k->size, .persistent = k->persistent};
    struct broker *b = broker_prepare();
    struct link l;

    broker_launch(b, PAGING_CONFIG, 1);
    bulk_declare(b, dead.queue, true);
    bulk_declare_rejecting(b, k->queue, dead.queue);
    bulk_fill(b, k, 0, MESSAGES);
    bulk_hold(b, k, 0, MESSAGES, &l);
    check_memory(b, "unacked");
    bulk_reject_held(&l);
    bulk_await_count(b, dead.queue, MESSAGES);
    check_memory(b, "dead");
    bulk_drain(b, &dead, 0, MESSAGES);
    await_small(b, &dead);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(paged_backlog_survives_a_kill)
{
    const struct bulk *k = &kinds[0];
    const struct bulk transient = {.queue = "news", .size = BODY, .persistent = false};
    struct broker *b = broker_prepare();

    broker_launch(b, PAGING_CONFIG, 2);
    bulk_declare(b, k->queue, true);
    bulk_declare(b, transient.queue, true);
    bulk_fill(b, &transient, 0, MESSAGES / 4);
    bulk_fill(b, k, 0, MESSAGES);
    bulk_get(b, k, 0, 10);
    bulk_fill(b, k, MESSAGES, 1); /* the acks are behind it */
    ck_assert(broker_kill(b));
    broker_launch(b, PAGING_CONFIG, 1);
    check_memory(b, "restarted");
    ck_assert_uint_eq(bulk_count(b, transient.queue), 0);
    ck_assert_uint_eq(bulk_disk_use(b, "paged") / MIB, 0);
    ck_assert_uint_eq(bulk_count(b, k->queue), MESSAGES - 9);
    bulk_drain(b, k, 10, MESSAGES - 9);
    check_memory(b, "drained");
    ck_assert(broker_stop(b));
}
END_TEST

/* One message in twenty is left in each segment. */
START_TEST(sparse_segments_are_compacted)
{
    const struct bulk stays = {.queue = "stays", .size = 1000, .persistent = true};
    const struct bulk goes = {.queue = "goes", .size = 1000, .persistent = true};
    struct broker *b = broker_prepare();

    broker_launch(b, SMALL_SEGMENTS_CONFIG, 1);
    bulk_declare(b, "stays", true);
    bulk_declare(b, "goes", true);
    for (uint32_t i = 0; i < 100; i++) {
        bulk_fill(b, &stays, 10 * i, 10);
        bulk_fill(b, &goes, 190 * i, 190);
    }
    ck_assert_uint_gt(bulk_disk_use(b, "journal"), 20 * MIB);
    bulk_drain(b, &goes, 0, 19000);
    bulk_fill(b, &stays, 1000, 1); /* the acks are behind it */
    bulk_await_disk_use(b, "journal", 6 * MIB);
    ck_assert(broker_kill(b));
    broker_launch(b, SMALL_SEGMENTS_CONFIG, 1);
    ck_assert_uint_eq(bulk_count(b, "goes"), 0);
    bulk_drain(b, &stays, 0, 1001);
    bulk_await_disk_use(b, "journal", 4 * MIB);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("paging");
    TCase *tcase = tcase_create("paging");

    tcase_set_timeout(tcase, 60.0 * deadline_ms() / 1000.0);
    tcase_add_loop_test(tcase, backlog_beyond_memory_is_on_disk_and_comes_back_in_order, 0, 4);
    tcase_add_loop_test(tcase, backlog_of_large_messages_is_on_disk_and_comes_back_in_order, 0, 2);
    tcase_add_loop_test(tcase, backlog_that_is_unacked_or_came_back_is_on_disk, 0, 2);
    tcase_add_loop_test(tcase, unacked_backlog_is_dead_lettered, 0, 2);
    tcase_add_test(tcase, paged_backlog_survives_a_kill);
    tcase_add_test(tcase, sparse_segments_are_compacted);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
