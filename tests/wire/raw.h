/* Frames made by hand over a socket of the test's own: for what no client library sends.
 *
 * Nothing here uses the codec under test. Every function that waits does so up to deadline_ms and
 * then fails the test. */
#ifndef LEVERET_TESTS_WIRE_RAW_H
#define LEVERET_TESTS_WIRE_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/wire/harness.h"

/* Bytes that grow. */
struct raw_bytes {
    uint8_t data[4096];
    size_t size;
};

void put_u8(struct raw_bytes *b, unsigned value);
void put_u16(struct raw_bytes *b, unsigned value);
void put_u32(struct raw_bytes *b, uint32_t value);
void put_u64(struct raw_bytes *b, uint64_t value);
void put_short_string(struct raw_bytes *b, const char *s);
void put_long_string(struct raw_bytes *b, const void *data, size_t size);
void put_bytes(struct raw_bytes *b, const void *data, size_t size);

struct raw {
    struct raw *next; /* of those that are open */
    int fd;
    uint8_t *input; /* what was read and not yet taken */
    size_t input_size;
};

struct raw_frame {
    uint8_t type;
    uint16_t channel;
    const uint8_t *payload; /* until the next read */
    uint32_t size;
};

/* RabbitMQ's methods that librabbitmq does not know. */
enum {
    CONNECTION_UPDATE_SECRET_METHOD = 10 << 16 | 70,
    CONNECTION_UPDATE_SECRET_OK_METHOD = 10 << 16 | 71,
};

/* For the method that a close names: not held to any. */
enum { ANY_METHOD = -1 };

/* A connected socket; nothing is sent. */
struct raw *raw_connect(const struct broker *b);
/* The same of the listener at place `number` (broker_listener_port). */
struct raw *raw_connect_to(const struct broker *b, int number);
/* The same of a Unix socket. */
struct raw *raw_connect_unix(const char *path);
void raw_close(struct raw *r);

/* Closes what a test has left open; the harness does so behind each. */
void raw_close_all(void);

void raw_send(struct raw *r, const void *data, size_t size);
/* As raw_send, and does not mind that the peer has closed. */
void raw_send_loosely(struct raw *r, const void *data, size_t size);

#define raw_send_until_answered(...) (HERE, raw_send_until_answered_(__VA_ARGS__))
/* Sends until all is sent or something comes; returns the number of bytes sent. */
size_t raw_send_until_answered_(struct raw *r, const void *data, size_t size);

void raw_send_frame(struct raw *r, unsigned type, unsigned channel, const void *payload,
                    size_t size);
/* A method frame with these argument bytes (NULL: none). */
void raw_send_method(struct raw *r, unsigned channel, amqp_method_number_t method,
                     const struct raw_bytes *arguments);
void raw_send_header(struct raw *r, unsigned channel, uint64_t body_size);

/* The protocol header, start-ok as `user` with the given client capability, tune-ok with these
 * values, open of vhost /, open-ok. */
void raw_handshake(struct raw *r);
void raw_handshake_with(struct raw *r, const char *capability, unsigned channel_max,
                        uint32_t frame_max, unsigned heartbeat_s);

/* The steps of it. raw_login sends PLAIN with this response (`size` bytes). */
void raw_send_protocol_header(struct raw *r);
void raw_send_start_ok(struct raw *r, const char *capability, const char *mechanism,
                       const void *response, size_t size);
void raw_send_tune_ok(struct raw *r, unsigned channel_max, uint32_t frame_max,
                      unsigned heartbeat_s);
void raw_send_open(struct raw *r, const char *vhost);

void raw_open_channel(struct raw *r, unsigned channel);

#define raw_read_frame(...) (HERE, raw_read_frame_(__VA_ARGS__))
#define raw_expect_method(...) (HERE, raw_expect_method_(__VA_ARGS__))
#define raw_expect_connection_error(...) (HERE, raw_expect_connection_error_(__VA_ARGS__))
#define raw_expect_channel_error(...) (HERE, raw_expect_channel_error_(__VA_ARGS__))
#define raw_expect_end(...) (HERE, raw_expect_end_(__VA_ARGS__))
#define raw_comes(...) (HERE, raw_comes_(__VA_ARGS__))

struct raw_frame raw_read_frame_(struct raw *r);

/* The next frame (heartbeats are passed over) is this method on this channel; the frame's payload
 * is returned from the first argument on. */
struct raw_frame raw_expect_method_(struct raw *r, unsigned channel, amqp_method_number_t method);

/* connection.close with code, text ('*' at its end: the beginning) and the method it names;
 * answers close-ok and waits for the socket's end. */
void raw_expect_connection_error_(struct raw *r, unsigned code, const char *reason,
                                  amqp_method_number_t method);
/* channel.close likewise; close-ok is the caller's to send. */
void raw_expect_channel_error_(struct raw *r, unsigned channel, unsigned code, const char *reason,
                               amqp_method_number_t method);

/* The peer closes the socket, having sent nothing more. */
void raw_expect_end_(struct raw *r);

/* Whether bytes (or the end) come within the time. */
bool raw_comes_(struct raw *r, int timeout_ms);

/* Reads exactly `size` bytes. */
void raw_read(struct raw *r, void *data, size_t size);

/* Reads on until the end and returns the number of bytes; false at the deadline. */
bool raw_read_to_end(struct raw *r, size_t *total);

#endif
