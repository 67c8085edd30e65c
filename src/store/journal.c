#include "store/journal_internal.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A group's memory beyond this is given back after it. */
#define KEPT_GROUP_BYTES ((size_t)8 << 20)

/* And beyond this when nothing is appended any more. */
#define RESTING_GROUP_BYTES ((size_t)64 << 10)

/* A segment without live messages is ended early when it is larger than this. */
#define WORTH_ENDING_BYTES ((uint64_t)256 << 10)

/* ---- Handing over ---- */

void journal_group_clear(struct journal_group *g)
{
    if (g->bytes.capacity > KEPT_GROUP_BYTES)
        buffer_free(&g->bytes);
    buffer_clear(&g->bytes);
    g->piece_count = 0;
    g->needs_sync = false;
    g->force_sync = false;
}

/* What the group begins with tells how much of the segment is beyond doubt. */
static void finish_group_record(struct journal *j)
{
    const struct journal_piece *first = &j->gather->pieces[0];

    if (!j->has_group_record)
        return;
    if (first->segment.number == j->synced_segment.number)
        record_set_sequence(j->gather->bytes.data + j->group_record, j->synced_offset);
}

/* Gives the gathered records to the writer; they stay when it is busy. */
static void hand_over(struct journal *j)
{
    j->gather->end = j->appended;
    j->submitted = true;
    if (j->in_flight != NULL)
        return;
    finish_group_record(j);
    if (!journal_writer_hand_over(j))
        return;
    j->has_group_record = false;
    j->in_flight = j->gather;
    j->gather = j->gather == &j->groups[0] ? &j->groups[1] : &j->groups[0];
    j->group_number++;
    j->last_message_of = NULL;
    j->submitted = false;
}

/* ---- Opening and closing ---- */

static void note_file(void *context, const char *name)
{
    struct journal *j = context;
    struct segment_id id;
    bool set_aside;

    if (!segment_parse_name(name, &id, &set_aside))
        return;
    if (id.number > j->last_number)
        j->last_number = id.number;
    if (!set_aside)
        buffer_append(&j->found_files, bytes_of(&id, sizeof(id)));
}

static void free_journal(struct journal *j)
{
    journal_compaction_free(j);
    journal_segments_free(j);
    for (int i = 0; i < 2; i++) {
        buffer_free(&j->groups[i].bytes);
        free(j->groups[i].pieces);
    }
    buffer_free(&j->scratch);
    buffer_free(&j->found_files);
    free(j->directory);
    free(j);
}

int journal_open(struct journal **out, const struct journal_options *options)
{
    struct journal *j = memory_alloc_zeroed(1, sizeof(*j));
    int rc;

    j->options = *options;
    j->directory = bytes_to_string(bytes_from_string(options->directory));
    j->options.directory = j->directory;
    random_bytes(&j->salt, sizeof(j->salt));
    hash_map_init(&j->by_number);
    list_init(&j->segments);
    list_init(&j->to_free);
    list_init(&j->freeing);
    list_init(&j->sparse);
    list_init(&j->dirty);
    j->gather = &j->groups[0];
    j->group_number = 1;

    rc = options->files->list(options->files->context, j->directory, note_file, j);
    if (rc == 0 && j->last_number > SEGMENT_NUMBER_MAX)
        rc = -EOVERFLOW;
    if (rc < 0)
        goto fail;
    j->adopted_number = j->last_number;
    rc = journal_writer_start(j);
    if (rc < 0)
        goto fail;
    rc = journal_reader_start(j);
    if (rc < 0)
        goto fail_writer;
    journal_space_open(j);
    *out = j;
    return 0;

fail_writer:
    journal_writer_stop(j);
fail:
    free_journal(j);
    return rc;
}

/* Writes and syncs what is gathered; nothing when the journal fails. */
static bool flush(struct journal *j)
{
    uint64_t durable;

    journal_writer_wait_idle(j);
    if (journal_writer_take_news(j, &durable) < 0)
        return false;
    if (j->gather->bytes.size == 0)
        return true;
    j->gather->force_sync = true;
    hand_over(j);
    journal_writer_wait_idle(j);
    return journal_writer_take_news(j, &durable) == 0;
}

uint64_t journal_close(struct journal *j)
{
    uint64_t end;

    /* The end is a group of its own, so that its first record tells that all before it is synced.
     */
    if (!j->failed && flush(j) && j->active != NULL) {
        journal_append_end(j, END_OF_JOURNAL);
        flush(j);
    }
    journal_reader_stop(j);
    journal_writer_stop(j);
    journal_space_close(j);
    end = journal_synced_end(j);
    free_journal(j);
    return end;
}

/* ---- Recovery's part ---- */

void journal_adopt_segment(struct journal *j, uint32_t segment, uint64_t size_bytes, bool shares)
{
    const struct segment_id *found = (const struct segment_id *)(const void *)j->found_files.data;
    size_t count = j->found_files.size / sizeof(*found);
    struct journal_segment *s = NULL;

    for (size_t i = 0; i < count && s == NULL; i++) {
        if (found[i].number == segment)
            s = journal_segment_add(j, found[i]);
    }
    assert(s != NULL);
    s->size_bytes = size_bytes;
    s->durable_bytes = size_bytes;
    s->weight = size_bytes;
    s->sealed = true;
    s->shares = shares;
    j->states_due = true;
}

void journal_adopt_damaged(struct journal *j, uint32_t segment)
{
    journal_segment_find(j, segment)->damaged = true;
}

void journal_adopt_queue(struct journal *j, struct journal_queue *q, uint64_t id,
                         uint64_t next_sequence, uint64_t delivered_below)
{
    journal_queue_init(q, id);
    q->next_sequence = next_sequence;
    q->delivered_below = delivered_below;
    list_append(&j->dirty, &q->dirty);
}

void journal_adopt_message(struct journal *j, struct store_location location)
{
    journal_hold_found(j, location);
}

/* ---- Group commit ---- */

uint64_t journal_appended(const struct journal *j)
{
    return j->appended;
}

uint64_t journal_durable(const struct journal *j)
{
    return j->durable;
}

uint64_t journal_synced_end(const struct journal *j)
{
    return journal_place(j->synced_segment.number, j->synced_offset);
}

uint64_t journal_gathered_bytes(const struct journal *j)
{
    return j->gather->bytes.size;
}

bool journal_is_failed(const struct journal *j)
{
    return j->failed;
}

bool journal_takes_messages(const struct journal *j)
{
    if (j->failed || j->short_of_space)
        return false;
    return j->options.shortages == NULL ||
           atomic_load_explicit(j->options.shortages, memory_order_relaxed) == 0;
}

bool journal_wants_retry(const struct journal *j)
{
    return j->failed || j->short_of_space;
}

bool journal_has_live(const struct journal *j)
{
    list_for_each(&((struct journal *)(uintptr_t)j)->segments, n) {
        if (container_of(n, struct journal_segment, in_all)->live_count != 0)
            return true;
    }
    return false;
}

void journal_end_dead_segment(struct journal *j)
{
    if (!j->failed && j->active != NULL && j->active->live_count == 0 &&
        j->active->size_bytes > WORTH_ENDING_BYTES)
        journal_roll(j);
}

size_t journal_memory_bytes(const struct journal *j)
{
    return j->groups[0].bytes.capacity + j->groups[1].bytes.capacity;
}

bool journal_give_back(struct journal *j)
{
    if (j->in_flight != NULL || j->gather->bytes.size != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (j->groups[i].bytes.capacity > RESTING_GROUP_BYTES)
            buffer_free(&j->groups[i].bytes);
    }
    return true;
}

void journal_request_sync(struct journal *j)
{
    if (j->short_of_space && !j->failed)
        journal_append_states(j);
    if (j->failed || j->options.sync != JOURNAL_SYNC_ALWAYS || j->synced == j->appended)
        return;
    /* All of it may be with the writer already: then a record that says nothing brings the sync. */
    if (j->gather->bytes.size == 0)
        journal_append_freed(j, 0);
    j->gather->needs_sync = true;
}

/* Forgets everything that was appended and is not durable. */
static void fail(struct journal *j, int rc)
{
    j->failed = true;
    journal_space_failed(j, rc);
    journal_compaction_cancel(j);
    journal_segments_failed(j);
    j->active = NULL;
    for (int i = 0; i < 2; i++)
        journal_group_clear(&j->groups[i]);
    j->in_flight = NULL;
    j->has_group_record = false;
    j->last_message_of = NULL;
    j->submitted = false;
    j->group_number++;
}

void journal_submit(struct journal *j)
{
    if (j->failed)
        return;
    if (j->active != NULL && j->active->size_bytes >= journal_segment_limit(j))
        journal_roll(j);
    if (j->states_due)
        journal_append_states(j);
    journal_free_begin(j);
    journal_compaction_step(j);
    if (j->gather->bytes.size != 0)
        hand_over(j);
}

enum journal_progress journal_collect(struct journal *j, int *error)
{
    uint64_t before = j->durable;
    int rc;

    if (j->failed)
        return JOURNAL_NOTHING;
    rc = journal_writer_take_news(j, &j->durable);
    if (rc < 0) {
        fail(j, rc);
        *error = -rc;
        return JOURNAL_FAILED;
    }
    journal_compaction_settle(j);
    journal_free_finish(j);
    if (j->submitted)
        hand_over(j);
    return j->durable > before ? JOURNAL_ADVANCED : JOURNAL_NOTHING;
}

/* Goes on with a new segment. */
static int start_over(struct journal *j)
{
    struct journal_segment *fresh;
    int rc;

    journal_writer_wait_idle(j);
    journal_writer_clear_error(j);
    journal_space_release(j);
    j->failed = false;
    journal_roll(j);
    journal_append_states(j);
    fresh = j->active;
    j->gather->force_sync = true;
    hand_over(j);
    journal_writer_wait_idle(j);
    rc = journal_writer_take_news(j, &j->durable);
    if (rc == 0)
        return 0;
    fail(j, rc);
    journal_segment_drop(j, fresh);
    return rc;
}

int journal_retry(struct journal *j)
{
    int rc = j->failed ? start_over(j) : 0;

    return rc == 0 ? journal_space_restore(j) : rc;
}

void journal_figures(const struct journal *j, struct journal_figures *out)
{
    memset(out, 0, sizeof(*out));
    list_for_each(&((struct journal *)(uintptr_t)j)->segments, n) {
        const struct journal_segment *s = container_of(n, struct journal_segment, in_all);

        out->segments++;
        out->bytes += s->size_bytes;
        out->live_bytes += journal_segment_live_bytes(s);
    }
    out->syncs = atomic_load_explicit(&j->writer.syncs, memory_order_relaxed);
    out->records = j->appended;
    out->compacted_bytes = j->compacted_bytes;
}
