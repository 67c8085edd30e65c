/* Direct reply-to: answers that need no queue. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/raw.h"

#define REPLY_TO "amq.rabbitmq.reply-to"

static const amqp_basic_properties_t *asking(void)
{
    static const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
        .reply_to = {sizeof(REPLY_TO) - 1, (void *)(uintptr_t)REPLY_TO},
        .correlation_id = {1, (void *)(uintptr_t) "7"},
    };

    return &properties;
}

/* The reply_to of a request, as the server made it. */
static const char *reply_address(const struct delivery *d)
{
    static char name[256];

    ck_assert_uint_ne(d->properties->_flags & AMQP_BASIC_REPLY_TO_FLAG, 0);
    ck_assert_uint_lt(d->properties->reply_to.len, sizeof(name));
    memcpy(name, d->properties->reply_to.bytes, d->properties->reply_to.len);
    name[d->properties->reply_to.len] = '\0';
    return name;
}

static const char *ask(struct channel *asker, struct channel *server, const char *body)
{
    struct delivery d;

    publish_with(asker, "", "requests", 0, asking(), body);
    d = expect_delivery(server, body, 0);
    ck_assert_mem_eq(d.properties->correlation_id.bytes, "7", 1);
    return reply_address(&d);
}

static struct channel *given_server(void)
{
    struct channel *server = connect_channel();

    declare_queue(server, "requests", 0, NO_ARGS);
    consume(server, "requests", "server", NO_ACK, NO_ARGS);
    return server;
}

START_TEST(answer_reaches_the_asker)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    const char *address;
    struct delivery d;

    consume(asker, REPLY_TO, "replies", NO_ACK, NO_ARGS);
    address = ask(asker, server, "question");
    ck_assert_int_eq(strncmp(address, REPLY_TO ".", strlen(REPLY_TO) + 1), 0);
    publish_with(server, "", address, 0,
                 PROPS(AMQP_BASIC_CORRELATION_ID_FLAG, .correlation_id = text("7")), "answer");
    d = expect_delivery_to(asker, "replies", "answer", 0);
    ck_assert_str_eq(d.exchange, "");
    ck_assert_str_eq(d.routing_key, address);
    ck_assert_mem_eq(d.properties->correlation_id.bytes, "7", 1);
}
END_TEST

START_TEST(every_asker_gets_its_own_answers)
{
    enum { ASKERS = 8 };
    struct channel *server = given_server();
    struct channel *askers[ASKERS];

    for (int i = 0; i < ASKERS; i++) {
        askers[i] = connect_channel();
        consume(askers[i], REPLY_TO, "", NO_ACK, NO_ARGS);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < ASKERS; i++) {
            const char body[] = {(char)('a' + i), (char)('a' + round), '\0'};

            publish(server, ask(askers[i], server, body), body);
            expect_delivery(askers[i], body, 0);
        }
    }
}
END_TEST

/* A reply address is no queue: RabbitMQ, "Direct Reply-to", caveats. */
START_TEST(mandatory_answer_returns_also_when_it_is_delivered)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    publish_with(server, "", address, MANDATORY, NULL, "one");
    expect_delivery(asker, "one", 0);
    expect_return(server, "one");
    close_client(asker->client);
    confirm_select(server);
    publish_with(server, "", address, MANDATORY, NULL, "late");
    expect_return(server, "late");
    expect_confirm(server, NULL);
}
END_TEST

START_TEST(passive_declare_tells_whether_an_asker_lives)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    ck_assert_uint_eq(consumer_count(server, address), 1);
    send_queue_declare(server, address, 0, NO_ARGS);
    expect_method(server, AMQP_QUEUE_DECLARE_OK_METHOD);
    close_client(asker->client);
    send_queue_declare(server, address, PASSIVE, NO_ARGS);
    expect_channel_error(server, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.*");
}
END_TEST

/* It is there for everybody, and nobody makes it. */
START_TEST(declare_of_the_name_itself_is_fine)
{
    struct channel *ch = connect_channel();

    ck_assert_uint_eq(consumer_count(ch, REPLY_TO), 1);
    send_queue_declare(ch, REPLY_TO, DURABLE | EXCLUSIVE, ARGS(arg_int("x-message-ttl", -1)));
    ck_assert_uint_eq(((amqp_queue_declare_ok_t *)expect_method(ch, AMQP_QUEUE_DECLARE_OK_METHOD))
                          ->consumer_count,
                      1);
}
END_TEST

START_TEST(second_reply_consumer_is_refused)
{
    struct channel *ch = connect_channel();

    consume(ch, REPLY_TO, "one", NO_ACK, NO_ARGS);
    send_consume(ch, REPLY_TO, "two", NO_ACK, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - reply consumer already set");
}
END_TEST

START_TEST(cancelled_reply_consumer_gets_nothing)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "r", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    cancel(asker, "r");
    publish(server, address, "late");
    expect_nothing(asker, "requests");
    publish_with(asker, "", "requests", 0, asking(), "again");
    expect_channel_error(asker, 406, "PRECONDITION_FAILED - fast reply consumer does not exist");
}
END_TEST

START_TEST(forged_addresses_reach_nobody)
{
    struct channel *asker = connect_channel();
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("it fails with 541 over a name that it did not make");
    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    publish_with(ch, "", REPLY_TO ".forged", MANDATORY, NULL, "a");
    expect_return(ch, "a");
    publish_with(ch, "", REPLY_TO ".g2dkAA9yZXBseUAxMjcuMC4wLjEAAAAAAAAAAAAAAAA=.AAAA", MANDATORY,
                 NULL, "b");
    expect_return(ch, "b");
    expect_nothing(asker, NULL);
}
END_TEST

/* It has the tag of the delivery that would come next, and does not count as one. */
START_TEST(answers_do_not_count_as_deliveries)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    declare_queue(asker, "q", 0, NO_ARGS);
    consume(asker, REPLY_TO, "replies", NO_ACK, NO_ARGS);
    consume(asker, "q", "c", 0, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    publish(server, "q", "a");
    ck_assert_uint_eq(expect_delivery_to(asker, "c", "a", 0).tag, 1);
    publish(server, address, "one");
    ck_assert_uint_eq(expect_delivery_to(asker, "replies", "one", 0).tag, 2);
    publish(server, address, "two");
    ck_assert_uint_eq(expect_delivery_to(asker, "replies", "two", 0).tag, 2);
    publish(server, "q", "b");
    ck_assert_uint_eq(expect_delivery_to(asker, "c", "b", 0).tag, 2);
    ack(asker, 2, MULTIPLE);
    expect_nothing(asker, "q");
}
END_TEST

START_TEST(further_keys_reach_askers)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    struct delivery d;
    char address[256];

    declare_queue(server, "q", 0, NO_ARGS);
    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));

    publish_with(server, "", "q", 0, HEADERS(arg_strings("CC", address, NULL)), "cc");
    d = expect_delivery(asker, "cc", 0);
    ck_assert_str_eq(d.routing_key, "q");
    expect_get(server, "q", "cc", NO_ACK);

    publish_with(server, "", "nowhere", 0, HEADERS(arg_strings("CC", address, NULL)), "cc alone");
    expect_delivery(asker, "cc alone", 0);

    publish_with(server, "", "nowhere", 0, HEADERS(arg_strings("BCC", address, NULL)), "bcc");
    d = expect_delivery(asker, "bcc", 0);
    ck_assert_str_eq(d.routing_key, "nowhere");
    ck_assert_ptr_null(header(&d, "BCC"));

    publish_with(server, "", address, 0, HEADERS(arg_strings("CC", "q", NULL)), "the other way");
    expect_delivery(asker, "the other way", 0);
    expect_get(server, "q", "the other way", NO_ACK);
}
END_TEST

START_TEST(asker_under_several_keys_gets_one_answer)
{
    struct channel *server = given_server();
    struct channel *askers[] = {connect_channel(), connect_channel()};
    char addresses[2][256];

    for (int i = 0; i < 2; i++) {
        consume(askers[i], REPLY_TO, "", NO_ACK, NO_ARGS);
        strcpy(addresses[i], ask(askers[i], server, "question"));
    }
    confirm_select(server);
    publish_with(server, "", addresses[0], 0,
                 HEADERS(arg_strings("CC", addresses[1], addresses[0], addresses[1], NULL),
                         arg_strings("BCC", addresses[0], NULL)),
                 "a");
    await_confirms(server);
    for (int i = 0; i < 2; i++) {
        expect_delivery(askers[i], "a", 0);
        expect_nothing(askers[i], "requests");
    }
}
END_TEST

/* The default exchange alone knows askers. */
START_TEST(other_exchanges_reach_no_asker)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    publish_with(server, "amq.direct", address, MANDATORY,
                 HEADERS(arg_strings("CC", address, NULL)), "a");
    expect_return(server, "a");
    expect_nothing(asker, "requests");
}
END_TEST

/* ---- Askers that do not read ---- */

enum {
    ANSWER_SIZE = 100000,
    ANSWERS = 400, /* 40 MB: more than what sockets and the broker hold */
    GROWTH_MAX_KIB = 32 * 1024,
    PATIENCE_MS = 500,
};

/* An answerer's connection, its answers in one piece, and what became of them. */
struct answers {
    struct raw *r;
    uint8_t *data;
    size_t size;
    size_t sent;
    bool settled[ANSWERS + 1];
    int acks;
    int nacks;
};

static void append(struct answers *a, unsigned type, const void *payload, size_t size)
{
    const uint8_t head[] = {
        (uint8_t)type, 0, 1, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
        (uint8_t)size};

    memcpy(a->data + a->size, head, sizeof(head));
    memcpy(a->data + a->size + sizeof(head), payload, size);
    a->data[a->size + sizeof(head) + size] = 0xCE;
    a->size += sizeof(head) + size + 1;
}

static void append_publish(struct answers *a, const char *queue)
{
    struct raw_bytes b = {.size = 0};

    put_u32(&b, AMQP_BASIC_PUBLISH_METHOD);
    put_u16(&b, 0);
    put_short_string(&b, "");
    put_short_string(&b, queue);
    put_u8(&b, 0);
    append(a, 1, b.data, b.size);
}

/* Answer i begins with its number. */
static void append_answer(struct answers *a, const char *address, int i)
{
    static char body[ANSWER_SIZE];
    struct raw_bytes b = {.size = 0};

    append_publish(a, address);
    put_u32(&b, 60 << 16);
    put_u64(&b, ANSWER_SIZE);
    put_u16(&b, 0);
    append(a, 2, b.data, b.size);
    memset(body, ' ', ANSWER_SIZE);
    snprintf(body, 16, "%d", i);
    append(a, 3, body, ANSWER_SIZE);
}

static void write_answers(struct answers *a, struct raw *r, const char *address)
{
    *a = (struct answers){.r = r, .data = malloc(ANSWERS * (ANSWER_SIZE + 512))};
    ck_assert_ptr_nonnull(a->data);
    for (int i = 0; i < ANSWERS; i++)
        append_answer(a, address, i);
}

static void given_answers(struct answers *a, const struct broker *b, const char *address)
{
    struct raw *r = raw_connect(b);

    raw_handshake(r);
    raw_open_channel(r, 1);
    raw_send_method(r, 1, AMQP_CONFIRM_SELECT_METHOD, &(struct raw_bytes){.data = {0}, .size = 1});
    raw_expect_method(r, 1, AMQP_CONFIRM_SELECT_OK_METHOD);
    write_answers(a, r, address);
}

/* Sends until all is out or the broker takes nothing for a while. */
static void send_some(struct answers *a, int patience_ms)
{
    while (a->sent < a->size) {
        struct pollfd p = {.fd = a->r->fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&p, 1, patience_ms) <= 0)
            return;
        n = send(a->r->fd, a->data + a->sent, a->size - a->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            ck_abort_msg("send: %s", strerror(errno));
        a->sent += n > 0 ? (size_t)n : 0;
    }
}

/* Reads one basic.ack or .nack. */
static void read_outcome(struct answers *a)
{
    struct raw_frame f = raw_read_frame(a->r);
    bool nacked = f.payload[3] == (AMQP_BASIC_NACK_METHOD & 0xFF);
    uint64_t tag = 0;

    ck_assert(f.type == 1 && f.payload[1] == 60 && (nacked || f.payload[3] == 80));
    for (int i = 4; i < 12; i++)
        tag = tag << 8 | f.payload[i];
    ck_assert_uint_le(tag, ANSWERS);
    for (uint64_t i = (f.payload[12] & 1) != 0 ? 1 : tag; i <= tag; i++) {
        if (a->settled[i])
            continue;
        a->settled[i] = true;
        *(nacked ? &a->nacks : &a->acks) += 1;
    }
}

static void send_the_rest(struct answers *a)
{
    send_some(a, deadline_ms());
    ck_assert_msg(a->sent == a->size, "the broker does not take the answers");
    while (a->acks + a->nacks < ANSWERS)
        read_outcome(a);
    free(a->data);
}

/* Asks, and does not read. */
static struct channel *sleeping_asker(const struct broker *b, struct channel *server,
                                      char address[256])
{
    struct channel *asker = open_channel(connect_client_to(b));
    int size = 32 * 1024;

    setsockopt(amqp_get_sockfd(client_connection(asker->client)), SOL_SOCKET, SO_RCVBUF, &size,
               sizeof(size));
    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    return asker;
}

/* Waits for answer i, sending meanwhile what the broker takes. */
static void expect_answer(struct channel *asker, struct answers *a, int i)
{
    int64_t deadline = now_ms() + deadline_ms();

    while (!something_comes(asker, 1)) {
        ck_assert_msg(now_ms() < deadline, "answer %d does not come", i);
        send_some(a, 0);
    }
    ck_assert_int_eq(atoi(expect_delivery(asker, NULL, 0).body), i);
}

START_TEST(answers_wait_for_an_asker_that_does_not_read)
{
    struct channel *server = given_server();
    struct channel *asker;
    struct answers a;
    char address[256];
    long before = 0;

    asker = sleeping_asker(test_broker(), server, address);
    given_answers(&a, test_broker(), address);
    if (!against_oracle())
        before = broker_resident_kib(test_broker());
    send_some(&a, PATIENCE_MS);
    if (!against_oracle()) {
        ck_assert_msg(a.sent < a.size, "the broker holds all that the asker does not read");
        if (!broker_is_sanitized())
            ck_assert_int_lt(broker_resident_kib(test_broker()) - before, GROWTH_MAX_KIB);
    }
    for (int i = 0; i < ANSWERS; i++)
        expect_answer(asker, &a, i);
    send_the_rest(&a);
    ck_assert_int_eq(a.acks, ANSWERS);
}
END_TEST

START_TEST(asker_that_is_lost_holds_nobody_up)
{
    struct channel *server = given_server();
    struct channel *asker;
    struct answers a;
    char address[256];

    asker = sleeping_asker(test_broker(), server, address);
    given_answers(&a, test_broker(), address);
    send_some(&a, PATIENCE_MS);
    drop_client(asker->client);
    send_the_rest(&a);
    ck_assert_int_eq(a.acks, ANSWERS);
}
END_TEST

/* The answers that its channel leaves behind count on: else closing it would be a way around. */
START_TEST(answers_of_a_closed_channel_hold_up_the_connection)
{
    struct channel *server = given_server();
    struct raw_bytes b = {.size = 0};
    struct channel *asker;
    struct answers a;
    char address[256];

    asker = sleeping_asker(test_broker(), server, address);
    given_answers(&a, test_broker(), address);
    put_u32(&b, AMQP_CHANNEL_CLOSE_METHOD);
    put_u16(&b, 200);
    put_short_string(&b, "");
    put_u32(&b, 0);
    append(&a, 1, b.data, b.size);
    send_some(&a, PATIENCE_MS);
    for (int i = 0; i < ANSWERS; i++)
        expect_answer(asker, &a, i);
    send_some(&a, deadline_ms());
    for (;;) {
        struct raw_frame f = raw_read_frame(a.r);

        if (f.payload[1] == 20 && f.payload[3] == 41)
            break;
        ck_assert(f.payload[1] == 60 && f.payload[3] == 80);
    }
    raw_open_channel(a.r, 1);
    free(a.data);
}
END_TEST

/* Both ends of its answers go at once. */
START_TEST(one_who_answers_itself_and_is_lost_is_forgotten)
{
    struct channel *server = given_server();
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes b = {.size = 0};
    struct delivery d;
    struct answers a;
    int size = 32 * 1024;

    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    raw_handshake(r);
    raw_open_channel(r, 1);
    put_u16(&b, 0);
    put_short_string(&b, REPLY_TO);
    put_short_string(&b, "");
    put_u8(&b, 2); /* no-ack */
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_CONSUME_METHOD, &b);
    raw_expect_method(r, 1, AMQP_BASIC_CONSUME_OK_METHOD);
    a = (struct answers){.r = r, .data = malloc(512)};
    append_publish(&a, "requests");
    b.size = 0;
    put_u32(&b, 60 << 16);
    put_u64(&b, 0);
    put_u16(&b, 1 << 9); /* reply-to */
    put_short_string(&b, REPLY_TO);
    append(&a, 2, b.data, b.size);
    raw_send(r, a.data, a.size);
    free(a.data);

    d = expect_delivery(server, "", 0);
    write_answers(&a, r, reply_address(&d));
    send_some(&a, PATIENCE_MS);
    raw_close(r);
    free(a.data);
    publish(server, "requests", "next");
    expect_delivery(server, "next", 0);
}
END_TEST

static const char IMPATIENT_CONFIG[] = "listeners:\n"
                                       "  - {address: 127.0.0.1, port: @PORT@}\n"
                                       "workers: @WORKERS@\n"
                                       "limits:\n"
                                       "  direct_reply_timeout_ms: 300\n";

START_TEST(asker_that_reads_nothing_for_long_loses_answers)
{
    struct broker *b;
    struct channel *server;
    struct channel *asker;
    struct answers a;
    char address[256];

    SKIP_WITH_ORACLE("it buffers without bound");
    b = broker_start(IMPATIENT_CONFIG);
    server = open_channel(connect_client_to(b));
    declare_queue(server, "requests", AUTO_DELETE, NO_ARGS);
    consume(server, "requests", "", NO_ACK, NO_ARGS);
    asker = sleeping_asker(b, server, address);
    given_answers(&a, b, address);
    send_the_rest(&a);
    ck_assert_int_gt(a.nacks, 0);
    ck_assert(broker_log_holds(b, "direct replies to it are dropped"));
    /* what was acked is there, and once it reads it gets answers again */
    for (int i = 0; i < a.acks; i++)
        expect_delivery(asker, NULL, 0);
    publish(server, address, "again");
    expect_delivery(asker, "again", 0);
    close_client(asker->client);
    close_client(server->client);
    raw_close(a.r);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("reply-to");
    TCase *tcase = wire_tcase(suite, "direct");

    tcase_add_test(tcase, answer_reaches_the_asker);
    tcase_add_test(tcase, every_asker_gets_its_own_answers);
    tcase_add_test(tcase, mandatory_answer_returns_also_when_it_is_delivered);
    tcase_add_test(tcase, passive_declare_tells_whether_an_asker_lives);
    tcase_add_test(tcase, declare_of_the_name_itself_is_fine);
    tcase_add_test(tcase, second_reply_consumer_is_refused);
    tcase_add_test(tcase, cancelled_reply_consumer_gets_nothing);
    tcase_add_test(tcase, forged_addresses_reach_nobody);
    tcase_add_test(tcase, answers_do_not_count_as_deliveries);
    tcase_add_test(tcase, further_keys_reach_askers);
    tcase_add_test(tcase, asker_under_several_keys_gets_one_answer);
    tcase_add_test(tcase, other_exchanges_reach_no_asker);
    tcase = wire_tcase(suite, "sleepers");
    tcase_add_test(tcase, answers_wait_for_an_asker_that_does_not_read);
    tcase_add_test(tcase, asker_that_is_lost_holds_nobody_up);
    tcase_add_test(tcase, answers_of_a_closed_channel_hold_up_the_connection);
    tcase_add_test(tcase, one_who_answers_itself_and_is_lost_is_forgotten);
    tcase_add_test(tcase, asker_that_reads_nothing_for_long_loses_answers);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
