#include "tests/unit/queue_helpers.h"

#include "tests/unit/unit.h"

#include <inttypes.h>

#define FETCH_MAX 4096u

void queue_start(struct queue_fixture *f)
{
    *f = (struct queue_fixture){.body_size = 8};
    list_init(&f->active);
    effects_init(&f->effects);
    f->queue = queue_create(&f->options, f, &f->active);
}

void forget_effects(struct queue_fixture *f)
{
    for (uint32_t i = 0; i < f->effects.count; i++) {
        const struct effect *e = &f->effects.items[i];

        if ((e->type == EFFECT_DEAD_LETTER && e->message != NULL) ||
            (e->type == EFFECT_DELIVER && e->number == 0))
            message_unref(e->message);
    }
    f->effects.count = 0;
    f->next_effect = 0;
}

void queue_finish(struct queue_fixture *f)
{
    struct consumer *c;

    while ((c = queue_first_consumer(f->queue)) != NULL)
        consumer_release(c, 0, &f->effects);
    forget_effects(f);
    queue_destroy(f->queue, NULL, NULL);
    ck_assert(list_empty(&f->active));
    effects_free(&f->effects);
}

struct store_location stored_at(uint64_t number)
{
    return (struct store_location){.segment = 1, .offset = (uint32_t)number};
}

struct message *numbered_message(const struct queue_fixture *f, uint64_t number)
{
    struct message *m =
        message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), f->body_size);

    memcpy(message_body(m), &number, sizeof(number));
    return m;
}

static uint64_t number_of(struct message *m)
{
    uint64_t number;

    memcpy(&number, message_body(m), sizeof(number));
    return number;
}

static void publish(struct queue_fixture *f, uint32_t count, bool stored)
{
    while (count-- != 0) {
        uint64_t number = queue_next_sequence(f->queue, 0);
        struct message *m = numbered_message(f, number);
        struct store_location location = stored ? stored_at(number) : (struct store_location){0};

        ck_assert_uint_eq(queue_enqueue(f->queue, m, location, EXPIRY_NEVER, 0, &f->effects),
                          number);
        message_unref(m);
    }
}

void publish_stored(struct queue_fixture *f, uint32_t count)
{
    publish(f, count, true);
}

void publish_plain(struct queue_fixture *f, uint32_t count)
{
    publish(f, count, false);
}

void restore_stored(struct queue_fixture *f, uint64_t number, uint32_t delivery_count)
{
    ck_assert_int_eq(queue_restore(f->queue, number, NULL, stored_at(number), delivery_count,
                                   f->body_size, EXPIRY_NEVER),
                     0);
}

struct consumer *consume_all(struct queue_fixture *f)
{
    return queue_consume(f->queue, &(struct consumer_options){.prefetch = 0}, NULL);
}

bool deliver_some(struct queue_fixture *f, uint32_t budget)
{
    return queue_deliver(f->queue, budget, 0, &f->effects);
}

static struct store_location page(void *context, struct message *m)
{
    struct queue_fixture *f = context;

    f->pages++;
    return f->paging_fails ? (struct store_location){0} : stored_at(number_of(m));
}

uint64_t page_out(struct queue_fixture *f, uint64_t keep_first)
{
    return queue_page_out(f->queue, 0, keep_first, UINT64_MAX, UINT32_MAX, page, f);
}

static bool is_safe(void *context, uint64_t sequence)
{
    const struct queue_fixture *f = context;

    return sequence <= f->safe_to;
}

uint64_t page_out_unacked(struct queue_fixture *f, uint64_t keep_bytes, uint64_t safe_to)
{
    f->safe_to = safe_to;
    return queue_page_out_unacked(f->queue, keep_bytes, UINT32_MAX, is_safe, page, f);
}

uint32_t fetch(struct queue_fixture *f, uint32_t max)
{
    static uint64_t sequences[FETCH_MAX];
    static struct store_location locations[FETCH_MAX];
    static struct message *messages[FETCH_MAX];
    uint32_t count = queue_fetch_list(f->queue, max, UINT64_MAX, sequences, locations);

    ck_assert_uint_le(max, FETCH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_uint_eq(locations[i].offset, (uint32_t)sequences[i]);
        messages[i] = numbered_message(f, sequences[i]);
    }
    if (count != 0)
        queue_fetched(f->queue, sequences, messages, count, &f->effects);
    return count;
}

void count_release(void *context, struct store_location location)
{
    struct queue_fixture *f = context;

    ck_assert(!store_location_is_none(location));
    f->released++;
}

static const struct effect *next_effect(struct queue_fixture *f)
{
    ck_assert_msg(f->next_effect < f->effects.count, "an effect is missing");
    return &f->effects.items[f->next_effect++];
}

void expect_effect(struct queue_fixture *f, enum effect_type type, uint64_t number)
{
    const struct effect *e = next_effect(f);

    ck_assert_int_eq(e->type, type);
    ck_assert_ptr_eq(e->queue, f->queue);
    ck_assert_uint_eq(e->sequence, number);
    ck_assert_uint_eq(e->location.offset, number);
}

void expect_delivered(struct queue_fixture *f, uint64_t number, uint32_t delivery_count)
{
    const struct effect *e = next_effect(f);

    ck_assert_int_eq(e->type, EFFECT_DELIVER);
    ck_assert_uint_eq(e->sequence, number);
    ck_assert_msg(number_of(e->message) == number, "the body of %" PRIu64, number_of(e->message));
    ck_assert_uint_eq(e->delivery_count, delivery_count);
    ck_assert_int_eq(e->redelivered, delivery_count != 0);
}

void expect_no_effect(const struct queue_fixture *f)
{
    ck_assert_uint_eq(f->next_effect, f->effects.count);
}
