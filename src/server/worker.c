#include "server/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Batches that a worker keeps for its next mail, and how large each may be. */
#define WORKER_SPARE_BATCHES 16u
#define WORKER_SPARE_BATCH_CAPACITY (1024u * 1024u)

static void worker_on_wake(struct reactor_source *source, uint32_t ready)
{
    struct worker *w = container_of(source, struct worker, wake_source);

    (void)ready;
    mailbox_clear_wake(&w->mailbox);
}

int worker_init(struct worker *w, struct server *server, uint32_t id, const struct worker_ops *ops)
{
    int rc;

    memset(w, 0, sizeof(*w));
    w->id = id;
    w->server = server;
    w->ops = ops;
    w->now_ms = clock_monotonic_ms();
    timer_wheel_init(&w->timers, w->now_ms);
    rc = mailbox_init(&w->mailbox);
    if (rc < 0)
        return rc;
    rc = reactor_init(&w->reactor);
    if (rc < 0)
        goto fail_mailbox;
    rc =
        reactor_add(&w->reactor, &w->wake_source, w->mailbox.wake_fd, REACTOR_READ, worker_on_wake);
    if (rc < 0)
        goto fail_reactor;
    w->outbox = memory_alloc_zeroed(server->worker_count, sizeof(*w->outbox));
    w->listeners = memory_alloc_zeroed(server->config->listeners.count, sizeof(*w->listeners));
    return 0;

fail_reactor:
    reactor_close(&w->reactor);
fail_mailbox:
    mailbox_close(&w->mailbox);
    return rc;
}

void worker_release(struct worker *w)
{
    for (uint32_t i = 0; i < w->server->worker_count; i++)
        free(w->outbox[i]);
    free(w->outbox);
    while (w->spare_batches != NULL) {
        struct mail_batch *batch = w->spare_batches;

        w->spare_batches = batch->next;
        free(batch);
    }
    free(w->listeners);
    reactor_close(&w->reactor);
    mailbox_close(&w->mailbox);
}

static void worker_on_accept(struct listener *l, int fd, const struct socket_address *peer)
{
    struct worker_listener *at = l->context;

    at->worker->ops->accept(at->worker, fd, peer, at->common);
}

int worker_listen(struct worker *w, int fd, const struct socket_address *address,
                  struct server_listener *common)
{
    struct worker_listener *l = &w->listeners[w->listener_count];
    int rc;

    l->worker = w;
    l->common = common;
    rc = listener_start(&l->listener, &w->reactor, &w->timers, fd, address, worker_on_accept, l);
    if (rc == 0)
        w->listener_count++;
    return rc;
}

/* A batch of this worker's that is empty again. */
static void keep_batch(struct worker *w, struct mail_batch *batch)
{
    if (w->spare_count == WORKER_SPARE_BATCHES || batch->capacity > WORKER_SPARE_BATCH_CAPACITY) {
        free(batch);
        return;
    }
    batch->next = w->spare_batches;
    w->spare_batches = batch;
    w->spare_count++;
}

/* A batch goes back to who sent it, so that in the steady state none is allocated. */
static void give_back(struct worker *w, struct mail_batch *batch)
{
    batch->size = 0;
    if (batch->sender == w->id)
        keep_batch(w, batch);
    else
        mailbox_push_quietly(&w->server->workers[batch->sender].mailbox, batch);
}

static void handle_mail(struct worker *w)
{
    struct mail_batch *batch = mailbox_take(&w->mailbox);

    while (batch != NULL) {
        struct mail_batch *next = batch->next;

        for (uint32_t offset = 0; offset < batch->size;) {
            struct mail_record *r = (struct mail_record *)(void *)(batch->data + offset);

            offset += r->size;
            r->handle(w, r);
        }
        give_back(w, batch);
        batch = next;
    }
}

static int sleep_time_ms(struct worker *w, bool work_left)
{
    if (work_left || mailbox_prepare_sleep(&w->mailbox))
        return 0;
    return timer_wheel_timeout_ms(&w->timers, w->now_ms);
}

bool worker_turn(struct worker *w, int wait_ms)
{
    int rc = reactor_wait(&w->reactor, wait_ms);
    bool work_left;

    mailbox_awake(&w->mailbox);
    if (rc < 0)
        log_error("server", "worker %u cannot wait for events: %s", w->id, strerror(-rc));
    w->now_ms = clock_monotonic_ms();
    w->tls_turn.left_ns = TLS_TURN_NS;
    /* Before what peers ask now: what a peer was told has happened is in the mail by then. */
    handle_mail(w);
    reactor_dispatch(&w->reactor);
    handle_mail(w);
    timer_wheel_advance(&w->timers, w->now_ms);
    work_left = w->ops->end_turn(w);
    worker_send_mail(w);
    return work_left;
}

static void *worker_run(void *argument)
{
    struct worker *w = argument;
    bool work_left = false;

    w->ops->start(w);
    while (!w->finished || atomic_load(&w->server->unfinished_workers) != 0)
        work_left = worker_turn(w, sleep_time_ms(w, work_left));
    /* What came while the last worker finished. */
    handle_mail(w);
    w->ops->end_turn(w);
    w->ops->stop(w);
    return NULL;
}

int worker_start(struct worker *w)
{
    sigset_t all;
    sigset_t old;
    char name[16];
    int rc;

    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&w->thread, NULL, worker_run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return -rc;
    snprintf(name, sizeof(name), "worker %u", w->id);
    pthread_setname_np(w->thread, name);
    return 0;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

struct mail_record *worker_mail(struct worker *w, uint32_t to, size_t size,
                                void (*handle)(struct worker *w, struct mail_record *r))
{
    if (w->outbox[to] == NULL && w->spare_batches != NULL) {
        w->outbox[to] = w->spare_batches;
        w->spare_batches = w->spare_batches->next;
        w->spare_count--;
    }
    return mail_batch_append(&w->outbox[to], w->id, size, handle);
}

struct mail_record *worker_mail_last(struct worker *w, uint32_t to,
                                     void (*handle)(struct worker *w, struct mail_record *r))
{
    return mail_batch_last(w->outbox[to], handle);
}

struct mail_record *worker_mail_extend_last(struct worker *w, uint32_t to, size_t more)
{
    return mail_batch_extend_last(&w->outbox[to], more);
}

void worker_send_mail(struct worker *w)
{
    for (uint32_t to = 0; to < w->server->worker_count; to++) {
        struct mail_batch *batch = w->outbox[to];

        if (batch == NULL)
            continue;
        w->outbox[to] = NULL;
        batch->sender = w->id;
        mailbox_push(&w->server->workers[to].mailbox, batch);
    }
}

void worker_post(struct worker *w, void (*handle)(struct worker *w, struct mail_record *r),
                 const void *arguments, size_t size)
{
    struct mail_batch *batch = NULL;
    struct mail_record *r = mail_batch_append(&batch, w->id, sizeof(*r) + size, handle);

    if (size != 0)
        memcpy(r + 1, arguments, size);
    batch->sender = w->id;
    mailbox_push(&w->mailbox, batch);
}

static void handle_nothing(struct worker *w, struct mail_record *r)
{
    (void)w;
    (void)r;
}

void worker_finished(struct worker *w)
{
    struct server *s = w->server;

    w->finished = true;
    if (atomic_fetch_sub(&s->unfinished_workers, 1) != 1)
        return;
    for (uint32_t i = 0; i < s->worker_count; i++)
        worker_post(&s->workers[i], handle_nothing, NULL, 0);
}

static void handle_shut_down(struct worker *w, struct mail_record *r)
{
    (void)r;
    if (w->stopping)
        return;
    w->stopping = true;
    for (uint32_t i = 0; i < w->listener_count; i++)
        listener_stop(&w->listeners[i].listener, &w->reactor);
    w->ops->shut_down(w);
}

void worker_request_shut_down(struct worker *w)
{
    worker_post(w, handle_shut_down, NULL, 0);
}
