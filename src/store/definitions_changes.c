/* Changes of the definitions: each as a row of its table, or the row's key. */
#include "amqp/table.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "store/definitions.h"
#include "store/definitions_internal.h"

#include <stdint.h>

/* ---- Rows: in the order of the tables' columns, or of their keys ---- */

static void add_arguments(struct row *row, const struct table *arguments, struct buffer *encoded)
{
    buffer_init(encoded);
    if (arguments != NULL)
        amqp_table_encode_fields(arguments, encoded);
    row_add_bytes(row, buffer_bytes(encoded));
}

/* A value alone is the only field of a table, for tables are what can be encoded and decoded. */
static void add_value(struct row *row, const struct value *value, struct buffer *encoded)
{
    struct table alone = table_empty();
    struct arena arena;

    arena_init(&arena);
    table_append(&arena, &alone, bytes_of(NULL, 0), *value);
    add_arguments(row, &alone, encoded);
    arena_free(&arena);
}

static struct row name_row(struct bytes vhost, struct bytes name)
{
    struct row row = {.count = 0};

    row_add_bytes(&row, vhost);
    row_add_bytes(&row, name);
    return row;
}

static struct row three_names_row(struct bytes vhost, struct bytes a, struct bytes b)
{
    struct row row = name_row(vhost, a);

    row_add_bytes(&row, b);
    return row;
}

/* ---- Changes ---- */

static void change_vhost(struct definitions *d, enum change_kind kind, struct bytes name,
                         struct definitions_done done)
{
    struct row row = {.count = 0};

    row_add_bytes(&row, name);
    definitions_writer_add(d->writer, kind, &row, done);
}

static void change_binding(struct definitions *d, enum change_kind kind,
                           const struct binding_definition *b, struct definitions_done done)
{
    struct row row = name_row(b->vhost, b->destination);
    struct buffer arguments;

    row_add_integer(&row, b->to_exchange);
    row_add_bytes(&row, b->source);
    row_add_bytes(&row, b->routing_key);
    add_arguments(&row, b->arguments, &arguments);
    definitions_writer_add(d->writer, kind, &row, done);
    buffer_free(&arguments);
}

void definitions_add_vhost(struct definitions *d, struct bytes name, struct definitions_done done)
{
    change_vhost(d, CHANGE_ADD_VHOST, name, done);
}

void definitions_remove_vhost(struct definitions *d, struct bytes name,
                              struct definitions_done done)
{
    change_vhost(d, CHANGE_REMOVE_VHOST, name, done);
}

void definitions_add_user(struct definitions *d, const struct user_definition *u,
                          struct definitions_done done)
{
    struct row row = name_row(u->name, u->password_hash);

    row_add_bytes(&row, u->tags);
    definitions_writer_add(d->writer, CHANGE_ADD_USER, &row, done);
}

void definitions_remove_user(struct definitions *d, struct bytes name, struct definitions_done done)
{
    struct row row = {.count = 0};

    row_add_bytes(&row, name);
    definitions_writer_add(d->writer, CHANGE_REMOVE_USER, &row, done);
}

void definitions_add_permission(struct definitions *d, const struct permission_definition *p,
                                struct definitions_done done)
{
    struct row row = name_row(p->vhost, p->user);

    row_add_bytes(&row, p->configure);
    row_add_bytes(&row, p->write);
    row_add_bytes(&row, p->read);
    definitions_writer_add(d->writer, CHANGE_ADD_PERMISSION, &row, done);
}

void definitions_remove_permission(struct definitions *d, struct bytes vhost, struct bytes user,
                                   struct definitions_done done)
{
    struct row row = name_row(vhost, user);

    definitions_writer_add(d->writer, CHANGE_REMOVE_PERMISSION, &row, done);
}

void definitions_add_topic_permission(struct definitions *d,
                                      const struct topic_permission_definition *p,
                                      struct definitions_done done)
{
    struct row row = three_names_row(p->vhost, p->user, p->exchange);

    row_add_bytes(&row, p->write);
    row_add_bytes(&row, p->read);
    definitions_writer_add(d->writer, CHANGE_ADD_TOPIC_PERMISSION, &row, done);
}

void definitions_remove_topic_permission(struct definitions *d, struct bytes vhost,
                                         struct bytes user, struct bytes exchange,
                                         struct definitions_done done)
{
    struct row row = three_names_row(vhost, user, exchange);

    definitions_writer_add(d->writer, CHANGE_REMOVE_TOPIC_PERMISSION, &row, done);
}

void definitions_remove_topic_permissions(struct definitions *d, struct bytes vhost,
                                          struct bytes user, struct definitions_done done)
{
    struct row row = name_row(vhost, user);

    definitions_writer_add(d->writer, CHANGE_REMOVE_TOPIC_PERMISSIONS, &row, done);
}

void definitions_add_parameter(struct definitions *d, const struct parameter_definition *p,
                               struct definitions_done done)
{
    struct row row = three_names_row(p->vhost, p->component, p->name);
    struct buffer value;

    add_value(&row, p->value, &value);
    definitions_writer_add(d->writer, CHANGE_ADD_PARAMETER, &row, done);
    buffer_free(&value);
}

void definitions_remove_parameter(struct definitions *d, struct bytes vhost, struct bytes component,
                                  struct bytes name, struct definitions_done done)
{
    struct row row = three_names_row(vhost, component, name);

    definitions_writer_add(d->writer, CHANGE_REMOVE_PARAMETER, &row, done);
}

void definitions_add_policy(struct definitions *d, const struct policy_definition *p,
                            struct definitions_done done)
{
    struct row row = three_names_row(p->vhost, p->name, p->pattern);
    struct buffer definition;

    row_add_bytes(&row, p->apply_to);
    row_add_integer(&row, p->priority);
    row_add_integer(&row, p->operator_policy);
    add_arguments(&row, p->definition, &definition);
    definitions_writer_add(d->writer, CHANGE_ADD_POLICY, &row, done);
    buffer_free(&definition);
}

void definitions_remove_policy(struct definitions *d, struct bytes vhost, struct bytes name,
                               bool operator_policy, struct definitions_done done)
{
    struct row row = name_row(vhost, name);

    row_add_integer(&row, operator_policy);
    definitions_writer_add(d->writer, CHANGE_REMOVE_POLICY, &row, done);
}

/* Before its exchange: without one it means nothing. */
static void add_delays(struct definitions *d, const struct exchange_definition *e)
{
    struct row row = name_row(e->vhost, e->name);

    row_add_integer(&row, (int64_t)e->delays_id);
    row_add_integer(&row, e->delays_shard);
    definitions_writer_add(d->writer, CHANGE_ADD_DELAYS, &row,
                           (struct definitions_done){.call = NULL});
}

void definitions_add_exchange(struct definitions *d, const struct exchange_definition *e,
                              struct definitions_done done)
{
    struct row row = name_row(e->vhost, e->name);
    struct buffer arguments;

    if (e->delays_id != 0)
        add_delays(d, e);
    row_add_bytes(&row, e->type);
    row_add_integer(&row, e->auto_delete);
    row_add_integer(&row, e->internal);
    add_arguments(&row, e->arguments, &arguments);
    definitions_writer_add(d->writer, CHANGE_ADD_EXCHANGE, &row, done);
    buffer_free(&arguments);
}

void definitions_remove_exchange(struct definitions *d, struct bytes vhost, struct bytes name,
                                 struct definitions_done done)
{
    struct row row = name_row(vhost, name);

    definitions_writer_add(d->writer, CHANGE_REMOVE_EXCHANGE, &row, done);
}

void definitions_add_queue(struct definitions *d, const struct queue_definition *q,
                           struct definitions_done done)
{
    struct row row = name_row(q->vhost, q->name);
    struct buffer arguments;

    row_add_integer(&row, (int64_t)q->id);
    row_add_integer(&row, q->shard);
    row_add_integer(&row, q->auto_delete);
    add_arguments(&row, q->arguments, &arguments);
    definitions_writer_add(d->writer, CHANGE_ADD_QUEUE, &row, done);
    buffer_free(&arguments);
}

void definitions_remove_queue(struct definitions *d, struct bytes vhost, struct bytes name,
                              struct definitions_done done)
{
    struct row row = name_row(vhost, name);

    definitions_writer_add(d->writer, CHANGE_REMOVE_QUEUE, &row, done);
}

void definitions_add_binding(struct definitions *d, const struct binding_definition *b,
                             struct definitions_done done)
{
    change_binding(d, CHANGE_ADD_BINDING, b, done);
}

void definitions_remove_binding(struct definitions *d, const struct binding_definition *b,
                                struct definitions_done done)
{
    change_binding(d, CHANGE_REMOVE_BINDING, b, done);
}

void definitions_barrier(struct definitions *d, struct definitions_done done)
{
    struct row none = {.count = 0};

    definitions_writer_add(d->writer, CHANGE_NOTHING, &none, done);
}

uint64_t definitions_position(struct definitions *d)
{
    return definitions_writer_queued(d->writer);
}

bool definitions_reached(const struct definitions *d, uint64_t position)
{
    return definitions_writer_committed(d->writer) >= position;
}
