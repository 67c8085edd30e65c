/* leveretctl tls: its part of the command line. */
#ifndef LEVERET_LEVERETCTL_TLS_COMMAND_H
#define LEVERET_LEVERETCTL_TLS_COMMAND_H

/* Runs `tls generate …`; argv[0] is "tls". Returns the program's exit status, having said what was
 * done or what is wrong. */
int tls_command(int argc, char **argv);

#endif
