/* What the command line of leveretctl says. */
#ifndef LEVERET_LEVERETCTL_OPTIONS_H
#define LEVERET_LEVERETCTL_OPTIONS_H

#include <stdbool.h>

enum {
    EXIT_BAD_USAGE = 2,
    ERROR_SIZE = 8192,
};

enum output_format {
    OUTPUT_TABLE,
    OUTPUT_JSON,
};

struct options {
    const char *data_dir;
    const char *socket; /* of the admin side; NULL: the one in data_dir */
    const char *vhost;
    bool vhost_named; /* on the command line */
    enum output_format format;
    const char *apply_to; /* of a policy */
    long priority;
    bool if_unused; /* delete_queue */
    bool if_empty;
    bool quiet;       /* no line that says what is done */
    bool no_headers;  /* no names of columns */
    char **arguments; /* of the command */
    int count;
};

/* Says on standard error what is wrong with the command line. Returns EXIT_BAD_USAGE. */
int bad_usage(const char *what, const char *argument);

/* Says on standard error why a command failed. Returns EXIT_FAILURE. */
int command_failed(const char *error);

/* The path of the admin socket, on the heap for the caller to free. */
char *options_socket(const struct options *o);

#endif
