/* Files of a journal that somebody copied, made longer or damaged: what is the broker's is read as
 * if nothing had been done, and nothing else is cut or deleted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/bulk.h"
#include "tests/wire/harness.h"

enum { COUNT = 1000 };

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n";

static const struct bulk ORDERS = {.queue = "orders", .size = 1000, .persistent = true};

/* What is done in the journal's directory, where `$f` is the first segment; and what the log says.
 */
static const struct {
    const char *commands;
    const char *told;
    const char *there; /* a file, afterwards, as it was put there */
} deeds[] = {
    {"cp $f 00000001-00000000.segment && cp $f ../original", "under another name",
     "00000001-00000000.segment.damaged"},
    {"cp $f 00000001-ffffffff.segment && cp $f ../original", "under another name",
     "00000001-ffffffff.segment.damaged"},
    {"cp $f 00000009-01234567.segment && cp $f ../original", "under another name",
     "00000009-01234567.segment.damaged"},
    {"seq 1 100000 >../original && cp ../original 00000009-01234567.segment",
     "no segment of a journal", "00000009-01234567.segment.damaged"},
    {"truncate -s 20G $f", NULL, NULL},
};

static void in_journal(const struct broker *b, const char *commands)
{
    char directory[512];
    char command[2048];

    broker_data_directory(b, directory, sizeof(directory));
    snprintf(command, sizeof(command),
             "set -e; for d in %s/journal/*/; do cd $d; f=$(ls | head -1); "
             "if [ -n \"$f\" ]; then %s; fi; done",
             directory, commands);
    ck_assert_msg(system(command) == 0, "%s", command);
}

START_TEST(what_others_did_among_the_segments_changes_nothing)
{
    struct broker *b = broker_prepare();
    char check[128];

    broker_launch(b, CONFIG, 1);
    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, COUNT);
    ck_assert(broker_kill(b));
    in_journal(b, deeds[_i].commands);
    broker_launch(b, CONFIG, 1);
    if (deeds[_i].told != NULL) {
        ck_assert(broker_log_awaits(b, deeds[_i].told));
        snprintf(check, sizeof(check), "cmp %s ../original", deeds[_i].there);
        in_journal(b, check);
    }
    bulk_fill(b, &ORDERS, COUNT, COUNT);
    ck_assert(broker_kill(b));
    broker_launch(b, CONFIG, 1);
    bulk_drain(b, &ORDERS, 0, 2 * COUNT);
    ck_assert(broker_stop(b));
}
END_TEST

/* ---- Damage while the broker runs ---- */

static const char PAGING_CONFIG[] = "listeners:\n"
                                    "  - {address: 127.0.0.1, port: @PORT@}\n"
                                    "workers: @WORKERS@\n"
                                    "memory:\n"
                                    "  target: 1MiB\n"
                                    "  high_watermark_percent: 0\n";

/* Consumes until the queue is empty. Returns how many messages came. */
static uint32_t consume_what_is_there(struct broker *b)
{
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes("orders"), .no_ack = true};
    int64_t deadline = now_ms() + 4 * deadline_ms();
    struct link_event e;
    struct link l;
    uint32_t count = 0;

    ck_assert(link_open(&l, b));
    ck_assert_ptr_nonnull(
        link_call(&l, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD));
    for (;;) {
        enum link_result result = link_next(&l, 200, &e);

        ck_assert(result != LINK_LOST);
        ck_assert_int_lt(now_ms(), deadline);
        if (result == LINK_EVENT)
            count++;
        else if (bulk_count(b, "orders") == 0)
            break;
    }
    link_drop(&l);
    return count;
}

START_TEST(many_lost_messages_are_told_in_few_lines)
{
    enum { MANY = 20000, SHOWN_MAX = 2000 };
    struct broker *b = broker_prepare();
    uint32_t found;

    broker_launch(b, PAGING_CONFIG, 1);
    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, MANY);
    in_journal(b, "tr '\\0' x </dev/zero | dd of=$f bs=1M seek=4 count=10 iflag=fullblock "
                  "conv=notrunc 2>/dev/null");
    found = consume_what_is_there(b);
    ck_assert_uint_lt(found, MANY - 5000);
    ck_assert(broker_log_awaits(b, "more messages are damaged on disk and are lost"));
    ck_assert_uint_lt(broker_log_count(b, "is damaged on disk"), SHOWN_MAX);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("journal_files");
    TCase *tcase = tcase_create("journal_files");

    tcase_set_timeout(tcase, 12.0 * deadline_ms() / 1000.0);
    tcase_add_loop_test(tcase, what_others_did_among_the_segments_changes_nothing, 0,
                        sizeof(deeds) / sizeof(deeds[0]));
    tcase_add_test(tcase, many_lost_messages_are_told_in_few_lines);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
