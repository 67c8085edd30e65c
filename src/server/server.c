#include "server/server.h"

#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Raises the soft limit on open files to the hard one: every connection is a descriptor. */
static uint64_t raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT32_MAX : (uint64_t)limit.rlim_cur;
}

static uint32_t cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (uint32_t)count : 1;
}

int server_init(struct server *s, struct config *config, const struct worker_ops *ops)
{
    memset(s, 0, sizeof(*s));
    s->config = config;
    s->max_connections = config_max_connections(&config->limits, raise_descriptor_limit());
    s->max_handshakes = config_max_handshakes(&config->limits, s->max_connections);
    atomic_init(&s->next_connection_id, 1);
    server_listeners_init(s);
    vhost_registry_init(&s->vhosts);
    for (size_t i = 0; i < config->vhosts.count; i++)
        vhost_ensure(&s->vhosts, config->vhosts.items[i].name);

    s->worker_count = config->workers != 0 ? config->workers : cpu_count();
    s->workers = memory_alloc_zeroed(s->worker_count, sizeof(*s->workers));
    for (uint32_t i = 0; i < s->worker_count; i++) {
        int rc = worker_init(&s->workers[i], s, i, ops);

        if (rc < 0) {
            log_error("server", "worker %u could not be made: %s", i, strerror(-rc));
            while (i > 0)
                worker_release(&s->workers[--i]);
            s->worker_count = 0;
            return rc;
        }
    }
    return 0;
}

/* ---- Listeners ---- */

static bool is_unix(const struct server_listener *l)
{
    return strncmp(l->config->address, SOCKET_ADDRESS_UNIX, strlen(SOCKET_ADDRESS_UNIX)) == 0;
}

static int cannot_listen(const struct server_listener *l, int rc)
{
    const struct config_listener *configured = l->config;

    if (is_unix(l))
        log_error("server", "cannot listen on %s: %s", configured->address, strerror(-rc));
    else
        log_error("server", "cannot listen on %s port %u: %s", configured->address,
                  (unsigned)configured->port, strerror(-rc));
    return rc;
}

/* The sockets of the other workers on the first one's address. */
static int bind_others(const struct server *s, struct server_listener *l)
{
    for (uint32_t i = 1; i < s->worker_count; i++) {
        struct socket_address bound;
        int fd = socket_address_is_unix(&l->bound) ? fcntl(l->sockets[0], F_DUPFD_CLOEXEC, 0)
                                                   : listener_bind_socket(&l->bound, &bound);

        if (fd < 0)
            return socket_address_is_unix(&l->bound) ? -errno : fd;
        l->sockets[i] = fd;
    }
    return 0;
}

/* One socket a worker on the same address; with port 0 the first one's choice holds for all. */
static int bind_sockets(const struct server *s, struct server_listener *l)
{
    const struct config_listener *configured = l->config;
    struct socket_address address;
    int rc = socket_address_parse(&address, configured->address, configured->port);

    if (rc == 0 && (configured->port != 0 || socket_address_is_unix(&address)))
        rc = listener_probe(&address);
    if (rc < 0 && rc != -EAFNOSUPPORT)
        return rc;
    rc = listener_bind_socket(&address, &l->bound);
    if (rc == -EAFNOSUPPORT && strcmp(configured->address, "*") == 0) {
        rc = socket_address_parse(&address, "0.0.0.0", configured->port);
        if (rc == 0)
            rc = listener_bind_socket(&address, &l->bound);
    }
    if (rc < 0)
        return rc;
    l->sockets[0] = rc;
    return bind_others(s, l);
}

static int bind_listener(const struct server *s, struct server_listener *l)
{
    int rc;

    l->sockets = memory_alloc_zeroed(s->worker_count, sizeof(*l->sockets));
    for (uint32_t i = 0; i < s->worker_count; i++)
        l->sockets[i] = -1;
    rc = bind_sockets(s, l);
    return rc < 0 ? cannot_listen(l, rc) : 0;
}

/* Hands the sockets to the workers. */
static int open_listener(struct server *s, struct server_listener *l)
{
    char text[SOCKET_ADDRESS_TEXT_SIZE];

    for (uint32_t i = 0; i < s->worker_count; i++) {
        int rc = worker_listen(&s->workers[i], l->sockets[i], &l->bound, l);

        if (rc < 0)
            return cannot_listen(l, rc);
        l->sockets[i] = -1;
    }
    socket_address_format(&l->bound, text);
    log_info("server", "listening on %s%s",
             socket_address_is_unix(&l->bound) ? l->config->address : text,
             l->config->tls.certificate != NULL ? " with TLS" : "");
    return 0;
}

static void close_unused(const struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        for (uint32_t w = 0; s->listeners[i].sockets != NULL && w < s->worker_count; w++) {
            if (s->listeners[i].sockets[w] >= 0)
                close(s->listeners[i].sockets[w]);
        }
    }
}

int server_bind(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        int rc = is_unix(&s->listeners[i]) ? 0 : bind_listener(s, &s->listeners[i]);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- Life ---- */

void server_start(struct server *s)
{
    atomic_store(&s->unfinished_workers, s->worker_count);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        int rc = worker_start(&s->workers[i]);

        if (rc < 0) {
            log_error("server", "worker %u could not be started: %s", i, strerror(-rc));
            abort();
        }
    }
}

/* Of two who have bound an address, the one that listens first has it. With a low port that is not
 * to be seen any more: looking takes the privilege that binding took. */
static int check_is_free(const struct server_listener *l)
{
    int rc = listener_probe(&l->bound);

    return rc < 0 && rc != -EACCES ? cannot_listen(l, rc) : 0;
}

int server_listen(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        struct server_listener *l = &s->listeners[i];
        int rc = is_unix(l) ? bind_listener(s, l) : check_is_free(l);

        if (rc == 0)
            rc = open_listener(s, l);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void server_stop(struct server *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++)
        worker_request_shut_down(&s->workers[i]);
    for (uint32_t i = 0; i < s->worker_count; i++)
        worker_join(&s->workers[i]);
}

/* What a Unix socket leaves behind when nobody listens on it any more. */
static void remove_socket_files(const struct server *s)
{
    if (s->worker_count == 0)
        return;
    for (uint32_t l = 0; l < s->workers[0].listener_count; l++) {
        const struct worker_listener *w = &s->workers[0].listeners[l];

        if (socket_address_is_unix(&w->listener.address))
            unlink(w->common->config->address + strlen(SOCKET_ADDRESS_UNIX));
    }
}

void server_release(struct server *s)
{
    close_unused(s);
    remove_socket_files(s);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        for (uint32_t l = 0; l < s->workers[i].listener_count; l++)
            listener_stop(&s->workers[i].listeners[l].listener, &s->workers[i].reactor);
        worker_release(&s->workers[i]);
    }
    free(s->workers);
    vhost_registry_release(&s->vhosts);
    server_listeners_release(s);
    config_free(s->config);
}
