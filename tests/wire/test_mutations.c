/* Sessions whose bytes were changed at random: whatever comes, the broker answers or closes, and
 * goes on for the others.
 *
 * LEVERET_TEST_SEED: the first session's seed (default 1). A failure names the seed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/raw.h"

enum {
    SESSIONS = 400,
    CHANGES_MAX = 4,
    HANDSHAKE_FRAMES = 4, /* with the protocol header */
};

/* A run of bytes made of frames; `starts` are where the frames begin. */
struct session {
    uint8_t data[4096];
    size_t size;
    size_t starts[64];
    int count;
};

static void add(struct session *s, const void *data, size_t size)
{
    ck_assert_uint_le(s->size + size, sizeof(s->data));
    s->starts[s->count++] = s->size;
    memcpy(s->data + s->size, data, size);
    s->size += size;
}

static void add_frame(struct session *s, unsigned type, unsigned channel,
                      const struct raw_bytes *payload)
{
    struct raw_bytes b = {.size = 0};

    put_u8(&b, type);
    put_u16(&b, channel);
    put_u32(&b, (uint32_t)payload->size);
    put_bytes(&b, payload->data, payload->size);
    put_u8(&b, 0xce);
    add(s, b.data, b.size);
}

static void add_method(struct session *s, unsigned channel, amqp_method_number_t method,
                       const void *arguments, size_t size)
{
    struct raw_bytes b = {.size = 0};

    put_u32(&b, method);
    put_bytes(&b, arguments, size);
    add_frame(s, 1, channel, &b);
}

/* A method whose arguments are the bytes of a string literal. */
#define METHOD(channel, method, literal) \
    add_method(s, channel, method, literal, sizeof(literal) - 1)

static void add_publish(struct session *s)
{
    struct raw_bytes header = {.size = 0};
    struct raw_bytes body = {.size = 0};

    METHOD(1, AMQP_BASIC_PUBLISH_METHOD, "\0\0\2mx\3k.1\1");
    put_bytes(&header, "\0\x3c\0\0\0\0\0\0\0\0\0\x0a\x30\0", 14);
    put_bytes(&header, "\0\0\0\x19\2CCA\0\0\0\7S\0\0\0\2mq\1nI\0\0\0\1\1vV", 29);
    put_bytes(&header, "\2", 1);
    put_bytes(&body, "0123456789", 10);
    add_frame(s, 2, 1, &header);
    add_frame(s, 3, 1, &body);
}

/* A client's whole life: topology, publishing, consuming, settling, close. */
static void make_session(struct session *s)
{
    s->size = 0;
    s->count = 0;
    add(s, "AMQP\0\0\x09\x01", 8);
    METHOD(0, AMQP_CONNECTION_START_OK_METHOD, "\0\0\0\0\5PLAIN\0\0\0\x0c\0guest\0guest\5en_US");
    METHOD(0, AMQP_CONNECTION_TUNE_OK_METHOD, "\x07\xff\0\2\0\0\0\0");
    METHOD(0, AMQP_CONNECTION_OPEN_METHOD, "\1/\0\0");
    METHOD(1, AMQP_CHANNEL_OPEN_METHOD, "\0");
    METHOD(2, AMQP_CHANNEL_OPEN_METHOD, "\0");
    METHOD(1, AMQP_EXCHANGE_DECLARE_METHOD, "\0\0\2mx\5topic\0\0\0\0\0");
    METHOD(1, AMQP_EXCHANGE_DECLARE_METHOD,
           "\0\0\2mh\7headers\0\0\0\0\x1a\x12"
           "alternate-exchangeS\0\0\0\2mx");
    METHOD(1, AMQP_QUEUE_DECLARE_METHOD,
           "\0\0\2mq\0\0\0\0\x1e\x16x-dead-letter-exchangeS\0\0\0\2mx");
    METHOD(1, AMQP_QUEUE_BIND_METHOD, "\0\0\2mq\2mx\3k.#\0\0\0\0\0");
    METHOD(1, AMQP_QUEUE_BIND_METHOD, "\0\0\2mq\2mh\0\0\0\0\0\x10\7x-matchS\0\0\0\3any");
    METHOD(1, AMQP_EXCHANGE_BIND_METHOD, "\0\0\2mh\2mx\1#\0\0\0\0\0");
    METHOD(1, AMQP_BASIC_QOS_METHOD, "\0\0\0\0\0\5\0");
    METHOD(1, AMQP_CONFIRM_SELECT_METHOD, "\0");
    METHOD(2, AMQP_TX_SELECT_METHOD, "");
    add_publish(s);
    METHOD(1, AMQP_BASIC_GET_METHOD, "\0\0\2mq\0");
    METHOD(1, AMQP_BASIC_CONSUME_METHOD, "\0\0\2mq\1c\0\0\0\0\x10\x0ax-priorityI\0\0\0\1");
    add_publish(s);
    add_publish(s);
    METHOD(1, AMQP_BASIC_NACK_METHOD, "\0\0\0\0\0\0\0\1\2");
    METHOD(1, AMQP_BASIC_ACK_METHOD, "\0\0\0\0\0\0\0\0\1");
    METHOD(1, AMQP_BASIC_RECOVER_METHOD, "\1");
    METHOD(1, AMQP_CHANNEL_FLOW_METHOD, "\1");
    METHOD(1, AMQP_BASIC_CANCEL_METHOD, "\1c\0");
    METHOD(2, AMQP_TX_COMMIT_METHOD, "");
    METHOD(1, AMQP_QUEUE_PURGE_METHOD, "\0\0\2mq\0");
    METHOD(1, AMQP_QUEUE_UNBIND_METHOD, "\0\0\2mq\2mx\3k.#\0\0\0\0");
    METHOD(1, AMQP_QUEUE_DELETE_METHOD, "\0\0\2mq\0");
    METHOD(1, AMQP_EXCHANGE_DELETE_METHOD, "\0\0\2mx\0");
    METHOD(2, AMQP_CHANNEL_CLOSE_METHOD, "\0\xc8\0\0\0\0\0");
    METHOD(0, AMQP_CONNECTION_CLOSE_METHOD, "\0\xc8\0\0\0\0\0");
}

static unsigned draw(uint64_t *state, size_t bound)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((*state >> 33) % bound);
}

static void remove_bytes(struct session *s, size_t at, size_t size)
{
    if (size > s->size - at)
        size = s->size - at;
    memmove(s->data + at, s->data + at + size, s->size - at - size);
    s->size -= size;
}

static void insert_bytes(struct session *s, size_t at, size_t size, uint64_t *state)
{
    if (size > sizeof(s->data) - s->size)
        return;
    memmove(s->data + at + size, s->data + at, s->size - at);
    for (size_t i = 0; i < size; i++)
        s->data[at + i] = (uint8_t)draw(state, 256);
    s->size += size;
}

/* Takes a whole frame out, or puts one in once more elsewhere. */
static void move_frame(struct session *s, uint64_t *state)
{
    int i = HANDSHAKE_FRAMES + (int)draw(state, (size_t)(s->count - HANDSHAKE_FRAMES - 1));
    size_t size = s->starts[i + 1] - s->starts[i];
    uint8_t frame[512];
    size_t to;

    memcpy(frame, s->data + s->starts[i], size);
    if (draw(state, 2) == 0) {
        remove_bytes(s, s->starts[i], size);
        return;
    }
    to = s->starts[HANDSHAKE_FRAMES + (int)draw(state, (size_t)(s->count - HANDSHAKE_FRAMES))];
    insert_bytes(s, to, size, state);
    memcpy(s->data + to, frame, size);
}

static void mutate(struct session *s, uint64_t *state)
{
    /* most sessions get past the handshake: else little else would be tried */
    size_t from = draw(state, 8) == 0 ? 0 : s->starts[HANDSHAKE_FRAMES];
    size_t at;

    if (draw(state, 3) == 0) {
        move_frame(s, state); /* a well-formed session in another order */
        return;
    }
    for (unsigned changes = 1 + draw(state, CHANGES_MAX); changes > 0; changes--) {
        at = from + draw(state, s->size - from);
        switch (draw(state, 5)) {
        case 0:
            s->data[at] ^= (uint8_t)(1u << draw(state, 8));
            break;
        case 1:
            s->data[at] = (uint8_t)draw(state, 256);
            break;
        case 2:
            s->data[at] = draw(state, 2) == 0 ? 0xff : 0;
            break;
        case 3:
            remove_bytes(s, at, 1 + draw(state, 8));
            break;
        default:
            insert_bytes(s, at, 1 + draw(state, 8), state);
            break;
        }
    }
}

/* Sends the session, says that no more comes and reads to the end. */
static void run_session(const struct session *s, uint64_t seed)
{
    struct raw *r = raw_connect(test_broker());
    size_t bytes;

    raw_send_loosely(r, s->data, s->size);
    shutdown(r->fd, SHUT_WR);
    if (!raw_read_to_end(r, &bytes))
        ck_abort_msg("with seed %llu the connection does not end", (unsigned long long)seed);
    raw_close(r);
}

static bool is_method(const struct raw_frame *f, amqp_method_number_t method)
{
    const uint8_t *p = f->payload;

    return f->type == 1 &&
           ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) == method;
}

START_TEST(unchanged_session_works)
{
    struct session s;
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    struct raw_frame f;

    make_session(&s);
    raw_send(r, s.data, s.size);
    do {
        f = raw_read_frame(r);
        ck_assert_msg(!is_method(&f, AMQP_CHANNEL_CLOSE_METHOD) &&
                          !is_method(&f, AMQP_CONNECTION_CLOSE_METHOD),
                      "the session is at fault: %.*s", f.payload[6], (const char *)f.payload + 7);
    } while (!is_method(&f, AMQP_CONNECTION_CLOSE_OK_METHOD));
    send_queue_declare(ch, "mq", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - *");
}
END_TEST

START_TEST(changed_sessions_are_survived)
{
    const char *first = getenv("LEVERET_TEST_SEED");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    struct channel *witness = connect_channel();
    struct session s;

    SKIP_WITH_ORACLE("it keeps what the sessions leave behind");
    declare_queue(witness, "witness", EXCLUSIVE, NO_ARGS);
    for (uint64_t last = seed + SESSIONS; seed < last; seed++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u;

        make_session(&s);
        mutate(&s, &state);
        run_session(&s, seed);
        if (seed % 20 == 0) {
            publish(witness, "witness", "alive");
            expect_get(witness, "witness", "alive", NO_ACK);
        }
    }
}
END_TEST

START_TEST(sessions_cut_short_are_survived)
{
    struct channel *witness = connect_channel();
    struct session s;

    SKIP_WITH_ORACLE("it keeps what the sessions leave behind");
    make_session(&s);
    for (size_t size = 0; size < s.size; size += 3) {
        struct raw *r = raw_connect(test_broker());

        raw_send_loosely(r, s.data, size);
        raw_close(r);
    }
    declare_queue(witness, "witness", EXCLUSIVE, NO_ARGS);
    publish(witness, "witness", "alive");
    expect_get(witness, "witness", "alive", NO_ACK);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("mutations");
    TCase *tcase = wire_tcase(suite, "mutations");

    tcase_add_test(tcase, unchanged_session_works);
    tcase_add_test(tcase, changed_sessions_are_survived);
    tcase_add_test(tcase, sessions_cut_short_are_survived);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
