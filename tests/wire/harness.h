/* What the wire tests are written in: clients, channels and what is expected to come over them,
 * in the words of the domain, over librabbitmq.
 *
 *     struct channel *ch = connect_channel();
 *
 *     declare_queue(ch, "orders", 0, NO_ARGS);
 *     publish(ch, "orders", "a");
 *     consume(ch, "orders", "c", 0, NO_ARGS);
 *     expect_delivery(ch, "a", 0);
 *
 * Every function that waits does so up to deadline_ms and then fails the test, with the line of
 * the test that waited. Expectations are strict: what comes next on the channel must be what is
 * expected; anything else is a failure that names what came. A call that waits for its reply
 * (declare_queue, …) keeps deliveries, returns and confirms that come before it, in order, for
 * the expectations that follow.
 *
 * A program's tests share one broker, but each starts without the queues and exchanges of those
 * before: the harness remembers what was declared and deletes it.
 *
 * A client belongs to one thread. All memory of a client (deliveries, names) lives until the
 * client goes. */
#ifndef LEVERET_TESTS_WIRE_HARNESS_H
#define LEVERET_TESTS_WIRE_HARNESS_H

#include <amqp.h>
#include <amqp_framing.h>
#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/wire/broker_process.h"

struct client;

struct channel {
    struct client *client;
    uint16_t number;
    amqp_method_number_t last_sent; /* what an error of this channel is held to name */
    uint64_t published;             /* since confirm_select */
    uint64_t confirmed;             /* all up to this one */
    bool confirming;
    bool open;
};

/* Flags of all calls; each takes those that its method has. */
enum {
    PASSIVE = 1 << 0,
    DURABLE = 1 << 1,
    EXCLUSIVE = 1 << 2,
    AUTO_DELETE = 1 << 3,
    INTERNAL = 1 << 4,
    NO_WAIT = 1 << 5,
    IF_UNUSED = 1 << 6,
    IF_EMPTY = 1 << 7,
    NO_ACK = 1 << 8,
    NO_LOCAL = 1 << 9,
    MANDATORY = 1 << 10,
    IMMEDIATE = 1 << 11,
    MULTIPLE = 1 << 12,
    REQUEUE = 1 << 13,
    REDELIVERED = 1 << 14,
    GLOBAL = 1 << 15,
    ANY_REDELIVERED = 1 << 16, /* of an expected delivery: redelivered or not */
};

struct delivery {
    uint64_t tag;
    bool redelivered;
    uint32_t message_count;   /* of basic.get-ok */
    const char *consumer_tag; /* NULL from basic.get */
    const char *exchange;
    const char *routing_key;
    const char *body;
    size_t body_size;
    const amqp_basic_properties_t *properties;
};

/* A test program's main. Starts a broker with `config` (NULL: TEST_CONFIG), runs the suite that
 * `make` makes and stops it; once for each number in LEVERET_TEST_WORKERS (default "1 4"), or once
 * against the oracle. Returns what main returns. */
int wire_main(Suite *(*make)(void), const char *config);

/* As wire_main, without a broker: each test starts its own, and makes its tcase itself. */
int wire_main_alone(Suite *(*make)(void));

/* A tcase of the suite with the harness's setup, teardown and time-out. */
TCase *wire_tcase(Suite *suite, const char *name);

/* The configuration of tests that don't need one of their own: users guest (all permissions),
 * limited (all three '^mine'), reader (read only), without_configure, without_write and
 * without_read (the other two), visitor (all permissions, in vhost other), impersonator (all
 * permissions, and the tag) and nobody (no permissions), each with password NAME-pw except guest's;
 * vhosts / and other; short handshake time-out, messages up to 1 MiB. */
extern const char TEST_CONFIG[];

enum { TEST_MAX_MESSAGE_SIZE = 1024 * 1024, TEST_HANDSHAKE_TIMEOUT_MS = 2000 };

/* The program's shared broker. */
struct broker *test_broker(void);

/* Ends the test when it runs against the oracle; `reason` says how the two differ. */
#define SKIP_WITH_ORACLE(reason) \
    do { \
        if (against_oracle()) \
            return; \
    } while (0)

/* ---- Clients and channels ---- */

struct client *connect_client(void);
struct client *connect_client_as(const char *user, const char *password, const char *vhost);
struct client *connect_client_to(const struct broker *b);
struct client *connect_client_tuned(const struct broker *b, const char *user, const char *password,
                                    const char *vhost, int channel_max, int frame_max,
                                    int heartbeat_s);

/* Like connect_client_as, and tells librabbitmq's reply instead of failing. */
amqp_rpc_reply_t try_connect(const struct broker *b, const char *user, const char *password,
                             const char *vhost);

/* How librabbitmq speaks TLS. */
struct client_tls {
    uint16_t port;
    const char *ca;
    const char *certificate; /* NULL: it shows none */
    const char *key;
    bool external; /* logs in with EXTERNAL instead of PLAIN */
};

/* From now on clients connect in this way, or without TLS again (NULL). Borrowed. */
void use_tls(const struct client_tls *tls);

/* connection.close and its ok; the client is released. */
void close_client(struct client *c);

/* Closes the socket without a word; the client is released. */
void drop_client(struct client *c);

/* librabbitmq's connection, for what has no words here. */
amqp_connection_state_t client_connection(struct client *c);

/* Gives librabbitmq's buffers back: for clients that live long. No event may be unread, and what
 * was returned before is invalid. */
void recycle_client(struct client *c);

struct channel *open_channel(struct client *c);
struct channel *open_channel_number(struct client *c, uint16_t number);
struct channel *connect_channel(void);
struct channel *connect_channel_as(const char *user, const char *password);
void close_channel(struct channel *ch);
void reopen_channel(struct channel *ch);

/* ---- Arguments and properties ---- */

#define NO_ARGS ((amqp_table_t){0, NULL})
#define ARGS(...) \
    ((amqp_table_t){.num_entries = (int)(sizeof((amqp_table_entry_t[]){__VA_ARGS__}) / \
                                         sizeof(amqp_table_entry_t)), \
                    .entries = (amqp_table_entry_t[]){__VA_ARGS__}})

amqp_table_entry_t arg_string(const char *key, const char *value);
amqp_table_entry_t arg_int(const char *key, int32_t value);
amqp_table_entry_t arg_long(const char *key, int64_t value);
amqp_table_entry_t arg_byte(const char *key, int8_t value);
amqp_table_entry_t arg_short(const char *key, int16_t value);
amqp_table_entry_t arg_double(const char *key, double value);
amqp_table_entry_t arg_float(const char *key, float value);
amqp_table_entry_t arg_bool(const char *key, bool value);
amqp_table_entry_t arg_void(const char *key);
amqp_table_entry_t arg_timestamp(const char *key, uint64_t value);
amqp_table_entry_t arg_table(const char *key, amqp_table_t value);
/* An array of strings; the list ends with NULL. */
amqp_table_entry_t arg_strings(const char *key, ...) __attribute__((sentinel));

#define PROPS(flags, ...) (&(amqp_basic_properties_t){._flags = (flags), __VA_ARGS__})
#define HEADERS(...) PROPS(AMQP_BASIC_HEADERS_FLAG, .headers = ARGS(__VA_ARGS__))
amqp_bytes_t text(const char *s);

/* A header of a delivery, or NULL. */
const amqp_field_value_t *header(const struct delivery *d, const char *key);
const amqp_field_value_t *table_field(const amqp_table_t *table, const char *key);
bool field_is_string(const amqp_field_value_t *value, const char *expected);
/* The field is an integer of any width. */
bool field_is_int(const amqp_field_value_t *value, int64_t expected);

/* ---- Methods ----
 *
 * send_X sends and returns at once; X sends, waits for the ok reply and fails on any other. */

void send_exchange_declare(struct channel *ch, const char *name, const char *type, int flags,
                           amqp_table_t args);
void send_exchange_delete(struct channel *ch, const char *name, int flags);
void send_exchange_bind(struct channel *ch, const char *destination, const char *source,
                        const char *key, int flags, amqp_table_t args);
void send_exchange_unbind(struct channel *ch, const char *destination, const char *source,
                          const char *key, int flags, amqp_table_t args);
void send_queue_declare(struct channel *ch, const char *name, int flags, amqp_table_t args);
void send_queue_delete(struct channel *ch, const char *name, int flags);
void send_queue_bind(struct channel *ch, const char *queue, const char *exchange, const char *key,
                     int flags, amqp_table_t args);
void send_queue_unbind(struct channel *ch, const char *queue, const char *exchange, const char *key,
                       amqp_table_t args);
void send_queue_purge(struct channel *ch, const char *name, int flags);
void send_consume(struct channel *ch, const char *queue, const char *tag, int flags,
                  amqp_table_t args);
void send_cancel(struct channel *ch, const char *tag, int flags);
void send_get(struct channel *ch, const char *queue, int flags);
void send_qos(struct channel *ch, uint16_t count, int flags);
void send_recover(struct channel *ch, int flags);
void send_confirm_select(struct channel *ch, int flags);
void send_tx_select(struct channel *ch);
void send_tx_commit(struct channel *ch);
void send_tx_rollback(struct channel *ch);
void send_flow(struct channel *ch, bool active);
void send_method(struct channel *ch, amqp_method_number_t method, void *fields);

#define declare_exchange(...) (HERE, declare_exchange_(__VA_ARGS__))
#define delete_exchange(...) (HERE, delete_exchange_(__VA_ARGS__))
#define bind_exchange(...) (HERE, bind_exchange_(__VA_ARGS__))
#define unbind_exchange(...) (HERE, unbind_exchange_(__VA_ARGS__))
/* Returns the queue's name, also one that the server made. */
#define declare_queue(...) (HERE, declare_queue_(__VA_ARGS__))
/* Returns the number of messages that went. */
#define delete_queue(...) (HERE, delete_queue_(__VA_ARGS__))
#define bind_queue(...) (HERE, bind_queue_(__VA_ARGS__))
#define unbind_queue(...) (HERE, unbind_queue_(__VA_ARGS__))
#define purge_queue(...) (HERE, purge_queue_(__VA_ARGS__))
/* As a passive declare tells them. */
#define message_count(...) (HERE, message_count_(__VA_ARGS__))
#define consumer_count(...) (HERE, consumer_count_(__VA_ARGS__))
/* Asks until the queue has that many ready messages. */
#define await_message_count(...) (HERE, await_message_count_(__VA_ARGS__))
/* Asks until the queue is not there. */
#define await_queue_gone(...) (HERE, await_queue_gone_(__VA_ARGS__))
/* Returns the consumer tag, also one that the server made. */
#define consume(...) (HERE, consume_(__VA_ARGS__))
#define cancel(...) (HERE, cancel_(__VA_ARGS__))
#define qos(...) (HERE, qos_(__VA_ARGS__))
#define recover(...) (HERE, recover_(__VA_ARGS__))
#define confirm_select(...) (HERE, confirm_select_(__VA_ARGS__))
#define tx_select(...) (HERE, tx_select_(__VA_ARGS__))
#define tx_commit(...) (HERE, tx_commit_(__VA_ARGS__))
#define tx_rollback(...) (HERE, tx_rollback_(__VA_ARGS__))

void declare_exchange_(struct channel *ch, const char *name, const char *type, int flags,
                       amqp_table_t args);
void delete_exchange_(struct channel *ch, const char *name, int flags);
void bind_exchange_(struct channel *ch, const char *destination, const char *source,
                    const char *key, amqp_table_t args);
void unbind_exchange_(struct channel *ch, const char *destination, const char *source,
                      const char *key, amqp_table_t args);
const char *declare_queue_(struct channel *ch, const char *name, int flags, amqp_table_t args);
uint32_t delete_queue_(struct channel *ch, const char *name, int flags);
void bind_queue_(struct channel *ch, const char *queue, const char *exchange, const char *key,
                 amqp_table_t args);
void unbind_queue_(struct channel *ch, const char *queue, const char *exchange, const char *key,
                   amqp_table_t args);
uint32_t purge_queue_(struct channel *ch, const char *name);
uint32_t message_count_(struct channel *ch, const char *queue);
uint32_t consumer_count_(struct channel *ch, const char *queue);
void await_message_count_(struct channel *ch, const char *queue, uint32_t count);
void await_queue_gone_(struct channel *ch, const char *queue);
const char *consume_(struct channel *ch, const char *queue, const char *tag, int flags,
                     amqp_table_t args);
void cancel_(struct channel *ch, const char *tag);
void qos_(struct channel *ch, uint16_t count, int flags);
void recover_(struct channel *ch, int flags);
void confirm_select_(struct channel *ch);
void tx_select_(struct channel *ch);
void tx_commit_(struct channel *ch);
void tx_rollback_(struct channel *ch);

/* ---- Messages ---- */

/* To a queue, through the default exchange. */
void publish(struct channel *ch, const char *queue, const char *body);
void publish_to(struct channel *ch, const char *exchange, const char *key, const char *body);
void publish_with(struct channel *ch, const char *exchange, const char *key, int flags,
                  const amqp_basic_properties_t *properties, const char *body);
void publish_bytes(struct channel *ch, const char *exchange, const char *key, int flags,
                   const amqp_basic_properties_t *properties, const void *body, size_t size);

void ack(struct channel *ch, uint64_t tag, int flags);
void nack(struct channel *ch, uint64_t tag, int flags);
void reject(struct channel *ch, uint64_t tag, int flags);

/* ---- Expectations ---- */

/* The next event is a delivery of `body` (NULL: any), with REDELIVERED or without. */
#define expect_delivery(...) (HERE, expect_delivery_(__VA_ARGS__))
/* The same, to the consumer `tag`. */
#define expect_delivery_to(...) (HERE, expect_delivery_to_(__VA_ARGS__))
/* basic.get answers with `body`; flags NO_ACK and REDELIVERED. */
#define expect_get(...) (HERE, expect_get_(__VA_ARGS__))
#define expect_get_empty(...) (HERE, expect_get_empty_(__VA_ARGS__))
/* basic.return with 312 NO_ROUTE. */
#define expect_return(...) (HERE, expect_return_(__VA_ARGS__))
/* The broker's basic.cancel. */
#define expect_cancel(...) (HERE, expect_cancel_(__VA_ARGS__))
/* basic.ack of the broker; returns its tag, with `multiple` said. */
#define expect_confirm(...) (HERE, expect_confirm_(__VA_ARGS__))
#define expect_confirm_nack(...) (HERE, expect_confirm_nack_(__VA_ARGS__))
/* Waits until all that was published since confirm_select is acked. */
#define await_confirms(...) (HERE, await_confirms_(__VA_ARGS__))
/* Nothing has come on `ch`, and what `queue`'s home sent before now has: two questions to the
 * queue make sure. NULL for `queue` asks the channel only. */
#define expect_nothing(...) (HERE, expect_nothing_(__VA_ARGS__))
/* channel.close with this code and text; a text that ends in '*' is held to its beginning. The
 * close must name the method that was sent last. Answers close-ok. */
#define expect_channel_error(...) (HERE, expect_channel_error_(__VA_ARGS__))
/* connection.close likewise, naming `method` (0: none); then the socket's end. */
#define expect_connection_error(...) (HERE, expect_connection_error_(__VA_ARGS__))
/* A method comes next; returns its fields, as in amqp_framing.h. */
#define expect_method(...) (HERE, expect_method_(__VA_ARGS__))
/* A method comes, perhaps after others that are kept. */
#define expect_reply(...) (HERE, expect_reply_(__VA_ARGS__))
/* Whether something came within the time given. */
#define something_comes(...) (HERE, something_comes_(__VA_ARGS__))
/* The next event's method without taking it, waiting for it. */
#define next_method(...) (HERE, next_method_(__VA_ARGS__))

struct delivery expect_delivery_(struct channel *ch, const char *body, int flags);
struct delivery expect_delivery_to_(struct channel *ch, const char *tag, const char *body,
                                    int flags);
struct delivery expect_get_(struct channel *ch, const char *queue, const char *body, int flags);
void expect_get_empty_(struct channel *ch, const char *queue);
struct delivery expect_return_(struct channel *ch, const char *body);
void expect_cancel_(struct channel *ch, const char *tag);
uint64_t expect_confirm_(struct channel *ch, bool *multiple);
uint64_t expect_confirm_nack_(struct channel *ch);
void await_confirms_(struct channel *ch);
void expect_nothing_(struct channel *ch, const char *queue);
void expect_channel_error_(struct channel *ch, int code, const char *reason);
void expect_connection_error_(struct client *c, int code, const char *reason,
                              amqp_method_number_t method);
void *expect_method_(struct channel *ch, amqp_method_number_t method);
void *expect_reply_(struct channel *ch, amqp_method_number_t method);
bool something_comes_(struct channel *ch, int timeout_ms);
amqp_method_number_t next_method_(struct channel *ch);

/* The text matches a pattern as expect_channel_error has it. */
bool text_matches(const char *text, const char *pattern);

/* Fails the test at the place that HERE noted. */
void fail_here(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The case of a table that the test is about: named in its failures. */
void harness_case(const char *name);

/* Notes the place in the test that speaks. */
#define HERE harness_at(__FILE__, __LINE__)
void harness_at(const char *file, int line);

#endif
