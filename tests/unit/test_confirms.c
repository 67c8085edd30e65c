#include "base/random.h"
#include "session/confirms.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { MODEL_NUMBERS = 20000 };

/* What is known of each publish, and what the client was told. */
enum fate { NOT_TOLD, TOLD_ACCEPTED, TOLD_REFUSED };

static struct {
    uint32_t pending[MODEL_NUMBERS + 1];
    bool refused[MODEL_NUMBERS + 1];
    bool at_once[MODEL_NUMBERS + 1]; /* no queue had to be asked */
    enum fate fate[MODEL_NUMBERS + 1];
    uint64_t last;
    uint64_t lowest; /* everything below was told */
    unsigned tellings;
    uint64_t seed;
} model;

static struct confirms confirms;

static void start(void)
{
    confirms_init(&confirms);
    memset(&model, 0, sizeof(model));
    model.lowest = 1;
}

static void publish(uint32_t pending, bool refused)
{
    model.last++;
    ck_assert_uint_eq(confirms_add(&confirms, pending, refused), model.last);
    model.pending[model.last] = pending;
    model.refused[model.last] = refused;
    model.at_once[model.last] = pending == 0;
}

static void settle(uint64_t number, bool accepted)
{
    confirms_settle(&confirms, number, accepted);
    model.pending[number]--;
    if (!accepted)
        model.refused[number] = true;
}

static void hear_one(uint64_t number, bool accepted)
{
    ck_assert_msg(model.pending[number] == 0, "seed %llu: %llu is not settled",
                  (unsigned long long)model.seed, (unsigned long long)number);
    ck_assert_msg(accepted != model.refused[number], "seed %llu: the wrong word on %llu",
                  (unsigned long long)model.seed, (unsigned long long)number);
    model.fate[number] = accepted ? TOLD_ACCEPTED : TOLD_REFUSED;
}

/* What a client does with an answer: one with `multiple` is for all that it has not heard of. */
static void tell(void *context, uint64_t number, bool multiple, bool accepted)
{
    ck_assert_ptr_eq(context, &model);
    model.tellings++;
    ck_assert_uint_le(number, model.last);
    ck_assert_msg(model.fate[number] == NOT_TOLD, "seed %llu: %llu was told twice",
                  (unsigned long long)model.seed, (unsigned long long)number);
    for (uint64_t n = multiple ? model.lowest : number; n <= number; n++) {
        if (model.fate[n] == NOT_TOLD)
            hear_one(n, accepted);
    }
    while (model.lowest <= model.last && model.fate[model.lowest] != NOT_TOLD)
        model.lowest++;
}

/* Reports, and expects that what is settled was told. What was settled at once is told with those
 * before it: it may wait for them. */
static void report(void)
{
    bool waited = false;

    confirms_report(&confirms, tell, &model);
    ck_assert(!confirms_reportable(&confirms));
    for (uint64_t n = model.lowest; n <= model.last; n++) {
        waited = waited || model.pending[n] != 0;
        if (model.fate[n] == NOT_TOLD && model.pending[n] == 0 && !(model.at_once[n] && waited))
            ck_abort_msg("seed %llu: %llu was not told", (unsigned long long)model.seed,
                         (unsigned long long)n);
    }
}

START_TEST(numbers_start_at_one)
{
    start();
    ck_assert(!confirms_reportable(&confirms));
    ck_assert(!confirms_waiting(&confirms));
    publish(0, false);
    ck_assert_uint_eq(model.last, 1);
    ck_assert(confirms_reportable(&confirms));
    confirms_free(&confirms);
}
END_TEST

START_TEST(run_of_accepted_ones_is_told_at_once)
{
    start();
    for (int i = 0; i < 100; i++)
        publish(0, false);
    report();
    ck_assert_uint_eq(model.tellings, 1);
    ck_assert_uint_eq(model.lowest, 101);
    confirms_free(&confirms);
}
END_TEST

START_TEST(one_alone_is_told_without_multiple)
{
    start();
    publish(0, false);
    report();
    publish(0, false);
    report();
    ck_assert_uint_eq(model.tellings, 2);
    confirms_free(&confirms);
}
END_TEST

START_TEST(refused_one_is_told_alone_between_two_runs)
{
    start();
    for (int i = 0; i < 9; i++)
        publish(0, i == 4);
    report();
    ck_assert_uint_eq(model.tellings, 3);
    ck_assert_int_eq(model.fate[4], TOLD_ACCEPTED);
    ck_assert_int_eq(model.fate[5], TOLD_REFUSED);
    ck_assert_int_eq(model.fate[6], TOLD_ACCEPTED);
    confirms_free(&confirms);
}
END_TEST

START_TEST(publish_waits_for_the_last_of_its_queues)
{
    start();
    publish(3, false);
    ck_assert(confirms_waiting(&confirms));
    settle(1, true);
    settle(1, true);
    ck_assert(!confirms_reportable(&confirms));
    settle(1, true);
    ck_assert(!confirms_waiting(&confirms));
    ck_assert(confirms_reportable(&confirms));
    report();
    ck_assert_int_eq(model.fate[1], TOLD_ACCEPTED);
    confirms_free(&confirms);
}
END_TEST

START_TEST(one_queue_that_refuses_is_enough)
{
    start();
    publish(2, false);
    settle(1, false);
    ck_assert(!confirms_reportable(&confirms));
    settle(1, true);
    report();
    ck_assert_int_eq(model.fate[1], TOLD_REFUSED);
    confirms_free(&confirms);
}
END_TEST

START_TEST(one_behind_a_waiting_one_is_told_alone_and_once)
{
    start();
    publish(1, false);
    publish(1, false);
    publish(1, false);
    settle(2, true);
    ck_assert(confirms_reportable(&confirms));
    report();
    ck_assert_uint_eq(model.tellings, 1);
    ck_assert_int_eq(model.fate[2], TOLD_ACCEPTED);
    settle(1, true);
    settle(3, true);
    report();
    ck_assert_uint_eq(model.tellings, 2);
    ck_assert(!confirms_waiting(&confirms));
    confirms_free(&confirms);
}
END_TEST

/* Settled at once, while the one before it waits: there is no settle that would tell of it. */
START_TEST(one_settled_at_once_behind_a_waiting_one_is_told_in_the_end)
{
    start();
    publish(1, false);
    publish(0, false);
    publish(0, true);
    report();
    settle(1, true);
    report();
    ck_assert_int_eq(model.fate[2], TOLD_ACCEPTED);
    ck_assert_int_eq(model.fate[3], TOLD_REFUSED);
    confirms_free(&confirms);
}
END_TEST

START_TEST(memory_of_a_large_ring_is_given_up_when_nothing_waits)
{
    start();
    for (int i = 0; i < 10000; i++)
        publish(0, false);
    report();
    ck_assert_ptr_null(confirms.ring);
    publish(0, false);
    report();
    ck_assert_uint_eq(model.lowest, 10002);
    confirms_free(&confirms);
}
END_TEST

static void settle_one_of(const uint64_t *waiting, uint32_t count, struct random_sequence *r)
{
    settle(waiting[random_sequence_below(r, count)], random_sequence_below(r, 5) != 0);
}

static void run_random(uint64_t seed)
{
    static uint64_t waiting[MODEL_NUMBERS];
    struct random_sequence r;
    uint64_t reports_in = 1 + seed % 20;

    start();
    model.seed = seed;
    random_sequence_seed(&r, seed);
    while (model.lowest <= 1000) {
        uint32_t count = 0;

        if (model.last < 1000)
            publish((uint32_t)random_sequence_below(&r, 3), random_sequence_below(&r, 7) == 0);
        for (uint64_t n = model.lowest; n <= model.last; n++) {
            if (model.pending[n] != 0)
                waiting[count++] = n;
        }
        ck_assert(confirms_waiting(&confirms) == (count != 0));
        if (count != 0 && random_sequence_below(&r, 10) != 0)
            settle_one_of(waiting, count, &r);
        if (random_sequence_below(&r, reports_in) == 0)
            report();
    }
    ck_assert_uint_eq(model.last, 1000);
    ck_assert(!confirms_waiting(&confirms));
    confirms_free(&confirms);
}

START_TEST(every_number_is_told_once_and_rightly)
{
    for (uint64_t seed = 1; seed <= 30; seed++)
        run_random(seed);
}
END_TEST

UNIT_MAIN("confirms", numbers_start_at_one, run_of_accepted_ones_is_told_at_once,
          one_alone_is_told_without_multiple, refused_one_is_told_alone_between_two_runs,
          publish_waits_for_the_last_of_its_queues, one_queue_that_refuses_is_enough,
          one_behind_a_waiting_one_is_told_alone_and_once,
          one_settled_at_once_behind_a_waiting_one_is_told_in_the_end,
          memory_of_a_large_ring_is_given_up_when_nothing_waits,
          every_number_is_told_once_and_rightly)
