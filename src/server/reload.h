/* Reading the configuration again: the main thread does it when SIGHUP comes, and who asked for it
 * from inside of the process waits for what came of it. A process has one broker, and one of this.
 */
#ifndef LEVERET_SERVER_RELOAD_H
#define LEVERET_SERVER_RELOAD_H

#include "base/bytes.h"

#include <stdint.h>

/* Has the main thread reload, and waits for it. Returns 0; -EINVAL when the configuration has
 * problems, of which *problems tells, a line each; or -ESHUTDOWN when the broker closes. The caller
 * frees *problems, NULL where there are none. Any thread but the main one. */
int reload_ask(char **problems);

/* On the main thread, around each reload: reload_begin() tells which of those who ask it answers;
 * `problems` are empty when the configuration is in force. */
uint64_t reload_begin(void);
void reload_end(uint64_t begun, struct bytes problems);

/* There will be no reload any more: answers who waits and who asks from now on. Main thread. */
void reload_close(void);

#endif
