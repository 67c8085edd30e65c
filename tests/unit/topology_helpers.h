/* What the tests of the topology share: a virtual host to play with, in words of the domain, and
 * a naive router that scans everything, to hold the real one against. */
#ifndef LEVERET_TESTS_TOPOLOGY_HELPERS_H
#define LEVERET_TESTS_TOPOLOGY_HELPERS_H

#include "base/arena.h"
#include "base/random.h"
#include "broker/topology.h"

#include <stdbool.h>
#include <stdint.h>

#define VHOST "/"

struct world {
    struct topology *topology;
    struct route route;
    struct refusal refusal;
    struct arena arena; /* tables made by table_of() */
};

void world_begin(struct world *w);
void world_end(struct world *w);

/* A table from notation: "x-match=any n=1 f=1.5 b=true v=void w=l1 t=T5 s=word". Integers are
 * signedint, `l`, `s8:` and `T` in front make them long, byte and timestamp, `x:` makes bytes;
 * what is none of these is a string. NULL from NULL. Lives in the world's arena. */
const struct table *table_of(struct world *w, const char *notation);

struct queue_handle *add_queue(struct world *w, const char *name);
struct queue_handle *add_exclusive_queue(struct world *w, const char *name, uint64_t owner);
void remove_queue(struct world *w, const char *name);

/* `options`: any of "durable auto_delete internal passive", then arguments behind a bar:
 * "auto_delete|alternate-exchange=x". NULL: none. */
struct exchange_declaration declaration(struct world *w, const char *name, const char *type,
                                        const char *options);
void declare(struct world *w, const char *name, const char *type, const char *options);
void delete_exchange(struct world *w, const char *name);
bool exchange_exists(const struct world *w, const char *name);

/* `source` to `destination`, which is an exchange when it has "x:" in front. */
struct binding_declaration binding_of(struct world *w, const char *source, const char *destination,
                                      const char *key, const char *arguments);
void bind(struct world *w, const char *source, const char *destination, const char *key,
          const char *arguments);
void unbind(struct world *w, const char *source, const char *destination, const char *key,
            const char *arguments);

/* The names of the queues that a message goes to, sorted and joined by spaces; valid until the
 * next call. `headers` is notation or NULL. */
const char *route_names(struct world *w, const char *exchange, const char *key,
                        const char *headers);

/* Fails unless the route leads to exactly these queues. */
void expect_route(struct world *w, const char *exchange, const char *key, const char *headers,
                  const char *queues);

/* Fails unless `rc` is a refusal with this code and text. */
void expect_refusal(const struct world *w, int rc, enum refusal_code code, const char *text);

/* The rules of the topic and headers exchanges, written down as plainly as can be. */
bool naive_topic_match(const char *pattern, const char *key);
bool naive_headers_match(const struct table *arguments, const struct table *headers);

/* The first seed of a run: $TOPOLOGY_TEST_SEED to replay one, else drawn anew. */
uint64_t first_seed(void);

/* A random key or pattern: up to `words` words, some of them empty, from few letters, and with
 * wildcards when `pattern`. Valid until the third call from then. */
const char *random_key(struct random_sequence *r, unsigned words, bool pattern);

/* The heap's bytes in use, the allocator's overhead included; 0 where that cannot be told (under
 * sanitizers). */
size_t heap_in_use(void);

#endif
