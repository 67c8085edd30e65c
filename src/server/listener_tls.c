#include "server/listener_tls.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HOUR_S = 60 * 60,
    DAY_S = 24 * HOUR_S,
    WARN_BEFORE_S = 30 * DAY_S,
    /* Lists are made anew all the time: that there is a share of one left is no news. */
    LIST_WARN_SHARE = 5,
};

/* ---- From the configuration ---- */

static int load(struct tls_context **out, const struct config_tls *tls, char *error)
{
    struct tls_identity *identities =
        memory_alloc_zeroed(tls->certificates.count + 1, sizeof(*identities));
    struct tls_options o = {
        .identities = identities,
        .identity_count = tls->certificates.count + 1,
        .ca = tls->ca,
        .crl = tls->crl,
        .crl_check = tls->crl_check,
        .verify = tls->verify,
        .depth = tls->depth,
        .min_version = tls->min_version,
        .max_version = tls->max_version,
        .ciphers = tls->ciphers,
        .ciphersuites = tls->ciphersuites,
        .curves = tls->curves,
        .session_tickets = tls->session_tickets,
        .ticket_rotation_s = tls->ticket_rotation_s,
        .kernel_tls = tls->kernel_tls,
        .user_from = tls->user_from,
        .user_san_index = tls->user_san_index,
        .user_pattern = tls->user_pattern,
    };
    int rc;

    identities[0] = (struct tls_identity){.certificate = tls->certificate,
                                          .key = tls->key,
                                          .passphrase_file = tls->key_passphrase_file};
    for (size_t i = 0; i < tls->certificates.count; i++) {
        const struct config_certificate *more = &tls->certificates.items[i];

        identities[i + 1] = (struct tls_identity){.certificate = more->certificate,
                                                  .key = more->key,
                                                  .passphrase_file = more->key_passphrase_file};
    }
    rc = tls_context_create(out, &o, error);
    free(identities);
    return rc;
}

int tls_contexts_load(struct tls_contexts *out, const struct config *config,
                      struct config_problems *problems)
{
    char error[TLS_ERROR_SIZE] = "";
    bool good = true;

    out->count = config->listeners.count;
    out->items = memory_alloc_zeroed(out->count, sizeof(struct tls_context *));
    for (size_t i = 0; i < out->count; i++) {
        const struct config_listener *l = &config->listeners.items[i];

        if (l->tls.certificate == NULL || load(&out->items[i], &l->tls, error) == 0)
            continue;
        config_problems_add(problems, config->file, l->tls_line, "TLS: %s", error);
        good = false;
    }
    if (good)
        return 0;
    tls_contexts_release(out);
    return -EINVAL;
}

void tls_contexts_release(struct tls_contexts *t)
{
    for (size_t i = 0; i < t->count; i++)
        tls_context_unref(t->items[i]);
    free(t->items);
    *t = (struct tls_contexts){.items = NULL};
}

/* ---- In use ---- */

static void make_proxies(struct server_listener *l)
{
    const struct config_names *networks = &l->config->proxy_protocol.networks;

    l->proxy_count = networks->count;
    l->proxies = memory_alloc_zeroed(networks->count, sizeof(*l->proxies));
    for (size_t i = 0; i < networks->count; i++) {
        if (network_parse(&l->proxies[i], (const char *)networks->items[i].name.data) < 0)
            abort(); /* checked with the configuration */
    }
}

bool server_listener_is_proxy(const struct server_listener *l, const struct socket_address *peer)
{
    for (size_t i = 0; i < l->proxy_count; i++) {
        if (network_holds(&l->proxies[i], peer))
            return true;
    }
    return false;
}

void server_listeners_init(struct server *s)
{
    s->listener_count = s->config->listeners.count;
    s->listeners = memory_alloc_zeroed(s->listener_count, sizeof(*s->listeners));
    for (size_t i = 0; i < s->listener_count; i++) {
        s->listeners[i].config = &s->config->listeners.items[i];
        pthread_mutex_init(&s->listeners[i].lock, NULL);
        make_proxies(&s->listeners[i]);
    }
}

void server_listeners_release(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        pthread_mutex_destroy(&s->listeners[i].lock);
        tls_context_unref(s->listeners[i].tls);
        free(s->listeners[i].proxies);
        free(s->listeners[i].sockets);
    }
    free(s->listeners);
}

static bool same_address(const struct config_listener *a, const struct config_listener *b)
{
    return a->port == b->port && strcmp(a->address, b->address) == 0;
}

/* The context that `configured` has for the listener at place `i`: several may have port 0. */
static struct tls_context **find_context(const struct config_listener *l, size_t i,
                                         const struct config_listeners *configured,
                                         struct tls_contexts *contexts)
{
    if (i < configured->count && same_address(l, &configured->items[i]))
        return &contexts->items[i];
    for (size_t j = 0; j < configured->count; j++) {
        if (same_address(l, &configured->items[j]))
            return &contexts->items[j];
    }
    return NULL;
}

static void use(struct server_listener *l, struct tls_context *next)
{
    struct tls_context *former;

    if (l->tls != NULL)
        tls_context_inherit(next, l->tls);
    pthread_mutex_lock(&l->lock);
    former = l->tls;
    l->tls = next;
    pthread_mutex_unlock(&l->lock);
    tls_context_unref(former);
}

void server_use_tls(struct server *s, const struct config *config, struct tls_contexts *contexts)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        struct server_listener *l = &s->listeners[i];
        struct tls_context **next = find_context(l->config, i, &config->listeners, contexts);
        bool speaks_tls = l->config->tls.certificate != NULL;

        if (next != NULL && *next != NULL && speaks_tls) {
            use(l, *next);
            *next = NULL;
        } else if (next == NULL || speaks_tls || *next != NULL) {
            log_warning("server", "the listener on %s port %u goes on as it is until a restart",
                        l->config->address, (unsigned)l->config->port);
        }
    }
    tls_contexts_release(contexts);
}

struct tls_context *server_listener_tls(struct server_listener *l)
{
    struct tls_context *c = NULL;

    pthread_mutex_lock(&l->lock);
    if (l->tls != NULL)
        c = tls_context_ref(l->tls);
    pthread_mutex_unlock(&l->lock);
    return c;
}

/* ---- What expires ---- */

/* What it is that expires, before its name. */
static const char *const KINDS[] = {
    [TLS_EXPIRY_CERTIFICATE] = "certificate of",
    [TLS_EXPIRY_INTERMEDIATE] = "intermediate certificate of",
    [TLS_EXPIRY_AUTHORITY] = "certificate of the authority",
    [TLS_EXPIRY_LIST] = "revocation list of",
};

/* From when on it is warned of. */
static time_t warning_begin(const struct tls_expiry *e)
{
    int64_t before_s = WARN_BEFORE_S;

    if (e->kind == TLS_EXPIRY_LIST && (e->when - e->begin) / LIST_WARN_SHARE < before_s)
        before_s = (e->when - e->begin) / LIST_WARN_SHARE;
    return e->when - (time_t)before_s;
}

/* "10 days", "7 hours". */
static void format_left(int64_t left_s, char out[32])
{
    if (left_s < DAY_S)
        snprintf(out, 32, "%" PRId64 " hours", left_s / HOUR_S);
    else
        snprintf(out, 32, "%" PRId64 " days", left_s / DAY_S);
}

static void warn(const struct tls_expiry *e, time_t now)
{
    bool refuses = e->kind == TLS_EXPIRY_LIST && e->is_needed;
    char date[32] = "";
    char left[32];
    struct tm t;

    if (gmtime_r(&e->when, &t) != NULL)
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &t);
    format_left(e->when - now, left);
    if (e->when <= now)
        log_error("tls", "%s: the %s %s has expired (%s)%s", e->path, KINDS[e->kind], e->name, date,
                  refuses ? ": all clients of that authority are refused (tls.crl_check)" : "");
    else
        log_warning("tls", "%s: the %s %s expires in %s (%s)%s", e->path, KINDS[e->kind], e->name,
                    left, date,
                    refuses ? ", when all clients of that authority will be refused (tls.crl_check)"
                            : "");
}

static bool is_same(const struct tls_expiry *a, const struct tls_expiry *b)
{
    return a->kind == b->kind && a->when == b->when && a->is_needed == b->is_needed &&
           strcmp(a->path, b->path) == 0 && strcmp(a->name, b->name) == 0;
}

/* Whether a listener before the one at place `i` has it too. */
static bool is_told(struct tls_context *const *contexts, size_t i, const struct tls_expiry *e)
{
    for (size_t j = 0; j < i; j++) {
        for (size_t k = 0; contexts[j] != NULL && k < tls_context_expiry_count(contexts[j]); k++) {
            if (is_same(tls_context_expiry(contexts[j], k), e))
                return true;
        }
    }
    return false;
}

void server_warn_of_expiry(struct server *s)
{
    struct tls_context **contexts =
        memory_alloc_zeroed(s->listener_count, sizeof(struct tls_context *));
    time_t now = (time_t)(clock_realtime_ms() / 1000);

    for (size_t i = 0; i < s->listener_count; i++) {
        contexts[i] = server_listener_tls(&s->listeners[i]);
        for (size_t k = 0; contexts[i] != NULL && k < tls_context_expiry_count(contexts[i]); k++) {
            const struct tls_expiry *e = tls_context_expiry(contexts[i], k);

            if (now >= warning_begin(e) && !is_told(contexts, i, e))
                warn(e, now);
        }
    }
    s->expiry_warned_at = now;
    for (size_t i = 0; i < s->listener_count; i++)
        tls_context_unref(contexts[i]);
    free(contexts);
}

/* To what has happened since the last look as well: it is due. */
static void bring_forward(int64_t *wait_s, time_t when, time_t since, time_t now)
{
    int64_t in_s = when > now ? when - now : 0;

    if (when > since && in_s < *wait_s)
        *wait_s = in_s;
}

int64_t server_next_expiry_s(struct server *s)
{
    time_t now = (time_t)(clock_realtime_ms() / 1000);
    int64_t wait_s = DAY_S;

    for (size_t i = 0; i < s->listener_count; i++) {
        struct tls_context *c = server_listener_tls(&s->listeners[i]);

        for (size_t k = 0; c != NULL && k < tls_context_expiry_count(c); k++) {
            const struct tls_expiry *e = tls_context_expiry(c, k);

            bring_forward(&wait_s, warning_begin(e), s->expiry_warned_at, now);
            bring_forward(&wait_s, e->when, s->expiry_warned_at, now);
        }
        tls_context_unref(c);
    }
    return wait_s;
}
