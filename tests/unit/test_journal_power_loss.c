/* Random runs on a recording file layer; for points of each, the disk as a power loss would leave
 * it is recovered and compared with what the journal had promised by then. */
#include "base/memory.h"
#include "base/random.h"
#include "tests/unit/journal_owner.h"
#include "tests/unit/memory_files.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* What was promised when the recorded operations were this many. */
struct promise {
    size_t operations;
    uint64_t durable;
};

static struct memory_files files;
static struct owner owner;
static struct random_sequence randomness;
static struct promise *promises;
static size_t promise_count;
static uint64_t relocated;
static size_t deleted;

static uint64_t below(uint64_t bound)
{
    return random_sequence_below(&randomness, bound);
}

static size_t operation_count(void)
{
    size_t n;

    pthread_mutex_lock(&files.lock);
    n = files.operation_count;
    pthread_mutex_unlock(&files.lock);
    return n;
}

static void note_promise(void)
{
    promises = memory_resize(promises, promise_count + 1, sizeof(*promises));
    promises[promise_count++] = (struct promise){
        .operations = operation_count(),
        .durable = journal_durable(owner.journal),
    };
}

/* A message that was held at some time, with numbers that settling chooses among. */
static bool settle_one(void)
{
    uint32_t queue = (uint32_t)below(OWNER_QUEUES);
    struct owned_queue *q = &owner.queues[queue];
    uint64_t from = 1 + below(q->next_sequence);

    for (uint64_t s = from; s < q->next_sequence && s < from + 20; s++) {
        if (q->messages[s].held) {
            owner_settle(&owner, queue, s);
            return true;
        }
    }
    return false;
}

static void step(void)
{
    switch (below(12)) {
    case 0:
        owner_publish_to_all(&owner, 1, 50);
        break;
    case 1:
        owner_publish(&owner, (uint32_t)below(OWNER_QUEUES), (uint32_t)below(3000));
        break;
    case 2:
    case 3:
    case 4:
        owner_publish(&owner, (uint32_t)below(OWNER_QUEUES), (uint32_t)below(200));
        break;
    case 5:
        if (below(60) == 0)
            owner_purge(&owner, (uint32_t)below(OWNER_QUEUES));
        break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
        settle_one();
        break;
    default:
        if (below(2) == 0)
            owner_commit(&owner);
        else
            owner_turn(&owner);
        note_promise();
        break;
    }
}

/* The promise that held when operation `count` had been done. */
static struct promise promise_at(size_t count)
{
    struct promise p = {0};

    for (size_t i = 0; i < promise_count && promises[i].operations <= count; i++)
        p = promises[i];
    return p;
}

/* A settled message may be back only when its settled record was not synced: it was appended behind
 * every message that is durable. */
static uint64_t last_durable_message(uint64_t durable)
{
    uint64_t last = 0;

    for (uint32_t q = 0; q < OWNER_QUEUES; q++) {
        for (uint64_t s = 1; s < owner.queues[q].next_sequence; s++) {
            const struct owned_message *m = &owner.queues[q].messages[s];

            if (m->appended_at <= durable && m->appended_at > last)
                last = m->appended_at;
        }
    }
    return last;
}

static void compare(const struct owner *after, struct promise p)
{
    uint64_t surely_settled = last_durable_message(p.durable);

    for (uint32_t queue = 0; queue < OWNER_QUEUES; queue++) {
        const struct owned_queue *q = &owner.queues[queue];

        for (uint64_t s = 1; s < q->next_sequence; s++) {
            const struct owned_message *m = &q->messages[s];
            bool held = owner_holds(after, queue, s);

            if (m->appended_at <= p.durable && (m->settled_at == 0 || m->settled_at > p.durable))
                ck_assert_msg(held || m->settled_at != 0, "message %u/%u is lost", queue,
                              (unsigned)s);
            if (m->settled_at != 0 && m->settled_at < surely_settled)
                ck_assert_msg(!held, "settled message %u/%u is back", queue, (unsigned)s);
        }
        for (uint64_t s = q->next_sequence; s < after->queues[queue].next_sequence; s++)
            ck_assert_msg(!owner_holds(after, queue, s), "invented");
    }
}

static void continue_after(struct owner *after)
{
    uint64_t counts[OWNER_QUEUES];

    for (uint32_t q = 0; q < OWNER_QUEUES; q++) {
        owner_check_content(after, q);
        owner_publish(after, q, 100);
        if (owner_holds(after, q, 1))
            owner_settle(after, q, 1);
        counts[q] = owner_count(after, q);
    }
    owner_commit(after);
    owner_close(after);
    ck_assert_int_eq(owner_open(after), 0);
    ck_assert_msg(after->damages == 0, "%s", after->last_damage);
    for (uint32_t q = 0; q < OWNER_QUEUES; q++) {
        ck_assert_uint_eq(owner_count(after, q), counts[q]);
        owner_check_content(after, q);
    }
}

static void crash_at(size_t count)
{
    struct memory_files disk;
    struct owner after;

    memory_files_after_power_loss(&disk, &files, count, &randomness);
    owner_init(&after, &disk.layer);
    after.options.segment_size_bytes = owner.options.segment_size_bytes;
    ck_assert_int_eq(owner_open(&after), 0);
    ck_assert_msg(after.damages == 0, "%s", after.last_damage);
    compare(&after, promise_at(count));
    continue_after(&after);
    owner_close(&after);
    owner_free(&after);
    memory_files_free(&disk);
}

static size_t deletions(void)
{
    size_t n = 0;

    pthread_mutex_lock(&files.lock);
    for (size_t i = 0; i < files.operation_count; i++)
        n += files.operations[i].operation == FILE_UNLINK;
    pthread_mutex_unlock(&files.lock);
    return n;
}

/* One run, and power losses at points all along it. */
static void run(uint64_t seed, uint64_t segment_size_bytes)
{
    size_t count;

    random_sequence_seed(&randomness, seed);
    memory_files_init(&files);
    files.record = true;
    owner_init(&owner, &files.layer);
    owner.options.segment_size_bytes = segment_size_bytes;
    ck_assert_int_eq(owner_open(&owner), 0);
    for (int i = 0; i < 1000; i++)
        step();
    owner_commit(&owner);
    note_promise();
    relocated += owner.relocated;
    deleted += deletions();
    count = operation_count();
    for (size_t at = 0; at <= count; at += unit_stride() * (1 + (size_t)below(7)))
        crash_at(at);
    owner_close(&owner);
    owner_free(&owner);
    memory_files_free(&files);
    free(promises);
    promises = NULL;
    promise_count = 0;
}

START_TEST(power_losses_with_small_segments_keep_what_was_promised)
{
    run(1, 2000);
    run(2, 3000);
    /* The runs came to what is hard: segments were compacted and deleted. */
    ck_assert_uint_gt(relocated, 20);
    ck_assert_uint_gt(deleted, 20);
}
END_TEST

START_TEST(power_losses_with_middling_segments_keep_what_was_promised)
{
    run(3, 6000);
    run(4, 9000);
    ck_assert_uint_gt(relocated, 10);
    ck_assert_uint_gt(deleted, 5);
}
END_TEST

START_TEST(power_losses_with_large_segments_keep_what_was_promised)
{
    run(5, 20000);
    run(6, 1 << 20);
}
END_TEST

UNIT_MAIN("journal_power_loss", power_losses_with_small_segments_keep_what_was_promised,
          power_losses_with_middling_segments_keep_what_was_promised,
          power_losses_with_large_segments_keep_what_was_promised)
