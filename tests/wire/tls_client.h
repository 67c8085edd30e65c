/* A client of TLS (OpenSSL) that holds what it sends in its hands: which bytes go in one segment,
 * and how much of a handshake. No AMQP but the protocol header.
 *
 * Every function that waits does so up to deadline_ms and then fails the test. */
#ifndef LEVERET_TESTS_WIRE_TLS_CLIENT_H
#define LEVERET_TESTS_WIRE_TLS_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_client;

/* How it speaks. Zero or NULL: as OpenSSL does by default. */
struct tls_terms {
    uint16_t port;
    bool ipv6;               /* ::1, not 127.0.0.1 */
    const char *unix_path;   /* connects there instead of the port */
    const char *ca;          /* whom it trusts; NULL: everybody */
    const char *certificate; /* that it shows, with its key */
    const char *key;
    const char *host; /* server name indication */
    int min_version;  /* TLS1_2_VERSION, … */
    int max_version;
    const char *ciphers;
    const char *curves;
    const char *alpn;     /* one protocol */
    size_t segment_size;  /* bytes sent in one go at most */
    SSL_SESSION *session; /* to come back with */
};

/* Connects the socket; nothing is sent. */
struct tls_client *tls_client_new(const struct tls_terms *terms);

/* Frees it and closes the socket. Idempotent for NULL. */
void tls_client_free(struct tls_client *c);

SSL *tls_client_ssl(struct tls_client *c);

/* Goes through the handshake. Returns true, or false with OpenSSL's reason in `error`. In TLS 1.3 a
 * server that refuses the client's certificate says so only afterwards: tls_client_talks(). */
bool tls_client_shake_hands(struct tls_client *c, char *error, size_t error_size);

/* Takes the handshake so far that its last flight waits to be sent: tls_client_send() adds to it.
 */
void tls_client_hold_last_flight(struct tls_client *c);

/* What it would send next, unsent: the start of a handshake, to be sent in parts. */
size_t tls_client_take_output(struct tls_client *c, uint8_t *out, size_t size);

/* The socket, for what is sent past TLS. */
int tls_client_fd(const struct tls_client *c);

void tls_client_send(struct tls_client *c, const void *data, size_t size);

/* Reads at least one byte. Returns how many; 0 after a close_notify, or -1 when the stream ended or
 * failed otherwise. */
ssize_t tls_client_read(struct tls_client *c, void *out, size_t size);

/* Sends the protocol header and waits for connection.start. Returns whether it came. */
bool tls_client_talks(struct tls_client *c);

/* Logs in as guest, having talked; returns whether connection.tune came. */
bool tls_client_logs_in(struct tls_client *c);

/* Handshake and connection.start, or the test fails. */
struct tls_client *tls_connect(const struct tls_terms *terms);

/* Whether the server lets a client with these terms as far as connection.start. */
bool tls_lets_in(const struct tls_terms *terms);

/* The common name of the server's certificate. */
void tls_client_server_name(struct tls_client *c, char *out, size_t size);

#endif
