/* Listing users and what they may do. */
#include "auth/user.h"
#include "base/memory.h"
#include "session/broker_users.h"

#include <stdlib.h>

static void visit_permissions(const struct auth_user *u, const struct user_permissions *p,
                              const struct broker_users_visitor *v)
{
    if (p->set != NULL && v->permission != NULL)
        v->permission(v->context,
                      &(struct broker_permission_info){
                          .permission =
                              {
                                  .user = u->name,
                                  .vhost = p->vhost,
                                  .configure = permission_set_text(p->set, PERMISSION_CONFIGURE),
                                  .write = permission_set_text(p->set, PERMISSION_WRITE),
                                  .read = permission_set_text(p->set, PERMISSION_READ),
                              },
                          .from_file = p->origin == AUTH_ORIGIN_FILE,
                      });
    for (size_t i = 0; v->topic_permission != NULL && i < topic_permissions_count(p->topics); i++) {
        const struct topic_permission *t = topic_permissions_at(p->topics, i);
        const struct broker_topic_permission_info info = {
            .permission =
                {
                    .user = u->name,
                    .vhost = p->vhost,
                    .exchange = topic_permission_exchange(t),
                    .write = topic_permission_write(t),
                    .read = topic_permission_read(t),
                },
            .from_file = topic_permission_from_file(t),
        };

        v->topic_permission(v->context, &info);
    }
}

static void visit_user(void *context, const struct auth_user *u)
{
    const struct broker_users_visitor *v = context;
    struct broker_user_info info = {
        .name = u->name,
        .tags = u->tags,
        .loopback_only = u->loopback_only,
        .from_file = u->origin == AUTH_ORIGIN_FILE,
        .limits = {.max_connections = u->max_connections, .max_channels = u->max_channels},
        .connections = atomic_load(&u->account->connections),
        .channels = atomic_load(&u->account->channels),
    };
    struct hash_node *node = hash_map_first(&u->permissions);

    if (v->user != NULL) {
        char *hash = u->has_password ? password_hash_text(&u->hash) : NULL;

        info.password_hash = hash;
        v->user(v->context, &info);
        free(hash);
    }
    for (; node != NULL; node = hash_map_next(&u->permissions, node))
        visit_permissions(u, container_of(node, struct user_permissions, by_vhost), v);
}

void broker_users_visit(const struct broker_users_visitor *v)
{
    struct auth_database *db = auth_database_current();

    user_table_each(auth_database_table(db), visit_user, (void *)(uintptr_t)v);
    auth_database_unref(db);
}

bool broker_user_visit(struct bytes name, const struct broker_users_visitor *v)
{
    struct auth_database *db = auth_database_current();
    const struct auth_user *u = auth_find_user(db, name);

    if (u != NULL)
        visit_user((void *)(uintptr_t)v, u);
    auth_database_unref(db);
    return u != NULL;
}
