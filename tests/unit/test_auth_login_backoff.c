#include "auth/login_backoff.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT(s) bytes_from_string(s)

static const struct login_backoff_options OPTIONS = {
    .after = 3, .first_ms = 100, .max_ms = 1000, .forget_ms = 10000};

static void fail_login(struct login_backoff *b, const char *address, const char *user, int count,
                       int64_t now_ms)
{
    for (int i = 0; i < count; i++)
        login_backoff_failed(b, TEXT(address), TEXT(user), now_ms);
}

static int64_t wait_of(struct login_backoff *b, const char *address, const char *user,
                       int64_t now_ms)
{
    return login_backoff_wait(b, TEXT(address), TEXT(user), now_ms);
}

START_TEST(the_first_failures_cost_nothing)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    fail_login(b, "a", "u", 3, 0);
    ck_assert_int_eq(wait_of(b, "a", "u", 0), 0);
    ck_assert_int_eq(wait_of(b, "a", "u", 0), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(each_further_failure_doubles_the_wait_up_to_a_bound)
{
    static const int64_t EXPECTED[] = {100, 200, 400, 800, 1000, 1000};
    struct login_backoff *b = login_backoff_new(&OPTIONS);
    int64_t now_ms = 50;

    fail_login(b, "a", "u", 3, now_ms);
    for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++) {
        fail_login(b, "a", "u", 1, now_ms);
        ck_assert_int_eq(wait_of(b, "a", "u", now_ms), EXPECTED[i]);
        now_ms += EXPECTED[i];
    }
    login_backoff_free(b);
}
END_TEST

START_TEST(one_of_a_pair_waits_at_a_time_and_too_many_are_refused)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    fail_login(b, "a", "u", 6, 0); /* 400 ms */
    ck_assert_int_eq(wait_of(b, "a", "u", 0), 400);
    ck_assert_int_eq(wait_of(b, "a", "u", 0), 800);
    ck_assert_int_eq(wait_of(b, "a", "u", 0), LOGIN_BACKOFF_REFUSED);
    ck_assert_int_eq(wait_of(b, "a", "u", 0), LOGIN_BACKOFF_REFUSED);
    ck_assert_int_eq(wait_of(b, "a", "u", 900), 300);
    login_backoff_free(b);
}
END_TEST

START_TEST(others_do_not_wait)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    fail_login(b, "a", "u", 20, 0);
    ck_assert_int_gt(wait_of(b, "a", "u", 0), 0);
    ck_assert_int_eq(wait_of(b, "b", "u", 0), 0);
    ck_assert_int_eq(wait_of(b, "a", "v", 0), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(an_address_that_tries_many_users_waits_as_any_of_them)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    for (int i = 0; i < 31; i++) {
        char user[16];

        snprintf(user, sizeof(user), "u%d", i);
        ck_assert_int_eq(wait_of(b, "a", user, 0), 0);
        fail_login(b, "a", user, 1, 0);
    }
    ck_assert_int_eq(wait_of(b, "a", "another", 0), 100);
    ck_assert_int_eq(wait_of(b, "a", "yet another", 0), 200);
    ck_assert_int_eq(wait_of(b, "b", "another", 0), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(a_user_that_is_tried_from_everywhere_waits_everywhere_but_refuses_nobody)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    for (int i = 0; i < 50; i++) {
        char address[16];

        snprintf(address, sizeof(address), "%d", i);
        fail_login(b, address, "u", 1, 0);
    }
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(wait_of(b, "another", "u", 0), 1000);
    ck_assert_int_eq(wait_of(b, "another", "v", 0), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(one_client_that_goes_on_failing_makes_nobody_else_wait)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    fail_login(b, "a", "u", 1000, 0);
    ck_assert_int_gt(wait_of(b, "a", "u", 0), 0);
    ck_assert_int_eq(wait_of(b, "a", "v", 0), 0);
    ck_assert_int_eq(wait_of(b, "b", "u", 0), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(failures_are_forgotten)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    fail_login(b, "a", "u", 9, 0);
    ck_assert_int_ne(wait_of(b, "a", "u", 0), 0);
    ck_assert_int_eq(wait_of(b, "a", "u", 10000), 0);
    fail_login(b, "a", "u", 1, 10000);
    ck_assert_int_eq(wait_of(b, "a", "u", 10000), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(a_flood_of_names_makes_nobody_wait_who_has_not_failed)
{
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    for (int i = 0; i < 20000; i++) {
        char address[16];
        char user[16];

        snprintf(address, sizeof(address), "%d", i);
        snprintf(user, sizeof(user), "u%d", i);
        fail_login(b, address, user, 4, i / 100);
    }
    ck_assert_int_eq(wait_of(b, "a", "u", 200), 0);
    ck_assert_int_gt(wait_of(b, "19999", "u19999", 200), 0);
    login_backoff_free(b);
}
END_TEST

/* The two names have the same hash under the seed 2: whoever knows a seed makes such names. */
START_TEST(nobody_is_made_to_wait_by_a_name_that_was_made_to_share_his_entry)
{
    static const char VICTIM[] = "victim-victim-ok";
    static const char MADE[] = "aaaaaaaa"
                               "\xc8\x25\x59\x45\x51\x49\xa6\x02";
    struct login_backoff *b = login_backoff_new(&OPTIONS);

    ck_assert_uint_eq(bytes_hash_seeded(TEXT(VICTIM), 2), bytes_hash_seeded(TEXT(MADE), 2));
    for (int i = 0; i < 100; i++) {
        char address[16];

        snprintf(address, sizeof(address), "%d", i);
        fail_login(b, address, MADE, 1, 0);
    }
    ck_assert_int_gt(wait_of(b, "a", MADE, 0), 0);
    ck_assert_int_eq(wait_of(b, "a", VICTIM, 0), 0);
    login_backoff_free(b);
}
END_TEST

START_TEST(a_longest_wait_of_zero_makes_nobody_wait)
{
    const struct login_backoff_options off = {.after = 1, .first_ms = 100, .forget_ms = 10000};
    struct login_backoff *b = login_backoff_new(&off);

    fail_login(b, "a", "u", 100, 0);
    ck_assert_int_eq(wait_of(b, "a", "u", 0), 0);
    login_backoff_free(b);
}
END_TEST

UNIT_MAIN("auth_login_backoff", the_first_failures_cost_nothing,
          each_further_failure_doubles_the_wait_up_to_a_bound,
          one_of_a_pair_waits_at_a_time_and_too_many_are_refused, others_do_not_wait,
          an_address_that_tries_many_users_waits_as_any_of_them,
          a_user_that_is_tried_from_everywhere_waits_everywhere_but_refuses_nobody,
          one_client_that_goes_on_failing_makes_nobody_else_wait, failures_are_forgotten,
          a_flood_of_names_makes_nobody_wait_who_has_not_failed,
          nobody_is_made_to_wait_by_a_name_that_was_made_to_share_his_entry,
          a_longest_wait_of_zero_makes_nobody_wait)
