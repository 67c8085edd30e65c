/* What every unit test's main() does: run its tests as one suite, each in a process of its own,
 * and exit with 1 when one failed. A test is listed once, by its name:
 *
 *     UNIT_MAIN("queue", head_comes_first, requeued_message_returns_to_its_place)
 */
#ifndef LEVERET_TESTS_UNIT_H
#define LEVERET_TESTS_UNIT_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

/* Check writes down where it is at every assertion that holds, in case what follows crashes: tests
 * that assert millions of times would do little else. Those that fail say where all the same. */
#define _mark_point(file, line) ((void)0)

/* How many of a long row of cases make one that is tried, so that the row is as broad but sparser
 * where each costs much: LEVERET_TEST_STRIDE, which is 1 unless set. */
static inline size_t unit_stride(void)
{
    const char *given = getenv("LEVERET_TEST_STRIDE");
    int stride = given != NULL ? atoi(given) : 1;

    return stride > 1 ? (size_t)stride : 1;
}

/* Some suites run thousands of seeds or run under sanitizers: longer than Check's 4 s. */
#define UNIT_TIMEOUT_S 120

static inline int unit_run(const char *suite_name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(suite_name);
    TCase *tcase = tcase_create(suite_name);
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
    suite_add_tcase(suite, tcase);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#define UNIT_MAIN(suite_name, ...) \
    int main(void) \
    { \
        const TTest *const tests[] = {__VA_ARGS__}; \
        return unit_run(suite_name, tests, sizeof(tests) / sizeof(tests[0])); \
    }

#endif
