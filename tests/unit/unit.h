/* What every unit test's main() does: run its tests as one suite, each in a process of its own,
 * and exit with 1 when one failed. A test is listed once, by its name:
 *
 *     UNIT_MAIN("queue", head_comes_first, requeued_message_returns_to_its_place)
 */
#ifndef LEVERET_TESTS_UNIT_H
#define LEVERET_TESTS_UNIT_H

#include <check.h>
#include <stddef.h>

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
