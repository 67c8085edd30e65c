/* A journal on a disk that is full: what is consumed frees it, with the reserve's help alone. */
#include "tests/unit/journal_owner.h"
#include "tests/unit/memory_files.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>

enum {
    SPACE = 2 << 20,
    RESERVE = 256 << 10,
    SEGMENT = 128 << 10,
    BODY = 500,
};

static struct memory_files files;
static struct owner owner;
static atomic_uint shortages;

static void set_options(uint64_t reserve)
{
    owner.options.segment_size_bytes = SEGMENT;
    owner.options.reserve_bytes = reserve;
    owner.options.shortages = &shortages;
}

static void start(uint64_t reserve)
{
    memory_files_init(&files);
    files.space = SPACE;
    owner_init(&owner, &files.layer);
    set_options(reserve);
    ck_assert_int_eq(owner_open(&owner), 0);
}

static void finish(void)
{
    owner_close(&owner);
    ck_assert_uint_eq(atomic_load(&shortages), 0);
    owner_free(&owner);
    memory_files_free(&files);
}

/* Goes on with the files as a process would find them that was killed just before. */
static void crash(void)
{
    struct memory_files found;

    memory_files_copy(&found, &files);
    finish();
    files = found;
    files.layer.context = &files;
    owner_init(&owner, &files.layer);
    set_options(RESERVE);
    ck_assert_int_eq(owner_open(&owner), 0);
}

/* What was lost is no longer the queue's: the owner's duty. */
static void forget_lost(uint32_t queue)
{
    for (uint64_t s = 1; s < owner.queues[queue].next_sequence; s++) {
        struct owned_message *m = &owner.queues[queue].messages[s];

        if (m->held && m->appended_at > journal_durable(owner.journal)) {
            m->held = false;
            journal_release_message(owner.journal, m->location);
        }
    }
}

/* Publishes to the first queue until there is no space. Returns how many messages it holds. */
static uint64_t fill(void)
{
    while (!journal_is_failed(owner.journal)) {
        ck_assert_uint_lt(owner.queues[0].next_sequence, 2 * SPACE / BODY);
        owner_publish(&owner, 0, BODY);
        if (owner.queues[0].next_sequence % 8 == 0)
            owner_commit(&owner);
    }
    ck_assert_int_eq(owner.error, ENOSPC);
    forget_lost(0);
    return owner_count(&owner, 0);
}

static void settle_range(uint64_t from, uint64_t to)
{
    for (uint64_t s = from; s < to; s++) {
        if (owner_holds(&owner, 0, s))
            owner_settle(&owner, 0, s);
    }
}

static bool recovered_space(struct owner *o)
{
    return journal_retry(o->journal) == 0 && journal_takes_messages(o->journal);
}

static void retry_some_times(void)
{
    for (int i = 0; i < 50; i++) {
        journal_retry(owner.journal);
        owner_commit(&owner);
    }
}

static void check_refuses(void)
{
    struct message *m = owner_message(2, 1, 5);

    ck_assert(!journal_takes_messages(owner.journal));
    ck_assert(store_location_is_none(
        journal_append_message(owner.journal, &owner.queues[1].journal, 1, m, 0)));
    message_unref(m);
}

START_TEST(consuming_frees_a_full_disk)
{
    uint64_t count;

    start(RESERVE);
    count = fill();
    ck_assert_uint_gt(count, SPACE / BODY / 2);
    retry_some_times();
    check_refuses();
    settle_range(1, 200);
    for (uint64_t s = 200; s < 2000; s += 10) { /* in small steps, each with a state of its own */
        settle_range(s, s + 10);
        retry_some_times();
    }
    owner_wait(&owner, recovered_space);
    ck_assert_uint_ge(memory_files_used(&files), RESERVE);
    owner_publish(&owner, 1, BODY);
    owner_commit(&owner);
    ck_assert(!journal_is_failed(owner.journal));
    crash();
    ck_assert_uint_eq(owner.damages, 0);
    ck_assert_uint_eq(owner_count(&owner, 0), count - 1999);
    ck_assert_uint_eq(owner_count(&owner, 1), 1);
    owner_check_content(&owner, 0);
    finish();
}
END_TEST

/* The measure of the test before. */
START_TEST(without_a_reserve_consuming_frees_nothing)
{
    uint64_t count;

    start(0);
    count = fill();
    settle_range(1, count);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(journal_retry(owner.journal), -ENOSPC);
    finish();
}
END_TEST

START_TEST(a_full_disk_of_sparse_segments_is_compacted)
{
    uint64_t count;

    start(RESERVE);
    count = fill();
    for (uint64_t s = 1; s <= count; s++) {
        if (s % 20 != 0)
            settle_range(s, s + 1);
    }
    owner_wait(&owner, recovered_space);
    ck_assert_uint_gt(owner.relocated, 0);
    crash();
    for (uint64_t s = 1; s <= count; s++)
        ck_assert(owner_holds(&owner, 0, s) == (s % 20 == 0));
    owner_check_content(&owner, 0);
    finish();
}
END_TEST

START_TEST(what_is_settled_while_space_is_short_is_recorded_on_request)
{
    start(RESERVE);
    fill();
    ck_assert_int_eq(journal_retry(owner.journal), -ENOSPC);
    ck_assert(!journal_is_failed(owner.journal));
    settle_range(5, 10);
    journal_request_sync(owner.journal);
    ck_assert_uint_gt(journal_appended(owner.journal), journal_durable(owner.journal));
    owner_commit(&owner);
    crash();
    for (uint64_t s = 1; s < 15; s++)
        ck_assert(owner_holds(&owner, 0, s) == (s < 5 || s >= 10));
    finish();
}
END_TEST

START_TEST(what_is_settled_while_space_is_short_stays_settled_afterwards)
{
    start(RESERVE);
    fill();
    ck_assert_int_eq(journal_retry(owner.journal), -ENOSPC);
    settle_range(5, 10);
    files.space *= 2;
    ck_assert_int_eq(journal_retry(owner.journal), 0);
    owner_publish(&owner, 1, BODY);
    owner_commit(&owner);
    crash();
    ck_assert_uint_eq(owner_count(&owner, 1), 1);
    for (uint64_t s = 1; s < 15; s++)
        ck_assert(owner_holds(&owner, 0, s) == (s < 5 || s >= 10));
    finish();
}
END_TEST

START_TEST(a_restart_on_a_full_disk_goes_on_refusing_and_recovers)
{
    uint64_t count;

    start(RESERVE);
    count = fill();
    retry_some_times();
    files.space = memory_files_used(&files) + RESERVE / 2; /* others took the rest */
    crash();
    ck_assert(journal_wants_retry(owner.journal));
    ck_assert_uint_eq(owner_count(&owner, 0), count);
    owner_commit(&owner);
    check_refuses();
    settle_range(1, count);
    owner_wait(&owner, recovered_space);
    owner_publish(&owner, 1, BODY);
    owner_commit(&owner);
    crash();
    ck_assert_uint_eq(owner_count(&owner, 0), 1);
    ck_assert_uint_eq(owner_count(&owner, 1), 1);
    finish();
}
END_TEST

/* Another journal of the disk gave its reserve back: it is not for this one's messages. */
START_TEST(a_neighbours_shortage_refuses_messages_and_nothing_else)
{
    start(RESERVE);
    owner_publish(&owner, 0, BODY);
    owner_publish(&owner, 0, BODY);
    owner_commit(&owner);
    atomic_fetch_add(&shortages, 1);
    ck_assert(!journal_wants_retry(owner.journal));
    check_refuses();
    owner_settle(&owner, 0, 1);
    owner_commit(&owner);
    atomic_fetch_sub(&shortages, 1);
    ck_assert(journal_takes_messages(owner.journal));
    owner_publish(&owner, 1, BODY);
    owner_commit(&owner);
    crash();
    ck_assert(!owner_holds(&owner, 0, 1));
    ck_assert(owner_holds(&owner, 0, 2));
    ck_assert_uint_eq(owner_count(&owner, 1), 1);
    finish();
}
END_TEST

UNIT_MAIN("journal_space", consuming_frees_a_full_disk, without_a_reserve_consuming_frees_nothing,
          a_full_disk_of_sparse_segments_is_compacted,
          what_is_settled_while_space_is_short_is_recorded_on_request,
          what_is_settled_while_space_is_short_stays_settled_afterwards,
          a_restart_on_a_full_disk_goes_on_refusing_and_recovers,
          a_neighbours_shortage_refuses_messages_and_nothing_else)
