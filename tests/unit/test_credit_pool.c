#include "broker/credit_pool.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>

START_TEST(pool_without_limit_never_refuses)
{
    struct credit_pool *p = credit_pool_create();

    for (int i = 0; i < 1000; i++)
        ck_assert(credit_pool_take(p));
    ck_assert_uint_eq(atomic_load(&p->in_use), 1000);
    ck_assert(!credit_pool_take_starved(p));
    credit_pool_unref(p);
}
END_TEST

START_TEST(limit_counts_what_was_taken_before_it_was_set)
{
    struct credit_pool *p = credit_pool_create();

    ck_assert(credit_pool_take(p));
    ck_assert(credit_pool_take(p));
    atomic_store(&p->limit, 2);
    ck_assert(!credit_pool_take(p));
    credit_pool_give(p, 1);
    ck_assert(credit_pool_take(p));
    ck_assert(!credit_pool_take(p));
    credit_pool_unref(p);
}
END_TEST

START_TEST(starved_mark_comes_out_once_and_only_with_credit)
{
    struct credit_pool *p = credit_pool_create();

    atomic_store(&p->limit, 1);
    ck_assert(credit_pool_take(p));
    ck_assert(!credit_pool_take_starved(p));
    ck_assert(!credit_pool_take(p));
    ck_assert(!credit_pool_take_starved(p));
    credit_pool_give(p, 1);
    ck_assert(credit_pool_take_starved(p));
    ck_assert(!credit_pool_take_starved(p));
    credit_pool_unref(p);
}
END_TEST

START_TEST(raised_or_lifted_limit_frees_the_starved)
{
    struct credit_pool *p = credit_pool_create();

    atomic_store(&p->limit, 1);
    ck_assert(credit_pool_take(p));
    ck_assert(!credit_pool_take(p));
    atomic_store(&p->limit, 2);
    ck_assert(credit_pool_take_starved(p));
    ck_assert(credit_pool_take(p));
    ck_assert(!credit_pool_take(p));
    atomic_store(&p->limit, 0);
    ck_assert(credit_pool_take_starved(p));
    credit_pool_unref(p);
}
END_TEST

/* A taker and a giver of one credit: when the taker is refused while the credit comes back, either
 * it finds it or the mark announces it. A lost announcement makes this test hang until its
 * time-out. The two spin with a delay that varies, so that they meet at every place. */
#define ROUNDS 200000

struct race {
    struct credit_pool *pool;
    atomic_uint taken;    /* and not given back yet */
    atomic_uint refilled; /* rises with each announcement */
};

static void wait_a_little(unsigned int turns)
{
    for (volatile unsigned int i = 0; i < turns; i++)
        continue;
}

static void *take_all(void *context)
{
    struct race *race = context;

    for (unsigned int i = 0; i < ROUNDS; i++) {
        unsigned int seen = atomic_load(&race->refilled);

        while (!credit_pool_take(race->pool)) {
            while (atomic_load(&race->refilled) == seen)
                sched_yield();
            seen = atomic_load(&race->refilled);
        }
        atomic_store(&race->taken, 1);
        wait_a_little(i % 64);
    }
    return NULL;
}

START_TEST(no_taker_stays_starved_beside_free_credit)
{
    struct race race = {.pool = credit_pool_create()};
    pthread_t taker;

    atomic_store(&race.pool->limit, 1);
    ck_assert_int_eq(pthread_create(&taker, NULL, take_all, &race), 0);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&race.taken) == 0)
            sched_yield();
        atomic_store(&race.taken, 0);
        wait_a_little(i % 61);
        credit_pool_give(race.pool, 1);
        if (credit_pool_take_starved(race.pool))
            atomic_fetch_add(&race.refilled, 1);
    }
    pthread_join(taker, NULL);
    ck_assert_uint_eq(atomic_load(&race.pool->in_use), 0);
    credit_pool_unref(race.pool);
}
END_TEST

START_TEST(references_are_counted_from_one)
{
    struct credit_pool *p = credit_pool_create();

    ck_assert_ptr_eq(credit_pool_ref(p), p);
    credit_pool_unref(p);
    ck_assert_uint_eq(atomic_load(&p->references), 1);
    credit_pool_unref(p);
}
END_TEST

UNIT_MAIN("credit_pool", pool_without_limit_never_refuses,
          limit_counts_what_was_taken_before_it_was_set,
          starved_mark_comes_out_once_and_only_with_credit,
          raised_or_lifted_limit_frees_the_starved, no_taker_stays_starved_beside_free_credit,
          references_are_counted_from_one)
