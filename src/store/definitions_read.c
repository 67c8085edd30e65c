/* Reading the definitions: at start, and to see whether a file is whole. */
#include "amqp/table.h"
#include "base/arena.h"
#include "store/definitions.h"
#include "store/definitions_internal.h"
#include "store/definitions_schema.h"
#include "store/definitions_sqlite.h"

#include <errno.h>
#include <stdbool.h>

struct reader {
    sqlite3 *db;
    const char *path;
    uint64_t ids_end; /* the first queue id that was not reserved */
    const struct definitions_visitor *visitor;
    struct error_line line;
    struct arena arena; /* of the row in hand */
};

/* The table of an arguments cell. Returns NULL when it cannot be decoded. */
static const struct table *arguments_of(struct reader *r, struct bytes encoded)
{
    static const struct table NONE = {.count = 0};
    struct table *out;

    if (encoded.size == 0)
        return &NONE;
    out = arena_alloc(&r->arena, sizeof(*out));
    return amqp_table_decode(&r->arena, encoded, out, NULL) == 0 ? out : NULL;
}

static bool read_vhost(struct reader *r, const struct row *row)
{
    if (r->visitor->vhost != NULL)
        r->visitor->vhost(r->visitor->context, row->cells[0].bytes);
    return true;
}

static bool read_user(struct reader *r, const struct row *row)
{
    const struct user_definition u = {
        .name = row->cells[0].bytes,
        .password_hash = row->cells[1].bytes,
        .tags = row->cells[2].bytes,
    };

    if (r->visitor->user != NULL)
        r->visitor->user(r->visitor->context, &u);
    return true;
}

static bool read_permission(struct reader *r, const struct row *row)
{
    const struct permission_definition p = {
        .vhost = row->cells[0].bytes,
        .user = row->cells[1].bytes,
        .configure = row->cells[2].bytes,
        .write = row->cells[3].bytes,
        .read = row->cells[4].bytes,
    };

    if (r->visitor->permission != NULL)
        r->visitor->permission(r->visitor->context, &p);
    return true;
}

static bool read_topic_permission(struct reader *r, const struct row *row)
{
    const struct topic_permission_definition p = {
        .vhost = row->cells[0].bytes,
        .user = row->cells[1].bytes,
        .exchange = row->cells[2].bytes,
        .write = row->cells[3].bytes,
        .read = row->cells[4].bytes,
    };

    if (r->visitor->topic_permission != NULL)
        r->visitor->topic_permission(r->visitor->context, &p);
    return true;
}

static bool read_parameter(struct reader *r, const struct row *row)
{
    const struct table *alone = arguments_of(r, row->cells[3].bytes);
    struct parameter_definition p = {
        .vhost = row->cells[0].bytes,
        .component = row->cells[1].bytes,
        .name = row->cells[2].bytes,
    };

    if (alone == NULL || alone->count != 1)
        return false;
    p.value = &alone->fields[0].value;
    if (r->visitor->parameter != NULL)
        r->visitor->parameter(r->visitor->context, &p);
    return true;
}

static bool read_policy(struct reader *r, const struct row *row)
{
    struct policy_definition p = {
        .vhost = row->cells[0].bytes,
        .name = row->cells[1].bytes,
        .pattern = row->cells[2].bytes,
        .apply_to = row->cells[3].bytes,
        .priority = row->cells[4].integer,
        .operator_policy = row->cells[5].integer != 0,
        .definition = arguments_of(r, row->cells[6].bytes),
    };

    if (p.definition == NULL)
        return false;
    if (r->visitor->policy != NULL)
        r->visitor->policy(r->visitor->context, &p);
    return true;
}

static bool read_exchange(struct reader *r, const struct row *row)
{
    struct exchange_definition e = {
        .vhost = row->cells[0].bytes,
        .name = row->cells[1].bytes,
        .type = row->cells[2].bytes,
        .auto_delete = row->cells[3].integer != 0,
        .internal = row->cells[4].integer != 0,
        .arguments = arguments_of(r, row->cells[5].bytes),
    };

    if (e.arguments == NULL)
        return false;
    if (r->visitor->exchange != NULL)
        r->visitor->exchange(r->visitor->context, &e);
    return true;
}

static bool read_delays(struct reader *r, const struct row *row)
{
    const struct delays_definition d = {
        .vhost = row->cells[0].bytes,
        .exchange = row->cells[1].bytes,
        .id = (uint64_t)row->cells[2].integer,
        .shard = (uint32_t)row->cells[3].integer,
    };

    if (d.id == 0 || d.id >= r->ids_end)
        return false;
    if (r->visitor->delays != NULL)
        r->visitor->delays(r->visitor->context, &d);
    return true;
}

static bool read_queue(struct reader *r, const struct row *row)
{
    struct queue_definition q = {
        .vhost = row->cells[0].bytes,
        .name = row->cells[1].bytes,
        .id = (uint64_t)row->cells[2].integer,
        .shard = (uint32_t)row->cells[3].integer,
        .auto_delete = row->cells[4].integer != 0,
        .arguments = arguments_of(r, row->cells[5].bytes),
    };

    /* An id that the counter has not given yet would be given again. */
    if (q.arguments == NULL || q.id == 0 || q.id >= r->ids_end)
        return false;
    if (r->visitor->queue != NULL)
        r->visitor->queue(r->visitor->context, &q);
    return true;
}

static bool read_binding(struct reader *r, const struct row *row)
{
    struct binding_definition b = {
        .vhost = row->cells[0].bytes,
        .destination = row->cells[1].bytes,
        .to_exchange = row->cells[2].integer != 0,
        .source = row->cells[3].bytes,
        .routing_key = row->cells[4].bytes,
        .arguments = arguments_of(r, row->cells[5].bytes),
    };

    if (b.arguments == NULL)
        return false;
    if (r->visitor->binding != NULL)
        r->visitor->binding(r->visitor->context, &b);
    return true;
}

struct table_reader {
    const char *table;
    const char *sql;
    bool (*read)(struct reader *r, const struct row *row); /* false: the row makes no sense */
};

static const struct table_reader TABLES[] = {
    {"vhosts", "SELECT * FROM vhosts", read_vhost},
    {"users", "SELECT * FROM users", read_user},
    {"permissions", "SELECT * FROM permissions", read_permission},
    {"topic_permissions", "SELECT * FROM topic_permissions", read_topic_permission},
    {"parameters", "SELECT * FROM parameters", read_parameter},
    {"policies", "SELECT * FROM policies", read_policy},
    {"exchanges", "SELECT * FROM exchanges", read_exchange},
    {"delays", "SELECT * FROM delays", read_delays},
    {"queues", "SELECT * FROM queues", read_queue},
    {"bindings", "SELECT * FROM bindings", read_binding},
};

static int read_rows(struct reader *r, const struct table_reader *t, sqlite3_stmt *s)
{
    struct row row;
    bool good = true;
    int code;

    while (good && (code = sqlite3_step(s)) == SQLITE_ROW) {
        good = row_read(s, t->table, &row) == 0 && t->read(r, &row);
        arena_free(&r->arena);
    }
    if (!good) {
        error_line_set(r->line, r->path, "damaged: a row of its table '%s' does not fit", t->table);
        return -EBADMSG;
    }
    return code == SQLITE_DONE ? 0
                               : definitions_fail(r->db, code, r->path, "cannot be read", r->line);
}

static int read_table(struct reader *r, const struct table_reader *t)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(r->db, t->sql, -1, &s, NULL);
    int rc = code == SQLITE_OK ? read_rows(r, t, s)
                               : definitions_fail(r->db, code, r->path, "cannot be read", r->line);

    sqlite3_finalize(s);
    return rc;
}

static int read_all(struct reader *r)
{
    int rc = 0;

    arena_init(&r->arena);
    for (size_t i = 0; i < sizeof(TABLES) / sizeof(TABLES[0]) && rc == 0; i++)
        rc = read_table(r, &TABLES[i]);
    arena_free(&r->arena);
    return rc;
}

int definitions_read(struct definitions *d, const struct definitions_visitor *visitor, char *error,
                     size_t error_size)
{
    struct reader r = {
        .db = d->db,
        .path = d->path,
        .ids_end = d->ids.end,
        .visitor = visitor,
        .line = {.text = error, .size = error_size},
    };

    return read_all(&r);
}

int definitions_verify(const char *path, char *error, size_t error_size)
{
    struct definitions_visitor nobody = {.context = NULL};
    struct reader r = {
        .path = path,
        .ids_end = UINT64_MAX,
        .visitor = &nobody,
        .line = {.text = error, .size = error_size},
    };
    int version = 0;
    int rc = definitions_connect(&r.db, path, SQLITE_OPEN_READWRITE, r.line);

    if (rc < 0)
        return rc;
    sqlite3_db_config(r.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    rc = definitions_schema_inspect(r.db, &DEFINITIONS_MIGRATIONS, path, &version, r.line);
    if (rc == 0)
        rc = definitions_check(r.db, path, r.line);
    /* An older one has the tables that its version had; they are read when it is brought up. */
    if (rc == 0 && version == DEFINITIONS_MIGRATIONS.count)
        rc = read_all(&r);
    sqlite3_close(r.db);
    return rc;
}
