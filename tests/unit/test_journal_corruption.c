/* Every region of the segments is flipped, overwritten or cut off: recovery never crashes, keeps
 * what is not touched, and is never silent about what it lost. */
#include "base/random.h"
#include "store/segment.h"
#include "tests/unit/journal_owner.h"
#include "tests/unit/memory_files.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define PUBLISHED 120

static struct memory_files files;
static struct owner owner;

/* Some segments with everything a journal can hold, closed in order. */
static void make_journal(void)
{
    memory_files_init(&files);
    owner_init(&owner, &files.layer);
    owner.options.segment_size_bytes = 8192;
    owner.options.is_live = NULL;
    ck_assert_int_eq(owner_open(&owner), 0);
    for (uint32_t i = 0; i < PUBLISHED; i++) {
        if (i % 10 == 0)
            owner_publish_to_all(&owner, 1, 100);
        else
            owner_publish(&owner, 0, 20 + i * 3);
        if (i % 8 == 7)
            owner_settle(&owner, 0, i - 3);
        if (i % 5 == 4)
            owner_commit(&owner);
    }
    journal_append_delivered(owner.journal, &owner.queues[0].journal, 50);
    journal_append_returned(owner.journal, &owner.queues[0].journal, 20, 2);
    owner_commit(&owner);
    journal_close(owner.journal);
}

static void free_journal(void)
{
    owner_free(&owner);
    memory_files_free(&files);
}

/* Recovers a copy of the files that `change` was done to, and says how many messages are lost. */
struct outcome {
    int rc;
    uint64_t lost;
    uint64_t back; /* settled ones */
    bool reported;
};

static bool loses_silently(const struct outcome *r)
{
    return r->rc == 0 && (r->lost != 0 || r->back != 0) && !r->reported;
}

static struct outcome recover(struct memory_files *disk)
{
    struct owner after;
    struct outcome r = {0};

    owner_init(&after, &disk->layer);
    after.options.segment_size_bytes = 8192;
    r.rc = owner_open(&after);
    r.reported = after.damages != 0 || after.recovered.cut_bytes != 0 || !after.recovered.clean;
    if (r.rc == 0) {
        for (uint64_t s = 1; s <= PUBLISHED; s++) {
            bool held = owner_holds(&after, 0, s);

            r.lost += owner_holds(&owner, 0, s) && !held;
            r.back += !owner_holds(&owner, 0, s) && held;
        }
        ck_assert_uint_le(after.queues[0].next_sequence, PUBLISHED + 1);
        owner_check_content(&after, 0);
        owner_publish(&after, 1, 10);
        owner_commit(&after);
        owner_close(&after);
    }
    owner_free(&after);
    return r;
}

/* The file of a copy that has the original's index. */
static struct memory_file *copied_file(struct memory_files *disk, uint32_t index)
{
    return memory_files_find(disk, files.files[index].path);
}

START_TEST(a_flipped_byte_costs_one_record_at_most_and_is_told)
{
    make_journal();
    ck_assert_uint_gt(files.count, 2);
    for (uint32_t f = 0; f < files.count; f++) {
        for (size_t at = 0; at < files.files[f].size; at += 61 * unit_stride()) {
            struct memory_files disk;
            struct outcome r;

            memory_files_copy(&disk, &files);
            copied_file(&disk, f)->data[at] ^= (uint8_t)(1 << at % 8);
            r = recover(&disk);
            ck_assert_int_eq(r.rc, 0);
            ck_assert_msg(r.lost <= 1, "%u at %zu: %u lost", f, at, (unsigned)r.lost);
            ck_assert_msg(r.reported, "%u at %zu", f, at);
            memory_files_free(&disk);
        }
    }
    free_journal();
}
END_TEST

START_TEST(a_truncated_file_is_told)
{
    make_journal();
    for (uint32_t f = 0; f < files.count; f++) {
        for (size_t size = 0; size < files.files[f].size; size += 73 * unit_stride()) {
            struct memory_files disk;
            struct outcome r;

            memory_files_copy(&disk, &files);
            copied_file(&disk, f)->size = size;
            r = recover(&disk);
            ck_assert_int_eq(r.rc, 0);
            ck_assert_msg(r.reported, "%u at %zu", f, size);
            memory_files_free(&disk);
        }
    }
    free_journal();
}
END_TEST

START_TEST(overwritten_regions_are_told)
{
    struct random_sequence random;

    random_sequence_seed(&random, 5);
    make_journal();
    for (int round = 0; round < 300 / (int)unit_stride(); round++) {
        uint32_t f = (uint32_t)random_sequence_below(&random, files.count);
        uint32_t from = (uint32_t)random_sequence_below(&random, files.count);
        struct memory_files disk;
        struct memory_file *file;
        struct outcome r;
        size_t begin, size;

        memory_files_copy(&disk, &files);
        file = copied_file(&disk, f);
        begin = (size_t)random_sequence_below(&random, file->size);
        size = 1 + (size_t)random_sequence_below(&random, 3000);
        if (size > file->size - begin)
            size = file->size - begin;
        switch (random_sequence_below(&random, 3)) {
        case 0:
            memset(file->data + begin, 0, size);
            break;
        case 1:
            for (size_t i = 0; i < size; i++)
                file->data[begin + i] = (uint8_t)random_sequence_next(&random);
            break;
        default: /* another segment's bytes, or the same one's from elsewhere */
            if (size > files.files[from].size / 2)
                size = files.files[from].size / 2;
            memcpy(file->data + begin,
                   files.files[from].data +
                       random_sequence_below(&random, files.files[from].size - size),
                   size);
            break;
        }
        r = recover(&disk);
        ck_assert_msg(!loses_silently(&r), "round %d: %u at %zu, %zu bytes", round, f, begin, size);
        ck_assert_int_eq(r.rc, 0);
        memory_files_free(&disk);
    }
    free_journal();
}
END_TEST

START_TEST(a_missing_file_is_told)
{
    make_journal();
    for (uint32_t f = 0; f < files.count; f++) {
        struct memory_files disk;
        struct memory_file *file;
        struct outcome r;

        memory_files_copy(&disk, &files);
        file = copied_file(&disk, f);
        free(file->path);
        file->path = NULL;
        r = recover(&disk);
        ck_assert_int_eq(r.rc, 0);
        ck_assert_msg(r.reported, "%u", f);
        memory_files_free(&disk);
    }
    free_journal();
}
END_TEST

static bool set_aside(struct owner *o)
{
    struct memory_files *disk = o->options.files->context;
    bool found = false;

    pthread_mutex_lock(&disk->lock);
    for (uint32_t i = 0; i < disk->count; i++)
        found = found || (disk->files[i].path != NULL && strstr(disk->files[i].path, ".damaged"));
    pthread_mutex_unlock(&disk->lock);
    return found;
}

START_TEST(a_damaged_file_is_set_aside_once_its_messages_are_copied)
{
    struct memory_files disk;
    struct owner after;
    uint64_t count;

    make_journal();
    memory_files_copy(&disk, &files);
    copied_file(&disk, 0)->data[files.files[0].size / 2] ^= 1;
    owner_init(&after, &disk.layer);
    ck_assert_int_eq(owner_open(&after), 0);
    ck_assert_uint_eq(after.damages, 1);
    count = owner_count(&after, 0);
    owner_wait(&after, set_aside);
    owner_check_content(&after, 0);
    owner_close(&after);
    ck_assert_int_eq(owner_open(&after), 0);
    ck_assert_uint_eq(after.damages, 0);
    ck_assert_uint_eq(owner_count(&after, 0), count);
    owner_check_content(&after, 0);
    owner_close(&after);
    owner_free(&after);
    memory_files_free(&disk);
    free_journal();
}
END_TEST

START_TEST(a_record_inside_a_message_is_never_taken_for_one)
{
    /* A publisher's body that looks like a record of the place it will have, but for the salt. */
    struct segment_id guess = {.number = 1, .salt = 0};
    struct memory_files disk;
    struct outcome r;
    struct message *m;
    size_t at;

    memory_files_init(&files);
    owner_init(&owner, &files.layer);
    ck_assert_int_eq(owner_open(&owner), 0);
    owner_publish(&owner, 0, 10);
    m = message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 4096);
    memset(message_body(m), 0, 4096);
    for (at = 4; at + RECORD_HEAD_SIZE <= 4096; at += RECORD_HEAD_SIZE) {
        uint8_t record[RECORD_HEAD_SIZE];

        record_put(record, RECORD_DELIVERED, RECORD_HEAD_SIZE, 1, 1000000);
        records_seal(record, RECORD_HEAD_SIZE, guess, (uint32_t)at);
        memcpy(message_body(m) + at, record, RECORD_HEAD_SIZE);
    }
    journal_append_message(owner.journal, &owner.queues[1].journal, 1, m, 0);
    message_unref(m);
    owner_commit(&owner);
    journal_close(owner.journal);
    memory_files_copy(&disk, &files);
    disk.files[0].data[files.files[0].size - 4096] ^= 0xff;
    r = recover(&disk);
    ck_assert_int_eq(r.rc, 0);
    ck_assert(r.reported);
    ck_assert_uint_eq(r.lost, 0);
    memory_files_free(&disk);
    free_journal();
}
END_TEST

UNIT_MAIN("journal_corruption", a_flipped_byte_costs_one_record_at_most_and_is_told,
          a_truncated_file_is_told, overwritten_regions_are_told, a_missing_file_is_told,
          a_damaged_file_is_set_aside_once_its_messages_are_copied,
          a_record_inside_a_message_is_never_taken_for_one)
