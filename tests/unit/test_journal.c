#include "tests/unit/journal_owner.h"
#include "tests/unit/memory_files.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct memory_files files;
static struct owner owner;

static void start(void)
{
    memory_files_init(&files);
    owner_init(&owner, &files.layer);
    ck_assert_int_eq(owner_open(&owner), 0);
}

static void reopen(void)
{
    owner_close(&owner);
    ck_assert_int_eq(owner_open(&owner), 0);
}

static void finish(void)
{
    owner_close(&owner);
    owner_free(&owner);
    memory_files_free(&files);
}

START_TEST(what_is_appended_is_durable_when_told_and_found_again)
{
    start();
    for (uint32_t i = 0; i < 1000; i++)
        owner_publish(&owner, i % 2, i % 300);
    ck_assert_uint_eq(journal_durable(owner.journal), 0);
    owner_commit(&owner);
    ck_assert_uint_eq(journal_durable(owner.journal), journal_appended(owner.journal));
    owner_check_content(&owner, 0);

    reopen();
    ck_assert_uint_eq(owner.damages, 0);
    ck_assert(owner.recovered.clean);
    ck_assert_uint_eq(owner_count(&owner, 0), 500);
    ck_assert_uint_eq(owner_count(&owner, 1), 500);
    ck_assert_uint_eq(owner.queues[0].next_sequence, 501);
    owner_check_content(&owner, 0);
    owner_check_content(&owner, 1);
    finish();
}
END_TEST

START_TEST(settled_messages_do_not_come_back)
{
    start();
    for (uint32_t i = 0; i < 1000; i++)
        owner_publish(&owner, 0, 50);
    owner_commit(&owner);
    for (uint64_t s = 1; s <= 1000; s++) {
        if (s % 7 != 0)
            owner_settle(&owner, 0, s);
        if (s % 100 == 0)
            owner_commit(&owner);
    }
    owner_commit(&owner);
    for (int life = 0; life < 3; life++) {
        reopen();
        ck_assert_uint_eq(owner_count(&owner, 0), 142);
        for (uint64_t s = 1; s <= 1000; s++)
            ck_assert(owner_holds(&owner, 0, s) == (s % 7 == 0));
        ck_assert_uint_eq(owner.queues[0].next_sequence, 1001);
        owner_publish(&owner, 1, 10); /* so that there is something to write */
        owner_commit(&owner);
    }
    owner_check_content(&owner, 0);
    finish();
}
END_TEST

START_TEST(a_message_for_many_queues_is_written_once)
{
    struct journal_figures figures;

    start();
    owner_publish_to_all(&owner, 4, 10000);
    ck_assert_uint_eq(owner.queues[0].messages[1].location.offset,
                      owner.queues[3].messages[1].location.offset);
    owner_commit(&owner);
    journal_figures(owner.journal, &figures);
    ck_assert_uint_lt(figures.bytes, 12000);
    owner_settle(&owner, 0, 1);
    owner_commit(&owner);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 0);
    for (uint32_t q = 1; q < 4; q++) {
        ck_assert(owner_holds(&owner, q, 1));
        owner_check_content(&owner, q);
    }
    finish();
}
END_TEST

START_TEST(a_message_at_the_address_of_another_is_not_taken_for_it)
{
    struct message *m;

    start();
    m = owner_message(1, 1, 100);
    journal_append_message(owner.journal, &owner.queues[0].journal, 1, m, 0);
    message_body(m)[50] ^= 1;
    journal_append_message(owner.journal, &owner.queues[0].journal, 2, m, 0);
    message_unref(m);
    owner_commit(&owner);
    reopen();
    ck_assert_uint_ne(owner.queues[0].messages[1].location.offset,
                      owner.queues[0].messages[2].location.offset);
    finish();
}
END_TEST

START_TEST(neighbouring_settles_share_a_record)
{
    struct journal_figures before, after;

    start();
    for (uint32_t i = 0; i < 256; i++)
        owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    journal_figures(owner.journal, &before);
    for (uint64_t s = 255; s >= 1; s--)
        owner_settle(&owner, 0, s);
    owner_commit(&owner);
    journal_figures(owner.journal, &after);
    ck_assert_uint_le(after.bytes - before.bytes, 96);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 1);
    finish();
}
END_TEST

START_TEST(purged_queues_are_empty_afterwards)
{
    start();
    for (uint32_t i = 0; i < 100; i++)
        owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    owner_purge(&owner, 0);
    owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 1);
    ck_assert(owner_holds(&owner, 0, 101));
    finish();
}
END_TEST

START_TEST(deliveries_are_remembered)
{
    start();
    for (uint32_t i = 0; i < 5; i++)
        owner_publish(&owner, 0, 10);
    journal_append_delivered(owner.journal, &owner.queues[0].journal, 3);
    journal_append_delivered(owner.journal, &owner.queues[0].journal, 4);
    owner.queues[0].messages[2].delivery_count = 3;
    journal_append_returned(owner.journal, &owner.queues[0].journal, 2, 3);
    owner_commit(&owner);
    for (int life = 0; life < 3; life++) {
        reopen();
        ck_assert_uint_eq(owner.queues[0].messages[1].delivery_count, 1);
        ck_assert_uint_eq(owner.queues[0].messages[2].delivery_count, 3);
        ck_assert_uint_eq(owner.queues[0].messages[3].delivery_count, 1);
        ck_assert_uint_eq(owner.queues[0].messages[4].delivery_count, 0);
        owner_publish(&owner, 1, 10);
        owner_commit(&owner);
    }
    finish();
}
END_TEST

START_TEST(sequence_numbers_go_on_after_everything_was_settled)
{
    start();
    owner.options.segment_size_bytes = 4096;
    reopen();
    for (uint32_t i = 0; i < 100; i++) {
        owner_settle(&owner, 0, owner_publish(&owner, 0, 500));
        owner_commit(&owner);
    }
    for (int life = 0; life < 3; life++) {
        reopen();
        ck_assert_uint_eq(owner.queues[0].next_sequence, 101);
        ck_assert_uint_eq(owner_count(&owner, 0), 0);
        owner_commit(&owner);
    }
    finish();
}
END_TEST

START_TEST(large_messages_get_segments_of_their_own_size)
{
    start();
    owner.options.segment_size_bytes = 4096;
    reopen();
    owner_publish(&owner, 0, 100);
    owner_publish(&owner, 0, 3 << 20);
    owner_commit(&owner);
    owner_publish(&owner, 0, 100);
    owner_commit(&owner);
    owner_check_content(&owner, 0);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 3);
    owner_check_content(&owner, 0);
    finish();
}
END_TEST

static bool one_segment(struct owner *o)
{
    (void)o;
    return memory_files_existing(&files) <= 2;
}

START_TEST(memory_goes_back_when_nothing_is_under_way)
{
    start();
    for (int i = 0; i < 64; i++)
        owner_publish(&owner, 0, 32 << 10);
    ck_assert_uint_ge(journal_memory_bytes(owner.journal), 2 << 20);
    ck_assert(!journal_give_back(owner.journal)); /* it is gathered */
    journal_submit(owner.journal);
    ck_assert(!journal_give_back(owner.journal)); /* it is under way */
    owner_commit(&owner);
    ck_assert_uint_ge(journal_memory_bytes(owner.journal), 2 << 20);
    ck_assert(journal_give_back(owner.journal));
    ck_assert_uint_le(journal_memory_bytes(owner.journal), 128 << 10);

    owner_publish(&owner, 0, 32 << 10);
    owner_commit(&owner);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 65);
    owner_check_content(&owner, 0);
    finish();
}
END_TEST

START_TEST(consumed_segments_are_deleted)
{
    start();
    owner.options.segment_size_bytes = 16384;
    reopen();
    for (uint32_t i = 0; i < 1000; i++) {
        owner_publish(&owner, 0, 200);
        if (i % 50 == 0)
            owner_commit(&owner);
    }
    owner_commit(&owner);
    ck_assert_uint_gt(memory_files_existing(&files), 10);
    for (uint64_t s = 1; s <= 1000; s++)
        owner_settle(&owner, 0, s);
    owner_wait(&owner, one_segment);
    reopen();
    ck_assert_uint_eq(owner.damages, 0);
    ck_assert_uint_eq(owner_count(&owner, 0), 0);
    ck_assert_uint_eq(owner.queues[0].next_sequence, 1001);
    finish();
}
END_TEST

static bool compacted(struct owner *o)
{
    struct journal_figures figures;

    journal_figures(o->journal, &figures);
    return figures.bytes < 100000;
}

START_TEST(sparse_segments_are_compacted)
{
    start();
    owner.options.segment_size_bytes = 65536;
    reopen();
    for (uint32_t i = 0; i < 2000; i++) {
        if (i % 10 == 0)
            owner_publish_to_all(&owner, 2, 500);
        else {
            owner_publish(&owner, 0, 500);
            owner_publish(&owner, 1, 500);
        }
        if (i % 50 == 49)
            owner_commit(&owner);
    }
    for (uint64_t s = 1; s <= 2000; s++) {
        if (s % 20 != 1)
            owner_settle(&owner, 0, s);
        if (s % 40 != 1)
            owner_settle(&owner, 1, s);
    }
    owner_wait(&owner, compacted);
    ck_assert_uint_gt(owner.relocated, 100);
    owner_check_content(&owner, 0);
    owner_check_content(&owner, 1);
    for (int life = 0; life < 2; life++) {
        reopen();
        ck_assert_uint_eq(owner.damages, 0);
        for (uint64_t s = 1; s <= 2000; s++) {
            ck_assert(owner_holds(&owner, 0, s) == (s % 20 == 1));
            ck_assert(owner_holds(&owner, 1, s) == (s % 40 == 1));
        }
        owner_check_content(&owner, 0);
        owner_check_content(&owner, 1);
    }
    finish();
}
END_TEST

START_TEST(a_message_settled_while_it_is_copied_stays_settled)
{
    start();
    owner.options.segment_size_bytes = 65536;
    reopen();
    for (uint32_t i = 0; i < 1000; i++) {
        owner_publish(&owner, 0, 500);
        if (i % 50 == 49)
            owner_commit(&owner);
    }
    for (uint64_t s = 1; s <= 1000; s++) {
        if (s % 5 != 0)
            owner_settle(&owner, 0, s);
    }
    /* Turn by turn, so that settles fall between copying and relocating. */
    for (uint64_t s = 5; s <= 1000; s += 5) {
        if (s % 25 == 0)
            continue;
        owner_settle(&owner, 0, s);
        owner_turn(&owner);
    }
    owner_commit(&owner);
    reopen();
    for (uint64_t s = 1; s <= 1000; s++)
        ck_assert(owner_holds(&owner, 0, s) == (s % 25 == 0));
    owner_check_content(&owner, 0);
    finish();
}
END_TEST

#define FANNED_OUT 4000

/* No message is in the segment any more. */
static bool is_left(uint32_t segment)
{
    for (uint32_t q = 0; q < OWNER_QUEUES; q++) {
        for (uint64_t s = 1; s <= FANNED_OUT; s++) {
            if (owner_holds(&owner, q, s) &&
                owner.queues[q].messages[s].location.segment == segment)
                return false;
        }
    }
    return true;
}

/* Small messages for four queues, so that a chunk's end often has a message before it and its
 * references behind, and messages of others that are appended between two chunks. */
/* What several queues hold is live once: of a segment in which little is left, and in which each
 * message had four holders, less is live than one in ten of its bytes. */
START_TEST(shared_messages_are_live_once)
{
    enum { MESSAGES = 400 };
    struct journal_figures figures;

    start();
    owner.options.segment_size_bytes = 1 << 20;
    owner.options.compact_below_percent = 0;
    reopen();
    for (uint32_t i = 0; i < MESSAGES; i++)
        owner_publish_to_all(&owner, 4, 1000);
    owner_commit(&owner);
    for (int life = 0; life < 2; life++) {
        journal_figures(owner.journal, &figures);
        ck_assert_uint_ge(figures.live_bytes, MESSAGES * 1000);
        ck_assert_uint_le(figures.live_bytes, figures.bytes);
        reopen();
    }
    /* One of the four holds all. */
    for (uint32_t q = 0; q < 3; q++) {
        for (uint64_t s = 1; s <= MESSAGES; s++)
            owner_settle(&owner, q, s);
    }
    owner_commit(&owner);
    journal_figures(owner.journal, &figures);
    ck_assert_uint_ge(figures.live_bytes, MESSAGES * 1000);
    for (uint64_t s = 1; s <= MESSAGES; s++) {
        if (s % 20 != 0)
            owner_settle(&owner, 3, s);
    }
    owner_commit(&owner);
    for (int life = 0; life < 2; life++) {
        journal_figures(owner.journal, &figures);
        ck_assert_uint_ge(figures.live_bytes, MESSAGES / 20 * 900);
        ck_assert_uint_le(figures.live_bytes, MESSAGES / 10 * 1000);
        reopen();
    }
    finish();
}
END_TEST

static bool few_are_left(struct owner *o)
{
    struct journal_figures figures;

    journal_figures(o->journal, &figures);
    return figures.bytes < 200000;
}

/* One message in ten is left to all four: with each counted four times it would seem that two
 * fifths are. */
START_TEST(sparse_segments_of_shared_messages_are_compacted)
{
    enum { MESSAGES = 1000 };

    start();
    owner.options.segment_size_bytes = 65536;
    owner.options.compact_below_percent = 30;
    reopen();
    for (uint32_t i = 0; i < MESSAGES; i++) {
        owner_publish_to_all(&owner, 4, 1000);
        if (i % 50 == 49)
            owner_commit(&owner);
    }
    for (uint32_t q = 0; q < 4; q++) {
        for (uint64_t s = 1; s <= MESSAGES; s++) {
            if (s % 10 != 0)
                owner_settle(&owner, q, s);
        }
    }
    owner_wait(&owner, few_are_left);
    for (int life = 0; life < 2; life++) {
        for (uint32_t q = 0; q < 4; q++) {
            ck_assert_uint_eq(owner_count(&owner, q), MESSAGES / 10);
            owner_check_content(&owner, q);
        }
        reopen();
    }
    finish();
}
END_TEST

START_TEST(references_behind_a_chunk_of_compaction_are_found_again)
{
    uint32_t last;

    start();
    owner.options.segment_size_bytes = 1 << 20;
    reopen();
    for (uint32_t i = 0; i < FANNED_OUT; i++)
        owner_publish_to_all(&owner, OWNER_QUEUES, 8);
    owner_commit(&owner);
    last = owner.queues[0].messages[FANNED_OUT].location.segment;
    /* Ends the segment, and makes it sparse. */
    for (uint32_t i = 0; i < 60; i++)
        owner_settle(&owner, 0, owner_publish(&owner, 0, 64 << 10));
    owner_commit(&owner);
    do {
        owner_publish(&owner, 1, 8); /* before each turn, in which a chunk may be copied */
        owner_turn(&owner);
    } while (!is_left(last));
    owner_commit(&owner);
    reopen();
    ck_assert_uint_eq(owner.damages, 0);
    for (uint32_t q = 0; q < OWNER_QUEUES; q++) {
        for (uint64_t s = 1; s <= FANNED_OUT; s++)
            ck_assert_msg(owner_holds(&owner, q, s), "queue %u, message %llu", q,
                          (unsigned long long)s);
        owner_check_content(&owner, q);
    }
    finish();
}
END_TEST

static uint64_t syncs(void)
{
    struct journal_figures figures;

    journal_figures(owner.journal, &figures);
    return figures.syncs;
}

START_TEST(settled_records_alone_are_not_synced_at_once)
{
    struct journal_figures before, after;

    start();
    for (uint32_t i = 0; i < 10; i++)
        owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    journal_figures(owner.journal, &before);
    for (uint64_t s = 1; s <= 10; s++) {
        owner_settle(&owner, 0, s);
        owner_commit(&owner);
    }
    journal_figures(owner.journal, &after);
    ck_assert_uint_le(after.syncs - before.syncs, 1);
    owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    journal_figures(owner.journal, &after);
    ck_assert_uint_gt(after.syncs, before.syncs);
    finish();
}
END_TEST

START_TEST(settled_records_that_were_written_are_synced_when_asked)
{
    uint64_t before;

    start();
    owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    owner_settle(&owner, 0, 1);
    owner_commit(&owner);
    before = syncs();
    journal_request_sync(owner.journal);
    ck_assert_uint_lt(journal_durable(owner.journal), journal_appended(owner.journal));
    owner_commit(&owner);
    ck_assert_uint_gt(syncs(), before);
    before = syncs();
    journal_request_sync(owner.journal);
    owner_commit(&owner);
    ck_assert_uint_eq(syncs(), before);
    finish();
}
END_TEST

static bool was_synced(struct owner *o)
{
    (void)o;
    return syncs() != 0;
}

START_TEST(with_an_interval_syncs_come_by_the_clock)
{
    start();
    owner.options.sync = JOURNAL_SYNC_INTERVAL;
    owner.options.sync_interval_ms = 3600000;
    reopen();
    for (int i = 0; i < 20; i++) {
        owner_publish(&owner, 0, 100);
        owner_commit(&owner);
    }
    ck_assert_uint_eq(syncs(), 0);
    owner.options.sync_interval_ms = 20;
    reopen();
    owner_publish(&owner, 0, 100);
    owner_commit(&owner);
    owner_wait(&owner, was_synced);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 21);
    finish();
}
END_TEST

static atomic_bool sync_began;
static atomic_bool sync_may_end;

static ssize_t hold_sync(enum file_operation operation, size_t size)
{
    if (operation == FILE_SYNC) {
        atomic_store(&sync_began, true);
        while (!atomic_load(&sync_may_end))
            sched_yield();
    }
    return (ssize_t)size;
}

START_TEST(a_group_that_comes_during_a_sync_alone_is_written)
{
    start();
    owner.options.sync = JOURNAL_SYNC_INTERVAL;
    owner.options.sync_interval_ms = 200; /* so that the first write is long over by then */
    reopen();
    atomic_store(&sync_began, false);
    atomic_store(&sync_may_end, false);
    files.fault = hold_sync;
    owner_publish(&owner, 0, 100);
    owner_turn(&owner);
    while (!atomic_load(&sync_began)) /* the group is written, and its time to be synced has come */
        sched_yield();
    owner_turn(&owner);
    owner_publish(&owner, 0, 100);
    owner_turn(&owner);
    atomic_store(&sync_may_end, true);
    owner_commit(&owner);
    owner_publish(&owner, 0, 100);
    owner_commit(&owner);
    files.fault = NULL;
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 3);
    finish();
}
END_TEST

START_TEST(without_syncs_only_what_replaces_a_segment_is_synced)
{
    start();
    owner.options.sync = JOURNAL_SYNC_NEVER;
    owner.options.segment_size_bytes = 16384;
    reopen();
    for (uint32_t i = 0; i < 200; i++) {
        owner_publish(&owner, 0, 500);
        owner_commit(&owner);
    }
    ck_assert_uint_eq(syncs(), 0);
    for (uint64_t s = 1; s <= 200; s++)
        owner_settle(&owner, 0, s);
    owner_wait(&owner, one_segment);
    ck_assert_uint_gt(syncs(), 0);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 0);
    finish();
}
END_TEST

START_TEST(the_queues_of_a_released_queue_free_their_segment)
{
    start();
    owner.options.segment_size_bytes = 4096;
    reopen();
    for (uint32_t i = 0; i < 20; i++)
        owner_publish(&owner, 0, 500);
    owner_commit(&owner);
    owner_purge(&owner, 0);
    journal_queue_release(owner.journal, &owner.queues[0].journal);
    owner_publish(&owner, 1, 10);
    owner_wait(&owner, one_segment);
    finish();
}
END_TEST

/* ---- Failures ---- */

static enum file_operation failing;
static ssize_t failure;

static ssize_t fail_operation(enum file_operation operation, size_t size)
{
    if (operation == failing)
        return failure;
    return operation == FILE_WRITE ? (ssize_t)size : 0;
}

static void fail_from_now_on(enum file_operation operation, ssize_t result)
{
    failing = operation;
    failure = result;
    memory_files_set_fault(&files, fail_operation);
}

static ssize_t write_shortly(enum file_operation operation, size_t size)
{
    return operation == FILE_WRITE && size > 7 ? (ssize_t)(size / 3 + 1) : (ssize_t)size;
}

START_TEST(short_writes_are_continued)
{
    start();
    memory_files_set_fault(&files, write_shortly);
    for (uint32_t i = 0; i < 100; i++)
        owner_publish(&owner, 0, 1000);
    owner_commit(&owner);
    ck_assert(!journal_is_failed(owner.journal));
    memory_files_set_fault(&files, NULL);
    owner_check_content(&owner, 0);
    reopen();
    ck_assert_uint_eq(owner_count(&owner, 0), 100);
    finish();
}
END_TEST

static const struct {
    enum file_operation operation;
    ssize_t result;
} failures[] = {
    {FILE_WRITE, -ENOSPC},  {FILE_WRITE, -EIO},          {FILE_SYNC, -EIO},
    {FILE_CREATE, -EMFILE}, {FILE_SYNC_DIRECTORY, -EIO}, {FILE_TRUNCATE, -EIO},
};

/* What was lost is no longer the queue's: the lead's duty. */
static void forget_lost(void)
{
    for (uint64_t s = 1; s < owner.queues[0].next_sequence; s++) {
        struct owned_message *m = &owner.queues[0].messages[s];

        if (m->held && m->appended_at > journal_durable(owner.journal)) {
            m->held = false;
            journal_release_message(owner.journal, m->location);
        }
    }
}

START_TEST(after_a_failure_nothing_more_is_durable_until_a_retry)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        uint64_t durable, kept;
        struct message *m;

        start();
        owner.options.segment_size_bytes = 8192;
        reopen();
        for (uint32_t k = 0; k < 30; k++) {
            owner_publish(&owner, 0, 300);
            owner_commit(&owner);
        }
        owner_settle(&owner, 0, 1);
        owner_commit(&owner);
        fail_from_now_on(failures[i].operation, failures[i].result);
        for (uint32_t k = 0; k < 60 && !journal_is_failed(owner.journal); k++) {
            owner_settle(&owner, 0, k + 2);
            owner_publish(&owner, 0, 300);
            owner_commit(&owner);
        }
        ck_assert(journal_is_failed(owner.journal));
        ck_assert_int_eq(owner.error, (int)-failures[i].result);
        ck_assert_uint_eq(owner.failures, 1);
        durable = journal_durable(owner.journal);
        forget_lost();
        kept = owner_count(&owner, 0);

        /* Refused while failed; settled messages are remembered. */
        m = owner_message(2, 1, 5);
        ck_assert(store_location_is_none(
            journal_append_message(owner.journal, &owner.queues[1].journal, 1, m, 0)));
        message_unref(m);
        ck_assert_uint_eq(journal_durable(owner.journal), durable);
        if (failures[i].operation != FILE_TRUNCATE)
            ck_assert_int_lt(journal_retry(owner.journal), 0);
        memory_files_set_fault(&files, NULL);
        ck_assert_int_eq(journal_retry(owner.journal), 0);
        ck_assert(!journal_is_failed(owner.journal));
        owner_publish(&owner, 2, 5);
        owner_commit(&owner);
        ck_assert_uint_gt(journal_durable(owner.journal), durable);

        reopen();
        ck_assert_uint_eq(owner.damages, 0);
        ck_assert_uint_eq(owner_count(&owner, 0), kept);
        ck_assert_uint_eq(owner_count(&owner, 2), 1);
        owner_check_content(&owner, 0);
        finish();
    }
}
END_TEST

/* Whatever the mode, and whether the file is full meanwhile. */
START_TEST(nothing_is_durable_in_a_file_that_was_deleted)
{
    static const enum journal_sync modes[] = {JOURNAL_SYNC_ALWAYS, JOURNAL_SYNC_INTERVAL,
                                              JOURNAL_SYNC_NEVER};

    for (unsigned k = 0; k < 2 * sizeof(modes) / sizeof(modes[0]); k++) {
        uint64_t durable;

        memory_files_init(&files);
        owner_init(&owner, &files.layer);
        owner.options.sync = modes[k / 2];
        owner.options.segment_size_bytes = 8192;
        ck_assert_int_eq(owner_open(&owner), 0);
        owner_publish(&owner, 0, 100);
        owner_commit(&owner);
        durable = journal_durable(owner.journal);
        ck_assert_int_eq(files.layer.unlink(&files, memory_files_last(&files)->path), 0);
        for (int i = 0; i < (k % 2 == 0 ? 1 : 200); i++)
            owner_publish(&owner, 0, 100);
        owner_commit(&owner);
        ck_assert(journal_is_failed(owner.journal));
        ck_assert_int_eq(owner.error, ENOENT);
        ck_assert_uint_eq(journal_durable(owner.journal), durable);
        forget_lost();

        ck_assert_int_eq(journal_retry(owner.journal), 0);
        owner_publish(&owner, 1, 100);
        owner_commit(&owner);
        reopen();
        ck_assert_uint_eq(owner_count(&owner, 1), 1);
        finish();
    }
}
END_TEST

/* Flips a bit of the message at the location. */
static void damage(struct store_location location)
{
    char number[16];

    snprintf(number, sizeof(number), "/%08x-", location.segment);
    for (uint32_t i = 0; i < files.count; i++) {
        if (files.files[i].path != NULL && strstr(files.files[i].path, number) != NULL)
            files.files[i].data[(location.offset & ~7u) + 60] ^= 1;
    }
}

START_TEST(damaged_records_are_missing_among_those_read_with_them)
{
    enum { COUNT = 40 };
    struct journal_read_result result = {.error = 0};
    struct store_location locations[COUNT];

    start();
    for (uint32_t i = 0; i < COUNT; i++)
        owner_publish(&owner, 0, i % 8 == 0 ? 3 << 20 : 100);
    owner_commit(&owner);
    for (uint32_t i = 0; i < COUNT; i++) {
        locations[i] = owner.queues[0].messages[i + 1].location;
        if (i % 3 == 0)
            damage(locations[i]);
    }
    journal_read(owner.journal, locations, COUNT, &owner);
    while (!journal_take_read(owner.journal, &result)) {
    }
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i % 3 == 0) {
            ck_assert_ptr_null(result.messages[i]);
            continue;
        }
        ck_assert_uint_eq(result.messages[i]->body_size, i % 8 == 0 ? 3 << 20 : 100);
        message_unref(result.messages[i]);
    }
    journal_read_result_free(&result);
    finish();
}
END_TEST

UNIT_MAIN("journal", what_is_appended_is_durable_when_told_and_found_again,
          settled_messages_do_not_come_back, a_message_for_many_queues_is_written_once,
          a_message_at_the_address_of_another_is_not_taken_for_it,
          neighbouring_settles_share_a_record, purged_queues_are_empty_afterwards,
          deliveries_are_remembered, sequence_numbers_go_on_after_everything_was_settled,
          large_messages_get_segments_of_their_own_size, memory_goes_back_when_nothing_is_under_way,
          consumed_segments_are_deleted, sparse_segments_are_compacted,
          a_message_settled_while_it_is_copied_stays_settled,
          references_behind_a_chunk_of_compaction_are_found_again, shared_messages_are_live_once,
          sparse_segments_of_shared_messages_are_compacted,
          settled_records_alone_are_not_synced_at_once,
          settled_records_that_were_written_are_synced_when_asked,
          with_an_interval_syncs_come_by_the_clock,
          a_group_that_comes_during_a_sync_alone_is_written,
          without_syncs_only_what_replaces_a_segment_is_synced,
          the_queues_of_a_released_queue_free_their_segment, short_writes_are_continued,
          after_a_failure_nothing_more_is_durable_until_a_retry,
          nothing_is_durable_in_a_file_that_was_deleted,
          damaged_records_are_missing_among_those_read_with_them)
