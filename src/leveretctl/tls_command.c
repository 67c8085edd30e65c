#include "leveretctl/tls_command.h"

#include "leveretctl/tls_generate.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_BAD_USAGE = 2,
    HOSTS_MAX = 64,
    DAYS_MAX = 36500,
    ERROR_SIZE = 8192,
};

enum long_option {
    OPTION_HOST = 256,
    OPTION_USER,
    OPTION_DAYS,
    OPTION_CRL_URL,
};

static const struct option LONG_OPTIONS[] = {
    {"host", required_argument, NULL, OPTION_HOST},
    {"user", required_argument, NULL, OPTION_USER},
    {"days", required_argument, NULL, OPTION_DAYS},
    {"crl-url", required_argument, NULL, OPTION_CRL_URL},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("Usage: leveretctl tls generate [OPTION]... DIR\n"
         "Make certificates for development in DIR: a certificate authority (ca_certificate.pem,\n"
         "ca_key.pem), and signed by it a server's (server_certificate.pem, server_key.pem) and a\n"
         "client's (client_certificate.pem, client_key.pem). An authority that is there already\n"
         "is used again; the other files are replaced.\n"
         "\n"
         "      --host NAME      a name or address of the server besides localhost, 127.0.0.1 and\n"
         "                       ::1; may be given several times\n"
         "      --user NAME      the common name of the client's certificate (guest)\n"
         "      --days N         how long both are valid (365)\n"
         "      --crl-url URL    where both say that their revocation list is (nowhere)\n"
         "  -h, --help           print this and exit");
}

static int bad_usage(const char *what, const char *argument)
{
    fprintf(stderr, "leveretctl: tls: %s%s\nTry 'leveretctl tls --help'.\n", what, argument);
    return EXIT_BAD_USAGE;
}

static int generate(const struct tls_generate_options *o)
{
    char error[ERROR_SIZE] = "";
    bool new_ca;

    if (tls_generate(o, &new_ca, error, sizeof(error)) < 0) {
        fprintf(stderr, "leveretctl: %s\n", error);
        return EXIT_FAILURE;
    }
    printf("%s: %s CA, a server's and a client's certificate (%s) for %u days\n", o->directory,
           new_ca ? "a new" : "the former", o->user, o->days);
    return EXIT_SUCCESS;
}

int tls_command(int argc, char **argv)
{
    const char *hosts[HOSTS_MAX];
    struct tls_generate_options o = {
        .user = "guest",
        .hosts = hosts,
        .days = TLS_GENERATE_DAYS,
    };
    char *end;
    unsigned long days;
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL)) != -1) {
        switch (option) {
        case OPTION_HOST:
            if (o.host_count == HOSTS_MAX)
                return bad_usage("too many hosts from ", optarg);
            hosts[o.host_count++] = optarg;
            break;
        case OPTION_USER:
            o.user = optarg;
            break;
        case OPTION_DAYS:
            days = strtoul(optarg, &end, 10);
            if (end == optarg || *end != '\0' || days == 0 || days > DAYS_MAX)
                return bad_usage("--days must be from 1 to 36500, not ", optarg);
            o.days = (unsigned)days;
            break;
        case OPTION_CRL_URL:
            o.crl_url = optarg;
            break;
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        default:
            fprintf(stderr, "Try 'leveretctl tls --help'.\n");
            return EXIT_BAD_USAGE;
        }
    }
    if (optind == argc)
        return bad_usage("a command is missing", "");
    if (strcmp(argv[optind], "generate") != 0)
        return bad_usage("unknown command ", argv[optind]);
    if (argc - optind < 2)
        return bad_usage("an argument is missing behind ", "generate");
    if (argc - optind > 2)
        return bad_usage("unexpected argument ", argv[optind + 2]);
    o.directory = argv[optind + 1];
    return generate(&o);
}
