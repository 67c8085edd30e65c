#include "base/slab.h"

#include "base/list.h"
#include "base/memory.h"
#include "base/run_pool.h"
#include "base/slab_pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <threads.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_IS_MALLOC
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_IS_MALLOC
#endif
#endif

#ifdef SLAB_IS_MALLOC

void *slab_alloc(size_t size)
{
    return malloc(size);
}

void slab_free(void *object, size_t size)
{
    (void)size;
    free(object);
}

#else

#define FINE_STEP 16u
#define FINE_MAX 512u
#define COARSE_STEP 64u
#define FINE_CLASSES (FINE_MAX / FINE_STEP)
#define SLAB_CLASSES (FINE_CLASSES + (SLAB_OBJECT_MAX - FINE_MAX) / COARSE_STEP)

/* Runs up to this size are classes as well, for the sake of the threads' own; longer ones, which
 * cost more to fill than to get, are asked of the pool one by one. */
#define CLASS_RUN_MAX 8192u
#define CLASSES (SLAB_CLASSES + (CLASS_RUN_MAX - SLAB_OBJECT_MAX) / (uint32_t)RUN_UNIT_BYTES)

static_assert(SLAB_OBJECT_MAX % RUN_UNIT_BYTES == 0, "classes of runs begin where slabs end");

/* What a thread keeps of a class: so many objects, and no more bytes than these. */
#define MAGAZINE_OBJECTS_MAX 32u
#define MAGAZINE_SLAB_BYTES 32768u
#define MAGAZINE_RUN_BYTES (2 * CLASS_RUN_MAX)

struct object {
    struct object *next;
};

/* The head of SLAB_BYTES that are aligned to their size. The objects that never lived are in the
 * rest, which may never have been touched. */
struct slab {
    struct list_node node; /* in its class's list while it has a free object */
    struct slab_region *region;
    struct object *freed;
    uint32_t live;
    uint32_t untouched; /* where the first object is that never lived, from the slab's begin */
    uint32_t object_size;
};

#define FIRST_OBJECT ((uint32_t)((sizeof(struct slab) + FINE_STEP - 1) & ~(FINE_STEP - 1)))

/* A class's slabs that have free objects. */
struct depot {
    _Alignas(64) pthread_mutex_t lock;
    struct list slabs;
};

static struct depot depots[SLAB_CLASSES];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static tss_t exit_key;
static bool has_exit_key;

/* A thread's own free objects of a class. */
struct magazine {
    struct object *first;
    uint32_t count;
    uint32_t max; /* 0 until the thread's end will give back what is there */
};

struct magazines {
    struct magazine of[CLASSES];
};

static thread_local struct magazines magazines;

static uint32_t units_of(size_t size)
{
    return (uint32_t)((size + RUN_UNIT_BYTES - 1) / RUN_UNIT_BYTES);
}

static uint32_t class_of(size_t size)
{
    if (size <= FINE_MAX)
        return (uint32_t)((size + FINE_STEP - 1) / FINE_STEP) - 1;
    if (size <= SLAB_OBJECT_MAX)
        return FINE_CLASSES + (uint32_t)((size - FINE_MAX + COARSE_STEP - 1) / COARSE_STEP) - 1;
    return SLAB_CLASSES + units_of(size - SLAB_OBJECT_MAX) - 1;
}

static uint32_t class_object_size(uint32_t size_class)
{
    if (size_class < FINE_CLASSES)
        return (size_class + 1) * FINE_STEP;
    if (size_class < SLAB_CLASSES)
        return FINE_MAX + (size_class - FINE_CLASSES + 1) * COARSE_STEP;
    return SLAB_OBJECT_MAX + (size_class - SLAB_CLASSES + 1) * (uint32_t)RUN_UNIT_BYTES;
}

static struct slab *slab_of(struct object *o)
{
    return (struct slab *)(void *)((char *)o - (uintptr_t)o % SLAB_BYTES);
}

static bool slab_is_full(const struct slab *s)
{
    return s->freed == NULL && s->untouched + s->object_size > SLAB_BYTES;
}

/* ---- The depots ---- */

static struct slab *depot_add_slab(struct depot *d, uint32_t object_size)
{
    struct slab_region *region;
    struct slab *s = slab_pool_take(&region);

    if (s == NULL)
        return NULL;
    s->region = region;
    s->freed = NULL;
    s->live = 0;
    s->untouched = FIRST_OBJECT;
    s->object_size = object_size;
    list_prepend(&d->slabs, &s->node);
    return s;
}

static struct object *slab_take(struct slab *s)
{
    struct object *o = s->freed;

    if (o != NULL) {
        s->freed = o->next;
    } else {
        o = (struct object *)(void *)((char *)s + s->untouched);
        s->untouched += s->object_size;
    }
    s->live++;
    return o;
}

/* Fills an empty magazine half, as far as there is memory, in the order of the addresses where the
 * slab is new. */
static void magazine_fill_from_slabs(struct magazine *m, uint32_t size_class)
{
    struct depot *d = &depots[size_class];
    struct object **end = &m->first;

    pthread_mutex_lock(&d->lock);
    while (m->count < m->max / 2) {
        struct slab *s = list_empty(&d->slabs)
                             ? depot_add_slab(d, class_object_size(size_class))
                             : container_of(d->slabs.head.next, struct slab, node);

        if (s == NULL)
            break;
        *end = slab_take(s);
        end = &(*end)->next;
        m->count++;
        if (slab_is_full(s))
            list_remove(&s->node);
    }
    *end = NULL;
    pthread_mutex_unlock(&d->lock);
}

static void slab_put(struct slab *s, struct object *o)
{
    o->next = s->freed;
    s->freed = o;
    s->live--;
}

/* A slab in which nothing lives any more leaves the class. */
static void magazine_give_back_to_slabs(struct magazine *m, uint32_t size_class, uint32_t count)
{
    struct depot *d = &depots[size_class];
    struct slab *empty[MAGAZINE_OBJECTS_MAX + 1];
    uint32_t empty_count = 0;

    pthread_mutex_lock(&d->lock);
    for (; count != 0; count--) {
        struct object *o = m->first;
        struct slab *s = slab_of(o);

        assert(s->object_size == class_object_size(size_class));
        m->first = o->next;
        if (slab_is_full(s))
            list_prepend(&d->slabs, &s->node);
        slab_put(s, o);
        if (s->live == 0) {
            list_remove(&s->node);
            empty[empty_count++] = s;
        }
    }
    pthread_mutex_unlock(&d->lock);
    for (; empty_count != 0; empty_count--)
        slab_pool_put(empty[empty_count - 1], empty[empty_count - 1]->region);
}

/* ---- Runs ---- */

static void magazine_fill_from_runs(struct magazine *m, uint32_t size_class)
{
    void *runs[MAGAZINE_OBJECTS_MAX];

    m->count = run_pool_take(units_of(class_object_size(size_class)), runs, m->max / 2);
    for (uint32_t i = m->count; i != 0; i--) {
        struct object *o = runs[i - 1];

        o->next = m->first;
        m->first = o;
    }
}

static void magazine_give_back_to_runs(struct magazine *m, uint32_t size_class, uint32_t count)
{
    void *runs[MAGAZINE_OBJECTS_MAX + 1];

    for (uint32_t i = 0; i < count; i++) {
        runs[i] = m->first;
        m->first = m->first->next;
    }
    run_pool_put(units_of(class_object_size(size_class)), runs, count);
}

static void *long_run_alloc(size_t size)
{
    void *run;

    if (size > RUN_UNITS_MAX * RUN_UNIT_BYTES)
        return malloc(size);
    return run_pool_take(units_of(size), &run, 1) == 1 ? run : NULL;
}

static void long_run_free(void *object, size_t size)
{
    if (size > RUN_UNITS_MAX * RUN_UNIT_BYTES)
        free(object);
    else
        run_pool_put(units_of(size), &object, 1);
}

/* ---- Magazines ---- */

static void magazine_fill(struct magazine *m, uint32_t size_class)
{
    if (size_class < SLAB_CLASSES)
        magazine_fill_from_slabs(m, size_class);
    else
        magazine_fill_from_runs(m, size_class);
}

/* Gives back the `count` objects that were freed last. */
static void magazine_give_back(struct magazine *m, uint32_t size_class, uint32_t count)
{
    assert(count <= MAGAZINE_OBJECTS_MAX + 1);
    m->count -= count;
    if (size_class < SLAB_CLASSES)
        magazine_give_back_to_slabs(m, size_class, count);
    else
        magazine_give_back_to_runs(m, size_class, count);
}

/* ---- Threads ---- */

static void thread_end(void *of_thread)
{
    struct magazines *all = of_thread;

    for (uint32_t size_class = 0; size_class < CLASSES; size_class++) {
        magazine_give_back(&all->of[size_class], size_class, all->of[size_class].count);
        all->of[size_class].max = 0;
    }
}

static void set_up(void)
{
    for (uint32_t size_class = 0; size_class < SLAB_CLASSES; size_class++) {
        pthread_mutex_init(&depots[size_class].lock, NULL);
        list_init(&depots[size_class].slabs);
    }
    /* Without a key the magazines of threads that end are lost, and nothing else. */
    has_exit_key = tss_create(&exit_key, thread_end) == thrd_success;
}

/* Before the thread's first object, or the first since thread_end(). */
static void thread_begin(void)
{
    pthread_once(&once, set_up);
    if (has_exit_key)
        (void)tss_set(exit_key, &magazines);
    for (uint32_t size_class = 0; size_class < CLASSES; size_class++) {
        uint32_t bytes = size_class < SLAB_CLASSES ? MAGAZINE_SLAB_BYTES : MAGAZINE_RUN_BYTES;
        uint32_t objects = bytes / class_object_size(size_class);

        magazines.of[size_class].max =
            objects < MAGAZINE_OBJECTS_MAX ? objects : MAGAZINE_OBJECTS_MAX;
    }
}

void *slab_alloc(size_t size)
{
    struct magazine *m;
    struct object *o;

    if (size > CLASS_RUN_MAX)
        return long_run_alloc(size);
    m = &magazines.of[class_of(size)];
    if (m->first == NULL) {
        if (m->max == 0)
            thread_begin();
        magazine_fill(m, class_of(size));
        if (m->first == NULL)
            return NULL;
    }
    o = m->first;
    m->first = o->next;
    m->count--;
    return o;
}

void slab_free(void *object, size_t size)
{
    struct object *o = object;
    struct magazine *m;

    if (size > CLASS_RUN_MAX) {
        long_run_free(object, size);
        return;
    }
    m = &magazines.of[class_of(size)];
    o->next = m->first;
    m->first = o;
    if (++m->count <= m->max)
        return;
    if (m->max == 0)
        thread_begin();
    else
        magazine_give_back(m, class_of(size), m->count / 2);
}

#endif
