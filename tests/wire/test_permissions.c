/* Permissions: which pattern (configure, write, read) each method asks for, and on which name. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

/* User limited may do everything to names that begin with "mine"; user reader may read everything
 * and nothing else. */
struct permission_case {
    const char *name;
    const char *refused; /* what 403 names, or NULL: allowed */
    amqp_method_number_t reply;
    void (*run)(struct channel *ch);
};

#define EXCHANGE_REFUSED(name, user) "exchange '" name "' in vhost '/' refused for user '" user "'"
#define QUEUE_REFUSED(name, user) "queue '" name "' in vhost '/' refused for user '" user "'"

/* name, refused, reply, what user limited does: queue mine-q, exchanges mine-x and mine-y are
 * its own, q and x are not. */
#define LIMITED_CASES(X) \
    X(declare_own_queue, NULL, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "mine-new", 0, NO_ARGS)) \
    X(declare_foreign_queue, QUEUE_REFUSED("new", "limited"), 0, \
      send_queue_declare(ch, "new", 0, NO_ARGS)) \
    X(redeclare_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, \
      send_queue_declare(ch, "q", 0, NO_ARGS)) \
    X(passive_declare_of_foreign_queue, NULL, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "q", PASSIVE, NO_ARGS)) \
    X(delete_own_queue, NULL, AMQP_QUEUE_DELETE_OK_METHOD, send_queue_delete(ch, "mine-q", 0)) \
    X(delete_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, send_queue_delete(ch, "q", 0)) \
    X(delete_foreign_queue_that_is_not, QUEUE_REFUSED("none", "limited"), 0, \
      send_queue_delete(ch, "none", 0)) \
    X(purge_own_queue, NULL, AMQP_QUEUE_PURGE_OK_METHOD, send_queue_purge(ch, "mine-q", 0)) \
    X(purge_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, send_queue_purge(ch, "q", 0)) \
    X(get_from_own_queue, NULL, AMQP_BASIC_GET_EMPTY_METHOD, send_get(ch, "mine-q", 0)) \
    X(get_from_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, send_get(ch, "q", 0)) \
    X(consume_from_own_queue, NULL, AMQP_BASIC_CONSUME_OK_METHOD, \
      send_consume(ch, "mine-q", "", 0, NO_ARGS)) \
    X(consume_from_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, \
      send_consume(ch, "q", "", 0, NO_ARGS)) \
    X(declare_own_exchange, NULL, AMQP_EXCHANGE_DECLARE_OK_METHOD, \
      send_exchange_declare(ch, "mine-new", "direct", 0, NO_ARGS)) \
    X(declare_foreign_exchange, EXCHANGE_REFUSED("new", "limited"), 0, \
      send_exchange_declare(ch, "new", "direct", 0, NO_ARGS)) \
    X(passive_declare_of_foreign_exchange, NULL, AMQP_EXCHANGE_DECLARE_OK_METHOD, \
      send_exchange_declare(ch, "x", "direct", PASSIVE, NO_ARGS)) \
    X(delete_own_exchange, NULL, AMQP_EXCHANGE_DELETE_OK_METHOD, \
      send_exchange_delete(ch, "mine-x", 0)) \
    X(delete_foreign_exchange, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_exchange_delete(ch, "x", 0)) \
    X(own_alternate_exchange, NULL, AMQP_EXCHANGE_DECLARE_OK_METHOD, \
      send_exchange_declare(ch, "mine-new", "direct", 0, \
                            ARGS(arg_string("alternate-exchange", "mine-y")))) \
    X(foreign_alternate_exchange, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_exchange_declare(ch, "mine-new", "direct", 0, \
                            ARGS(arg_string("alternate-exchange", "x")))) \
    X(own_dead_letter_exchange, NULL, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "mine-new", 0, ARGS(arg_string("x-dead-letter-exchange", "mine-x")))) \
    X(foreign_dead_letter_exchange, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_queue_declare(ch, "mine-new", 0, ARGS(arg_string("x-dead-letter-exchange", "x")))) \
    X(bind_own_to_own, NULL, AMQP_QUEUE_BIND_OK_METHOD, \
      send_queue_bind(ch, "mine-q", "mine-x", "k", 0, NO_ARGS)) \
    X(bind_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, \
      send_queue_bind(ch, "q", "mine-x", "k", 0, NO_ARGS)) \
    X(bind_to_foreign_exchange, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_queue_bind(ch, "mine-q", "x", "k", 0, NO_ARGS)) \
    X(unbind_own_from_own, NULL, AMQP_QUEUE_UNBIND_OK_METHOD, \
      send_queue_unbind(ch, "mine-q", "mine-x", "k", NO_ARGS)) \
    X(unbind_foreign_queue, QUEUE_REFUSED("q", "limited"), 0, \
      send_queue_unbind(ch, "q", "mine-x", "k", NO_ARGS)) \
    X(unbind_from_foreign_exchange, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_queue_unbind(ch, "mine-q", "x", "k", NO_ARGS)) \
    X(bind_own_exchanges, NULL, AMQP_EXCHANGE_BIND_OK_METHOD, \
      send_exchange_bind(ch, "mine-y", "mine-x", "k", 0, NO_ARGS)) \
    X(bind_foreign_destination, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_exchange_bind(ch, "x", "mine-x", "k", 0, NO_ARGS)) \
    X(bind_foreign_source, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_exchange_bind(ch, "mine-x", "x", "k", 0, NO_ARGS)) \
    X(unbind_foreign_source, EXCHANGE_REFUSED("x", "limited"), 0, \
      send_exchange_unbind(ch, "mine-x", "x", "k", 0, NO_ARGS)) \
    X(publish_to_own_exchange, NULL, AMQP_BASIC_ACK_METHOD, confirm_select(ch); \
      publish_to(ch, "mine-x", "k", "a")) \
    X(publish_to_foreign_exchange, EXCHANGE_REFUSED("x", "limited"), 0, \
      publish_to(ch, "x", "k", "a")) \
    X(publish_to_default_exchange, EXCHANGE_REFUSED("amq.default", "limited"), 0, \
      publish(ch, "mine-q", "a")) \
    X(publish_to_system_exchange, EXCHANGE_REFUSED("amq.direct", "limited"), 0, \
      publish_to(ch, "amq.direct", "k", "a")) \
    X(server_named_queue, QUEUE_REFUSED("amq.gen-*", "limited"), 0, \
      send_queue_declare(ch, "", 0, NO_ARGS))

/* The same for user reader. */
#define READER_CASES(X) \
    X(reader_gets, NULL, AMQP_BASIC_GET_EMPTY_METHOD, send_get(ch, "q", 0)) \
    X(reader_consumes, NULL, AMQP_BASIC_CONSUME_OK_METHOD, send_consume(ch, "q", "", 0, NO_ARGS)) \
    X(reader_purges, NULL, AMQP_QUEUE_PURGE_OK_METHOD, send_queue_purge(ch, "q", 0)) \
    X(reader_asks, NULL, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "q", PASSIVE, NO_ARGS)) \
    X(reader_declares, QUEUE_REFUSED("q", "reader"), 0, send_queue_declare(ch, "q", 0, NO_ARGS)) \
    X(reader_deletes, QUEUE_REFUSED("q", "reader"), 0, send_queue_delete(ch, "q", 0)) \
    X(reader_binds, QUEUE_REFUSED("q", "reader"), 0, \
      send_queue_bind(ch, "q", "x", "k", 0, NO_ARGS)) \
    X(reader_publishes, EXCHANGE_REFUSED("x", "reader"), 0, publish_to(ch, "x", "k", "a")) \
    X(reader_publishes_by_default, EXCHANGE_REFUSED("amq.default", "reader"), 0, \
      publish(ch, "q", "a"))

#define DEFINE_CASE(name, refused, reply, ...) \
    static void run_##name(struct channel *ch) \
    { \
        HERE; \
        __VA_ARGS__; \
    }
LIMITED_CASES(DEFINE_CASE)
READER_CASES(DEFINE_CASE)

#define LIST_CASE(name, refused, reply, ...) {#name, refused, reply, run_##name},
static const struct permission_case limited_cases[] = {LIMITED_CASES(LIST_CASE)};
static const struct permission_case reader_cases[] = {READER_CASES(LIST_CASE)};

enum {
    LIMITED_COUNT = sizeof(limited_cases) / sizeof(limited_cases[0]),
    READER_COUNT = sizeof(reader_cases) / sizeof(reader_cases[0]),
};

static void run_case(const struct permission_case *c, const char *user, const char *password)
{
    struct channel *admin = connect_channel();
    struct channel *ch = connect_channel_as(user, password);
    char reason[256];

    harness_case(c->name);
    declare_queue(admin, "mine-q", 0, NO_ARGS);
    declare_queue(admin, "q", 0, NO_ARGS);
    declare_exchange(admin, "mine-x", "direct", 0, NO_ARGS);
    declare_exchange(admin, "mine-y", "direct", 0, NO_ARGS);
    declare_exchange(admin, "x", "direct", 0, NO_ARGS);

    c->run(ch);

    if (c->refused == NULL) {
        expect_method(ch, c->reply);
        return;
    }
    if (strstr(c->refused, "gen-*") != NULL)
        snprintf(reason, sizeof(reason), "ACCESS_REFUSED - access to queue 'amq.gen-*");
    else
        snprintf(reason, sizeof(reason), "ACCESS_REFUSED - access to %s", c->refused);
    expect_channel_error(ch, 403, reason);
}

START_TEST(patterns_bind_each_method)
{
    run_case(&limited_cases[_i], "limited", "limited-pw");
}
END_TEST

START_TEST(reading_alone_allows_what_reads)
{
    run_case(&reader_cases[_i], "reader", "reader-pw");
}
END_TEST

/* Every method, and what it asks for on what (RabbitMQ "Access Control", "How Authorisation
 * Works"): method, configure, write, read, reply when it may, what is done. */
#define NEEDS_NOTHING NULL, NULL, NULL
#define METHODS(X) \
    X(exchange_declare, "exchange 'new'", NULL, NULL, AMQP_EXCHANGE_DECLARE_OK_METHOD, \
      send_exchange_declare(ch, "new", "direct", 0, NO_ARGS)) \
    X(exchange_declare_passive, NEEDS_NOTHING, AMQP_EXCHANGE_DECLARE_OK_METHOD, \
      send_exchange_declare(ch, "x", "direct", PASSIVE, NO_ARGS)) \
    X(exchange_declare_alternate, "exchange 'new'", "exchange 'x'", "exchange 'new'", \
      AMQP_EXCHANGE_DECLARE_OK_METHOD, \
      send_exchange_declare(ch, "new", "direct", 0, ARGS(arg_string("alternate-exchange", "x")))) \
    X(exchange_delete, "exchange 'x'", NULL, NULL, AMQP_EXCHANGE_DELETE_OK_METHOD, \
      send_exchange_delete(ch, "x", 0)) \
    X(exchange_bind, NULL, "exchange 'y'", "exchange 'x'", AMQP_EXCHANGE_BIND_OK_METHOD, \
      send_exchange_bind(ch, "y", "x", "k", 0, NO_ARGS)) \
    X(exchange_unbind, NULL, "exchange 'y'", "exchange 'x'", AMQP_EXCHANGE_UNBIND_OK_METHOD, \
      send_exchange_unbind(ch, "y", "x", "k", 0, NO_ARGS)) \
    X(queue_declare, "queue 'new'", NULL, NULL, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "new", 0, NO_ARGS)) \
    X(queue_declare_by_the_server, "queue 'amq.gen-*", NULL, NULL, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "", EXCLUSIVE, NO_ARGS)) \
    X(queue_declare_passive, NEEDS_NOTHING, AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "q", PASSIVE, NO_ARGS)) \
    X(queue_declare_dead_letter, "queue 'new'", "exchange 'x'", "queue 'new'", \
      AMQP_QUEUE_DECLARE_OK_METHOD, \
      send_queue_declare(ch, "new", 0, ARGS(arg_string("x-dead-letter-exchange", "x")))) \
    X(queue_bind, NULL, "queue 'q'", "exchange 'x'", AMQP_QUEUE_BIND_OK_METHOD, \
      send_queue_bind(ch, "q", "x", "k", 0, NO_ARGS)) \
    X(queue_unbind, NULL, "queue 'q'", "exchange 'x'", AMQP_QUEUE_UNBIND_OK_METHOD, \
      send_queue_unbind(ch, "q", "x", "k", NO_ARGS)) \
    X(queue_purge, NULL, NULL, "queue 'q'", AMQP_QUEUE_PURGE_OK_METHOD, \
      send_queue_purge(ch, "q", 0)) \
    X(queue_delete, "queue 'q'", NULL, NULL, AMQP_QUEUE_DELETE_OK_METHOD, \
      send_queue_delete(ch, "q", 0)) \
    X(basic_get, NULL, NULL, "queue 'q'", AMQP_BASIC_GET_EMPTY_METHOD, send_get(ch, "q", 0)) \
    X(basic_consume, NULL, NULL, "queue 'q'", AMQP_BASIC_CONSUME_OK_METHOD, \
      send_consume(ch, "q", "", 0, NO_ARGS)) \
    X(basic_consume_replies, NEEDS_NOTHING, AMQP_BASIC_CONSUME_OK_METHOD, \
      send_consume(ch, "amq.rabbitmq.reply-to", "", NO_ACK, NO_ARGS)) \
    X(basic_cancel, NEEDS_NOTHING, AMQP_BASIC_CANCEL_OK_METHOD, send_cancel(ch, "none", 0)) \
    X(basic_publish, NULL, "exchange 'x'", NULL, AMQP_BASIC_ACK_METHOD, confirm_select(ch); \
      publish_to(ch, "x", "k", "a")) \
    X(basic_publish_to_queue, NULL, "exchange 'amq.default'", NULL, AMQP_BASIC_ACK_METHOD, \
      confirm_select(ch); \
      publish(ch, "q", "a")) \
    X(basic_qos, NEEDS_NOTHING, AMQP_BASIC_QOS_OK_METHOD, send_qos(ch, 1, 0)) \
    X(basic_recover, NEEDS_NOTHING, AMQP_BASIC_RECOVER_OK_METHOD, send_recover(ch, REQUEUE)) \
    X(confirm_select, NEEDS_NOTHING, AMQP_CONFIRM_SELECT_OK_METHOD, send_confirm_select(ch, 0)) \
    X(tx_select, NEEDS_NOTHING, AMQP_TX_SELECT_OK_METHOD, send_tx_select(ch)) \
    X(channel_flow, NEEDS_NOTHING, AMQP_CHANNEL_FLOW_OK_METHOD, send_flow(ch, true))

enum {
    CONFIGURE,
    WRITE,
    READ,
    KINDS,
};

struct method_case {
    const char *name;
    const char *needs[KINDS]; /* on what; NULL: nothing of that kind */
    amqp_method_number_t reply;
    void (*run)(struct channel *ch);
};

#define DEFINE_METHOD(name, configure, write, read, reply, ...) \
    static void run_method_##name(struct channel *ch) \
    { \
        HERE; \
        __VA_ARGS__; \
    }
/* NEEDS_NOTHING is three of the arguments only after it is expanded. */
#define EXPAND_DEFINE(...) DEFINE_METHOD(__VA_ARGS__)
METHODS(EXPAND_DEFINE)

#define LIST_METHOD(name, configure, write, read, reply, ...) \
    {#name, {configure, write, read}, reply, run_method_##name},
#define EXPAND_LIST(...) LIST_METHOD(__VA_ARGS__)
static const struct method_case method_cases[] = {METHODS(EXPAND_LIST)};

enum {
    METHOD_COUNT = sizeof(method_cases) / sizeof(method_cases[0]),
};

static void expect_outcome(struct channel *ch, const struct method_case *c, int missing,
                           const char *user)
{
    char reason[256];
    const char *what = c->needs[missing];
    const char *star = what != NULL ? strchr(what, '*') : NULL;

    if (what == NULL) {
        expect_method(ch, c->reply);
        return;
    }
    if (star != NULL)
        snprintf(reason, sizeof(reason), "ACCESS_REFUSED - access to %.*s*", (int)(star - what),
                 what);
    else
        snprintf(reason, sizeof(reason),
                 "ACCESS_REFUSED - access to %s in vhost '/' refused for user '%s'", what, user);
    expect_channel_error(ch, 403, reason);
}

/* A user that lacks one of the three kinds is refused exactly what asks for it. */
START_TEST(each_method_asks_for_its_permissions_and_no_others)
{
    static const char *const USERS[KINDS] = {"without_configure", "without_write", "without_read"};
    const struct method_case *c = &method_cases[_i / KINDS];
    int missing = _i % KINDS;
    struct channel *admin = connect_channel();
    char password[64];
    struct channel *ch;

    harness_case(c->name);
    snprintf(password, sizeof(password), "%s-pw", USERS[missing]);
    ch = connect_channel_as(USERS[missing], password);
    declare_queue(admin, "q", 0, NO_ARGS);
    declare_exchange(admin, "x", "direct", 0, NO_ARGS);
    declare_exchange(admin, "y", "direct", 0, NO_ARGS);
    c->run(ch);
    expect_outcome(ch, c, missing, USERS[missing]);
}
END_TEST

START_TEST(reply_address_needs_no_permission_to_read)
{
    struct channel *ch = connect_channel_as("limited", "limited-pw");

    consume(ch, "amq.rabbitmq.reply-to", "", NO_ACK, NO_ARGS);
}
END_TEST

START_TEST(virtual_hosts_know_nothing_of_each_other)
{
    struct channel *here = connect_channel();
    struct channel *there = open_channel(connect_client_as("visitor", "visitor-pw", "other"));

    confirm_select(here);
    confirm_select(there);
    declare_queue(here, "q", 0, NO_ARGS);
    declare_exchange(here, "x", "direct", 0, NO_ARGS);
    send_queue_declare(there, "q", PASSIVE, NO_ARGS);
    expect_channel_error(there, 404, "NOT_FOUND - no queue 'q' in vhost 'other'");
    reopen_channel(there);
    publish_to(there, "x", "k", "a");
    expect_channel_error(there, 404, "NOT_FOUND - no exchange 'x' in vhost 'other'");
    reopen_channel(there);
    confirm_select(there);
    declare_exchange(there, "x", "fanout", AUTO_DELETE, NO_ARGS); /* of another type */
    declare_queue(there, "q", EXCLUSIVE, NO_ARGS);
    bind_queue(there, "q", "x", "", NO_ARGS);
    publish_to(there, "x", "", "there");
    publish(here, "q", "here");
    await_confirms(there);
    await_confirms(here);
    expect_get(there, "q", "there", NO_ACK);
    expect_get(here, "q", "here", NO_ACK);
    expect_get_empty(there, "q");
    expect_get_empty(here, "q");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("permissions");
    TCase *tcase = wire_tcase(suite, "table");

    tcase_add_loop_test(tcase, patterns_bind_each_method, 0, LIMITED_COUNT);
    tcase_add_loop_test(tcase, reading_alone_allows_what_reads, 0, READER_COUNT);
    tcase_add_loop_test(tcase, each_method_asks_for_its_permissions_and_no_others, 0,
                        METHOD_COUNT * KINDS);
    tcase_add_test(tcase, virtual_hosts_know_nothing_of_each_other);
    tcase_add_test(tcase, reply_address_needs_no_permission_to_read);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
