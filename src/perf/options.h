/* The command line of leveret-perf, read into one struct. */
#ifndef LEVERET_PERF_OPTIONS_H
#define LEVERET_PERF_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum perf_mode {
    PERF_MODE_THROUGHPUT,
    PERF_MODE_LATENCY,
    PERF_MODE_CHURN,
    PERF_MODE_DECLARE,
    PERF_MODE_IDLE_CONNECTIONS,
    PERF_MODE_IDLE_QUEUES,
    PERF_MODE_BACKLOG,
    PERF_MODE_BINDINGS,
};

enum {
    OPTION_FIELDS_MAX = 16, /* of one table given on the command line */
    OPTION_SIZES_MAX = 16,
};

/* One key=value. Borrowed from the command line; the key ends at `key_size`. */
struct option_field {
    const char *key;
    uint32_t key_size;
    const char *value;
};

struct option_fields {
    struct option_field items[OPTION_FIELDS_MAX];
    uint32_t count;
};

/* Body sizes: each part is drawn with its weight, and within a part all sizes alike. */
struct size_part {
    uint32_t low;
    uint32_t high;
    double weight;
};

struct size_distribution {
    struct size_part parts[OPTION_SIZES_MAX];
    uint32_t count;
};

/* Where the broker is. Zero-terminated, percent-decoded. */
struct broker_address {
    char user[256];
    char password[256];
    char host[256];
    char vhost[256];
    uint16_t port;
    bool tls;
};

/* Strings are borrowed from the command line. */
struct perf_options {
    enum perf_mode mode;
    uint64_t count; /* the N of the modes that take one */
    struct broker_address broker;
    const char *ca;   /* PEM file; NULL: the system's authorities */
    const char *cert; /* PEM files; NULL: no certificate is shown */
    const char *key;
    bool insecure; /* whatever certificate the broker shows is good */
    uint32_t heartbeat_s;
    uint32_t threads;

    uint32_t producers;
    uint32_t consumers;
    uint32_t queues;
    const char *queue_name;
    const char *exchange;
    const char *type;
    const char *routing_key; /* NULL: the queue's name */
    const char *binding_key; /* NULL: the routing key */
    struct option_fields queue_args;
    struct option_fields binding_args;
    bool durable;
    bool predeclared;
    bool keep;

    struct size_distribution size;
    double rate; /* messages per second and producer; 0: as fast as it goes */
    uint64_t messages;
    uint32_t confirms;
    uint64_t max_in_flight;
    uint64_t keys;
    struct option_fields headers;
    bool persistent;
    bool mandatory;

    uint32_t prefetch;
    uint32_t multi_ack;
    bool autoack;
    struct option_fields consumer_args;

    double time_s;
    double warmup_s;
    double hold_s;
    uint32_t connections;
    uint32_t pipeline;

    pid_t broker_pid; /* 0: not measured */
    bool progress;
    bool json;
};

enum options_outcome {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_WRONG, /* `error` says what */
};

/* Reads the command line. `error` (of `error_size` bytes) gets a line that names the option when
 * something is wrong with it. The options borrow from `argv`. */
enum options_outcome options_parse(struct perf_options *o, int argc, char **argv, char *error,
                                   size_t error_size);

/* Writes the help text. */
void options_print_help(FILE *out);

/* The word on the command line for a mode. */
const char *perf_mode_name(enum perf_mode mode);

/* Reads amqp://user:password@host:port/vhost, or amqps:// for TLS; parts left out keep their
 * default (guest, guest, localhost, 5672 or 5671, /). Returns 0, or -EINVAL with `error` filled in.
 */
int broker_address_parse(struct broker_address *a, const char *uri, char *error, size_t error_size);

/* Reads `1024`, `100..2000` or `100:0.9,10000:0.1` (ranges allowed in lists). Returns 0 or
 * -EINVAL. */
int size_distribution_parse(struct size_distribution *d, const char *text);

struct random_sequence;

/* Draws a size. */
uint32_t size_distribution_draw(const struct size_distribution *d, struct random_sequence *r);

/* The largest and the mean size. */
uint32_t size_distribution_max(const struct size_distribution *d);
double size_distribution_mean(const struct size_distribution *d);

/* Writes a name pattern with each %d replaced by `number`. Returns whether it fitted. */
bool pattern_expand(char *out, size_t size, const char *pattern, uint64_t number);

/* Whether the pattern has a %d. */
bool pattern_varies(const char *pattern);

#endif
