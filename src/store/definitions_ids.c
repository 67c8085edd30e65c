#include "store/definitions_ids.h"

enum {
    RANGE = 1 << 20,
};

static const char COUNTER[] = "queue_ids";

struct row counter_row(const char *name, uint64_t value)
{
    struct row row = {.count = 0};

    row_add_bytes(&row, bytes_from_string(name));
    row_add_integer(&row, (int64_t)value);
    return row;
}

int counter_read(sqlite3 *db, const char *name, uint64_t *value, const char *path,
                 struct error_line line)
{
    sqlite3_stmt *s = NULL;
    struct row row;
    int rc = 0;
    int code = sqlite3_prepare_v2(
        db, "SELECT name, value, checksum FROM counters WHERE name = CAST(?1 AS BLOB)", -1, &s,
        NULL);

    if (code == SQLITE_OK)
        code = sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        rc = row_read(s, "counters", &row);
        if (rc == 0)
            *value = (uint64_t)row.cells[1].integer;
        else
            error_line_set(line, path, "damaged: the counter %s does not fit its checksum", name);
    } else if (code != SQLITE_DONE) {
        rc = definitions_fail(db, code, path, "a counter cannot be read", line);
    }
    sqlite3_finalize(s);
    return rc;
}

static int write_counter(sqlite3 *db, uint64_t end, const char *path, struct error_line line)
{
    sqlite3_stmt *s = NULL;
    struct row row = counter_row(COUNTER, end);
    int code =
        sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO counters VALUES (?1, ?2, ?3)", -1, &s, NULL);

    if (code == SQLITE_OK)
        code = row_bind(s, "counters", &row);
    if (code == SQLITE_OK)
        code = sqlite3_step(s) == SQLITE_DONE ? SQLITE_OK : sqlite3_extended_errcode(db);
    int rc = code == SQLITE_OK ? 0 : definitions_fail(db, code, path, "cannot be written", line);
    sqlite3_finalize(s);
    return rc;
}

int definitions_ids_open(struct definitions_ids *ids, sqlite3 *db, const char *path,
                         struct error_line line)
{
    uint64_t first = 1;
    int rc = counter_read(db, COUNTER, &first, path, line);

    if (rc == 0)
        rc = write_counter(db, first + RANGE, path, line);
    if (rc < 0)
        return rc;
    pthread_mutex_init(&ids->mutex, NULL);
    pthread_cond_init(&ids->reserved, NULL);
    ids->next = first;
    ids->end = first + RANGE;
    ids->wanted = 0;
    return 0;
}

void definitions_ids_close(struct definitions_ids *ids)
{
    pthread_cond_destroy(&ids->reserved);
    pthread_mutex_destroy(&ids->mutex);
}

static void on_reserved(void *context, int result)
{
    struct definitions_ids *ids = context;

    pthread_mutex_lock(&ids->mutex);
    if (result == 0)
        ids->end = ids->wanted;
    ids->wanted = 0;
    pthread_cond_broadcast(&ids->reserved);
    pthread_mutex_unlock(&ids->mutex);
}

static void reserve(struct definitions_ids *ids, struct definitions_writer *w)
{
    struct definitions_done done = {.call = on_reserved, .context = ids};
    struct row row = counter_row(COUNTER, ids->end + RANGE);

    ids->wanted = ids->end + RANGE;
    definitions_writer_add(w, CHANGE_SET_COUNTER, &row, done);
}

void definitions_ids_return(struct definitions_ids *ids, struct definitions_writer *w)
{
    struct row row = counter_row(COUNTER, ids->next);

    definitions_writer_add(w, CHANGE_SET_COUNTER, &row, (struct definitions_done){.call = NULL});
}

uint64_t definitions_ids_take(struct definitions_ids *ids, struct definitions_writer *w)
{
    uint64_t id = 0;

    pthread_mutex_lock(&ids->mutex);
    if (ids->wanted == 0 && ids->end - ids->next < RANGE / 2)
        reserve(ids, w);
    while (ids->next == ids->end && ids->wanted != 0)
        pthread_cond_wait(&ids->reserved, &ids->mutex);
    if (ids->next != ids->end)
        id = ids->next++;
    pthread_mutex_unlock(&ids->mutex);
    return id;
}
