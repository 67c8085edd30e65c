#include "admin/http.h"

#include "admin/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "session/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IDLE_TIMEOUT_S = 60,
    /* Largest bodies that there is room for at the same time. */
    BODIES_MAX = 2,
};

/* A request that is coming in. */
struct exchange_state {
    struct buffer body;   /* may have passwords */
    uint64_t body_length; /* what the head says; 0: nothing, or nothing that could be */
    unsigned refusal;     /* the status with which its body is refused; 0: none */
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

static void drop_body(struct http *h, struct exchange_state *state)
{
    h->body_bytes -= state->body.size;
    secret_buffer_free(&state->body);
}

static void answer_refusal(const struct http *h, const struct exchange_state *state,
                           struct api_answer *answer)
{
    buffer_init(&answer->body);
    if (state->refusal == MHD_HTTP_CONTENT_TOO_LARGE)
        api_fail(answer, state->refusal,
                 "a body has at most %" PRIu64 " bytes (admin.max_body_size)", h->body_max);
    else
        api_fail(answer, state->refusal,
                 "the bodies of other requests take the room that there is: %d times %" PRIu64
                 " bytes (admin.max_body_size)",
                 BODIES_MAX, h->body_max);
}

static enum MHD_Result answer_request(struct http *h, struct MHD_Connection *c, const char *path,
                                      const char *method, struct exchange_state *state)
{
    const char *columns = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "columns");
    struct api_answer answer = {.status = 0};
    struct api_request *r;

    if (state->refusal != 0) {
        answer_refusal(h, state, &answer);
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
    drop_body(h, state);
    return send_answer(c, &answer);
}

/* The body's place is made once, as far as the head says how large it is. */
static void take_body(struct http *h, struct exchange_state *state, struct bytes piece)
{
    if (state->refusal != 0)
        return;
    if (state->body.size + piece.size > h->body_max)
        state->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
    else if (h->body_bytes + piece.size > BODIES_MAX * h->body_max)
        state->refusal = MHD_HTTP_SERVICE_UNAVAILABLE;
    if (state->refusal != 0) {
        drop_body(h, state);
        return;
    }
    if (state->body.size == 0 && state->body_length > piece.size)
        secret_reserve(&state->body, state->body_length);
    secret_append(&state->body, piece);
    h->body_bytes += piece.size;
}

static uint64_t body_length(const struct http *h, struct MHD_Connection *c)
{
    const char *text =
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t length = text != NULL ? strtoull(text, NULL, 10) : 0;

    return length <= h->body_max ? length : 0;
}

/* Called when the head of a request has come, for each piece of its body, and at its end. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **own)
{
    struct exchange_state *state = *own;

    (void)version;
    if (state == NULL) {
        state = memory_alloc_zeroed(1, sizeof(*state));
        state->body_length = body_length(context, c);
        *own = state;
        return MHD_YES;
    }
    if (*data_size == 0)
        return answer_request(context, c, url, method, state);
    take_body(context, state, bytes_of(data, *data_size));
    /* libmicrohttpd's memory, which it has no more use for. */
    explicit_bzero((void *)(uintptr_t)data, *data_size);
    *data_size = 0;
    return MHD_YES;
}

static void on_end(void *context, struct MHD_Connection *c, void **own,
                   enum MHD_RequestTerminationCode code)
{
    struct exchange_state *state = *own;

    (void)c;
    (void)code;
    if (state == NULL)
        return;
    drop_body(context, state);
    free(state);
    *own = NULL;
}

static void log_line(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void log_line(void *context, const char *format, va_list arguments)
{
    struct http *h = context;
    char line[512];
    size_t size;

    if (!log_quota_take(&h->complaints, clock_monotonic_ms()))
        return;
    vsnprintf(line, sizeof(line), format, arguments);
    size = strlen(line);
    if (size != 0 && line[size - 1] == '\n')
        line[size - 1] = '\0';
    log_warning("admin", "%s", line);
}

static void tell_of_left_out(struct http *h)
{
    uint32_t left_out = log_quota_tell(&h->complaints);

    if (left_out != 0)
        log_warning("admin", "%u more complaints about requests; %u a second are listed", left_out,
                    log_quota_lines(&h->complaints));
}

int http_start(struct http *h, int fd, struct broker *b, struct asker *asker)
{
    *h = (struct http){.broker = b,
                       .asker = asker,
                       .started_ms = clock_monotonic_ms(),
                       .connections_max = b->server->config->admin.max_connections,
                       .body_max = b->server->config->admin.max_body_size_bytes};
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
                                 MHD_OPTION_EXTERNAL_LOGGER, log_line, h, MHD_OPTION_LISTEN_SOCKET,
                                 fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)h->connections_max,
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
                                 MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
                                 MHD_OPTION_NOTIFY_COMPLETED, on_end, h, MHD_OPTION_END);
    return h->daemon != NULL ? 0 : -(errno != 0 ? errno : EIO);
}

static unsigned connection_count(const struct http *h)
{
    return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

static void tell_whether_full(struct http *h)
{
    bool was_full = h->is_full;

    h->is_full = connection_count(h) >= h->connections_max;
    if (h->is_full && !was_full && log_quota_take(&h->complaints, clock_monotonic_ms()))
        log_warning("admin",
                    "the limit of %u connections (admin.max_connections) is reached: "
                    "others wait for their turn",
                    h->connections_max);
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
    tell_whether_full(h);
}

/* Until libmicrohttpd or what there is to tell wants its turn; -1: for ever. */
static int wait_ms(const struct http *h)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    int wait = MHD_get_timeout(h->daemon, &timeout_ms) == MHD_YES ? (int)timeout_ms : -1;
    int64_t tell;

    if (h->complaints.left_out == 0)
        return wait;
    tell = h->complaints.end_ms - clock_monotonic_ms();
    if (tell < 0)
        tell = 0;
    return wait < 0 || tell < wait ? (int)tell : wait;
}

void http_run(struct http *h, int stop_fd)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[] = {{.fd = stop_fd, .events = POLLIN},
                           {.fd = info->epoll_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, wait_ms(h)) < 0 && errno != EINTR) {
            log_error("admin", "cannot wait for requests: %s", strerror(errno));
            return;
        }
        if (fds[0].revents != 0)
            return;
        handle_events(h);
        if (clock_monotonic_ms() >= h->complaints.end_ms)
            tell_of_left_out(h);
    }
}

void http_stop(struct http *h)
{
    MHD_stop_daemon(h->daemon);
    tell_of_left_out(h);
    h->daemon = NULL;
}
