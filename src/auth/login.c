#include "auth/login.h"

#include "auth/login_backoff.h"
#include "auth/user.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "base/yield_timer.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ADDRESS_MAX = 64,
};

struct waiting_login {
    struct login login;
    struct list_node in_all;
    struct list_node in_queue;
    int64_t due_ms;
    bool peer_is_loopback;
    bool upgraded; /* the user's hash to this one */
    struct password_hash better_hash;
    uint8_t username[LOGIN_NAME_MAX];
    uint8_t address[ADDRESS_MAX];
    uint8_t password[PASSWORD_SIZE_MAX];
    size_t username_size;
    size_t address_size;
    size_t password_size;
};

struct logins {
    struct login_backoff *backoff;
    struct logins_upgrade upgrade;
    pthread_t *threads;
    uint32_t thread_count;
    uint32_t waiting_max;

    pthread_mutex_t mutex; /* over the rest */
    pthread_cond_t wake;   /* of the monotonic clock */
    struct list all;       /* by .in_all */
    struct list queue;     /* by .in_queue, the one that is due first in front */
    uint32_t waiting;      /* in `all` */
    bool ending;
};

static struct bytes username_of(const struct waiting_login *w)
{
    return bytes_of(w->username, w->username_size);
}

static struct bytes address_of(const struct waiting_login *w)
{
    return bytes_of(w->address, w->address_size);
}

/* ---- The threads ---- */

static void upgrade_hash(const struct logins *all, struct waiting_login *w,
                         struct yield_timer *yield)
{
    const struct auth_user *user = w->login.user;
    int rc;

    if (user->hash.algorithm == PASSWORD_SCRYPT || user->origin != AUTH_ORIGIN_STORED ||
        all->upgrade.call == NULL)
        return;
    yield_timer_start(yield);
    rc = password_hash_make(bytes_of(w->password, w->password_size), &w->better_hash);
    yield_timer_stop(yield);
    if (rc < 0)
        return;
    w->upgraded = true;
    all->upgrade.call(all->upgrade.context, user, &w->better_hash);
}

static void check(struct logins *all, struct waiting_login *w, struct yield_timer *yield)
{
    struct login *l = &w->login;
    struct bytes password = bytes_of(w->password, w->password_size);

    yield_timer_start(yield);
    /* Those who may log in by now, not when it began to wait. */
    l->db = auth_database_current();
    l->user = auth_login(l->db, username_of(w), password, w->peer_is_loopback, &l->outcome);
    yield_timer_stop(yield);
    if (l->user == NULL)
        login_backoff_failed(all->backoff, address_of(w), username_of(w), clock_monotonic_ms());
    else
        upgrade_hash(all, w, yield);
    OPENSSL_cleanse(w->password, sizeof(w->password));
    secret_wipe_stack();
}

/* Waits until a login is due and takes it off the queue; NULL at the end. Under the mutex. */
static struct waiting_login *await_due(struct logins *all)
{
    while (!all->ending) {
        struct list_node *node = list_first(&all->queue);
        struct waiting_login *first;
        struct timespec due;

        if (node == NULL) {
            pthread_cond_wait(&all->wake, &all->mutex);
            continue;
        }
        first = container_of(node, struct waiting_login, in_queue);
        if (first->due_ms <= clock_monotonic_ms()) {
            list_remove(node);
            return first;
        }
        due.tv_sec = (time_t)(first->due_ms / 1000);
        due.tv_nsec = (long)(first->due_ms % 1000) * 1000000;
        pthread_cond_timedwait(&all->wake, &all->mutex, &due);
    }
    return NULL;
}

static void *run(void *context)
{
    struct logins *all = context;
    struct waiting_login *w;
    struct yield_timer yield;
    int rc = yield_timer_init(&yield);

    if (rc < 0)
        log_warning("auth", "logins may delay messages: %s", strerror(-rc));
    pthread_setname_np(pthread_self(), "login");
    pthread_mutex_lock(&all->mutex);
    while ((w = await_due(all)) != NULL) {
        pthread_mutex_unlock(&all->mutex);
        check(all, w, &yield);
        w->login.done(&w->login);
        pthread_mutex_lock(&all->mutex);
    }
    pthread_mutex_unlock(&all->mutex);
    yield_timer_free(&yield);
    return NULL;
}

/* ---- Life ---- */

static int start_threads(struct logins *all, uint32_t count)
{
    sigset_t blocked;
    sigset_t former;
    int rc = 0;

    sigfillset(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &former);
    all->threads = memory_alloc_zeroed(count, sizeof(*all->threads));
    while (rc == 0 && all->thread_count < count) {
        rc = pthread_create(&all->threads[all->thread_count], NULL, run, all);
        if (rc == 0)
            all->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return -rc;
}

int logins_start(struct logins **out, const struct config_login *options,
                 struct logins_upgrade upgrade)
{
    const struct login_backoff_options backoff = {
        .after = options->backoff_after,
        .first_ms = options->backoff_ms,
        .max_ms = options->backoff_max_ms,
        .forget_ms = options->backoff_forget_ms,
    };
    struct logins *all = memory_alloc_zeroed(1, sizeof(*all));
    pthread_condattr_t monotonic;
    int rc;

    all->backoff = login_backoff_new(&backoff);
    all->upgrade = upgrade;
    all->waiting_max = options->waiting_max;
    pthread_mutex_init(&all->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&all->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&all->all);
    list_init(&all->queue);
    rc = start_threads(all, options->threads);
    if (rc < 0) {
        log_error("auth", "the threads of logins could not be started: %s", strerror(-rc));
        logins_stop(all);
        all = NULL;
    }
    *out = all;
    return rc;
}

static void free_login(struct waiting_login *w)
{
    auth_database_unref(w->login.db);
    secret_free(w, sizeof(*w));
}

void logins_stop(struct logins *all)
{
    struct list_node *node;

    if (all == NULL)
        return;
    pthread_mutex_lock(&all->mutex);
    all->ending = true;
    pthread_mutex_unlock(&all->mutex);
    pthread_cond_broadcast(&all->wake);
    for (uint32_t i = 0; i < all->thread_count; i++)
        pthread_join(all->threads[i], NULL);
    while ((node = list_take_first(&all->all)) != NULL)
        free_login(container_of(node, struct waiting_login, in_all));
    login_backoff_free(all->backoff);
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->mutex);
    free(all->threads);
    free(all);
}

/* ---- Beginning and ending ---- */

/* Whether the password is one that is known to be right, which takes no time. */
static const struct auth_user *find_known(const struct auth_database *db,
                                          const struct login_request *r)
{
    const struct auth_user *user = auth_find_user(db, r->username);

    if (user == NULL || !user->has_password || (user->loopback_only && !r->peer_is_loopback) ||
        !verified_knows(&user->verified, &user->hash, r->password))
        return NULL;
    return user;
}

static bool can_be_right(const struct login_request *r)
{
    return r->username.size <= LOGIN_NAME_MAX && r->password.size <= PASSWORD_SIZE_MAX;
}

static size_t copy(uint8_t *to, size_t max, struct bytes from)
{
    size_t size = from.size < max ? from.size : max;

    if (size != 0)
        memcpy(to, from.data, size);
    return size;
}

/* Behind those that are due before it or at the same time. */
static void enqueue(struct logins *all, struct waiting_login *w)
{
    struct list_node *after = all->queue.head.previous;

    while (after != &all->queue.head &&
           container_of(after, struct waiting_login, in_queue)->due_ms > w->due_ms)
        after = after->previous;
    list_insert_before(after->next, &w->in_queue);
}

/* Returns false when too many wait. */
static bool add_waiting(struct logins *all, struct waiting_login *w)
{
    bool room;

    pthread_mutex_lock(&all->mutex);
    room = all->waiting < all->waiting_max;
    if (room) {
        all->waiting++;
        list_append(&all->all, &w->in_all);
        enqueue(all, w);
    }
    pthread_mutex_unlock(&all->mutex);
    if (room)
        pthread_cond_signal(&all->wake);
    return room;
}

enum auth_outcome login_begin(struct logins *all, const struct login_request *r,
                              const struct auth_database *db, const struct auth_user **user,
                              void (*done)(struct login *l), void *context, uint64_t number)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t wait_ms = login_backoff_wait(all->backoff, r->address, r->username, now_ms);
    struct waiting_login *w;

    *user = NULL;
    if (wait_ms == LOGIN_BACKOFF_REFUSED)
        return AUTH_TOO_MANY_FAILURES;
    if (wait_ms == 0)
        *user = find_known(db, r);
    if (*user != NULL)
        return AUTH_ACCEPTED;
    if (!can_be_right(r))
        return AUTH_WRONG_PASSWORD;
    w = secret_alloc(sizeof(*w));
    w->login = (struct login){.done = done, .context = context, .number = number};
    w->due_ms = now_ms + wait_ms;
    w->peer_is_loopback = r->peer_is_loopback;
    w->username_size = copy(w->username, sizeof(w->username), r->username);
    w->address_size = copy(w->address, sizeof(w->address), r->address);
    w->password_size = copy(w->password, sizeof(w->password), r->password);
    list_node_init(&w->in_all);
    list_node_init(&w->in_queue);
    if (add_waiting(all, w))
        return AUTH_PENDING;
    free_login(w);
    return AUTH_TOO_MANY_WAITING;
}

struct bytes login_username(const struct login *l)
{
    return username_of(container_of(l, const struct waiting_login, login));
}

static bool has_hash(const struct auth_user *user, const struct password_hash *hash)
{
    return user->has_password && password_hash_equal(&user->hash, hash);
}

bool login_holds_for(const struct login *l, const struct auth_user *user)
{
    const struct waiting_login *w = container_of(l, const struct waiting_login, login);

    if (user == l->user)
        return true;
    if (user->loopback_only && !w->peer_is_loopback)
        return false;
    return has_hash(user, &l->user->hash) || (w->upgraded && has_hash(user, &w->better_hash));
}

void login_end(struct logins *all, struct login *l)
{
    struct waiting_login *w = container_of(l, struct waiting_login, login);

    pthread_mutex_lock(&all->mutex);
    list_remove(&w->in_all);
    all->waiting--;
    pthread_mutex_unlock(&all->mutex);
    free_login(w);
}
