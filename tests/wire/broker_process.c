#include "tests/wire/broker_process.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_STEP_MS = 5,
    STOP_TIMEOUT_MS = 5000,
    LOG_TAIL_SIZE = 16 * 1024,
};

struct broker {
    bool external;
    bool reaped;
    bool killed;
    int exit_status;
    pid_t pid;
    uint16_t port;
    char host[64];
    char directory[256];
};

static int workers_of_run = 1;
static char scratch[256];
static pid_t scratch_owner;

bool against_oracle(void)
{
    const char *address = getenv("LEVERET_TEST_BROKER");

    return address != NULL && address[0] != '\0';
}

static bool test_follow_queues;

int test_workers(void)
{
    return workers_of_run;
}

void set_test_workers(int workers, bool follow_queues)
{
    test_follow_queues = follow_queues;
    workers_of_run = workers;
}

int deadline_ms(void)
{
    const char *text = getenv("LEVERET_TEST_DEADLINE_MS");
    int value = text != NULL ? atoi(text) : 0;

    return value > 0 ? value : 10000;
}

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};

    nanosleep(&t, NULL);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void remove_scratch(void)
{
    if (scratch_owner == getpid())
        remove_tree(scratch);
}

static void make_directory(char *path, size_t size)
{
    const char *base = getenv("TMPDIR");

    snprintf(path, size, "%s/leveret-wire-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL)
        ck_abort_msg("cannot make a directory %s: %s", path, strerror(errno));
}

const char *scratch_directory(void)
{
    if (scratch_owner != getpid()) {
        make_directory(scratch, sizeof(scratch));
        scratch_owner = getpid();
        atexit(remove_scratch);
    }
    return scratch;
}

/* Reads at most `size` - 1 bytes from the file's end and terminates them. */
static size_t read_tail(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end;
    ssize_t n;

    text[0] = '\0';
    if (fd < 0)
        return 0;
    end = lseek(fd, 0, SEEK_END);
    lseek(fd, end > (off_t)size - 1 ? end - (off_t)size + 1 : 0, SEEK_SET);
    n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* On the heap, with a zero byte behind it; nothing while there is no such file. */
static char *content_of(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *content;

    if (fd < 0 && errno == ENOENT)
        return calloc(1, 1);
    if (fd < 0 || fstat(fd, &st) < 0)
        ck_abort_msg("cannot read %s: %s", path, strerror(errno));
    content = calloc(1, (size_t)st.st_size + 1);
    if (content == NULL || read(fd, content, (size_t)st.st_size) < 0)
        ck_abort_msg("cannot read %s: %s", path, strerror(errno));
    close(fd);
    return content;
}

/* How often. */
static unsigned file_holds(const char *path, const char *text)
{
    char *content = content_of(path);
    unsigned found = 0;

    for (const char *at = content; (at = strstr(at, text)) != NULL; at++)
        found++;
    free(content);
    return found;
}

static void file_path(const struct broker *b, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", b->directory, name);
}

/* A part of the deadline: tests wait for its end. */
static int handshake_timeout_ms(void)
{
    return deadline_ms() / 5;
}

/* Writes `config` with its variables replaced. */
static void write_config(const struct broker *b, const char *config, int workers)
{
    char path[512];
    FILE *f;

    file_path(b, "leveret.yaml", path, sizeof(path));
    f = fopen(path, "we");
    if (f == NULL)
        ck_abort_msg("cannot write %s: %s", path, strerror(errno));
    for (const char *p = config; *p != '\0';) {
        if (strncmp(p, "@PORT@", 6) == 0) {
            fprintf(f, "%u", b->port);
            p += 6;
        } else if (strncmp(p, "@WORKERS@", 9) == 0) {
            fprintf(f, "%d\nfollow_queues: %s", workers, test_follow_queues ? "true" : "false");
            p += 9;
        } else if (strncmp(p, "@HANDSHAKE_MS@", 14) == 0) {
            fprintf(f, "%d", handshake_timeout_ms());
            p += 14;
        } else {
            fputc(*p++, f);
        }
    }
    fclose(f);
}

static const char *leveretd_path(void)
{
    const char *path = getenv("LEVERETD");

    return path != NULL ? path : "./leveretd";
}

bool broker_is_sanitized(void)
{
    int fd = open(leveretd_path(), O_RDONLY | O_CLOEXEC);
    bool sanitized;
    struct stat st;
    void *image;

    if (fd < 0)
        return false;
    ck_assert_int_eq(fstat(fd, &st), 0);
    image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    ck_assert_ptr_ne(image, MAP_FAILED);
    sanitized = memmem(image, (size_t)st.st_size, "__asan_init", strlen("__asan_init")) != NULL ||
                memmem(image, (size_t)st.st_size, "__tsan_init", strlen("__tsan_init")) != NULL;
    munmap(image, (size_t)st.st_size);
    return sanitized;
}

static void run_leveretd(const struct broker *b)
{
    char config[512];
    char data[512];
    char log[512];
    const char *preload = getenv("LEVERETD_PRELOAD");
    int fd;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    file_path(b, "leveret.yaml", config, sizeof(config));
    file_path(b, "data", data, sizeof(data));
    file_path(b, "log", log, sizeof(log));
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0640);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    if (preload != NULL) {
        setenv("LD_PRELOAD", preload, 1);
        setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    }
    execl(leveretd_path(), "leveretd", "--config", config, "--data-dir", data, (char *)NULL);
    fprintf(stderr, "cannot run %s: %s\n", leveretd_path(), strerror(errno));
    _exit(127);
}

void broker_show_log(const struct broker *b)
{
    static char text[LOG_TAIL_SIZE];
    char path[512];

    if (b->external)
        return;
    file_path(b, "log", path, sizeof(path));
    read_tail(path, text, sizeof(text));
    fprintf(stderr, "---- the broker's log ends with\n%s----\n", text);
}

int broker_wait(struct broker *b, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;
    int status;

    while (!b->reaped) {
        pid_t pid = waitpid(b->pid, &status, WNOHANG);

        if (pid == b->pid) {
            b->reaped = true;
            b->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        } else if (now_ms() >= deadline) {
            return -1;
        } else {
            pause_ms(POLL_STEP_MS);
        }
    }
    return b->exit_status;
}

/* Finds the port in the line "… listening on HOST:PORT" of a listener; 0 while there is none. */
static uint16_t find_port(const char *line, int number)
{
    const char *host_end;

    for (int i = 0; i <= number; i++) {
        line = strstr(line, "listening on ");
        if (line == NULL || strchr(line, '\n') == NULL)
            return 0;
        line += strlen("listening on ");
    }
    /* "127.0.0.1:5672" or "[::1]:5672" */
    host_end = strchr(line, *line == '[' ? ']' : ':');
    if (host_end == NULL)
        return 0;
    return (uint16_t)strtoul(host_end + (*host_end == ']' ? 2 : 1), NULL, 10);
}

static uint16_t listening_port(const struct broker *b, int number)
{
    char path[512];
    char *log;
    uint16_t port;

    file_path(b, "log", path, sizeof(path));
    log = content_of(path);
    port = find_port(log, number);
    free(log);
    return port;
}

struct broker *broker_prepare(void)
{
    struct broker *b = calloc(1, sizeof(*b));
    char data[512];

    make_directory(b->directory, sizeof(b->directory));
    snprintf(b->host, sizeof(b->host), "127.0.0.1");
    broker_data_directory(b, data, sizeof(data));
    if (mkdir(data, 0750) < 0)
        ck_abort_msg("cannot make %s: %s", data, strerror(errno));
    b->reaped = true;
    b->killed = true;
    return b;
}

void broker_launch(struct broker *b, const char *config, int workers)
{
    int64_t deadline = now_ms() + 6 * deadline_ms();
    char log[512];
    char log_before[512];

    file_path(b, "log", log, sizeof(log));
    file_path(b, "log.before", log_before, sizeof(log_before));
    rename(log, log_before);
    b->port = 0;
    b->reaped = false;
    b->killed = false;
    write_config(b, config, workers);
    b->pid = fork();
    if (b->pid == 0)
        run_leveretd(b);
    while ((b->port = listening_port(b, 0)) == 0) {
        if (broker_wait(b, POLL_STEP_MS) >= 0 || now_ms() >= deadline) {
            broker_show_log(b);
            if (!b->reaped)
                kill(b->pid, SIGKILL);
            ck_abort_msg("the broker does not come up (exit status %d)", b->exit_status);
        }
    }
}

struct broker *broker_start_with_workers(const char *config, int workers)
{
    struct broker *b = broker_prepare();

    broker_launch(b, config, workers);
    return b;
}

struct broker *broker_start(const char *config)
{
    return broker_start_with_workers(config, test_workers());
}

struct broker *broker_external(const char *address)
{
    struct broker *b = calloc(1, sizeof(*b));
    const char *colon = strrchr(address, ':');

    if (colon == NULL)
        ck_abort_msg("LEVERET_TEST_BROKER must be host:port, not '%s'", address);
    b->external = true;
    snprintf(b->host, sizeof(b->host), "%.*s", (int)(colon - address), address);
    b->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return b;
}

static bool no_sanitizer_reports(const struct broker *b)
{
    char path[512];

    file_path(b, "log", path, sizeof(path));
    if (access(path, F_OK) < 0 ||
        (!file_holds(path, "Sanitizer") && !file_holds(path, "runtime error:")))
        return true;
    fprintf(stderr, "a sanitizer reports on the broker\n");
    return false;
}

bool broker_kill(struct broker *b)
{
    bool good;

    if (!b->reaped)
        kill(b->pid, SIGKILL);
    good = broker_wait(b, STOP_TIMEOUT_MS) == 128 + SIGKILL;
    if (!good)
        fprintf(stderr, "the broker had ended by itself with status %d\n", b->exit_status);
    good = no_sanitizer_reports(b) && good;
    if (!good)
        broker_show_log(b);
    b->killed = true;
    return good;
}

bool broker_end(struct broker *b)
{
    bool good = true;
    int status;

    if (!b->reaped)
        kill(b->pid, SIGTERM);
    status = broker_wait(b, STOP_TIMEOUT_MS);
    if (status < 0) {
        fprintf(stderr, "the broker did not stop within %d ms of SIGTERM\n", STOP_TIMEOUT_MS);
        kill(b->pid, SIGKILL);
        broker_wait(b, STOP_TIMEOUT_MS);
        good = false;
    } else if (status != 0) {
        fprintf(stderr, "the broker ended with status %d\n", status);
        good = false;
    }
    good = no_sanitizer_reports(b) && good;
    if (!good)
        broker_show_log(b);
    return good;
}

bool broker_stop(struct broker *b)
{
    bool good = true;

    if (!b->external) {
        if (!b->killed)
            good = broker_end(b);
        remove_tree(b->directory);
    }
    free(b);
    return good;
}

void broker_data_directory(const struct broker *b, char *path, size_t size)
{
    file_path(b, "data", path, size);
}

void broker_reload(struct broker *b, const char *config)
{
    write_config(b, config, test_workers());
    kill(b->pid, SIGHUP);
}

const char *broker_host(const struct broker *b)
{
    return b->host;
}

uint16_t broker_port(const struct broker *b)
{
    return b->port;
}

uint16_t broker_listener_port(const struct broker *b, int number)
{
    int64_t deadline = now_ms() + deadline_ms();
    uint16_t port;

    while ((port = listening_port(b, number)) == 0) {
        if (now_ms() >= deadline)
            ck_abort_msg("the broker does not open listener %d", number);
        pause_ms(POLL_STEP_MS);
    }
    return port;
}

pid_t broker_pid(const struct broker *b)
{
    return b->pid;
}

long broker_resident_kib(const struct broker *b)
{
    char path[64];
    char line[256];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)b->pid);
    f = fopen(path, "re");
    if (f == NULL)
        ck_abort_msg("cannot read %s: %s", path, strerror(errno));
    while (kib < 0 && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    fclose(f);
    return kib;
}

unsigned broker_log_count(const struct broker *b, const char *text)
{
    char path[512];

    file_path(b, "log", path, sizeof(path));
    return file_holds(path, text);
}

unsigned broker_log_sum(const struct broker *b, const char *text)
{
    char path[512];
    char *content;
    unsigned sum = 0;

    file_path(b, "log", path, sizeof(path));
    content = content_of(path);
    for (const char *at = content; (at = strstr(at, text)) != NULL; at++) {
        const char *digits = at;

        while (digits > content && digits[-1] >= '0' && digits[-1] <= '9')
            digits--;
        sum += (unsigned)strtoul(digits, NULL, 10);
    }
    free(content);
    return sum;
}

bool broker_log_holds(const struct broker *b, const char *text)
{
    return broker_log_count(b, text) != 0;
}

bool broker_reloads(struct broker *b, const char *config)
{
    static const char applied[] = "the configuration is in force";
    int64_t deadline = now_ms() + deadline_ms();
    char path[512];
    unsigned before;

    file_path(b, "log", path, sizeof(path));
    before = file_holds(path, applied);
    broker_reload(b, config);
    while (file_holds(path, applied) == before) {
        if (now_ms() >= deadline)
            return false;
        pause_ms(POLL_STEP_MS);
    }
    return true;
}

bool broker_log_awaits(const struct broker *b, const char *text)
{
    int64_t deadline = now_ms() + deadline_ms();

    while (!broker_log_holds(b, text)) {
        if (now_ms() >= deadline)
            return false;
        pause_ms(POLL_STEP_MS);
    }
    return true;
}

/* Collects what comes through `fd` until its end. */
static void collect(int fd, char *output, size_t size)
{
    size_t used = 0;
    ssize_t n;

    while (used + 1 < size && (n = read(fd, output + used, size - 1 - used)) > 0)
        used += (size_t)n;
    output[used] = '\0';
}

/* Runs `argv` with the program at `path` to its end. */
static int run_program(const char *path, char *const argv[], const char *input, char *output,
                       size_t output_size)
{
    int in[2];
    int out[2];
    int status;
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        ck_abort_msg("pipe: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        execv(path, argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    if (input != NULL && write(in[1], input, strlen(input)) < 0)
        ck_abort_msg("write: %s", strerror(errno));
    close(in[1]);
    collect(out[0], output, output_size);
    close(out[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int leveretd_run(char *const arguments[], const char *input, char *output, size_t output_size)
{
    char *argv[16] = {(char *)(uintptr_t) "leveretd"};

    for (int i = 0; i < 14 && arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    return run_program(leveretd_path(), argv, input, output, output_size);
}

int leveretctl_run(const struct broker *b, char *const arguments[], char *output,
                   size_t output_size)
{
    const char *path = getenv("LEVERETCTL");
    char data[512];
    char *argv[24] = {(char *)(uintptr_t) "leveretctl", (char *)(uintptr_t) "--data-dir", data};

    broker_data_directory(b, data, sizeof(data));
    for (int i = 0; i < 20 && arguments[i] != NULL; i++)
        argv[i + 3] = arguments[i];
    return run_program(path != NULL ? path : "./leveretctl", argv, NULL, output, output_size);
}
