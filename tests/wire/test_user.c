/* Who leveretd runs as: root's process becomes the configuration's user, for good. Most of it takes
 * root to run, and is left out, with a word, where the tests have not got it. */
#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/wire/harness.h"
#include "tests/wire/raw.h"
#include "tests/wire/tls_files.h"

enum {
    LOW_PORT = 671,
    EXTRA_GROUP = 4,
    CANNOT_RUN = 77,
};

static const char USER[] = "nobody";
static char output[8192];

static const struct passwd *user(void)
{
    static char entry[4096];
    static struct passwd of_user;
    struct passwd *found = NULL;

    ck_assert_msg(getpwnam_r(USER, &of_user, entry, sizeof(entry), &found) == 0 && found != NULL,
                  "the system has no user %s", USER);
    return found;
}

static bool is_root(void)
{
    if (geteuid() == 0)
        return true;
    fprintf(stderr, "test_user: left out, for it takes root\n");
    return false;
}

/* ---- Starting it ---- */

/* A network without others, in which low ports are root's whatever the machine says: else this
 * cannot be held against anything. */
static bool enter_own_network(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    bool good;
    int fd;

    if (unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "test_user: low ports are left out: no network of its own: %s\n",
                strerror(errno));
        return false;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    close(fd);
    ck_assert_msg(good, "the loopback of an own network does not come up: %s", strerror(errno));
    return true;
}

/* The broker's directory is root's alone; its user must come through. Without the data directory,
 * which leveretd makes. */
static struct broker *prepare(void)
{
    struct broker *b = broker_prepare();
    char data[512];
    char sockets[540];

    broker_data_directory(b, data, sizeof(data));
    ck_assert_int_eq(rmdir(data), 0);
    *strrchr(data, '/') = '\0';
    ck_assert_int_eq(chmod(data, 0711), 0);
    snprintf(sockets, sizeof(sockets), "%s/sockets", data);
    ck_assert_int_eq(mkdir(sockets, 0755), 0);
    ck_assert_int_eq(chown(sockets, user()->pw_uid, user()->pw_gid), 0);
    /* A process that is not to be looked into cannot be looked into by LeakSanitizer either. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    return b;
}

static void socket_path(const struct broker *b, char *path, size_t size)
{
    broker_data_directory(b, path, size);
    snprintf(strrchr(path, '/'), size - strlen(path), "/sockets/amqp.sock");
}

/* The files of TLS are root's alone. */
static const char *config(const struct broker *b, unsigned low_port)
{
    static char yaml[4096];
    char path[512];

    socket_path(b, path, sizeof(path));
    snprintf(yaml, sizeof(yaml),
             "user: %s\n"
             "listeners:\n"
             "  - {address: 127.0.0.1, port: @PORT@}\n"
             "  - {address: 127.0.0.1, port: %u}\n"
             "  - {address: \"unix:%s\"}\n"
             "  - address: 127.0.0.1\n"
             "    port: 0\n"
             "    tls: {certificate: %s, key: %s}\n"
             "workers: @WORKERS@\n",
             USER, low_port, path, tls_file("server.pem"), tls_file("server_key.pem"));
    return yaml;
}

static struct broker *start(unsigned low_port)
{
    const gid_t groups[] = {EXTRA_GROUP};
    struct broker *b = prepare();

    ck_assert_int_eq(setgroups(1, groups), 0);
    broker_launch(b, config(b, low_port), test_workers());
    ck_assert(broker_log_awaits(b, " is ready"));
    return b;
}

static void stop(struct broker *b)
{
    raw_close_all();
    ck_assert_msg(broker_stop(b), "the broker did not end well");
}

/* ---- What the system says of it ---- */

/* The value of a field of one thread's status, without leading white space. */
static const char *status_of(const char *directory, const char *field)
{
    static char line[512];
    size_t size = strlen(field);
    char path[300];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "%s/status", directory);
    f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    while (!found && fgets(line, sizeof(line), f) != NULL)
        found = strncmp(line, field, size) == 0 && line[size] == ':';
    fclose(f);
    ck_assert_msg(found, "%s has no %s", path, field);
    line[strcspn(line, "\n")] = '\0';
    return line + size + 1 + strspn(line + size + 1, "\t ");
}

static void expect_ids(const char *directory, const char *field, long id)
{
    const char *text = status_of(directory, field);
    long ids[4];

    ck_assert_int_eq(sscanf(text, "%ld %ld %ld %ld", &ids[0], &ids[1], &ids[2], &ids[3]), 4);
    for (int i = 0; i < 4; i++)
        ck_assert_msg(ids[i] == id, "%s: %s", field, text);
}

static int threads_looked_at;

static int look_at_thread(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    static const char *const CAPABILITIES[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
    char group[32];

    (void)st;
    (void)type;
    if (walk->level != 1)
        return 0;
    threads_looked_at++;
    expect_ids(path, "Uid", (long)user()->pw_uid);
    expect_ids(path, "Gid", (long)user()->pw_gid);
    snprintf(group, sizeof(group), "%ld ", (long)user()->pw_gid);
    ck_assert_str_eq(status_of(path, "Groups"), group);
    ck_assert_str_eq(status_of(path, "NoNewPrivs"), "1");
    for (size_t i = 0; i < sizeof(CAPABILITIES) / sizeof(CAPABILITIES[0]); i++)
        ck_assert_str_eq(status_of(path, CAPABILITIES[i]), "0000000000000000");
    return 0;
}

START_TEST(every_thread_is_the_user_and_has_no_privilege)
{
    struct broker *b;
    struct stat st;
    char path[64];

    if (!is_root())
        return;
    b = start(0);
    ck_assert(broker_log_holds(b, "runs as user 'nobody'"));
    ck_assert(!broker_log_holds(b, "runs as root"));
    snprintf(path, sizeof(path), "/proc/%d/task", (int)broker_pid(b));
    threads_looked_at = 0;
    nftw(path, look_at_thread, 8, FTW_PHYS);
    ck_assert_int_ge(threads_looked_at, test_workers() + 3);
    /* What is not dumpable belongs to root there. */
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)broker_pid(b));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_uid, 0);
    stop(b);
}
END_TEST

START_TEST(ports_below_1024_are_bound)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(LOW_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct broker *b;
    char path[512];
    int fd;

    if (!is_root() || !enter_own_network())
        return;
    b = start(LOW_PORT);
    ck_assert_int_eq(broker_listener_port(b, 1), LOW_PORT);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    socket_path(b, path, sizeof(path));
    raw_handshake(raw_connect_unix(path));
    stop(b);
}
END_TEST

/* ---- What it makes ---- */

static int files_looked_at;

static int look_at_file(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    files_looked_at++;
    ck_assert_msg(st->st_uid == user()->pw_uid && st->st_gid == user()->pw_gid,
                  "%s belongs to uid %ld, gid %ld", path, (long)st->st_uid, (long)st->st_gid);
    return 0;
}

static void expect_files_to_be_the_users(const struct broker *b)
{
    char path[512];

    broker_data_directory(b, path, sizeof(path));
    files_looked_at = 0;
    ck_assert_int_eq(nftw(path, look_at_file, 8, FTW_PHYS), 0);
    /* The directory, its format and lock, definitions with -wal and -shm, journals, admin.sock. */
    ck_assert_int_ge(files_looked_at, 10);
    socket_path(b, path, sizeof(path));
    ck_assert_int_eq(nftw(path, look_at_file, 8, FTW_PHYS), 0);
}

START_TEST(what_it_makes_is_the_users_and_outlives_a_restart)
{
    const amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                                .delivery_mode = 2};
    struct broker *b;
    struct channel *ch;

    if (!is_root())
        return;
    b = start(0);
    ch = open_channel(connect_client_to(b));
    declare_queue(ch, "kept", DURABLE, NO_ARGS);
    confirm_select(ch);
    publish_with(ch, "", "kept", 0, &persistent, "a");
    publish_with(ch, "", "kept", 0, &persistent, "b");
    await_confirms(ch);
    expect_files_to_be_the_users(b);
    drop_client(ch->client);
    ck_assert(broker_end(b));
    broker_launch(b, config(b, 0), test_workers());
    ck_assert(broker_log_awaits(b, " is ready"));
    ch = open_channel(connect_client_to(b));
    expect_get(ch, "kept", "a", NO_ACK);
    expect_get(ch, "kept", "b", NO_ACK);
    expect_files_to_be_the_users(b);
    drop_client(ch->client);
    stop(b);
}
END_TEST

/* ---- Afterwards ---- */

START_TEST(a_reload_says_that_it_cannot_read_what_is_roots)
{
    struct broker *b;

    if (!is_root())
        return;
    b = start(0);
    broker_reload(b, config(b, 0));
    ck_assert(broker_log_awaits(b, "server.pem: no certificate could be read: Permission denied"));
    ck_assert(broker_log_awaits(b, "leveretd gave up root for user 'nobody' when it started"));
    ck_assert(broker_log_awaits(b, "the former one stays in force"));
    drop_client(connect_client_to(b));
    stop(b);
}
END_TEST

START_TEST(root_is_warned_without_a_user)
{
    struct broker *b;

    if (!is_root())
        return;
    b = broker_start("listeners:\n"
                     "  - {address: 127.0.0.1, port: @PORT@}\n"
                     "workers: @WORKERS@\n");
    ck_assert(broker_log_holds(b, "warning server: runs as root"));
    stop(b);
}
END_TEST

/* ---- Refusals ---- */

/* Runs leveretd with this configuration, as the user or as who the tests are, to its refusal, and
 * holds it to leaving no data behind. Returns false when the user cannot run it. */
static bool refuses(const char *yaml, bool as_user)
{
    char path[512];
    char data[512];
    char *arguments[] = {(char *)(uintptr_t) "--config", path, (char *)(uintptr_t) "--data-dir",
                         data, NULL};
    const char *program = getenv("LEVERETD");
    int status;
    FILE *f;
    int pipe_fds[2];
    ssize_t size;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/user.yaml", scratch_directory());
    snprintf(data, sizeof(data), "%s/untouched", scratch_directory());
    ck_assert_int_eq(chmod(scratch_directory(), 0711), 0);
    f = fopen(path, "w");
    fputs(yaml, f);
    fclose(f);
    if (!as_user) {
        ck_assert_int_eq(leveretd_run(arguments, NULL, output, sizeof(output)), 1);
        ck_assert_int_eq(access(data, F_OK), -1);
        return true;
    }
    ck_assert_int_eq(pipe(pipe_fds), 0);
    pid = fork();
    if (pid == 0) {
        const struct passwd *u = user();

        if (setgroups(0, NULL) < 0 || setresgid(u->pw_gid, u->pw_gid, u->pw_gid) < 0 ||
            setresuid(u->pw_uid, u->pw_uid, u->pw_uid) < 0)
            _exit(CANNOT_RUN);
        if (access(program != NULL ? program : "./leveretd", X_OK) < 0)
            _exit(CANNOT_RUN);
        status = leveretd_run(arguments, NULL, output, sizeof(output));
        _exit(write(pipe_fds[1], output, strlen(output)) < 0 ? CANNOT_RUN : status);
    }
    close(pipe_fds[1]);
    size = read(pipe_fds[0], output, sizeof(output) - 1);
    output[size > 0 ? size : 0] = '\0';
    close(pipe_fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT_RUN) {
        fprintf(stderr, "test_user: left out: %s cannot run leveretd where it is\n", USER);
        return false;
    }
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    ck_assert_int_eq(access(data, F_OK), -1);
    return true;
}

#define LISTENER "listeners: [{address: 127.0.0.1, port: 0}]\n"

static const struct {
    const char *yaml;
    const char *says;
} BAD[] = {
    {LISTENER "user: no-such-user\n", "user.yaml:2: the system has no user 'no-such-user'"},
    {"user: nobody\n" LISTENER "group: no-such-group\n",
     "user.yaml:3: the system has no group 'no-such-group'"},
    {LISTENER "group: nogroup\n", "user.yaml:2: 'group' needs 'user'"},
    {LISTENER "user: root\n", "user.yaml:2: 'user' must not be root's"},
    {LISTENER "user: nobody\ngroup: root\n", "user.yaml:3: 'group' must not be root's"},
    {LISTENER "user: ''\n", "user.yaml:2: 'user' must have 1 to 255 bytes"},
};

START_TEST(bad_users_are_refused_and_nothing_is_touched)
{
    ck_assert(refuses(BAD[_i].yaml, false));
    ck_assert_msg(strstr(output, BAD[_i].says) != NULL, "%s", output);
    ck_assert_msg(strchr(output, '\n') == output + strlen(output) - 1, "%s", output);
}
END_TEST

START_TEST(only_root_becomes_somebody_else)
{
    if (!refuses(LISTENER "user: daemon\n", geteuid() == 0))
        return;
    ck_assert_msg(strstr(output, "user.yaml:2: 'user' is 'daemon' (uid ") != NULL &&
                      strstr(output, "only root can become somebody else") != NULL,
                  "%s", output);
}
END_TEST

/* It goes on to what it cannot do for another reason. */
START_TEST(the_same_user_is_fine)
{
    if (!is_root() || !refuses(LISTENER "user: nobody\n", true))
        return;
    ck_assert_msg(strstr(output, "untouched: cannot be created: Permission denied") != NULL, "%s",
                  output);
}
END_TEST

/* `inner` is of the data directory, where all else is the user's. */
static void expect_refused_data(const char *inner, const char *says)
{
    char path[512];
    char data[256];
    char *arguments[] = {(char *)(uintptr_t) "--config", path, (char *)(uintptr_t) "--data-dir",
                         data, NULL};
    char foreign[512];
    struct stat st;
    FILE *f;

    snprintf(path, sizeof(path), "%s/foreign.yaml", scratch_directory());
    f = fopen(path, "w");
    fputs(LISTENER "user: nobody\n", f);
    fclose(f);
    snprintf(data, sizeof(data), "%s/foreign", scratch_directory());
    snprintf(foreign, sizeof(foreign), "%s%s", data, inner);
    ck_assert(mkdir(data, 0750) == 0 || errno == EEXIST);
    if (*inner != '\0') {
        ck_assert_int_eq(chown(data, user()->pw_uid, user()->pw_gid), 0);
        ck_assert_int_eq(mkdir(foreign, 0750), 0);
    }
    ck_assert_int_eq(leveretd_run(arguments, NULL, output, sizeof(output)), 1);
    ck_assert_msg(strstr(output, says) != NULL, "%s", output);
    ck_assert_int_eq(stat(foreign, &st), 0);
    ck_assert_int_eq(st.st_uid, 0);
    if (*inner != '\0')
        ck_assert_int_eq(rmdir(foreign), 0);
    ck_assert_int_eq(rmdir(data), 0);
}

START_TEST(data_of_another_user_is_refused_and_left_as_it_is)
{
    if (!is_root())
        return;
    expect_refused_data("", "foreign: it belongs to uid 0, and leveretd becomes uid ");
    expect_refused_data("/journal", "foreign: journal belongs to uid 0, and leveretd becomes uid ");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("user");
    TCase *tcase = tcase_create("user");

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, every_thread_is_the_user_and_has_no_privilege);
    tcase_add_test(tcase, ports_below_1024_are_bound);
    tcase_add_test(tcase, what_it_makes_is_the_users_and_outlives_a_restart);
    tcase_add_test(tcase, a_reload_says_that_it_cannot_read_what_is_roots);
    tcase_add_test(tcase, root_is_warned_without_a_user);
    tcase_add_loop_test(tcase, bad_users_are_refused_and_nothing_is_touched, 0,
                        sizeof(BAD) / sizeof(BAD[0]));
    tcase_add_test(tcase, only_root_becomes_somebody_else);
    tcase_add_test(tcase, the_same_user_is_fine);
    tcase_add_test(tcase, data_of_another_user_is_refused_and_left_as_it_is);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
