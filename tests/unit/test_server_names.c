#include "session/server_names.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define URL_SAFE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

START_TEST(name_is_the_prefix_and_url_safe_characters)
{
    static const char *const prefixes[] = {"amq.gen-", "amq.ctag-", ""};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t prefix = strlen(prefixes[i]);
        char name[SERVER_NAME_SIZE];

        server_name_make(prefixes[i], name);
        ck_assert_uint_eq(strlen(name), prefix + 22);
        ck_assert_int_eq(strncmp(name, prefixes[i], prefix), 0);
        ck_assert_uint_eq(strspn(name + prefix, URL_SAFE), 22);
    }
}
END_TEST

START_TEST(long_prefix_is_cut_and_the_name_ends)
{
    char name[SERVER_NAME_SIZE];

    server_name_make("a prefix that is too long", name);
    ck_assert_uint_eq(strlen(name), SERVER_NAME_SIZE - 1);
    ck_assert_int_eq(strncmp(name, "a prefix ", 9), 0);
}
END_TEST

static int compare_names(const void *a, const void *b)
{
    return memcmp(a, b, SERVER_NAME_SIZE);
}

START_TEST(no_two_names_are_alike_and_every_character_comes_up)
{
    enum { NAMES = 20000 };
    static char names[NAMES][SERVER_NAME_SIZE];
    bool seen[256] = {false};

    for (int i = 0; i < NAMES; i++) {
        server_name_make("amq.ctag-", names[i]);
        for (const char *c = names[i] + 9; *c != '\0'; c++)
            seen[(unsigned char)*c] = true;
    }
    qsort(names, NAMES, SERVER_NAME_SIZE, compare_names);
    for (int i = 1; i < NAMES; i++)
        ck_assert_str_ne(names[i - 1], names[i]);
    for (const char *c = URL_SAFE; *c != '\0'; c++)
        ck_assert_msg(seen[(unsigned char)*c], "%c never came up", *c);
}
END_TEST

UNIT_MAIN("server_names", name_is_the_prefix_and_url_safe_characters,
          long_prefix_is_cut_and_the_name_ends, no_two_names_are_alike_and_every_character_comes_up)
