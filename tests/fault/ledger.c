#include "tests/fault/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ledger_init(struct ledger *l)
{
    memset(l, 0, sizeof(*l));
    pthread_mutex_init(&l->lock, NULL);
}

void ledger_free(struct ledger *l)
{
    free(l->messages);
    pthread_mutex_destroy(&l->lock);
}

void ledger_violation(struct ledger *l, const char *format, ...)
{
    char line[512];
    va_list list;

    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (__atomic_fetch_add(&l->violations, 1, __ATOMIC_RELAXED) < 20)
        fprintf(stderr, "%s: %s\n", l->context, line);
}

void ledger_next_life(struct ledger *l)
{
    l->life++;
    for (uint32_t id = 0; id < l->count; id++) {
        if (!l->messages[id].persistent)
            l->messages[id].gone = l->messages[id].targets;
    }
}

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

uint32_t ledger_add(struct ledger *l, uint16_t publisher, uint32_t targets, bool persistent)
{
    uint32_t id;

    pthread_mutex_lock(&l->lock);
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? 2 * l->capacity : 65536;
        l->messages = realloc(l->messages, l->capacity * sizeof(*l->messages));
        if (l->messages == NULL)
            abort();
    }
    id = l->count++;
    l->messages[id] = (struct ledger_message){
        .published = targets,
        .targets = targets,
        .publisher = publisher,
        .life = l->life,
        .persistent = persistent,
    };
    pthread_mutex_unlock(&l->lock);
    return id;
}

void ledger_confirm(struct ledger *l, uint32_t id)
{
    struct ledger_message *m;

    pthread_mutex_lock(&l->lock);
    m = &l->messages[id];
    m->confirmed = true;
    if (m->persistent)
        m->promised |= m->published;
    pthread_mutex_unlock(&l->lock);
}

void ledger_confirm_at(struct ledger *l, uint32_t id, int queue)
{
    pthread_mutex_lock(&l->lock);
    if (l->messages[id].persistent)
        l->messages[id].promised |= 1u << queue;
    pthread_mutex_unlock(&l->lock);
}

size_t ledger_body(uint32_t id, uint8_t body[LEDGER_MAX_BODY])
{
    uint32_t x = mix(id + 1);
    size_t size;

    /* Mostly small, some of many kilobytes, some empty. */
    switch (x % 16) {
    case 0:
        size = 0;
        break;
    case 1:
        size = mix(x) % LEDGER_MAX_BODY;
        break;
    case 2:
    case 3:
        size = mix(x) % 4096;
        break;
    default:
        size = mix(x) % 300;
        break;
    }
    for (size_t i = 0; i < size; i += 4) {
        uint32_t word = x + (uint32_t)i * 2654435761u;

        memcpy(body + i, &word, size - i < 4 ? size - i : 4);
    }
    return size;
}

void ledger_publish_properties(const struct ledger_message *m, uint32_t id,
                               char text[LEDGER_ID_SIZE], amqp_basic_properties_t *out)
{
    snprintf(text, LEDGER_ID_SIZE, "%u", id);
    *out = (amqp_basic_properties_t){
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG,
        .delivery_mode = m->persistent ? 2 : 1,
        .message_id = amqp_cstring_bytes(text),
    };
}

/* The number in the message's id, with the message compared to what was published. */
static uint32_t identify(struct ledger *l, int queue, const struct link_event *e)
{
    static _Thread_local uint8_t body[LEDGER_MAX_BODY];
    char text[LEDGER_ID_SIZE];
    uint32_t id;
    size_t size;

    if (!(e->properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) ||
        e->properties->message_id.len >= sizeof(text)) {
        ledger_violation(l, "%s: a message without its id", l->queue_names[queue]);
        return UINT32_MAX;
    }
    memcpy(text, e->properties->message_id.bytes, e->properties->message_id.len);
    text[e->properties->message_id.len] = '\0';
    id = (uint32_t)strtoul(text, NULL, 10);
    if (id >= l->count) {
        ledger_violation(l, "%s: message '%s' was never published", l->queue_names[queue], text);
        return UINT32_MAX;
    }
    size = ledger_body(id, body);
    if (size != e->body_size || (size != 0 && memcmp(body, e->body, size) != 0))
        ledger_violation(l, "%s: message %u has another content (%zu bytes, not %zu)",
                         l->queue_names[queue], id, e->body_size, size);
    if (e->properties->delivery_mode != (l->messages[id].persistent ? 2 : 1))
        ledger_violation(l, "%s: message %u has delivery mode %u", l->queue_names[queue], id,
                         e->properties->delivery_mode);
    return id;
}

static void check_one(struct ledger *l, int queue, uint32_t id, bool redelivered)
{
    const struct ledger_message *m = &l->messages[id];
    uint32_t bit = 1u << queue;

    if (!(m->targets & bit))
        ledger_violation(l, "%s: message %u was not published here", l->queue_names[queue], id);
    /* Rejected once more after a restart it is a dead letter once more, whatever became of the
     * first one. */
    if (!(m->published & bit) && m->rejects > 1)
        return;
    if (m->gone & bit)
        ledger_violation(l, "%s: message %u is back (confirmed %d, persistent %d, settled %d)",
                         l->queue_names[queue], id, m->confirmed, m->persistent,
                         (m->settle_sent & bit) != 0);
    if ((m->marked & bit) && !redelivered)
        ledger_violation(l, "%s: message %u was delivered before and comes without redelivered",
                         l->queue_names[queue], id);
}

/* It is in the queue (again) that it was rejected at. */
static void forget_reject(struct ledger_message *m, int queue)
{
    if (m->rejected_at == 1u << queue)
        m->rejected_at = m->owed_at = 0;
}

uint32_t ledger_delivered(struct ledger *l, int queue, const struct link_event *e, bool redelivered)
{
    uint32_t id;

    pthread_mutex_lock(&l->lock);
    id = identify(l, queue, e);
    if (id != UINT32_MAX) {
        check_one(l, queue, id, redelivered);
        l->messages[id].delivered |= 1u << queue;
        forget_reject(&l->messages[id], queue);
    }
    pthread_mutex_unlock(&l->lock);
    return id;
}

void ledger_settle_sent(struct ledger *l, uint32_t id, int queue)
{
    pthread_mutex_lock(&l->lock);
    l->messages[id].settle_sent |= 1u << queue;
    pthread_mutex_unlock(&l->lock);
}

void ledger_settled(struct ledger *l, uint32_t id, int queue)
{
    pthread_mutex_lock(&l->lock);
    l->messages[id].gone |= 1u << queue;
    pthread_mutex_unlock(&l->lock);
}

void ledger_reject_sent(struct ledger *l, uint32_t id, int queue, int dead)
{
    struct ledger_message *m;

    pthread_mutex_lock(&l->lock);
    m = &l->messages[id];
    m->settle_sent |= 1u << queue;
    m->targets |= 1u << dead;
    m->gone &= ~(1u << dead);
    m->marked &= ~(1u << dead); /* of an earlier letter: this one has not been delivered */
    m->rejected_at = 1u << queue;
    m->owed_at = 1u << dead;
    m->rejects++;
    pthread_mutex_unlock(&l->lock);
}

void ledger_mark(struct ledger *l, uint32_t id, int queue)
{
    pthread_mutex_lock(&l->lock);
    l->messages[id].marked |= 1u << queue;
    pthread_mutex_unlock(&l->lock);
}

/* ---- Inspection ---- */

void ledger_inspect_begin(struct ledger_inspection *i, int queue, bool ordered)
{
    memset(i, 0, sizeof(*i));
    i->queue = queue;
    i->ordered = ordered;
    memset(i->last_of, 0xff, sizeof(i->last_of));
}

static void note_seen(struct ledger_inspection *i, uint32_t id)
{
    if (i->seen_count == i->seen_capacity) {
        i->seen_capacity = i->seen_capacity != 0 ? 2 * i->seen_capacity : 1024;
        i->seen = realloc(i->seen, i->seen_capacity * sizeof(*i->seen));
        if (i->seen == NULL)
            abort();
    }
    i->seen[i->seen_count++] = id;
}

uint32_t ledger_inspect(struct ledger *l, struct ledger_inspection *i, const struct link_event *e,
                        bool redelivered)
{
    const char *name = l->queue_names[i->queue];
    uint32_t bit = 1u << i->queue;
    const struct ledger_message *m;
    uint32_t id;

    pthread_mutex_lock(&l->lock);
    id = identify(l, i->queue, e);
    if (id != UINT32_MAX) {
        m = &l->messages[id];
        check_one(l, i->queue, id, redelivered);
        if (!m->persistent)
            ledger_violation(l, "%s: transient message %u outlived its broker", name, id);
        if (i->ordered && i->last_of[m->publisher] >= (int64_t)id)
            ledger_violation(l, "%s: message %u of publisher %u comes after %lld", name, id,
                             m->publisher, (long long)i->last_of[m->publisher]);
        i->last_of[m->publisher] = id;
        if (redelivered && !(m->delivered & bit))
            i->flagged_unseen++;
        note_seen(i, id);
    }
    pthread_mutex_unlock(&l->lock);
    return id;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* How often message `id` was seen; `position` runs along the sorted list. */
static uint32_t times_seen(const struct ledger_inspection *i, uint32_t id, uint32_t *position)
{
    uint32_t times = 0;

    while (*position < i->seen_count && i->seen[*position] == id) {
        times++;
        (*position)++;
    }
    return times;
}

void ledger_inspect_end(struct ledger *l, struct ledger_inspection *i)
{
    const char *name = l->queue_names[i->queue];
    uint32_t bit = 1u << i->queue;
    uint32_t position = 0;

    pthread_mutex_lock(&l->lock);
    if (i->seen_count != 0)
        qsort(i->seen, i->seen_count, sizeof(*i->seen), compare_ids);
    for (uint32_t id = 0; id < l->count; id++) {
        struct ledger_message *m = &l->messages[id];
        uint32_t times;

        if (!(m->targets & bit))
            continue;
        times = times_seen(i, id, &position);
        if (times > 1 && (i->ordered || times > m->rejects))
            ledger_violation(l, "%s: message %u is there %u times", name, id, times);
        if (times == 0 && (m->promised & bit) && !(m->settle_sent & bit) && !(m->gone & bit))
            ledger_violation(l,
                             "%s: message %u of publisher %u is lost (confirmed %d, delivered %d, "
                             "marked %d, rejects %u; of life %u, now %u)",
                             name, id, m->publisher, m->confirmed, (m->delivered & bit) != 0,
                             (m->marked & bit) != 0, m->rejects, m->life, l->life);
        if (times == 0 && m->rejected_at == bit && (m->promised & bit))
            m->promised |= m->owed_at;
        if (times == 0) {
            /* A dead letter that is owed may come yet, when its message is rejected once more. */
            if (m->owed_at != bit)
                m->gone |= bit;
            continue;
        }
        forget_reject(m, i->queue);
        m->promised |= bit;
        m->settle_sent &= ~bit;
        m->delivered |= bit;
    }
    if (i->flagged_unseen > l->unseen_allowed[i->queue])
        ledger_violation(l, "%s: %u messages are marked redelivered that never came (at most %u)",
                         name, i->flagged_unseen, l->unseen_allowed[i->queue]);
    l->unseen_allowed[i->queue] = 0;
    pthread_mutex_unlock(&l->lock);
    free(i->seen);
}
