/* What a topic pattern and the arguments of a headers binding match, as tables. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

struct topic_match {
    const char *pattern;
    const char *key;
    bool matches;
};

static const struct topic_match topic_matches[] = {
    {"a.b.c", "a.b.c", true},
    {"a.b.c", "a.b", false},
    {"a.b.c", "a.b.c.d", false},
    {"a.b.c", "a.b.C", false},
    {"*", "a", true},
    {"*", "", false},
    {"*", "a.b", false},
    {"*", ".", false},
    {"*.*", "a.b", true},
    {"*.*", ".", true},
    {"*.*", "a.", true},
    {"*.b", "a.b", true},
    {"*.b", "b", false},
    {"*.b", ".b", true},
    {"a.*.c", "a.b.c", true},
    {"a.*.c", "a..c", true},
    {"a.*.c", "a.c", false},
    {"a.*.c", "a.b.b.c", false},
    {"#", "", true},
    {"#", "a", true},
    {"#", "a.b.c", true},
    {"#", "...", true},
    {"#.#", "", true},
    {"#.#", "a", true},
    {"#.#", "a.b.c", true},
    {"a.#", "a", true},
    {"a.#", "a.b", true},
    {"a.#", "a.b.c", true},
    {"a.#", "b", false},
    {"a.#", "ab", false},
    {"#.c", "c", true},
    {"#.c", "a.b.c", true},
    {"#.c", "a.c.b", false},
    {"#.c", "c.c.c", true},
    {"a.#.b", "a.b", true},
    {"a.#.b", "a..b", true},
    {"a.#.b", "a.x.y.b", true},
    {"a.#.b", "a.x.y.b.c", false},
    {"a.#.b", "a.b.b", true},
    {"#.b.#", "b", true},
    {"#.b.#", "a.b.c", true},
    {"#.b.#", "a.c", false},
    {"#.a.#.b", "x.a.y.a.z.b", true},
    {"*.#", "a", true},
    {"*.#", "", false},
    {"*.#", "a.b.c", true},
    {"#.*", "a", true},
    {"#.*", "", false},
    {"*.#.*", "a", false},
    {"*.#.*", "a.b", true},
    {"*.#.*", "a.b.c.d", true},
    {"#.*.#", "", false},
    {"#.*.#", "a", true},
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"a..b", "a..b", true},
    {"a..b", "a.b", false},
    {"a.", "a.", true},
    {"a.", "a", false},
    {".", ".", true},
    {"a*", "a*", true}, /* only a whole word is a wildcard */
    {"a*", "ab", false},
    {"a#", "a.b", false},
    {"*.orange.*", "quick.orange.rabbit", true},
    {"*.*.rabbit", "quick.orange.rabbit", true},
    {"lazy.#", "lazy.orange.male.rabbit", true},
    {"*.orange.*", "quick.orange.male.rabbit", false},
};

START_TEST(topic_pattern_matches)
{
    const struct topic_match *m = &topic_matches[_i];
    struct channel *ch = connect_channel();
    char name[128];

    snprintf(name, sizeof(name), "pattern '%s', key '%s'", m->pattern, m->key);
    harness_case(name);
    confirm_select(ch);
    declare_exchange(ch, "t", "topic", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "t", m->pattern, NO_ARGS);
    publish_with(ch, "t", m->key, MANDATORY, NULL, "a");
    if (!m->matches)
        expect_return(ch, "a");
    await_confirms(ch);
    if (m->matches)
        expect_get(ch, "q", "a", NO_ACK);
}
END_TEST

/* The rule, once more and simply: `*` is one word, `#` any number. Words end at '.' or the end;
 * the empty text has no word. NULL is "past the last word". */
static const char *next_word(const char *s)
{
    const char *dot = strchr(s, '.');

    return dot != NULL ? dot + 1 : NULL;
}

static size_t word_length(const char *s)
{
    return strcspn(s, ".");
}

static bool words_match(const char *pattern, const char *key)
{
    if (pattern == NULL)
        return key == NULL;
    if (word_length(pattern) == 1 && pattern[0] == '#')
        return words_match(next_word(pattern), key) ||
               (key != NULL && words_match(pattern, next_word(key)));
    if (key == NULL)
        return false;
    if (!(word_length(pattern) == 1 && pattern[0] == '*') &&
        (word_length(pattern) != word_length(key) || strncmp(pattern, key, word_length(key)) != 0))
        return false;
    return words_match(next_word(pattern), next_word(key));
}

static bool topic_model(const char *pattern, const char *key)
{
    return words_match(pattern[0] != '\0' ? pattern : NULL, key[0] != '\0' ? key : NULL);
}

static const char *const patterns[] = {
    "#", "a.#", "*.b", "a.b", "#.b", "a.*", "*", "#.#", "*.*", "b.#", "#.c.#", "a.b.#", "", "*.#.c",
};
static const char *const keys[] = {
    "a.b", "a", "b", "", "a.c", "b.c.d", "x.b", "a.b.c", "a.b.c.d.e", "c", "..", "x.y.z",
};

enum {
    PATTERN_COUNT = sizeof(patterns) / sizeof(patterns[0]),
    KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
};

static void publish_all_keys(struct channel *ch)
{
    for (int k = 0; k < KEY_COUNT; k++)
        publish_to(ch, "t", keys[k], keys[k]);
    await_confirms(ch);
}

/* Each queue has what the model says of its pattern, when `bound` says that it is bound. */
static void expect_model(struct channel *ch, const bool *bound)
{
    for (int i = 0; i < PATTERN_COUNT; i++) {
        for (int k = 0; k < KEY_COUNT; k++) {
            if (bound[i] && topic_model(patterns[i], keys[k]))
                expect_get(ch, patterns[i][0] != '\0' ? patterns[i] : "empty", keys[k], NO_ACK);
        }
        expect_get_empty(ch, patterns[i][0] != '\0' ? patterns[i] : "empty");
    }
}

START_TEST(topic_bindings_together_route_each_to_its_queue)
{
    struct channel *ch = connect_channel();
    bool bound[PATTERN_COUNT] = {false};

    confirm_select(ch);
    declare_exchange(ch, "t", "topic", 0, NO_ARGS);
    for (int i = 0; i < PATTERN_COUNT; i++) {
        const char *queue = patterns[i][0] != '\0' ? patterns[i] : "empty";

        declare_queue(ch, queue, 0, NO_ARGS);
        bind_queue(ch, queue, "t", patterns[i], NO_ARGS);
        bound[i] = true;
    }
    publish_all_keys(ch);
    expect_model(ch, bound);
    for (int i = 0; i < PATTERN_COUNT; i += 2) {
        unbind_queue(ch, patterns[i][0] != '\0' ? patterns[i] : "empty", "t", patterns[i], NO_ARGS);
        bound[i] = false;
    }
    publish_all_keys(ch);
    expect_model(ch, bound);
}
END_TEST

struct headers_match {
    const char *name;
    bool matches;
    void (*run)(struct channel *ch);
};

#define STR arg_string
#define INT arg_int

/* name, whether it matches, the binding's arguments, the message's headers */
#define HEADERS_MATCHES(X) \
    X(no_arguments_match_all, true, (), (STR("a", "1"))) \
    X(no_arguments_match_no_headers, true, (), ()) \
    X(default_is_all, false, (STR("a", "1"), STR("b", "2")), (STR("a", "1"))) \
    X(all_present, true, (STR("x-match", "all"), STR("a", "1"), STR("b", "2")), \
      (STR("b", "2"), STR("a", "1"))) \
    X(all_with_more, true, (STR("x-match", "all"), STR("a", "1")), \
      (STR("b", "2"), STR("a", "1"), STR("c", "3"))) \
    X(all_with_one_different, false, (STR("x-match", "all"), STR("a", "1"), STR("b", "2")), \
      (STR("a", "1"), STR("b", "3"))) \
    X(all_with_one_missing, false, (STR("x-match", "all"), STR("a", "1"), STR("b", "2")), \
      (STR("a", "1"))) \
    X(all_without_keys, true, (STR("x-match", "all")), (STR("a", "1"))) \
    X(any_with_one, true, (STR("x-match", "any"), STR("a", "1"), STR("b", "2")), (STR("b", "2"))) \
    X(any_with_none, false, (STR("x-match", "any"), STR("a", "1"), STR("b", "2")), \
      (STR("c", "3"))) \
    X(any_with_wrong_values, false, (STR("x-match", "any"), STR("a", "1"), STR("b", "2")), \
      (STR("a", "2"), STR("b", "1"))) \
    X(any_without_keys, false, (STR("x-match", "any")), (STR("a", "1"))) \
    X(void_means_present, true, (STR("x-match", "all"), arg_void("a")), (STR("a", "1"))) \
    X(void_means_present_as_void, true, (arg_void("a")), (arg_void("a"))) \
    X(void_of_what_is_missing, false, (STR("x-match", "all"), arg_void("a")), (STR("b", "1"))) \
    X(void_in_any, true, (STR("x-match", "any"), arg_void("a"), STR("b", "2")), (INT("a", 7))) \
    X(value_against_void_header, false, (STR("a", "1")), (arg_void("a"))) \
    X(x_keys_are_ignored, true, (STR("x-colour", "red"), STR("a", "1")), (STR("a", "1"))) \
    X(x_keys_are_ignored_in_any, false, (STR("x-match", "any"), STR("x-colour", "red")), \
      (STR("x-colour", "red"))) \
    X(all_with_x_compares_them, false, (STR("x-match", "all-with-x"), STR("x-colour", "red")), \
      (STR("x-colour", "blue"))) \
    X(all_with_x_matches_them, true, \
      (STR("x-match", "all-with-x"), STR("x-colour", "red"), STR("a", "1")), \
      (STR("x-colour", "red"), STR("a", "1"))) \
    X(any_with_x_matches_them, true, \
      (STR("x-match", "any-with-x"), STR("x-colour", "red"), STR("a", "1")), \
      (STR("x-colour", "red"))) \
    X(strings_differ_in_case, false, (STR("a", "Red")), (STR("a", "red"))) \
    X(integers_equal_over_widths, true, (INT("a", 1)), (arg_long("a", 1))) \
    X(small_integers_equal_over_widths, true, (arg_byte("a", 1)), (arg_short("a", 1))) \
    X(integers_differ, false, (INT("a", 1)), (INT("a", 2))) \
    X(negative_integers_equal, true, (arg_byte("a", -1)), (arg_long("a", -1))) \
    X(integer_equals_double, true, (INT("a", 1)), (arg_double("a", 1.0))) \
    X(integer_differs_from_fraction, false, (INT("a", 1)), (arg_double("a", 1.5))) \
    X(float_equals_double, true, (arg_float("a", 0.5F)), (arg_double("a", 0.5))) \
    X(number_is_no_string, false, (INT("a", 1)), (STR("a", "1"))) \
    X(number_is_no_boolean, false, (INT("a", 1)), (arg_bool("a", true))) \
    X(boolean_is_no_string, false, (arg_bool("a", true)), (STR("a", "true"))) \
    X(booleans_equal, true, (arg_bool("a", true)), (arg_bool("a", true))) \
    X(booleans_differ, false, (arg_bool("a", true)), (arg_bool("a", false))) \
    X(keys_differ_in_case, false, (STR("Key", "1")), (STR("key", "1"))) \
    X(many_keys_sort, true, \
      (STR("d", "4"), STR("a", "1"), STR("c", "3"), STR("b", "2"), STR("x-match", "all")), \
      (STR("c", "3"), STR("e", "5"), STR("d", "4"), STR("b", "2"), STR("a", "1")))

#define DEFINE_CASE(name, matches, binding, message) \
    static void run_##name(struct channel *ch) \
    { \
        HERE; \
        bind_queue(ch, "q", "h", "ignored", ARGS binding); \
        publish_with(ch, "h", "", MANDATORY, HEADERS message, "a"); \
    }
HEADERS_MATCHES(DEFINE_CASE)

#define LIST_CASE(name, matches, binding, message) {#name, matches, run_##name},
static const struct headers_match headers_matches[] = {HEADERS_MATCHES(LIST_CASE)};

enum {
    TOPIC_MATCH_COUNT = sizeof(topic_matches) / sizeof(topic_matches[0]),
    HEADERS_MATCH_COUNT = sizeof(headers_matches) / sizeof(headers_matches[0]),
};

START_TEST(headers_binding_matches)
{
    const struct headers_match *m = &headers_matches[_i];
    struct channel *ch = connect_channel();

    harness_case(m->name);
    confirm_select(ch);
    declare_exchange(ch, "h", "headers", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    m->run(ch);
    if (!m->matches)
        expect_return(ch, "a");
    await_confirms(ch);
    if (m->matches)
        expect_get(ch, "q", "a", NO_ACK);
}
END_TEST

START_TEST(message_without_headers_matches_the_empty_binding_only)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_exchange(ch, "h", "headers", 0, NO_ARGS);
    declare_queue(ch, "all", 0, NO_ARGS);
    declare_queue(ch, "some", 0, NO_ARGS);
    bind_queue(ch, "all", "h", "", NO_ARGS);
    bind_queue(ch, "some", "h", "", ARGS(arg_string("a", "1")));
    publish_to(ch, "h", "", "a");
    await_confirms(ch);
    expect_get(ch, "all", "a", NO_ACK);
    expect_get_empty(ch, "some");
}
END_TEST

START_TEST(header_bindings_of_one_queue_are_told_apart_by_arguments)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_exchange(ch, "h", "headers", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "h", "", ARGS(arg_string("a", "1")));
    bind_queue(ch, "q", "h", "", ARGS(arg_string("a", "2")));
    unbind_queue(ch, "q", "h", "", ARGS(arg_string("a", "1")));
    publish_with(ch, "h", "", MANDATORY, HEADERS(arg_string("a", "1")), "one");
    expect_return(ch, "one");
    publish_with(ch, "h", "", MANDATORY, HEADERS(arg_string("a", "2")), "two");
    await_confirms(ch);
    expect_get(ch, "q", "two", NO_ACK);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("routing");
    TCase *tcase = wire_tcase(suite, "topic");

    tcase_add_loop_test(tcase, topic_pattern_matches, 0, TOPIC_MATCH_COUNT);
    tcase_add_test(tcase, topic_bindings_together_route_each_to_its_queue);
    tcase = wire_tcase(suite, "headers");
    tcase_add_loop_test(tcase, headers_binding_matches, 0, HEADERS_MATCH_COUNT);
    tcase_add_test(tcase, message_without_headers_matches_the_empty_binding_only);
    tcase_add_test(tcase, header_bindings_of_one_queue_are_told_apart_by_arguments);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
