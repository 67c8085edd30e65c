/* What deliveries under a visibility timeout cost and how late they go back.
 *
 *   none   COUNT deliveries unacked, without a timeout
 *   burst  the same under one, which ends for all at the same moment
 *   paced  COUNT deliveries over time, of which each goes back once
 *
 * Writes one JSON object: what the broker's memory grew by for each delivery, how late messages
 * came again by the clock of this process, and what somebody else had to wait for an answer
 * meanwhile.
 *
 * usage: deadlines PORT BROKER_PID COUNT MODE */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LONG_MS 3600000
#define BURST_IN_MS 3000
#define PACED_TIMEOUT_MS 1000
#define PACED_PER_MS 50
#define LATENESS_MAX_MS 60000

static int port;
static uint32_t count;
static atomic_bool done;
static double slowest_other_ms;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static double clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pause_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static void check(amqp_connection_state_t c, const char *what)
{
    if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
        die("%s failed", what);
}

static amqp_connection_state_t open_connection(void)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);

    if (socket == NULL || amqp_socket_open(socket, "127.0.0.1", port) != 0)
        die("cannot connect to port %d", port);
    if (amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type !=
        AMQP_RESPONSE_NORMAL)
        die("cannot log in");
    amqp_channel_open(c, 1);
    check(c, "channel.open");
    return c;
}

/* 0: no timeout. */
static void declare(amqp_connection_state_t c, const char *queue, int timeout_ms)
{
    amqp_table_entry_t entry = {
        .key = amqp_cstring_bytes("x-visibility-timeout"),
        .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = timeout_ms},
    };
    amqp_table_t arguments = {.num_entries = timeout_ms != 0, .entries = &entry};

    amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 0, 0, 0, 0, arguments);
    check(c, "queue.declare");
}

/* The body is the message's number. */
static void publish(amqp_connection_state_t c, const char *queue, uint32_t number)
{
    amqp_bytes_t body = {.len = sizeof(number), .bytes = &number};

    if (amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes(queue), 0, 0, NULL, body) !=
        AMQP_STATUS_OK)
        die("basic.publish failed");
}

static void await_messages(amqp_connection_state_t c, const char *queue, uint32_t expected)
{
    for (;;) {
        const amqp_queue_declare_ok_t *ok =
            amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);

        if (ok == NULL)
            die("the queue is gone");
        if (ok->message_count == expected)
            return;
        amqp_maybe_release_buffers(c);
        pause_ms(10);
    }
}

struct taken {
    uint32_t number;
    uint64_t tag;
    bool redelivered;
};

static struct taken take(amqp_connection_state_t c)
{
    struct taken t = {.number = 0};
    amqp_envelope_t e;

    amqp_maybe_release_buffers(c);
    if (amqp_consume_message(c, &e, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
        die("the deliveries end");
    memcpy(&t.number, e.message.body.bytes, sizeof(t.number));
    t.tag = e.delivery_tag;
    t.redelivered = e.redelivered;
    amqp_destroy_envelope(&e);
    return t;
}

static long resident_bytes(int pid)
{
    char path[64];
    long size = 0;
    long pages = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%ld %ld", &size, &pages) != 2)
        die("cannot read %s", path);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* ---- Somebody else ---- */

static void *be_somebody_else(void *unused)
{
    amqp_connection_state_t c = open_connection();

    (void)unused;
    declare(c, "other", 0);
    while (!atomic_load(&done)) {
        double begin = clock_ms();

        publish(c, "other", 0);
        if (amqp_basic_get(c, 1, amqp_cstring_bytes("other"), 1).reply_type != AMQP_RESPONSE_NORMAL)
            die("basic.get failed");
        if (clock_ms() - begin > slowest_other_ms)
            slowest_other_ms = clock_ms() - begin;
        amqp_maybe_release_buffers(c);
        pause_ms(1);
    }
    return NULL;
}

/* ---- Lateness ---- */

static uint32_t histogram[LATENESS_MAX_MS];
static double latest_ms;

static void note_lateness(double ms)
{
    uint32_t slot = ms <= 0 ? 0 : ms < LATENESS_MAX_MS ? (uint32_t)ms : LATENESS_MAX_MS - 1;

    histogram[slot]++;
    if (ms > latest_ms)
        latest_ms = ms;
}

static uint32_t lateness_ms(double share)
{
    uint64_t wanted = (uint64_t)(share * count);
    uint64_t seen = 0;
    uint32_t ms = 0;

    while (ms < LATENESS_MAX_MS && (seen += histogram[ms]) < wanted)
        ms++;
    return ms;
}

/* ---- Modes ---- */

/* All that the channel holds is to go back in BURST_IN_MS. */
static void shorten_all(amqp_connection_state_t c)
{
    amqp_table_entry_t entries[] = {
        {.key = amqp_cstring_bytes("delivery-tag"),
         .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 0}},
        {.key = amqp_cstring_bytes("visibility-timeout"),
         .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = BURST_IN_MS}},
    };
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                 .headers = {.num_entries = 2, .entries = entries}};

    if (amqp_basic_publish(c, 1, amqp_cstring_bytes("amq.lease"), amqp_empty_bytes, 0, 0, &p,
                           amqp_empty_bytes) != AMQP_STATUS_OK)
        die("basic.publish failed");
}

static void hold(int pid, bool burst)
{
    amqp_connection_state_t c = open_connection();
    pthread_t other;
    long before;
    long after;
    double due_ms;

    declare(c, "held", burst ? LONG_MS : 0);
    for (uint32_t i = 0; i < count; i++)
        publish(c, "held", i);
    await_messages(c, "held", count);
    before = resident_bytes(pid);
    amqp_basic_consume(c, 1, amqp_cstring_bytes("held"), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check(c, "basic.consume");
    for (uint32_t i = 0; i < count; i++)
        take(c);
    after = resident_bytes(pid);
    if (burst) {
        pthread_create(&other, NULL, be_somebody_else, NULL);
        due_ms = clock_ms() + BURST_IN_MS;
        shorten_all(c);
        for (uint32_t i = 0; i < count; i++) {
            take(c);
            note_lateness(clock_ms() - due_ms);
        }
        atomic_store(&done, true);
        pthread_join(other, NULL);
    }
    printf("{\"bytes_each\": %.1f", (double)(after - before) / count);
}

static void *publish_paced(void *unused)
{
    amqp_connection_state_t c = open_connection();
    double begin = clock_ms();

    (void)unused;
    for (uint32_t i = 0; i < count; i++) {
        while ((clock_ms() - begin) * PACED_PER_MS < i)
            pause_ms(1);
        publish(c, "paced", i);
    }
    return NULL;
}

static void pace(void)
{
    amqp_connection_state_t c = open_connection();
    double *taken_ms = calloc(count, sizeof(*taken_ms));
    pthread_t publisher;
    pthread_t other;

    declare(c, "paced", PACED_TIMEOUT_MS);
    amqp_basic_consume(c, 1, amqp_cstring_bytes("paced"), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check(c, "basic.consume");
    pthread_create(&other, NULL, be_somebody_else, NULL);
    pthread_create(&publisher, NULL, publish_paced, NULL);
    for (uint32_t again = 0; again < count;) {
        struct taken t = take(c);

        if (!t.redelivered) {
            taken_ms[t.number] = clock_ms();
            continue;
        }
        note_lateness(clock_ms() - taken_ms[t.number] - PACED_TIMEOUT_MS);
        amqp_basic_ack(c, 1, t.tag, 0);
        again++;
    }
    atomic_store(&done, true);
    pthread_join(publisher, NULL);
    pthread_join(other, NULL);
    free(taken_ms);
    printf("{\"per_s\": %d", PACED_PER_MS * 1000);
}

int main(int argc, char **argv)
{
    bool holds;

    if (argc != 5)
        die("usage: deadlines PORT BROKER_PID COUNT none|burst|paced");
    port = atoi(argv[1]);
    count = (uint32_t)strtoul(argv[3], NULL, 10);
    holds = strcmp(argv[4], "paced") != 0;
    if (holds)
        hold(atoi(argv[2]), strcmp(argv[4], "burst") == 0);
    else
        pace();
    if (strcmp(argv[4], "none") == 0) {
        puts("}");
        return 0;
    }
    printf(", \"late_p50_ms\": %u, \"late_p99_ms\": %u, \"late_p999_ms\": %u, \"late_max_ms\": "
           "%.1f, \"other_max_ms\": %.1f}\n",
           lateness_ms(0.5), lateness_ms(0.99), lateness_ms(0.999), latest_ms, slowest_other_ms);
    return 0;
}
