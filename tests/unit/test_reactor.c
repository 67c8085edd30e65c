#include "base/memory.h"
#include "net/reactor.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* One end of a connected pair in the reactor, the other in the test's hand. */
struct end {
    struct reactor_source source;
    int peer;
    unsigned calls;
    uint32_t ready; /* as of the last call */
    struct end *to_remove;
};

static struct reactor reactor;

static void on_ready(struct reactor_source *source, uint32_t ready)
{
    struct end *e = container_of(source, struct end, source);

    e->calls++;
    e->ready = ready;
    if (e->to_remove != NULL)
        reactor_remove(&reactor, &e->to_remove->source);
}

static void open_end(struct end *e, uint32_t interest)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *e = (struct end){.peer = fds[1]};
    ck_assert_int_eq(reactor_add(&reactor, &e->source, fds[0], interest, on_ready), 0);
}

static void close_end(struct end *e)
{
    reactor_remove(&reactor, &e->source);
    close(e->source.fd);
    if (e->peer >= 0)
        close(e->peer);
}

static void poke(const struct end *e)
{
    ck_assert_int_eq(write(e->peer, "x", 1), 1);
}

static void turn(void)
{
    ck_assert_int_ge(reactor_wait(&reactor, 0), 0);
    reactor_dispatch(&reactor);
}

static void start(void)
{
    ck_assert_int_eq(reactor_init(&reactor), 0);
}

START_TEST(source_is_called_while_it_is_readable)
{
    struct end e;
    char c;

    start();
    open_end(&e, REACTOR_READ);
    turn();
    ck_assert_uint_eq(e.calls, 0);
    poke(&e);
    turn();
    turn(); /* level-triggered: nothing was read */
    ck_assert_uint_eq(e.calls, 2);
    ck_assert_uint_eq(e.ready, REACTOR_READ);
    ck_assert_int_eq(read(e.source.fd, &c, 1), 1);
    turn();
    ck_assert_uint_eq(e.calls, 2);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(interest_says_what_a_source_is_called_for)
{
    struct end e;

    start();
    open_end(&e, REACTOR_WRITE);
    poke(&e);
    turn();
    ck_assert_uint_eq(e.ready, REACTOR_WRITE);
    reactor_set_interest(&reactor, &e.source, REACTOR_READ | REACTOR_WRITE);
    turn();
    ck_assert_uint_eq(e.ready, REACTOR_READ | REACTOR_WRITE);
    reactor_set_interest(&reactor, &e.source, REACTOR_READ);
    turn();
    ck_assert_uint_eq(e.ready, REACTOR_READ);
    ck_assert_uint_eq(e.calls, 3);
    reactor_set_interest(&reactor, &e.source, 0);
    turn();
    ck_assert_uint_eq(e.calls, 3);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(end_of_stream_is_readable)
{
    struct end e;
    char c;

    start();
    open_end(&e, REACTOR_READ);
    close(e.peer);
    e.peer = -1;
    turn();
    ck_assert_uint_ne(e.ready & REACTOR_READ, 0);
    ck_assert_int_eq(read(e.source.fd, &c, 1), 0);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(half_closed_peer_is_readable)
{
    struct end e;

    start();
    open_end(&e, REACTOR_READ);
    ck_assert_int_eq(shutdown(e.peer, SHUT_WR), 0);
    turn();
    ck_assert_uint_eq(e.ready, REACTOR_READ);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(removed_source_is_not_called)
{
    struct end e;

    start();
    open_end(&e, REACTOR_READ);
    poke(&e);
    reactor_remove(&reactor, &e.source);
    reactor_remove(&reactor, &e.source);
    ck_assert_int_eq(reactor_wait(&reactor, 0), 0);
    turn();
    ck_assert_uint_eq(e.calls, 0);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(one_removed_after_the_wait_is_not_called)
{
    struct end e;

    start();
    open_end(&e, REACTOR_READ);
    poke(&e);
    ck_assert_int_eq(reactor_wait(&reactor, 0), 1);
    reactor_remove(&reactor, &e.source);
    reactor_dispatch(&reactor);
    ck_assert_uint_eq(e.calls, 0);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

/* Each would remove the other; whoever comes first does. */
START_TEST(one_removed_by_another_during_dispatch_is_not_called)
{
    struct end a, b;

    start();
    open_end(&a, REACTOR_READ);
    open_end(&b, REACTOR_READ);
    a.to_remove = &b;
    b.to_remove = &a;
    poke(&a);
    poke(&b);
    ck_assert_int_eq(reactor_wait(&reactor, 0), 2);
    reactor_dispatch(&reactor);
    ck_assert_uint_eq(a.calls + b.calls, 1);
    close_end(&a);
    close_end(&b);
    reactor_close(&reactor);
}
END_TEST

START_TEST(source_may_remove_itself)
{
    struct end e;

    start();
    open_end(&e, REACTOR_READ);
    e.to_remove = &e;
    poke(&e);
    turn();
    turn();
    ck_assert_uint_eq(e.calls, 1);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(what_was_dispatched_is_not_dispatched_again)
{
    struct end e;

    start();
    open_end(&e, REACTOR_READ);
    poke(&e);
    turn();
    reactor_dispatch(&reactor);
    ck_assert_uint_eq(e.calls, 1);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(more_sources_than_a_batch_all_get_their_turn)
{
    enum { SOURCES = REACTOR_BATCH + 50 };
    static struct end ends[SOURCES];

    start();
    for (int i = 0; i < SOURCES; i++) {
        open_end(&ends[i], REACTOR_READ);
        poke(&ends[i]);
    }
    for (int i = 0; i < SOURCES; i++)
        turn();
    for (int i = 0; i < SOURCES; i++) {
        ck_assert_uint_ge(ends[i].calls, 1);
        close_end(&ends[i]);
    }
    reactor_close(&reactor);
}
END_TEST

START_TEST(wait_without_events_ends_at_its_time_out)
{
    struct end e;

    start();
    open_end(&e, REACTOR_READ);
    ck_assert_int_eq(reactor_wait(&reactor, 1), 0);
    close_end(&e);
    reactor_close(&reactor);
}
END_TEST

START_TEST(bad_descriptor_is_refused)
{
    struct reactor_source source;

    start();
    ck_assert_int_eq(reactor_add(&reactor, &source, -1, REACTOR_READ, on_ready), -EBADF);
    reactor_close(&reactor);
}
END_TEST

UNIT_MAIN("reactor", source_is_called_while_it_is_readable,
          interest_says_what_a_source_is_called_for, end_of_stream_is_readable,
          half_closed_peer_is_readable, removed_source_is_not_called,
          one_removed_after_the_wait_is_not_called,
          one_removed_by_another_during_dispatch_is_not_called, source_may_remove_itself,
          what_was_dispatched_is_not_dispatched_again, more_sources_than_a_batch_all_get_their_turn,
          wait_without_events_ends_at_its_time_out, bad_descriptor_is_refused)
