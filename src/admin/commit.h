/* Waiting for the definitions to be on disk. */
#ifndef LEVERET_ADMIN_COMMIT_H
#define LEVERET_ADMIN_COMMIT_H

struct broker;

/* Waits until everything recorded so far is committed. Returns 0, or -errno when something could
 * not be. Any thread that is neither a worker nor the definitions' own. */
int commit_wait(struct broker *b);

#endif
