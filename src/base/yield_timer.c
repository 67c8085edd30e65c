#include "base/yield_timer.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The first version of the kernel's struct sched_attr, which the C library does not have. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static void on_tick(int number)
{
    int saved = errno;

    (void)number;
    sched_yield();
    errno = saved;
}

/* A yield gives up what is left of the slice (Linux 6.12 and later have one for each thread): a
 * short one, so that on a busy machine the thread still gets the share of its priority. */
static int give_way(void)
{
    struct scheduling s = {
        .size = sizeof(s),
        .policy = SCHED_OTHER,
        .nice = YIELD_TIMER_NICENESS,
        .runtime_ns = YIELD_TIMER_US * UINT64_C(1000),
    };

    return syscall(SYS_sched_setattr, 0, &s, 0) == 0 ? 0 : -errno;
}

int yield_timer_init(struct yield_timer *t)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG};
    sigset_t ours;
    int rc = give_way();

    t->exists = false;
    if (rc < 0)
        return rc;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (sigaction(SIGURG, &action, NULL) < 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &t->timer) < 0)
        return -errno;
    t->exists = true;
    sigemptyset(&ours);
    sigaddset(&ours, SIGURG);
    return -pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

void yield_timer_free(struct yield_timer *t)
{
    if (t->exists)
        timer_delete(t->timer);
    t->exists = false;
}

static void set(struct yield_timer *t, long period_us)
{
    const struct timespec period = {.tv_nsec = period_us * 1000};
    const struct itimerspec times = {.it_interval = period, .it_value = period};

    if (t->exists)
        timer_settime(t->timer, 0, &times, NULL);
}

void yield_timer_start(struct yield_timer *t)
{
    set(t, YIELD_TIMER_US);
}

void yield_timer_stop(struct yield_timer *t)
{
    set(t, 0);
}
