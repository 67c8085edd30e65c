#include "base/memory.h"
#include "base/random.h"
#include "net/timer_wheel.h"
#include "tests/unit/unit.h"

#define START_MS 1000

static struct timer_wheel wheel;

/* A timer that notes when it fired: at the wheel's time, the fired-th of all. */
struct probe {
    struct timer timer;
    int64_t fired_ms; /* 0: did not fire */
    unsigned order;
    struct timer *to_cancel; /* by its callback */
    struct probe *to_set;
    int64_t to_set_ms;
};

static unsigned fired;

static void probe_on_due(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);

    p->fired_ms = wheel.now_ms;
    p->order = ++fired;
    if (p->to_cancel != NULL)
        timer_cancel(&wheel, p->to_cancel);
    if (p->to_set != NULL)
        timer_set(&wheel, &p->to_set->timer, p->to_set_ms);
}

static void start(void)
{
    timer_wheel_init(&wheel, START_MS);
    fired = 0;
}

static void set(struct probe *p, int64_t due_ms)
{
    *p = (struct probe){.fired_ms = 0};
    timer_init(&p->timer, probe_on_due);
    timer_set(&wheel, &p->timer, due_ms);
}

START_TEST(timer_fires_at_its_time_and_once)
{
    struct probe p;

    start();
    set(&p, START_MS + 10);
    ck_assert(timer_is_set(&p.timer));
    timer_wheel_advance(&wheel, START_MS + 9);
    ck_assert_uint_eq(fired, 0);
    timer_wheel_advance(&wheel, START_MS + 10);
    ck_assert_uint_eq(fired, 1);
    ck_assert(!timer_is_set(&p.timer));
    timer_wheel_advance(&wheel, START_MS + 10000000);
    ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(each_distance_fires_in_its_millisecond)
{
    static const int64_t distances_ms[] = {
        1,
        2,
        63,
        64,
        65,
        127,
        4095,
        4096,
        4097,
        86400,
        262143,
        262144,
        1 << 24,
        86400000,
        1 << 30,
        INT64_C(1) << 36,
        INT64_C(1) << 42,
    };

    for (size_t i = 0; i < sizeof(distances_ms) / sizeof(distances_ms[0]); i++) {
        struct probe p;

        start();
        set(&p, START_MS + distances_ms[i]);
        timer_wheel_advance(&wheel, START_MS + distances_ms[i] - 1);
        ck_assert_msg(fired == 0, "%lld ms fired early", (long long)distances_ms[i]);
        timer_wheel_advance(&wheel, START_MS + distances_ms[i]);
        ck_assert_msg(fired == 1, "%lld ms did not fire", (long long)distances_ms[i]);
    }
}
END_TEST

START_TEST(long_sleep_fires_everything_in_order_of_due_time)
{
    struct probe late, early, middle;

    start();
    set(&late, START_MS + 100000);
    set(&early, START_MS + 5);
    set(&middle, START_MS + 70);
    timer_wheel_advance(&wheel, START_MS + 1000000);
    ck_assert_uint_eq(early.order, 1);
    ck_assert_uint_eq(middle.order, 2);
    ck_assert_uint_eq(late.order, 3);
    ck_assert_int_eq(late.fired_ms, START_MS + 100000);
}
END_TEST

START_TEST(cancelled_timer_does_not_fire)
{
    struct probe p;

    start();
    set(&p, START_MS + 100);
    timer_cancel(&wheel, &p.timer);
    ck_assert(!timer_is_set(&p.timer));
    ck_assert_int_eq(timer_wheel_timeout_ms(&wheel, START_MS), -1);
    timer_cancel(&wheel, &p.timer);
    timer_wheel_advance(&wheel, START_MS + 1000);
    ck_assert_uint_eq(fired, 0);
}
END_TEST

START_TEST(moved_timer_fires_at_its_last_time_alone)
{
    struct probe p;

    start();
    set(&p, START_MS + 100);
    timer_set(&wheel, &p.timer, START_MS + 5000);
    timer_wheel_advance(&wheel, START_MS + 4999);
    ck_assert_uint_eq(fired, 0);
    timer_set(&wheel, &p.timer, START_MS + 6000);
    timer_set(&wheel, &p.timer, START_MS + 5001);
    timer_wheel_advance(&wheel, START_MS + 7000);
    ck_assert_uint_eq(fired, 1);
    ck_assert_int_eq(p.fired_ms, START_MS + 5001);
}
END_TEST

START_TEST(overdue_timer_fires_at_the_next_advance)
{
    static const int64_t dues_ms[] = {START_MS, START_MS - 1, 0, -1, INT64_MIN};

    for (size_t i = 0; i < sizeof(dues_ms) / sizeof(dues_ms[0]); i++) {
        struct probe p;

        start();
        set(&p, dues_ms[i]);
        timer_wheel_advance(&wheel, START_MS);
        ck_assert_uint_eq(fired, 0);
        timer_wheel_advance(&wheel, START_MS + 1);
        ck_assert_uint_eq(fired, 1);
    }
}
END_TEST

START_TEST(callback_may_cancel_one_that_is_due_in_the_same_millisecond)
{
    struct probe first, second;

    start();
    set(&first, START_MS + 300);
    set(&second, START_MS + 300);
    first.to_cancel = &second.timer;
    second.to_cancel = &first.timer;
    timer_wheel_advance(&wheel, START_MS + 300);
    ck_assert_uint_eq(fired, 1);
    ck_assert(!timer_is_set(&first.timer));
    ck_assert(!timer_is_set(&second.timer));
    ck_assert_int_eq(timer_wheel_timeout_ms(&wheel, START_MS + 300), -1);
}
END_TEST

START_TEST(callback_may_set_itself_again)
{
    struct probe p;

    start();
    set(&p, START_MS + 10);
    p.to_set = &p;
    p.to_set_ms = START_MS + 500;
    timer_wheel_advance(&wheel, START_MS + 10);
    ck_assert_uint_eq(fired, 1);
    ck_assert(timer_is_set(&p.timer));
    timer_wheel_advance(&wheel, START_MS + 499);
    ck_assert_uint_eq(fired, 1);
    timer_wheel_advance(&wheel, START_MS + 500);
    ck_assert_uint_eq(fired, 2);
}
END_TEST

/* After a long sleep a timer that always sets itself for the past must not run once for each
 * millisecond slept. */
START_TEST(one_set_for_the_past_by_a_callback_fires_at_the_next_advance)
{
    struct probe p;

    start();
    set(&p, START_MS + 10);
    p.to_set = &p;
    p.to_set_ms = START_MS;
    timer_wheel_advance(&wheel, START_MS + 100000);
    ck_assert_uint_eq(fired, 1);
    timer_wheel_advance(&wheel, START_MS + 100000);
    ck_assert_uint_eq(fired, 1);
    timer_wheel_advance(&wheel, START_MS + 100001);
    ck_assert_uint_eq(fired, 2);
}
END_TEST

START_TEST(timeout_is_minus_one_without_timers_and_zero_when_overdue)
{
    struct probe p;

    start();
    ck_assert_int_eq(timer_wheel_timeout_ms(&wheel, START_MS), -1);
    set(&p, START_MS + 20);
    ck_assert_int_eq(timer_wheel_timeout_ms(&wheel, START_MS + 20), 0);
    ck_assert_int_eq(timer_wheel_timeout_ms(&wheel, START_MS + 2000), 0);
}
END_TEST

START_TEST(farthest_due_time_is_accepted_and_does_not_fire_soon)
{
    const int64_t century_ms = INT64_C(100) * 366 * 86400 * 1000;
    struct probe p;

    start();
    set(&p, INT64_MAX);
    ck_assert_int_gt(timer_wheel_timeout_ms(&wheel, START_MS), 0);
    timer_wheel_advance(&wheel, START_MS + century_ms);
    ck_assert_uint_eq(fired, 0);
    ck_assert(timer_is_set(&p.timer));
    timer_cancel(&wheel, &p.timer);
    ck_assert_int_eq(timer_wheel_timeout_ms(&wheel, START_MS + century_ms), -1);
}
END_TEST

/* Who only ever sleeps as long as the wheel says meets each due time exactly, after a few turns. */
START_TEST(sleeping_by_the_timeout_misses_nothing)
{
    enum { TIMERS = 200, TURNS = TIMERS * (TIMER_WHEEL_LEVELS + 1) };
    static struct probe probes[TIMERS];
    static int64_t due_ms[TIMERS];
    struct random_sequence r;
    int64_t now_ms = START_MS;
    unsigned turns = 0;
    int timeout_ms;

    start();
    random_sequence_seed(&r, 2);
    for (int i = 0; i < TIMERS; i++) {
        due_ms[i] = START_MS + 1 + (int64_t)random_sequence_below(&r, UINT64_C(1) << (4 + i % 32));
        set(&probes[i], due_ms[i]);
    }
    while ((timeout_ms = timer_wheel_timeout_ms(&wheel, now_ms)) >= 0) {
        ck_assert_int_gt(timeout_ms, 0);
        now_ms += timeout_ms;
        timer_wheel_advance(&wheel, now_ms);
        ck_assert_uint_le(++turns, TURNS);
    }
    for (int i = 0; i < TIMERS; i++)
        ck_assert_int_eq(probes[i].fired_ms, due_ms[i]);
}
END_TEST

/* ---- Random operations beside a naive model ---- */

enum { MODEL_TIMERS = 40 };

static struct {
    struct timer timers[MODEL_TIMERS];
    int64_t due_ms[MODEL_TIMERS]; /* 0: not set */
    int64_t now_ms;
    struct random_sequence random;
    uint64_t seed;
} model;

static int64_t model_first_due(void)
{
    int64_t first = 0;

    for (int i = 0; i < MODEL_TIMERS; i++) {
        if (model.due_ms[i] != 0 && (first == 0 || model.due_ms[i] < first))
            first = model.due_ms[i];
    }
    return first;
}

static void model_set(int i)
{
    uint64_t spread = UINT64_C(1) << random_sequence_below(&model.random, 30);
    int64_t due_ms = model.now_ms - 3 + (int64_t)random_sequence_below(&model.random, spread);

    timer_set(&wheel, &model.timers[i], due_ms);
    model.due_ms[i] = due_ms > model.now_ms ? due_ms : model.now_ms + 1;
}

static void model_cancel(int i)
{
    timer_cancel(&wheel, &model.timers[i]);
    model.due_ms[i] = 0;
}

static void model_touch_one(void)
{
    int i = (int)random_sequence_below(&model.random, MODEL_TIMERS);

    if (random_sequence_below(&model.random, 3) == 0)
        model_cancel(i);
    else
        model_set(i);
}

static void model_on_due(struct timer *t)
{
    int i = (int)(t - model.timers);

    ck_assert_msg(model.due_ms[i] != 0, "seed %llu: one fired that is not set",
                  (unsigned long long)model.seed);
    ck_assert_msg(model.due_ms[i] == model_first_due(), "seed %llu: fired out of order",
                  (unsigned long long)model.seed);
    ck_assert_msg(model.due_ms[i] <= model.now_ms, "seed %llu: fired early",
                  (unsigned long long)model.seed);
    ck_assert(!timer_is_set(t));
    model.due_ms[i] = 0;
    while (random_sequence_below(&model.random, 3) == 0)
        model_touch_one();
}

static void model_expect_timeout(void)
{
    int64_t first_ms = model_first_due();
    int timeout_ms = timer_wheel_timeout_ms(&wheel, model.now_ms);

    if (first_ms == 0) {
        ck_assert_int_eq(timeout_ms, -1);
        return;
    }
    ck_assert_int_gt(timeout_ms, 0);
    ck_assert_msg(timeout_ms <= first_ms - model.now_ms, "seed %llu: sleeps over a due time",
                  (unsigned long long)model.seed);
}

static void run_model(uint64_t seed)
{
    enum { STEPS = 400 };

    model.seed = seed;
    random_sequence_seed(&model.random, seed);
    model.now_ms = 1 + (int64_t)random_sequence_below(&model.random, UINT64_C(1) << 40);
    timer_wheel_init(&wheel, model.now_ms);
    for (int i = 0; i < MODEL_TIMERS; i++) {
        timer_init(&model.timers[i], model_on_due);
        model.due_ms[i] = 0;
    }
    for (int step = 0; step < STEPS; step++) {
        for (uint64_t n = random_sequence_below(&model.random, 4); n != 0; n--)
            model_touch_one();
        model.now_ms += (int64_t)random_sequence_below(
            &model.random, UINT64_C(1) << random_sequence_below(&model.random, 24));
        timer_wheel_advance(&wheel, model.now_ms);
        ck_assert_msg(model_first_due() == 0 || model_first_due() > model.now_ms,
                      "seed %llu: one that is due did not fire", (unsigned long long)seed);
        for (int i = 0; i < MODEL_TIMERS; i++)
            ck_assert(timer_is_set(&model.timers[i]) == (model.due_ms[i] != 0));
        model_expect_timeout();
    }
}

START_TEST(wheel_fires_what_a_sorted_list_would)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        run_model(seed);
}
END_TEST

UNIT_MAIN("timer_wheel", timer_fires_at_its_time_and_once, each_distance_fires_in_its_millisecond,
          long_sleep_fires_everything_in_order_of_due_time, cancelled_timer_does_not_fire,
          moved_timer_fires_at_its_last_time_alone, overdue_timer_fires_at_the_next_advance,
          callback_may_cancel_one_that_is_due_in_the_same_millisecond,
          callback_may_set_itself_again,
          one_set_for_the_past_by_a_callback_fires_at_the_next_advance,
          timeout_is_minus_one_without_timers_and_zero_when_overdue,
          farthest_due_time_is_accepted_and_does_not_fire_soon,
          sleeping_by_the_timeout_misses_nothing, wheel_fires_what_a_sorted_list_would)
