#include "tests/unit/journal_owner.h"

#include "base/clock.h"
#include "base/memory.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEADLINE_MS 30000

/* ---- What the journal asks ---- */

static void notify(void *context)
{
    struct owner *o = context;

    pthread_mutex_lock(&o->lock);
    o->notifications++;
    pthread_cond_signal(&o->notified);
    pthread_mutex_unlock(&o->lock);
}

static struct owned_message *slot(struct owned_queue *q, uint64_t sequence)
{
    if (sequence >= q->capacity) {
        uint64_t capacity = (sequence + 1) * 2;

        q->messages = memory_resize(q->messages, capacity, sizeof(*q->messages));
        memset(q->messages + q->capacity, 0, (capacity - q->capacity) * sizeof(q->messages[0]));
        q->capacity = capacity;
    }
    return &q->messages[sequence];
}

/* The head is behind the last settled message, so that both parts of a state matter. */
static void queue_state(void *context, uint64_t queue_id, uint64_t *head, const uint64_t **kept,
                        uint32_t *kept_count)
{
    struct owner *o = context;
    struct owned_queue *q = &o->queues[queue_id - 1];

    *head = q->next_sequence;
    while (*head > 1 && slot(q, *head - 1)->held)
        (*head)--;
    buffer_clear(&o->kept);
    for (uint64_t s = 1; s < *head; s++) {
        if (slot(q, s)->held)
            buffer_append(&o->kept, bytes_of(&s, sizeof(s)));
    }
    *kept = (const uint64_t *)(const void *)o->kept.data;
    *kept_count = (uint32_t)(o->kept.size / sizeof(uint64_t));
}

static bool same_place(struct store_location a, struct store_location b)
{
    return a.segment == b.segment && a.offset == b.offset;
}

static bool is_live(void *context, uint64_t queue_id, uint64_t sequence,
                    struct store_location location)
{
    struct owner *o = context;
    struct owned_message *m = slot(&o->queues[queue_id - 1], sequence);

    return m->held && same_place(m->location, location);
}

static uint32_t delivery_count(void *context, uint64_t queue_id, uint64_t sequence)
{
    struct owner *o = context;

    return slot(&o->queues[queue_id - 1], sequence)->delivery_count;
}

static bool relocate(void *context, uint64_t queue_id, uint64_t sequence,
                     struct store_location from, struct store_location to)
{
    struct owner *o = context;

    if (!is_live(context, queue_id, sequence, from))
        return false;
    slot(&o->queues[queue_id - 1], sequence)->location = to;
    o->relocated++;
    return true;
}

static void damage(void *context, const char *file, uint64_t offset, uint64_t size,
                   const char *what)
{
    struct owner *o = context;

    o->damages++;
    snprintf(o->last_damage, sizeof(o->last_damage), "%s: %s at %llu, %llu bytes", file, what,
             (unsigned long long)offset, (unsigned long long)size);
}

/* ---- Life ---- */

void owner_init(struct owner *o, const struct file_layer *files)
{
    memset(o, 0, sizeof(*o));
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->notified, NULL);
    o->options = (struct journal_options){
        .files = files,
        .directory = OWNER_DIRECTORY,
        .segment_size_bytes = 64 << 20,
        .sync = JOURNAL_SYNC_ALWAYS,
        .compact_below_percent = 50,
        .notify = notify,
        .queue_state = queue_state,
        .is_live = is_live,
        .delivery_count = delivery_count,
        .relocate = relocate,
        .context = o,
        .compact_bytes_per_s = UINT64_C(1) << 40,
    };
}

void owner_free(struct owner *o)
{
    for (uint32_t i = 0; i < OWNER_QUEUES; i++)
        free(o->queues[i].messages);
    buffer_free(&o->kept);
    recovered_free(&o->recovered);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->notified);
}

/* Some messages expire, and not in all of their queues. */
static int64_t expiry_of(uint32_t index, uint64_t sequence)
{
    if ((index + sequence) % 3 != 0)
        return 0;
    return INT64_C(1700000000000) + (int64_t)(1000 * sequence + index);
}

static void check_expiry(const struct recovered_queue *found, uint32_t index, uint64_t sequence,
                         size_t *at)
{
    int64_t expires_ms = 0;

    while (*at < found->expiry_count && found->expiries[*at].sequence < sequence)
        ++*at;
    if (*at < found->expiry_count && found->expiries[*at].sequence == sequence)
        expires_ms = found->expiries[*at].expires_ms;
    ck_assert_int_eq(expires_ms, expiry_of(index, sequence));
}

static void adopt_queue(struct owner *o, uint32_t index, const struct recovered_queue *found)
{
    struct owned_queue *q = &o->queues[index];
    uint64_t previous = 0;
    size_t expiry_at = 0;

    q->next_sequence = found != NULL ? found->next_sequence : 1;
    journal_adopt_queue(o->journal, &q->journal, index + 1, q->next_sequence,
                        found != NULL ? found->delivered_below : 0);
    for (size_t i = 0; found != NULL && i < found->count; i++) {
        const struct recovered_message *m = &found->messages[i];
        struct owned_message *held = slot(q, m->sequence);

        ck_assert_uint_gt(m->sequence, previous);
        ck_assert_uint_lt(m->sequence, q->next_sequence);
        previous = m->sequence;
        check_expiry(found, index, m->sequence, &expiry_at);
        held->held = true;
        held->location = m->location;
        held->delivery_count = m->delivery_count;
        journal_adopt_message(o->journal, m->location);
    }
}

int owner_open(struct owner *o)
{
    struct recovery_options options = {
        .files = o->options.files,
        .directory = OWNER_DIRECTORY,
        .threads = 2,
        .damage = damage,
        .context = o,
    };
    const struct recovered_queue *found[OWNER_QUEUES] = {NULL};
    int rc;

    o->damages = 0;
    recovered_free(&o->recovered);
    rc = recovery_run(&options, &o->recovered);
    if (rc < 0)
        return rc;
    rc = journal_open(&o->journal, &o->options);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < o->recovered.segment_count; i++) {
        const struct recovered_segment *s = &o->recovered.segments[i];

        journal_adopt_segment(o->journal, s->segment, s->size_bytes, s->shares);
        if (s->damaged)
            journal_adopt_damaged(o->journal, s->segment);
    }
    for (size_t i = 0; i < o->recovered.queue_count; i++) {
        if (o->recovered.queues[i].id <= OWNER_QUEUES)
            found[o->recovered.queues[i].id - 1] = &o->recovered.queues[i];
    }
    for (uint32_t i = 0; i < OWNER_QUEUES; i++)
        adopt_queue(o, i, found[i]);
    return 0;
}

void owner_close(struct owner *o)
{
    journal_close(o->journal);
    o->journal = NULL;
    for (uint32_t i = 0; i < OWNER_QUEUES; i++) {
        for (uint64_t s = 0; s < o->queues[i].capacity; s++)
            o->queues[i].messages[s].held = false;
    }
}

/* ---- Messages ---- */

struct message *owner_message(uint64_t queue_id, uint64_t sequence, uint32_t body_size)
{
    char key[32];
    uint8_t properties[3] = {(uint8_t)sequence, (uint8_t)(sequence >> 8), 7};
    struct message *m;

    snprintf(key, sizeof(key), "key.%llu", (unsigned long long)sequence);
    m = message_create(bytes_from_string(sequence % 2 != 0 ? "amq.topic" : ""),
                       bytes_from_string(key), bytes_of(properties, sizeof(properties)), body_size);
    ck_assert_ptr_nonnull(m);
    m->flags = MESSAGE_PERSISTENT | (sequence % 3 == 0 ? MESSAGE_HAS_HEADERS : 0);
    m->priority = (uint8_t)(sequence % 10);
    for (uint32_t i = 0; i < body_size; i++)
        message_body(m)[i] = (uint8_t)(sequence * 31 + i * 7 + queue_id);
    return m;
}

static void hold(struct owner *o, uint32_t queue, const struct message *m)
{
    struct owned_queue *q = &o->queues[queue];
    uint64_t sequence = q->next_sequence++;
    struct owned_message *held = slot(q, sequence);

    memset(held, 0, sizeof(*held));
    held->location =
        journal_append_message(o->journal, &q->journal, sequence, m, expiry_of(queue, sequence));
    held->held = true;
    held->ever = true;
    held->appended_at = journal_appended(o->journal);
}

uint64_t owner_publish(struct owner *o, uint32_t queue, uint32_t body_size)
{
    uint64_t sequence = o->queues[queue].next_sequence;
    struct message *m = owner_message(queue + 1, sequence, body_size);

    hold(o, queue, m);
    message_unref(m);
    return sequence;
}

void owner_publish_to_all(struct owner *o, uint32_t count, uint32_t body_size)
{
    struct message *m = owner_message(0, o->queues[0].next_sequence, body_size);

    for (uint32_t i = 0; i < count; i++)
        hold(o, i, m);
    message_unref(m);
}

void owner_settle(struct owner *o, uint32_t queue, uint64_t sequence)
{
    struct owned_queue *q = &o->queues[queue];
    struct owned_message *m = slot(q, sequence);

    ck_assert(m->held);
    m->held = false;
    journal_append_settle(o->journal, &q->journal, sequence, m->location);
    m->settled_at = journal_appended(o->journal);
}

void owner_purge(struct owner *o, uint32_t queue)
{
    struct owned_queue *q = &o->queues[queue];

    for (uint64_t s = 1; s < q->next_sequence; s++) {
        struct owned_message *m = slot(q, s);

        if (!m->held)
            continue;
        m->held = false;
        m->settled_at = journal_appended(o->journal) + 1;
        journal_release_message(o->journal, m->location);
    }
    journal_append_state(o->journal, &q->journal);
}

bool owner_holds(const struct owner *o, uint32_t queue, uint64_t sequence)
{
    return sequence < o->queues[queue].capacity && o->queues[queue].messages[sequence].held;
}

uint64_t owner_count(const struct owner *o, uint32_t queue)
{
    uint64_t n = 0;

    for (uint64_t s = 0; s < o->queues[queue].capacity; s++)
        n += o->queues[queue].messages[s].held;
    return n;
}

/* ---- Turns ---- */

static void collect(struct owner *o)
{
    int error = 0;

    if (journal_collect(o->journal, &error) == JOURNAL_FAILED) {
        o->error = error;
        o->failures++;
    }
}

void owner_turn(struct owner *o)
{
    journal_submit(o->journal);
    collect(o);
}

/* Waits for the next notification, at most 100 ms (for what time alone brings). */
static void wait_for_notification(struct owner *o)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&o->lock);
    if (o->notifications == o->seen)
        pthread_cond_timedwait(&o->notified, &o->lock, &until);
    o->seen = o->notifications;
    pthread_mutex_unlock(&o->lock);
}

static bool all_durable(struct owner *o)
{
    return journal_is_failed(o->journal) ||
           journal_durable(o->journal) >= journal_appended(o->journal);
}

void owner_commit(struct owner *o)
{
    owner_wait(o, all_durable);
}

void owner_wait(struct owner *o, bool (*condition)(struct owner *o))
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    owner_turn(o);
    while (!condition(o)) {
        ck_assert_msg(clock_monotonic_ms() < deadline_ms, "the journal does not come to it");
        wait_for_notification(o);
        owner_turn(o);
    }
}

static bool read_back(struct owner *o, struct journal_read_result *out)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (!journal_take_read(o->journal, out)) {
        if (clock_monotonic_ms() >= deadline_ms)
            return false;
        wait_for_notification(o);
    }
    return true;
}

static void check_message(uint64_t queue_id, uint64_t sequence, const struct message *m)
{
    struct message *expected = owner_message(queue_id, sequence, m->body_size);
    bool shared =
        m->body_size != 0 &&
        message_body(expected)[0] != m->data[message_footprint(m) - sizeof(*m) - m->body_size];

    if (shared) {
        message_unref(expected);
        expected = owner_message(0, sequence, m->body_size);
    }
    ck_assert_uint_eq(m->flags, expected->flags);
    ck_assert_uint_eq(m->priority, expected->priority);
    ck_assert_uint_eq(m->exchange_size, expected->exchange_size);
    ck_assert_uint_eq(m->routing_key_size, expected->routing_key_size);
    ck_assert_uint_eq(m->properties_size, expected->properties_size);
    ck_assert_mem_eq(m->data, expected->data, message_footprint(m) - sizeof(*m));
    message_unref(expected);
}

void owner_check_content(struct owner *o, uint32_t queue)
{
    struct owned_queue *q = &o->queues[queue];
    uint64_t count = owner_count(o, queue);
    struct store_location *locations = memory_resize(NULL, count + 1, sizeof(*locations));
    uint64_t *sequences = memory_resize(NULL, count + 1, sizeof(*sequences));
    struct journal_read_result result;
    uint32_t n = 0;

    for (uint64_t s = 0; s < q->capacity; s++) {
        if (!q->messages[s].held)
            continue;
        sequences[n] = s;
        locations[n++] = q->messages[s].location;
    }
    journal_read(o->journal, locations, n, q);
    ck_assert(read_back(o, &result));
    ck_assert_ptr_eq(result.token, q);
    ck_assert_int_eq(result.error, 0);
    ck_assert_uint_eq(result.count, n);
    for (uint32_t i = 0; i < n; i++) {
        check_message(queue + 1, sequences[i], result.messages[i]);
        message_unref(result.messages[i]);
    }
    journal_read_result_free(&result);
    free(locations);
    free(sequences);
}
