#include "auth/password.h"
#include "auth/user.h"
#include "auth/users.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "secret" as RabbitMQ stores it: cheap to check. */
#define SECRET_SHA256 "AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa"

static struct config *config_of(const char *text)
{
    struct config_problems problems;
    struct config *c;

    config_problems_init(&problems);
    if (config_load_text("f.yaml", bytes_from_string(text), NULL, &c, &problems) < 0) {
        config_problems_print(&problems, stderr);
        ck_abort_msg("the configuration has problems");
    }
    return c;
}

static struct auth_database *built_from(struct config *c, const struct auth_database *previous)
{
    struct config_problems problems;
    struct auth_database *db;

    config_problems_init(&problems);
    if (auth_database_build(c, previous, &db, &problems) < 0) {
        config_problems_print(&problems, stderr);
        ck_abort_msg("the users have problems");
    }
    return db;
}

static struct auth_database *built(const char *text, const struct auth_database *previous)
{
    struct config *c = config_of(text);
    struct auth_database *db = built_from(c, previous);

    config_free(c);
    return db;
}

static enum auth_outcome login(const struct auth_database *db, const char *name,
                               const char *password, bool loopback)
{
    enum auth_outcome outcome;
    const struct auth_user *user =
        auth_login(db, bytes_from_string(name), bytes_from_string(password), loopback, &outcome);

    ck_assert_int_eq(user != NULL, outcome == AUTH_ACCEPTED);
    if (user != NULL)
        ck_assert(bytes_equal_string(auth_user_name(user), name));
    return outcome;
}

static const char TWO_USERS[] =
    "vhosts: [/, v]\n"
    "users:\n"
    "- {name: a, password: alpha, tags: [management, monitoring]}\n"
    "- {name: b, password_hash: " SECRET_SHA256 ", loopback_only: true}\n"
    "permissions:\n"
    "- {user: a, configure: '', write: ^w, read: .*}\n"
    "- {user: b, vhost: v, configure: '', write: '', read: ''}\n";

START_TEST(login_needs_the_right_password)
{
    struct auth_database *db = built(TWO_USERS, NULL);

    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(login(db, "a", "alpha", false), AUTH_ACCEPTED);
        ck_assert_int_eq(login(db, "a", "Alpha", false), AUTH_WRONG_PASSWORD);
        ck_assert_int_eq(login(db, "a", "", false), AUTH_WRONG_PASSWORD);
        ck_assert_int_eq(login(db, "a", "secret", false), AUTH_WRONG_PASSWORD);
        ck_assert_int_eq(login(db, "b", "secret", true), AUTH_ACCEPTED);
        ck_assert_int_eq(login(db, "b", "alpha", true), AUTH_WRONG_PASSWORD);
        ck_assert_int_eq(login(db, "c", "alpha", true), AUTH_UNKNOWN_USER);
        ck_assert_int_eq(login(db, "", "", true), AUTH_UNKNOWN_USER);
    }
    auth_database_unref(db);
}
END_TEST

START_TEST(loopback_only_users_are_refused_from_elsewhere)
{
    struct auth_database *db = built(TWO_USERS, NULL);
    const struct auth_user *b = auth_find_user(db, bytes_from_string("b"));

    ck_assert_int_eq(login(db, "b", "secret", false), AUTH_LOOPBACK_ONLY);
    /* Nor does it tell whether the password is right: that is not looked at. */
    ck_assert(!verified_knows(&b->verified, &b->hash, bytes_from_string("secret")));
    ck_assert_int_eq(login(db, "b", "wrong", false), AUTH_LOOPBACK_ONLY);
    ck_assert_int_eq(login(db, "b", "secret", true), AUTH_ACCEPTED);
    ck_assert(verified_knows(&b->verified, &b->hash, bytes_from_string("secret")));
    ck_assert_int_eq(login(db, "b", "secret", false), AUTH_LOOPBACK_ONLY);
    auth_database_unref(db);
}
END_TEST

START_TEST(without_a_file_guest_is_administrator_of_the_root)
{
    struct config *c = config_default();
    struct auth_database *db = built_from(c, NULL);
    const struct auth_user *guest = auth_find_user(db, bytes_from_string("guest"));
    const struct permission_set *set;

    config_free(c);
    ck_assert_int_eq(login(db, "guest", "guest", true), AUTH_ACCEPTED);
    ck_assert_int_eq(login(db, "guest", "guest", false), AUTH_LOOPBACK_ONLY);
    ck_assert_uint_eq(auth_user_tags(guest), USER_TAG_ADMINISTRATOR);
    set = auth_permissions(guest, bytes_from_string("/"));
    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++)
        ck_assert(permission_check(set, (enum permission_kind)kind, bytes_from_string("x")));
    auth_database_unref(db);
}
END_TEST

START_TEST(permissions_belong_to_user_and_vhost)
{
    struct auth_database *db = built(TWO_USERS, NULL);
    const struct auth_user *a = auth_find_user(db, bytes_from_string("a"));
    const struct auth_user *b = auth_find_user(db, bytes_from_string("b"));
    const struct permission_set *set = auth_permissions(a, bytes_from_string("/"));

    ck_assert_uint_eq(auth_user_tags(a), USER_TAG_MANAGEMENT | USER_TAG_MONITORING);
    ck_assert_uint_eq(auth_user_tags(b), 0);
    ck_assert(auth_may_access_vhost(a, bytes_from_string("/")));
    ck_assert(!auth_may_access_vhost(a, bytes_from_string("v")));
    ck_assert(!auth_may_access_vhost(b, bytes_from_string("/")));
    ck_assert(auth_may_access_vhost(b, bytes_from_string("v")));
    ck_assert(!permission_check(set, PERMISSION_CONFIGURE, bytes_from_string("w")));
    ck_assert(permission_check(set, PERMISSION_WRITE, bytes_from_string("w")));
    ck_assert(!permission_check(set, PERMISSION_WRITE, bytes_from_string("x")));
    ck_assert(permission_check(set, PERMISSION_READ, bytes_from_string("x")));
    ck_assert_ptr_null(auth_permissions(a, bytes_from_string("v")));
    ck_assert_ptr_null(auth_find_user(db, bytes_from_string("c")));
    auth_database_unref(db);
}
END_TEST

START_TEST(plain_passwords_are_hashed_in_the_configuration_and_wiped)
{
    struct config *c = config_of("users: [{name: a, password: alpha}]\n");
    char *password = c->users.items[0].password;
    struct password_hash hash;
    struct auth_database *db;
    const char *why;

    auth_database_unref(built_from(c, NULL));
    ck_assert_mem_eq(password, "\0\0\0\0\0", 5);
    ck_assert_ptr_null(c->users.items[0].password);
    ck_assert_int_eq(password_hash_parse(c->users.items[0].password_hash, &hash, &why), 0);
    ck_assert(password_verify(&hash, bytes_from_string("alpha")));

    /* And it can be built again from what is left. */
    db = built_from(c, NULL);
    ck_assert_int_eq(login(db, "a", "alpha", true), AUTH_ACCEPTED);
    ck_assert_int_eq(login(db, "a", "beta", true), AUTH_WRONG_PASSWORD);
    auth_database_unref(db);
    config_free(c);
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_line)
{
    static const char TEXT[] = "users:\n"
                               "- name: a\n"
                               "  password_hash: nonsense\n"
                               "- {name: b, password: x}\n"
                               "permissions:\n"
                               "- user: b\n"
                               "  configure: '('\n"
                               "  write: ^ok\n"
                               "  read: 'a['\n";
    static const char *const EXPECTED[] = {
        "f.yaml:3: the password of user 'a' is neither a hash of leveretd --hash-password nor one "
        "of RabbitMQ (SHA-256 or SHA-512)",
        "f.yaml:7: 'configure' is not a valid pattern: missing closing parenthesis (at offset 1)",
        "f.yaml:9: 'read' is not a valid pattern: missing terminating ] for character class (at "
        "offset 2)",
    };
    struct config *c = config_of(TEXT);
    struct config_problems problems;
    struct auth_database *db;

    config_problems_init(&problems);
    ck_assert_int_eq(auth_database_build(c, NULL, &db, &problems), -EINVAL);
    ck_assert_ptr_null(db);
    ck_assert_uint_eq(problems.count, 3);
    for (size_t i = 0; i < 3; i++) {
        char *text = config_problem_text(&problems.items[i]);

        ck_assert_str_eq(text, EXPECTED[i]);
        free(text);
    }
    config_problems_free(&problems);
    config_free(c);
}
END_TEST

START_TEST(permissions_that_fit_no_user_or_come_twice_are_refused)
{
    static const struct {
        const char *user;
        const char *message;
    } CASES[] = {
        {"c", "unknown user 'c'"},
        {"a", "duplicate permissions of user 'a'"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct config *c = config_of(TWO_USERS);
        struct config_problems problems;
        struct auth_database *db;

        c->permissions.items[1].user = bytes_from_string(CASES[i].user);
        c->permissions.items[1].vhost = bytes_from_string("/");
        config_problems_init(&problems);
        ck_assert_int_eq(auth_database_build(c, NULL, &db, &problems), -EINVAL);
        ck_assert_uint_eq(problems.count, 1);
        ck_assert_str_eq(problems.items[0].message, CASES[i].message);
        config_problems_free(&problems);
        config_free(c);
    }
}
END_TEST

static int64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The processor time that `count` logins take. */
static int64_t logins_ns(const struct auth_database *db, const char *name, const char *password,
                         int count)
{
    int64_t start = cpu_ns();

    for (int i = 0; i < count; i++)
        login(db, name, password, true);
    return cpu_ns() - start;
}

START_TEST(a_password_seen_before_is_cheap_and_others_are_not)
{
    struct auth_database *db = built(TWO_USERS, NULL);
    int64_t right = logins_ns(db, "a", "alpha", 20);
    int64_t wrong = logins_ns(db, "a", "wrong", 20);
    int64_t nobody = logins_ns(db, "nobody", "wrong", 20);
    int64_t weak = logins_ns(db, "b", "wrong", 20);

    ck_assert_int_gt(wrong, 10 * right);
    ck_assert_int_gt(nobody, 10 * right);
    ck_assert_int_gt(weak, 10 * right);
    auth_database_unref(db);
}
END_TEST

START_TEST(a_reload_keeps_hashes_of_unchanged_passwords)
{
    struct config *c = config_of("users: [{name: a, password: alpha}]\n");
    struct auth_database *first = built_from(c, NULL);
    struct config *same = config_of("users: [{name: a, password: alpha, loopback_only: true}]\n");
    struct auth_database *second = built_from(same, first);
    struct config *changed = config_of("users: [{name: a, password: beta}]\n");
    struct auth_database *third = built_from(changed, second);

    ck_assert_str_eq(c->users.items[0].password_hash, same->users.items[0].password_hash);
    ck_assert_str_ne(c->users.items[0].password_hash, changed->users.items[0].password_hash);
    ck_assert_int_eq(login(second, "a", "alpha", false), AUTH_LOOPBACK_ONLY);
    ck_assert_int_eq(login(third, "a", "alpha", true), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(login(third, "a", "beta", true), AUTH_ACCEPTED);
    auth_database_unref(first);
    auth_database_unref(second);
    auth_database_unref(third);
    config_free(c);
    config_free(same);
    config_free(changed);
}
END_TEST

START_TEST(a_changed_hash_forgets_the_password_that_was_right)
{
    struct config *other = config_of("users: [{name: b, password: other}]\n");
    struct auth_database *hashed = built_from(other, NULL);
    struct auth_database *before = built(TWO_USERS, NULL);
    struct auth_database *after;
    char text[256];

    ck_assert_int_eq(login(before, "b", "secret", true), AUTH_ACCEPTED);
    snprintf(text, sizeof(text), "users: [{name: b, password_hash: '%s'}]\n",
             other->users.items[0].password_hash);
    after = built(text, before);
    ck_assert_int_eq(login(after, "b", "secret", true), AUTH_WRONG_PASSWORD);
    ck_assert_int_eq(login(after, "b", "other", true), AUTH_ACCEPTED);
    auth_database_unref(hashed);
    auth_database_unref(before);
    auth_database_unref(after);
    config_free(other);
}
END_TEST

START_TEST(replacing_raises_the_version_and_keeps_what_is_held)
{
    struct auth_database *held;
    struct auth_database *now;
    uint64_t version = auth_version();

    ck_assert_ptr_null(auth_database_current());
    auth_database_replace(built(TWO_USERS, NULL));
    ck_assert_uint_gt(auth_version(), version);
    held = auth_database_current();
    ck_assert_ptr_nonnull(held);
    ck_assert_uint_eq(auth_database_version(held), auth_version());

    auth_database_replace(built("users: []\n", NULL));
    ck_assert_uint_ne(auth_database_version(held), auth_version());
    ck_assert_int_eq(login(held, "a", "alpha", true), AUTH_ACCEPTED);
    now = auth_database_current();
    ck_assert_ptr_ne(now, held);
    ck_assert_ptr_null(auth_find_user(now, bytes_from_string("a")));

    auth_database_unref(held);
    auth_database_unref(now);
    auth_database_replace(NULL);
    ck_assert_ptr_null(auth_database_current());
}
END_TEST

struct login_loop {
    atomic_bool *stop;
    unsigned logins;
};

static void *log_in_until_stopped(void *context)
{
    struct login_loop *loop = context;

    do {
        struct auth_database *db = auth_database_current();
        const struct auth_user *user;
        enum auth_outcome outcome;

        user = auth_login(db, bytes_from_string("b"), bytes_from_string("secret"), true, &outcome);
        if (user == NULL || !auth_may_access_vhost(user, bytes_from_string("v")))
            abort();
        auth_database_unref(db);
        loop->logins++;
    } while (!atomic_load(loop->stop));
    return NULL;
}

START_TEST(threads_log_in_while_the_snapshot_is_replaced)
{
    enum { THREADS = 4, RELOADS = 100 };
    pthread_t threads[THREADS];
    struct login_loop loops[THREADS];
    atomic_bool stop = false;

    auth_database_replace(built(TWO_USERS, NULL));
    for (int i = 0; i < THREADS; i++) {
        loops[i] = (struct login_loop){.stop = &stop};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_in_until_stopped, &loops[i]), 0);
    }
    for (int i = 0; i < RELOADS; i++) {
        struct auth_database *previous = auth_database_current();

        auth_database_replace(built(TWO_USERS, previous));
        auth_database_unref(previous);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_gt(loops[i].logins, 0);
    }
    auth_database_replace(NULL);
}
END_TEST

START_TEST(every_outcome_has_its_text)
{
    ck_assert_str_eq(auth_outcome_text(AUTH_ACCEPTED), "accepted");
    ck_assert_str_eq(auth_outcome_text(AUTH_UNKNOWN_USER), "unknown user");
    ck_assert_str_eq(auth_outcome_text(AUTH_WRONG_PASSWORD), "wrong password");
    ck_assert_str_eq(auth_outcome_text(AUTH_LOOPBACK_ONLY),
                     "the user may only connect from a loopback address");
}
END_TEST

UNIT_MAIN("auth_users", login_needs_the_right_password,
          loopback_only_users_are_refused_from_elsewhere,
          without_a_file_guest_is_administrator_of_the_root, permissions_belong_to_user_and_vhost,
          plain_passwords_are_hashed_in_the_configuration_and_wiped,
          what_is_wrong_is_named_with_its_line,
          permissions_that_fit_no_user_or_come_twice_are_refused,
          a_password_seen_before_is_cheap_and_others_are_not,
          a_reload_keeps_hashes_of_unchanged_passwords,
          a_changed_hash_forgets_the_password_that_was_right,
          replacing_raises_the_version_and_keeps_what_is_held,
          threads_log_in_while_the_snapshot_is_replaced, every_outcome_has_its_text)
