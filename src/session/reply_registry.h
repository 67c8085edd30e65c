/* The channels that wait for direct replies (RabbitMQ "Direct Reply-to"), by the key that their
 * reply-to names carry. A key is random: who does not know it cannot reply. Any thread. */
#ifndef LEVERET_SESSION_REPLY_REGISTRY_H
#define LEVERET_SESSION_REPLY_REGISTRY_H

#include "base/bytes.h"
#include "base/hash_map.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define REPLY_QUEUE_NAME "amq.rabbitmq.reply-to"
#define REPLY_QUEUE_PREFIX REPLY_QUEUE_NAME "."

enum {
    /* The prefix, 16 hexadecimal digits and the terminator. */
    REPLY_QUEUE_NAME_SIZE = sizeof(REPLY_QUEUE_PREFIX) + 16,
};

struct reply_address {
    uint32_t worker;
    uint64_t connection;
    uint16_t channel;
    void *vhost; /* replies come through the same virtual host */
};

struct reply_registry {
    pthread_rwlock_t lock;
    struct hash_map by_key;
};

void reply_registry_init(struct reply_registry *r);
void reply_registry_release(struct reply_registry *r);

/* Registers the address under a new key, which it returns (> 0). */
uint64_t reply_registry_add(struct reply_registry *r, const struct reply_address *address);

/* Forgets the key; harmless when it is not there. */
void reply_registry_remove(struct reply_registry *r, uint64_t key);

bool reply_registry_find(struct reply_registry *r, uint64_t key, struct reply_address *out);

/* The queue name that stands for a key, and back; 0 when the name is none. */
void reply_queue_name(uint64_t key, char out[REPLY_QUEUE_NAME_SIZE]);
uint64_t reply_queue_key(struct bytes name);

#endif
