#include "auth/permissions.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct permission_pattern *compiled(const char *text)
{
    char error[PERMISSION_ERROR_SIZE];
    struct permission_pattern *p = permission_pattern_compile(text, error);

    ck_assert_msg(p != NULL, "%s: %s", text, error);
    return p;
}

static bool matches(const char *pattern, struct bytes name)
{
    struct permission_pattern *p = compiled(pattern);
    bool found = permission_pattern_matches(p, name);

    permission_pattern_free(p);
    return found;
}

/* As `re:run(Name, Pattern)` answers in RabbitMQ, the empty pattern being ^$. */
START_TEST(patterns_match_as_in_rabbitmq)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool matches;
    } CASES[] = {
        {".*", "anything", true},
        {"^.*", "anything", true},
        {"", "anything", false},
        {"^$", "anything", false},
        {"app", "app", true},
        {"app", "my-app-queue", true},
        {"^app", "my-app-queue", false},
        {"^app", "app.queue", true},
        {"^app$", "app", true},
        {"^app$", "apple", false},
        {"queue$", "my-queue", true},
        {"^(a|b)\\.", "b.c", true},
        {"^(a|b)\\.", "c.c", false},
        {"^amq\\.default$", "amq.default", true},
        {"^amq\\.default$", "amqXdefault", false},
        {"^[a-z]+$", "abc", true},
        {"^[a-z]+$", "aBc", false},
        {"(?i)^abc$", "aBC", true},
        {"^(?!secret)", "secret.q", false},
        {"^(?!secret)", "public.q", true},
        {"^.*$", "two\nlines", false},
        {"(?s)^.*$", "two\nlines", true},
        {"^\xc3\xa4", "\xc3\xa4pfel", true},
        {"^..$", "\xc3\xa4", true}, /* bytes, not characters */
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++)
        ck_assert_msg(matches(CASES[i].pattern, bytes_from_string(CASES[i].name)) ==
                          CASES[i].matches,
                      "%s on %s", CASES[i].pattern, CASES[i].name);
}
END_TEST

START_TEST(names_may_hold_any_byte)
{
    ck_assert(matches("^a.b$", bytes_of("a\0b", 3)));
    ck_assert(matches("b$", bytes_of("a\0b", 3)));
    ck_assert(matches("^\\xff$", bytes_of("\xff", 1)));
    ck_assert(!matches("c", bytes_of("abc", 2))); /* not read beyond its end */
}
END_TEST

START_TEST(invalid_patterns_say_why)
{
    static const struct {
        const char *pattern;
        const char *error;
    } CASES[] = {
        {"(", "missing closing parenthesis (at offset 1)"},
        {"a[", "missing terminating ] for character class (at offset 2)"},
        {"*a", "quantifier does not follow a repeatable item (at offset 0)"},
    };
    char error[PERMISSION_ERROR_SIZE];
    char *longest = malloc(PERMISSION_PATTERN_SIZE_MAX + 1);

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        ck_assert_ptr_null(permission_pattern_compile(CASES[i].pattern, error));
        ck_assert_str_eq(error, CASES[i].error);
    }

    memset(longest, 'a', PERMISSION_PATTERN_SIZE_MAX);
    longest[PERMISSION_PATTERN_SIZE_MAX] = '\0';
    ck_assert_ptr_null(permission_pattern_compile(longest, error));
    ck_assert_str_eq(error, "longer than 4095 bytes");
    longest[PERMISSION_PATTERN_SIZE_MAX - 1] = '\0';
    permission_pattern_free(compiled(longest));
    free(longest);
}
END_TEST

/* Each takes 2^n steps or worse without a limit: years. */
START_TEST(patterns_cannot_burn_the_cpu)
{
    static const char *const PATTERNS[] = {
        "^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "(.*a){20}b", "^(([a-z])+.)+[A-Z]([a-z])+$",
    };
    char name[255];
    clock_t start = clock();

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '!';
    for (size_t i = 0; i < sizeof(PATTERNS) / sizeof(*PATTERNS); i++)
        ck_assert(!matches(PATTERNS[i], bytes_of(name, sizeof(name))));
    ck_assert_int_lt(clock() - start, 5 * CLOCKS_PER_SEC);
}
END_TEST

START_TEST(deep_recursion_is_bounded)
{
    char name[255];

    memset(name, '(', sizeof(name));
    ck_assert(!matches("^(\\((?1)\\))+$", bytes_of(name, sizeof(name))));
}
END_TEST

static struct permission_set *set_of(const char *configure, const char *write, const char *read)
{
    struct permission_pattern *patterns[PERMISSION_KIND_COUNT] = {
        [PERMISSION_CONFIGURE] = compiled(configure),
        [PERMISSION_WRITE] = compiled(write),
        [PERMISSION_READ] = compiled(read),
    };

    return permission_set_new(patterns);
}

START_TEST(kinds_are_apart)
{
    struct permission_set *set = set_of("^c", "^w", "^r");
    static const char *const NAMES[PERMISSION_KIND_COUNT] = {"c", "w", "r"};

    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++) {
        for (int name = 0; name < PERMISSION_KIND_COUNT; name++)
            ck_assert_int_eq(
                permission_check(set, (enum permission_kind)kind, bytes_from_string(NAMES[name])),
                kind == name);
    }
    permission_set_unref(set);
}
END_TEST

START_TEST(default_exchange_is_checked_by_its_name)
{
    struct permission_set *set = set_of("", "^amq\\.default$", ".*");
    struct permission_set *other = set_of("", "^$", "");

    ck_assert(!permission_check(set, PERMISSION_CONFIGURE, bytes_of(NULL, 0)));
    ck_assert(permission_check(set, PERMISSION_WRITE, bytes_of(NULL, 0)));
    ck_assert(permission_check(set, PERMISSION_READ, bytes_of(NULL, 0)));
    ck_assert(!permission_check(other, PERMISSION_WRITE, bytes_of(NULL, 0)));
    permission_set_unref(set);
    permission_set_unref(other);
}
END_TEST

START_TEST(no_set_allows_nothing)
{
    ck_assert(!permission_check(NULL, PERMISSION_READ, bytes_from_string("q")));
}
END_TEST

UNIT_MAIN("auth_permissions", patterns_match_as_in_rabbitmq, names_may_hold_any_byte,
          invalid_patterns_say_why, patterns_cannot_burn_the_cpu, deep_recursion_is_bounded,
          kinds_are_apart, default_exchange_is_checked_by_its_name, no_set_allows_nothing)
