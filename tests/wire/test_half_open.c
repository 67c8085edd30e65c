/* Connections that stall before the login, ten thousand of them: they cost little, hold up nobody,
 * and end in time; and those beyond the limits give way to newer ones. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/wire/tls_client.h"
#include "tests/wire/tls_files.h"

#include "tests/wire/witness.h"

enum {
    PEERS = 10000,
    TLS_PEERS = 500,
    SANITIZED_PEERS = 1000, /* sanitizers take their time for each */
    /* So many are connected before the others' turn: fewer than a listener's backlog, so that none
     * has to come again. */
    WAVE = 500,
    /* Descriptors that the test and the broker need beside those of the peers. */
    SPARE = 200,
    LIMITED = 1000,
    SURPLUS = 30,
    RESERVE = 64, /* descriptors that the broker keeps for other things than connections */
    TIMEOUT_MS = 3000,
    SHORT_TIMEOUT_MS = 1500, /* where fewer come */
    PEER_KIB = 2,
    TLS_PEER_KIB = 64,
    PARTS = 7,
    WORKERS = 2,
    LINES_A_SECOND = 20, /* of a worker, of one kind */
    FLOOD_PAUSE_US = 200,
    COMERS = 50,
};

static struct broker *broker;
static uint16_t port; /* that peers connect to */
static int peers[PEERS];
static int peer_count;
static struct witness others;

/* The log has a line of each of `count`, or says how many it left out. */
static void expect_lines_of(int count, const char *line, const char *left_out)
{
    int64_t deadline = now_ms() + deadline_ms();
    int told;

    do {
        told = (int)(broker_log_count(broker, line) + broker_log_sum(broker, left_out));
    } while (told < count && now_ms() < deadline);
    ck_assert_int_eq(told, count);
}

/* Somebody new gets in. */
static void one_comes_in(void)
{
    struct channel *ch = open_channel(connect_client_to(broker));

    declare_queue(ch, "new", EXCLUSIVE, NO_ARGS);
    close_client(ch->client);
}

static void start(const char *limits)
{
    char config[2048];

    snprintf(config, sizeof(config),
             "listeners:\n"
             "  - {address: 127.0.0.1, port: @PORT@}\n"
             "  - address: 127.0.0.1\n"
             "    port: 0\n"
             "    tls: {certificate: %s, key: %s}\n"
             "workers: @WORKERS@\n"
             "limits: {%s}\n",
             tls_file("server.pem"), tls_file("server_key.pem"), limits);
    broker = broker_start_with_workers(config, WORKERS);
    witness_begin(&others, open_channel(connect_client_to(broker)));
    port = broker_port(broker);
}

static void stop(void)
{
    close_client(others.channel->client);
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

/* ---- The peers ---- */

static int connect_peer(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, broker_host(broker), &address.sin_addr);
    ck_assert_msg(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s",
                  strerror(errno));
    return fd;
}

/* Connects peer 0, and sees that it has been accepted: whatever comes now is newer. */
static void connect_first_peer(void)
{
    uint8_t start[4096];

    peers[0] = connect_peer();
    peer_count = 1;
    ck_assert(send(peers[0], "AMQP\0\0\x09\x01", 8, MSG_NOSIGNAL) == 8);
    ck_assert(recv(peers[0], start, sizeof(start), 0) > 0);
}

/* Connects peers until there are `count`. */
static void connect_peers(int count)
{
    for (int i = peer_count; i < count; i++) {
        peers[i] = connect_peer();
        peer_count = i + 1;
        if (i % WAVE == WAVE - 1)
            witness_work(&others, 1);
    }
}

/* Whether it has not been closed. */
static bool is_held(int peer)
{
    char byte;
    ssize_t n = recv(peers[peer], &byte, 1, MSG_DONTWAIT | MSG_PEEK);

    return n > 0 || (n < 0 && errno == EAGAIN);
}

static int held_peers(void)
{
    int held = 0;

    for (int i = 0; i < peer_count; i++)
        held += is_held(i);
    return held;
}

/* Ends when they all have been closed. */
static void expect_ends(void)
{
    struct timeval deadline = {.tv_sec = deadline_ms() / 1000};
    char answer[4096];

    for (int i = 0; i < peer_count; i++) {
        ssize_t n;

        setsockopt(peers[i], SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
        do {
            n = recv(peers[i], answer, sizeof(answer), 0);
        } while (n > 0);
        ck_assert_msg(n == 0 || errno == ECONNRESET, "peer %d: %s", i, strerror(errno));
        if (i % WAVE == WAVE - 1)
            witness_work(&others, 1);
        close(peers[i]);
    }
}

static int open_descriptors(void)
{
    char path[64];
    struct dirent *entry;
    int count = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)broker_pid(broker));
    d = opendir(path);
    ck_assert_ptr_nonnull(d);
    while ((entry = readdir(d)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

/* Ends when the broker has closed what was opened since it had `count`. */
static void await_descriptors(int count)
{
    int64_t deadline = now_ms() + deadline_ms();

    while (open_descriptors() > count) {
        ck_assert_msg(now_ms() < deadline, "connections stay open");
        usleep(1000);
    }
}

/* As many as descriptors allow, on both sides. */
static int number_of_peers(int most)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)most + SPARE)
        most = (int)limit.rlim_cur - SPARE;
    return most;
}

/* ---- What they do not do ---- */

struct opening {
    uint8_t data[4096];
    size_t size;
};

/* What a client sends first, to a listener with TLS or without. */
static struct opening make_opening(bool tls)
{
    const struct tls_terms terms = {.port = broker_listener_port(broker, 1)};
    struct opening o = {.data = "AMQP\0\0\x09\x01", .size = 8};
    struct tls_client *c;

    if (!tls)
        return o;
    c = tls_client_new(&terms);
    o.size = tls_client_take_output(c, o.data, sizeof(o.data));
    tls_client_free(c);
    return o;
}

static void start_for(int count, bool tls, int timeout_ms)
{
    char limits[128];

    snprintf(limits, sizeof(limits),
             "max_connections: %d, max_handshakes: %d, handshake_timeout_ms: %d", count + SPARE / 2,
             count + SPARE / 2, timeout_ms);
    start(limits);
    port = broker_listener_port(broker, tls ? 1 : 0);
}

static void send_part(int peer, const struct opening *o, size_t from, size_t to)
{
    ck_assert(send(peers[peer], o->data + from, to - from, MSG_NOSIGNAL) == (ssize_t)(to - from));
}

/* Half of them send nothing, half what comes first in parts, and not its last byte. */
START_TEST(half_open_connections_cost_little_and_end_in_time)
{
    int count = number_of_peers(broker_is_sanitized() ? SANITIZED_PEERS : PEERS);
    bool tls = _i == 1;
    struct opening opening;
    int64_t begin;
    int descriptors;
    long before;
    long growth;
    int held;

    start_for(count, tls, TIMEOUT_MS);
    opening = make_opening(tls);
    before = broker_resident_kib(broker);
    descriptors = open_descriptors();
    begin = now_ms();
    connect_peers(count);
    for (size_t part = 0; part < PARTS; part++) {
        for (int i = 0; i < count; i += 2)
            send_part(i, &opening, (opening.size - 1) * part / PARTS,
                      (opening.size - 1) * (part + 1) / PARTS);
        witness_work(&others, 1);
    }
    one_comes_in();
    held = held_peers();
    growth = broker_resident_kib(broker) - before;
    printf("a half-open connection takes %.1f KiB\n", (double)growth / count);
    if (now_ms() - begin < TIMEOUT_MS)
        ck_assert_int_eq(held, count);
    if (!broker_is_sanitized())
        ck_assert_int_le(growth, (long)PEER_KIB * count);

    expect_ends();
    expect_lines_of(count, " ms (limits.handshake_timeout_ms)",
                    " more handshakes took too long (limits.handshake_timeout_ms); ");
    one_comes_in();
    witness_was_served(&others, 10);
    ck_assert_int_le(open_descriptors(), descriptors + 1);
    stop();
}
END_TEST

/* Who begins with TLS as it should be has OpenSSL's memory, and does not go on. */
START_TEST(tls_handshakes_without_an_end_cost_what_openssl_needs)
{
    struct opening opening;
    int64_t begin;
    long before;
    long growth;

    start_for(TLS_PEERS, true, SHORT_TIMEOUT_MS);
    opening = make_opening(true);
    before = broker_resident_kib(broker);
    begin = now_ms();
    connect_peers(TLS_PEERS);
    for (int i = 0; i < TLS_PEERS; i++)
        send_part(i, &opening, 0, opening.size);
    for (int i = 0; i < TLS_PEERS; i++) {
        struct pollfd answer = {.fd = peers[i], .events = POLLIN};

        ck_assert_int_eq(poll(&answer, 1, deadline_ms()), 1);
        if (i % 50 == 0)
            witness_work(&others, 1);
    }
    growth = broker_resident_kib(broker) - before;
    printf("amid its TLS handshake a connection takes %.1f KiB\n", (double)growth / TLS_PEERS);
    if (!broker_is_sanitized() && now_ms() - begin < SHORT_TIMEOUT_MS)
        ck_assert_int_le(growth, (long)TLS_PEER_KIB * TLS_PEERS);
    expect_ends();
    witness_was_served(&others, 10);
    stop();
}
END_TEST

/* ---- Limits ---- */

static const struct {
    const char *limits; /* of LIMITED connections */
    bool of_files;      /* that the broker may open */
    bool of_all;        /* so that the witness has one of them */
    const char *told;
} LIMITS[] = {
    {"max_handshakes: 1000", false, false, "the limit of 1000 (limits.max_handshakes) is reached"},
    {"max_connections: 1000", false, true, "the limit of 1000 (limits.max_connections) is reached"},
    /* Where the configuration has no limit, open files are one: the broker inherits the test's. */
    {"max_connections: 0", true, true,
     "the limit of 1000 (limits.max_connections, as far as the limit on open files allows) is "
     "reached"},
};

static void start_limited(int number, const char *more)
{
    const struct rlimit files = {.rlim_cur = LIMITED + RESERVE, .rlim_max = LIMITED + RESERVE};
    char limits[128];

    if (LIMITS[number].of_files)
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    snprintf(limits, sizeof(limits), "%s%s", LIMITS[number].limits, more);
    start(limits);
}

START_TEST(half_open_connections_beyond_a_limit_give_way_to_newer_ones)
{
    const int most = LIMITS[_i].of_all ? LIMITED - 1 : LIMITED;
    bool holds_oldest;
    bool holds_newest;
    int64_t begin;
    int held;
    char more[64];

    snprintf(more, sizeof(more), ", handshake_timeout_ms: %d", SHORT_TIMEOUT_MS);
    start_limited(_i, more);
    begin = now_ms();
    connect_first_peer();
    connect_peers(LIMITED + SURPLUS);
    while (held_peers() > most && now_ms() - begin < SHORT_TIMEOUT_MS)
        witness_work(&others, 1);
    held = held_peers();
    holds_oldest = is_held(0);
    holds_newest = is_held(peer_count - 1);
    if (now_ms() - begin < SHORT_TIMEOUT_MS) {
        ck_assert_int_eq(held, most);
        ck_assert(!holds_oldest);
        ck_assert(holds_newest);
    }
    ck_assert(broker_log_awaits(broker, LIMITS[_i].told));
    for (int i = 0; i < 20; i++)
        witness_work(&others, 1);
    expect_ends();
    one_comes_in();
    witness_was_served(&others, 10);
    stop();
}
END_TEST

/* Whichever worker has the one that does not log in, and whichever the newer one. */
START_TEST(the_only_one_without_a_login_gives_way)
{
    enum { PLACES = 10, ROUNDS = 20 };
    struct client *clients[PLACES - 2];
    int descriptors;

    start("max_connections: 10");
    for (int i = 0; i < PLACES - 2; i++)
        clients[i] = connect_client_to(broker);
    descriptors = open_descriptors();
    for (int round = 0; round < ROUNDS; round++) {
        connect_first_peer();
        one_comes_in();
        expect_ends();
        await_descriptors(descriptors);
    }
    for (int i = 0; i < PLACES - 2; i++)
        close_client(clients[i]);
    stop();
}
END_TEST

struct flood {
    pthread_t thread;
    atomic_bool stop;
    atomic_uint peers;
};

/* Opens connections as fast as it can and keeps more of them than there may be. */
static void *run_flood(void *argument)
{
    enum { KEPT = 2 * LIMITED };
    static int kept[KEPT];
    struct flood *f = argument;

    memset(kept, -1, sizeof(kept));
    for (unsigned i = 0; !atomic_load(&f->stop); i++) {
        if (kept[i % KEPT] >= 0)
            close(kept[i % KEPT]);
        kept[i % KEPT] = connect_peer();
        atomic_store(&f->peers, i + 1);
        usleep(FLOOD_PAUSE_US);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        if (kept[i] >= 0)
            close(kept[i]);
    }
    return NULL;
}

/* Thousands a second that never log in keep nobody out that does, and fill no log. */
START_TEST(flood_of_half_open_connections_keeps_nobody_out)
{
    struct flood f = {.stop = false};
    int64_t begin = now_ms();
    unsigned lines;
    int64_t seconds;

    number_of_peers(PEERS);
    start_limited(_i, "");
    pthread_create(&f.thread, NULL, run_flood, &f);
    while (atomic_load(&f.peers) < LIMITED + SURPLUS)
        usleep(1000);
    for (int i = 0; i < COMERS; i++) {
        one_comes_in();
        witness_work(&others, 1);
    }
    atomic_store(&f.stop, true);
    pthread_join(f.thread, NULL);
    witness_was_served(&others, 10);
    ck_assert(broker_log_awaits(broker, " more connections that had not logged in gave way"));
    seconds = (now_ms() - begin) / 1000 + 1;
    lines = broker_log_count(broker, "gives way to a newer connection");
    ck_assert_msg(lines <= (seconds + 1) * WORKERS * LINES_A_SECOND, "%u lines in %ld s", lines,
                  (long)seconds);
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("half_open");
    TCase *tcase = tcase_create("half_open");

    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, half_open_connections_cost_little_and_end_in_time, 0, 2);
    tcase_add_test(tcase, tls_handshakes_without_an_end_cost_what_openssl_needs);
    tcase_add_loop_test(tcase, half_open_connections_beyond_a_limit_give_way_to_newer_ones, 0,
                        sizeof(LIMITS) / sizeof(LIMITS[0]));
    tcase_add_test(tcase, the_only_one_without_a_login_gives_way);
    tcase_add_loop_test(tcase, flood_of_half_open_connections_keeps_nobody_out, 0, 2);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
