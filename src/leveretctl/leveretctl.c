/* leveretctl: what an administrator does to a broker and its data from the command line. */
#include "leveretctl/backup.h"
#include "leveretctl/tls_command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    EXIT_BAD_USAGE = 2,
    ERROR_SIZE = 8192,
};

static const char DEFAULT_DATA_DIR[] = "/var/lib/leveret";

struct options {
    const char *data_dir;
    char **arguments; /* of the command */
    int count;
};

struct command {
    const char *name;
    int arguments;
    int (*run)(const struct options *o);
};

static void print_help(void)
{
    puts("Usage: leveretctl [OPTION]... backup TO\n"
         "       leveretctl tls generate [OPTION]... DIR\n"
         "Look after a leveret broker and its data.\n"
         "\n"
         "  backup TO            copy the data directory to TO, which must be missing or empty;\n"
         "                       a broker may be running on it\n"
         "  tls generate DIR     make certificates for development in DIR; takes --host NAME,\n"
         "                       --user NAME and --days N (see leveretctl tls --help)\n"
         "\n"
         "      --data-dir DIR   the data directory (/var/lib/leveret)\n"
         "  -h, --help           print this and exit\n"
         "  -V, --version        print the version and exit");
}

/* Every segment is held open at once. */
static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run_backup(const struct options *o)
{
    struct backup_figures figures = {.segments = 0};
    char error[ERROR_SIZE] = "";
    const char *to = o->arguments[0];

    allow_many_files();
    if (backup(o->data_dir, to, &figures, error, sizeof(error)) < 0) {
        fprintf(stderr, "leveretctl: %s\n", error);
        return EXIT_FAILURE;
    }
    printf("%s: definitions and %" PRIu64 " segments, %" PRIu64 " bytes\n", to, figures.segments,
           figures.bytes);
    return EXIT_SUCCESS;
}

static const struct command COMMANDS[] = {
    {"backup", 1, run_backup},
};

static int bad_usage(const char *what, const char *argument)
{
    fprintf(stderr, "leveretctl: %s%s\nTry 'leveretctl --help'.\n", what, argument);
    return EXIT_BAD_USAGE;
}

static int run_command(const char *name, const struct options *o)
{
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        const struct command *c = &COMMANDS[i];

        if (strcmp(name, c->name) != 0)
            continue;
        if (o->count < c->arguments)
            return bad_usage("an argument is missing behind ", name);
        if (o->count > c->arguments)
            return bad_usage("unexpected argument ", o->arguments[c->arguments]);
        return c->run(o);
    }
    return bad_usage("unknown command ", name);
}

enum long_option {
    OPTION_DATA_DIR = 256,
};

static const struct option LONG_OPTIONS[] = {
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    struct options o = {.data_dir = DEFAULT_DATA_DIR};
    int option;

    if (argc > 1 && strcmp(argv[1], "tls") == 0)
        return tls_command(argc - 1, argv + 1);
    while ((option = getopt_long(argc, argv, "hV", LONG_OPTIONS, NULL)) != -1) {
        switch (option) {
        case OPTION_DATA_DIR:
            o.data_dir = optarg;
            break;
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        case 'V':
            puts("leveretctl " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            fprintf(stderr, "Try 'leveretctl --help'.\n");
            return EXIT_BAD_USAGE;
        }
    }
    if (optind == argc)
        return bad_usage("a command is missing", "");
    o.arguments = argv + optind + 1;
    o.count = argc - optind - 1;
    return run_command(argv[optind], &o);
}
