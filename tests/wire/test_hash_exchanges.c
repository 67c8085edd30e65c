/* The exchange types that choose one of their bindings: by a consistent hash, by a hash modulo
 * their number, by chance. Where a message goes is held against what RabbitMQ's plugins choose, key
 * by key. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

#define QUEUES 4
#define KEYS 40

static const char *const queues[QUEUES] = {"a", "b", "c", "d"};

static void declare_queues(struct channel *ch)
{
    confirm_select(ch);
    for (int i = 0; i < QUEUES; i++)
        declare_queue(ch, queues[i], 0, NO_ARGS);
}

/* The letter of the one queue that has a message, which is taken; '-' when none has. */
static char take(struct channel *ch)
{
    char found = '-';

    await_confirms(ch);
    for (int i = 0; i < QUEUES; i++) {
        uint32_t count = purge_queue(ch, queues[i]);

        if (count == 0)
            continue;
        ck_assert_uint_eq(count, 1);
        ck_assert_int_eq(found, '-');
        found = queues[i][0];
    }
    return found;
}

static char goes_to(struct channel *ch, const char *key, const amqp_basic_properties_t *properties)
{
    publish_with(ch, "x", key, 0, properties, "m");
    return take(ch);
}

/* The queues that the keys k0, k1, … go to. */
static void expect_places(struct channel *ch, const char *expected)
{
    char places[KEYS + 1] = "";
    char key[16];

    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        places[i] = goes_to(ch, key, NULL);
    }
    ck_assert_str_eq(places, expected);
}

START_TEST(consistent_hash_goes_where_the_plugin_goes)
{
    struct channel *ch = connect_channel();

    declare_queues(ch);
    declare_exchange(ch, "x", "x-consistent-hash", 0, NO_ARGS);
    expect_places(ch, "----------------------------------------");
    bind_queue(ch, "a", "x", "1", NO_ARGS);
    bind_queue(ch, "b", "x", "+2", NO_ARGS);
    bind_queue(ch, "c", "x", "01", NO_ARGS);
    expect_places(ch, "bcbbbbbccbbbbbbaaaabbccbcabcbbbcbcbbaaba");
    bind_queue(ch, "d", "x", "3", NO_ARGS);
    expect_places(ch, "bddbbdbcdbddbbbaadabdcdbcadcdbbcbddbddba");
    unbind_queue(ch, "b", "x", "+2", NO_ARGS);
    expect_places(ch, "cdccddcdddddddcaaaacdddcdaddddddddddadca");
    bind_queue(ch, "b", "x", "1", NO_ARGS);
    expect_places(ch, "cdbcddcdbdddddcaabacdddcdabdddddddbdabca");
}
END_TEST

START_TEST(modulus_hash_goes_where_the_plugin_goes)
{
    struct channel *ch = connect_channel();

    declare_queues(ch);
    declare_exchange(ch, "x", "x-modulus-hash", 0, NO_ARGS);
    expect_places(ch, "----------------------------------------");
    bind_queue(ch, "c", "x", "", NO_ARGS);
    bind_queue(ch, "a", "x", "any", NO_ARGS);
    bind_queue(ch, "b", "x", "", NO_ARGS);
    expect_places(ch, "abbbcbaaabbcaccaacaaabccaabcbabcbccbabcb");
    bind_queue(ch, "a", "x", "", NO_ARGS);
    expect_places(ch, "ccbaaaabbacabcaccbcbabaaaacbbccbbbabbccb");
    unbind_queue(ch, "b", "x", "", NO_ARGS);
    expect_places(ch, "aaaacaaaaaacaccaacaaaaccaaacaaacaccaaaca");
}
END_TEST

START_TEST(modulus_hash_is_over_all_routing_keys)
{
    struct channel *ch = connect_channel();
    char places[KEYS + 1] = "";
    char key[16];

    declare_queues(ch);
    declare_exchange(ch, "x", "x-modulus-hash", 0, NO_ARGS);
    for (int i = 0; i < QUEUES; i++)
        bind_queue(ch, queues[i], "x", "", NO_ARGS);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        places[i] = goes_to(ch, key, HEADERS(arg_strings("CC", "more", NULL)));
    }
    ck_assert_str_eq(places, "dcadbdbbdccdbbbddbbbddddcdbbbcdbbddaabab");
}
END_TEST

/* To an exchange with queues of the weight 10 each that hashes what `argument` names. */
static struct channel *hash_on(const char *argument, const char *name)
{
    struct channel *ch = connect_channel();

    declare_queues(ch);
    declare_exchange(ch, "x", "x-consistent-hash", 0, ARGS(arg_string(argument, name)));
    for (int i = 0; i < QUEUES; i++)
        bind_queue(ch, queues[i], "x", "10", NO_ARGS);
    return ch;
}

START_TEST(header_decides_where_it_is_asked_for)
{
    struct channel *ch = hash_on("hash-header", "h");
    const amqp_table_entry_t values[] = {
        arg_string("h", ""),
        arg_string("h", "one"),
        arg_string("h", "two"),
        arg_string("h", "a value that is longer than twelve bytes"),
        arg_int("h", 1),
        arg_int("h", -1),
        arg_int("h", 134217728),
        arg_int("h", -134217729),
        arg_long("h", 1),
        arg_long("h", INT64_MAX),
        arg_long("h", INT64_MIN),
        arg_byte("h", 1),
        arg_short("h", 1),
        arg_double("h", 1.5),
        arg_double("h", -0.0),
        arg_bool("h", true),
        arg_bool("h", false),
        arg_void("h"),
        arg_timestamp("h", 1700000000),
        arg_string("other", "one"),
    };
    enum { COUNT = sizeof(values) / sizeof(values[0]) };
    char places[COUNT + 1] = "";

    for (int i = 0; i < COUNT; i++) {
        places[i] = goes_to(ch, "k1", HEADERS(values[i]));
        ck_assert_int_eq(goes_to(ch, "k2", HEADERS(values[i])), places[i]);
    }
    ck_assert_int_eq(goes_to(ch, "k1", NULL), places[COUNT - 1]);
    ck_assert_str_eq(places, "ddaddabdbdcdbbbacaad");
}
END_TEST

START_TEST(property_decides_where_it_is_asked_for)
{
    static const struct {
        const char *name;
        const char *places;
    } cases[] = {
        {"message_id", "ddcdaadddaadcdccbadacccacddaaaaaaccbacdd"},
        {"correlation_id", "ddcdaadddaadcdccbadacccacddaaaaaaccbacdd"},
        {"timestamp", "ddcbdadccdcdcaabbbbbddadabbccbacdaacdbdb"},
    };
    struct channel *ch = hash_on("hash-property", cases[_i].name);
    char places[KEYS + 1] = "";
    char id[16];

    harness_case(cases[_i].name);
    for (int i = 0; i < KEYS; i++) {
        snprintf(id, sizeof(id), "id%d", i);
        places[i] = goes_to(ch, "k",
                            PROPS(AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                                      AMQP_BASIC_TIMESTAMP_FLAG,
                                  .message_id = text(_i == 0 ? id : "same"),
                                  .correlation_id = text(_i == 1 ? id : "same"),
                                  .timestamp = _i == 2 ? 1700000000 + (uint64_t)i : 5));
    }
    places[0] = goes_to(ch, "k", NULL);
    ck_assert_str_eq(places, cases[_i].places);
}
END_TEST

START_TEST(random_reaches_all)
{
    struct channel *ch = connect_channel();
    uint32_t total = 0;

    declare_queues(ch);
    declare_exchange(ch, "x", "x-random", 0, NO_ARGS);
    for (int i = 0; i < QUEUES; i++)
        bind_queue(ch, queues[i], "x", i % 2 != 0 ? "one" : "other", NO_ARGS);
    for (int i = 0; i < 400; i++)
        publish_to(ch, "x", "k", "m");
    await_confirms(ch);
    for (int i = 0; i < QUEUES; i++) {
        uint32_t count = purge_queue(ch, queues[i]);

        /* 100 are expected with a standard deviation of 8.7: this is seven of them. */
        ck_assert_uint_ge(count, 40);
        ck_assert_uint_le(count, 160);
        total += count;
    }
    ck_assert_uint_eq(total, 400);
}
END_TEST

START_TEST(without_bindings_nothing_is_routed)
{
    static const char *const types[] = {"x-random", "x-modulus-hash", "x-consistent-hash"};
    struct channel *ch = connect_channel();

    declare_queues(ch);
    declare_exchange(ch, "x", types[_i], 0, NO_ARGS);
    publish_with(ch, "x", "k", MANDATORY, NULL, "m");
    expect_return(ch, "m");
    bind_queue(ch, "a", "x", "1", NO_ARGS);
    await_confirms(ch);
    ck_assert_int_eq(goes_to(ch, "k", NULL), 'a');
    delete_queue(ch, "a", 0);
    publish_with(ch, "x", "k", MANDATORY, NULL, "m");
    expect_return(ch, "m");
}
END_TEST

START_TEST(chosen_exchange_routes_on)
{
    static const char *const types[] = {"x-random", "x-modulus-hash", "x-consistent-hash"};
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_exchange(ch, "x", types[_i], 0, NO_ARGS);
    declare_exchange(ch, "f", "fanout", 0, NO_ARGS);
    declare_queue(ch, "a", 0, NO_ARGS);
    declare_queue(ch, "b", 0, NO_ARGS);
    bind_exchange(ch, "f", "x", "5", NO_ARGS);
    bind_queue(ch, "a", "f", "", NO_ARGS);
    bind_queue(ch, "b", "f", "", NO_ARGS);
    publish_to(ch, "x", "k", "m");
    await_confirms(ch);
    expect_get(ch, "a", "m", NO_ACK);
    expect_get(ch, "b", "m", NO_ACK);
}
END_TEST

static const struct {
    const char *key;
    const char *text;
} bad_weights[] = {
    {"", "The binding key must be an integer: <<>>"},
    {"a", "The binding key must be an integer: <<\"a\">>"},
    {"+", "The binding key must be an integer: <<\"+\">>"},
    {"1.5", "The binding key must be an integer: <<\"1.5\">>"},
    {" 1", "The binding key must be an integer: <<\" 1\">>"},
    {"1 ", "The binding key must be an integer: <<\"1 \">>"},
    {"0x10", "The binding key must be an integer: <<\"0x10\">>"},
    {"0", "The binding key must be greater than 0"},
    {"-0", "The binding key must be greater than 0"},
    {"-7", "The binding key must be greater than 0"},
};

START_TEST(weight_must_be_a_number_above_0)
{
    struct channel *ch = connect_channel();
    char expected[128];

    harness_case(bad_weights[_i].key);
    declare_exchange(ch, "x", "x-consistent-hash", 0, NO_ARGS);
    declare_queue(ch, "a", 0, NO_ARGS);
    send_queue_bind(ch, "a", "x", bad_weights[_i].key, 0, NO_ARGS);
    snprintf(expected, sizeof(expected), "PRECONDITION_FAILED - %s", bad_weights[_i].text);
    expect_channel_error(ch, 406, expected);
    reopen_channel(ch);
    unbind_queue(ch, "a", "x", bad_weights[_i].key, NO_ARGS);
}
END_TEST

START_TEST(weight_has_a_limit)
{
    SKIP_WITH_ORACLE("it would make as many buckets");
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "x-consistent-hash", 0, NO_ARGS);
    declare_queue(ch, "a", 0, NO_ARGS);
    bind_queue(ch, "a", "x", "2147483647", NO_ARGS);
    send_queue_bind(ch, "a", "x", "99999999999999999999999999", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - The binding key must be at most 2147483647");
}
END_TEST

START_TEST(header_and_property_exclude_each_other)
{
    struct channel *ch = connect_channel();

    send_exchange_declare(
        ch, "x", "x-consistent-hash", 0,
        ARGS(arg_string("hash-header", "h"), arg_string("hash-property", "message_id")));
    expect_channel_error(
        ch, 406, "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive");
}
END_TEST

START_TEST(property_must_be_one_of_three)
{
    struct channel *ch = connect_channel();

    send_exchange_declare(ch, "x", "x-consistent-hash", 0,
                          ARGS(arg_string("hash-property", "app_id")));
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - Unsupported property: app_id");
}
END_TEST

START_TEST(what_to_hash_must_be_a_string)
{
    SKIP_WITH_ORACLE("it closes the connection with an internal error");
    struct channel *ch = connect_channel();

    send_exchange_declare(ch, "x", "x-consistent-hash", 0, ARGS(arg_int("hash-header", 1)));
    expect_channel_error(
        ch, 406,
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'hash-header'; expected longstr");
}
END_TEST

START_TEST(hash_arguments_are_not_compared)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "x-consistent-hash", 0, ARGS(arg_string("hash-header", "h")));
    declare_exchange(ch, "x", "x-consistent-hash", 0, ARGS(arg_string("hash-property", "none")));
    send_exchange_declare(ch, "x", "x-random", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost "
                         "'/': received ''x-random'' but current is ''x-consistent-hash''");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("hash exchanges");
    TCase *tcase = wire_tcase(suite, "places");

    tcase_add_test(tcase, consistent_hash_goes_where_the_plugin_goes);
    tcase_add_test(tcase, modulus_hash_goes_where_the_plugin_goes);
    tcase_add_test(tcase, modulus_hash_is_over_all_routing_keys);
    tcase_add_test(tcase, header_decides_where_it_is_asked_for);
    tcase_add_loop_test(tcase, property_decides_where_it_is_asked_for, 0, 3);
    tcase_add_test(tcase, random_reaches_all);
    tcase_add_loop_test(tcase, without_bindings_nothing_is_routed, 0, 3);
    tcase_add_loop_test(tcase, chosen_exchange_routes_on, 0, 3);
    tcase = wire_tcase(suite, "errors");
    tcase_add_loop_test(tcase, weight_must_be_a_number_above_0, 0,
                        (int)(sizeof(bad_weights) / sizeof(bad_weights[0])));
    tcase_add_test(tcase, weight_has_a_limit);
    tcase_add_test(tcase, header_and_property_exclude_each_other);
    tcase_add_test(tcase, property_must_be_one_of_three);
    tcase_add_test(tcase, what_to_hash_must_be_a_string);
    tcase_add_test(tcase, hash_arguments_are_not_compared);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
