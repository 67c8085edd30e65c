#include "admin/definition_reader.h"

#include "admin/json_numbers.h"
#include "admin/json_value.h"
#include "base/buffer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    PLACE_SIZE = 512,
    REASON_SIZE = 512,
};

/* ---- What an object may have ---- */

enum field_type {
    FIELD_TEXT,
    FIELD_NAME, /* text of at most 255 bytes: a short string of AMQP */
    FIELD_BOOLEAN,
    FIELD_INTEGER,
    FIELD_VALUE,
    FIELD_TABLE,   /* an object, or RabbitMQ's list of pairs */
    FIELD_TAGS,    /* a list of texts, or one with commas */
    FIELD_IGNORED, /* it says nothing that the others do not */
    FIELD_UNKEPT,  /* known, and not kept: told unless it is empty */
};

struct field {
    const char *name;
    size_t offset;
    size_t has_offset; /* of a bool that says whether it was there; 0: none */
    enum field_type type;
    bool required;
};

#define AT(field) offsetof(struct definition_record, field)
#define END_OF_FIELDS \
    { \
        .name = NULL \
    }

static const struct field VHOST_FIELDS[] = {
    {"name", AT(name), 0, FIELD_NAME, true}, {"limits", AT(arguments), 0, FIELD_TABLE, false},
    {"metadata", 0, 0, FIELD_UNKEPT, false}, {"description", 0, 0, FIELD_UNKEPT, false},
    {"tags", 0, 0, FIELD_UNKEPT, false},     {"default_queue_type", 0, 0, FIELD_UNKEPT, false},
    {"tracing", 0, 0, FIELD_UNKEPT, false},  END_OF_FIELDS,
};

static const struct field USER_FIELDS[] = {
    {"name", AT(name), 0, FIELD_NAME, true},
    {"password", AT(password), AT(has_password), FIELD_TEXT, false},
    {"password_hash", AT(password_hash), AT(has_password_hash), FIELD_TEXT, false},
    {"hashing_algorithm", AT(hashing_algorithm), 0, FIELD_TEXT, false},
    {"tags", AT(tags), 0, FIELD_TAGS, false},
    {"limits", AT(arguments), 0, FIELD_TABLE, false},
    END_OF_FIELDS,
};

static const struct field PERMISSION_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},        {"user", AT(user), 0, FIELD_NAME, true},
    {"configure", AT(configure), 0, FIELD_TEXT, true}, {"write", AT(write), 0, FIELD_TEXT, true},
    {"read", AT(read), 0, FIELD_TEXT, true},           END_OF_FIELDS,
};

static const struct field TOPIC_PERMISSION_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},      {"user", AT(user), 0, FIELD_NAME, true},
    {"exchange", AT(exchange), 0, FIELD_NAME, true}, {"write", AT(write), 0, FIELD_TEXT, true},
    {"read", AT(read), 0, FIELD_TEXT, true},         END_OF_FIELDS,
};

static const struct field PARAMETER_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},
    {"component", AT(component), 0, FIELD_NAME, true},
    {"name", AT(name), 0, FIELD_NAME, true},
    {"value", AT(value), 0, FIELD_VALUE, true},
    END_OF_FIELDS,
};

static const struct field GLOBAL_PARAMETER_FIELDS[] = {
    {"name", AT(name), 0, FIELD_NAME, true},
    {"value", AT(value), 0, FIELD_VALUE, true},
    END_OF_FIELDS,
};

static const struct field POLICY_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},
    {"name", AT(name), 0, FIELD_NAME, true},
    {"pattern", AT(pattern), 0, FIELD_TEXT, true},
    {"apply-to", AT(apply_to), 0, FIELD_TEXT, false},
    {"priority", AT(priority), 0, FIELD_INTEGER, false},
    {"definition", AT(arguments), 0, FIELD_TABLE, true},
    END_OF_FIELDS,
};

/* The value of a parameter that is an operator policy. */
static const struct field POLICY_VALUE_FIELDS[] = {
    {"pattern", AT(pattern), 0, FIELD_TEXT, true},
    {"apply-to", AT(apply_to), 0, FIELD_TEXT, false},
    {"priority", AT(priority), 0, FIELD_INTEGER, false},
    {"definition", AT(arguments), 0, FIELD_TABLE, true},
    END_OF_FIELDS,
};

static const struct field EXCHANGE_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},
    {"name", AT(name), 0, FIELD_NAME, true},
    {"type", AT(type), 0, FIELD_NAME, true},
    {"durable", AT(durable), 0, FIELD_BOOLEAN, false},
    {"auto_delete", AT(auto_delete), 0, FIELD_BOOLEAN, false},
    {"internal", AT(internal), 0, FIELD_BOOLEAN, false},
    {"arguments", AT(arguments), 0, FIELD_TABLE, false},
    END_OF_FIELDS,
};

static const struct field QUEUE_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},
    {"name", AT(name), 0, FIELD_NAME, true},
    {"type", AT(type), 0, FIELD_NAME, false},
    {"durable", AT(durable), 0, FIELD_BOOLEAN, false},
    {"auto_delete", AT(auto_delete), 0, FIELD_BOOLEAN, false},
    {"arguments", AT(arguments), 0, FIELD_TABLE, false},
    END_OF_FIELDS,
};

static const struct field BINDING_FIELDS[] = {
    {"vhost", AT(vhost), 0, FIELD_NAME, false},
    {"source", AT(source), 0, FIELD_NAME, true},
    {"destination", AT(destination), 0, FIELD_NAME, true},
    {"destination_type", AT(type), 0, FIELD_TEXT, true},
    {"routing_key", AT(routing_key), 0, FIELD_NAME, false},
    {"arguments", AT(arguments), 0, FIELD_TABLE, false},
    {"properties_key", 0, 0, FIELD_IGNORED, false},
    END_OF_FIELDS,
};

static const struct {
    const char *name;
    const struct field *fields;
    bool of_vhost; /* its objects are in one */
    bool in_vhost; /* it is among the definitions of one */
} SECTIONS[DEFINITION_SECTIONS] = {
    [DEFINITION_VHOSTS] = {"vhosts", VHOST_FIELDS, false, false},
    [DEFINITION_USERS] = {"users", USER_FIELDS, false, false},
    [DEFINITION_PERMISSIONS] = {"permissions", PERMISSION_FIELDS, true, false},
    [DEFINITION_TOPIC_PERMISSIONS] = {"topic_permissions", TOPIC_PERMISSION_FIELDS, true, false},
    [DEFINITION_PARAMETERS] = {"parameters", PARAMETER_FIELDS, true, true},
    [DEFINITION_GLOBAL_PARAMETERS] = {"global_parameters", GLOBAL_PARAMETER_FIELDS, false, false},
    [DEFINITION_POLICIES] = {"policies", POLICY_FIELDS, true, true},
    [DEFINITION_EXCHANGES] = {"exchanges", EXCHANGE_FIELDS, true, true},
    [DEFINITION_QUEUES] = {"queues", QUEUE_FIELDS, true, true},
    [DEFINITION_BINDINGS] = {"bindings", BINDING_FIELDS, true, true},
};

/* Who wrote the file. */
static const char *const ORIGIN_KEYS[] = {
    "rabbit_version", "rabbitmq_version",           "product_name",        "product_version",
    "explanation",    "rabbitmq_definition_format", "original_vhost_name", "original_cluster_name",
};

/* What an export of one virtual host says of it, and nobody keeps. */
static const char *const UNKEPT_KEYS[] = {
    "description", "tags", "default_queue_type", "metadata", "limits",
};

const char *definition_section_name(enum definition_section section)
{
    return SECTIONS[section].name;
}

/* ---- Reading one object ---- */

struct reader {
    const struct definition_visitor *visitor;
    struct bytes vhost; /* the one that all objects are of; empty: each says its own */
    struct arena arena; /* of the record at hand */
    bool has_unfit;     /* numbers that are too large are marked */
    bool failed;        /* the object at hand has a fault */
};

static void tell_problem(struct reader *r, const char *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void tell_problem(struct reader *r, const char *place, const char *format, ...)
{
    char reason[REASON_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    r->failed = true;
    r->visitor->problem(r->visitor->context, place, reason);
}

static void below(char out[PLACE_SIZE], const char *place, const char *key)
{
    if (snprintf(out, PLACE_SIZE, "%s.%s", place, key) >= PLACE_SIZE)
        memcpy(out + PLACE_SIZE - sizeof("..."), "...", sizeof("..."));
}

static void below_item(char out[PLACE_SIZE], const char *place, size_t number)
{
    if (snprintf(out, PLACE_SIZE, "%s[%zu]", place, number) >= PLACE_SIZE)
        memcpy(out + PLACE_SIZE - sizeof("..."), "...", sizeof("..."));
}

static struct bytes text_of(const json_t *value)
{
    return bytes_of(json_string_value(value), json_string_length(value));
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "";
}

static void wrong_type(struct reader *r, const char *place, const char *wanted, const json_t *value)
{
    tell_problem(r, place, "must be %s, not %s", wanted, type_name(value));
}

static void read_text(struct reader *r, const json_t *value, const char *place, size_t size_max,
                      struct bytes *out)
{
    if (!json_is_string(value))
        wrong_type(r, place, "a string", value);
    else if (json_string_length(value) > size_max)
        tell_problem(r, place, "must have at most %zu bytes, not %zu", size_max,
                     json_string_length(value));
    else
        *out = text_of(value);
}

/* ["a", "b"], or "a,b" as older versions write it. */
static void read_tags(struct reader *r, const json_t *value, const char *place, struct bytes *out)
{
    struct buffer tags;

    if (json_is_string(value)) {
        *out = text_of(value);
        return;
    }
    if (!json_is_array(value)) {
        wrong_type(r, place, "a list of strings", value);
        return;
    }
    buffer_init(&tags);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *tag = json_array_get(value, i);

        if (!json_is_string(tag)) {
            wrong_type(r, place, "a list of strings", value);
            break;
        }
        if (i != 0)
            buffer_append(&tags, bytes_from_string(","));
        buffer_append(&tags, text_of(tag));
    }
    *out = arena_copy(&r->arena, buffer_bytes(&tags));
    buffer_free(&tags);
}

/* Whether a list is RabbitMQ's way of writing an object: [["key", value], …]. */
static bool is_list_of_pairs(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);

        if (json_array_size(pair) != 2 || !json_is_string(json_array_get(pair, 0)))
            return false;
    }
    return json_is_array(list);
}

static json_t *object_of_pairs(const json_t *list)
{
    json_t *object = json_object();

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);

        json_object_set(object, json_string_value(json_array_get(pair, 0)),
                        json_array_get(pair, 1));
    }
    return object;
}

/* The strings of a table are in its arena. */
static void read_table(struct reader *r, const json_t *value, const char *place, struct table *out)
{
    const char *reason = NULL;

    if (json_is_object(value)) {
        reason = json_to_table(&r->arena, value, out);
    } else if (is_list_of_pairs(value)) {
        json_t *object = object_of_pairs(value);

        reason = json_to_table(&r->arena, object, out);
        json_decref(object);
    } else {
        wrong_type(r, place, "an object", value);
    }
    if (reason != NULL)
        tell_problem(r, place, "%s", reason);
}

static bool is_empty(const json_t *value)
{
    const char *key;
    bool empty = true;

    if (json_is_string(value))
        return json_string_length(value) == 0;
    if (json_is_array(value))
        return json_array_size(value) == 0;
    if (!json_is_object(value))
        return json_is_null(value) || json_is_false(value);
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); empty && at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        key = json_object_iter_key(at);
        empty = is_empty(json_object_get(value, key));
    }
    return empty;
}

static void read_field(struct reader *r, const struct field *f, const json_t *value,
                       const char *place, struct definition_record *out)
{
    char *target = (char *)out + f->offset;

    switch (f->type) {
    case FIELD_TEXT:
        read_text(r, value, place, SIZE_MAX, (struct bytes *)(void *)target);
        break;
    case FIELD_NAME:
        read_text(r, value, place, UINT8_MAX, (struct bytes *)(void *)target);
        break;
    case FIELD_BOOLEAN:
        if (json_is_boolean(value))
            *(bool *)target = json_is_true(value);
        else
            wrong_type(r, place, "true or false", value);
        break;
    case FIELD_INTEGER:
        if (json_is_integer(value))
            *(int64_t *)(void *)target = json_integer_value(value);
        else
            wrong_type(r, place, "a whole number", value);
        break;
    case FIELD_VALUE: {
        const char *reason = json_to_value(&r->arena, value, (struct value *)(void *)target);

        if (reason != NULL)
            tell_problem(r, place, "%s", reason);
        break;
    }
    case FIELD_TABLE:
        read_table(r, value, place, (struct table *)(void *)target);
        break;
    case FIELD_TAGS:
        read_tags(r, value, place, (struct bytes *)(void *)target);
        break;
    case FIELD_IGNORED:
        break;
    case FIELD_UNKEPT:
        if (!is_empty(value))
            r->visitor->not_understood(r->visitor->context, place, "is not kept");
        break;
    }
    if (f->has_offset != 0)
        *((bool *)((char *)out + f->has_offset)) = true;
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (const struct field *f = fields; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}

static void read_fields(struct reader *r, const struct field *fields, const json_t *object,
                        const char *place, struct definition_record *out)
{
    char at_place[PLACE_SIZE];

    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *key = json_object_iter_key(at);
        const struct field *f = find_field(fields, key);

        below(at_place, place, key);
        if (f != NULL)
            read_field(r, f, json_object_iter_value(at), at_place, out);
        else
            r->visitor->not_understood(r->visitor->context, at_place, "is unknown");
    }
    for (const struct field *f = fields; f->name != NULL; f++) {
        if (f->required && json_object_get(object, f->name) == NULL)
            tell_problem(r, place, "has no '%s'", f->name);
    }
}

/* ---- What the fields of a section say together ---- */

/* Operator policies are kept as parameters of a component of their own. */
static void read_operator_policy(struct reader *r, const json_t *object, const char *place,
                                 struct definition_record *out)
{
    const json_t *value = json_object_get(object, "value");
    char at_place[PLACE_SIZE];

    below(at_place, place, "value");
    out->section = DEFINITION_POLICIES;
    out->operator_policy = bytes_equal_string(out->component, "operator_policy");
    if (!json_is_object(value))
        wrong_type(r, at_place, "an object", value);
    else
        read_fields(r, POLICY_VALUE_FIELDS, value, at_place, out);
}

static void finish_queue(struct reader *r, struct definition_record *out)
{
    if (out->type.size != 0 && !bytes_equal_string(out->type, "classic") &&
        table_get(&out->arguments, "x-queue-type") == NULL)
        table_set(&r->arena, &out->arguments, "x-queue-type", value_string(out->type));
}

static void finish_binding(struct reader *r, const char *place, struct definition_record *out)
{
    char at_place[PLACE_SIZE];

    out->to_exchange = bytes_equal_string(out->type, "exchange");
    if (out->to_exchange || bytes_equal_string(out->type, "queue"))
        return;
    below(at_place, place, "destination_type");
    tell_problem(r, at_place, "must be \"queue\" or \"exchange\"");
}

static void finish_record(struct reader *r, const json_t *object, const char *place,
                          struct definition_record *out)
{
    switch (out->section) {
    case DEFINITION_PARAMETERS:
        if (bytes_equal_string(out->component, "operator_policy") ||
            bytes_equal_string(out->component, "policy"))
            read_operator_policy(r, object, place, out);
        break;
    case DEFINITION_QUEUES:
        finish_queue(r, out);
        break;
    case DEFINITION_BINDINGS:
        finish_binding(r, place, out);
        break;
    case DEFINITION_VHOSTS:
    case DEFINITION_USERS:
    case DEFINITION_PERMISSIONS:
    case DEFINITION_TOPIC_PERMISSIONS:
    case DEFINITION_GLOBAL_PARAMETERS:
    case DEFINITION_POLICIES:
    case DEFINITION_EXCHANGES:
    case DEFINITION_SECTIONS:
        break;
    }
}

/* The first number in `value` that is too large, told with its place. Returns whether there is
 * one. */
static bool tell_unfit_number(struct reader *r, const json_t *value, const char *place)
{
    json_t *object = (json_t *)(uintptr_t)value;
    const char *number = json_unfit_number(value);
    char at_place[PLACE_SIZE];

    if (number != NULL) {
        tell_problem(r, place, "the number %s is too large: whole ones have 64 bits", number);
        return true;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        below_item(at_place, place, i);
        if (tell_unfit_number(r, json_array_get(value, i), at_place))
            return true;
    }
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        below(at_place, place, json_object_iter_key(at));
        if (tell_unfit_number(r, json_object_iter_value(at), at_place))
            return true;
    }
    return false;
}

static void read_object(struct reader *r, enum definition_section section, const json_t *object,
                        const char *place)
{
    struct definition_record record = {.section = section};

    r->failed = false;
    arena_init(&r->arena);
    record.durable = section == DEFINITION_EXCHANGES || section == DEFINITION_QUEUES;
    if (r->has_unfit && tell_unfit_number(r, object, place)) {
        arena_free(&r->arena);
        return;
    }
    if (!json_is_object(object))
        wrong_type(r, place, "an object", object);
    else
        read_fields(r, SECTIONS[section].fields, object, place, &record);
    if (r->vhost.size != 0)
        record.vhost = r->vhost;
    if (!r->failed && SECTIONS[section].of_vhost && record.vhost.size == 0)
        tell_problem(r, place, "has no 'vhost'");
    if (!r->failed)
        finish_record(r, object, place, &record);
    if (!r->failed)
        r->visitor->record(r->visitor->context, &record, place);
    arena_free(&r->arena);
}

static void read_section(struct reader *r, enum definition_section section, const json_t *list)
{
    char place[PLACE_SIZE];

    snprintf(place, sizeof(place), "$.%s", SECTIONS[section].name);
    if (json_unfit_number(list) != NULL) {
        tell_problem(r, place, "must be a list, not a number");
        return;
    }
    if (list != NULL && !json_is_array(list)) {
        wrong_type(r, place, "a list", list);
        return;
    }
    if (r->vhost.size != 0 && !SECTIONS[section].in_vhost) {
        if (json_array_size(list) != 0)
            r->visitor->not_understood(r->visitor->context, place,
                                       "is left out of an import into one virtual host");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(place, sizeof(place), "$.%s[%zu]", SECTIONS[section].name, i);
        read_object(r, section, json_array_get(list, i), place);
    }
}

/* ---- The whole ---- */

static bool is_one_of(const char *key, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i], key) == 0)
            return true;
    }
    return false;
}

static bool is_section(const char *key)
{
    for (size_t i = 0; i < DEFINITION_SECTIONS; i++) {
        if (strcmp(SECTIONS[i].name, key) == 0)
            return true;
    }
    return false;
}

/* Why a key of the whole is passed over; NULL when it is not, or that loses nothing. */
static const char *why_passed_over(const char *key, const json_t *value)
{
    if (is_section(key) ||
        is_one_of(key, ORIGIN_KEYS, sizeof(ORIGIN_KEYS) / sizeof(ORIGIN_KEYS[0])))
        return NULL;
    if (is_one_of(key, UNKEPT_KEYS, sizeof(UNKEPT_KEYS) / sizeof(UNKEPT_KEYS[0])))
        return is_empty(value) ? NULL : "is not kept";
    return "is unknown";
}

static void tell_unknown_keys(struct reader *r, json_t *root)
{
    for (void *at = json_object_iter(root); at != NULL; at = json_object_iter_next(root, at)) {
        const char *key = json_object_iter_key(at);
        const char *why = why_passed_over(key, json_object_iter_value(at));
        char place[PLACE_SIZE];

        if (why == NULL)
            continue;
        below(place, "$", key);
        r->visitor->not_understood(r->visitor->context, place, why);
    }
}

int definitions_read_json(struct bytes text, struct bytes vhost,
                          const struct definition_visitor *visitor, char *error, size_t error_size)
{
    struct reader r = {.visitor = visitor, .vhost = vhost};
    json_error_t fault;
    json_t *root = json_load_numbers(text, JSON_REJECT_DUPLICATES, &fault, &r.has_unfit);

    if (root == NULL) {
        snprintf(error, error_size, "line %d, column %d: %s", fault.line, fault.column, fault.text);
        return -EINVAL;
    }
    if (!json_is_object(root)) {
        snprintf(error, error_size, "must be an object, not %s", type_name(root));
        json_decref(root);
        return -EINVAL;
    }
    tell_unknown_keys(&r, root);
    for (enum definition_section s = 0; s < DEFINITION_SECTIONS; s++)
        read_section(&r, s, json_object_get(root, SECTIONS[s].name));
    json_decref(root);
    return 0;
}
