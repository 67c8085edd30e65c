#include "store/shared_bodies.h"

#include "base/random.h"
#include "tests/unit/unit.h"

enum { BODIES = 3000, STEP = 16 };

static uint32_t holders[BODIES];

/* A message that is held once is in the table or not, which makes no difference to who lets go. */
static void let_go(struct shared_bodies *b, uint32_t i)
{
    uint32_t left = shared_bodies_remove(b, (i + 1) * STEP);

    holders[i]--;
    ck_assert_uint_eq(left, holders[i]);
}

START_TEST(each_message_has_its_own_holders)
{
    struct shared_bodies b = {.slots = NULL};
    struct random_sequence random;

    random_sequence_seed(&random, 11);
    for (int turn = 0; turn < 100000; turn++) {
        uint32_t i = (uint32_t)random_sequence_below(&random, BODIES);

        if (holders[i] == 0) {
            holders[i] = 1; /* written */
        } else if (random_sequence_below(&random, 2) == 0) {
            holders[i]++;
            ck_assert_uint_eq(shared_bodies_add(&b, (i + 1) * STEP, 1), holders[i]);
        } else {
            let_go(&b, i);
        }
    }
    for (uint32_t i = 0; i < BODIES; i++) {
        while (holders[i] != 0)
            let_go(&b, i);
    }
    ck_assert_ptr_null(b.slots);
    ck_assert_uint_eq(b.capacity, 0);
}
END_TEST

START_TEST(found_messages_are_counted_from_nothing)
{
    struct shared_bodies b = {.slots = NULL};

    ck_assert_uint_eq(shared_bodies_add(&b, 64, 0), 1);
    ck_assert_uint_eq(shared_bodies_add(&b, 64, 0), 2);
    ck_assert_uint_eq(shared_bodies_remove(&b, 64), 1);
    ck_assert_uint_eq(shared_bodies_remove(&b, 64), 0);
    ck_assert_uint_eq(shared_bodies_remove(&b, 64), 0);
    ck_assert_ptr_null(b.slots);
}
END_TEST

UNIT_MAIN("shared_bodies", each_message_has_its_own_holders,
          found_messages_are_counted_from_nothing)
