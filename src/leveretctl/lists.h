/* The commands that list what a running broker has: names, columns and their order are
 * rabbitmqctl's (RabbitMQ "rabbitmqctl(8)"). */
#ifndef LEVERET_LEVERETCTL_LISTS_H
#define LEVERET_LEVERETCTL_LISTS_H

#include "leveretctl/options.h"

struct list_command;

/* The command of that name, or NULL. */
const struct list_command *list_command_find(const char *name);

/* Prints the list, of the columns that the arguments name. Returns an exit status. */
int list_command_run(const struct list_command *c, const struct options *o);

/* Prints a line about each command, for --help. */
void list_commands_print_help(void);

/* Prints what the broker is and how it does. Returns an exit status. */
int status_run(const struct options *o);

#endif
