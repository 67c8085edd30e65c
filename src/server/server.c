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

/* The descriptor for the next worker, of a Unix socket that has one already. */
static int share_socket(const struct server *s, struct socket_address *bound)
{
    const struct worker *first = &s->workers[0];
    const struct listener *l = &first->listeners[first->listener_count - 1].listener;
    int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);

    *bound = l->address;
    return fd < 0 ? -errno : fd;
}

/* One socket a worker on the same address; with port 0 the first one's choice holds for all. */
static int open_listener(struct server *s, struct server_listener *listener)
{
    const struct config_listener *configured = listener->config;
    struct socket_address address;
    struct socket_address bound;
    char text[SOCKET_ADDRESS_TEXT_SIZE];
    int rc = socket_address_parse(&address, configured->address, configured->port);

    if (rc == 0 && (configured->port != 0 || socket_address_is_unix(&address)))
        rc = listener_probe(&address);
    if (rc == -EAFNOSUPPORT)
        rc = 0; /* told below */
    for (uint32_t i = 0; rc == 0 && i < s->worker_count; i++) {
        int fd = i != 0 && socket_address_is_unix(&address)
                     ? share_socket(s, &bound)
                     : listener_open_socket(&address, &bound);

        if (fd == -EAFNOSUPPORT && strcmp(configured->address, "*") == 0) {
            rc = socket_address_parse(&address, "0.0.0.0", configured->port);
            fd = rc == 0 ? listener_open_socket(&address, &bound) : rc;
        }
        if (fd < 0) {
            rc = fd;
            break;
        }
        socket_address_set_port(&address, socket_address_port(&bound));
        rc = worker_listen(&s->workers[i], fd, &bound, listener);
        if (rc < 0)
            close(fd);
    }
    if (rc < 0 && socket_address_is_unix(&address)) {
        log_error("server", "cannot listen on %s: %s", configured->address, strerror(-rc));
        return rc;
    }
    if (rc < 0) {
        log_error("server", "cannot listen on %s port %u: %s", configured->address,
                  (unsigned)configured->port, strerror(-rc));
        return rc;
    }
    socket_address_format(&bound, text);
    log_info("server", "listening on %s%s",
             socket_address_is_unix(&bound) ? configured->address : text,
             configured->tls.certificate != NULL ? " with TLS" : "");
    return 0;
}

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

int server_listen(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        int rc = open_listener(s, &s->listeners[i]);

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
