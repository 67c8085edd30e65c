#include "store/definitions_writer.h"

#include "amqp/table.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/definitions_sqlite.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long what could not be written waits for another try, when nobody asks for one before. */
#define RETRY_SECONDS 1

enum statement {
    SET_COUNTER,
    INSERT_VHOST,
    DELETE_VHOST,
    DELETE_VHOST_PERMISSIONS,
    DELETE_VHOST_TOPIC_PERMISSIONS,
    DELETE_VHOST_EXCHANGES,
    DELETE_VHOST_DELAYS,
    DELETE_VHOST_QUEUES,
    DELETE_VHOST_BINDINGS,
    DELETE_VHOST_POLICIES,
    DELETE_VHOST_PARAMETERS,
    INSERT_USER,
    DELETE_USER,
    DELETE_USER_PERMISSIONS,
    DELETE_USER_TOPIC_PERMISSIONS,
    DELETE_USER_LIMITS,
    INSERT_PERMISSION,
    DELETE_PERMISSION,
    INSERT_TOPIC_PERMISSION,
    DELETE_TOPIC_PERMISSION,
    DELETE_TOPIC_PERMISSIONS,
    INSERT_PARAMETER,
    DELETE_PARAMETER,
    INSERT_POLICY,
    DELETE_POLICY,
    INSERT_DELAYS,
    DELETE_DELAYS,
    INSERT_EXCHANGE,
    DELETE_EXCHANGE,
    DELETE_BINDINGS_OF_SOURCE,
    DELETE_BINDINGS_TO_EXCHANGE,
    INSERT_QUEUE,
    DELETE_QUEUE,
    DELETE_BINDINGS_TO_QUEUE,
    INSERT_BINDING,
    DELETE_BINDING,
    BEGIN,
    COMMIT,
    SELECT_BINDING_ARGUMENTS,
    STATEMENT_COUNT,
};

/* The parameters are the cells of the change's row, and the row's checksum behind them. */
static const char *const SQL[STATEMENT_COUNT] = {
    [SET_COUNTER] = "INSERT OR REPLACE INTO counters VALUES (?1, ?2, ?3)",
    [INSERT_VHOST] = "INSERT OR REPLACE INTO vhosts VALUES (?1, ?2)",
    [DELETE_VHOST] = "DELETE FROM vhosts WHERE name = ?1",
    [DELETE_VHOST_PERMISSIONS] = "DELETE FROM permissions WHERE vhost = ?1",
    [DELETE_VHOST_TOPIC_PERMISSIONS] = "DELETE FROM topic_permissions WHERE vhost = ?1",
    [DELETE_VHOST_EXCHANGES] = "DELETE FROM exchanges WHERE vhost = ?1",
    [DELETE_VHOST_DELAYS] = "DELETE FROM delays WHERE vhost = ?1",
    [DELETE_VHOST_QUEUES] = "DELETE FROM queues WHERE vhost = ?1",
    [DELETE_VHOST_BINDINGS] = "DELETE FROM bindings WHERE vhost = ?1",
    [DELETE_VHOST_POLICIES] = "DELETE FROM policies WHERE vhost = ?1",
    [DELETE_VHOST_PARAMETERS] = "DELETE FROM parameters WHERE vhost = ?1",
    [INSERT_USER] = "INSERT OR REPLACE INTO users VALUES (?1, ?2, ?3, ?4)",
    [DELETE_USER] = "DELETE FROM users WHERE name = ?1",
    [DELETE_USER_PERMISSIONS] = "DELETE FROM permissions WHERE user = ?1",
    [DELETE_USER_TOPIC_PERMISSIONS] = "DELETE FROM topic_permissions WHERE user = ?1",
    [DELETE_USER_LIMITS] = "DELETE FROM parameters WHERE vhost = x'' AND "
                           "component = CAST('" PARAMETER_USER_LIMITS "' AS BLOB) AND name = ?1",
    [INSERT_PERMISSION] = "INSERT OR REPLACE INTO permissions VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [DELETE_PERMISSION] = "DELETE FROM permissions WHERE vhost = ?1 AND user = ?2",
    [INSERT_TOPIC_PERMISSION] =
        "INSERT OR REPLACE INTO topic_permissions VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [DELETE_TOPIC_PERMISSION] =
        "DELETE FROM topic_permissions WHERE vhost = ?1 AND user = ?2 AND exchange = ?3",
    [DELETE_TOPIC_PERMISSIONS] = "DELETE FROM topic_permissions WHERE vhost = ?1 AND user = ?2",
    [INSERT_PARAMETER] = "INSERT OR REPLACE INTO parameters VALUES (?1, ?2, ?3, ?4, ?5)",
    [DELETE_PARAMETER] = "DELETE FROM parameters WHERE vhost = ?1 AND component = ?2 AND name = ?3",
    [INSERT_POLICY] = "INSERT OR REPLACE INTO policies VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [DELETE_POLICY] = "DELETE FROM policies WHERE vhost = ?1 AND name = ?2 AND operator = ?3",
    [INSERT_DELAYS] = "INSERT OR REPLACE INTO delays VALUES (?1, ?2, ?3, ?4, ?5)",
    [DELETE_DELAYS] = "DELETE FROM delays WHERE vhost = ?1 AND exchange = ?2",
    [INSERT_EXCHANGE] = "INSERT OR REPLACE INTO exchanges VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [DELETE_EXCHANGE] = "DELETE FROM exchanges WHERE vhost = ?1 AND name = ?2",
    [DELETE_BINDINGS_OF_SOURCE] = "DELETE FROM bindings WHERE vhost = ?1 AND source = ?2",
    [DELETE_BINDINGS_TO_EXCHANGE] =
        "DELETE FROM bindings WHERE vhost = ?1 AND destination = ?2 AND to_exchange = 1",
    [INSERT_QUEUE] = "INSERT OR REPLACE INTO queues VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [DELETE_QUEUE] = "DELETE FROM queues WHERE vhost = ?1 AND name = ?2",
    [DELETE_BINDINGS_TO_QUEUE] =
        "DELETE FROM bindings WHERE vhost = ?1 AND destination = ?2 AND to_exchange = 0",
    [INSERT_BINDING] = "INSERT OR REPLACE INTO bindings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [DELETE_BINDING] = "DELETE FROM bindings WHERE vhost = ?1 AND destination = ?2 AND "
                       "to_exchange = ?3 AND source = ?4 AND routing_key = ?5 AND arguments = ?6",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [SELECT_BINDING_ARGUMENTS] =
        "SELECT arguments FROM bindings WHERE vhost = ?1 AND destination = ?2 AND "
        "to_exchange = ?3 AND source = ?4 AND routing_key = ?5",
};

enum {
    CHANGE_STATEMENTS_MAX = 9,
    BINDING_ARGUMENTS_CELL = 5,
};

/* What a change does, in this order. */
struct change_rule {
    const char *table; /* the one whose checksum is bound; NULL: none is */
    enum statement statements[CHANGE_STATEMENTS_MAX];
    unsigned count;
};

static const struct change_rule RULES[CHANGE_KIND_COUNT] = {
    [CHANGE_NOTHING] = {.count = 0},
    [CHANGE_SET_COUNTER] = {"counters", {SET_COUNTER}, 1},
    [CHANGE_ADD_VHOST] = {"vhosts", {INSERT_VHOST}, 1},
    [CHANGE_REMOVE_VHOST] = {NULL,
                             {DELETE_VHOST, DELETE_VHOST_PERMISSIONS,
                              DELETE_VHOST_TOPIC_PERMISSIONS, DELETE_VHOST_EXCHANGES,
                              DELETE_VHOST_DELAYS, DELETE_VHOST_QUEUES, DELETE_VHOST_BINDINGS,
                              DELETE_VHOST_POLICIES, DELETE_VHOST_PARAMETERS},
                             9},
    [CHANGE_ADD_USER] = {"users", {INSERT_USER}, 1},
    [CHANGE_REMOVE_USER] = {NULL,
                            {DELETE_USER, DELETE_USER_PERMISSIONS, DELETE_USER_TOPIC_PERMISSIONS,
                             DELETE_USER_LIMITS},
                            4},
    [CHANGE_ADD_PERMISSION] = {"permissions", {INSERT_PERMISSION}, 1},
    [CHANGE_REMOVE_PERMISSION] = {NULL, {DELETE_PERMISSION}, 1},
    [CHANGE_ADD_TOPIC_PERMISSION] = {"topic_permissions", {INSERT_TOPIC_PERMISSION}, 1},
    [CHANGE_REMOVE_TOPIC_PERMISSION] = {NULL, {DELETE_TOPIC_PERMISSION}, 1},
    [CHANGE_REMOVE_TOPIC_PERMISSIONS] = {NULL, {DELETE_TOPIC_PERMISSIONS}, 1},
    [CHANGE_ADD_PARAMETER] = {"parameters", {INSERT_PARAMETER}, 1},
    [CHANGE_REMOVE_PARAMETER] = {NULL, {DELETE_PARAMETER}, 1},
    [CHANGE_ADD_POLICY] = {"policies", {INSERT_POLICY}, 1},
    [CHANGE_REMOVE_POLICY] = {NULL, {DELETE_POLICY}, 1},
    [CHANGE_ADD_DELAYS] = {"delays", {INSERT_DELAYS}, 1},
    [CHANGE_ADD_EXCHANGE] = {"exchanges", {INSERT_EXCHANGE}, 1},
    [CHANGE_REMOVE_EXCHANGE] = {NULL,
                                {DELETE_EXCHANGE, DELETE_DELAYS, DELETE_BINDINGS_OF_SOURCE,
                                 DELETE_BINDINGS_TO_EXCHANGE},
                                4},
    [CHANGE_ADD_QUEUE] = {"queues", {INSERT_QUEUE}, 1},
    [CHANGE_REMOVE_QUEUE] = {NULL, {DELETE_QUEUE, DELETE_BINDINGS_TO_QUEUE}, 2},
    [CHANGE_ADD_BINDING] = {"bindings", {INSERT_BINDING}, 1},
    [CHANGE_REMOVE_BINDING] = {NULL, {DELETE_BINDING}, 1},
};

struct change {
    struct change *next;
    enum change_kind kind;
    struct row row;
    struct definitions_done done;
    uint8_t bytes[]; /* of the row's cells */
};

/* A list in order. */
struct change_list {
    struct change *first;
    struct change **end;
};

struct definitions_writer {
    const char *path; /* borrowed */
    pthread_t thread;

    /* The thread's. */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct change_list unwritten; /* what failed, told so, and is tried again before all else */
    uint64_t taken;               /* as `queued` was when the last of them was taken */
    bool failing;                 /* the last transaction did; the log says so once */

    _Atomic uint64_t committed; /* of `queued` */

    pthread_mutex_t mutex; /* over the rest */
    pthread_cond_t wake;   /* of the monotonic clock */
    struct change_list queue;
    uint64_t queued; /* changes so far */
    bool ending;
};

static void change_list_init(struct change_list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void change_list_append(struct change_list *l, struct change *c)
{
    c->next = NULL;
    *l->end = c;
    l->end = &c->next;
}

/* Moves all of `from` behind `to`. */
static void change_list_move(struct change_list *to, struct change_list *from)
{
    if (from->first == NULL)
        return;
    *to->end = from->first;
    to->end = from->end;
    change_list_init(from);
}

/* ---- Queue ---- */

static struct change *change_new(enum change_kind kind, const struct row *row,
                                 struct definitions_done done)
{
    struct change *c;
    uint8_t *room;
    size_t size = 0;

    for (unsigned i = 0; i < row->count; i++)
        size += row->cells[i].bytes.size;
    c = memory_alloc(sizeof(*c) + size);
    c->next = NULL;
    c->kind = kind;
    c->row = *row;
    c->done = done;
    room = c->bytes;
    for (unsigned i = 0; i < row->count; i++) {
        struct bytes *b = &c->row.cells[i].bytes;

        if (b->size == 0)
            continue;
        memcpy(room, b->data, b->size);
        b->data = room;
        room += b->size;
    }
    return c;
}

void definitions_writer_add(struct definitions_writer *w, enum change_kind kind,
                            const struct row *row, struct definitions_done done)
{
    struct change *c = change_new(kind, row, done);
    bool was_empty;

    pthread_mutex_lock(&w->mutex);
    was_empty = w->queue.first == NULL;
    change_list_append(&w->queue, c);
    w->queued++;
    pthread_mutex_unlock(&w->mutex);
    if (was_empty)
        pthread_cond_signal(&w->wake);
}

uint64_t definitions_writer_queued(struct definitions_writer *w)
{
    uint64_t queued;

    pthread_mutex_lock(&w->mutex);
    queued = w->queued;
    pthread_mutex_unlock(&w->mutex);
    return queued;
}

uint64_t definitions_writer_committed(const struct definitions_writer *w)
{
    return atomic_load_explicit(&w->committed, memory_order_acquire);
}

/* Waits for changes, or until what is unwritten is due again. Returns whether to go on: when the
 * writer is ending, as long as changes are queued. */
static bool await_changes(struct definitions_writer *w)
{
    struct timespec due;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_sec += RETRY_SECONDS;
    while (w->queue.first == NULL && !w->ending && rc == 0)
        rc = w->unwritten.first == NULL ? pthread_cond_wait(&w->wake, &w->mutex)
                                        : pthread_cond_timedwait(&w->wake, &w->mutex, &due);
    return w->queue.first != NULL || !w->ending;
}

/* Takes all there is to write, what is unwritten first. Returns false at the end, when there may
 * still be something unwritten. */
static bool take_all(struct definitions_writer *w)
{
    bool go_on;

    pthread_mutex_lock(&w->mutex);
    go_on = await_changes(w);
    change_list_move(&w->unwritten, &w->queue);
    w->taken = w->queued;
    pthread_mutex_unlock(&w->mutex);
    return go_on;
}

/* What is worth another try: what is declared is there, whatever its caller was told, and the file
 * must follow. */
static bool is_kept(const struct change *c)
{
    return c->kind != CHANGE_NOTHING && c->kind != CHANGE_SET_COUNTER;
}

/* Tells each what became of it, once, and keeps what is to be tried again. */
static void finish_all(struct definitions_writer *w, int result)
{
    struct change *next = w->unwritten.first;

    change_list_init(&w->unwritten);
    while (next != NULL) {
        struct change *c = next;

        next = c->next;
        if (c->done.call != NULL)
            c->done.call(c->done.context, result);
        c->done.call = NULL;
        if (result < 0 && is_kept(c))
            change_list_append(&w->unwritten, c);
        else
            free(c);
    }
}

/* ---- Statements: SQLite codes ---- */

static int step(sqlite3_stmt *s)
{
    int code = sqlite3_step(s);
    int reset = sqlite3_reset(s);

    if (reset != SQLITE_OK)
        return reset;
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

static int run_statement(struct definitions_writer *w, enum statement statement, const char *table,
                         const struct row *row)
{
    sqlite3_stmt *s = w->statements[statement];
    int code = row_bind(s, table, row);

    return code == SQLITE_OK ? step(s) : code;
}

static bool arguments_equal(struct bytes a, struct bytes b)
{
    struct arena arena;
    struct table left;
    struct table right;
    bool equal;

    arena_init(&arena);
    equal = amqp_table_decode(&arena, a, &left, NULL) == 0 &&
            amqp_table_decode(&arena, b, &right, NULL) == 0 && table_equal(&left, &right);
    arena_free(&arena);
    return equal;
}

/* Finds a binding whose arguments are equal but written in another way (fields in another order,
 * integers of another width), and puts them into the row. Returns SQLITE_ROW, SQLITE_DONE when
 * there is none, or an error. */
static int find_equal_binding(struct definitions_writer *w, struct row *row, struct bytes wanted,
                              struct arena *arena)
{
    sqlite3_stmt *s = w->statements[SELECT_BINDING_ARGUMENTS];
    struct row key = *row;
    int code;

    key.count = BINDING_ARGUMENTS_CELL;
    code = row_bind(s, NULL, &key);
    if (code != SQLITE_OK)
        return code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(s, 0);
        struct bytes found = bytes_of(data, (size_t)sqlite3_column_bytes(s, 0));

        if (arguments_equal(found, wanted)) {
            row->cells[BINDING_ARGUMENTS_CELL].bytes = arena_copy(arena, found);
            break;
        }
    }
    sqlite3_reset(s);
    return code;
}

static int remove_equal_binding(struct definitions_writer *w, const struct row *row)
{
    struct row other = *row;
    struct arena arena;
    int code;

    arena_init(&arena);
    code = find_equal_binding(w, &other, row->cells[BINDING_ARGUMENTS_CELL].bytes, &arena);
    if (code == SQLITE_ROW)
        code = run_statement(w, DELETE_BINDING, NULL, &other);
    else if (code == SQLITE_DONE)
        code = SQLITE_OK;
    arena_free(&arena);
    return code;
}

static int apply(struct definitions_writer *w, const struct change *c)
{
    const struct change_rule *rule = &RULES[c->kind];
    int code = SQLITE_OK;

    for (unsigned i = 0; i < rule->count && code == SQLITE_OK; i++)
        code = run_statement(w, rule->statements[i], rule->table, &c->row);
    if (c->kind == CHANGE_REMOVE_BINDING && code == SQLITE_OK && sqlite3_changes(w->db) == 0)
        code = remove_equal_binding(w, &c->row);
    return code;
}

/* ---- Transactions ---- */

/* A commit whose sync failed may be whole on the disk all the same, and would be believed after a
 * crash. Another one in its place makes that impossible: it changes nothing, but writes a page. */
static void write_over_failed_commit(struct definitions_writer *w)
{
    static const char NOTHING[] = "BEGIN IMMEDIATE;"
                                  "INSERT INTO counters VALUES (x'', 0, 0);"
                                  "DELETE FROM counters WHERE name = x'';"
                                  "COMMIT";

    if (definitions_execute(w->db, NOTHING) != SQLITE_OK)
        sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Of a commit that succeeded, as far as SQLite can tell. */
static int check_place(const struct definitions_writer *w)
{
    if (definitions_are_in_place(w->db))
        return 0;
    if (!w->failing)
        log_error("definitions",
                  "%s: was deleted or moved away while the broker had it; nothing can be declared",
                  w->path);
    return -ENOENT;
}

static int transact(struct definitions_writer *w, const struct change *all)
{
    bool committing = false;
    int code = step(w->statements[BEGIN]);
    int rc;

    for (const struct change *c = all; c != NULL && code == SQLITE_OK; c = c->next)
        code = apply(w, c);
    if (code == SQLITE_OK) {
        committing = true;
        code = step(w->statements[COMMIT]);
    }
    if (code == SQLITE_OK)
        return check_place(w);
    rc = definitions_errno(w->db, code);
    if (!w->failing)
        log_error("definitions", "%s: cannot be written: %s (%s)", w->path, strerror(-rc),
                  sqlite3_errmsg(w->db));
    if (!sqlite3_get_autocommit(w->db))
        sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
    if (committing)
        write_over_failed_commit(w);
    return rc;
}

static bool has_work(const struct change *all)
{
    for (const struct change *c = all; c != NULL; c = c->next) {
        if (c->kind != CHANGE_NOTHING)
            return true;
    }
    return false;
}

static void write_all(struct definitions_writer *w)
{
    int result = 0;

    if (has_work(w->unwritten.first)) {
        result = transact(w, w->unwritten.first);
        if (result == 0 && w->failing)
            log_info("definitions", "%s: can be written again, and is complete", w->path);
        w->failing = result < 0;
    }
    if (result == 0)
        atomic_store_explicit(&w->committed, w->taken, memory_order_release);
    finish_all(w, result);
}

static void *run(void *context)
{
    struct definitions_writer *w = context;

    while (take_all(w))
        write_all(w);
    if (w->unwritten.first != NULL)
        write_all(w);
    if (w->unwritten.first != NULL)
        log_error("definitions", "%s: the last changes could not be written and are lost", w->path);
    return NULL;
}

/* ---- Life ---- */

static void release(struct definitions_writer *w)
{
    while (w->unwritten.first != NULL) {
        struct change *c = w->unwritten.first;

        w->unwritten.first = c->next;
        free(c);
    }
    for (unsigned i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(w->statements[i]);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

int definitions_writer_start(struct definitions_writer **out, sqlite3 *db, const char *path)
{
    struct definitions_writer *w = memory_alloc_zeroed(1, sizeof(*w));
    pthread_condattr_t monotonic;
    int code = SQLITE_OK;
    int rc;

    w->db = db;
    w->path = path;
    change_list_init(&w->unwritten);
    change_list_init(&w->queue);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; i < STATEMENT_COUNT && code == SQLITE_OK; i++)
        code =
            sqlite3_prepare_v3(db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &w->statements[i], NULL);
    rc =
        code == SQLITE_OK ? -pthread_create(&w->thread, NULL, run, w) : definitions_errno(db, code);
    if (rc < 0) {
        release(w);
        *out = NULL;
        return rc;
    }
    *out = w;
    return 0;
}

void definitions_writer_stop(struct definitions_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    w->ending = true;
    pthread_mutex_unlock(&w->mutex);
    pthread_cond_signal(&w->wake);
    pthread_join(w->thread, NULL);
    assert(w->queue.first == NULL);
    release(w);
}
