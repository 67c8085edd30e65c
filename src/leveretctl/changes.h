/* The commands that change something in a running broker: names and the order of arguments are
 * rabbitmqctl's (RabbitMQ "rabbitmqctl(8)"). */
#ifndef LEVERET_LEVERETCTL_CHANGES_H
#define LEVERET_LEVERETCTL_CHANGES_H

#include "leveretctl/options.h"

struct change_command;

/* The command of that name, or NULL. */
const struct change_command *change_command_find(const char *name);

/* Does it. Returns an exit status. */
int change_command_run(const struct change_command *c, const struct options *o);

/* Prints a line about each command, for --help. */
void change_commands_print_help(void);

#endif
