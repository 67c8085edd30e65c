/* Topic permissions: which routing keys a user may publish to a topic exchange and bind from it. */
#include <stdio.h>

#include "tests/wire/harness.h"

/* User topical may do everything on names, and with exchange x: publish with keys that begin with
 * its name or are "both", bind with keys that begin with the vhost's name and r, or are empty. The
 * pattern for exchange slow is one that backtracks without end. (TEST_CONFIG with another user;
 * tests/wire/oracle has the same.) */
static const char CONFIG[] =
    "listeners:\n"
    "  - address: 127.0.0.1\n"
    "    port: @PORT@\n"
    "workers: @WORKERS@\n"
    "users:\n"
    "  - {name: guest, password: guest, tags: [administrator]}\n"
    "  - {name: topical, password: topical-pw}\n"
    "permissions:\n"
    "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n"
    "  - {user: topical, configure: '.*', write: '^[^n]', read: '.*'}\n"
    "topic_permissions:\n"
    "  - {user: topical, exchange: x, write: '^({username}\\.|both$)', read: '^({vhost}r|$)'}\n"
    "  - {user: topical, exchange: slow, write: '^(a+)+$', read: ''}\n"
    "  - {user: topical, exchange: direct, write: '', read: ''}\n";

#define REFUSED(key) \
    "ACCESS_REFUSED - access to topic '" key "' in exchange 'x' in vhost '/' refused for user " \
    "'topical'"

static struct channel *set_up(void)
{
    struct channel *admin = connect_channel();

    declare_exchange(admin, "x", "topic", 0, NO_ARGS);
    declare_exchange(admin, "other", "topic", 0, NO_ARGS);
    declare_exchange(admin, "direct", "direct", 0, NO_ARGS);
    declare_queue(admin, "q", 0, NO_ARGS);
    bind_queue(admin, "q", "x", "#", NO_ARGS);
    return connect_channel_as("topical", "topical-pw");
}

START_TEST(publishing_needs_a_key_that_the_pattern_has)
{
    struct channel *ch = set_up();

    confirm_select(ch);
    publish_to(ch, "x", "topical.a", "1");
    publish_to(ch, "x", "topical.a", "2");
    publish_to(ch, "x", "both", "3");
    await_confirms(ch);
    publish_to(ch, "x", "topical", "4");
    expect_channel_error(ch, 403, REFUSED("topical"));
    reopen_channel(ch);
    publish_to(ch, "x", "", "5");
    expect_channel_error(ch, 403, REFUSED(""));
    reopen_channel(ch);
    expect_get(ch, "q", "1", NO_ACK);
    expect_get(ch, "q", "2", NO_ACK);
    expect_get(ch, "q", "3", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

/* The worker remembers where a key leads, and who may use it: not for somebody else. */
START_TEST(what_another_user_may_is_not_remembered_for_this_one)
{
    struct channel *ch = set_up();
    struct channel *admin = connect_channel();

    confirm_select(admin);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            publish_to(admin, "x", "any", "a");
        await_confirms(admin);
        publish_to(ch, "x", "any", "b");
        expect_channel_error(ch, 403, REFUSED("any"));
        reopen_channel(ch);
    }
}
END_TEST

START_TEST(every_key_of_a_message_is_held_against_the_pattern)
{
    struct channel *ch = set_up();

    SKIP_WITH_ORACLE("RabbitMQ 3.10 looks at the routing key alone");
    confirm_select(ch);
    publish_with(ch, "x", "both", 0, HEADERS(arg_strings("CC", "topical.b", NULL)), "1");
    await_confirms(ch);
    publish_with(ch, "x", "both", 0, HEADERS(arg_strings("CC", "topical.b", "any", NULL)), "2");
    expect_channel_error(ch, 403, REFUSED("any"));
    reopen_channel(ch);
    publish_with(ch, "x", "both", 0, HEADERS(arg_strings("BCC", "hidden", NULL)), "3");
    expect_channel_error(ch, 403, REFUSED("hidden"));
    reopen_channel(ch);
    expect_get(ch, "q", "1", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(a_transaction_refuses_at_the_publish)
{
    struct channel *ch = set_up();

    tx_select(ch);
    publish_to(ch, "x", "any", "1");
    expect_channel_error(ch, 403, REFUSED("any"));
}
END_TEST

START_TEST(binding_needs_a_key_that_the_pattern_has)
{
    struct channel *ch = set_up();

    bind_queue(ch, "q", "x", "/r.a", NO_ARGS);
    unbind_queue(ch, "q", "x", "/r.a", NO_ARGS);
    send_queue_bind(ch, "q", "x", "a", 0, NO_ARGS);
    expect_channel_error(ch, 403, REFUSED("a"));
    reopen_channel(ch);
    send_queue_unbind(ch, "q", "x", "#", NO_ARGS);
    expect_channel_error(ch, 403, REFUSED("#"));
    reopen_channel(ch);
    send_exchange_bind(ch, "other", "x", "a", 0, NO_ARGS);
    expect_channel_error(ch, 403, REFUSED("a"));
    reopen_channel(ch);
    send_exchange_unbind(ch, "other", "x", "a", 0, NO_ARGS);
    expect_channel_error(ch, 403, REFUSED("a"));
    reopen_channel(ch);
    bind_exchange(ch, "other", "x", "/rb", NO_ARGS);
    bind_exchange(ch, "x", "other", "a", NO_ARGS);
    bind_queue(ch, "q", "x", "", NO_ARGS);
}
END_TEST

START_TEST(other_exchanges_take_every_key)
{
    struct channel *ch = set_up();

    confirm_select(ch);
    publish_to(ch, "other", "any", "1");
    publish_to(ch, "direct", "any", "2");
    publish(ch, "q", "3");
    bind_queue(ch, "q", "other", "any", NO_ARGS);
    bind_queue(ch, "q", "direct", "any", NO_ARGS);
    publish_to(ch, "other", "any", "4");
    publish_to(ch, "direct", "any", "5");
    await_confirms(ch);
    expect_get(ch, "q", "3", NO_ACK);
    expect_get(ch, "q", "4", NO_ACK);
    expect_get(ch, "q", "5", NO_ACK);
}
END_TEST

START_TEST(the_exchange_is_asked_about_before_the_key)
{
    struct channel *ch = set_up();

    publish_to(ch, "no-permission", "any", "1");
    expect_channel_error(ch, 403,
                         "ACCESS_REFUSED - access to exchange 'no-permission' in vhost '/' refused "
                         "for user 'topical'");
    reopen_channel(ch);
    publish_to(ch, "slow", "b", "1");
    expect_channel_error(ch, 404, "NOT_FOUND - no exchange 'slow' in vhost '/'");
}
END_TEST

START_TEST(a_pattern_that_takes_too_long_refuses_and_is_told_once)
{
    static const char KEY[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    struct channel *ch = set_up();
    char reason[256];

    SKIP_WITH_ORACLE("what Erlang's limits say is another matter");
    declare_exchange(connect_channel(), "slow", "topic", 0, NO_ARGS);
    snprintf(reason, sizeof(reason),
             "ACCESS_REFUSED - access to topic '%s' in exchange 'slow' in vhost '/' refused for "
             "user 'topical'",
             KEY);
    for (int i = 0; i < 3; i++) {
        publish_to(ch, "slow", KEY, "1");
        expect_channel_error(ch, 403, reason);
        reopen_channel(ch);
    }
    ck_assert(broker_log_awaits(test_broker(), "pattern: '^(a+)+$' exceeds its limits"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("topic_permissions");
    TCase *tcase = wire_tcase(suite, "topic permissions");

    tcase_add_test(tcase, publishing_needs_a_key_that_the_pattern_has);
    tcase_add_test(tcase, what_another_user_may_is_not_remembered_for_this_one);
    tcase_add_test(tcase, every_key_of_a_message_is_held_against_the_pattern);
    tcase_add_test(tcase, a_transaction_refuses_at_the_publish);
    tcase_add_test(tcase, binding_needs_a_key_that_the_pattern_has);
    tcase_add_test(tcase, other_exchanges_take_every_key);
    tcase_add_test(tcase, the_exchange_is_asked_about_before_the_key);
    tcase_add_test(tcase, a_pattern_that_takes_too_long_refuses_and_is_told_once);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, CONFIG);
}
