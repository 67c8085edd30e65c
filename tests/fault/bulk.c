#include "tests/fault/bulk.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WINDOW = 1000, PREFETCH = 500 };

static void open_link(struct link *l, const struct broker *b)
{
    ck_assert_msg(link_open(l, b), "cannot connect");
}

static void fill_body(uint8_t *body, uint32_t size, uint32_t number)
{
    memset(body, (int)(number * 7 + 1), size);
    snprintf((char *)body, 9, "%08u", number);
}

static uint32_t number_of(const struct link_event *e, const struct bulk *k)
{
    uint8_t *expected = malloc(k->size + 1);
    char text[9] = "";
    uint32_t number;

    ck_assert_uint_eq(e->body_size, k->size);
    memcpy(text, e->body, 8);
    number = (uint32_t)strtoul(text, NULL, 10);
    fill_body(expected, k->size, number);
    ck_assert_msg(memcmp(expected, e->body, k->size) == 0, "message %u has another content",
                  number);
    free(expected);
    return number;
}

static struct link_event next_of(struct link *l)
{
    struct link_event e;

    ck_assert_msg(link_next(l, 6 * deadline_ms(), &e) == LINK_EVENT,
                  l->lost ? "the broker is gone" : "nothing comes");
    return e;
}

void bulk_publish(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count,
                  enum outcome *outcomes)
{
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
        .delivery_mode = k->persistent ? 2 : 1,
    };
    uint8_t *body = malloc(k->size + 1);
    uint32_t sent = 0;
    uint32_t answered = 0;
    uint64_t below = 1; /* all tags below are answered */
    struct link l;

    memset(outcomes, 0, count * sizeof(*outcomes));
    open_link(&l, b);
    ck_assert(link_confirm_select(&l));
    while (answered < count) {
        bool multiple;
        bool accepted;
        struct link_event e;
        uint64_t tag;

        while (sent < count && sent - answered < WINDOW) {
            fill_body(body, k->size, first + sent);
            ck_assert_msg(link_publish(&l, "", k->queue, false, &properties, body, k->size),
                          "the broker is gone");
            sent++;
        }
        e = next_of(&l);
        ck_assert(e.method == AMQP_BASIC_ACK_METHOD || e.method == AMQP_BASIC_NACK_METHOD);
        tag = link_confirm_tag(&e, &multiple, &accepted);
        ck_assert(tag >= below && tag <= sent);
        for (uint64_t i = multiple ? below : tag; i <= tag; i++) {
            if (outcomes[i - 1] != UNANSWERED)
                continue;
            outcomes[i - 1] = accepted ? CONFIRMED : REFUSED;
            answered++;
        }
        while (below <= sent && outcomes[below - 1] != UNANSWERED)
            below++;
    }
    free(body);
    link_drop(&l);
}

void bulk_fill(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count)
{
    enum outcome *outcomes = malloc((count + 1) * sizeof(*outcomes));

    bulk_publish(b, k, first, count, outcomes);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_msg(outcomes[i] == CONFIRMED, "message %u was refused", first + i);
    free(outcomes);
}

uint32_t bulk_count_outcomes(const enum outcome *outcomes, uint32_t count, enum outcome wanted)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++)
        n += outcomes[i] == wanted;
    return n;
}

uint32_t bulk_publish_until(const struct broker *b, const struct bulk *k, enum outcome wanted,
                            uint32_t number, enum outcome *outcomes)
{
    int64_t deadline = now_ms() + deadline_ms();

    do {
        const struct timespec step = {.tv_nsec = 50000000};

        ck_assert_msg(now_ms() < deadline, "persistent messages are still %s",
                      wanted == CONFIRMED ? "refused" : "confirmed");
        nanosleep(&step, NULL);
        bulk_publish(b, k, number, 1, &outcomes[number]);
        number++;
    } while (outcomes[number - 1] != wanted);
    return number;
}

static void send_ack(struct link *l, uint64_t tag)
{
    amqp_basic_ack_t m = {.delivery_tag = tag, .multiple = true};

    ck_assert(link_send(l, AMQP_BASIC_ACK_METHOD, &m));
}

static void start_consuming(struct link *l, const char *queue)
{
    amqp_basic_qos_t window = {.prefetch_count = PREFETCH};
    amqp_basic_consume_t m = {.queue = amqp_cstring_bytes(queue)};

    ck_assert_ptr_nonnull(link_call(l, AMQP_BASIC_QOS_METHOD, &window, AMQP_BASIC_QOS_OK_METHOD));
    ck_assert_ptr_nonnull(
        link_call(l, AMQP_BASIC_CONSUME_METHOD, &m, AMQP_BASIC_CONSUME_OK_METHOD));
}

/* Waits until the broker has what was settled; deliveries under way go back. */
static void finish_consuming(struct link *l)
{
    amqp_basic_qos_t window = {.prefetch_count = PREFETCH};

    ck_assert(link_send(l, AMQP_BASIC_QOS_METHOD, &window));
    while (next_of(l).method != AMQP_BASIC_QOS_OK_METHOD) {
    }
    link_drop(l);
}

void bulk_drain(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count)
{
    struct link l;

    open_link(&l, b);
    start_consuming(&l, k->queue);
    for (uint32_t i = 0; i < count; i++) {
        struct link_event e = next_of(&l);
        uint64_t tag;

        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
        ck_assert_uint_eq(number_of(&e, k), first + i);
        tag = ((const amqp_basic_deliver_t *)e.fields)->delivery_tag;
        if (tag % (PREFETCH / 4) == 0 || i + 1 == count)
            send_ack(&l, tag);
    }
    finish_consuming(&l);
}

void bulk_get(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count)
{
    amqp_basic_get_t get = {.queue = amqp_cstring_bytes(k->queue)};
    struct link l;

    open_link(&l, b);
    for (uint32_t i = 0; i < count; i++) {
        struct link_event e;

        ck_assert(link_send(&l, AMQP_BASIC_GET_METHOD, &get));
        e = next_of(&l);
        ck_assert_uint_eq(e.method, AMQP_BASIC_GET_OK_METHOD);
        ck_assert_uint_eq(number_of(&e, k), first + i);
        send_ack(&l, ((const amqp_basic_get_ok_t *)e.fields)->delivery_tag);
    }
    finish_consuming(&l);
}

void bulk_hold(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count,
               struct link *l)
{
    amqp_basic_consume_t m = {.queue = amqp_cstring_bytes(k->queue)};

    open_link(l, b);
    ck_assert_ptr_nonnull(
        link_call(l, AMQP_BASIC_CONSUME_METHOD, &m, AMQP_BASIC_CONSUME_OK_METHOD));
    for (uint32_t i = 0; i < count; i++) {
        struct link_event e = next_of(l);

        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
        ck_assert_uint_eq(number_of(&e, k), first + i);
    }
}

void bulk_reject_held(struct link *l)
{
    amqp_basic_nack_t all = {.delivery_tag = 0, .multiple = true};

    ck_assert(link_send(l, AMQP_BASIC_NACK_METHOD, &all));
    finish_consuming(l);
}

void bulk_reject(const struct broker *b, const struct bulk *k, uint32_t count)
{
    struct link l;

    ck_assert_uint_le(count, PREFETCH);
    open_link(&l, b);
    start_consuming(&l, k->queue);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_uint_eq(next_of(&l).method, AMQP_BASIC_DELIVER_METHOD);
    bulk_reject_held(&l);
}

uint32_t bulk_take_all(const struct broker *b, const struct bulk *k, uint32_t *times,
                       uint32_t numbers)
{
    uint32_t count = bulk_count(b, k->queue);
    struct link l;

    memset(times, 0, numbers * sizeof(*times));
    open_link(&l, b);
    start_consuming(&l, k->queue);
    for (uint32_t i = 0; i < count; i++) {
        struct link_event e = next_of(&l);
        uint32_t number;

        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
        number = number_of(&e, k);
        ck_assert_uint_lt(number, numbers);
        times[number]++;
        send_ack(&l, ((const amqp_basic_deliver_t *)e.fields)->delivery_tag);
    }
    finish_consuming(&l);
    return count;
}

/* ---- Queues ---- */

uint32_t bulk_count(const struct broker *b, const char *queue)
{
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes(queue), .passive = true};
    const amqp_queue_declare_ok_t *ok;
    struct link l;
    uint32_t count;

    open_link(&l, b);
    ok = link_call(&l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD);
    ck_assert_msg(ok != NULL, "queue %s is not there", queue);
    count = ok->message_count;
    link_drop(&l);
    return count;
}

void bulk_await_count(const struct broker *b, const char *queue, uint32_t count)
{
    int64_t deadline = now_ms() + 3 * deadline_ms();
    const struct timespec step = {.tv_nsec = 20000000};

    while (bulk_count(b, queue) != count) {
        ck_assert_msg(now_ms() < deadline, "%u messages in queue %s instead of %u",
                      bulk_count(b, queue), queue, count);
        nanosleep(&step, NULL);
    }
}

static void declare(const struct broker *b, amqp_queue_declare_t m)
{
    struct link l;

    open_link(&l, b);
    ck_assert_ptr_nonnull(
        link_call(&l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD));
    link_drop(&l);
}

void bulk_declare(const struct broker *b, const char *queue, bool durable)
{
    declare(b, (amqp_queue_declare_t){.queue = amqp_cstring_bytes(queue), .durable = durable});
}

void bulk_declare_rejecting(const struct broker *b, const char *queue, const char *dead)
{
    amqp_table_entry_t arguments[] = {
        {.key = amqp_cstring_bytes("x-dead-letter-exchange"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("")}},
        {.key = amqp_cstring_bytes("x-dead-letter-routing-key"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(dead)}},
    };

    declare(b, (amqp_queue_declare_t){
                   .queue = amqp_cstring_bytes(queue),
                   .durable = true,
                   .arguments = {.num_entries = 2, .entries = arguments},
               });
}

void bulk_purge(const struct broker *b, const char *queue)
{
    amqp_queue_purge_t m = {.queue = amqp_cstring_bytes(queue)};
    struct link l;

    open_link(&l, b);
    ck_assert_ptr_nonnull(link_call(&l, AMQP_QUEUE_PURGE_METHOD, &m, AMQP_QUEUE_PURGE_OK_METHOD));
    link_drop(&l);
}

void bulk_delete(const struct broker *b, const char *queue)
{
    amqp_queue_delete_t m = {.queue = amqp_cstring_bytes(queue)};
    struct link l;

    open_link(&l, b);
    ck_assert_ptr_nonnull(link_call(&l, AMQP_QUEUE_DELETE_METHOD, &m, AMQP_QUEUE_DELETE_OK_METHOD));
    link_drop(&l);
}

/* ---- Disk ---- */

static uint64_t blocks;

static int add_blocks(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)path;
    (void)walk;
    if (type == FTW_F)
        blocks += (uint64_t)st->st_blocks;
    return 0;
}

uint64_t bulk_disk_use(const struct broker *b, const char *below)
{
    char data[512];
    char path[1024];

    broker_data_directory(b, data, sizeof(data));
    snprintf(path, sizeof(path), "%s/%s", data, below);
    blocks = 0;
    nftw(path, add_blocks, 8, FTW_PHYS);
    return 512 * blocks;
}

void bulk_await_disk_use(const struct broker *b, const char *below, uint64_t bytes)
{
    int64_t deadline = now_ms() + 3 * deadline_ms();
    const struct timespec step = {.tv_nsec = 20000000};

    while (bulk_disk_use(b, below) > bytes) {
        ck_assert_msg(now_ms() < deadline, "%s still takes %llu bytes, more than %llu", below,
                      (unsigned long long)bulk_disk_use(b, below), (unsigned long long)bytes);
        nanosleep(&step, NULL);
    }
}
