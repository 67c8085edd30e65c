#include "base/bytes.h"

#include "base/memory.h"
#include "base/random.h"

#include <pthread.h>

static uint64_t process_seed;
static pthread_once_t process_seed_once = PTHREAD_ONCE_INIT;

static void process_seed_draw(void)
{
    random_bytes(&process_seed, sizeof(process_seed));
    process_seed |= 1;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_word(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

static uint64_t load_tail(const uint8_t *p, size_t size)
{
    uint64_t word = 0;

    memcpy(&word, p, size);
    return word;
}

uint64_t bytes_hash_seeded(struct bytes b, uint64_t seed)
{
    const uint64_t odd_a = 0x9e3779b97f4a7c15u;
    const uint64_t odd_b = 0xd1b54a32d192ed03u;
    const uint8_t *p = b.data;
    size_t left = b.size;
    uint64_t h = seed ^ fold(b.size ^ odd_a, odd_b);

    while (left >= 8) {
        h = fold(h ^ load_word(p), odd_a);
        p += 8;
        left -= 8;
    }
    if (left != 0)
        h = fold(h ^ load_tail(p, left), odd_b);
    return fold(h ^ odd_b, odd_a ^ seed);
}

uint64_t bytes_hash(struct bytes b)
{
    pthread_once(&process_seed_once, process_seed_draw);
    return bytes_hash_seeded(b, process_seed);
}

char *bytes_to_string(struct bytes b)
{
    char *s = memory_alloc(b.size + 1);

    if (b.size != 0)
        memcpy(s, b.data, b.size);
    s[b.size] = '\0';
    return s;
}
