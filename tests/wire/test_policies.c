/* Policies of the configuration: what they do to queues and exchanges that come, and to those that
 * are there when they change. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

/* One broker serves all tests of a run: each begins with the configuration that it gives, without
 * the queues and exchanges of those before. */
#define HEAD \
    "listeners:\n  - {address: 127.0.0.1, port: @PORT@}\nworkers: @WORKERS@\n" \
    "dead_letters: {retry_min_ms: 20, retry_max_ms: 60}\n"
#define POLICY(name, pattern, definition) \
    "  - {name: " name ", pattern: '" pattern "', definition: {" definition "}}\n"
#define DEAD_LETTERS "dead-letter-exchange: '', dead-letter-routing-key: dead"

static struct broker *broker;
static struct channel *ch;
static struct channel *publisher; /* of the same client, with confirms */

/* Every queue obeys the policies of `config` now. */
static void reload(const char *config)
{
    ck_assert(broker_reloads(broker, config));
}

static void given(const char *config)
{
    broker = test_broker();
    reload(config);
    ch = connect_channel();
    publisher = open_channel(ch->client);
    confirm_select(publisher);
}

static void publish_numbered(const char *queue, unsigned first, unsigned last)
{
    char body[16];

    for (unsigned i = first; i <= last; i++) {
        snprintf(body, sizeof(body), "%u", i);
        publish(publisher, queue, body);
    }
    await_confirms(publisher);
}

/* A dead letter, with the reason for it. */
static void expect_dead(const char *body, const char *reason)
{
    const amqp_field_value_t *deaths;
    struct delivery d;

    await_message_count(ch, "dead", 1);
    d = expect_get(ch, "dead", body, NO_ACK);
    deaths = header(&d, "x-death");
    ck_assert(deaths != NULL && deaths->kind == AMQP_FIELD_KIND_ARRAY);
    ck_assert(field_is_string(table_field(&deaths->value.array.entries[0].value.table, "reason"),
                              reason));
}

/* ---- What is declared ---- */

START_TEST(declared_queue_obeys_policies_and_arguments)
{
    given(HEAD "policies:\n" POLICY(
        "short", "^q", "max-length: 4") "  - {name: shorter, pattern: '^q\\.', priority: 1, "
                                        "apply_to: classic_queues,\n"
                                        "     definition: {max-length: 3}}\n"
                                        "operator_policies:\n" POLICY("shortest", "^q.*least$",
                                                                      "max-length: 1"));
    declare_queue(ch, "other", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    declare_queue(ch, "q.lower", 0, ARGS(arg_int("x-max-length", 2)));
    declare_queue(ch, "q.higher", 0, ARGS(arg_int("x-max-length", 9)));
    declare_queue(ch, "q.least", 0, ARGS(arg_int("x-max-length", 9)));
    declare_queue(ch, "q.quorum", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    publish_numbered("other", 1, 6);
    publish_numbered("q", 1, 6);
    publish_numbered("q.lower", 1, 6);
    publish_numbered("q.higher", 1, 6);
    publish_numbered("q.least", 1, 6);
    publish_numbered("q.quorum", 1, 6);
    await_message_count(ch, "other", 6);
    await_message_count(ch, "q", 4);
    await_message_count(ch, "q.lower", 2);
    await_message_count(ch, "q.higher", 3);
    await_message_count(ch, "q.least", 1);
    await_message_count(ch, "q.quorum", 4);
}
END_TEST

START_TEST(redeclaration_compares_arguments_alone)
{
    given(HEAD "policies:\n" POLICY("p", "^q", "max-length: 4"));
    declare_queue(ch, "q", 0, ARGS(arg_int("x-max-length", 9)));
    declare_queue(ch, "q", 0, ARGS(arg_int("x-max-length", 9)));
    send_queue_declare(ch, "q", 0, ARGS(arg_int("x-max-length", 4)));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in "
                         "vhost '/': received '4' but current is '9'");
}
END_TEST

/* ---- What changes ---- */

START_TEST(new_limit_drops_what_is_too_much)
{
    given(HEAD);
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 3000);
    reload(HEAD "policies:\n" POLICY("p", "^q", "max-length: 10, " DEAD_LETTERS));
    await_message_count(ch, "q", 10);
    await_message_count(ch, "dead", 2990);
    expect_get(ch, "dead", "1", NO_ACK);
    expect_get(ch, "q", "2991", NO_ACK);
    publish_numbered("q", 3001, 3003);
    await_message_count(ch, "q", 10);
    expect_get(ch, "q", "2994", NO_ACK);
    reload(HEAD "policies: []\n");
    publish_numbered("q", 3004, 3013);
    await_message_count(ch, "q", 19);
}
END_TEST

START_TEST(limit_counts_while_the_queue_is_used)
{
    given(HEAD);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 9000);
    reload(HEAD "policies:\n" POLICY("p", "^q", "max-length: 100"));
    publish_numbered("q", 9001, 9500);
    await_message_count(ch, "q", 100);
    expect_get(ch, "q", "9401", NO_ACK);
}
END_TEST

START_TEST(limit_with_reject_publish_refuses_and_drops_nothing)
{
    given(HEAD);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 3);
    reload(HEAD "policies:\n" POLICY("p", "^q", "max-length: 2, overflow: reject-publish"));
    publish(publisher, "q", "4");
    expect_confirm_nack(publisher);
    ck_assert_uint_eq(message_count(ch, "q"), 3);
}
END_TEST

/* As with RabbitMQ, what is there keeps the time that it came with. */
START_TEST(new_time_to_live_counts_for_what_comes)
{
    given(HEAD);
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    reload(HEAD "policies:\n" POLICY("p", "^q", "message-ttl: 100, " DEAD_LETTERS));
    publish_numbered("q", 2, 2);
    expect_dead("2", "expired");
    expect_get(ch, "q", "1", NO_ACK);
}
END_TEST

/* What is delivered keeps the time that it has, or has none. */
START_TEST(new_visibility_timeout_counts_for_what_is_delivered)
{
    given(HEAD);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    expect_get(ch, "q", "1", 0);
    reload(HEAD "policies:\n" POLICY("p", "^q", "visibility-timeout: 20"));
    publish_numbered("q", 2, 2);
    expect_get(ch, "q", "2", 0);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "2", REDELIVERED | NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(new_consumer_timeout_counts_for_what_is_unacknowledged)
{
    struct channel *slow;

    given(HEAD);
    slow = open_channel(ch->client);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    expect_get(slow, "q", "1", 0);
    reload(HEAD "policies:\n" POLICY("p", "^q", "consumer-timeout: 50"));
    slow->last_sent = 0;
    expect_channel_error(slow, 406,
                         "PRECONDITION_FAILED - delivery acknowledgement on channel 3 timed out. "
                         "Timeout value used: 50 ms. *");
    expect_get(ch, "q", "1", REDELIVERED | NO_ACK);
}
END_TEST

/* Waits until the queue is gone, without using it. */
static void await_routed_nowhere(const char *queue)
{
    int64_t deadline = now_ms() + deadline_ms();

    for (;;) {
        publish_with(publisher, "", queue, MANDATORY, NULL, "x");
        if (next_method(publisher) == AMQP_BASIC_RETURN_METHOD)
            break;
        await_confirms(publisher);
        ck_assert(now_ms() < deadline);
    }
    expect_return(publisher, "x");
    await_confirms(publisher);
}

START_TEST(unused_queue_goes_when_its_new_time_is_over)
{
    given(HEAD);
    declare_queue(ch, "unused", 0, NO_ARGS);
    declare_queue(ch, "used", 0, NO_ARGS);
    consume(ch, "used", "c", 0, NO_ARGS);
    reload(HEAD "policies:\n" POLICY("p", "used", "expires: 200"));
    await_routed_nowhere("unused");
    publish(ch, "used", "a");
    expect_delivery(ch, "a", 0);
}
END_TEST

START_TEST(rejected_message_takes_the_way_that_the_policy_says_now)
{
    given(HEAD "policies:\n" POLICY("p", "^q", DEAD_LETTERS));
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "other", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_numbered("q", 1, 3);
    reject(ch, expect_delivery(ch, "1", 0).tag, 0);
    expect_dead("1", "rejected");

    reload(HEAD "policies:\n" POLICY("p", "^q",
                                     "dead-letter-exchange: '', "
                                     "dead-letter-routing-key: other"));
    reject(ch, expect_delivery(ch, "2", 0).tag, 0);
    await_message_count(ch, "other", 1);

    reload(HEAD);
    reject(ch, expect_delivery(ch, "3", 0).tag, 0);
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "other"), 1);
    ck_assert_uint_eq(message_count(ch, "dead"), 0);
}
END_TEST

START_TEST(delivery_limit_counts_for_messages_that_are_there)
{
    given(HEAD);
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    reject(ch, expect_delivery(ch, "1", 0).tag, REQUEUE);
    reload(HEAD "policies:\n" POLICY("p", "^q", "delivery-limit: 1, " DEAD_LETTERS));
    reject(ch, expect_delivery(ch, "1", REDELIVERED).tag, REQUEUE);
    expect_dead("1", "delivery_limit");
}
END_TEST

/* Publishes one message; returns whether the queue took it. */
static bool is_taken(const char *queue)
{
    bool multiple;

    publish(publisher, queue, "x");
    if (next_method(publisher) == AMQP_BASIC_NACK_METHOD) {
        expect_confirm_nack(publisher);
        return false;
    }
    expect_confirm(publisher, &multiple);
    return true;
}

/* What waits to be confirmed takes room in its queue; without the policy it is dropped. */
START_TEST(letters_wait_for_as_long_as_the_policy_says)
{
    int64_t deadline = now_ms() + deadline_ms();

    given(HEAD
          "policies:\n" POLICY("p", "^q", "dead-letter-strategy: at-least-once, " DEAD_LETTERS));
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-max-length", 1),
                       arg_string("x-overflow", "reject-publish")));
    ck_assert(is_taken("q"));
    reject(ch, expect_get(ch, "q", "x", 0).tag, 0);
    await_message_count(ch, "q", 0);
    ck_assert(!is_taken("q"));
    declare_queue(ch, "dead", 0, NO_ARGS);
    expect_dead("x", "rejected");
    delete_queue(ch, "dead", 0);
    while (!is_taken("q"))
        ck_assert(now_ms() < deadline);

    reject(ch, expect_get(ch, "q", "x", 0).tag, 0);
    await_message_count(ch, "q", 0);
    ck_assert(!is_taken("q"));
    reload(HEAD "policies: []\n");
    ck_assert(broker_log_awaits(broker, "1 dead letters of queue 'q' in vhost '/' that were not "
                                        "confirmed are dropped"));
    while (!is_taken("q"))
        ck_assert(now_ms() < deadline);
}
END_TEST

/* ---- What comes and goes again ----
 *
 * By command, on a queue that has a consumer. What does not happen any more is held against what
 * happens later: an expiration, or a time that would have ended several times over. */

enum { LONGER_MS = 200 }; /* than the 40 ms of the policies */

static void set_policy(char *definition)
{
    char *const arguments[] = {"-q", "set_policy", "live", "^q$", definition, NULL};
    char output[1024];

    ck_assert(broker_log_awaits(broker, "is ready"));
    ck_assert_msg(leveretctl_run(broker, arguments, output, sizeof(output)) == 0, "%s", output);
}

static void clear_policy(void)
{
    char *const arguments[] = {"-q", "clear_policy", "live", NULL};
    char output[1024];

    ck_assert_msg(leveretctl_run(broker, arguments, output, sizeof(output)) == 0, "%s", output);
}

/* An acknowledgement may be too late; then the next delivery is under way when the queue, which is
 * asked twice, has answered. */
static void ack_what_comes_again(const char *body)
{
    do {
        ack(ch, expect_delivery(ch, body, REDELIVERED).tag, 0);
        message_count(ch, "q");
        message_count(ch, "q");
    } while (something_comes(ch, 0));
}

START_TEST(visibility_timeout_comes_to_a_consumer_and_goes)
{
    struct delivery d;

    given(HEAD);
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    d = expect_delivery(ch, "1", 0);
    set_policy("{\"visibility-timeout\": 40}");
    publish_numbered("q", 2, 2);
    expect_delivery(ch, "2", 0);
    expect_delivery(ch, "2", REDELIVERED);
    clear_policy();
    ack_what_comes_again("2");
    publish_numbered("q", 3, 3);
    expect_delivery(ch, "3", 0);
    ck_assert(!something_comes(ch, LONGER_MS));
    ack(ch, d.tag, 0);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(consumer_timeout_comes_to_a_consumer_and_goes)
{
    struct channel *slow;

    given(HEAD);
    slow = open_channel(ch->client);
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(slow, "q", "c", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    expect_delivery(slow, "1", 0);
    set_policy("{\"consumer-timeout\": 40}");
    slow->last_sent = 0;
    expect_channel_error(slow, 406,
                         "PRECONDITION_FAILED - delivery acknowledgement on channel 3 timed out. "
                         "Timeout value used: 40 ms. *");
    clear_policy();
    reopen_channel(slow);
    consume(slow, "q", "c", 0, NO_ARGS);
    expect_delivery(slow, "1", REDELIVERED);
    ck_assert(!something_comes(slow, LONGER_MS));
    publish_numbered("q", 2, 2);
    expect_delivery(slow, "2", 0);
}
END_TEST

START_TEST(time_to_live_comes_to_a_queue_and_goes)
{
    given(HEAD);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    set_policy("{\"message-ttl\": 40}");
    publish_numbered("q", 2, 4);
    await_message_count(ch, "q", 1);
    clear_policy();
    publish_numbered("q", 5, 5);
    publish_with(publisher, "", "q", 0,
                 PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("200")), "6");
    await_confirms(publisher);
    await_message_count(ch, "q", 2);
    expect_get(ch, "q", "1", NO_ACK);
    expect_get(ch, "q", "5", NO_ACK);
}
END_TEST

START_TEST(length_limit_comes_to_a_queue_and_goes)
{
    given(HEAD);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbered("q", 1, 5);
    set_policy("{\"max-length\": 2}");
    await_message_count(ch, "q", 2);
    publish_numbered("q", 6, 6);
    ck_assert_uint_eq(message_count(ch, "q"), 2);
    clear_policy();
    publish_numbered("q", 7, 9);
    ck_assert_uint_eq(message_count(ch, "q"), 5);
    expect_get(ch, "q", "5", NO_ACK);
}
END_TEST

START_TEST(delivery_limit_comes_to_a_consumer_and_goes)
{
    given(HEAD);
    declare_queue(ch, "q", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_numbered("q", 1, 1);
    reject(ch, expect_delivery(ch, "1", 0).tag, REQUEUE);
    reject(ch, expect_delivery(ch, "1", REDELIVERED).tag, REQUEUE);
    expect_delivery(ch, "1", REDELIVERED);
    set_policy("{\"delivery-limit\": 1}");
    publish_numbered("q", 2, 2);
    reject(ch, expect_delivery(ch, "2", 0).tag, REQUEUE);
    reject(ch, expect_delivery(ch, "2", REDELIVERED).tag, REQUEUE);
    expect_nothing(ch, "q");
    clear_policy();
    publish_numbered("q", 3, 3);
    reject(ch, expect_delivery(ch, "3", 0).tag, REQUEUE);
    for (int i = 0; i < 5; i++)
        reject(ch, expect_delivery(ch, "3", REDELIVERED).tag, REQUEUE);
    expect_delivery(ch, "3", REDELIVERED);
}
END_TEST

START_TEST(exchange_gets_an_alternate_and_loses_it)
{
    given(HEAD);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    declare_exchange(ch, "ae", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "ae", "", NO_ARGS);
    publish_with(publisher, "x", "nowhere", MANDATORY, NULL, "1");
    expect_return(publisher, "1");
    await_confirms(publisher);
    reload(HEAD "policies:\n" POLICY("p", "^x$", "alternate-exchange: ae"));
    publish_with(publisher, "x", "nowhere", MANDATORY, NULL, "2");
    await_confirms(publisher);
    await_message_count(ch, "q", 1);
    reload(HEAD);
    publish_with(publisher, "x", "nowhere", MANDATORY, NULL, "3");
    expect_return(publisher, "3");
    await_confirms(publisher);
}
END_TEST

START_TEST(every_queue_follows)
{
    enum { QUEUES = 120 };
    struct channel *others[3];
    char name[16];

    given(HEAD);
    for (int i = 0; i < 3; i++)
        others[i] = connect_channel();
    for (int i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        declare_queue(others[i % 3], name, 0, NO_ARGS);
        publish_numbered(name, 1, 3);
    }
    reload(HEAD
           "policies:\n" POLICY("p", "^q.*[02468]$", "max-length: 1") "operator_policies:\n" POLICY(
               "o", "^q.*5$", "max-length: 2"));
    for (int i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        ck_assert_uint_eq(message_count(ch, name), i % 2 == 0 ? 1 : i % 10 == 5 ? 2 : 3);
    }
    for (int i = 0; i < 3; i++)
        close_client(others[i]->client);
}
END_TEST

/* Declares, fills and deletes queues until it is told to stop. */
static atomic_bool enough;

static void *churn(void *context)
{
    struct channel *own = context;
    char name[16];

    for (unsigned i = 0; !atomic_load(&enough); i++) {
        snprintf(name, sizeof(name), "q%u", i % 50);
        if (i % 50 >= 40)
            send_queue_delete(own, name, NO_WAIT);
        else
            send_queue_declare(own, name, i % 50 % 3 == 0 ? AUTO_DELETE : 0, NO_ARGS);
        for (int n = 0; n < 20; n++)
            publish(own, name, "x");
        snprintf(name, sizeof(name), "q%u", (i * 7) % 50);
        send_queue_delete(own, name, NO_WAIT);
        if (i % 10 == 0)
            declare_queue(own, "other", 0, NO_ARGS);
    }
    return NULL;
}

/* Queues come and go while every worker walks over them, and what they drop goes to others. */
START_TEST(policies_change_while_queues_come_and_go)
{
    static const char *const configs[] = {
        HEAD "policies:\n" POLICY("p", "^q", "max-length: 5, expires: 50, " DEAD_LETTERS),
        HEAD "policies:\n" POLICY("p", "^q", "max-length: 1, message-ttl: 10"),
        HEAD "operator_policies:\n" POLICY("o", "q.*[1-5]$", "max-length: 2"),
        HEAD,
    };
    enum { CLIENTS = 3, RELOADS = 12 };
    struct channel *clients[CLIENTS];
    pthread_t threads[CLIENTS];

    given(HEAD);
    declare_queue(ch, "dead", 0, ARGS(arg_int("x-max-length", 100)));
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_channel();
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, clients[i]), 0);
    }
    for (int i = 0; i < RELOADS; i++)
        reload(configs[i % 4]);
    atomic_store(&enough, true);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    declare_queue(ch, "q-last", 0, NO_ARGS);
    publish_numbered("q-last", 1, 9);
    await_message_count(ch, "q-last", 9);
    for (int i = 0; i < CLIENTS; i++)
        close_client(clients[i]->client);
}
END_TEST

/* ---- What is listed ---- */

static void expect_listed(char *const arguments[], const char *expected)
{
    static char output[4096];

    ck_assert(broker_log_awaits(broker, "is ready"));
    ck_assert_int_eq(leveretctl_run(broker, arguments, output, sizeof(output)), 0);
    ck_assert_str_eq(output, expected);
}

START_TEST(what_applies_is_listed)
{
    static char *const queues[] = {
        "list_queues", "-s", "name", "policy", "operator_policy", "effective_policy_definition",
        NULL};
    static char *const exchanges[] = {"list_exchanges", "-s", "name", "policy", NULL};

    given(HEAD "policies:\n" POLICY("p", "^q", "max-length: 7, overflow: reject-publish") POLICY(
        "x", "^amq.(t|d)",
        "alternate-exchange: amq.fanout") "operator_policies:\n" POLICY("o", "^q2",
                                                                        "max-length: 3"));
    declare_queue(ch, "other", 0, NO_ARGS);
    declare_queue(ch, "q1", 0, NO_ARGS);
    declare_queue(ch, "q2", 0, NO_ARGS);
    expect_listed(queues, "other\t\t\t{}\n"
                          "q1\tp\t\t{\"max-length\":7,\"overflow\":\"reject-publish\"}\n"
                          "q2\tp\to\t{\"max-length\":3,\"overflow\":\"reject-publish\"}\n");
    expect_listed(exchanges, "\t\n"
                             "amq.direct\tx\n"
                             "amq.fanout\t\n"
                             "amq.headers\t\n"
                             "amq.lease\t\n"
                             "amq.match\t\n"
                             "amq.topic\tx\n");
}
END_TEST

/* ---- What is wrong ---- */

START_TEST(wrong_policy_leaves_the_former_ones_in_force)
{
    given(HEAD "policies:\n" POLICY("p", "^q", "max-length: 2"));
    declare_queue(ch, "q", 0, NO_ARGS);
    broker_reload(broker, HEAD "policies:\n" POLICY("p", "^q", "max-lenght: 1"));
    ck_assert(broker_log_awaits(
        broker, "policy 'p' in vhost '/': 'max-lenght' is not a recognised setting"));
    publish_numbered("q", 1, 3);
    await_message_count(ch, "q", 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("policies");
    TCase *tcase = wire_tcase(suite, "policies");

    tcase_add_test(tcase, declared_queue_obeys_policies_and_arguments);
    tcase_add_test(tcase, redeclaration_compares_arguments_alone);
    tcase_add_test(tcase, new_limit_drops_what_is_too_much);
    tcase_add_test(tcase, limit_counts_while_the_queue_is_used);
    tcase_add_test(tcase, limit_with_reject_publish_refuses_and_drops_nothing);
    tcase_add_test(tcase, new_time_to_live_counts_for_what_comes);
    tcase_add_test(tcase, new_visibility_timeout_counts_for_what_is_delivered);
    tcase_add_test(tcase, new_consumer_timeout_counts_for_what_is_unacknowledged);
    tcase_add_test(tcase, unused_queue_goes_when_its_new_time_is_over);
    tcase_add_test(tcase, rejected_message_takes_the_way_that_the_policy_says_now);
    tcase_add_test(tcase, delivery_limit_counts_for_messages_that_are_there);
    tcase_add_test(tcase, letters_wait_for_as_long_as_the_policy_says);
    tcase_add_test(tcase, visibility_timeout_comes_to_a_consumer_and_goes);
    tcase_add_test(tcase, consumer_timeout_comes_to_a_consumer_and_goes);
    tcase_add_test(tcase, time_to_live_comes_to_a_queue_and_goes);
    tcase_add_test(tcase, length_limit_comes_to_a_queue_and_goes);
    tcase_add_test(tcase, delivery_limit_comes_to_a_consumer_and_goes);
    tcase_add_test(tcase, exchange_gets_an_alternate_and_loses_it);
    tcase_add_test(tcase, every_queue_follows);
    tcase_add_test(tcase, policies_change_while_queues_come_and_go);
    tcase_add_test(tcase, what_applies_is_listed);
    tcase_add_test(tcase, wrong_policy_leaves_the_former_ones_in_force);
    return suite;
}

int main(void)
{
    if (against_oracle())
        return 77; /* automake's code for a skipped test */
    return wire_main(make_suite, HEAD);
}
