/* The log of changes that are made at run time: what changed, for whom, and through what. */
#ifndef LEVERET_SESSION_AUDIT_H
#define LEVERET_SESSION_AUDIT_H

/* Says through what the calling thread makes changes from now on ("the admin socket"); NULL: the
 * configuration, as at the start. Borrowed. */
void audit_set_origin(const char *origin);

/* Logs a change at level info, and through what it was made. Never a password or its hash. */
void audit_log(const char *component, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
