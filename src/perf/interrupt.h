/* SIGINT and SIGTERM, once, as a wish to end early; the second one kills. Any thread. */
#ifndef LEVERET_PERF_INTERRUPT_H
#define LEVERET_PERF_INTERRUPT_H

#include <stdbool.h>

/* Takes over the two signals, and has SIGPIPE ignored. */
void interrupt_init(void);

/* Whether one has come. */
bool interrupted(void);

#endif
