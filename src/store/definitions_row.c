#include "store/definitions_row.h"

#include "store/crc32c.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void row_add_bytes(struct row *r, struct bytes b)
{
    assert(r->count < ROW_CELLS_MAX);
    r->cells[r->count++] = (struct cell){.is_integer = false, .bytes = b};
}

void row_add_integer(struct row *r, int64_t n)
{
    assert(r->count < ROW_CELLS_MAX);
    r->cells[r->count++] = (struct cell){.is_integer = true, .integer = n};
}

static uint32_t add_number(uint32_t crc, uint64_t n)
{
    uint8_t octets[8];

    for (unsigned i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)(n >> (8 * i));
    return crc32c(crc, octets, sizeof(octets));
}

int64_t row_checksum(const char *table, const struct row *r)
{
    uint32_t crc = crc32c(0, table, strlen(table));

    for (unsigned i = 0; i < r->count; i++) {
        const struct cell *c = &r->cells[i];

        crc = crc32c(crc, c->is_integer ? "i" : "b", 1);
        crc = add_number(crc, c->is_integer ? (uint64_t)c->integer : c->bytes.size);
        if (!c->is_integer && c->bytes.size != 0)
            crc = crc32c(crc, c->bytes.data, c->bytes.size);
    }
    return crc;
}

static int bind_bytes(sqlite3_stmt *s, int parameter, struct bytes b)
{
    if (b.size == 0)
        return sqlite3_bind_zeroblob(s, parameter, 0);
    return sqlite3_bind_blob64(s, parameter, b.data, b.size, SQLITE_STATIC);
}

int row_bind(sqlite3_stmt *s, const char *table, const struct row *r)
{
    int rc = SQLITE_OK;

    for (unsigned i = 0; i < r->count && rc == SQLITE_OK; i++) {
        const struct cell *c = &r->cells[i];

        if (c->is_integer)
            rc = sqlite3_bind_int64(s, (int)i + 1, c->integer);
        else
            rc = bind_bytes(s, (int)i + 1, c->bytes);
    }
    if (rc == SQLITE_OK && table != NULL)
        rc = sqlite3_bind_int64(s, (int)r->count + 1, row_checksum(table, r));
    return rc;
}

int row_read(sqlite3_stmt *s, const char *table, struct row *out)
{
    int columns = sqlite3_column_count(s);

    out->count = 0;
    for (int i = 0; i < columns - 1; i++) {
        const void *data;

        switch (sqlite3_column_type(s, i)) {
        case SQLITE_INTEGER:
            row_add_integer(out, sqlite3_column_int64(s, i));
            break;
        case SQLITE_BLOB:
            data = sqlite3_column_blob(s, i);
            row_add_bytes(out, bytes_of(data, (size_t)sqlite3_column_bytes(s, i)));
            break;
        default:
            return -EBADMSG;
        }
    }
    if (sqlite3_column_type(s, columns - 1) != SQLITE_INTEGER ||
        sqlite3_column_int64(s, columns - 1) != row_checksum(table, out))
        return -EBADMSG;
    return 0;
}
