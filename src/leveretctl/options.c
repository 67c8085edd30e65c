#include "leveretctl/options.h"

#include "base/bytes.h"
#include "store/data_directory.h"

#include <stdio.h>
#include <stdlib.h>

int bad_usage(const char *what, const char *argument)
{
    fprintf(stderr, "leveretctl: %s%s\nTry 'leveretctl --help'.\n", what, argument);
    return EXIT_BAD_USAGE;
}

int command_failed(const char *error)
{
    fprintf(stderr, "leveretctl: %s\n", error);
    return EXIT_FAILURE;
}

char *options_socket(const struct options *o)
{
    if (o->socket == NULL)
        return data_directory_admin_socket(o->data_dir);
    return bytes_to_string(bytes_from_string(o->socket));
}
