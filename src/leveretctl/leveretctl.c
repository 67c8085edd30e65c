/* leveretctl: what an administrator does to a broker and its data from the command line. */
#include "leveretctl/backup.h"
#include "leveretctl/changes.h"
#include "leveretctl/definitions.h"
#include "leveretctl/lists.h"
#include "leveretctl/options.h"
#include "leveretctl/tls_command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char DEFAULT_DATA_DIR[] = "/var/lib/leveret";

struct command {
    const char *name;
    int arguments;
    int (*run)(const struct options *o);
};

static void print_help(void)
{
    puts("Usage: leveretctl [OPTION]... COMMAND [ARGUMENT]...\n"
         "Look after a leveret broker and its data.\n"
         "\n"
         "  backup TO            copy the data directory to TO, which must be missing or empty;\n"
         "                       a broker may be running on it\n"
         "  tls generate DIR     make certificates for development in DIR; takes --host NAME,\n"
         "                       --user NAME, --days N and --crl-url URL (see leveretctl tls "
         "--help)\n"
         "\n"
         "Of a running broker:\n"
         "  export_definitions FILE\n"
         "  import_definitions FILE\n"
         "                       everything but messages, in RabbitMQ's JSON format; of one "
         "virtual\n"
         "                       host when it is named\n"
         "  status               what it is and how it does");
    list_commands_print_help();
    change_commands_print_help();
    puts("\n"
         "      --data-dir DIR   the data directory (/var/lib/leveret)\n"
         "      --socket PATH    the broker's admin socket (admin.sock in the data directory)\n"
         "  -p, --vhost NAME     the virtual host (/)\n"
         "      --formatter F    table (default) or json\n"
         "      --no-table-headers\n"
         "                       no line with the names of the columns\n"
         "      --priority N     of a policy (0)\n"
         "      --apply-to WHAT  of a policy: all (default), queues, classic_queues,\n"
         "                       quorum_queues or exchanges\n"
         "  -u, --if-unused      delete a queue only if it has no consumers\n"
         "  -e, --if-empty       delete a queue only if it has no messages\n"
         "  -q, --quiet          no line that says what is listed\n"
         "  -s, --silent         neither of these lines\n"
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
    if (backup(o->data_dir, to, &figures, error, sizeof(error)) < 0)
        return command_failed(error);
    printf("%s: definitions and %" PRIu64 " segments, %" PRIu64 " bytes\n", to, figures.segments,
           figures.bytes);
    return EXIT_SUCCESS;
}

static const struct command COMMANDS[] = {
    {"backup", 1, run_backup},
    {"export_definitions", 1, export_run},
    {"import_definitions", 1, import_run},
    {"status", 0, status_run},
};

static int run_command(const char *name, const struct options *o)
{
    const struct list_command *list = list_command_find(name);
    const struct change_command *change = change_command_find(name);

    if (list != NULL)
        return list_command_run(list, o);
    if (change != NULL)
        return change_command_run(change, o);
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

static int set_format(struct options *o, const char *name)
{
    if (strcmp(name, "json") == 0)
        o->format = OUTPUT_JSON;
    else if (strcmp(name, "table") == 0)
        o->format = OUTPUT_TABLE;
    else
        return bad_usage("there is no formatter ", name);
    return 0;
}

static int set_priority(struct options *o, const char *text)
{
    char *end;

    o->priority = strtol(text, &end, 10);
    if (*text != '\0' && *end == '\0')
        return 0;
    return bad_usage("a priority is a whole number, not ", text);
}

enum long_option {
    OPTION_DATA_DIR = 256,
    OPTION_SOCKET,
    OPTION_FORMATTER,
    OPTION_NO_TABLE_HEADERS,
    OPTION_PRIORITY,
    OPTION_APPLY_TO,
};

static const struct option LONG_OPTIONS[] = {
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"vhost", required_argument, NULL, 'p'},
    {"formatter", required_argument, NULL, OPTION_FORMATTER},
    {"no-table-headers", no_argument, NULL, OPTION_NO_TABLE_HEADERS},
    {"priority", required_argument, NULL, OPTION_PRIORITY},
    {"apply-to", required_argument, NULL, OPTION_APPLY_TO},
    {"if-unused", no_argument, NULL, 'u'},
    {"if-empty", no_argument, NULL, 'e'},
    {"quiet", no_argument, NULL, 'q'},
    {"silent", no_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

#define SHORT_OPTIONS "p:ueqshV"

/* Reads from the start. Returns -1 to go on, or an exit status. */
static int read_options(struct options *o, int argc, char **argv, const char *short_options)
{
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, short_options, LONG_OPTIONS, NULL)) != -1) {
        switch (option) {
        case OPTION_DATA_DIR:
            o->data_dir = optarg;
            break;
        case OPTION_SOCKET:
            o->socket = optarg;
            break;
        case 'p':
            o->vhost = optarg;
            o->vhost_named = true;
            break;
        case OPTION_FORMATTER:
            if (set_format(o, optarg) != 0)
                return EXIT_BAD_USAGE;
            break;
        case OPTION_NO_TABLE_HEADERS:
            o->no_headers = true;
            break;
        case OPTION_PRIORITY:
            if (set_priority(o, optarg) != 0)
                return EXIT_BAD_USAGE;
            break;
        case OPTION_APPLY_TO:
            o->apply_to = optarg;
            break;
        case 'u':
            o->if_unused = true;
            break;
        case 'e':
            o->if_empty = true;
            break;
        case 's':
            o->no_headers = true;
            o->quiet = true;
            break;
        case 'q':
            o->quiet = true;
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
    return -1;
}

int main(int argc, char **argv)
{
    struct options o = {.data_dir = DEFAULT_DATA_DIR, .vhost = "/", .apply_to = "all"};
    int status;

    /* "tls" has options of its own behind it; else options may come anywhere, as rabbitmqctl has
     * them. */
    status = read_options(&o, argc, argv, "+" SHORT_OPTIONS);
    if (status >= 0)
        return status;
    if (optind < argc && strcmp(argv[optind], "tls") == 0)
        return tls_command(argc - optind, argv + optind);
    status = read_options(&o, argc, argv, SHORT_OPTIONS);
    if (status >= 0)
        return status;
    if (optind == argc)
        return bad_usage("a command is missing", "");
    o.arguments = argv + optind + 1;
    o.count = argc - optind - 1;
    return run_command(argv[optind], &o);
}
