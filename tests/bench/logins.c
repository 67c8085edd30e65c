/* Logs in at a fixed rate, as USER-0, USER-1, ... or as USER each time, each time over a connection
 * of its own that opens the virtual host "/" and closes. A login begins when it is due, however
 * long others take, as long as no more than THREADS are on their way; its time counts from when it
 * was due.
 *
 * Says "logging in" with the first that succeeded, and its figures as JSON when all are done or
 * with SIGTERM. A login that fails ends it with 1.
 *
 * usage: logins PORT USER PASSWORD RATE COUNT [FIRST]   (FIRST: number of the first user) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS = 16,
    THREAD_STACK = 256 * 1024,
    FRAME_HEADER_SIZE = 7,
    PAYLOAD_MAX = 8192,
    NAME_MAX_SIZE = 128,
    COUNT_MAX = 1 << 20,
};

static uint16_t port;
static const char *user;
static const char *password;
static double rate;
static long count;
static long first = -1;
static int64_t begun_ns;
static int64_t *latencies_ns; /* of `count`, by number; 0: not done */
static atomic_bool announced;
static atomic_bool ending;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fail(const char *who, const char *what)
{
    fprintf(stderr, "logins: %s: %s%s%s\n", who, what, errno != 0 ? ": " : "",
            errno != 0 ? strerror(errno) : "");
    exit(1);
}

static void put_16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* Appends a method's frame of channel 0; returns the size then. */
static size_t put_method(uint8_t *out, size_t size, unsigned method_id, const void *arguments,
                         size_t arguments_size)
{
    uint8_t *p = out + size;

    memset(p, 0, FRAME_HEADER_SIZE);
    p[0] = 1;
    put_16(p + 5, (unsigned)arguments_size + 4);
    put_16(p + 7, 10); /* connection */
    put_16(p + 9, method_id);
    if (arguments_size != 0)
        memcpy(p + 11, arguments, arguments_size);
    p[11 + arguments_size] = 0xce;
    return size + arguments_size + 12;
}

/* Sends, and takes the frame of a method that answers; another ends the program. */
static void ask(int fd, const char *who, const uint8_t *data, size_t size, unsigned answer_id)
{
    uint8_t head[FRAME_HEADER_SIZE];
    uint8_t payload[PAYLOAD_MAX];
    size_t payload_size;

    errno = 0;
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail(who, "send");
    if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head))
        fail(who, "the broker ended the connection");
    payload_size = ((size_t)head[5] << 8 | head[6]) + 1;
    if (payload_size < 5 || payload_size > sizeof(payload) ||
        recv(fd, payload, payload_size, MSG_WAITALL) != (ssize_t)payload_size)
        fail(who, "no whole frame");
    if (payload[1] == 10 && payload[3] == answer_id)
        return;
    fprintf(stderr, "logins: %s: method %d.%d instead of 10.%u\n", who, payload[1], payload[3],
            answer_id);
    exit(1);
}

static size_t put_start_ok(uint8_t *out, const char *who)
{
    uint8_t arguments[1024] = {0};
    size_t who_size = strlen(who);
    size_t password_size = strlen(password);
    size_t at = 4; /* no properties */

    memcpy(arguments + at, "\005PLAIN\0\0", 8);
    put_16(arguments + at + 8, (unsigned)(who_size + password_size + 2));
    at += 11; /* with the empty identity to act as */
    memcpy(arguments + at, who, who_size);
    at += who_size + 1;
    memcpy(arguments + at, password, password_size);
    at += password_size;
    memcpy(arguments + at, "\005en_US", 6);
    return put_method(out, 0, 11, arguments, at + 6);
}

static void log_in(const char *who, long number, int64_t due_ns)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t out[2048];
    int one = 1;
    size_t size;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        fail(who, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ask(fd, who, (const uint8_t *)"AMQP\0\0\011\001", 8, 10);
    size = put_start_ok(out, who);
    ask(fd, who, out, size, 30);
    size = put_method(out, 0, 31, "\0\144\0\002\0\0\0\0", 8);
    size = put_method(out, size, 40, "\001/\0\0", 4);
    ask(fd, who, out, size, 41);
    latencies_ns[number] = now_ns() - due_ns;
    size = put_method(out, 0, 50, "\0\310\0\0\0\0\0", 7);
    ask(fd, who, out, size, 51);
    close(fd);
    if (!atomic_exchange(&announced, true)) {
        printf("logging in\n");
        fflush(stdout);
    }
}

/* Every THREADS-th login. */
static void *run(void *context)
{
    for (long i = *(const int *)context; i < count && !atomic_load(&ending); i += THREADS) {
        int64_t due_ns = begun_ns + (int64_t)((double)i / rate * 1e9);
        struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000),
                               .tv_nsec = (long)(due_ns % 1000000000)};
        char who[NAME_MAX_SIZE];

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
            ;
        if (atomic_load(&ending))
            break;
        if (first >= 0)
            snprintf(who, sizeof(who), "%s-%ld", user, first + i);
        else
            snprintf(who, sizeof(who), "%s", user);
        log_in(who, i, due_ns);
    }
    return NULL;
}

/* Ends it with the logins that are on their way. */
static void *await_signal(void *context)
{
    int number;

    sigwait(context, &number);
    atomic_store(&ending, true);
    return NULL;
}

static void run_all(void)
{
    static int numbers[THREADS];
    static pthread_t threads[THREADS];
    static sigset_t signals;
    pthread_t waiter;
    pthread_attr_t small;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, THREAD_STACK);
    begun_ns = now_ns();
    errno = pthread_create(&waiter, &small, await_signal, &signals);
    for (int i = 0; i < THREADS && errno == 0; i++) {
        numbers[i] = i;
        errno = pthread_create(&threads[i], &small, run, &numbers[i]);
    }
    if (errno != 0)
        fail(user, "pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static double percentile_ms(long done, long percent)
{
    int64_t latency_ns = latencies_ns[(done - 1) * percent / 100];

    return (double)latency_ns / 1e6;
}

static double microseconds(struct timeval a, struct timeval b)
{
    return (double)(a.tv_sec + b.tv_sec) * 1e6 + (double)(a.tv_usec + b.tv_usec);
}

static int report(void)
{
    double seconds = (double)(now_ns() - begun_ns) / 1e9;
    struct rusage used;
    long done = 0;

    for (long i = 0; i < count; i++) {
        if (latencies_ns[i] != 0)
            latencies_ns[done++] = latencies_ns[i];
    }
    if (done == 0)
        return 1;
    qsort(latencies_ns, (size_t)done, sizeof(*latencies_ns), compare);
    getrusage(RUSAGE_SELF, &used);
    printf("{\"logins\": %ld, \"per_s\": %.1f, \"login_p50_ms\": %.2f, \"login_p99_ms\": %.2f, "
           "\"generator_cpu_us_each\": %.1f}\n",
           done, (double)done / seconds, percentile_ms(done, 50), percentile_ms(done, 99),
           microseconds(used.ru_utime, used.ru_stime) / (double)done);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 || argc == 7) {
        port = (uint16_t)strtoul(argv[1], NULL, 10);
        user = argv[2];
        password = argv[3];
        rate = strtod(argv[4], NULL);
        count = strtol(argv[5], NULL, 10);
        first = argc == 7 ? strtol(argv[6], NULL, 10) : -1;
    }
    if (port == 0 || !(rate > 0) || count < 1 || count > COUNT_MAX ||
        strlen(user) > NAME_MAX_SIZE / 2 || strlen(password) > NAME_MAX_SIZE) {
        fprintf(stderr, "usage: logins PORT USER PASSWORD RATE COUNT [FIRST]\n");
        return 2;
    }
    latencies_ns = calloc((size_t)count, sizeof(*latencies_ns));
    if (latencies_ns == NULL)
        fail(user, "memory");
    run_all();
    return report();
}
