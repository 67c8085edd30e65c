/* What a broker keeps on disk: opening it at start, bringing back what is there, and closing it.
 * On the main thread, while no worker runs. */
#ifndef LEVERET_SESSION_BROKER_STORE_H
#define LEVERET_SESSION_BROKER_STORE_H

struct broker;
struct vhost;

/* Opens the data directory at `path` and restores virtual hosts, exchanges, queues with their
 * messages, and bindings. Returns 0, or -errno after logging one line that says what is wrong. */
int broker_store_open(struct broker *b, const char *path);

/* Has the durable changes of a virtual host recorded that is not yet; any thread. */
void broker_store_watch(struct broker *b, struct vhost *v);

/* Writes what is gathered and closes; the workers have ended. Harmless when nothing is open. */
void broker_store_close(struct broker *b);

#endif
