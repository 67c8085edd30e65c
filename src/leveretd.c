/* leveretd: the broker's program. Reads the command line and the configuration, runs the broker,
 * and turns signals into reloads and a shutdown. */
#include "admin/admin.h"
#include "admin/import.h"
#include "admin/json_memory.h"
#include "auth/password.h"
#include "auth/users.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system_memory.h"
#include "config/config.h"
#include "server/identity.h"
#include "server/reload.h"
#include "server/server.h"
#include "session/broker.h"
#include "session/broker_users.h"
#include "store/data_directory.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVERET_VERSION PACKAGE_VERSION

enum {
    EXIT_BAD_USAGE = 2,
    ERROR_SIZE = 1024,
};

struct options {
    const char *config_path; /* NULL: the defaults */
    const char *data_dir;    /* NULL: the configuration's */
    bool check_config;
};

static void print_help(void)
{
    puts("Usage: leveretd [OPTION]...\n"
         "An AMQP 0-9-1 message broker.\n"
         "\n"
         "  -c, --config FILE    read the configuration from FILE; without it: every address,\n"
         "                       port 5672, user guest from this machine only\n"
         "      --check-config   check the configuration, print each problem as\n"
         "                       FILE:LINE: MESSAGE, and exit (0: no problem)\n"
         "      --data-dir DIR   keep data in DIR instead of the configuration's data_dir\n"
         "      --hash-password  read a password from standard input and print its hash,\n"
         "                       for password_hash in the configuration\n"
         "  -h, --help           print this and exit\n"
         "  -V, --version        print the version and exit\n"
         "\n"
         "Signals: SIGTERM and SIGINT close every connection and end the broker, SIGHUP reads the\n"
         "configuration again.");
}

/* ---- --hash-password ---- */

static int hash_password(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = getline(&line, &capacity, stdin);
    bool one_line = isatty(STDIN_FILENO) == 1 || getc(stdin) == EOF;
    char *hash = NULL;

    if (size > 0 && line[size - 1] == '\n')
        size--;
    /* What no client could send is a mistake: more lines, or a zero byte. */
    if (size > 0 && one_line && memchr(line, 0, (size_t)size) == NULL)
        hash = password_hash_new(bytes_of(line, (size_t)size));
    if (line != NULL)
        explicit_bzero(line, capacity);
    free(line);
    if (hash == NULL) {
        fprintf(stderr,
                "leveretd: --hash-password needs one line of 1 to %d bytes, none of them zero, "
                "on standard input\n",
                PASSWORD_SIZE_MAX);
        return EXIT_FAILURE;
    }
    puts(hash);
    free(hash);
    return EXIT_SUCCESS;
}

/* ---- Configuration ---- */

static void log_problems(const struct config_problems *problems, enum log_level level,
                         const char *prefix)
{
    for (size_t i = 0; i < problems->count; i++) {
        char *text = config_problem_text(&problems->items[i]);

        log_write(level, "server", "%s%s", prefix, text);
        free(text);
    }
    if (problems->dropped != 0)
        log_write(level, "server", "%zu more problems are not shown", problems->dropped);
}

/* Whether one of them is that a file may not be read. */
static bool tell_of_denied_files(const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        if (strstr(problems->items[i].message, strerror(EACCES)) != NULL)
            return true;
    }
    return false;
}

/* Of a reload, whose `told` gets what the log gets. */
static void log_why_not(const struct config_problems *problems, const struct identity *now,
                        struct buffer *told)
{
    log_problems(problems, LOG_LEVEL_ERROR, "");
    for (size_t i = 0; i < problems->count; i++) {
        char *text = config_problem_text(&problems->items[i]);

        buffer_append_format(told, "%s%s", i != 0 ? "\n" : "", text);
        free(text);
    }
    if (now->gave_up_root && tell_of_denied_files(problems))
        log_error("server",
                  "leveretd gave up root for user '%s' when it started, and reads again only what "
                  "that user may read; a restart reads the rest",
                  now->user);
}

/* Reads the configuration, the users in it and the certificates that it names, and looks up whom
 * the process is to be. Returns 0, or tells the problems and returns -EINVAL: in the log while a
 * broker runs, whose users are `previous` and who it is is `now`, and in `told`; else on standard
 * error. */
static int load(const struct options *o, const struct auth_database *previous,
                const struct identity *now, struct buffer *told, struct config **config,
                struct auth_database **users, struct tls_contexts *tls, struct identity *identity)
{
    struct config_problems problems;
    int rc = 0;

    config_problems_init(&problems);
    *users = NULL;
    *identity = (struct identity){.user = NULL};
    if (o->config_path == NULL)
        *config = config_default();
    else
        rc = config_load_file(o->config_path, auth_check_config, config, &problems);
    if (rc == 0)
        rc = identity_resolve(identity, *config, &problems);
    if (rc == 0)
        rc = tls_contexts_load(tls, *config, &problems);
    if (rc == 0) {
        rc = auth_database_build(*config, previous, users, &problems);
        if (rc < 0)
            tls_contexts_release(tls);
    }
    if (rc < 0) {
        if (now != NULL)
            log_why_not(&problems, now, told);
        else
            config_problems_print(&problems, stderr);
        config_free(*config);
        *config = NULL;
    }
    config_problems_free(&problems);
    return rc;
}

/* Returns 0, or -errno after logging. */
static int apply_log(const struct config_log *log)
{
    int rc = log_open_file(log->path);

    if (rc < 0) {
        log_error("server", "cannot write the log to %s: %s", log->path, strerror(-rc));
        return rc;
    }
    log_set_level(log->level);
    log_set_format(log->format);
    return 0;
}

/* What is there differs from the configuration, and stays as it is. */
static void warn_of_problems(struct config_problems *problems)
{
    log_problems(problems, LOG_LEVEL_WARNING, "not declared: ");
    config_problems_free(problems);
}

/* What is wrong is told in `told`. */
static void reload(const struct options *o, struct broker *b, const struct identity *now,
                   struct buffer *told)
{
    struct identity identity;
    struct auth_database *current = auth_database_current();
    struct auth_database *users;
    struct config_problems problems;
    struct tls_contexts tls;
    struct config *config;

    log_info("server", "reading the configuration again");
    if (load(o, current, now, told, &config, &users, &tls, &identity) < 0) {
        log_error("server", "the configuration has problems; the former one stays in force");
        auth_database_unref(current);
        return;
    }
    auth_database_unref(current);
    apply_log(&config->log);
    config_problems_init(&problems);
    broker_reload(b, config, &problems);
    warn_of_problems(&problems);
    broker_users_configure(b, config, users);
    broker_refresh_auth(b);
    server_use_tls(b->server, config, &tls);
    server_warn_of_expiry(b->server);
    config_free(config);
    log_info("server", "the configuration is in force; changes of the user, addresses, workers and "
                       "limits "
                       "need a restart");
}

static int check_config(const struct options *o)
{
    struct identity identity;
    struct auth_database *users;
    struct tls_contexts tls;
    struct config *config;

    if (load(o, NULL, NULL, NULL, &config, &users, &tls, &identity) < 0)
        return EXIT_FAILURE;
    tls_contexts_release(&tls);
    auth_database_unref(users);
    config_free(config);
    printf("%s: no problems\n", o->config_path != NULL ? o->config_path : "(default)");
    return EXIT_SUCCESS;
}

/* ---- Running ---- */

static void block_signals(sigset_t *handled)
{
    sigemptyset(handled);
    sigaddset(handled, SIGTERM);
    sigaddset(handled, SIGINT);
    sigaddset(handled, SIGHUP);
    sigprocmask(SIG_BLOCK, handled, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void reload_for_signal(const struct options *o, struct broker *b,
                              const struct identity *identity)
{
    uint64_t begun = reload_begin();
    struct buffer told;

    buffer_init(&told);
    reload(o, b, identity, &told);
    reload_end(begun, buffer_bytes(&told));
    buffer_free(&told);
}

/* Once a day, or when the time of one comes, it looks at how long certificates last. */
static void wait_for_the_end(const struct options *o, struct broker *b,
                             const struct identity *identity, const sigset_t *handled)
{
    int number;

    for (;;) {
        const struct timespec wait = {.tv_sec = server_next_expiry_s(b->server)};

        number = sigtimedwait(handled, NULL, &wait);
        if (number < 0 && errno == EAGAIN)
            server_warn_of_expiry(b->server);
        if (number < 0)
            continue;
        if (number != SIGHUP)
            break;
        reload_for_signal(o, b, identity);
    }
    reload_close();
    log_info("server", "closing for %s", number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void start_admin(struct admin *a, struct broker *b)
{
    const char *configured = b->server->config->admin.socket;
    char *path = configured != NULL ? NULL : data_directory_admin_socket(b->data.path);

    admin_start(a, b, configured != NULL ? configured : path);
    free(path);
}

/* Returns 0 or -errno after logging. */
static int load_definitions(struct broker *b)
{
    const char *path = b->server->config->load_definitions;
    struct asker asker;
    int rc;

    if (path == NULL)
        return 0;
    asker_init(&asker, b);
    rc = import_file(&asker, path);
    asker_release(&asker);
    return rc;
}

/* Returns the exit status. */
static int serve(const struct options *o, struct broker *b, const struct identity *identity,
                 const sigset_t *handled)
{
    struct server *s = b->server;
    struct admin admin;
    int status = EXIT_FAILURE;

    server_start(s);
    if (load_definitions(b) == 0 && server_listen(s) == 0) {
        start_admin(&admin, b);
        log_info("server", "leveret %s is ready: %u workers", LEVERET_VERSION, s->worker_count);
        wait_for_the_end(o, b, identity, handled);
        admin_stop(&admin);
        status = EXIT_SUCCESS;
    }
    server_stop(s);
    if (status == EXIT_SUCCESS)
        log_info("server", "closed");
    return status;
}

/* Becomes the user of the configuration, if it has one, for whom the data directory is made where
 * it is missing. Returns 0 or -errno after telling on standard error. */
static int become_user(struct identity *identity, const char *data_path)
{
    char error[ERROR_SIZE];
    int rc = 0;

    if (identity_changes(identity))
        rc = data_directory_prepare(data_path, identity->uid, identity->gid, error, sizeof(error));
    if (rc == 0)
        rc = identity_take(identity, error, sizeof(error));
    if (rc < 0)
        fprintf(stderr, "leveretd: %s\n", error);
    return rc;
}

static void tell_user(const struct identity *identity)
{
    if (identity->gave_up_root)
        log_info("server", "runs as user '%s' (uid %ld, gid %ld) and has given up root",
                 identity->user, (long)identity->uid, (long)identity->gid);
    else if (geteuid() == 0)
        log_warning("server", "runs as root, which it needs not: set 'user' in the configuration, "
                              "or start it as a user of its own");
}

/* Binds the addresses, the last that takes privileges. Returns 0 or -errno after logging. */
static int bind_addresses(struct server *s, const struct identity *identity)
{
    char error[ERROR_SIZE];
    int rc = server_bind(s);

    if (rc < 0)
        return rc;
    rc = identity_seal(identity, error, sizeof(error));
    if (rc < 0)
        log_error("server", "%s", error);
    return rc;
}

/* Runs the broker on a server whose addresses are bound. Returns the exit status. */
static int run_broker(const struct options *o, struct server *s, const char *data_path,
                      const struct identity *identity, const sigset_t *handled)
{
    struct config_problems problems;
    struct broker broker;
    int status = EXIT_FAILURE;
    bool ready;

    config_problems_init(&problems);
    ready = broker_init(&broker, s, LEVERET_VERSION, data_path, &problems) == 0;
    warn_of_problems(&problems);
    if (ready)
        status = serve(o, &broker, identity, handled);
    broker_release(&broker);
    return status;
}

static int run(const struct options *o)
{
    struct auth_database *users;
    struct identity identity;
    struct tls_contexts tls;
    struct config *config;
    struct server server;
    const char *data_path;
    sigset_t handled;
    int status = EXIT_FAILURE;

    block_signals(&handled);
    json_wipe_freed_memory();
    if (load(o, NULL, NULL, NULL, &config, &users, &tls, &identity) < 0)
        return EXIT_FAILURE;
    auth_database_replace(users);
    data_path = o->data_dir != NULL ? o->data_dir : config->data_dir;
    if (become_user(&identity, data_path) < 0 || apply_log(&config->log) < 0 ||
        server_init(&server, config, &BROKER_WORKER_OPS) < 0) {
        tls_contexts_release(&tls);
        auth_database_replace(NULL);
        return EXIT_FAILURE;
    }
    server_use_tls(&server, config, &tls);
    tell_user(&identity);
    server_warn_of_expiry(&server);
    if (bind_addresses(&server, &identity) == 0)
        status = run_broker(o, &server, data_path, &identity, &handled);
    server_release(&server);
    auth_database_replace(NULL);
    return status;
}

/* ---- Command line ---- */

enum long_option {
    OPTION_CHECK_CONFIG = 256,
    OPTION_DATA_DIR,
    OPTION_HASH_PASSWORD,
};

static const struct option LONG_OPTIONS[] = {
    {"config", required_argument, NULL, 'c'},
    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"hash-password", no_argument, NULL, OPTION_HASH_PASSWORD},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    struct options o = {.config_path = NULL};
    int option;

    system_memory_set_up();
    while ((option = getopt_long(argc, argv, "c:hV", LONG_OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'c':
            o.config_path = optarg;
            break;
        case OPTION_CHECK_CONFIG:
            o.check_config = true;
            break;
        case OPTION_DATA_DIR:
            o.data_dir = optarg;
            break;
        case OPTION_HASH_PASSWORD:
            return hash_password();
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        case 'V':
            puts("leveretd " LEVERET_VERSION);
            return EXIT_SUCCESS;
        default:
            fprintf(stderr, "Try 'leveretd --help'.\n");
            return EXIT_BAD_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "leveretd: unexpected argument '%s'\nTry 'leveretd --help'.\n",
                argv[optind]);
        return EXIT_BAD_USAGE;
    }
    return o.check_config ? check_config(&o) : run(&o);
}
