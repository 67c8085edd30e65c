/* Compaction: what is live in a sparse segment is appended again, a chunk at a time. When the
 * copies are synced the queues are told, and the segment, then without live messages, is freed. */
#include "store/journal_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

#define DEFAULT_BYTES_PER_S (UINT64_C(32) << 20)

static void request_chunk(struct journal *j, uint64_t begin)
{
    struct compaction *c = &j->compaction;
    uint64_t rate = j->options.compact_bytes_per_s;
    int64_t now_ns = clock_monotonic_ns();

    if (rate == 0)
        rate = DEFAULT_BYTES_PER_S;
    if (c->chunk.not_before_ns < now_ns)
        c->chunk.not_before_ns = now_ns;
    c->chunk.not_before_ns += (int64_t)(c->chunk.bytes.size * UINT64_C(1000000000) / rate);
    c->chunk.segment = c->segment->id;
    c->chunk.begin = begin;
    c->chunk.limit = c->segment->durable_bytes;
    c->state = COMPACTION_READING;
    journal_reader_read_chunk(j, &c->chunk);
}

static void begin(struct journal *j)
{
    struct compaction *c = &j->compaction;
    struct list_node *n = list_take_first(&j->sparse);
    struct journal_segment *s;

    if (n == NULL)
        return;
    s = container_of(n, struct journal_segment, in_work);
    /* Its end is still being written, or there is no space for the copies. */
    if (s->durable_bytes < s->size_bytes || !journal_space_compacts(j, s)) {
        list_append(&j->sparse, &s->in_work);
        return;
    }
    c->segment = s;
    buffer_clear(&c->message);
    request_chunk(j, SEGMENT_HEADER_SIZE);
}

static void finish(struct journal *j)
{
    struct compaction *c = &j->compaction;
    struct journal_segment *s = c->segment;

    c->segment = NULL;
    c->state = COMPACTION_IDLE;
    s->compacted = true;
    journal_segment_consider(j, s);
}

static void next(struct journal *j)
{
    struct compaction *c = &j->compaction;

    if (c->chunk.next >= c->chunk.limit || c->segment->live_count == 0)
        finish(j);
    else
        request_chunk(j, c->chunk.next);
}

/* Appends the message the compaction is at for a queue: as a message, or as a reference to the copy
 * that another queue got just before. */
static struct store_location copy_for(struct journal *j, uint64_t queue_id, uint64_t sequence,
                                      int64_t expires_ms)
{
    struct compaction *c = &j->compaction;

    if (c->message_to.segment == j->active->id.number) {
        journal_append_reference(j, queue_id, sequence, c->message_to, expires_ms);
        return c->message_to;
    }
    c->message_to = journal_append_copy(j, c->message.data, queue_id, sequence, expires_ms);
    return c->message_to;
}

static void copy_if_live(struct journal *j, uint64_t queue_id, uint64_t sequence,
                         int64_t expires_ms)
{
    struct compaction *c = &j->compaction;
    struct relocation moved = {.queue_id = queue_id, .sequence = sequence, .from = c->message_from};
    uint32_t delivered = 0;

    if (!j->options.is_live(j->options.context, queue_id, sequence, moved.from))
        return;
    moved.to = copy_for(j, queue_id, sequence, expires_ms);
    buffer_append(&c->relocations, bytes_of(&moved, sizeof(moved)));
    if (j->options.delivery_count != NULL)
        delivered = j->options.delivery_count(j->options.context, queue_id, sequence);
    if (delivered > 1)
        journal_append_delivery_count(j, queue_id, sequence, delivered);
}

static void copy_record(struct journal *j, uint32_t at)
{
    struct compaction *c = &j->compaction;
    const uint8_t *data = c->chunk.bytes.data + at;
    struct record r;

    record_parse(&r, data);
    if (r.type == RECORD_MESSAGE) {
        buffer_clear(&c->message);
        buffer_append(&c->message, bytes_of(data, record_padded(r.size)));
        c->message_from =
            segment_location(c->segment->id.number, (uint32_t)(c->chunk.begin + at), r.size);
        c->message_to = (struct store_location){0};
    } else if (c->message.size == 0 || record_u32(&r, 0) != c->message_from.offset) {
        return; /* its message is damaged */
    }
    copy_if_live(j, r.queue_id, r.sequence, record_expires_ms(&r));
}

static void copy_chunk(struct journal *j)
{
    struct compaction *c = &j->compaction;
    size_t count = c->chunk.offsets.size / sizeof(uint32_t);

    if (c->chunk.error != 0) {
        log_error("journal", "cannot read segment %08x for compaction: %s", c->segment->id.number,
                  strerror(-c->chunk.error));
        finish(j);
        return;
    }
    if (j->active == NULL)
        journal_roll(j);
    /* What was appended since the last chunk stands between its messages and references from here:
     * the first of those gets a copy of its own. */
    j->last_message_of = NULL;
    c->message_to = (struct store_location){0};
    for (size_t i = 0; i < count; i++) {
        uint32_t at;

        memcpy(&at, c->chunk.offsets.data + i * sizeof(at), sizeof(at));
        copy_record(j, at);
    }
    if (c->relocations.size == 0) {
        next(j);
        return;
    }
    if (j->options.sync == JOURNAL_SYNC_NEVER)
        j->gather->force_sync = true;
    c->mark = j->appended;
    c->state = COMPACTION_COPIED;
}

void journal_compaction_step(struct journal *j)
{
    struct compaction *c = &j->compaction;

    switch (c->state) {
    case COMPACTION_IDLE:
        begin(j);
        break;
    case COMPACTION_READING:
        if (!journal_reader_chunk_done(j))
            break;
        if (c->segment == NULL) /* cancelled meanwhile */
            c->state = COMPACTION_IDLE;
        else
            copy_chunk(j);
        break;
    case COMPACTION_COPIED:
        break;
    }
}

void journal_compaction_settle(struct journal *j)
{
    struct compaction *c = &j->compaction;
    size_t count = c->relocations.size / sizeof(struct relocation);
    const struct relocation *moved = (const struct relocation *)(const void *)c->relocations.data;

    if (c->state != COMPACTION_COPIED || j->synced < c->mark)
        return;
    for (size_t i = 0; i < count; i++) {
        bool holds = j->options.relocate(j->options.context, moved[i].queue_id, moved[i].sequence,
                                         moved[i].from, moved[i].to);

        journal_release(j, holds ? moved[i].from : moved[i].to);
    }
    buffer_clear(&c->relocations);
    next(j);
}

void journal_compaction_cancel(struct journal *j)
{
    struct compaction *c = &j->compaction;
    size_t count = c->relocations.size / sizeof(struct relocation);
    const struct relocation *moved = (const struct relocation *)(const void *)c->relocations.data;

    c->segment = NULL;
    if (c->state == COMPACTION_COPIED)
        c->state = COMPACTION_IDLE;
    for (size_t i = 0; i < count; i++)
        journal_release(j, moved[i].to);
    buffer_clear(&c->relocations);
}

void journal_compaction_free(struct journal *j)
{
    struct compaction *c = &j->compaction;

    buffer_free(&c->chunk.bytes);
    buffer_free(&c->chunk.offsets);
    buffer_free(&c->message);
    buffer_free(&c->relocations);
}
