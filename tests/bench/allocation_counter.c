/* A library for LD_PRELOAD that counts what a program allocates, for tests that bound it.
 *
 * ALLOCATION_COUNT_FILE names a file that it maps: eight bytes, the number of calls of malloc,
 * calloc, realloc and their aligned kin so far, in host order. Whoever runs the program reads the
 * file whenever it likes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EARLY_SIZE = 64 * 1024 };

static _Atomic uint64_t uncounted; /* where calls are counted without a file */
static _Atomic uint64_t *counter = &uncounted;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static void *(*next_aligned_alloc)(size_t, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);

/* What is asked for while the functions above are being looked up; never given back. */
static _Alignas(16) unsigned char early[EARLY_SIZE];
static size_t early_used;

static int is_early(const void *p)
{
    return (const unsigned char *)p >= early && (const unsigned char *)p < early + EARLY_SIZE;
}

static void *early_alloc(size_t size)
{
    void *p = early + early_used;

    size = (size + 15) & ~(size_t)15;
    if (size > EARLY_SIZE - early_used)
        abort();
    early_used += size;
    return p;
}

/* A function pointer is copied, for C has no cast from dlsym's void pointer to one. */
static void look_up(void *out, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL)
        abort();
    memcpy(out, &found, sizeof(found));
}

static void look_up_all(void)
{
    static int begun;

    if (begun)
        return;
    begun = 1;
    look_up(&next_free, "free");
    look_up(&next_calloc, "calloc");
    look_up(&next_realloc, "realloc");
    look_up(&next_aligned_alloc, "aligned_alloc");
    look_up(&next_posix_memalign, "posix_memalign");
    look_up(&next_malloc, "malloc");
}

__attribute__((constructor)) static void open_counter(void)
{
    const char *path = getenv("ALLOCATION_COUNT_FILE");
    void *mapped;
    int fd;

    look_up_all();
    if (path == NULL)
        return;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*counter)) != 0)
        abort();
    mapped = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(fd);
    counter = mapped;
}

static void count(void)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    if (next_malloc == NULL)
        look_up_all();
    count();
    return next_malloc != NULL ? next_malloc(size) : early_alloc(size);
}

void *calloc(size_t number, size_t size)
{
    if (next_malloc == NULL)
        look_up_all();
    count();
    return next_malloc != NULL ? next_calloc(number, size) : early_alloc(number * size);
}

void *realloc(void *p, size_t size)
{
    if (next_malloc == NULL)
        look_up_all();
    count();
    if (next_malloc != NULL && !is_early(p))
        return next_realloc(p, size);
    if (p == NULL)
        return malloc(size);
    abort();
}

void free(void *p)
{
    if (p == NULL || is_early(p))
        return;
    next_free(p);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    look_up_all();
    count();
    return next_aligned_alloc(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    look_up_all();
    count();
    return next_posix_memalign(out, alignment, size);
}
