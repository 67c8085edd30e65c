#include "admin/list_users.h"

#include "admin/api.h"
#include "admin/json_value.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/broker_parameters.h"
#include "session/broker_users.h"

#include <string.h>

const char *const USER_KEY[] = {"name", NULL};
const char *const PERMISSION_KEY[] = {"vhost", "user", NULL};
const char *const TOPIC_PERMISSION_KEY[] = {"vhost", "user", "exchange", NULL};

struct rows {
    struct broker *broker;
    struct listing *listing;
    struct bytes vhost; /* the only one wanted; empty: all */
};

/* ---- Users ---- */

static json_t *tag_list(struct bytes tags)
{
    json_t *list = json_array();

    while (tags.size != 0) {
        const uint8_t *comma = memchr(tags.data, ',', tags.size);
        size_t size = comma != NULL ? (size_t)(comma - tags.data) : tags.size;

        json_array_append_new(list, json_from_bytes(bytes_of(tags.data, size)));
        size += comma != NULL;
        tags = bytes_of(tags.data + size, tags.size - size);
    }
    return list;
}

/* RabbitMQ names the way of hashing beside the hash. */
static void set_hash(json_t *row, const char *text)
{
    const char *colon = text != NULL ? strchr(text, ':') : NULL;

    if (colon != NULL) {
        json_object_set_new(row, "password_hash", json_string(colon + 1));
        json_object_set_new(row, "hashing_algorithm", json_stringn(text, (size_t)(colon - text)));
        return;
    }
    json_object_set_new(row, "password_hash", json_string(text != NULL ? text : ""));
    json_object_set_new(row, "hashing_algorithm",
                        json_string(text != NULL ? "leveret_password_hashing_scrypt"
                                                 : "rabbit_password_hashing_sha256"));
}

static json_t *limits_of(const struct broker_user_limits *limits)
{
    json_t *found = json_object();

    if (limits->max_connections >= 0)
        json_object_set_new(found, "max-connections", json_integer(limits->max_connections));
    if (limits->max_channels >= 0)
        json_object_set_new(found, "max-channels", json_integer(limits->max_channels));
    return found;
}

static void add_user(void *context, const struct broker_user_info *u)
{
    const struct rows *r = context;
    json_t *row = json_object();

    json_object_set_new(row, "name", json_from_bytes(u->name));
    set_hash(row, u->password_hash);
    json_object_set_new(row, "tags", tag_list(u->tags));
    json_object_set_new(row, "limits", limits_of(&u->limits));
    listing_add(r->listing, row);
}

void list_users(struct broker *b, struct listing *l)
{
    struct rows r = {.broker = b, .listing = l};
    const struct broker_users_visitor visitor = {.context = &r, .user = add_user};

    broker_users_visit(&visitor);
}

/* ---- Permissions ---- */

static bool is_wanted(const struct rows *r, struct bytes vhost)
{
    return r->vhost.size == 0 || bytes_equal(r->vhost, vhost);
}

static json_t *text(const char *pattern)
{
    return json_from_bytes(bytes_from_string(pattern));
}

static void add_permission(void *context, const struct broker_permission_info *i)
{
    const struct broker_permission *p = &i->permission;
    const struct rows *r = context;
    json_t *row;

    if (!is_wanted(r, p->vhost))
        return;
    row = json_object();
    json_object_set_new(row, "user", json_from_bytes(p->user));
    json_object_set_new(row, "vhost", json_from_bytes(p->vhost));
    json_object_set_new(row, "configure", text(p->configure));
    json_object_set_new(row, "write", text(p->write));
    json_object_set_new(row, "read", text(p->read));
    listing_add(r->listing, row);
}

void list_permissions(struct bytes vhost, struct listing *l)
{
    struct rows r = {.listing = l, .vhost = vhost};
    const struct broker_users_visitor visitor = {.context = &r, .permission = add_permission};

    broker_users_visit(&visitor);
}

static void add_topic_permission(void *context, const struct broker_topic_permission_info *i)
{
    const struct broker_topic_permission *p = &i->permission;
    const struct rows *r = context;
    json_t *row;

    if (!is_wanted(r, p->vhost))
        return;
    row = json_object();
    json_object_set_new(row, "user", json_from_bytes(p->user));
    json_object_set_new(row, "vhost", json_from_bytes(p->vhost));
    json_object_set_new(row, "exchange", json_from_bytes(p->exchange));
    json_object_set_new(row, "write", text(p->write));
    json_object_set_new(row, "read", text(p->read));
    listing_add(r->listing, row);
}

void list_topic_permissions(struct bytes vhost, struct listing *l)
{
    struct rows r = {.listing = l, .vhost = vhost};
    const struct broker_users_visitor visitor = {.context = &r,
                                                 .topic_permission = add_topic_permission};

    broker_users_visit(&visitor);
}

/* ---- The API ---- */

void api_users(const struct api_request *r, struct api_answer *answer)
{
    struct listing l;

    listing_init(&l, USER_KEY, r->columns);
    list_users(r->broker, &l);
    listing_write(&l, &answer->body);
    listing_free(&l);
}

static void answer_permissions(const struct api_request *r, struct api_answer *answer,
                               const char *const *key,
                               void (*list)(struct bytes vhost, struct listing *l))
{
    struct bytes vhost = api_vhost_named(r);
    struct listing l;

    if (!api_check_vhost(r, answer))
        return;
    listing_init(&l, key, r->columns);
    list(vhost, &l);
    listing_write(&l, &answer->body);
    listing_free(&l);
}

void api_permissions(const struct api_request *r, struct api_answer *answer)
{
    answer_permissions(r, answer, PERMISSION_KEY, list_permissions);
}

void api_topic_permissions(const struct api_request *r, struct api_answer *answer)
{
    answer_permissions(r, answer, TOPIC_PERMISSION_KEY, list_topic_permissions);
}
