#include "auth/login_backoff.h"

#include "base/memory.h"
#include "base/random.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    SETS = 1024,
    WAYS = 4,
    SHIFT_MAX = 30,
};

enum key_kind {
    KEY_PAIR,
    KEY_ADDRESS,
    KEY_USER,
    KEY_KIND_COUNT,
};

struct entry {
    uint64_t key;
    uint32_t failures; /* 0: free */
    int64_t last_ms;   /* of the last failure */
    int64_t next_ms;   /* before that nobody's turn comes */
};

struct login_backoff {
    struct login_backoff_options options;
    uint64_t seed; /* so that nobody can make names that share another's entry */
    pthread_mutex_t mutex;
    struct entry entries[SETS][WAYS];
};

struct login_backoff *login_backoff_new(const struct login_backoff_options *o)
{
    struct login_backoff *b = memory_alloc_zeroed(1, sizeof(*b));

    b->options = *o;
    random_bytes(&b->seed, sizeof(b->seed));
    pthread_mutex_init(&b->mutex, NULL);
    return b;
}

void login_backoff_free(struct login_backoff *b)
{
    if (b == NULL)
        return;
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

static void make_keys(const struct login_backoff *b, struct bytes address, struct bytes user,
                      uint64_t keys[KEY_KIND_COUNT])
{
    keys[KEY_ADDRESS] = bytes_hash_seeded(address, b->seed + KEY_ADDRESS);
    keys[KEY_USER] = bytes_hash_seeded(user, b->seed + KEY_USER);
    keys[KEY_PAIR] = bytes_hash_seeded(user, keys[KEY_ADDRESS]);
}

static bool is_live(const struct login_backoff *b, const struct entry *e, int64_t now_ms)
{
    return e->failures != 0 && now_ms - e->last_ms < (int64_t)b->options.forget_ms;
}

static struct entry *find(struct login_backoff *b, uint64_t key, int64_t now_ms)
{
    struct entry *set = b->entries[key % SETS];

    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key && is_live(b, &set[i], now_ms))
            return &set[i];
    }
    return NULL;
}

/* A free one, or the one that failed longest ago. */
static struct entry *make(struct login_backoff *b, uint64_t key, int64_t now_ms)
{
    struct entry *set = b->entries[key % SETS];
    struct entry *chosen = &set[0];

    for (int i = 0; i < WAYS; i++) {
        if (!is_live(b, &set[i], now_ms)) {
            chosen = &set[i];
            break;
        }
        if (set[i].last_ms < chosen->last_ms)
            chosen = &set[i];
    }
    *chosen = (struct entry){.key = key};
    return chosen;
}

static int64_t delay_ms(const struct login_backoff *b, const struct entry *e, enum key_kind kind)
{
    uint32_t free_failures =
        kind == KEY_PAIR ? b->options.after : b->options.after * LOGIN_BACKOFF_SHARED_FACTOR;
    uint32_t shift;
    uint64_t delay;

    if (e->failures <= free_failures)
        return 0;
    shift = e->failures - free_failures - 1;
    delay = (uint64_t)b->options.first_ms << (shift < SHIFT_MAX ? shift : SHIFT_MAX);
    return delay < b->options.max_ms ? (int64_t)delay : (int64_t)b->options.max_ms;
}

/* A user's logins from many places need not wait for each other. */
static bool takes_turns(enum key_kind kind)
{
    return kind != KEY_USER;
}

int64_t login_backoff_wait(struct login_backoff *b, struct bytes address, struct bytes user,
                           int64_t now_ms)
{
    struct entry *entries[KEY_KIND_COUNT];
    uint64_t keys[KEY_KIND_COUNT];
    int64_t wait = 0;

    if (b->options.max_ms == 0)
        return 0;
    make_keys(b, address, user, keys);
    pthread_mutex_lock(&b->mutex);
    for (int kind = 0; kind < KEY_KIND_COUNT; kind++) {
        struct entry *e = find(b, keys[kind], now_ms);
        int64_t delay = e != NULL ? delay_ms(b, e, (enum key_kind)kind) : 0;

        entries[kind] = delay != 0 ? e : NULL;
        if (delay != 0 && takes_turns((enum key_kind)kind))
            delay = e->next_ms - now_ms;
        if (delay > wait)
            wait = delay;
    }
    if (wait > (int64_t)b->options.max_ms) {
        wait = LOGIN_BACKOFF_REFUSED;
    } else {
        for (int kind = 0; kind < KEY_KIND_COUNT; kind++) {
            if (entries[kind] != NULL && takes_turns((enum key_kind)kind))
                entries[kind]->next_ms =
                    now_ms + wait + delay_ms(b, entries[kind], (enum key_kind)kind);
        }
    }
    pthread_mutex_unlock(&b->mutex);
    return wait;
}

void login_backoff_failed(struct login_backoff *b, struct bytes address, struct bytes user,
                          int64_t now_ms)
{
    uint64_t keys[KEY_KIND_COUNT];
    uint32_t of_pair = 0;

    if (b->options.max_ms == 0)
        return;
    make_keys(b, address, user, keys);
    pthread_mutex_lock(&b->mutex);
    for (int kind = 0; kind < KEY_KIND_COUNT; kind++) {
        struct entry *e = find(b, keys[kind], now_ms);
        int64_t next_ms;

        /* A pair that waits is slowed down by that: one client that has a wrong password and goes
         * on trying makes nobody else of its address wait, nor its user elsewhere. */
        if (of_pair > b->options.after && (e == NULL || delay_ms(b, e, (enum key_kind)kind) == 0))
            continue;
        if (e == NULL)
            e = make(b, keys[kind], now_ms);
        if (e->failures < UINT32_MAX)
            e->failures++;
        e->last_ms = now_ms;
        next_ms = now_ms + delay_ms(b, e, (enum key_kind)kind);
        if (next_ms > e->next_ms)
            e->next_ms = next_ms;
        if (kind == KEY_PAIR)
            of_pair = e->failures;
    }
    pthread_mutex_unlock(&b->mutex);
}
