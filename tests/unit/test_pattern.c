#include "base/pattern.h"

#include "base/log.h"
#include "base/random.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    PATTERNS = 200000,
    PATTERN_LENGTH = 9,
    NAMES = 8,
    NAME_LENGTH = 6,
};

static struct bytes text(const char *s)
{
    return bytes_from_string(s);
}

static bool matches(const char *pattern, struct bytes name)
{
    struct pattern_scratch scratch = pattern_scratch_empty();
    char error[PATTERN_ERROR_SIZE] = "";
    struct pattern *p = pattern_compile(text(pattern), error);
    bool found;

    ck_assert_msg(p != NULL, "%s: %s", pattern, error);
    ck_assert(bytes_equal(pattern_text(p), text(pattern)));
    found = pattern_matches(p, name, &scratch);
    ck_assert(pattern_matches(p, name, &scratch) == found);
    pattern_scratch_free(&scratch);
    pattern_free(p);
    return found;
}

/* Among them every way in which a beginning of plain letters could be taken for more than it is. */
START_TEST(pattern_is_found_as_the_regular_expression_says)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool found;
    } cases[] = {
        {"", "a", true},
        {"", "", true},
        {".*", "a", true},
        {"^.*", "", true},
        {"b", "abc", true},
        {"b", "ac", false},
        {"^b", "abc", false},
        {"^ab", "abc", true},
        {"^ab", "a", false},
        {"^ab$", "ab", true},
        {"^ab$", "abc", false},
        {"^abc*", "ab", true},
        {"^abc*d", "abd", true},
        {"^abc?", "ab", true},
        {"^abc+", "ab", false},
        {"^abc{0}", "ab", true},
        {"^a{2}", "aa", true},
        {"^a{2}", "ab", false},
        {"^ab|c", "xc", true},
        {"^ab|c", "xb", false},
        {"^(ab|cd)e", "cde", true},
        {"^a.c", "abc", true},
        {"^a\\.c", "abc", false},
        {"^a\\.c", "a.c", true},
        {"^a(?i)b", "aB", true},
        {"^a(?i)b", "AB", false},
        {"(?i)^ab", "AB", true},
        {"^^ab", "ab", true},
        {"^$", "", true},
        {"^$", "a", false},
        {"^\\Qa.b", "a.b", true},
        {"\\.dlq$", "a.dlq", true},
        {"\\.dlq$", "a.dlq.b", false},
        {"^a-_/:%@", "a-_/:%@x", true},
        {"a\\.b", "xa.bx", true},
        {"a\\.b", "xaxbx", false},
        {"a.*bcd", "abc", false},
        {"a.*bcd", "axbcd", true},
        {"ab(?#a comment)*c", "ac", true},
        {"ab\\E*c", "ac", true},
        {"ab\\.?c", "abc", true},
        {"ab{0}c", "ac", true},
        {"x[ab]+cd", "xacd", true},
        {"ab(?i)CD", "abcd", true},
        {"(*NO_JIT)ab", "xab", true},
        {"abc|d", "d", true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(matches(cases[i].pattern, text(cases[i].name)) == cases[i].found,
                      "'%s' and '%s'", cases[i].pattern, cases[i].name);
    ck_assert(!matches("^a", bytes_of(NULL, 0)));
    ck_assert(!matches("a", bytes_of(NULL, 0)));
}
END_TEST

static struct bytes draw(struct random_sequence *r, uint8_t *out, size_t max, const char *alphabet)
{
    size_t size = random_sequence_below(r, max + 1);

    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)alphabet[random_sequence_below(r, strlen(alphabet))];
    return bytes_of(out, size);
}

/* What is found out without PCRE2 never differs from what PCRE2 says. */
START_TEST(any_pattern_is_found_as_pcre2_alone_finds_it)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    struct pattern_scratch scratch = pattern_scratch_empty();
    struct random_sequence random;
    unsigned compiled = 0;
    unsigned found = 0;

    random_sequence_seed(&random, 7);
    for (unsigned i = 0; i < PATTERNS; i += (unsigned)unit_stride()) {
        uint8_t pattern_data[PATTERN_LENGTH];
        struct bytes drawn =
            draw(&random, pattern_data, sizeof(pattern_data), "aaabbb..^$*?+\\{0}()|[]EQ#");
        char error[PATTERN_ERROR_SIZE];
        struct pattern *p = pattern_compile(drawn, error);
        PCRE2_SIZE offset;
        int rc;
        pcre2_code *code;

        if (p == NULL)
            continue;
        compiled++;
        code = pcre2_compile(drawn.data, drawn.size, PCRE2_NEVER_BACKSLASH_C, &rc, &offset, NULL);
        for (unsigned k = 0; k < NAMES; k++) {
            uint8_t name_data[NAME_LENGTH];
            struct bytes name = draw(&random, name_data, sizeof(name_data), "aabb.0^E");
            bool expected = pcre2_match(code, name.data, name.size, 0, 0, data, NULL) >= 0;

            found += expected;
            ck_assert_msg(pattern_matches(p, name, &scratch) == expected, "'%.*s' and '%.*s'",
                          BYTES_ARGS(drawn), BYTES_ARGS(name));
        }
        pcre2_code_free(code);
        pattern_free(p);
    }
    ck_assert_uint_gt(compiled, PATTERNS / 10 / unit_stride());
    ck_assert_uint_gt(found, compiled);
    pattern_scratch_free(&scratch);
    pcre2_match_data_free(data);
}
END_TEST

START_TEST(what_is_no_pattern_is_refused)
{
    static const char *const wrong[] = {"(a", "a)", "[", "*", "\\", "a{2,1}"};
    char error[PATTERN_ERROR_SIZE];
    char longest[PATTERN_SIZE_MAX + 1];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error[0] = '\0';
        ck_assert_msg(pattern_compile(text(wrong[i]), error) == NULL, "%s", wrong[i]);
        ck_assert_ptr_nonnull(strstr(error, "at offset"));
    }
    memset(longest, 'a', sizeof(longest));
    ck_assert_ptr_null(pattern_compile(bytes_of(longest, PATTERN_SIZE_MAX), error));
    ck_assert_str_eq(error, "longer than 4095 bytes");
}
END_TEST

START_TEST(match_without_end_counts_as_none)
{
    static const char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";

    ck_assert_int_eq(log_open_file("/dev/null"), 0);
    ck_assert(!matches("^(a|aa)+$", text(name)));
    ck_assert(matches("^(a|aa)+b$", text(name)));
}
END_TEST

START_TEST(what_a_pattern_takes_out_is_its_first_group_or_all_it_matches)
{
    static const struct {
        const char *pattern;
        const char *name;
        const char *part; /* NULL: no match */
    } cases[] = {
        {"", "app", "app"},
        {".*", "app", "app"},
        {"a+", "baac", "aa"},
        {"^CN=([^,]+)", "CN=app,O=Example", "app"},
        {"^(.*)@example\\.org$", "app@example.org", "app"},
        {"^(.*)@example\\.org$", "app@example.com", NULL},
        {"^(?:x(a)|y(b))$", "yb", ""},
        {"(a)(b)", "ab", "a"},
        {"x*", "app", ""},
        {"^a", "", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char error[PATTERN_ERROR_SIZE] = "";
        struct pattern *p = pattern_compile(text(cases[i].pattern), error);
        struct bytes part;
        bool found = pattern_extract(p, text(cases[i].name), &part);

        ck_assert_msg(found == (cases[i].part != NULL), "%s", cases[i].pattern);
        if (found)
            ck_assert_msg(bytes_equal_string(part, cases[i].part), "%s: %.*s", cases[i].pattern,
                          BYTES_ARGS(part));
        pattern_free(p);
    }
}
END_TEST

UNIT_MAIN("pattern", pattern_is_found_as_the_regular_expression_says,
          any_pattern_is_found_as_pcre2_alone_finds_it, what_is_no_pattern_is_refused,
          what_a_pattern_takes_out_is_its_first_group_or_all_it_matches,
          match_without_end_counts_as_none)
