#include "config/config.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "config/check.h"
#include "config/schema.h"
#include "config/yaml_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char DEFAULT_FILE[] = "(default)";

static struct config *config_new(const char *file)
{
    struct config *c = memory_alloc_zeroed(1, sizeof(*c));
    size_t size = strlen(file) + 1;

    arena_init(&c->arena);
    c->file = memcpy(arena_alloc(&c->arena, size), file, size);
    return c;
}

static void add_default_listener(struct config *c)
{
    struct config_listener *l = arena_alloc(&c->arena, sizeof(*l));

    l->address = "*";
    l->port = 5672;
    l->mechanisms = CONFIG_MECHANISM_PLAIN | CONFIG_MECHANISM_AMQPLAIN;
    c->listeners = (struct config_listeners){.items = l, .count = 1};
}

static void add_default_vhost(struct config *c)
{
    struct config_vhost *v = arena_alloc(&c->arena, sizeof(*v));

    v->name = bytes_from_string("/");
    c->vhosts = (struct config_vhosts){.items = v, .count = 1};
}

static void add_guest(struct config *c)
{
    static const char PASSWORD[] = "guest";
    struct config_user *u = arena_alloc(&c->arena, sizeof(*u));

    u->name = bytes_from_string("guest");
    u->password = memcpy(arena_alloc(&c->arena, sizeof(PASSWORD)), PASSWORD, sizeof(PASSWORD));
    u->tags = USER_TAG_ADMINISTRATOR;
    u->loopback_only = true;
    c->users = (struct config_users){.items = u, .count = 1};
}

static void add_guest_permissions(struct config *c)
{
    struct config_permission *p = arena_alloc(&c->arena, sizeof(*p));

    p->user = bytes_from_string("guest");
    p->vhost = bytes_from_string("/");
    p->configure = ".*";
    p->write = ".*";
    p->read = ".*";
    c->permissions = (struct config_permissions){.items = p, .count = 1};
}

static void add_default_loopback_user(struct config *c)
{
    struct config_name *n = arena_alloc(&c->arena, sizeof(*n));

    n->name = bytes_from_string("guest");
    c->loopback_users = (struct config_names){.items = n, .count = 1};
}

static bool has_vhost(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->vhosts.count; i++) {
        if (bytes_equal_string(c->vhosts.items[i].name, name))
            return true;
    }
    return false;
}

/* Fills what is absent (an empty list is not). */
static void complete(struct config *c)
{
    bool own_users = c->users.items != NULL;

    if (c->listeners.items == NULL)
        add_default_listener(c);
    if (c->vhosts.items == NULL)
        add_default_vhost(c);
    c->users_are_default = !own_users;
    if (!own_users)
        add_guest(c);
    if (c->loopback_users.items == NULL)
        add_default_loopback_user(c);
    if (!own_users && c->permissions.items == NULL && has_vhost(c, "/"))
        add_guest_permissions(c);
    /* Half of a short time to log in is left for the rest of it. */
    if (c->login.backoff_max_line == 0 && c->login.backoff_max_ms >= c->limits.handshake_timeout_ms)
        c->login.backoff_max_ms = c->limits.handshake_timeout_ms / 2;
    if (strcmp(c->log.path, "stderr") == 0)
        c->log.path = NULL;
}

int config_load_text(const char *file, struct bytes text, config_further_checks more,
                     struct config **out, struct config_problems *problems)
{
    size_t before = config_problems_total(problems);
    struct yaml_tree tree;
    struct config *c;

    *out = NULL;
    if (text.size > CONFIG_FILE_SIZE_MAX) {
        config_problems_add(problems, file, 0, "the file is larger than %d MiB",
                            CONFIG_FILE_SIZE_MAX / 1024 / 1024);
        return -EINVAL;
    }
    c = config_new(file);
    /* A tree that is broken off would only add problems that are none. */
    yaml_tree_parse(&tree, file, text, problems);
    if (tree.complete) {
        config_schema_read(&config_schema, tree.root, file, &c->arena, c, problems);
        complete(c);
        config_check(c, problems);
        if (more != NULL)
            more(c, problems);
    }
    yaml_tree_free(&tree);
    if (config_problems_total(problems) != before) {
        config_problems_sort(problems);
        config_free(c);
        return -EINVAL;
    }
    *out = c;
    return 0;
}

/* Reads the whole file into *out (wiped and freed by the caller, also after an error). */
static int read_all(int fd, struct buffer *out)
{
    enum { CHUNK_SIZE = 64 * 1024 };
    struct stat st;

    /* Room for all of it at once: a buffer that grows leaves copies of passwords behind. */
    if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= CONFIG_FILE_SIZE_MAX)
        buffer_reserve(out, (size_t)st.st_size + 2 * CHUNK_SIZE);
    for (;;) {
        uint8_t *room = buffer_reserve(out, CHUNK_SIZE);
        ssize_t n = read(fd, room, CHUNK_SIZE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        out->size += (size_t)n;
        if (n == 0 || out->size > CONFIG_FILE_SIZE_MAX)
            return 0;
    }
}

int config_load_file(const char *path, config_further_checks more, struct config **out,
                     struct config_problems *problems)
{
    struct buffer text;
    int fd;
    int rc;

    *out = NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        rc = -errno;
        config_problems_add(problems, path, 0, "cannot be opened: %s", strerror(-rc));
        return rc;
    }
    buffer_init(&text);
    rc = read_all(fd, &text);
    close(fd);
    if (rc < 0)
        config_problems_add(problems, path, 0, "cannot be read: %s", strerror(-rc));
    else
        rc = config_load_text(path, buffer_bytes(&text), more, out, problems);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size);
    buffer_free(&text);
    return rc;
}

struct config *config_default(void)
{
    struct config_problems none;
    struct config *c;

    config_problems_init(&none);
    if (config_load_text(DEFAULT_FILE, bytes_of(NULL, 0), NULL, &c, &none) < 0)
        abort(); /* the table of keys refuses its own defaults */
    config_problems_free(&none);
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->users.count; i++) {
        char *password = c->users.items[i].password;

        if (password != NULL)
            explicit_bzero(password, strlen(password));
    }
    arena_free(&c->arena);
    free(c);
}

uint32_t config_max_connections(const struct config_limits *limits, uint64_t descriptors)
{
    uint64_t most =
        descriptors > CONFIG_DESCRIPTOR_RESERVE ? descriptors - CONFIG_DESCRIPTOR_RESERVE : 1;

    if (limits->max_connections != 0 && limits->max_connections < most)
        return limits->max_connections;
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

uint32_t config_max_handshakes(const struct config_limits *limits, uint32_t max_connections)
{
    uint32_t most = limits->max_handshakes != 0 ? limits->max_handshakes : CONFIG_HANDSHAKES_MAX;

    return most < max_connections ? most : max_connections;
}
