#include "config/yaml_tree.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text, struct yaml_tree *tree, struct config_problems *problems)
{
    config_problems_init(problems);
    return yaml_tree_parse(tree, "f", bytes_from_string(text), problems);
}

START_TEST(nodes_know_their_lines_and_order)
{
    struct config_problems problems;
    struct yaml_tree tree;
    struct yaml_node *b;

    ck_assert_int_eq(parse("a: 1\nb:\n  - x\n  - 'y'\nc: {d: ~}\n", &tree, &problems), 0);
    ck_assert(tree.complete);
    ck_assert_int_eq(tree.root->kind, YAML_MAPPING);
    ck_assert_uint_eq(tree.root->count, 3);
    ck_assert(bytes_equal_string(tree.root->first->key, "a"));
    ck_assert_uint_eq(tree.root->first->line, 1);
    ck_assert(tree.root->first->plain);
    b = tree.root->first->next;
    ck_assert_int_eq(b->kind, YAML_SEQUENCE);
    ck_assert_uint_eq(b->key_line, 2);
    ck_assert_uint_eq(b->count, 2);
    ck_assert_uint_eq(b->first->line, 3);
    ck_assert(!b->last->plain);
    ck_assert(bytes_equal_string(b->last->text, "y"));
    ck_assert(yaml_is_null(tree.root->last->first));
    yaml_tree_free(&tree);
}
END_TEST

START_TEST(malformed_text_is_refused_with_its_line)
{
    static const struct {
        const char *text;
        const char *problem;
        bool complete;
    } CASES[] = {
        {"a: [1,\n",
         "f:2: not valid YAML: while parsing a flow node, "
         "did not find expected node content",
         false},
        {"a: 1\n  b: 2\n", "f:2: not valid YAML: mapping values are not allowed in this context",
         false},
        {"a: 1\n\tb: 2\n",
         "f:2: not valid YAML: while scanning a plain scalar, "
         "found a tab character that violates indentation",
         false},
        {"a: 1\nb: \xff\n", "f:2: not valid YAML: invalid leading UTF-8 octet", false},
        {"a: 1\n---\nb: 2\n", "f:2: only one YAML document is allowed", false},
        {"a: 1\n? [b]\n: 2\n", "f:2: a key must be a scalar, not a list", false},
        {"? {b: 1}\n: 2\n", "f:1: a key must be a scalar, not a mapping", false},
        {"a: &x 1\n",
         "f:1: anchors and aliases are not supported (quote a value that begins with '&' or '*')",
         true},
        {"a: 1\nb: *a\n",
         "f:2: anchors and aliases are not supported (quote a value that begins with '&' or '*')",
         false},
        {"a: !x 1\n",
         "f:1: tags are not supported, except !!str (quote a value that begins with '!')", true},
        {"a: !!map {}\n",
         "f:1: tags are not supported, except !!str (quote a value that begins with '!')", true},
        {"a: 1\nb: 1\na: 1\n", "f:3: duplicate key 'a' (first on line 1)", true},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct config_problems problems;
        struct yaml_tree tree;
        char *found;

        ck_assert_int_eq(parse(CASES[i].text, &tree, &problems), -EINVAL);
        ck_assert_uint_eq(problems.count, 1);
        found = config_problem_text(&problems.items[0]);
        ck_assert_str_eq(found, CASES[i].problem);
        ck_assert_int_eq(tree.complete, CASES[i].complete);
        free(found);
        yaml_tree_free(&tree);
        config_problems_free(&problems);
    }
}
END_TEST

START_TEST(the_second_of_two_equal_keys_is_marked)
{
    struct config_problems problems;
    struct yaml_tree tree;

    ck_assert_int_eq(parse("{a: 1, b: {a: 2}, a: 3}", &tree, &problems), -EINVAL);
    ck_assert(!tree.root->first->duplicate);
    ck_assert(!tree.root->first->next->first->duplicate);
    ck_assert(tree.root->last->duplicate);
    yaml_tree_free(&tree);
    config_problems_free(&problems);
}
END_TEST

static void nested(int depth, char *out)
{
    memset(out, '[', (size_t)depth);
    memset(out + depth, ']', (size_t)depth);
    out[2 * depth] = '\0';
}

START_TEST(depth_is_bounded)
{
    struct config_problems problems;
    struct yaml_tree tree;
    char text[2 * (YAML_DEPTH_MAX + 1) + 1];

    nested(YAML_DEPTH_MAX, text);
    ck_assert_int_eq(parse(text, &tree, &problems), 0);
    yaml_tree_free(&tree);

    nested(YAML_DEPTH_MAX + 1, text);
    ck_assert_int_eq(parse(text, &tree, &problems), -EINVAL);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.items[0].message, "nested deeper than 32 levels");
    yaml_tree_free(&tree);
    config_problems_free(&problems);
}
END_TEST

START_TEST(scalars_resolve_by_the_core_schema)
{
    static const struct {
        const char *text;
        enum yaml_type type;
    } CASES[] = {
        {"~", YAML_TYPE_NULL},
        {"null", YAML_TYPE_NULL},
        {"nULL", YAML_TYPE_STRING},
        {"''", YAML_TYPE_STRING},
        {"true", YAML_TYPE_BOOLEAN},
        {"False", YAML_TYPE_BOOLEAN},
        {"yes", YAML_TYPE_STRING},
        {"off", YAML_TYPE_STRING},
        {"0", YAML_TYPE_INTEGER},
        {"-12", YAML_TYPE_INTEGER},
        {"+12", YAML_TYPE_INTEGER},
        {"0123", YAML_TYPE_INTEGER},
        {"0xfF", YAML_TYPE_INTEGER},
        {"0o7", YAML_TYPE_INTEGER},
        {"0x", YAML_TYPE_STRING},
        {"0xg", YAML_TYPE_STRING},
        {"0o8", YAML_TYPE_STRING},
        {"-0x1", YAML_TYPE_STRING},
        {"'12'", YAML_TYPE_STRING},
        {"!!str 12", YAML_TYPE_STRING},
        {"1_000", YAML_TYPE_STRING},
        {"-", YAML_TYPE_STRING},
        {"+", YAML_TYPE_STRING},
        {"12a", YAML_TYPE_STRING},
        {"1.", YAML_TYPE_FLOAT},
        {".5", YAML_TYPE_FLOAT},
        {"-1.5e+3", YAML_TYPE_FLOAT},
        {"1e3", YAML_TYPE_FLOAT},
        {".", YAML_TYPE_STRING},
        {"1e", YAML_TYPE_STRING},
        {"e1", YAML_TYPE_STRING},
        {"1.2.3", YAML_TYPE_STRING},
        {".inf", YAML_TYPE_FLOAT},
        {"-.Inf", YAML_TYPE_FLOAT},
        {".nan", YAML_TYPE_FLOAT},
        {"-.nan", YAML_TYPE_STRING},
        {"inf", YAML_TYPE_STRING},
        {"nan", YAML_TYPE_STRING},
        {"\"1\\0\"", YAML_TYPE_STRING},
        {"9223372036854775808", YAML_TYPE_INTEGER_TOO_BIG},
        {"-9223372036854775808", YAML_TYPE_INTEGER},
        {"0xffffffffffffffff", YAML_TYPE_INTEGER_TOO_BIG},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct config_problems problems;
        struct yaml_tree tree;
        char text[64];

        snprintf(text, sizeof(text), "- %s\n", CASES[i].text);
        ck_assert_int_eq(parse(text, &tree, &problems), 0);
        ck_assert_msg(yaml_resolve(tree.root->first).type == CASES[i].type, "%s", CASES[i].text);
        yaml_tree_free(&tree);
    }
}
END_TEST

START_TEST(a_wide_mapping_takes_no_quadratic_time)
{
    enum { KEYS = 200000 };
    struct config_problems problems;
    struct yaml_tree tree;
    char *text = malloc(KEYS * 12 + 1);
    size_t length = 0;

    for (int i = 0; i < KEYS; i++)
        length += (size_t)snprintf(text + length, 13, "k%d: 1\n", i);
    ck_assert_int_eq(parse(text, &tree, &problems), 0);
    ck_assert_uint_eq(tree.root->count, KEYS);
    yaml_tree_free(&tree);
    free(text);
}
END_TEST

UNIT_MAIN("config_yaml_tree", nodes_know_their_lines_and_order,
          malformed_text_is_refused_with_its_line, the_second_of_two_equal_keys_is_marked,
          depth_is_bounded, scalars_resolve_by_the_core_schema,
          a_wide_mapping_takes_no_quadratic_time)
