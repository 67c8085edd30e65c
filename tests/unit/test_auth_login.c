#include "auth/login.h"
#include "auth/user.h"
#include "base/clock.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(s) bytes_from_string(s)

static const struct config_login OPTIONS = {
    .threads = 2,
    .waiting_max = 100,
    .backoff_after = 2,
    .backoff_ms = 50,
    .backoff_max_ms = 100,
    .backoff_forget_ms = 60000,
};

/* Makes a snapshot of `u`, or of nobody, the current one, and returns it. */
static struct auth_database *make_current(struct auth_user *u)
{
    struct auth_database *db = auth_database_new();

    if (u != NULL)
        user_table_put(auth_database_table(db), u);
    auth_database_replace(auth_database_ref(db));
    return db;
}

/* User u, password "secret" as RabbitMQ stores it. */
static struct auth_user *make_user(enum auth_origin origin)
{
    struct auth_user *u = auth_user_new(TEXT("u"), origin);
    struct password_hash hash;
    const char *why;

    ck_assert_int_eq(
        password_hash_parse("AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa", &hash, &why), 0);
    u->exists = true;
    auth_user_set_hash(u, &hash);
    return u;
}

static struct auth_database *make_users(enum auth_origin origin)
{
    return make_current(make_user(origin));
}

static void release_users(struct auth_database *db)
{
    auth_database_unref(db);
    auth_database_replace(NULL);
}

/* What comes back, one at a time. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t came;
    struct login *login;
    int upgrades;
} answer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static void on_done(struct login *l)
{
    pthread_mutex_lock(&answer.mutex);
    answer.login = l;
    pthread_cond_signal(&answer.came);
    pthread_mutex_unlock(&answer.mutex);
}

static void on_upgrade(void *context, const struct auth_user *user,
                       const struct password_hash *hash)
{
    (void)context;
    ck_assert(bytes_equal_string(user->name, "u"));
    ck_assert(hash->algorithm == PASSWORD_SCRYPT);
    ck_assert(password_verify(hash, TEXT("secret")));
    pthread_mutex_lock(&answer.mutex);
    answer.upgrades++;
    pthread_mutex_unlock(&answer.mutex);
}

static struct logins *start(const struct config_login *options)
{
    struct logins *all;

    ck_assert_int_eq(logins_start(&all, options, (struct logins_upgrade){.call = on_upgrade}), 0);
    return all;
}

static enum auth_outcome begin(struct logins *all, struct auth_database *db, const char *user,
                               const char *password)
{
    const struct login_request r = {
        .username = TEXT(user), .password = TEXT(password), .address = TEXT("192.0.2.1")};
    const struct auth_user *found;
    enum auth_outcome outcome = login_begin(all, &r, db, &found, on_done, NULL, 7);

    ck_assert((found != NULL) == (outcome == AUTH_ACCEPTED));
    return outcome;
}

static struct login *await(void)
{
    struct login *l;

    pthread_mutex_lock(&answer.mutex);
    while (answer.login == NULL)
        pthread_cond_wait(&answer.came, &answer.mutex);
    l = answer.login;
    answer.login = NULL;
    pthread_mutex_unlock(&answer.mutex);
    ck_assert_uint_eq(l->number, 7);
    return l;
}

static enum auth_outcome log_in(struct logins *all, struct auth_database *db, const char *user,
                                const char *password)
{
    enum auth_outcome outcome = begin(all, db, user, password);
    struct login *l;

    if (outcome != AUTH_PENDING)
        return outcome;
    l = await();
    outcome = l->outcome;
    ck_assert(bytes_equal_string(login_username(l), user));
    ck_assert((l->user != NULL) == (outcome == AUTH_ACCEPTED));
    login_end(all, l);
    return outcome;
}

START_TEST(a_password_is_looked_at_once_and_known_then)
{
    struct auth_database *db = make_users(AUTH_ORIGIN_FILE);
    struct logins *all = start(&OPTIONS);

    ck_assert_int_eq(begin(all, db, "u", "secret"), AUTH_PENDING);
    login_end(all, await());
    ck_assert_int_eq(begin(all, db, "u", "secret"), AUTH_ACCEPTED);
    ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(log_in(all, db, "nobody", "secret"), AUTH_UNKNOWN_USER);
    ck_assert_int_eq(answer.upgrades, 0);
    logins_stop(all);
    release_users(db);
}
END_TEST

START_TEST(a_stored_hash_of_rabbitmq_is_upgraded_by_the_right_password)
{
    struct auth_database *db = make_users(AUTH_ORIGIN_STORED);
    struct logins *all = start(&OPTIONS);
    struct auth_user *later;

    ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(answer.upgrades, 0);
    ck_assert_int_eq(begin(all, db, "u", "secret"), AUTH_PENDING);
    struct login *l = await();

    ck_assert_int_eq(answer.upgrades, 1);
    /* It holds for the same hash, and not for another, or who may not come from there. */
    later = auth_user_copy(l->user);
    ck_assert(login_holds_for(l, later));
    later->loopback_only = true;
    ck_assert(!login_holds_for(l, later));
    later->loopback_only = false;
    auth_user_set_hash(later, NULL);
    ck_assert(!login_holds_for(l, later));
    auth_user_unref(later);
    login_end(all, l);
    logins_stop(all);
    release_users(db);
}
END_TEST

START_TEST(after_failures_a_login_waits_even_with_the_right_password)
{
    struct auth_database *db = make_users(AUTH_ORIGIN_FILE);
    struct logins *all = start(&OPTIONS);
    int64_t start_ms = 0;

    ck_assert_int_eq(log_in(all, db, "u", "secret"), AUTH_ACCEPTED);
    for (int i = 0; i < 3; i++) {
        start_ms = clock_monotonic_ms();
        ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    }
    ck_assert_int_eq(log_in(all, db, "u", "secret"), AUTH_ACCEPTED);
    ck_assert_int_ge(clock_monotonic_ms() - start_ms, OPTIONS.backoff_ms);
    logins_stop(all);
    release_users(db);
}
END_TEST

static struct auth_user *with_password(const char *password)
{
    struct auth_user *u = make_user(AUTH_ORIGIN_FILE);
    struct password_hash hash;

    ck_assert_int_eq(password_hash_make(TEXT(password), &hash), 0);
    auth_user_set_hash(u, &hash);
    return u;
}

static struct auth_user *only_from_loopback(void)
{
    struct auth_user *u = make_user(AUTH_ORIGIN_FILE);

    u->loopback_only = true;
    return u;
}

/* Who there is when a login comes that has to wait, who when its time has come, and its end. */
START_TEST(a_login_that_waited_is_judged_by_the_users_of_then)
{
    struct {
        struct auth_user *before;
        struct auth_user *after;
        const char *password;
        enum auth_outcome outcome;
    } const cases[] = {
        {with_password("old"), with_password("new"), "old", AUTH_WRONG_PASSWORD},
        {with_password("old"), with_password("new"), "new", AUTH_ACCEPTED},
        {with_password("old"), NULL, "old", AUTH_UNKNOWN_USER},
        {NULL, with_password("new"), "new", AUTH_ACCEPTED},
        {make_user(AUTH_ORIGIN_FILE), only_from_loopback(), "secret", AUTH_LOOPBACK_ONLY},
    };
    struct config_login patient = OPTIONS;

    patient.backoff_after = 1;
    patient.backoff_ms = 400;
    patient.backoff_max_ms = 400;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct auth_database *before = make_current(cases[i].before);
        struct logins *all = start(&patient);
        struct auth_database *after;
        struct login *l;

        for (int k = 0; k < 2; k++)
            ck_assert_int_ne(log_in(all, before, "u", "wrong"), AUTH_ACCEPTED);
        ck_assert_int_eq(begin(all, before, "u", cases[i].password), AUTH_PENDING);
        after = make_current(cases[i].after);
        auth_database_unref(before);
        l = await();
        ck_assert_int_eq(l->outcome, cases[i].outcome);
        if (l->outcome == AUTH_ACCEPTED)
            ck_assert_ptr_eq(l->user, auth_find_user(after, TEXT("u")));
        else
            ck_assert_ptr_null(l->user);
        login_end(all, l);
        logins_stop(all);
        release_users(after);
    }
}
END_TEST

/* Whoever waits, waits for longer than the test takes. */
static const struct config_login LONG = {
    .threads = 1,
    .waiting_max = 100,
    .backoff_after = 1,
    .backoff_ms = 600000,
    .backoff_max_ms = 600000,
    .backoff_forget_ms = 6000000,
};

START_TEST(logins_that_would_wait_too_long_are_refused_without_a_look)
{
    struct auth_database *db = make_users(AUTH_ORIGIN_FILE);
    struct logins *all = start(&LONG);

    ck_assert_int_eq(log_in(all, db, "u", "secret"), AUTH_ACCEPTED);
    ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(begin(all, db, "u", "secret"), AUTH_PENDING);
    ck_assert_int_eq(begin(all, db, "u", "secret"), AUTH_TOO_MANY_FAILURES);
    /* The one that waits ends with the logins. */
    logins_stop(all);
    release_users(db);
}
END_TEST

START_TEST(no_more_wait_than_may)
{
    struct config_login one = LONG;
    struct auth_database *db = make_users(AUTH_ORIGIN_FILE);
    struct logins *all;

    one.waiting_max = 1;
    all = start(&one);
    ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(log_in(all, db, "u", "wrong"), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(begin(all, db, "u", "secret"), AUTH_PENDING);
    ck_assert_int_eq(begin(all, db, "v", "secret"), AUTH_TOO_MANY_WAITING);
    ck_assert_ptr_nonnull(strstr(auth_outcome_text(AUTH_TOO_MANY_WAITING), "login.waiting_max"));
    logins_stop(all);
    release_users(db);
}
END_TEST

START_TEST(what_is_too_long_to_be_right_is_refused)
{
    struct auth_database *db = make_users(AUTH_ORIGIN_FILE);
    struct logins *all = start(&OPTIONS);
    char text[1100];

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    ck_assert_int_eq(begin(all, db, "u", text), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(begin(all, db, text, "secret"), AUTH_WRONG_PASSWORD);
    logins_stop(all);
    release_users(db);
}
END_TEST

UNIT_MAIN("auth_login", a_password_is_looked_at_once_and_known_then,
          a_stored_hash_of_rabbitmq_is_upgraded_by_the_right_password,
          after_failures_a_login_waits_even_with_the_right_password,
          a_login_that_waited_is_judged_by_the_users_of_then,
          logins_that_would_wait_too_long_are_refused_without_a_look, no_more_wait_than_may,
          what_is_too_long_to_be_right_is_refused)
