/* Users that are made, changed and deleted while the broker runs, as clients see it. */
#include "base/clock.h"
#include "session/broker_users.h"
#include "tests/unit/broker_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* The password "admin", cheap to check. */
#define ADMIN_YAML \
    "users:\n" \
    "  - {name: admin, password: admin, tags: [administrator]}\n" \
    "permissions:\n" \
    "  - {user: admin, configure: '.*', write: '.*', read: '.*'}\n"

#define TEXT(s) bytes_from_string(s)

static char error[BROKER_USERS_ERROR_SIZE];
static char reason[256];

static void add_user(struct test_broker *t, const char *name, const char *password)
{
    const struct broker_user u = {.name = TEXT(name), .password = TEXT(password)};

    ck_assert_msg(broker_user_add(&t->broker, &u, error) == 0, "%s", error);
}

static int set_permissions(struct test_broker *t, const char *user, const char *pattern)
{
    const struct broker_permission p = {
        .user = TEXT(user),
        .vhost = TEXT("/"),
        .configure = pattern,
        .write = pattern,
        .read = pattern,
    };

    return broker_permission_set(&t->broker, &p, error);
}

static void add_user_with_permissions(struct test_broker *t, const char *name)
{
    add_user(t, name, "pw");
    ck_assert_int_eq(set_permissions(t, name, ".*"), 0);
}

static struct test_client *expect_login(struct test_broker *t, const char *user,
                                        const char *password)
{
    struct test_client *c = connect_test_client(t, user, password, reason);

    ck_assert_msg(c != NULL, "%s: %s", user, reason);
    return c;
}

static void expect_no_login(struct test_broker *t, const char *user, const char *password,
                            const char *text)
{
    ck_assert_ptr_null(connect_test_client(t, user, password, reason));
    ck_assert_str_eq(reason, text);
}

#define LOGIN_REFUSED \
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see " \
    "the broker logfile."
#define VHOST_REFUSED(user) "NOT_ALLOWED - access to vhost '/' refused for user '" user "'"

START_TEST(a_user_made_at_run_time_logs_in_and_outlives_a_restart)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);

    add_user(t, "u", "pw");
    expect_no_login(t, "u", "wrong", LOGIN_REFUSED);
    expect_no_login(t, "u", "pw", VHOST_REFUSED("u"));
    ck_assert_int_eq(set_permissions(t, "u", "^u-"), 0);
    close_test_client(expect_login(t, "u", "pw"));

    halt_test_broker(t);
    restart_test_broker(t, ADMIN_YAML);
    struct test_client *c = expect_login(t, "u", "pw");

    ck_assert_int_eq(client_declare(c, "u-q", reason), 0);
    ck_assert_int_eq(client_declare(c, "q", reason), 403);
    close_test_client(c);
    stop_test_broker(t);
}
END_TEST

START_TEST(changed_permissions_count_at_once_for_open_connections)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct test_client *c;

    add_user_with_permissions(t, "u");
    c = expect_login(t, "u", "pw");
    ck_assert_int_eq(client_declare(c, "a", reason), 0);
    ck_assert_int_eq(set_permissions(t, "u", "^b"), 0);
    ck_assert_int_eq(client_declare(c, "a", reason), 403);
    ck_assert_str_eq(reason,
                     "ACCESS_REFUSED - access to queue 'a' in vhost '/' refused for user 'u'");
    ck_assert_int_eq(set_permissions(t, "u", "^a"), 0);
    ck_assert_int_eq(client_declare(c, "a", reason), 0);
    ck_assert_int_eq(broker_permission_clear(&t->broker, TEXT("u"), TEXT("/"), error), 0);
    ck_assert_int_eq(client_expect_close(c, reason), 320);
    close_test_client(c);
    expect_no_login(t, "u", "pw", VHOST_REFUSED("u"));
    stop_test_broker(t);
}
END_TEST

START_TEST(a_deleted_user_is_thrown_out)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct test_client *gone;
    struct test_client *other;

    add_user_with_permissions(t, "u");
    gone = expect_login(t, "u", "pw");
    other = expect_login(t, "admin", "admin");
    ck_assert_int_eq(broker_user_delete(&t->broker, TEXT("u"), error), 0);
    ck_assert_int_eq(client_expect_close(gone, reason), 320);
    ck_assert_str_eq(reason, "CONNECTION_FORCED - user 'u' is deleted");
    close_test_client(gone);
    expect_no_login(t, "u", "pw", LOGIN_REFUSED);
    ck_assert_int_eq(client_declare(other, "q", reason), 0);
    close_test_client(other);

    halt_test_broker(t);
    restart_test_broker(t, ADMIN_YAML);
    expect_no_login(t, "u", "pw", LOGIN_REFUSED);
    stop_test_broker(t);
}
END_TEST

START_TEST(a_new_user_has_nothing_of_a_deleted_one_of_its_name)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);

    add_user_with_permissions(t, "u");
    ck_assert_int_eq(broker_user_delete(&t->broker, TEXT("u"), error), 0);
    add_user(t, "u", "pw");
    expect_no_login(t, "u", "pw", VHOST_REFUSED("u"));
    halt_test_broker(t);
    restart_test_broker(t, ADMIN_YAML);
    expect_no_login(t, "u", "pw", VHOST_REFUSED("u"));
    stop_test_broker(t);
}
END_TEST

START_TEST(passwords_change_and_are_taken_away)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct broker_user u = {.name = TEXT("u"), .password = TEXT("other")};
    struct test_client *open;

    add_user_with_permissions(t, "u");
    open = expect_login(t, "u", "pw");
    ck_assert_int_eq(broker_user_change(&t->broker, &u, error), 0);
    expect_no_login(t, "u", "pw", LOGIN_REFUSED);
    close_test_client(expect_login(t, "u", "other"));
    ck_assert(broker_user_authenticate(&t->broker, TEXT("u"), TEXT("other")));
    ck_assert(!broker_user_authenticate(&t->broker, TEXT("u"), TEXT("pw")));
    ck_assert(!broker_user_authenticate(&t->broker, TEXT("nobody"), TEXT("pw")));

    /* "secret" as RabbitMQ stores it. */
    u = (struct broker_user){.name = TEXT("u"),
                             .password_hash = "AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa"};
    ck_assert_int_eq(broker_user_put(&t->broker, &u, error), 0);
    close_test_client(expect_login(t, "u", "secret"));

    u.password_hash = "";
    ck_assert_int_eq(broker_user_change(&t->broker, &u, error), 0);
    expect_no_login(t, "u", "secret", LOGIN_REFUSED);
    expect_no_login(t, "u", "", LOGIN_REFUSED);
    ck_assert_int_eq(client_declare(open, "q", reason), 0);
    close_test_client(open);
    stop_test_broker(t);
}
END_TEST

START_TEST(what_the_configuration_has_wins_and_is_not_changed)
{
    static const char WITH_U[] = "users:\n"
                                 "  - {name: admin, password: admin}\n"
                                 "  - {name: u, password: from-file}\n"
                                 "vhosts: [/, v]\n"
                                 "permissions:\n"
                                 "  - {user: u, configure: '^file', write: '', read: ''}\n";
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    const struct broker_user u = {.name = TEXT("u"), .password = TEXT("new")};
    struct test_client *c;

    add_user_with_permissions(t, "u");
    c = expect_login(t, "u", "pw");
    reload_test_broker(t, WITH_U);
    expect_no_login(t, "u", "pw", LOGIN_REFUSED);
    ck_assert_int_eq(client_declare(c, "file-q", reason), 0);
    ck_assert_int_eq(client_declare(c, "q", reason), 403);
    ck_assert_int_eq(broker_user_change(&t->broker, &u, error), -EPERM);
    ck_assert_str_eq(error, "user 'u' is in the configuration file: change it there");
    ck_assert_int_eq(broker_user_delete(&t->broker, TEXT("u"), error), -EPERM);
    ck_assert_int_eq(broker_user_add(&t->broker, &u, error), -EEXIST);
    ck_assert_int_eq(set_permissions(t, "u", ".*"), -EPERM);
    ck_assert_int_eq(set_permissions(t, "admin", "^run-time"), 0);

    /* What was stored before counts again. */
    reload_test_broker(t, ADMIN_YAML);
    ck_assert_int_eq(client_declare(c, "q", reason), 0);
    close_test_client(expect_login(t, "u", "pw"));
    close_test_client(c);
    stop_test_broker(t);
}
END_TEST

START_TEST(users_of_the_configuration_may_get_permissions_at_run_time)
{
    static const char ALONE[] = "users: [{name: admin, password: admin}]\n";
    struct test_broker *t = start_test_broker(ALONE);
    struct test_client *c;

    expect_no_login(t, "admin", "admin", VHOST_REFUSED("admin"));
    ck_assert_int_eq(set_permissions(t, "admin", "^run"), 0);
    halt_test_broker(t);
    restart_test_broker(t, ALONE);
    c = expect_login(t, "admin", "admin");
    ck_assert_int_eq(client_declare(c, "run-q", reason), 0);
    ck_assert_int_eq(client_declare(c, "q", reason), 403);
    close_test_client(c);
    stop_test_broker(t);
}
END_TEST

START_TEST(guest_is_made_where_there_is_no_user_and_does_not_come_back)
{
    struct test_broker *t = start_test_broker("");
    struct broker_user guest = {.name = TEXT("guest"), .password = TEXT("changed")};

    close_test_client(expect_login(t, "guest", "guest"));
    ck_assert_int_eq(broker_user_change(&t->broker, &guest, error), 0);
    halt_test_broker(t);
    restart_test_broker(t, "");
    expect_no_login(t, "guest", "guest", LOGIN_REFUSED);
    close_test_client(expect_login(t, "guest", "changed"));

    add_user_with_permissions(t, "u");
    ck_assert_int_eq(broker_user_delete(&t->broker, TEXT("guest"), error), 0);
    reload_test_broker(t, "");
    expect_no_login(t, "guest", "guest", LOGIN_REFUSED);
    halt_test_broker(t);
    restart_test_broker(t, "");
    expect_no_login(t, "guest", "guest", LOGIN_REFUSED);
    close_test_client(expect_login(t, "u", "pw"));
    stop_test_broker(t);
}
END_TEST

struct listing {
    char text[2048];
    struct bytes only; /* of this user */
};

static void list_user(void *context, const struct broker_user_info *u)
{
    struct listing *l = context;
    size_t size = strlen(l->text);

    if (bytes_equal(u->name, l->only))
        snprintf(l->text + size, sizeof(l->text) - size, "user %.*s tags %.*s%s%s%s\n",
                 BYTES_ARGS(u->name), BYTES_ARGS(u->tags), u->password_hash != NULL ? " hash" : "",
                 u->loopback_only ? " loopback" : "", u->from_file ? " file" : "");
}

static void list_permission(void *context, const struct broker_permission_info *p)
{
    struct listing *l = context;
    size_t size = strlen(l->text);

    if (bytes_equal(p->permission.user, l->only))
        snprintf(l->text + size, sizeof(l->text) - size, "in %.*s: %s, %s, %s%s\n",
                 BYTES_ARGS(p->permission.vhost), p->permission.configure, p->permission.write,
                 p->permission.read, p->from_file ? " file" : "");
}

static void list_topic(void *context, const struct broker_topic_permission_info *p)
{
    struct listing *l = context;
    size_t size = strlen(l->text);

    if (bytes_equal(p->permission.user, l->only))
        snprintf(l->text + size, sizeof(l->text) - size, "topics %.*s in %.*s: %s, %s%s\n",
                 BYTES_ARGS(p->permission.exchange), BYTES_ARGS(p->permission.vhost),
                 p->permission.write, p->permission.read, p->from_file ? " file" : "");
}

static void expect_listing(const char *user, const char *text)
{
    struct listing l = {.only = TEXT(user)};
    const struct broker_users_visitor visitor = {
        .context = &l,
        .user = list_user,
        .permission = list_permission,
        .topic_permission = list_topic,
    };

    broker_users_visit(&visitor);
    ck_assert_str_eq(l.text, text);
    l.text[0] = '\0';
    ck_assert(broker_user_visit(TEXT(user), &visitor));
    ck_assert_str_eq(l.text, text);
    ck_assert(!broker_user_visit(TEXT("no-such"), &visitor));
}

START_TEST(users_are_listed_with_what_they_may)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML "loopback_users: [u]\n");
    const struct bytes x = TEXT("x");
    struct broker_user u = {.name = TEXT("u"), .tags = TEXT(" monitoring , special,")};
    struct broker_topic_permission topic = {
        .user = TEXT("u"), .vhost = TEXT("/"), .exchange = x, .write = "^{username}", .read = "^r"};

    ck_assert_int_eq(broker_user_add(&t->broker, &u, error), 0);
    expect_listing("u", "user u tags monitoring,special loopback\n");
    ck_assert_int_eq(set_permissions(t, "u", "^u"), 0);
    ck_assert_int_eq(broker_topic_permission_set(&t->broker, &topic, error), 0);
    topic.exchange = bytes_of(NULL, 0);
    ck_assert_int_eq(broker_topic_permission_set(&t->broker, &topic, error), 0);
    halt_test_broker(t);
    restart_test_broker(t, ADMIN_YAML);
    ck_assert_int_eq(
        broker_topic_permission_clear(&t->broker, TEXT("u"), TEXT("/"), &topic.exchange, error), 0);
    expect_listing("u", "user u tags monitoring,special\n"
                        "in /: ^u, ^u, ^u\n"
                        "topics x in /: ^{username}, ^r\n");
    expect_listing("admin", "user admin tags administrator hash file\n"
                            "in /: .*, .*, .* file\n");
    ck_assert_int_eq(broker_topic_permission_clear(&t->broker, TEXT("u"), TEXT("/"), NULL, error),
                     0);
    broker_users_forget_vhost(&t->broker, TEXT("/"));
    expect_listing("u", "user u tags monitoring,special\n");
    stop_test_broker(t);
}
END_TEST

START_TEST(what_cannot_be_is_refused_with_a_reason)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct broker_user u = {.name = TEXT("")};
    struct broker_permission p = {
        .user = TEXT("u"), .vhost = TEXT("/"), .configure = "", .write = "", .read = ""};
    struct broker_topic_permission topic = {
        .user = TEXT("u"), .vhost = TEXT("/"), .exchange = TEXT("x"), .write = "(", .read = ""};

    ck_assert_int_eq(broker_user_add(&t->broker, &u, error), -EINVAL);
    ck_assert_str_eq(error, "the name of a user has 1 to 255 bytes, none of them zero");
    u = (struct broker_user){.name = TEXT("u"), .password = TEXT("")};
    ck_assert_int_eq(broker_user_add(&t->broker, &u, error), -EINVAL);
    ck_assert_str_eq(error, "the password of user 'u' has 1 to 1024 bytes");
    u = (struct broker_user){.name = TEXT("u"), .password_hash = "not base64"};
    ck_assert_int_eq(broker_user_add(&t->broker, &u, error), -EINVAL);
    ck_assert_int_eq(
        broker_user_change(&t->broker, &(struct broker_user){.name = TEXT("u")}, error), -ENOENT);
    ck_assert_str_eq(error, "no user 'u'");
    ck_assert_int_eq(broker_user_delete(&t->broker, TEXT("u"), error), -ENOENT);
    ck_assert_int_eq(broker_permission_set(&t->broker, &p, error), -ENOENT);
    add_user(t, "u", "pw");
    ck_assert_int_eq(broker_user_add(&t->broker, &(struct broker_user){.name = TEXT("u")}, error),
                     -EEXIST);
    ck_assert_str_eq(error, "user 'u' already exists");
    p.vhost = TEXT("none");
    ck_assert_int_eq(broker_permission_set(&t->broker, &p, error), -ENOENT);
    ck_assert_str_eq(error, "no virtual host 'none'");
    p.vhost = TEXT("/");
    p.write = "(";
    ck_assert_int_eq(broker_permission_set(&t->broker, &p, error), -EINVAL);
    ck_assert_str_eq(error,
                     "'write' is not a valid pattern: missing closing parenthesis (at offset 1)");
    ck_assert_int_eq(broker_topic_permission_set(&t->broker, &topic, error), -EINVAL);
    ck_assert_str_eq(error,
                     "'write' is not a valid pattern: missing closing parenthesis (at offset 1)");
    stop_test_broker(t);
}
END_TEST

struct changing {
    struct test_broker *broker;
    atomic_bool *stop;
    char name[16];
};

static void *change_until_stopped(void *context)
{
    struct changing *c = context;
    char text[BROKER_USERS_ERROR_SIZE];
    const struct broker_user u = {
        .name = TEXT(c->name), .password_hash = "AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa"};
    const struct broker_permission p = {
        .user = u.name, .vhost = TEXT("/"), .configure = "a", .write = "b", .read = "c"};

    do {
        if (broker_user_add(&c->broker->broker, &u, text) < 0 ||
            broker_permission_set(&c->broker->broker, &p, text) < 0 ||
            broker_user_delete(&c->broker->broker, u.name, text) < 0)
            abort();
    } while (!atomic_load(c->stop));
    return NULL;
}

static void copy_hash(void *context, const struct broker_user_info *u)
{
    snprintf(context, 256, "%s", u->password_hash);
}

static void set_limits(struct test_broker *t, int64_t max_connections, int64_t max_channels)
{
    const struct broker_user_limits limits = {max_connections, max_channels};

    ck_assert_int_eq(broker_user_limits_set(&t->broker, TEXT("u"), &limits, error), 0);
}

#define LIMIT_REACHED(limit, key) \
    "NOT_ALLOWED - connection refused for user 'u': user connection limit (" limit \
    ") is reached (" key ")"
#define CONNECTION_LIMIT(limit) LIMIT_REACHED(limit, "max-connections of set_user_limits")

START_TEST(a_user_opens_as_many_connections_as_it_may)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct test_client *c;

    add_user_with_permissions(t, "u");
    set_limits(t, 0, -1);
    expect_no_login(t, "u", "pw", CONNECTION_LIMIT("0"));
    set_limits(t, 1, -1);
    c = expect_login(t, "u", "pw");
    expect_no_login(t, "u", "pw", CONNECTION_LIMIT("1"));
    close_test_client(expect_login(t, "admin", "admin"));
    ck_assert_int_eq(client_declare(c, "q", reason), 0);
    close_test_client(c);

    halt_test_broker(t);
    restart_test_broker(t, ADMIN_YAML);
    c = expect_login(t, "u", "pw");
    expect_no_login(t, "u", "pw", CONNECTION_LIMIT("1"));
    set_limits(t, -1, -1);
    close_test_client(expect_login(t, "u", "pw"));
    close_test_client(c);
    halt_test_broker(t);
    restart_test_broker(t, ADMIN_YAML);
    c = expect_login(t, "u", "pw");
    close_test_client(expect_login(t, "u", "pw"));
    close_test_client(c);
    stop_test_broker(t);
}
END_TEST

static uint32_t open_channel(struct test_client *c, uint16_t number)
{
    client_send(c, number, &(struct amqp_method){.id = AMQP_CHANNEL_OPEN});
    return client_receive(c);
}

static uint32_t close_channel(struct test_client *c, uint16_t number)
{
    client_send(c, number, &(struct amqp_method){.id = AMQP_CHANNEL_CLOSE});
    return client_receive(c);
}

START_TEST(a_user_opens_as_many_channels_as_it_may_over_all_connections)
{
    static const char LIMITED[] =
        "users: [{name: u, password: pw, max_channels: 3}]\n"
        "permissions: [{user: u, configure: '.*', write: '.*', read: '.*'}]\n";
    const struct broker_user_limits none = {-1, -1};
    struct test_broker *t = start_test_broker(LIMITED);
    struct test_client *a = expect_login(t, "u", "pw"); /* with channel 1 */
    struct test_client *b = expect_login(t, "u", "pw");

    ck_assert_uint_eq(open_channel(a, 2), AMQP_CHANNEL_OPEN_OK);
    ck_assert_uint_eq(close_channel(a, 2), AMQP_CHANNEL_CLOSE_OK);
    ck_assert_uint_eq(open_channel(b, 2), AMQP_CHANNEL_OPEN_OK);
    ck_assert_uint_eq(open_channel(b, 3), AMQP_CONNECTION_CLOSE);
    ck_assert_int_eq(b->method.connection_close.reply_code, 530);
    ck_assert(bytes_equal_string(b->method.connection_close.reply_text,
                                 "NOT_ALLOWED - number of channels opened for user 'u' has reached "
                                 "the maximum allowed user limit of (3) (users.max_channels)"));
    /* Those of the closed connection do not count any more. */
    ck_assert_uint_eq(open_channel(a, 2), AMQP_CHANNEL_OPEN_OK);
    ck_assert_uint_eq(open_channel(a, 3), AMQP_CHANNEL_OPEN_OK);
    ck_assert_int_eq(broker_user_limits_set(&t->broker, TEXT("u"), &none, error), -EPERM);
    close_test_client(a);
    close_test_client(b);
    stop_test_broker(t);
}
END_TEST

START_TEST(who_has_the_name_of_a_deleted_user_is_somebody_else)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct test_client *former;

    add_user_with_permissions(t, "u");
    set_limits(t, 1, -1);
    former = expect_login(t, "u", "pw");
    ck_assert_int_eq(broker_user_delete(&t->broker, TEXT("u"), error), 0);
    add_user_with_permissions(t, "u");
    ck_assert_int_eq(client_expect_close(former, reason), 320);
    close_test_client(former);
    close_test_client(expect_login(t, "u", "pw"));
    stop_test_broker(t);
}
END_TEST

START_TEST(connections_go_on_counting_when_the_file_takes_a_user_over)
{
    static const char WITH_U[] =
        "users:\n"
        "  - {name: admin, password: admin}\n"
        "  - {name: u, password: pw, max_connections: 1}\n"
        "permissions: [{user: u, configure: '.*', write: '.*', read: '.*'}]\n";
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct test_client *c;

    add_user_with_permissions(t, "u");
    c = expect_login(t, "u", "pw");
    reload_test_broker(t, WITH_U);
    ck_assert_int_eq(client_declare(c, "q", reason), 0);
    expect_no_login(t, "u", "pw", LIMIT_REACHED("1", "users.max_connections"));
    reload_test_broker(t, WITH_U);
    expect_no_login(t, "u", "pw", LIMIT_REACHED("1", "users.max_connections"));
    reload_test_broker(t, ADMIN_YAML);
    set_limits(t, 1, -1);
    ck_assert_int_eq(client_declare(c, "q", reason), 0);
    expect_no_login(t, "u", "pw", CONNECTION_LIMIT("1"));
    close_test_client(c);
    stop_test_broker(t);
}
END_TEST

START_TEST(a_password_stored_as_rabbitmq_does_is_stored_better_after_a_login)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    /* "secret" */
    const struct broker_user u = {
        .name = TEXT("u"), .password_hash = "AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa"};
    char hash[256] = "";
    const struct broker_users_visitor visitor = {.context = hash, .user = copy_hash};

    ck_assert_int_eq(broker_user_add(&t->broker, &u, error), 0);
    ck_assert_int_eq(set_permissions(t, "u", ".*"), 0);
    expect_no_login(t, "u", "wrong", LOGIN_REFUSED);
    ck_assert(broker_user_visit(TEXT("u"), &visitor));
    ck_assert_ptr_nonnull(strstr(hash, "rabbit_password_hashing_sha256:"));
    for (int i = 0; i < 2; i++) {
        close_test_client(expect_login(t, "u", "secret"));
        ck_assert(broker_user_visit(TEXT("u"), &visitor));
        ck_assert_ptr_nonnull(strstr(hash, "$scrypt$"));
        halt_test_broker(t);
        restart_test_broker(t, ADMIN_YAML);
    }
    expect_no_login(t, "u", "wrong", LOGIN_REFUSED);
    stop_test_broker(t);
}
END_TEST

START_TEST(what_a_client_sends_ahead_waits_for_its_login)
{
    struct test_broker *t = start_test_broker(ADMIN_YAML);

    /* The password is not known yet, then it is. */
    for (int i = 0; i < 2; i++) {
        struct test_client *c = connect_test_client_ahead(t, "admin", "admin");

        ck_assert_int_eq(client_declare(c, "q", reason), 0);
        close_test_client(c);
    }
    stop_test_broker(t);
}
END_TEST

START_TEST(guessing_takes_longer_and_longer)
{
    struct test_broker *t = start_test_broker(
        ADMIN_YAML "login: {backoff_after: 2, backoff_ms: 150, backoff_max_ms: 1000}\n");
    int64_t start_ms = 0;

    for (int i = 0; i < 3; i++) {
        start_ms = clock_monotonic_ms();
        expect_no_login(t, "admin", "wrong", LOGIN_REFUSED);
    }
    expect_no_login(t, "admin", "wrong", LOGIN_REFUSED);
    ck_assert_int_ge(clock_monotonic_ms() - start_ms, 150);
    expect_no_login(t, "admin", "wrong", LOGIN_REFUSED);
    ck_assert_int_ge(clock_monotonic_ms() - start_ms, 150 + 300);
    /* The right password has to wait as well, and somebody else need not. */
    add_user_with_permissions(t, "u");
    close_test_client(expect_login(t, "u", "pw"));
    close_test_client(expect_login(t, "admin", "admin"));
    stop_test_broker(t);
}
END_TEST

START_TEST(threads_change_users_while_clients_come_and_go)
{
    enum { THREADS = 2, ROUNDS = 25 };
    struct test_broker *t = start_test_broker(ADMIN_YAML);
    struct changing changing[THREADS];
    pthread_t threads[THREADS];
    atomic_bool stop = false;

    for (int i = 0; i < THREADS; i++) {
        changing[i] = (struct changing){.broker = t, .stop = &stop};
        snprintf(changing[i].name, sizeof(changing[i].name), "u%d", i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, change_until_stopped, &changing[i]), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct test_client *c = expect_login(t, "admin", "admin");

        ck_assert_int_eq(client_declare(c, "q", reason), 0);
        close_test_client(c);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    stop_test_broker(t);
}
END_TEST

UNIT_MAIN("broker_users", a_user_made_at_run_time_logs_in_and_outlives_a_restart,
          changed_permissions_count_at_once_for_open_connections, a_deleted_user_is_thrown_out,
          a_new_user_has_nothing_of_a_deleted_one_of_its_name, passwords_change_and_are_taken_away,
          what_the_configuration_has_wins_and_is_not_changed,
          users_of_the_configuration_may_get_permissions_at_run_time,
          guest_is_made_where_there_is_no_user_and_does_not_come_back,
          users_are_listed_with_what_they_may, what_cannot_be_is_refused_with_a_reason,
          a_user_opens_as_many_connections_as_it_may,
          a_user_opens_as_many_channels_as_it_may_over_all_connections,
          who_has_the_name_of_a_deleted_user_is_somebody_else,
          connections_go_on_counting_when_the_file_takes_a_user_over,
          a_password_stored_as_rabbitmq_does_is_stored_better_after_a_login,
          what_a_client_sends_ahead_waits_for_its_login, guessing_takes_longer_and_longer,
          threads_change_users_while_clients_come_and_go)
