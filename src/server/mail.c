#include "server/mail.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAIL_BATCH_MIN_CAPACITY 4096u
#define MAIL_ALIGN(size) (((size) + 7u) & ~(size_t)7u)

int mailbox_init(struct mailbox *m)
{
    atomic_init(&m->newest, NULL);
    atomic_init(&m->sleeping, false);
    m->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return m->wake_fd < 0 ? -errno : 0;
}

void mailbox_close(struct mailbox *m)
{
    struct mail_batch *batch = mailbox_take(m);

    while (batch != NULL) {
        struct mail_batch *next = batch->next;

        free(batch);
        batch = next;
    }
    close(m->wake_fd);
    m->wake_fd = -1;
}

void mailbox_push_quietly(struct mailbox *m, struct mail_batch *batch)
{
    batch->next = atomic_load_explicit(&m->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&m->newest, &batch->next, batch))
        ;
}

void mailbox_push(struct mailbox *m, struct mail_batch *batch)
{
    const uint64_t one = 1;

    mailbox_push_quietly(m, batch);
    /* Ordered after the push (both sequentially consistent): either this sees the owner asleep, or
     * the owner sees the batch before it sleeps. */
    if (atomic_load(&m->sleeping) && atomic_exchange(&m->sleeping, false)) {
        while (write(m->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
}

struct mail_batch *mailbox_take(struct mailbox *m)
{
    struct mail_batch *newest;
    struct mail_batch *oldest = NULL;

    if (atomic_load_explicit(&m->newest, memory_order_relaxed) == NULL)
        return NULL;
    newest = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    while (newest != NULL) {
        struct mail_batch *older = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    return oldest;
}

bool mailbox_prepare_sleep(struct mailbox *m)
{
    atomic_store(&m->sleeping, true);
    return atomic_load(&m->newest) != NULL;
}

void mailbox_awake(struct mailbox *m)
{
    atomic_store_explicit(&m->sleeping, false, memory_order_relaxed);
}

void mailbox_clear_wake(struct mailbox *m)
{
    uint64_t count;

    while (read(m->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

struct mail_batch *mail_batch_create(uint32_t capacity)
{
    struct mail_batch *batch;

    if (capacity < MAIL_BATCH_MIN_CAPACITY)
        capacity = MAIL_BATCH_MIN_CAPACITY;
    batch = memory_alloc(sizeof(*batch) + capacity);
    batch->next = NULL;
    batch->size = 0;
    batch->capacity = capacity;
    batch->last = 0;
    batch->sender = 0;
    return batch;
}

static void make_room(struct mail_batch **batch, size_t more)
{
    struct mail_batch *b = *batch;
    size_t capacity;

    if (b == NULL) {
        *batch = mail_batch_create((uint32_t)more);
        return;
    }
    if (b->capacity - b->size >= more)
        return;
    capacity = b->capacity;
    while (capacity - b->size < more)
        capacity *= 2;
    b = memory_resize(b, 1, sizeof(*b) + capacity);
    b->capacity = (uint32_t)capacity;
    *batch = b;
}

static struct mail_record *record_at(struct mail_batch *batch, uint32_t offset)
{
    return (struct mail_record *)(void *)(batch->data + offset);
}

struct mail_record *mail_batch_append(struct mail_batch **batch, uint32_t from, size_t size,
                                      void (*handle)(struct worker *w, struct mail_record *r))
{
    size_t rounded = MAIL_ALIGN(size);
    struct mail_record *r;

    make_room(batch, rounded);
    (*batch)->last = (*batch)->size;
    (*batch)->size += (uint32_t)rounded;
    r = record_at(*batch, (*batch)->last);
    r->handle = handle;
    r->size = (uint32_t)rounded;
    r->from = from;
    return r;
}

struct mail_record *mail_batch_last(struct mail_batch *batch,
                                    void (*handle)(struct worker *w, struct mail_record *r))
{
    struct mail_record *r;

    if (batch == NULL || batch->size == 0)
        return NULL;
    r = record_at(batch, batch->last);
    return r->handle == handle ? r : NULL;
}

struct mail_record *mail_batch_extend_last(struct mail_batch **batch, size_t more)
{
    size_t rounded = MAIL_ALIGN(more);
    struct mail_record *r;

    make_room(batch, rounded);
    (*batch)->size += (uint32_t)rounded;
    r = record_at(*batch, (*batch)->last);
    r->size += (uint32_t)rounded;
    return r;
}
