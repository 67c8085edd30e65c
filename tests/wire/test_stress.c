/* Everything at once: connections, queues, bindings and consumers come and go on all workers while
 * messages flow with confirms and acknowledgements. Meant for sanitizer builds as well.
 *
 * Held to: no confirmed message is lost on the queues that stay, none is made up, and a publish
 * after bind-ok, from any connection, is routed (and not after unbind-ok).
 *
 * LEVERET_STRESS_SECONDS: how long (default 10). */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/wire/harness.h"

enum {
    STABLE_QUEUES = 4,
    PUBLISHERS = 2,
    CONSUMERS = 3,
    BINDERS = 2,
    PASSERS_BY = 2,
    BATCH = 100,
    MESSAGES_MAX = 4 * 1000 * 1000, /* of one publisher */
};

struct publisher {
    pthread_t thread;
    int index;
    atomic_uint published; /* numbers below this one may exist */
    atomic_uint confirmed;
    atomic_uint distinct_seen;
    atomic_uchar *seen; /* by number */
};

static struct publisher publishers[PUBLISHERS];
static atomic_bool consuming_ends;
static atomic_uint rounds; /* of binders and passers-by */
static int64_t end_ms;

static bool time_is_over(void)
{
    return now_ms() >= end_ms;
}

/* A small generator of the thread's own. */
struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned sides)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return (unsigned)((d->state >> 16) % sides);
}

static struct dice dice_of(uintptr_t thread)
{
    return (struct dice){.state = 0x9e3779b97f4a7c15u * (thread + 1) ^ (uint64_t)end_ms};
}

static void stable_name(char *name, size_t size, unsigned i)
{
    snprintf(name, size, "stable-%u", i);
}

/* Publishes in batches to all stable queues until the time is over, and waits for its confirms. */
static void *run_publisher(void *argument)
{
    struct publisher *p = argument;
    struct channel *ch = connect_channel();
    unsigned number = 0;

    confirm_select(ch);
    while (!time_is_over() && number + BATCH < MESSAGES_MAX) {
        atomic_store(&p->published, number + BATCH);
        for (int i = 0; i < BATCH; i++, number++) {
            char key[32];
            char body[64];

            stable_name(key, sizeof(key), number % STABLE_QUEUES);
            snprintf(body, sizeof(body), "%d %u", p->index, number);
            publish_with(ch, "stable", key, MANDATORY, NULL, body);
        }
        await_confirms(ch);
        atomic_store(&p->confirmed, number);
        recycle_client(ch->client);
    }
    close_client(ch->client);
    return NULL;
}

static void see(const struct delivery *d)
{
    unsigned publisher;
    unsigned number;

    if (sscanf(d->body, "%u %u", &publisher, &number) != 2 || publisher >= PUBLISHERS ||
        number >= atomic_load(&publishers[publisher].published))
        fail_here("a message that nobody published: '%s'", d->body);
    if (atomic_exchange(&publishers[publisher].seen[number], 1) == 0)
        atomic_fetch_add(&publishers[publisher].distinct_seen, 1);
}

static struct channel *consume_stable_queues(struct channel *ch)
{
    char name[32];

    qos(ch, 50, 0);
    for (unsigned i = 0; i < STABLE_QUEUES; i++) {
        stable_name(name, sizeof(name), i);
        consume(ch, name, name, 0, NO_ARGS);
    }
    return ch;
}

/* The deliveries that a consumer has seen and not acked: how many, and the last one's tag. */
struct unacked {
    int count;
    uint64_t last_tag;
};

static void ack_all(struct channel *ch, struct unacked *u)
{
    if (u->count > 0)
        ack(ch, u->last_tag, MULTIPLE);
    u->count = 0;
}

/* What a consumer does with a delivery, mostly an ack. Returns the channel to go on with. */
static struct channel *handle_delivery(struct channel *ch, struct dice *dice, struct unacked *u)
{
    struct delivery d = expect_delivery(ch, NULL, ANY_REDELIVERED);
    unsigned what = roll(dice, 1000);

    if (what < 20) {
        nack(ch, d.tag, REQUEUE);
        return ch;
    }
    if (what < 22) {
        drop_client(ch->client);
        u->count = 0;
        return consume_stable_queues(connect_channel());
    }
    if (what < 24) {
        close_channel(ch);
        reopen_channel(ch);
        u->count = 0;
        return consume_stable_queues(ch);
    }
    see(&d);
    u->last_tag = d.tag;
    if (++u->count == 10)
        ack_all(ch, u);
    return ch;
}

static void *run_consumer(void *argument)
{
    struct dice dice = dice_of((uintptr_t)argument + 100);
    struct channel *ch = consume_stable_queues(connect_channel());
    struct unacked unacked = {0};
    int count = 0;

    while (!atomic_load(&consuming_ends)) {
        if (!something_comes(ch, 20)) {
            ack_all(ch, &unacked);
            continue;
        }
        ch = handle_delivery(ch, &dice, &unacked);
        if (++count % 500 == 0)
            recycle_client(ch->client);
    }
    close_client(ch->client);
    return NULL;
}

/* One round: a queue of its own, bound, through an exchange of its own in every other round;
 * published to from another connection; unbound; and gone by one of several ways. */
static void bind_publish_unbind(struct channel *publisher, struct dice *dice, unsigned thread,
                                unsigned round)
{
    struct channel *ch = connect_channel();
    bool inner = roll(dice, 2) == 0;
    char exchange[32] = "churn";
    char key[64];
    const char *queue;

    snprintf(key, sizeof(key), "k%u.r%u", thread, round);
    queue = declare_queue(ch, "", roll(dice, 2) == 0 ? EXCLUSIVE : AUTO_DELETE, NO_ARGS);
    if (inner) {
        snprintf(exchange, sizeof(exchange), "churn-%u-%u", thread, round);
        declare_exchange(ch, exchange, "topic", AUTO_DELETE, NO_ARGS);
        bind_exchange(ch, exchange, "churn", "*.#", NO_ARGS);
    }
    bind_queue(ch, queue, exchange, roll(dice, 2) == 0 ? key : "#.impossible.#", NO_ARGS);
    bind_queue(ch, queue, exchange, key, NO_ARGS);
    publish_with(publisher, "churn", key, MANDATORY, NULL, key);
    await_confirms(publisher); /* a return in between fails */
    expect_get(ch, queue, key, NO_ACK);
    unbind_queue(ch, queue, exchange, key, NO_ARGS);
    publish_with(publisher, "churn", key, MANDATORY, NULL, key);
    expect_return(publisher, key);
    await_confirms(publisher);
    switch (roll(dice, 4)) {
    case 0:
        delete_queue(ch, queue, 0);
        close_client(ch->client);
        break;
    case 1:
        consume(ch, queue, "c", NO_ACK, NO_ARGS);
        drop_client(ch->client);
        break;
    case 2:
        delete_queue(ch, queue, 0);
        close_channel(ch);
        drop_client(ch->client);
        break;
    default:
        consume(ch, queue, "c", 0, NO_ARGS);
        publish(ch, queue, "own");
        expect_delivery(ch, "own", 0);
        cancel(ch, "c");
        close_client(ch->client);
        break;
    }
}

static void *run_binder(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;
    struct dice dice = dice_of(thread + 200);
    struct channel *publisher = connect_channel();

    confirm_select(publisher);
    for (unsigned round = 0; !time_is_over(); round++) {
        bind_publish_unbind(publisher, &dice, thread, round);
        atomic_fetch_add(&rounds, 1);
        recycle_client(publisher->client);
    }
    close_client(publisher->client);
    return NULL;
}

/* Comes to a stable queue, takes a few messages and leaves with them unacked. */
static void *run_passer_by(void *argument)
{
    struct dice dice = dice_of((uintptr_t)argument + 300);
    char name[32];

    while (!time_is_over()) {
        struct channel *ch = connect_channel();
        int count = (int)roll(&dice, 5);

        atomic_fetch_add(&rounds, 1);
        stable_name(name, sizeof(name), roll(&dice, STABLE_QUEUES));
        qos(ch, 5, roll(&dice, 2) == 0 ? GLOBAL : 0);
        consume(ch, name, "passer-by", 0, ARGS(arg_int("x-priority", (int32_t)roll(&dice, 3) - 1)));
        while (count-- > 0 && something_comes(ch, 5))
            expect_delivery(ch, NULL, ANY_REDELIVERED);
        switch (roll(&dice, 3)) {
        case 0:
            drop_client(ch->client);
            break;
        case 1:
            close_channel(ch);
            close_client(ch->client);
            break;
        default:
            cancel(ch, "passer-by");
            close_client(ch->client);
            break;
        }
    }
    return NULL;
}

static void given_stable_topology(void)
{
    struct channel *ch = connect_channel();
    char name[32];

    declare_exchange(ch, "stable", "direct", 0, NO_ARGS);
    declare_exchange(ch, "churn", "topic", 0, NO_ARGS);
    for (unsigned i = 0; i < STABLE_QUEUES; i++) {
        /* each from a connection of its own: at home on different workers */
        struct channel *home = connect_channel();

        stable_name(name, sizeof(name), i);
        declare_queue(home, name, 0, NO_ARGS);
        purge_queue(home, name);
        bind_queue(home, name, "stable", name, NO_ARGS);
        close_client(home->client);
    }
    close_client(ch->client);
}

/* Waits until every confirmed message was seen. */
static void await_all_seen(void)
{
    int64_t deadline = now_ms() + 3 * deadline_ms();

    for (int i = 0; i < PUBLISHERS; i++) {
        struct publisher *p = &publishers[i];

        while (atomic_load(&p->distinct_seen) < atomic_load(&p->confirmed)) {
            if (now_ms() > deadline)
                ck_abort_msg("of publisher %d's %u confirmed messages only %u came", i,
                             atomic_load(&p->confirmed), atomic_load(&p->distinct_seen));
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
    }
}

START_TEST(nothing_is_lost_while_everything_comes_and_goes)
{
    const char *seconds = getenv("LEVERET_STRESS_SECONDS");
    pthread_t consumers[CONSUMERS];
    pthread_t binders[BINDERS];
    pthread_t passers_by[PASSERS_BY];

    given_stable_topology();
    end_ms = now_ms() + 1000 * (seconds != NULL && atoi(seconds) > 0 ? atoi(seconds) : 10);
    for (int i = 0; i < PUBLISHERS; i++) {
        publishers[i].index = i;
        publishers[i].seen = calloc(MESSAGES_MAX, 1);
        pthread_create(&publishers[i].thread, NULL, run_publisher, &publishers[i]);
    }
    for (uintptr_t i = 0; i < CONSUMERS; i++)
        pthread_create(&consumers[i], NULL, run_consumer, (void *)i);
    for (uintptr_t i = 0; i < BINDERS; i++)
        pthread_create(&binders[i], NULL, run_binder, (void *)i);
    for (uintptr_t i = 0; i < PASSERS_BY; i++)
        pthread_create(&passers_by[i], NULL, run_passer_by, (void *)i);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(publishers[i].thread, NULL);
    for (int i = 0; i < BINDERS; i++)
        pthread_join(binders[i], NULL);
    for (int i = 0; i < PASSERS_BY; i++)
        pthread_join(passers_by[i], NULL);
    await_all_seen();
    atomic_store(&consuming_ends, true);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    for (int i = 0; i < PUBLISHERS; i++) {
        ck_assert_uint_gt(atomic_load(&publishers[i].confirmed), 0);
        printf("publisher %d: %u messages confirmed and seen\n", i,
               atomic_load(&publishers[i].confirmed));
        free(publishers[i].seen);
    }
    printf("%u connections came and went\n", atomic_load(&rounds));
}
END_TEST

static Suite *make_suite(void)
{
    const char *seconds = getenv("LEVERET_STRESS_SECONDS");
    Suite *suite = suite_create("stress");
    TCase *tcase = wire_tcase(suite, "stress");

    tcase_set_timeout(tcase, 300 + (seconds != NULL ? atoi(seconds) : 10));
    tcase_add_test(tcase, nothing_is_lost_while_everything_comes_and_goes);
    return suite;
}

int main(void)
{
    setenv("LEVERET_TEST_WORKERS", "4 4+", 0);
    return wire_main(make_suite, NULL);
}
