/* Declarations, bindings and deletions while the disk of the definitions fails or is slow: nothing
 * is said to be there, or gone, that a restart would have otherwise. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/bulk.h"
#include "tests/fault/faults.h"
#include "tests/wire/harness.h"

enum { NUMBERS = 10000 };

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "disk:\n"
                             "  free_limit: 0\n";

static const struct bulk ORDERS = {.queue = "orders", .size = 1000, .persistent = true};

/* And defined when the disk takes it. */
START_TEST(what_cannot_be_defined_is_refused)
{
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes("new"), .durable = true};
    struct broker *b = faults_launch(CONFIG, 2);
    struct link l;

    bulk_declare(b, "orders", true);
    faults_set(_i == 0 ? "wd28" : "sd5");
    ck_assert(link_open(&l, b));
    ck_assert_ptr_null(link_call(&l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD));
    ck_assert_uint_eq(link_refusal(), 541);
    link_drop(&l);
    bulk_fill(b, &ORDERS, 0, 10);
    faults_set("-");
    bulk_declare(b, "later", true);
    faults_restart(b, CONFIG, 2);
    ck_assert_uint_eq(bulk_count(b, "later"), 0);
    ck_assert_uint_eq(bulk_count(b, "orders"), 10);
    /* The broker had it all the while, and put it down with the next. */
    ck_assert_uint_eq(bulk_count(b, "new"), 0);
    ck_assert(broker_stop(b));
}
END_TEST

/* Who finds the queue there may publish to it, but a restart would end both. */
START_TEST(nothing_is_confirmed_in_a_queue_that_cannot_be_defined)
{
    static enum outcome outcomes[NUMBERS];
    static uint32_t times[NUMBERS];
    const struct bulk new = {.queue = "new", .size = 1000, .persistent = true};
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes("new"), .durable = true};
    struct broker *b = faults_launch(CONFIG, 2);
    uint32_t number = 10;
    uint32_t confirmed = 0;
    struct link l;

    bulk_declare(b, "orders", true);
    faults_set(_i == 0 ? "wd28" : "sd5");
    for (int i = 0; i < 4; i++) {
        ck_assert(link_open(&l, b));
        ck_assert_ptr_null(
            link_call(&l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD));
        ck_assert_uint_eq(link_refusal(), 541);
        link_drop(&l);
    }
    bulk_publish(b, &new, 0, number, outcomes);
    ck_assert_uint_eq(bulk_count_outcomes(outcomes, number, REFUSED), number);
    bulk_fill(b, &ORDERS, 0, 10);
    faults_set("-");
    number = bulk_publish_until(b, &new, CONFIRMED, number, outcomes);
    faults_restart(b, CONFIG, 2);
    ck_assert_uint_eq(bulk_count(b, "orders"), 10);
    bulk_take_all(b, &new, times, NUMBERS);
    for (uint32_t i = 0; i < number; i++) {
        ck_assert(outcomes[i] != CONFIRMED || times[i] == 1);
        confirmed += outcomes[i] == CONFIRMED;
    }
    ck_assert_uint_eq(confirmed, 1);
    ck_assert(broker_stop(b));
}
END_TEST

/* A declare whose answer nobody waits for, and one of a queue that is there but not yet on the
 * disk. */
START_TEST(a_slow_definition_is_awaited)
{
    enum { SYNC_MS = 500 };
    const amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                                .delivery_mode = AMQP_DELIVERY_PERSISTENT};
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes("new"), .durable = true, .nowait = true};
    struct broker *b = faults_launch(CONFIG, 2);
    struct link first, second;
    struct link_event e;
    int64_t begin;

    ck_assert(link_open(&first, b));
    ck_assert(link_open(&second, b));
    ck_assert(link_confirm_select(&first));
    faults_set("td500");
    begin = now_ms();
    ck_assert(link_send(&first, AMQP_QUEUE_DECLARE_METHOD, &m));
    if (_i == 0) {
        ck_assert(link_publish(&first, "", "new", true, &persistent, "order", 5));
        ck_assert_int_eq(link_next(&first, deadline_ms(), &e), LINK_EVENT);
        ck_assert_uint_eq(e.method, AMQP_BASIC_ACK_METHOD);
    } else {
        m.nowait = false;
        ck_assert_ptr_nonnull(
            link_call(&second, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD));
    }
    ck_assert_int_ge(now_ms() - begin, SYNC_MS);
    link_drop(&first);
    link_drop(&second);
    faults_restart(b, CONFIG, 2);
    ck_assert_uint_eq(bulk_count(b, "new"), _i == 0 ? 1 : 0);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(nothing_is_declared_in_a_directory_that_was_deleted)
{
    amqp_queue_declare_t m = {.queue = amqp_cstring_bytes("new"), .durable = true};
    struct broker *b = broker_prepare();
    char directory[512];
    char command[600];
    struct link l;

    broker_launch(b, CONFIG, 2);
    broker_data_directory(b, directory, sizeof(directory));
    ck_assert(link_open(&l, b));
    bulk_declare(b, "orders", true);
    snprintf(command, sizeof(command), "rm -r %s/definitions*", directory);
    ck_assert_int_eq(system(command), 0);
    ck_assert_ptr_null(link_call(&l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD));
    ck_assert_uint_eq(link_refusal(), 541);
    ck_assert(broker_log_awaits(b, "was deleted or moved away"));
    link_drop(&l);
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- What another has just done ---- */

/* A method, once without an answer and once with one. */
struct deed {
    amqp_method_number_t method;
    amqp_method_number_t ok;
    bool answered; /* always: the method has no no-wait */
};

static const struct deed DEEDS[] = {
    {AMQP_EXCHANGE_DECLARE_METHOD, AMQP_EXCHANGE_DECLARE_OK_METHOD, false},
    {AMQP_EXCHANGE_DELETE_METHOD, AMQP_EXCHANGE_DELETE_OK_METHOD, false},
    {AMQP_EXCHANGE_BIND_METHOD, AMQP_EXCHANGE_BIND_OK_METHOD, false},
    {AMQP_EXCHANGE_UNBIND_METHOD, AMQP_EXCHANGE_UNBIND_OK_METHOD, false},
    {AMQP_QUEUE_BIND_METHOD, AMQP_QUEUE_BIND_OK_METHOD, false},
    {AMQP_QUEUE_UNBIND_METHOD, AMQP_QUEUE_UNBIND_OK_METHOD, true},
    {AMQP_QUEUE_DELETE_METHOD, AMQP_QUEUE_DELETE_OK_METHOD, false},
};

enum { DEED_COUNT = sizeof(DEEDS) / sizeof(DEEDS[0]) };

/* The fields of a deed's method, which does something to what prepare() made. `key` is the routing
 * key of a binding, or the name of an exchange to declare. */
union fields {
    amqp_exchange_declare_t exchange_declare;
    amqp_exchange_delete_t exchange_delete;
    amqp_exchange_bind_t exchange_bind;
    amqp_exchange_unbind_t exchange_unbind;
    amqp_queue_bind_t queue_bind;
    amqp_queue_unbind_t queue_unbind;
    amqp_queue_delete_t queue_delete;
};

static void fill_fields(union fields *f, amqp_method_number_t method, const char *key, bool no_wait)
{
    const amqp_bytes_t direct = amqp_cstring_bytes("amq.direct");
    const amqp_bytes_t there = amqp_cstring_bytes("there");
    const amqp_bytes_t queue = amqp_cstring_bytes("queue");
    const amqp_bytes_t name = amqp_cstring_bytes(key);

    memset(f, 0, sizeof(*f));
    switch (method) {
    case AMQP_EXCHANGE_DECLARE_METHOD:
        f->exchange_declare = (amqp_exchange_declare_t){.exchange = name,
                                                        .type = amqp_cstring_bytes("fanout"),
                                                        .durable = true,
                                                        .nowait = no_wait};
        return;
    case AMQP_EXCHANGE_DELETE_METHOD:
        f->exchange_delete = (amqp_exchange_delete_t){.exchange = there, .nowait = no_wait};
        return;
    case AMQP_EXCHANGE_BIND_METHOD:
        f->exchange_bind = (amqp_exchange_bind_t){
            .destination = there, .source = direct, .routing_key = name, .nowait = no_wait};
        return;
    case AMQP_EXCHANGE_UNBIND_METHOD:
        f->exchange_unbind = (amqp_exchange_unbind_t){
            .destination = there, .source = direct, .routing_key = name, .nowait = no_wait};
        return;
    case AMQP_QUEUE_BIND_METHOD:
        f->queue_bind = (amqp_queue_bind_t){
            .queue = queue, .exchange = direct, .routing_key = name, .nowait = no_wait};
        return;
    case AMQP_QUEUE_UNBIND_METHOD:
        f->queue_unbind =
            (amqp_queue_unbind_t){.queue = queue, .exchange = direct, .routing_key = name};
        return;
    case AMQP_QUEUE_DELETE_METHOD:
        f->queue_delete = (amqp_queue_delete_t){.queue = queue, .nowait = no_wait};
        return;
    default:
        ck_abort_msg("no deed");
    }
}

static bool do_deed(struct link *l, const struct deed *d, const char *key)
{
    union fields f;

    fill_fields(&f, d->method, key, false);
    return link_call(l, d->method, &f, d->ok) != NULL;
}

static const struct deed *deed_of(amqp_method_number_t method)
{
    for (unsigned i = 0; i < DEED_COUNT; i++) {
        if (DEEDS[i].method == method)
            return &DEEDS[i];
    }
    ck_abort_msg("no deed");
}

/* Exchange "there" and queue "queue", both bound to amq.direct with the key "there". */
static void prepare(struct broker *b, struct link *l)
{
    bulk_declare(b, "queue", true);
    ck_assert(do_deed(l, deed_of(AMQP_EXCHANGE_DECLARE_METHOD), "there"));
    ck_assert(do_deed(l, deed_of(AMQP_EXCHANGE_BIND_METHOD), "there"));
    ck_assert(do_deed(l, deed_of(AMQP_QUEUE_BIND_METHOD), "there"));
}

static const char *key_of(const struct deed *d)
{
    bool undoes = d->method == AMQP_EXCHANGE_UNBIND_METHOD || d->method == AMQP_QUEUE_UNBIND_METHOD;

    return undoes ? "there" : "new";
}

/* Has the topology changed by it, but waits for no answer to it. */
static void begin_deed(struct link *l, const struct deed *d)
{
    amqp_basic_qos_t qos = {.prefetch_count = 1};
    union fields f;

    fill_fields(&f, d->method, key_of(d), true);
    ck_assert(link_send(l, d->method, &f));
    if (!d->answered)
        ck_assert_ptr_nonnull(link_call(l, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD));
}

START_TEST(what_another_has_just_done_is_answered_when_it_is_committed)
{
    enum { SYNC_MS = 500 };
    const struct deed *d = &DEEDS[_i];
    struct broker *b = faults_launch(CONFIG, 2);
    struct link first, second;
    int64_t begin;

    ck_assert(link_open(&first, b));
    ck_assert(link_open(&second, b));
    prepare(b, &second);
    faults_set("td500");
    begin = now_ms();
    begin_deed(&first, d);
    ck_assert(do_deed(&second, d, key_of(d)));
    ck_assert_int_ge(now_ms() - begin, SYNC_MS);
    link_drop(&first);
    link_drop(&second);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(what_another_has_just_done_is_refused_when_it_cannot_be_committed)
{
    const struct deed *d = &DEEDS[_i];
    struct broker *b = faults_launch(CONFIG, 2);
    struct link first, second;

    ck_assert(link_open(&first, b));
    ck_assert(link_open(&second, b));
    prepare(b, &second);
    faults_set("sd5");
    begin_deed(&first, d);
    ck_assert(!do_deed(&second, d, key_of(d)));
    ck_assert_uint_eq(link_refusal(), 541);
    link_drop(&second);
    faults_set("-");
    bulk_declare(b, "later", true);
    ck_assert(link_open(&second, b));
    ck_assert(do_deed(&second, d, key_of(d)));
    link_drop(&first);
    link_drop(&second);
    ck_assert(broker_stop(b));
}
END_TEST

/* Some find the queue there and are told that it is not when they ask for it. */
START_TEST(of_many_who_delete_a_queue_at_once_none_is_answered_before_the_commit)
{
    enum { ROUNDS = 40, LINKS = 12, SYNC_MS = 30 };
    amqp_queue_delete_t m = {.queue = amqp_cstring_bytes("queue")};
    struct broker *b = faults_launch(CONFIG, 4);
    struct link links[LINKS];
    struct link_event e;
    int64_t begin;

    for (int i = 0; i < LINKS; i++)
        ck_assert(link_open(&links[i], b));
    for (int round = 0; round < ROUNDS; round++) {
        faults_set("-");
        bulk_declare(b, "queue", true);
        faults_set("td30");
        begin = now_ms();
        for (int i = 0; i < LINKS; i++)
            ck_assert(link_send(&links[(round + i) % LINKS], AMQP_QUEUE_DELETE_METHOD, &m));
        for (int i = 0; i < LINKS; i++) {
            ck_assert_int_eq(link_next(&links[i], deadline_ms(), &e), LINK_EVENT);
            ck_assert_uint_eq(e.method, AMQP_QUEUE_DELETE_OK_METHOD);
            ck_assert_int_ge(now_ms() - begin, SYNC_MS);
        }
    }
    for (int i = 0; i < LINKS; i++)
        link_drop(&links[i]);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(what_was_committed_long_ago_is_answered_while_the_disk_fails)
{
    amqp_queue_declare_t new = {.queue = amqp_cstring_bytes("new"), .durable = true};
    struct broker *b = faults_launch(CONFIG, 2);
    struct link l;

    ck_assert(link_open(&l, b));
    prepare(b, &l);
    faults_set("sd5");
    ck_assert_ptr_null(
        link_call(&l, AMQP_QUEUE_DECLARE_METHOD, &new, AMQP_QUEUE_DECLARE_OK_METHOD));
    link_drop(&l);
    ck_assert(link_open(&l, b));
    ck_assert(do_deed(&l, deed_of(AMQP_EXCHANGE_DECLARE_METHOD), "there"));
    ck_assert(do_deed(&l, deed_of(AMQP_EXCHANGE_BIND_METHOD), "there"));
    ck_assert(do_deed(&l, deed_of(AMQP_QUEUE_BIND_METHOD), "there"));
    ck_assert(do_deed(&l, deed_of(AMQP_QUEUE_UNBIND_METHOD), "nothing"));
    link_drop(&l);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("definitions");
    TCase *tcase = tcase_create("disk");

    tcase_set_timeout(tcase, 30.0 * deadline_ms() / 1000.0);
    tcase_add_loop_test(tcase, what_cannot_be_defined_is_refused, 0, 2);
    tcase_add_loop_test(tcase, nothing_is_confirmed_in_a_queue_that_cannot_be_defined, 0, 2);
    tcase_add_loop_test(tcase, a_slow_definition_is_awaited, 0, 2);
    tcase_add_test(tcase, nothing_is_declared_in_a_directory_that_was_deleted);
    tcase_add_loop_test(tcase, what_another_has_just_done_is_answered_when_it_is_committed, 0,
                        DEED_COUNT);
    tcase_add_loop_test(tcase, what_another_has_just_done_is_refused_when_it_cannot_be_committed, 0,
                        DEED_COUNT);
    tcase_add_test(tcase, of_many_who_delete_a_queue_at_once_none_is_answered_before_the_commit);
    tcase_add_test(tcase, what_was_committed_long_ago_is_answered_while_the_disk_fails);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
