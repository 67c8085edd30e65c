/* Field tables from hostile peers: what validates decodes, and encodes again to octets that mean
 * the same; what does not is walked without harm. */
#include "amqp/table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* How many fields can be taken off the front. */
static uint32_t field_count(struct bytes encoded)
{
    struct bytes key;
    struct value v, item;
    uint32_t count = 0;

    while (amqp_table_next(&encoded, &key, &v)) {
        count++;
        if (v.type == VALUE_ARRAY) {
            while (amqp_array_next(&v.bytes, &item))
                continue;
        }
    }
    return count;
}

static void round_trip(struct bytes encoded)
{
    struct arena arena;
    struct buffer first, second;
    struct table t, again;

    arena_init(&arena);
    buffer_init(&first);
    buffer_init(&second);

    require(amqp_table_decode(&arena, encoded, &t, NULL) == 0);
    require(t.count == field_count(encoded));
    amqp_table_encode_fields(&t, &first);
    require(first.size == encoded.size);
    require(amqp_table_decode(&arena, buffer_bytes(&first), &again, NULL) == 0);
    amqp_table_encode_fields(&again, &second);
    require(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));

    buffer_free(&first);
    buffer_free(&second);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes encoded = bytes_of(data, size);
    struct amqp_error err = {.code = 0};
    struct value v;

    amqp_table_find(encoded, "x-match", &v);
    if (amqp_table_validate(encoded, &AMQP_TABLE_LIMITS, &err) == 0) {
        round_trip(encoded);
    } else {
        require(err.code == AMQP_SYNTAX_ERROR);
        field_count(encoded);
    }
    return 0;
}
