#include "perf/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct mode_row {
    const char *name;
    enum perf_mode mode;
    uint64_t count; /* the default of N; 0: the mode takes none */
    const char *help;
} mode_rows[] = {
    {"throughput", PERF_MODE_THROUGHPUT, 0,
     "publish and consume as fast as it goes, or at --rate (the default)"},
    {"latency", PERF_MODE_LATENCY, 0, "the same at 5000 messages of 1024 bytes a second"},
    {"churn", PERF_MODE_CHURN, 0, "connect, open a channel, declare a queue, close; over and over"},
    {"declare", PERF_MODE_DECLARE, 20000, "declare N queues, which are deleted afterwards"},
    {"idle-connections", PERF_MODE_IDLE_CONNECTIONS, 10000,
     "hold N idle connections with a channel each"},
    {"idle-queues", PERF_MODE_IDLE_QUEUES, 100000, "hold N idle queues with one binding each"},
    {"backlog", PERF_MODE_BACKLOG, 1000000, "leave N messages in a queue"},
    {"bindings", PERF_MODE_BINDINGS, 1000, "throughput through a topic exchange with N bindings"},
};

enum option_kind {
    OPTION_FLAG,    /* bool: set */
    OPTION_NO_FLAG, /* bool: cleared */
    OPTION_U32,
    OPTION_U64,
    OPTION_REAL,
    OPTION_STRING,
    OPTION_PID,
    OPTION_FIELDS,
    OPTION_SIZES,
    OPTION_URI,
    OPTION_EXCHANGE_TYPE,
};

static const struct option_row {
    const char *name;
    const char *argument; /* NULL: none */
    enum option_kind kind;
    size_t offset;
    uint64_t least; /* of a number */
    uint64_t most;
    const char *help;
} option_rows[] = {
#define ROW(name, argument, kind, field, least, most, help) \
    { \
        name, argument, kind, offsetof(struct perf_options, field), least, most, help \
    }
#define SECTION(title) \
    { \
        NULL, NULL, OPTION_FLAG, 0, 0, 0, title \
    }
    SECTION("Connection"),
    ROW("uri", "URI", OPTION_URI, broker, 0, 0,
        "where the broker is: amqp://user:password@host:port/vhost, each part with a default "
        "(amqp://guest:guest@localhost:5672/%2f); amqps:// is TLS, on port 5671"),
    ROW("ca", "FILE", OPTION_STRING, ca, 0, 0,
        "PEM file of the authorities that the broker's certificate is held to (the system's)"),
    ROW("cert", "FILE", OPTION_STRING, cert, 0, 0, "PEM file of the certificate to show (none)"),
    ROW("key", "FILE", OPTION_STRING, key, 0, 0, "PEM file of its key"),
    ROW("insecure", NULL, OPTION_FLAG, insecure, 0, 0,
        "take whatever certificate the broker shows"),
    ROW("heartbeat", "S", OPTION_U32, heartbeat_s, 0, 65535,
        "seconds between heartbeats; 0 turns them off (60)"),
    ROW("threads", "N", OPTION_U32, threads, 1, 64, "threads that make the load (1)"),
    SECTION("Topology"),
    ROW("queues", "N", OPTION_U32, queues, 1, 1000000, "number of queues (1)"),
    ROW("queue-name", "PATTERN", OPTION_STRING, queue_name, 0, 0,
        "name of the queues; %d is their number, from 0 (leveret-perf-%d)"),
    ROW("exchange", "NAME", OPTION_STRING, exchange, 0, 0,
        "the exchange to declare, bind and publish to (leveret-perf-TYPE, or the default "
        "exchange)"),
    ROW("type", "TYPE", OPTION_EXCHANGE_TYPE, type, 0, 0,
        "default, direct, fanout, topic or headers (default: straight to the queue)"),
    ROW("routing-key", "PATTERN", OPTION_STRING, routing_key, 0, 0,
        "what is published with; %d is the number of the producer's queue (the queue's name)"),
    ROW("binding-key", "PATTERN", OPTION_STRING, binding_key, 0, 0,
        "what queues are bound with; %d is the queue's number (the routing key)"),
    ROW("queue-args", "KEY=VALUE", OPTION_FIELDS, queue_args, 0, 0,
        "an argument of queue.declare; may be given more than once. Whole numbers, true and "
        "false are sent as such, all else as a string"),
    ROW("binding-args", "KEY=VALUE", OPTION_FIELDS, binding_args, 0, 0,
        "an argument of queue.bind, for headers exchanges; may be given more than once"),
    ROW("durable", NULL, OPTION_FLAG, durable, 0, 0, "durable queues and exchange (transient)"),
    ROW("predeclared", NULL, OPTION_FLAG, predeclared, 0, 0,
        "use queues, exchange and bindings as they are: declare and delete nothing"),
    ROW("keep", NULL, OPTION_FLAG, keep, 0, 0, "leave queues and exchange there at the end"),
    SECTION("Publishing"),
    ROW("producers", "N", OPTION_U32, producers, 0, 10000, "number of producers (1)"),
    ROW("size", "BYTES", OPTION_SIZES, size, 0, 0,
        "size of a body: 1024, 100..2000 (all alike), or weighted as in "
        "100:0.9,10000..20000:0.1 (16). Below 16 bytes neither latency nor loss is measured"),
    ROW("rate", "N", OPTION_REAL, rate, 0, 0,
        "messages a second of each producer, evenly spread; 0 is as fast as it goes (0)"),
    ROW("messages", "N", OPTION_U64, messages, 0, UINT64_MAX,
        "messages of each producer; ends when they have arrived (no limit)"),
    ROW("confirms", "WINDOW", OPTION_U32, confirms, 0, 1000000,
        "publisher confirms, with at most WINDOW outstanding in each producer (off)"),
    ROW("max-in-flight", "N", OPTION_U64, max_in_flight, 0, UINT64_MAX,
        "producers wait while N messages are published and not consumed; 0 is no limit (0)"),
    ROW("keys", "N", OPTION_U64, keys, 1, 10000000,
        "bindings mode: the number of different routing keys published (as many as bindings)"),
    ROW("persistent", NULL, OPTION_FLAG, persistent, 0, 0, "delivery mode 2"),
    ROW("mandatory", NULL, OPTION_FLAG, mandatory, 0, 0,
        "publish as mandatory and count what is returned"),
    ROW("header", "KEY=VALUE", OPTION_FIELDS, headers, 0, 0,
        "a header of every message; may be given more than once"),
    SECTION("Consuming"),
    ROW("consumers", "N", OPTION_U32, consumers, 0, 10000, "number of consumers (1)"),
    ROW("prefetch", "N", OPTION_U32, prefetch, 0, 65535,
        "unacknowledged messages each consumer may hold; 0 is no limit (0)"),
    ROW("multi-ack", "N", OPTION_U32, multi_ack, 1, 65535, "acknowledge N messages at a time (1)"),
    ROW("autoack", NULL, OPTION_FLAG, autoack, 0, 0, "consume without acknowledging"),
    ROW("consumer-args", "KEY=VALUE", OPTION_FIELDS, consumer_args, 0, 0,
        "an argument of basic.consume; may be given more than once"),
    SECTION("Run"),
    ROW("time", "S", OPTION_REAL, time_s, 0, 0,
        "seconds to measure; 0 is until interrupted (10, or no limit with --messages)"),
    ROW("warmup", "S", OPTION_REAL, warmup_s, 0, 0, "seconds to run before measuring (0)"),
    ROW("hold", "S", OPTION_REAL, hold_s, 0, 0,
        "idle modes: seconds to watch the idle broker's processor time; 0 is until interrupted "
        "(5)"),
    ROW("connections", "N", OPTION_U32, connections, 1, 10000,
        "churn and declare modes: connections at a time (1)"),
    ROW("pipeline", "N", OPTION_U32, pipeline, 1, 10000,
        "declare mode: declares sent before the first is answered (1)"),
    ROW("broker-pid", "PID", OPTION_PID, broker_pid, 1, 1 << 30,
        "a broker on this machine: report its processor time for each delivered message and "
        "its resident memory"),
    SECTION("Output"),
    ROW("json", NULL, OPTION_FLAG, json, 0, 0, "the summary as one JSON object"),
    ROW("progress", NULL, OPTION_FLAG, progress, 0, 0,
        "a line a second on standard error (the default on a terminal)"),
    ROW("no-progress", NULL, OPTION_NO_FLAG, progress, 0, 0, "no such line"),
#undef ROW
#undef SECTION
};

enum {
    BACKLOG_CONFIRMS = 1000, /* so that what is counted has arrived */
    MODES = sizeof(mode_rows) / sizeof(mode_rows[0]),
    OPTIONS = sizeof(option_rows) / sizeof(option_rows[0]),
};

const char *perf_mode_name(enum perf_mode mode)
{
    for (unsigned i = 0; i < MODES; i++)
        if (mode_rows[i].mode == mode)
            return mode_rows[i].name;
    return "";
}

/* Writes `text` in lines of at most 78 columns, indented but for the first, which starts at
 * column `column`. */
static void print_wrapped(FILE *out, const char *text, int column, int indent)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " ");

        if (column > indent && column + 1 + (int)word > 78) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, word, out);
        column += (int)word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_entry(FILE *out, const char *name, const char *help)
{
    enum { INDENT = 29 };
    int used = fprintf(out, "  %s", name);

    if (used > INDENT - 2)
        fprintf(out, "\n%*s", INDENT, "");
    else
        fprintf(out, "%*s", INDENT - used, "");
    print_wrapped(out, help, INDENT, INDENT);
}

void options_print_help(FILE *out)
{
    char name[64];

    fputs("Usage: leveret-perf [MODE] [OPTION]...\n"
          "Load generator and latency meter for AMQP 0-9-1 brokers.\n"
          "\nModes:\n",
          out);
    for (unsigned i = 0; i < MODES; i++) {
        snprintf(name, sizeof(name), "%s%s", mode_rows[i].name,
                 mode_rows[i].count != 0 ? " [N]" : "");
        print_entry(out, name, mode_rows[i].help);
    }
    for (unsigned i = 0; i < OPTIONS; i++) {
        const struct option_row *row = &option_rows[i];

        if (row->name == NULL) {
            fprintf(out, "\n%s:\n", row->help);
            continue;
        }
        snprintf(name, sizeof(name), "--%s%s%s", row->name, row->argument != NULL ? "=" : "",
                 row->argument != NULL ? row->argument : "");
        print_entry(out, name, row->help);
    }
    print_entry(out, "--help", "this text");
    print_entry(out, "--version", "the version");
    fputs("\nExit status: 0 when all went well, 1 when the broker refused or vanished, 2 when\n"
          "the command line was wrong, 3 when messages were lost or came twice.\n"
          "\nExamples:\n"
          "  leveret-perf --size 1024 --autoack --time 30 --broker-pid $(pidof leveretd)\n"
          "  leveret-perf latency --rate 1000 --size 100..2000 --confirms 100 --json\n"
          "  leveret-perf --type fanout --queues 10 --consumers 10 --size 1024\n"
          "  leveret-perf idle-connections 10000 --broker-pid $(pidof leveretd)\n",
          out);
}

static enum options_outcome fail(char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum options_outcome fail(char *error, size_t error_size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, error_size, format, args);
    va_end(args);
    return OPTIONS_WRONG;
}

/* A whole number, digits only. */
static bool read_number(const char *text, uint64_t *out)
{
    char *rest;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &rest, 10);
    return errno == 0 && *rest == '\0';
}

static bool read_real(const char *text, double *out)
{
    char *rest;

    *out = strtod(text, &rest);
    return rest != text && *rest == '\0' && isfinite(*out) && *out >= 0 && *out <= 1e12;
}

static enum options_outcome set_number(const struct option_row *row, void *field, const char *value,
                                       char *error, size_t error_size)
{
    uint64_t n;

    if (!read_number(value, &n) || n < row->least || n > row->most)
        return fail(error, error_size, "--%s: '%s' is not a whole number from %llu to %llu",
                    row->name, value, (unsigned long long)row->least,
                    (unsigned long long)row->most);
    if (row->kind == OPTION_U32)
        *(uint32_t *)field = (uint32_t)n;
    else if (row->kind == OPTION_PID)
        *(pid_t *)field = (pid_t)n;
    else
        *(uint64_t *)field = n;
    return OPTIONS_RUN;
}

static enum options_outcome set_field(const struct option_row *row, struct option_fields *fields,
                                      const char *value, char *error, size_t error_size)
{
    const char *equals = strchr(value, '=');

    if (equals == NULL || equals == value || equals - value > 255)
        return fail(error, error_size, "--%s: '%s' is not KEY=VALUE", row->name, value);
    if (fields->count == OPTION_FIELDS_MAX)
        return fail(error, error_size, "--%s: given more than %d times", row->name,
                    OPTION_FIELDS_MAX);
    fields->items[fields->count++] = (struct option_field){
        .key = value, .key_size = (uint32_t)(equals - value), .value = equals + 1};
    return OPTIONS_RUN;
}

static enum options_outcome set_option(struct perf_options *o, const struct option_row *row,
                                       const char *value, char *error, size_t error_size)
{
    static const char *const types[] = {"default", "direct", "fanout", "topic", "headers"};
    void *field = (char *)o + row->offset;
    char why[128];

    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return OPTIONS_RUN;
    case OPTION_NO_FLAG:
        *(bool *)field = false;
        return OPTIONS_RUN;
    case OPTION_U32:
    case OPTION_U64:
    case OPTION_PID:
        return set_number(row, field, value, error, error_size);
    case OPTION_REAL:
        if (!read_real(value, (double *)field))
            return fail(error, error_size, "--%s: '%s' is not a number", row->name, value);
        return OPTIONS_RUN;
    case OPTION_STRING:
        if (strlen(value) > 200)
            return fail(error, error_size, "--%s: longer than 200 bytes", row->name);
        *(const char **)field = value;
        return OPTIONS_RUN;
    case OPTION_FIELDS:
        return set_field(row, field, value, error, error_size);
    case OPTION_SIZES:
        if (size_distribution_parse(field, value) != 0)
            return fail(error, error_size,
                        "--%s: '%s' is not a size, a range LOW..HIGH, or a list SIZE:WEIGHT,...",
                        row->name, value);
        return OPTIONS_RUN;
    case OPTION_URI:
        if (broker_address_parse(field, value, why, sizeof(why)) != 0)
            return fail(error, error_size, "--%s: %s", row->name, why);
        return OPTIONS_RUN;
    case OPTION_EXCHANGE_TYPE:
        for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
            if (strcmp(value, types[i]) == 0) {
                *(const char **)field = types[i];
                return OPTIONS_RUN;
            }
        }
        return fail(error, error_size,
                    "--%s: '%s' is not one of default, direct, fanout, topic, headers", row->name,
                    value);
    }
    return OPTIONS_WRONG;
}

static const struct option_row *find_option(const char *name, size_t length)
{
    for (unsigned i = 0; i < OPTIONS; i++)
        if (option_rows[i].name != NULL && strlen(option_rows[i].name) == length &&
            memcmp(option_rows[i].name, name, length) == 0)
            return &option_rows[i];
    return NULL;
}

/* Reads the mode and its N, when the command line begins with one. Returns how many words that
 * took, or -1. */
static int read_mode(struct perf_options *o, int argc, char **argv, char *error, size_t error_size)
{
    if (argc < 2 || argv[1][0] == '-')
        return 0;
    for (unsigned i = 0; i < MODES; i++) {
        if (strcmp(argv[1], mode_rows[i].name) != 0)
            continue;
        o->mode = mode_rows[i].mode;
        o->count = mode_rows[i].count;
        if (o->count == 0 || argc < 3 || argv[2][0] == '-')
            return 1;
        if (!read_number(argv[2], &o->count) || o->count == 0 || o->count > 100000000) {
            fail(error, error_size, "%s: '%s' is not a whole number from 1 to 100000000", argv[1],
                 argv[2]);
            return -1;
        }
        return 2;
    }
    fail(error, error_size, "unknown mode '%s'", argv[1]);
    return -1;
}

static void set_defaults(struct perf_options *o)
{
    char unused[128];

    *o = (struct perf_options){
        .mode = PERF_MODE_THROUGHPUT,
        .heartbeat_s = 60,
        .threads = 1,
        .producers = 1,
        .consumers = 1,
        .queues = 1,
        .queue_name = "leveret-perf-%d",
        .type = "default",
        .multi_ack = 1,
        .time_s = -1,
        .hold_s = 5,
        .connections = 1,
        .pipeline = 1,
        .progress = isatty(STDERR_FILENO) == 1,
    };
    broker_address_parse(&o->broker, "amqp://", unused, sizeof(unused));
}

/* What follows from the mode and from other options where nothing was said. */
static void complete(struct perf_options *o)
{
    if (o->size.count == 0)
        size_distribution_parse(&o->size, o->mode == PERF_MODE_LATENCY   ? "1024"
                                          : o->mode == PERF_MODE_BACKLOG ? "100"
                                                                         : "16");
    if (o->mode == PERF_MODE_LATENCY && o->rate == 0)
        o->rate = 5000;
    if (o->time_s < 0)
        o->time_s = o->messages != 0 ? 0 : 10;
    if (o->mode == PERF_MODE_BINDINGS)
        o->type = "topic";
    if (o->mode == PERF_MODE_IDLE_QUEUES && strcmp(o->type, "default") == 0)
        o->type = "direct";
    if (o->mode == PERF_MODE_BACKLOG) {
        o->consumers = 0;
        o->time_s = 0;
        o->messages = o->producers != 0 ? (o->count + o->producers - 1) / o->producers : 0;
        if (o->confirms == 0)
            o->confirms = BACKLOG_CONFIRMS;
    }
    if (o->keys == 0 || o->keys > o->count)
        o->keys = o->count;
    if (o->exchange == NULL)
        o->exchange = strcmp(o->type, "default") == 0   ? ""
                      : strcmp(o->type, "direct") == 0  ? "leveret-perf-direct"
                      : strcmp(o->type, "fanout") == 0  ? "leveret-perf-fanout"
                      : strcmp(o->type, "headers") == 0 ? "leveret-perf-headers"
                                                        : "leveret-perf-topic";
}

static enum options_outcome check(const struct perf_options *o, char *error, size_t error_size)
{
    if (o->queues > 1 && !pattern_varies(o->queue_name))
        return fail(error, error_size, "--queue-name: %u queues need a %%d in '%s'", o->queues,
                    o->queue_name);
    if ((o->mode == PERF_MODE_DECLARE || o->mode == PERF_MODE_IDLE_QUEUES) &&
        !pattern_varies(o->queue_name))
        return fail(error, error_size, "--queue-name: needs a %%d in '%s'", o->queue_name);
    if (strcmp(o->type, "default") == 0 && (o->routing_key != NULL || o->binding_key != NULL) &&
        !o->predeclared)
        return fail(error, error_size,
                    "--routing-key and --binding-key: the default exchange routes by queue name; "
                    "give --type or --predeclared");
    if (strcmp(o->type, "default") == 0 && o->exchange[0] != '\0' && !o->predeclared)
        return fail(error, error_size, "--exchange: give its --type as well");
    if (o->autoack && o->multi_ack > 1)
        return fail(error, error_size,
                    "--multi-ack: there is nothing to acknowledge with "
                    "--autoack");
    if (o->prefetch != 0 && o->multi_ack > o->prefetch)
        return fail(error, error_size,
                    "--multi-ack: %u is more than the --prefetch of %u, so that no message would "
                    "be acknowledged",
                    o->multi_ack, o->prefetch);
    if (o->producers == 0 && o->consumers == 0)
        return fail(error, error_size, "--producers and --consumers: both are 0");
    if (o->max_in_flight != 0 && o->consumers == 0)
        return fail(error, error_size, "--max-in-flight: needs consumers");
    if ((o->cert == NULL) != (o->key == NULL))
        return fail(error, error_size, "--cert and --key: one needs the other");
    if ((o->ca != NULL || o->cert != NULL || o->insecure) && !o->broker.tls)
        return fail(error, error_size, "--ca, --cert and --insecure: need an --uri of amqps://");
    return OPTIONS_RUN;
}

enum options_outcome options_parse(struct perf_options *o, int argc, char **argv, char *error,
                                   size_t error_size)
{
    int at;

    set_defaults(o);
    at = read_mode(o, argc, argv, error, error_size);
    if (at < 0)
        return OPTIONS_WRONG;

    for (at++; at < argc; at++) {
        const char *name = argv[at];
        size_t length;
        const struct option_row *row;
        const char *value = ""; /* of an option that takes none */
        enum options_outcome outcome;

        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
            return OPTIONS_HELP;
        if (strcmp(name, "--version") == 0)
            return OPTIONS_VERSION;
        if (strncmp(name, "--", 2) != 0)
            return fail(error, error_size, "unexpected '%s'", name);
        name += 2;
        length = strcspn(name, "=");
        row = find_option(name, length);
        if (row == NULL)
            return fail(error, error_size, "unknown option --%.*s", (int)length, name);
        if (row->argument == NULL && name[length] == '=')
            return fail(error, error_size, "--%s takes no value", row->name);
        if (row->argument != NULL) {
            value = name[length] == '=' ? name + length + 1 : at + 1 < argc ? argv[++at] : NULL;
            if (value == NULL)
                return fail(error, error_size, "--%s needs a value (%s)", row->name, row->argument);
        }
        outcome = set_option(o, row, value, error, error_size);
        if (outcome != OPTIONS_RUN)
            return outcome;
    }
    complete(o);
    return check(o, error, error_size);
}
