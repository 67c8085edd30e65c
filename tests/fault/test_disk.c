/* Disks that are full or fail: what is not durable is never confirmed, the broker stays up and
 * takes persistent messages again as soon as the disk does. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/bulk.h"
#include "tests/fault/faults.h"
#include "tests/wire/harness.h"

enum { PART = 300, NUMBERS = 100000 };

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "disk:\n"
                             "  free_limit: 0\n"
                             "journal:\n"
                             "  segment_size: 1MiB\n"
                             "  reserve: 1MiB\n"
                             "  write_buffer: 1MiB\n";

static const struct bulk ORDERS = {.queue = "orders", .size = 1000, .persistent = true};
static const struct bulk NEWS = {.queue = "orders", .size = 1000, .persistent = false};

static struct broker *start_with_faults(int workers)
{
    return faults_launch(CONFIG, workers);
}

static void restart(struct broker *b, int workers)
{
    faults_restart(b, CONFIG, workers);
}

static uint32_t publish_until_confirmed(struct broker *b, uint32_t number, enum outcome *outcomes)
{
    return bulk_publish_until(b, &ORDERS, CONFIRMED, number, outcomes);
}

/* Everything from `from` on that was confirmed is there, and nothing twice. */
static void check_confirmed(struct broker *b, const enum outcome *outcomes, uint32_t from,
                            uint32_t to)
{
    static uint32_t times[NUMBERS];

    bulk_take_all(b, &ORDERS, times, NUMBERS);
    for (uint32_t i = 0; i < to; i++) {
        ck_assert_msg(times[i] <= 1, "message %u is there %u times", i, times[i]);
        if (i >= from && outcomes[i] == CONFIRMED)
            ck_assert_msg(times[i] == 1, "message %u was confirmed and is lost", i);
    }
}

static const struct {
    const char *fault;
    int workers;
} faults[] = {
    {"wj28", 1}, /* ENOSPC */
    {"wj5", 2},  /* EIO */
    {"sj5", 1},
    {"sj5", 2},
};

START_TEST(nothing_is_confirmed_that_the_disk_does_not_take)
{
    static enum outcome outcomes[NUMBERS];
    struct broker *b = start_with_faults(faults[_i].workers);
    uint32_t number = PART;

    bulk_declare(b, "orders", true);
    bulk_publish(b, &ORDERS, 0, PART, outcomes);
    ck_assert_uint_eq(bulk_count_outcomes(outcomes, PART, CONFIRMED), PART);

    faults_set(faults[_i].fault);
    bulk_publish(b, &ORDERS, number, PART, &outcomes[number]);
    ck_assert_uint_eq(bulk_count_outcomes(&outcomes[number], PART, REFUSED), PART);
    number += PART;
    ck_assert(broker_log_awaits(b, "cannot be written"));
    bulk_fill(b, &NEWS, number, 10);
    number += 10;
    bulk_drain(b, &ORDERS, 0, 50);
    /* It has been tried again by now, perhaps more than once. */
    bulk_publish(b, &ORDERS, number, PART, &outcomes[number]);
    ck_assert_uint_eq(bulk_count_outcomes(&outcomes[number], PART, REFUSED), PART);
    number += PART;

    faults_set("-");
    number = publish_until_confirmed(b, number, outcomes);
    ck_assert(broker_log_awaits(b, "takes messages again"));
    bulk_publish(b, &ORDERS, number, PART, &outcomes[number]);
    ck_assert_uint_eq(bulk_count_outcomes(&outcomes[number], PART, CONFIRMED), PART);
    number += PART;

    restart(b, faults[_i].workers);
    check_confirmed(b, outcomes, 50, number);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(a_broken_moment_in_the_middle_of_publishing_loses_nothing_confirmed)
{
    static enum outcome outcomes[NUMBERS];
    struct broker *b = start_with_faults(2);
    uint32_t number = 0;

    bulk_declare(b, "orders", true);
    for (int i = 0; i < 6; i++) {
        pid_t other = fork();

        if (other == 0) {
            const struct timespec moment = {.tv_nsec = 15000000L * (i + 1)};

            nanosleep(&moment, NULL);
            faults_set(i % 2 == 0 ? "sj5" : "wj28");
            nanosleep(&moment, NULL);
            faults_set("-");
            _exit(0);
        }
        bulk_publish(b, &ORDERS, number, 3000, &outcomes[number]);
        number += 3000;
        ck_assert_int_eq(waitpid(other, NULL, 0), other);
        number = publish_until_confirmed(b, number, outcomes);
    }
    restart(b, 1);
    check_confirmed(b, outcomes, 0, number);
    ck_assert(broker_stop(b));
}
END_TEST

/* Of a channel.close that comes next. */
static void await_unkept(struct link *l)
{
    const amqp_channel_close_t *m;
    amqp_channel_close_ok_t ok = {0};
    struct link_event e;

    ck_assert(link_next(l, deadline_ms(), &e) == LINK_EVENT);
    ck_assert_uint_eq(e.method, AMQP_CHANNEL_CLOSE_METHOD);
    m = e.fields;
    ck_assert_uint_eq(m->reply_code, 541);
    ck_assert_uint_eq((uint32_t)m->class_id << 16 | m->method_id, AMQP_BASIC_PUBLISH_METHOD);
    ck_assert_ptr_nonnull(memmem(m->reply_text.bytes, m->reply_text.len, "'orders'", 8));
    ck_assert(link_send(l, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok));
}

/* Several, on both workers; the first publish, to nowhere, leaves each where it is. The connection
 * stays, and takes what need not be kept. */
START_TEST(a_publisher_without_confirms_is_told_that_nothing_is_kept)
{
    const amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                                .delivery_mode = 2};
    const amqp_basic_properties_t transient = {._flags = 0};
    static enum outcome outcomes[NUMBERS];
    struct broker *b = start_with_faults(_i + 1);
    uint32_t number = PART;

    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, PART);
    faults_set("wj28");
    bulk_publish(b, &ORDERS, number, 1, &outcomes[number]);
    ck_assert_int_eq(outcomes[number], REFUSED);
    number++;
    for (int i = 0; i < 8; i++) {
        struct link_event e;
        struct link l;

        ck_assert(link_open(&l, b));
        link_publish(&l, "", "nowhere", false, &transient, "x", 1);
        for (int k = 0; k < 20; k++)
            link_publish(&l, "", "orders", false, &persistent, "x", 1);
        await_unkept(&l);
        ck_assert_ptr_nonnull(amqp_channel_open(l.connection, 1));
        ck_assert(link_confirm_select(&l));
        link_publish(&l, "", "orders", false, &transient, "x", 1);
        ck_assert(link_next(&l, deadline_ms(), &e) == LINK_EVENT);
        ck_assert_uint_eq(e.method, AMQP_BASIC_ACK_METHOD);
        link_drop(&l);
    }
    faults_set("-");
    /* The one of the failed write, and the transient ones; nothing of what was refused. */
    ck_assert_uint_eq(bulk_count(b, "orders"), PART + 1 + 8);
    publish_until_confirmed(b, number, outcomes);
    ck_assert(broker_stop(b));
}
END_TEST

/* Consumes `count` messages in a transaction and acknowledges them, up to the commit. */
static void begin_commit(struct link *l, uint64_t count)
{
    amqp_tx_select_t select = {0};
    amqp_basic_qos_t qos = {.prefetch_count = (uint16_t)count};
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes("orders")};
    amqp_basic_ack_t ack = {.delivery_tag = count, .multiple = true};
    amqp_tx_commit_t commit = {0};
    struct link_event e;

    ck_assert_ptr_nonnull(link_call(l, AMQP_TX_SELECT_METHOD, &select, AMQP_TX_SELECT_OK_METHOD));
    ck_assert_ptr_nonnull(link_call(l, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD));
    ck_assert_ptr_nonnull(
        link_call(l, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD));
    for (uint64_t i = 0; i < count; i++) {
        ck_assert(link_next(l, deadline_ms(), &e) == LINK_EVENT);
        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
    }
    ck_assert(link_send(l, AMQP_BASIC_ACK_METHOD, &ack));
    ck_assert(link_send(l, AMQP_TX_COMMIT_METHOD, &commit));
}

/* Of the queue's worker and of another, and whether the failure comes before the commit or by it.
 */
START_TEST(a_commit_of_acks_waits_for_the_disk)
{
    enum { ACKED = 5 };
    static enum outcome outcomes[NUMBERS];
    struct broker *b = start_with_faults(_i % 2 + 1);
    bool failed_before = _i / 2 == 1;
    struct link_event e;
    struct link l;

    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, PART);
    ck_assert(link_open(&l, b));
    faults_set("sj5");
    if (failed_before)
        bulk_publish_until(b, &ORDERS, REFUSED, PART, outcomes);
    begin_commit(&l, ACKED);
    ck_assert(broker_log_awaits(b, "cannot be written"));
    while (link_next(&l, 300, &e) == LINK_EVENT)
        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
    faults_set("-");
    do {
        ck_assert(link_next(&l, deadline_ms(), &e) == LINK_EVENT);
    } while (e.method == AMQP_BASIC_DELIVER_METHOD);
    ck_assert_uint_eq(e.method, AMQP_TX_COMMIT_OK_METHOD);
    link_drop(&l);
    restart(b, 1);
    ck_assert_uint_eq(bulk_count(b, "orders"), PART - ACKED);
    ck_assert(broker_stop(b));
}
END_TEST

/* Without a word, or with connection.close: what was delivered and not acknowledged is for others.
 */
START_TEST(who_goes_while_a_commit_waits_for_the_disk_keeps_nothing)
{
    enum { ACKED = 5 };
    amqp_connection_close_t close = {.reply_code = 200};
    struct broker *b = start_with_faults(2);
    struct link_event e;
    int64_t deadline;
    struct link l;

    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, PART);
    ck_assert(link_open(&l, b));
    faults_set("sj5");
    begin_commit(&l, ACKED);
    ck_assert(broker_log_awaits(b, "cannot be written"));
    /* With nothing left to read, the connection ends and is not reset. */
    while (link_next(&l, 300, &e) == LINK_EVENT)
        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
    if (_i == 0)
        link_drop(&l);
    else
        ck_assert_int_eq(amqp_send_method(l.connection, 0, AMQP_CONNECTION_CLOSE_METHOD, &close),
                         AMQP_STATUS_OK);
    deadline = now_ms() + 2 * deadline_ms();
    while (bulk_count(b, "orders") != PART - ACKED)
        ck_assert_int_lt(now_ms(), deadline);
    if (_i != 0)
        link_drop(&l);
    faults_set("-");
    ck_assert(broker_log_awaits(b, "takes messages again"));
    ck_assert_uint_eq(bulk_count(b, "orders"), PART - ACKED);
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- Page segments ---- */

static const char PAGING_CONFIG[] = "listeners:\n"
                                    "  - {address: 127.0.0.1, port: @PORT@}\n"
                                    "workers: @WORKERS@\n"
                                    "disk:\n"
                                    "  free_limit: 0\n"
                                    "memory:\n"
                                    "  target: 1MiB\n"
                                    "  high_watermark_percent: 0\n";

/* Transient ones, of which some are on their way to the disk when it fails, and more when it works
 * again. */
START_TEST(what_page_segments_do_not_take_stays_in_memory)
{
    enum { STEP = 8000 };
    const struct bulk news = {.queue = "news", .size = 2000, .persistent = false};
    struct broker *b = faults_launch(PAGING_CONFIG, 1);

    bulk_declare(b, "news", false);
    bulk_fill(b, &news, 0, STEP);
    faults_set("wp28");
    bulk_fill(b, &news, STEP, STEP);
    ck_assert(broker_log_awaits(b, "page segments cannot be written"));
    bulk_fill(b, &news, 2 * STEP, STEP);
    faults_set("-");
    ck_assert(broker_log_awaits(b, "page segments can be written again"));
    bulk_fill(b, &news, 3 * STEP, STEP);
    bulk_drain(b, &news, 0, 4 * STEP);
    ck_assert_uint_eq(bulk_count(b, "news"), 0);
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- A disk that is gone ---- */

static const char WATCHED_CONFIG[] = "listeners:\n"
                                     "  - {address: 127.0.0.1, port: @PORT@}\n"
                                     "workers: @WORKERS@\n"
                                     "disk:\n"
                                     "  free_limit: 1MiB\n";

/* Its files are still open, and would take messages that no restart finds. */
START_TEST(a_directory_that_is_gone_is_told_of)
{
    struct broker *b = broker_prepare();
    char directory[512];
    char elsewhere[600];

    broker_launch(b, WATCHED_CONFIG, 2);
    broker_data_directory(b, directory, sizeof(directory));
    snprintf(elsewhere, sizeof(elsewhere), "%s-moved", directory);
    ck_assert_int_eq(rename(directory, elsewhere), 0);
    ck_assert(broker_log_awaits(b, "publishers are held back"));
    ck_assert_int_eq(rename(elsewhere, directory), 0);
    ck_assert(broker_log_awaits(b, "the disk has enough space again"));
    ck_assert(broker_stop(b));
}
END_TEST

/* The first publish after it already; and what the broker does when there is a directory again. */
START_TEST(nothing_is_confirmed_in_a_directory_that_was_deleted)
{
    static enum outcome outcomes[NUMBERS];
    struct broker *b = broker_prepare();
    char directory[512];
    char command[1200];

    broker_launch(b, CONFIG, _i + 1);
    broker_data_directory(b, directory, sizeof(directory));
    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, PART);
    snprintf(command, sizeof(command), "rm -r %s/journal", directory);
    ck_assert_int_eq(system(command), 0);
    bulk_publish(b, &ORDERS, PART, PART, &outcomes[PART]);
    ck_assert_uint_eq(bulk_count_outcomes(&outcomes[PART], PART, REFUSED), PART);
    ck_assert(broker_log_awaits(b, "was deleted while the broker had it"));
    snprintf(command, sizeof(command), "mkdir -p %s/journal/0 %s/journal/1", directory, directory);
    ck_assert_int_eq(system(command), 0);
    publish_until_confirmed(b, 2 * PART, outcomes);
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- A disk that is slow ---- */

static void consume_some(struct link *l, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct link_event e;

        ck_assert(link_next(l, 3 * deadline_ms(), &e) == LINK_EVENT);
        ck_assert_uint_eq(e.method, AMQP_BASIC_DELIVER_METHOD);
    }
}

/* What is consumed at once is not what the memory is for: it is what waits for the disk. From the
 * queue's worker and from another, and a consumer that the disk does not keep waiting. */
START_TEST(publishers_wait_for_a_slow_disk_and_consumers_do_not)
{
    enum { BODY = 64 << 10, ROUNDS = 40, BATCH = 16, MEMORY_KIB = 20 << 10 };
    const amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                                .delivery_mode = 2};
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes("orders"), .no_ack = true};
    struct broker *b = start_with_faults(_i + 1);
    static uint8_t body[BODY];
    struct link publishers[4];
    struct link consumer;
    long before;

    bulk_declare(b, "orders", true);
    ck_assert(link_open(&consumer, b));
    ck_assert_ptr_nonnull(
        link_call(&consumer, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD));
    for (int i = 0; i < 4; i++) {
        ck_assert(link_open(&publishers[i], b));
        link_publish(&publishers[i], "", "nowhere", false, &persistent, "x", 1);
    }
    faults_set("lj100");
    before = broker_resident_kib(b);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < BATCH; k++)
            ck_assert(link_publish(&publishers[i % 4], "", "orders", false, &persistent, body,
                                   sizeof(body)));
        consume_some(&consumer, BATCH);
        if (!broker_is_sanitized())
            ck_assert_msg(broker_resident_kib(b) < before + MEMORY_KIB,
                          "%ld KiB resident after %d rounds, %ld before", broker_resident_kib(b), i,
                          before);
    }
    faults_set("-");
    for (int i = 0; i < 4; i++)
        link_drop(&publishers[i]);
    link_drop(&consumer);
    bulk_fill(b, &ORDERS, 0, PART);
    bulk_drain(b, &ORDERS, 0, PART);
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- Dead letters ---- */

/* Which of two journals a durable queue is in; it is empty before and after. */
static int journal_of(struct broker *b, const char *queue)
{
    static enum outcome outcomes[NUMBERS];
    const struct bulk k = {.queue = queue, .size = 100, .persistent = true};
    bool refused;

    faults_set("w05");
    bulk_publish(b, &k, 0, 1, outcomes);
    refused = outcomes[0] == REFUSED;
    faults_set("-");
    bulk_publish_until(b, &k, CONFIRMED, 1, outcomes);
    bulk_purge(b, queue);
    return refused ? 0 : 1;
}

/* Declares a queue whose rejected messages go to the queue "dead" in the other journal; returns
 * that one's number. */
static int declare_apart(struct broker *b, char *source, size_t size)
{
    int dead;

    bulk_declare(b, "dead", true);
    dead = journal_of(b, "dead");
    for (int i = 0; i < 64; i++) {
        snprintf(source, size, "source-%d", i);
        bulk_declare_rejecting(b, source, "dead");
        if (journal_of(b, source) != dead)
            return dead;
    }
    ck_abort_msg("all queues are in one journal");
}

static void await_count(struct broker *b, const char *queue, uint32_t count)
{
    int64_t deadline = now_ms() + deadline_ms();

    while (bulk_count(b, queue) < count) {
        const struct timespec step = {.tv_nsec = 50000000};

        ck_assert_msg(now_ms() < deadline, "%s has %u messages", queue, bulk_count(b, queue));
        nanosleep(&step, NULL);
    }
}

/* The broker is killed while the letters are not on disk, or when they could be written at last. */
START_TEST(a_dead_letter_is_in_its_queue_until_another_journal_has_it)
{
    static uint32_t in_source[NUMBERS];
    static uint32_t in_dead[NUMBERS];
    static enum outcome outcomes[NUMBERS];
    struct broker *b = start_with_faults(2);
    char source[32];
    int dead = declare_apart(b, source, sizeof(source));
    const struct bulk rejected = {.queue = source, .size = 100, .persistent = true};
    const struct bulk letters = {.queue = "dead", .size = 100, .persistent = true};
    uint32_t number = PART;
    char fault[16];

    bulk_fill(b, &rejected, 0, PART);
    snprintf(fault, sizeof(fault), "w%d5", dead);
    faults_set(fault);
    bulk_reject(b, &rejected, PART);
    number = bulk_publish_until(b, &letters, REFUSED, number, outcomes);
    bulk_fill(b, &rejected, PART, 1); /* what its journal has of the rejections is durable now */
    if (_i == 1) {
        faults_set("-");
        bulk_publish_until(b, &letters, CONFIRMED, number, outcomes);
        await_count(b, "dead", 2 * PART); /* the failed ones, in memory, and once more */
    }
    restart(b, 2);
    bulk_take_all(b, &rejected, in_source, NUMBERS);
    bulk_take_all(b, &letters, in_dead, NUMBERS);
    for (uint32_t i = 0; i < PART; i++) {
        ck_assert_msg(in_source[i] + in_dead[i] != 0, "message %u is nowhere", i);
        if (_i == 1)
            ck_assert_msg(in_dead[i] != 0, "message %u did not become a dead letter", i);
    }
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- A disk that is full ---- */

/* A broker whose data is on a file system of 20 MiB. Returns NULL where none can be mounted. */
static struct broker *start_on_small_disk(char *data, size_t size)
{
    struct broker *b = broker_prepare();

    broker_data_directory(b, data, size);
    if (mount("leveret-test", data, "tmpfs", 0, "size=20m") < 0) {
        printf("no file system of 20 MiB can be mounted (%s): not tested with one\n",
               strerror(errno));
        ck_assert(broker_stop(b));
        return NULL;
    }
    broker_launch(b, CONFIG, 2);
    return b;
}

static void stop_on_small_disk(struct broker *b, const char *data)
{
    ck_assert(broker_end(b));
    ck_assert_int_eq(umount2(data, MNT_DETACH), 0);
    ck_assert(broker_stop(b));
}

/* Publishes until something is refused. Returns the next number. */
static uint32_t fill_disk(struct broker *b, uint32_t number, enum outcome *outcomes)
{
    do {
        bulk_publish(b, &ORDERS, number, 1000, &outcomes[number]);
        number += 1000;
        ck_assert_uint_lt(number, NUMBERS / 2);
    } while (bulk_count_outcomes(&outcomes[number - 1000], 1000, REFUSED) == 0);
    ck_assert(broker_log_awaits(b, "No space left on device"));
    return number;
}

static void check_after_kill(struct broker *b, enum outcome *outcomes, uint32_t from,
                             uint32_t number)
{
    bulk_publish(b, &ORDERS, number, 1000, &outcomes[number]);
    ck_assert_uint_eq(bulk_count_outcomes(&outcomes[number], 1000, CONFIRMED), 1000);
    ck_assert(broker_kill(b));
    broker_launch(b, CONFIG, 2);
    check_confirmed(b, outcomes, from, number + 1000);
}

START_TEST(a_disk_that_others_filled_recovers_when_they_go)
{
    static enum outcome outcomes[NUMBERS];
    char data[512];
    char ballast[600];
    struct broker *b = start_on_small_disk(data, sizeof(data));
    uint32_t number;
    FILE *f;

    if (b == NULL)
        return;
    snprintf(ballast, sizeof(ballast), "%s/journal/ballast", data);
    f = fopen(ballast, "we");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 6 << 10; i++)
        fprintf(f, "%1023d\n", i);
    fclose(f);
    bulk_declare(b, "orders", true);
    number = fill_disk(b, 0, outcomes);
    ck_assert_int_eq(unlink(ballast), 0);
    number = publish_until_confirmed(b, number, outcomes);
    check_after_kill(b, outcomes, 0, number);
    stop_on_small_disk(b, data);
}
END_TEST

/* Twice, since the first time used what was kept back for it. */
START_TEST(a_full_disk_recovers_by_being_consumed_from)
{
    static enum outcome outcomes[NUMBERS];
    char data[512];
    struct broker *b = start_on_small_disk(data, sizeof(data));
    uint32_t number = 0;
    uint32_t taken = 0;

    if (b == NULL)
        return;
    bulk_declare(b, "orders", true);
    number = fill_disk(b, number, outcomes);
    ck_assert_uint_gt(bulk_count_outcomes(outcomes, number, CONFIRMED), 10000);
    bulk_drain(b, &ORDERS, taken, 6000);
    taken += 6000;
    number = publish_until_confirmed(b, number, outcomes);
    number = fill_disk(b, number, outcomes);
    bulk_drain(b, &ORDERS, taken, 4000);
    taken += 4000;
    number = publish_until_confirmed(b, number, outcomes);
    check_after_kill(b, outcomes, taken, number);
    stop_on_small_disk(b, data);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("disk");
    TCase *tcase = tcase_create("disk");

    tcase_set_timeout(tcase, 30.0 * deadline_ms() / 1000.0);
    tcase_add_loop_test(tcase, nothing_is_confirmed_that_the_disk_does_not_take, 0,
                        sizeof(faults) / sizeof(faults[0]));
    tcase_add_test(tcase, a_broken_moment_in_the_middle_of_publishing_loses_nothing_confirmed);
    tcase_add_loop_test(tcase, a_publisher_without_confirms_is_told_that_nothing_is_kept, 0, 2);
    tcase_add_loop_test(tcase, a_commit_of_acks_waits_for_the_disk, 0, 4);
    tcase_add_loop_test(tcase, who_goes_while_a_commit_waits_for_the_disk_keeps_nothing, 0, 2);
    tcase_add_test(tcase, what_page_segments_do_not_take_stays_in_memory);
    tcase_add_test(tcase, a_directory_that_is_gone_is_told_of);
    tcase_add_loop_test(tcase, nothing_is_confirmed_in_a_directory_that_was_deleted, 0, 2);
    tcase_add_loop_test(tcase, publishers_wait_for_a_slow_disk_and_consumers_do_not, 0, 2);
    tcase_add_loop_test(tcase, a_dead_letter_is_in_its_queue_until_another_journal_has_it, 0, 2);
    tcase_add_test(tcase, a_disk_that_others_filled_recovers_when_they_go);
    tcase_add_test(tcase, a_full_disk_recovers_by_being_consumed_from);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
