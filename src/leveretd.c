/* leveretd: the broker's program. Reads the command line and the configuration, runs the broker,
 * and turns signals into reloads and a shutdown. */
#include "admin/admin.h"
#include "admin/import.h"
#include "auth/password.h"
#include "auth/users.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system_memory.h"
#include "config/config.h"
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

/* Reads the configuration, the users in it and the certificates that it names. Returns 0, or tells
 * the problems and returns -EINVAL: in the log while a broker runs, whose users are `previous`,
 * else on standard error. */
static int load(const struct options *o, const struct auth_database *previous,
                struct config **config, struct auth_database **users, struct tls_contexts *tls)
{
    struct config_problems problems;
    int rc = 0;

    config_problems_init(&problems);
    *users = NULL;
    if (o->config_path == NULL)
        *config = config_default();
    else
        rc = config_load_file(o->config_path, auth_check_config, config, &problems);
    if (rc == 0)
        rc = tls_contexts_load(tls, *config, &problems);
    if (rc == 0) {
        rc = auth_database_build(*config, previous, users, &problems);
        if (rc < 0)
            tls_contexts_release(tls);
    }
    if (rc < 0) {
        if (previous != NULL)
            log_problems(&problems, LOG_LEVEL_ERROR, "");
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

static void reload(const struct options *o, struct broker *b)
{
    struct auth_database *current = auth_database_current();
    struct auth_database *users;
    struct config_problems problems;
    struct tls_contexts tls;
    struct config *config;

    log_info("server", "reading the configuration again");
    if (load(o, current, &config, &users, &tls) < 0) {
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
    log_info("server", "the configuration is in force; changes of addresses, workers and limits "
                       "need a restart");
}

static int check_config(const struct options *o)
{
    struct auth_database *users;
    struct tls_contexts tls;
    struct config *config;

    if (load(o, NULL, &config, &users, &tls) < 0)
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

/* Once a day, or when the time of one comes, it looks at how long certificates last. */
static void wait_for_the_end(const struct options *o, struct broker *b, const sigset_t *handled)
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
        reload(o, b);
    }
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
static int serve(const struct options *o, struct broker *b, const sigset_t *handled)
{
    struct server *s = b->server;
    struct admin admin;
    int status = EXIT_FAILURE;

    server_start(s);
    if (load_definitions(b) == 0 && server_listen(s) == 0) {
        start_admin(&admin, b);
        log_info("server", "leveret %s is ready: %u workers", LEVERET_VERSION, s->worker_count);
        wait_for_the_end(o, b, handled);
        admin_stop(&admin);
        status = EXIT_SUCCESS;
    }
    server_stop(s);
    if (status == EXIT_SUCCESS)
        log_info("server", "closed");
    return status;
}

static int run(const struct options *o)
{
    struct auth_database *users;
    struct config_problems problems;
    struct tls_contexts tls;
    struct config *config;
    struct server server;
    struct broker broker;
    sigset_t handled;
    bool ready;
    int status = EXIT_FAILURE;

    block_signals(&handled);
    if (load(o, NULL, &config, &users, &tls) < 0)
        return EXIT_FAILURE;
    auth_database_replace(users);
    if (apply_log(&config->log) < 0 || server_init(&server, config, &BROKER_WORKER_OPS) < 0) {
        tls_contexts_release(&tls);
        auth_database_replace(NULL);
        return EXIT_FAILURE;
    }
    server_use_tls(&server, config, &tls);
    server_warn_of_expiry(&server);
    config_problems_init(&problems);
    ready = broker_init(&broker, &server, LEVERET_VERSION,
                        o->data_dir != NULL ? o->data_dir : config->data_dir, &problems) == 0;
    warn_of_problems(&problems);
    if (ready)
        status = serve(o, &broker, &handled);
    broker_release(&broker);
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
