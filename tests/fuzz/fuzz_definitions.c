/* Any bytes as definitions: they are refused as a whole, or every object in them is a record or a
 * problem with a place; and what became a value is the same again after a way through JSON. */
#include "admin/definition_reader.h"
#include "admin/json_value.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_place(const char *place, const char *reason)
{
    require(strncmp(place, "$.", 2) == 0 && strlen(place) < 1024);
    require(reason[0] != '\0' && strlen(reason) < 1024);
}

static void on_remark(void *context, const char *place, const char *reason)
{
    (void)context;
    require_place(place, reason);
}

static void require_same_through_json(const struct table *t)
{
    json_t *json = json_from_table(t);
    struct arena arena;
    struct table again;

    arena_init(&arena);
    require(json_to_table(&arena, json, &again) == NULL);
    require(json_object_size(json) == again.count);
    arena_free(&arena);
    json_decref(json);
}

static void on_record(void *context, const struct definition_record *r, const char *place)
{
    (void)context;
    require_place(place, "record");
    require(r->section < DEFINITION_SECTIONS);
    require(r->name.size <= UINT8_MAX && r->vhost.size <= UINT8_MAX);
    require(r->routing_key.size <= UINT8_MAX);
    require_same_through_json(&r->arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct definition_visitor visitor = {
        .record = on_record,
        .problem = on_remark,
        .not_understood = on_remark,
    };
    char error[256] = "";
    int rc =
        definitions_read_json(bytes_of(data, size), bytes_from_string(size % 2 != 0 ? "v" : ""),
                              &visitor, error, sizeof(error));

    require((rc == 0) == (error[0] == '\0'));
    return 0;
}
