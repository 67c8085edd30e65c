#include "store/recovery.h"
#include "store/segment.h"
#include "tests/unit/journal_owner.h"
#include "tests/unit/memory_files.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct memory_files files;
static struct owner owner;

static void start(void)
{
    memory_files_init(&files);
    owner_init(&owner, &files.layer);
    ck_assert_int_eq(owner_open(&owner), 0);
}

static void finish(void)
{
    owner_free(&owner);
    memory_files_free(&files);
}

START_TEST(an_empty_directory_is_a_clean_journal)
{
    start();
    ck_assert(owner.recovered.clean);
    ck_assert_uint_eq(owner.recovered.queue_count, 0);
    ck_assert_uint_eq(owner.recovered.segment_count, 0);
    ck_assert_uint_eq(owner.damages, 0);
    owner_close(&owner);
    ck_assert_uint_eq(memory_files_existing(&files), 0);
    finish();
}
END_TEST

START_TEST(a_torn_tail_is_cut_at_the_last_good_record)
{
    struct memory_files disk;
    struct memory_file *file;
    struct owner after;
    uint64_t end;

    start();
    for (int i = 0; i < 10; i++)
        owner_publish(&owner, 0, 1000);
    owner_commit(&owner);
    memory_files_copy(&disk, &files);
    end = (owner.queues[0].messages[9].location.offset & ~7u);
    file = memory_files_last(&disk);
    /* The ninth message did not get there; the tenth did. */
    memset(file->data + end, 0, 512);
    owner_init(&after, &disk.layer);
    ck_assert_int_eq(owner_open(&after), 0);
    ck_assert_uint_eq(after.damages, 0);
    ck_assert(!after.recovered.clean);
    /* And the states of the queues, at the end of the turn. */
    ck_assert_uint_eq(after.recovered.cut_records, 1 + OWNER_QUEUES);
    ck_assert_uint_gt(after.recovered.cut_bytes, 2000);
    ck_assert_uint_eq(owner_count(&after, 0), 8);
    ck_assert_uint_eq(memory_files_last(&disk)->size, end);
    owner_publish(&after, 0, 10);
    owner_commit(&after);
    owner_close(&after);
    ck_assert_int_eq(owner_open(&after), 0);
    ck_assert_uint_eq(after.recovered.cut_bytes, 0);
    ck_assert_uint_eq(after.damages, 0);
    ck_assert_uint_eq(owner_count(&after, 0), 9);
    owner_close(&after);
    owner_free(&after);
    memory_files_free(&disk);
    owner_close(&owner);
    finish();
}
END_TEST

START_TEST(damage_that_was_synced_is_no_torn_tail)
{
    struct memory_files disk;
    struct owner after;

    start();
    for (int i = 0; i < 10; i++) {
        owner_publish(&owner, 0, 1000);
        owner_commit(&owner);
    }
    memory_files_copy(&disk, &files);
    memory_files_last(&disk)->data[(owner.queues[0].messages[5].location.offset & ~7u) + 100] ^= 1;
    owner_init(&after, &disk.layer);
    ck_assert_int_eq(owner_open(&after), 0);
    ck_assert_uint_eq(after.damages, 1);
    ck_assert_uint_eq(after.recovered.cut_bytes, 0);
    ck_assert_uint_eq(after.recovered.damaged_regions, 1);
    ck_assert(after.recovered.segments[0].damaged);
    ck_assert_uint_eq(owner_count(&after, 0), 9);
    ck_assert(!owner_holds(&after, 0, 5));
    owner_close(&after);
    owner_free(&after);
    memory_files_free(&disk);
    owner_close(&owner);
    finish();
}
END_TEST

START_TEST(foreign_files_are_told_and_left_alone)
{
    start();
    owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    owner_close(&owner);
    memory_files_put(&files, OWNER_DIRECTORY "/notes.txt", "hello", 5);
    memory_files_put(&files, OWNER_DIRECTORY "/00000009-00000009.segment.damaged", "x", 1);
    ck_assert_int_eq(owner_open(&owner), 0);
    ck_assert_uint_eq(owner.damages, 1);
    ck_assert_ptr_nonnull(strstr(owner.last_damage, "notes.txt"));
    ck_assert_uint_eq(owner.recovered.damaged_regions, 0);
    ck_assert_uint_eq(owner_count(&owner, 0), 1);
    owner_close(&owner);
    ck_assert_uint_eq(memory_files_find(&files, OWNER_DIRECTORY "/notes.txt")->size, 5);
    finish();
}
END_TEST

/* Of a journal that has ended, with ten messages. */
static void make_journal(void)
{
    start();
    for (int i = 0; i < 10; i++) {
        owner_publish(&owner, 0, 1000);
        owner_commit(&owner);
    }
    owner_close(&owner);
}

static void put_copy(const char *name)
{
    char path[128];
    struct memory_file *f = memory_files_last(&files);

    snprintf(path, sizeof(path), OWNER_DIRECTORY "/%s", name);
    memory_files_put(&files, path, f->data, f->size);
}

/* Under a lower salt, a higher one, and as segments before and behind. */
static const char *const copies[] = {
    "00000001-00000000.segment",
    "00000001-ffffffff.segment",
    "00000009-01234567.segment",
};

START_TEST(a_copy_of_a_segment_under_another_name_is_set_aside)
{
    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
        char aside[128];
        size_t size;

        make_journal();
        size = memory_files_last(&files)->size;
        put_copy(copies[i]);
        snprintf(aside, sizeof(aside), OWNER_DIRECTORY "/%s.damaged", copies[i]);
        ck_assert_int_eq(owner_open(&owner), 0);
        ck_assert_uint_eq(owner.damages, 1);
        ck_assert_ptr_nonnull(strstr(owner.last_damage, copies[i]));
        ck_assert_ptr_nonnull(strstr(owner.last_damage, "under another name"));
        ck_assert_uint_eq(owner.recovered.segment_count, 1);
        ck_assert_uint_eq(owner.recovered.cut_bytes, 0);
        ck_assert_uint_eq(owner_count(&owner, 0), 10);
        owner_check_content(&owner, 0);
        ck_assert_ptr_nonnull(memory_files_find(&files, aside));
        ck_assert_uint_eq(memory_files_find(&files, aside)->size, size);
        owner_publish(&owner, 0, 1000);
        owner_commit(&owner);
        owner_close(&owner);
        ck_assert_int_eq(owner_open(&owner), 0);
        ck_assert_uint_eq(owner.damages, 0);
        ck_assert_uint_eq(owner_count(&owner, 0), 11);
        owner_close(&owner);
        finish();
    }
}
END_TEST

START_TEST(what_never_was_a_segment_is_set_aside_whole)
{
    static const char name[] = OWNER_DIRECTORY "/00000009-01234567.segment";
    static const char content[] = "letters that nobody wrote to be cut";

    make_journal();
    memory_files_put(&files, name, content, sizeof(content));
    ck_assert_int_eq(owner_open(&owner), 0);
    ck_assert_uint_eq(owner.damages, 1);
    ck_assert_ptr_nonnull(strstr(owner.last_damage, "no segment of a journal"));
    ck_assert_uint_eq(owner.recovered.cut_bytes, 0);
    ck_assert_uint_eq(owner_count(&owner, 0), 10);
    ck_assert_uint_eq(
        memory_files_find(&files, OWNER_DIRECTORY "/00000009-01234567.segment.damaged")->size,
        sizeof(content));
    owner_close(&owner);
    finish();
}
END_TEST

START_TEST(nothing_that_was_set_aside_is_overwritten)
{
    make_journal();
    put_copy("00000009-01234567.segment");
    memory_files_put(&files, OWNER_DIRECTORY "/00000009-01234567.segment.damaged", "x", 1);
    ck_assert_int_eq(owner_open(&owner), -EEXIST);
    ck_assert_ptr_nonnull(strstr(owner.last_damage, "cannot be set aside"));
    ck_assert_uint_eq(
        memory_files_find(&files, OWNER_DIRECTORY "/00000009-01234567.segment.damaged")->size, 1);
    finish();
}
END_TEST

START_TEST(much_damage_is_told_in_few_lines)
{
    struct memory_file *f;

    start();
    for (int i = 0; i < 500; i++)
        owner_publish(&owner, 0, 100);
    owner_commit(&owner);
    owner_publish(&owner, 0, 100);
    owner_commit(&owner);
    f = memory_files_last(&files);
    for (uint64_t s = 1; s <= 500; s += 2)
        f->data[(owner.queues[0].messages[s].location.offset & ~7u) + 60] ^= 1;
    owner_close(&owner);
    ck_assert_int_eq(owner_open(&owner), 0);
    ck_assert_uint_eq(owner.recovered.damaged_regions, 250);
    ck_assert_uint_eq(owner.damages, 11);
    ck_assert_ptr_nonnull(strstr(owner.last_damage, "damaged records in 240 more places"));
    ck_assert_uint_eq(owner_count(&owner, 0), 251);
    owner_close(&owner);
    finish();
}
END_TEST

START_TEST(many_stray_files_are_told_in_few_lines)
{
    make_journal();
    for (int i = 0; i < 100; i++) {
        char path[64];

        snprintf(path, sizeof(path), OWNER_DIRECTORY "/stray-%d", i);
        memory_files_put(&files, path, "x", 1);
    }
    ck_assert_int_eq(owner_open(&owner), 0);
    ck_assert_uint_eq(owner.damages, 11);
    ck_assert_ptr_nonnull(strstr(owner.last_damage, "90 more are not files of this journal"));
    owner_close(&owner);
    finish();
}
END_TEST

/* A header of the format to come, sealed as its program would. */
static void put_newer_format(struct memory_file *f)
{
    struct segment_id id = {0};
    bool set_aside;
    uint8_t *header = f->data;
    uint32_t format;

    ck_assert(segment_parse_name(f->path + sizeof(OWNER_DIRECTORY), &id, &set_aside));
    segment_write_header_of(header, id, 0, SEGMENT_FORMAT + 1);
    ck_assert_int_eq(segment_check_header(header, SEGMENT_HEADER_SIZE, id, &format), -ENOTSUP);
    ck_assert_uint_eq(format, SEGMENT_FORMAT + 1);
}

START_TEST(a_newer_format_is_refused_and_nothing_touched)
{
    struct memory_files before;

    start();
    owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    owner_close(&owner);
    put_newer_format(memory_files_last(&files));
    memory_files_copy(&before, &files);
    ck_assert_int_eq(owner_open(&owner), -EINVAL);
    ck_assert_uint_eq(owner.damages, 1);
    ck_assert_ptr_nonnull(strstr(owner.last_damage, "format 3 is newer"));
    ck_assert_uint_eq(memory_files_existing(&files), 1);
    ck_assert_uint_eq(memory_files_last(&files)->size, before.files[0].size);
    ck_assert_mem_eq(memory_files_last(&files)->data, before.files[0].data, before.files[0].size);
    memory_files_free(&before);
    finish();
}
END_TEST

static uint64_t last_done, last_total;
static uint32_t reports;

static void progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    ck_assert_uint_ge(done, last_done);
    ck_assert_uint_le(done, total);
    last_done = done;
    last_total = total;
    reports++;
}

START_TEST(progress_ends_with_everything)
{
    struct recovery_options options = {
        .files = &files.layer, .directory = OWNER_DIRECTORY, .threads = 4, .progress = progress};
    struct recovered recovered;

    start();
    owner.options.segment_size_bytes = 65536;
    for (int i = 0; i < 1000; i++)
        owner_publish(&owner, 0, 1000);
    owner_commit(&owner);
    owner_close(&owner);
    ck_assert_int_eq(recovery_run(&options, &recovered), 0);
    ck_assert_uint_gt(reports, 0);
    ck_assert_uint_gt(last_total, 1000000);
    ck_assert_uint_eq(last_done, last_total);
    recovered_free(&recovered);
    finish();
}
END_TEST

static ssize_t cannot_read(enum file_operation operation, size_t size)
{
    if (operation == FILE_READ)
        return -EIO;
    return operation == FILE_WRITE ? (ssize_t)size : 0;
}

START_TEST(what_cannot_be_read_is_damage)
{
    start();
    owner_publish(&owner, 0, 10);
    owner_commit(&owner);
    owner_close(&owner);
    memory_files_set_fault(&files, cannot_read);
    ck_assert_int_eq(owner_open(&owner), 0);
    ck_assert(owner.damages != 0 || owner.recovered.cut_bytes != 0);
    owner_close(&owner);
    finish();
}
END_TEST

UNIT_MAIN("recovery", an_empty_directory_is_a_clean_journal,
          a_torn_tail_is_cut_at_the_last_good_record, damage_that_was_synced_is_no_torn_tail,
          foreign_files_are_told_and_left_alone,
          a_copy_of_a_segment_under_another_name_is_set_aside,
          what_never_was_a_segment_is_set_aside_whole, nothing_that_was_set_aside_is_overwritten,
          much_damage_is_told_in_few_lines, many_stray_files_are_told_in_few_lines,
          a_newer_format_is_refused_and_nothing_touched, progress_ends_with_everything,
          what_cannot_be_read_is_damage)
