#include "admin/http.h"

#include "admin/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    IDLE_TIMEOUT_S = 60,
    /* Definitions of some million objects. */
    BODY_MAX = 1024 * 1024 * 1024,
};

/* A request that is coming in. */
struct exchange_state {
    struct buffer body; /* may have passwords */
    bool too_large;
};

/* The API decodes each part of a path itself: a name may have a '/'. */
static size_t leave_encoded(void *context, struct MHD_Connection *c, char *text)
{
    (void)context;
    (void)c;
    return strlen(text);
}

static enum MHD_Result send_answer(struct MHD_Connection *c, struct api_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body.size, answer->body.data, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (response == NULL) {
        buffer_free(&answer->body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    result = MHD_queue_response(c, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_request(struct http *h, struct MHD_Connection *c, const char *path,
                                      const char *method, struct exchange_state *state)
{
    const char *columns = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "columns");
    struct api_answer answer = {.status = 0};
    struct api_request *r;

    if (state->too_large) {
        buffer_init(&answer.body);
        api_fail(&answer, MHD_HTTP_CONTENT_TOO_LARGE, "a body has at most %d bytes", BODY_MAX);
        return send_answer(c, &answer);
    }
    r = memory_alloc_zeroed(1, sizeof(*r));
    r->broker = h->broker;
    r->asker = h->asker;
    r->started_ms = h->started_ms;
    r->method = method;
    r->path = path;
    r->columns = bytes_from_string(columns != NULL ? columns : "");
    r->body = buffer_bytes(&state->body);
    api_handle(r, &answer);
    free(r);
    secret_buffer_free(&state->body);
    return send_answer(c, &answer);
}

/* Called when the head of a request has come, for each piece of its body, and at its end. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **own)
{
    struct exchange_state *state = *own;

    (void)version;
    if (state == NULL) {
        *own = memory_alloc_zeroed(1, sizeof(*state));
        return MHD_YES;
    }
    if (*data_size == 0)
        return answer_request(context, c, url, method, state);
    if (state->body.size + *data_size > BODY_MAX)
        state->too_large = true;
    else
        secret_append(&state->body, bytes_of(data, *data_size));
    /* libmicrohttpd's memory, which it has no more use for. */
    explicit_bzero((void *)(uintptr_t)data, *data_size);
    *data_size = 0;
    return MHD_YES;
}

static void on_end(void *context, struct MHD_Connection *c, void **own,
                   enum MHD_RequestTerminationCode code)
{
    struct exchange_state *state = *own;

    (void)context;
    (void)c;
    (void)code;
    if (state == NULL)
        return;
    secret_buffer_free(&state->body);
    free(state);
    *own = NULL;
}

static void log_line(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void log_line(void *context, const char *format, va_list arguments)
{
    char line[512];
    size_t size;

    (void)context;
    vsnprintf(line, sizeof(line), format, arguments);
    size = strlen(line);
    if (size != 0 && line[size - 1] == '\n')
        line[size - 1] = '\0';
    log_warning("admin", "%s", line);
}

int http_start(struct http *h, int fd, struct broker *b, struct asker *asker)
{
    *h = (struct http){.broker = b, .asker = asker, .started_ms = clock_monotonic_ms()};
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER,
        log_line, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_end,
        NULL, MHD_OPTION_END);
    return h->daemon != NULL ? 0 : -(errno != 0 ? errno : EIO);
}

static unsigned connection_count(const struct http *h)
{
    return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* A daemon that has all the connections it may have does not listen. It begins again in the run
 * behind the one in which some ended, for which no event comes. */
static void handle_events(struct http *h)
{
    unsigned before;

    do {
        before = connection_count(h);
        MHD_run(h->daemon);
    } while (connection_count(h) < before);
}

void http_run(struct http *h, int stop_fd)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[] = {{.fd = stop_fd, .events = POLLIN},
                           {.fd = info->epoll_fd, .events = POLLIN}};

    for (;;) {
        MHD_UNSIGNED_LONG_LONG timeout_ms;
        int wait_ms = MHD_get_timeout(h->daemon, &timeout_ms) == MHD_YES ? (int)timeout_ms : -1;

        if (poll(fds, 2, wait_ms) < 0 && errno != EINTR) {
            log_error("admin", "cannot wait for requests: %s", strerror(errno));
            return;
        }
        if (fds[0].revents != 0)
            return;
        handle_events(h);
    }
}

void http_stop(struct http *h)
{
    MHD_stop_daemon(h->daemon);
    h->daemon = NULL;
}
