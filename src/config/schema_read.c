/* From the YAML tree to the structs, by the table of keys. */
#include "config/schema.h"

#include "base/buffer.h"
#include "base/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUOTED_SIZE_MAX = 40,   /* of a value in a message */
    DESCRIPTION_SIZE = 128, /* of what was found instead of what was wanted */
    SUGGESTION_SIZE = 96,
    ARGUMENT_KEY_SIZE_MAX = 255,
};

struct reader {
    const char *file;
    struct arena *arena;
    struct config_problems *problems;
};

/* All lists of the structs begin with the items and go on with their count. */
struct list_field {
    void *items;
    size_t count;
};

static void *field_at(void *out, size_t offset)
{
    return (char *)out + offset;
}

static void set_line(void *out, size_t line_offset, unsigned line)
{
    if (line_offset != 0)
        memcpy(field_at(out, line_offset), &line, sizeof(line));
}

static struct bytes keep(struct arena *arena, struct bytes text)
{
    uint8_t *copy = arena_alloc(arena, text.size + 1);

    if (text.size != 0)
        memcpy(copy, text.data, text.size);
    return bytes_of(copy, text.size);
}

/* Messages */

static const char *quote(struct bytes text, char *out)
{
    static const char ZERO[] = "\\x00";
    char shown[QUOTED_SIZE_MAX + sizeof(ZERO)] = "";
    size_t size = 0;
    size_t at = 0;

    for (; at < text.size && size < QUOTED_SIZE_MAX; at++) {
        if (text.data[at] != 0) {
            shown[size++] = (char)text.data[at];
            continue;
        }
        memcpy(shown + size, ZERO, sizeof(ZERO) - 1);
        size += sizeof(ZERO) - 1;
    }
    snprintf(out, DESCRIPTION_SIZE, "'%.*s%s'", (int)size, shown, at < text.size ? "…" : "");
    return out;
}

/* What a node is, for "must be …, not …". */
static const char *describe(const struct config_key *key, const struct yaml_node *node, char *out)
{
    static const char *const KINDS[] = {
        [YAML_TYPE_NULL] = "nothing",       [YAML_TYPE_BOOLEAN] = "a boolean",
        [YAML_TYPE_INTEGER] = "an integer", [YAML_TYPE_INTEGER_TOO_BIG] = "an integer",
        [YAML_TYPE_FLOAT] = "a fraction",   [YAML_TYPE_STRING] = "a string",
    };
    enum yaml_type type;

    if (node->kind == YAML_SEQUENCE)
        return "a list";
    if (node->kind == YAML_MAPPING)
        return "a mapping";
    type = yaml_resolve(node).type;
    if (type == YAML_TYPE_NULL || key->secret)
        return KINDS[type];
    return quote(node->text, out);
}

static void must_be(struct reader *r, const struct config_key *key, const struct yaml_node *node,
                    const char *wanted)
{
    char found[DESCRIPTION_SIZE];

    config_problems_add(r->problems, r->file, node->line, "'%s' must be %s, not %s", key->name,
                        wanted, describe(key, node, found));
}

/* The number of edits (insert, delete, replace, swap neighbours) from `a` to `b`, or `limit` + 1
 * when there are more or a word is too long to be a slip of ours. */
static size_t edit_distance(const char *a, const char *b, size_t limit)
{
    enum { WORD_SIZE = 40 };
    size_t distance[WORD_SIZE + 1][WORD_SIZE + 1];
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);

    if (a_size > WORD_SIZE || b_size > WORD_SIZE)
        return limit + 1;
    for (size_t i = 0; i <= a_size; i++)
        distance[i][0] = i;
    for (size_t j = 0; j <= b_size; j++)
        distance[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = distance[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            if (distance[i - 1][j] + 1 < best)
                best = distance[i - 1][j] + 1;
            if (distance[i][j - 1] + 1 < best)
                best = distance[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                distance[i - 2][j - 2] + 1 < best)
                best = distance[i - 2][j - 2] + 1;
            distance[i][j] = best;
        }
    }
    return distance[a_size][b_size];
}

/* The nearest of the words seen so far. */
struct suggestion {
    const char *word; /* NULL: none is near */
    size_t distance;
};

static void suggest(struct suggestion *s, const char *written, const char *candidate)
{
    size_t limit = strlen(candidate) / 3 + 1;
    size_t distance = edit_distance(written, candidate, limit);

    if (distance <= limit && (s->word == NULL || distance < s->distance))
        *s = (struct suggestion){.word = candidate, .distance = distance};
}

static const char *suggestion_text(const struct suggestion *s, char *out)
{
    if (s->word == NULL)
        return "";
    snprintf(out, SUGGESTION_SIZE, " (did you mean '%s'?)", s->word);
    return out;
}

static bool holds_secrets(const struct config_section *section)
{
    for (const struct config_key *key = section->keys; key->name != NULL; key++) {
        if (key->secret)
            return true;
    }
    return false;
}

static void unknown_key(struct reader *r, const struct config_section *section, const char *where,
                        const struct yaml_node *entry)
{
    struct suggestion nearest = {.word = NULL};
    char hint[SUGGESTION_SIZE];
    char written[DESCRIPTION_SIZE];

    if (r->problems->count < CONFIG_PROBLEMS_MAX) {
        for (const struct config_key *key = section->keys; key->name != NULL; key++)
            suggest(&nearest, (const char *)entry->key.data, key->name);
    }
    /* In {password: a,b} the key `b` is half a password. */
    if (nearest.word == NULL && holds_secrets(section)) {
        config_problems_add(r->problems, r->file, entry->key_line,
                            "unknown key in %s (quote a value that holds a comma)", where);
        return;
    }
    config_problems_add(r->problems, r->file, entry->key_line, "unknown key %s%s%s%s",
                        quote(entry->key, written), where != NULL ? " in " : "",
                        where != NULL ? where : "", suggestion_text(&nearest, hint));
}

/* Scalars */

static bool read_boolean(struct reader *r, const struct config_key *key,
                         const struct yaml_node *node, bool *out)
{
    struct yaml_scalar scalar = {.type = YAML_TYPE_NULL};

    if (node->kind == YAML_SCALAR)
        scalar = yaml_resolve(node);
    if (node->kind != YAML_SCALAR || scalar.type != YAML_TYPE_BOOLEAN) {
        must_be(r, key, node, "true or false");
        return false;
    }
    *out = scalar.boolean;
    return true;
}

struct size_unit {
    const char *suffix;
    unsigned shift;
};

static const struct size_unit SIZE_UNITS[] = {
    {"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {NULL, 0},
};

/* digits, blanks, unit. Returns false when it is no such thing; too large ones become the
 * largest. */
static bool parse_size(struct bytes text, uint64_t *out)
{
    const char *s = (const char *)text.data;
    uint64_t n = 0;

    if (strlen(s) != text.size || *s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
            n = UINT64_MAX / 10;
    }
    s += strspn(s, " ");
    for (const struct size_unit *unit = SIZE_UNITS; unit->suffix != NULL; unit++) {
        if (strcmp(s, unit->suffix) != 0)
            continue;
        *out = n > UINT64_MAX >> unit->shift ? UINT64_MAX : n << unit->shift;
        return true;
    }
    return false;
}

static void format_size(uint64_t n, char *out, size_t size)
{
    const struct size_unit *best = &SIZE_UNITS[0];

    for (const struct size_unit *unit = SIZE_UNITS; unit->suffix != NULL; unit++) {
        if (n != 0 && n % (UINT64_C(1) << unit->shift) == 0)
            best = unit;
    }
    snprintf(out, size, "%" PRIu64 "%s", n >> best->shift, best->suffix);
}

static void out_of_range(struct reader *r, const struct config_key *key,
                         const struct yaml_node *node)
{
    char wanted[DESCRIPTION_SIZE];
    char min[32];
    char max[32];

    if (key->type == CONFIG_TYPE_SIZE) {
        format_size(key->min, min, sizeof(min));
        format_size(key->max, max, sizeof(max));
    } else {
        snprintf(min, sizeof(min), "%" PRIu64, key->min);
        snprintf(max, sizeof(max), "%" PRIu64, key->max);
    }
    snprintf(wanted, sizeof(wanted), "between %s and %s", min, max);
    must_be(r, key, node, wanted);
}

/* A number within the key's range. */
static bool read_number(struct reader *r, const struct config_key *key,
                        const struct yaml_node *node, uint64_t *out)
{
    bool size = key->type == CONFIG_TYPE_SIZE;
    struct yaml_scalar scalar;

    if (node->kind != YAML_SCALAR) {
        must_be(r, key, node, size ? "a size" : "an integer");
        return false;
    }
    scalar = yaml_resolve(node);
    if (scalar.type == YAML_TYPE_INTEGER_TOO_BIG ||
        (scalar.type == YAML_TYPE_INTEGER && scalar.integer < 0)) {
        out_of_range(r, key, node);
        return false;
    }
    if (scalar.type == YAML_TYPE_INTEGER) {
        *out = (uint64_t)scalar.integer;
    } else if (!size) {
        must_be(r, key, node, "an integer");
        return false;
    } else if (scalar.type != YAML_TYPE_STRING || !parse_size(node->text, out)) {
        must_be(r, key, node, "a size such as 65536, 64KiB or 16MiB");
        return false;
    }
    if (*out < key->min || *out > key->max) {
        out_of_range(r, key, node);
        return false;
    }
    return true;
}

static void store_number(const struct config_key *key, void *field, uint64_t n)
{
    uint16_t n16 = (uint16_t)n;
    uint32_t n32 = (uint32_t)n;

    switch (key->size) {
    case sizeof(n16):
        memcpy(field, &n16, sizeof(n16));
        return;
    case sizeof(n32):
        memcpy(field, &n32, sizeof(n32));
        return;
    default:
        assert(key->size == sizeof(n));
        memcpy(field, &n, sizeof(n));
    }
}

static bool read_text(struct reader *r, const struct config_key *key, const struct yaml_node *node,
                      struct bytes *out)
{
    const char *why;

    if (node->kind != YAML_SCALAR) {
        must_be(r, key, node, "a string");
        return false;
    }
    if (yaml_resolve(node).type != YAML_TYPE_STRING) {
        must_be(r, key, node, yaml_is_null(node) ? "a string" : "a string in quotes");
        return false;
    }
    if (node->text.size < key->min || node->text.size > key->max) {
        config_problems_add(r->problems, r->file, node->line,
                            "'%s' must have %" PRIu64 " to %" PRIu64 " bytes, not %zu", key->name,
                            key->min, key->max, node->text.size);
        return false;
    }
    if (key->type == CONFIG_TYPE_STRING && memchr(node->text.data, 0, node->text.size) != NULL) {
        config_problems_add(r->problems, r->file, node->line, "'%s' must not hold a zero byte",
                            key->name);
        return false;
    }
    why = key->check != NULL ? key->check(node->text) : NULL;
    if (why != NULL) {
        char found[DESCRIPTION_SIZE];

        config_problems_add(r->problems, r->file, node->line, "'%s' %s, not %s", key->name, why,
                            describe(key, node, found));
        return false;
    }
    *out = node->text;
    return true;
}

static bool read_choice(struct reader *r, const struct config_key *key,
                        const struct yaml_node *node, uint32_t *out)
{
    struct suggestion nearest = {.word = NULL};
    struct buffer wanted;
    char hint[SUGGESTION_SIZE];
    char found[DESCRIPTION_SIZE];

    if (node->kind == YAML_SCALAR) {
        for (const struct config_choice *c = key->choices; c->name != NULL; c++) {
            if (bytes_equal_string(node->text, c->name)) {
                *out = c->value;
                return true;
            }
            suggest(&nearest, (const char *)node->text.data, c->name);
        }
    }
    buffer_init(&wanted);
    for (const struct config_choice *c = key->choices; c->name != NULL; c++) {
        bool last = c[1].name == NULL;

        buffer_append_format(&wanted, "%s%s",
                             c == key->choices ? ""
                             : last            ? " or "
                                               : ", ",
                             c->name);
    }
    config_problems_add(r->problems, r->file, node->line, "'%s' must be %.*s, not %s%s", key->name,
                        BYTES_ARGS(buffer_bytes(&wanted)), describe(key, node, found),
                        suggestion_text(&nearest, hint));
    buffer_free(&wanted);
    return false;
}

static void read_flags(struct reader *r, const struct config_key *key, const struct yaml_node *node,
                       void *field)
{
    uint32_t flags = 0;

    if (node->kind != YAML_SEQUENCE) {
        must_be(r, key, node, "a list");
        return;
    }
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        uint32_t flag;

        if (!read_choice(r, key, item, &flag))
            continue;
        if ((flags & flag) != 0) {
            config_problems_add(r->problems, r->file, item->line, "'%s' names '%.*s' twice",
                                key->name, BYTES_ARGS(item->text));
        }
        flags |= flag;
    }
    memcpy(field, &flags, sizeof(flags));
}

/* Arguments */

static bool argument_table(struct reader *r, const struct yaml_node *node, struct table *out);

static bool argument_scalar(struct reader *r, const struct yaml_node *node, struct value *out)
{
    struct yaml_scalar scalar = yaml_resolve(node);
    char written[DESCRIPTION_SIZE];

    switch (scalar.type) {
    case YAML_TYPE_NULL:
        *out = value_void();
        return true;
    case YAML_TYPE_BOOLEAN:
        *out = value_boolean(scalar.boolean);
        return true;
    case YAML_TYPE_INTEGER:
        *out = value_int64(scalar.integer);
        return true;
    case YAML_TYPE_INTEGER_TOO_BIG:
        config_problems_add(r->problems, r->file, node->line,
                            "the integer %s does not fit in 64 bits", quote(node->text, written));
        return false;
    case YAML_TYPE_FLOAT:
        *out = (struct value){.type = VALUE_DOUBLE, .real = scalar.real};
        return true;
    case YAML_TYPE_STRING:
        *out = value_string(keep(r->arena, node->text));
        return true;
    }
    return false;
}

/* Recursion ends at YAML_DEPTH_MAX. */
static bool argument_value(struct reader *r, const struct yaml_node *node, struct value *out)
{
    struct value_array array = {.items = NULL};
    struct table table = table_empty();
    bool good = true;

    switch (node->kind) {
    case YAML_SCALAR:
        return argument_scalar(r, node, out);
    case YAML_SEQUENCE:
        for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
            struct value v;

            if (argument_value(r, item, &v))
                value_array_append(r->arena, &array, v);
            else
                good = false;
        }
        *out = value_array(array);
        return good;
    case YAML_MAPPING:
        good = argument_table(r, node, &table);
        *out = value_table(table);
        return good;
    }
    return false;
}

static bool argument_table(struct reader *r, const struct yaml_node *node, struct table *out)
{
    bool good = true;

    for (const struct yaml_node *entry = node->first; entry != NULL; entry = entry->next) {
        struct value v;

        if (entry->duplicate)
            continue;
        if (entry->key.size > ARGUMENT_KEY_SIZE_MAX) {
            config_problems_add(r->problems, r->file, entry->key_line,
                                "the name of an argument must have at most %d bytes, not %zu",
                                ARGUMENT_KEY_SIZE_MAX, entry->key.size);
            good = false;
            continue;
        }
        if (argument_value(r, entry, &v))
            table_append(r->arena, out, keep(r->arena, entry->key), v);
        else
            good = false;
    }
    return good;
}

static void read_arguments(struct reader *r, const struct config_key *key,
                           const struct yaml_node *node, void *field)
{
    struct table table = table_empty();

    if (yaml_is_null(node))
        return;
    if (node->kind != YAML_MAPPING) {
        must_be(r, key, node, "a mapping");
        return;
    }
    if (argument_table(r, node, &table))
        memcpy(field, &table, sizeof(table));
}

/* Sections and lists */

static void read_section(struct reader *r, const struct config_section *section, const char *where,
                         const struct yaml_node *node, void *out);

/* A list of the names of things that have nothing else. */
static void read_names(struct reader *r, const struct config_key *key, const struct yaml_node *list,
                       struct list_field *out)
{
    const struct config_section *section = key->section;
    struct config_key entry = section->keys[0];

    entry.name = key->name;
    for (const struct yaml_node *item = list->first; item != NULL; item = item->next) {
        void *thing = field_at(out->items, out->count * section->struct_size);
        struct bytes name;

        if (!read_text(r, &entry, item, &name))
            continue;
        name = keep(r->arena, name);
        memcpy(field_at(thing, entry.offset), &name, sizeof(name));
        set_line(thing, section->line_offset, item->line);
        out->count++;
    }
}

static void read_entries(struct reader *r, const struct config_key *key,
                         const struct yaml_node *list, struct list_field *out)
{
    const struct config_section *section = key->section;

    for (const struct yaml_node *item = list->first; item != NULL; item = item->next) {
        void *entry = field_at(out->items, out->count * section->struct_size);
        char found[DESCRIPTION_SIZE];

        if (item->kind != YAML_MAPPING) {
            config_problems_add(r->problems, r->file, item->line,
                                "an entry of '%s' must be a mapping, not %s", key->name,
                                describe(key, item, found));
            continue;
        }
        config_schema_defaults(section, r->arena, entry);
        set_line(entry, section->line_offset, item->line);
        read_section(r, section, key->name, item, entry);
        out->count++;
    }
}

static void read_list(struct reader *r, const struct config_key *key, const struct yaml_node *node,
                      void *field)
{
    struct list_field list = {.items = NULL};

    if (yaml_is_null(node))
        return;
    if (node->kind != YAML_SEQUENCE) {
        must_be(r, key, node, "a list");
        return;
    }
    if (node->count < key->min) {
        config_problems_add(r->problems, r->file, node->line, "'%s' must not be empty", key->name);
        return;
    }
    /* Never NULL, so that an empty list differs from an absent one. */
    list.items = arena_alloc(r->arena, node->count * key->section->struct_size + 1);
    if (key->type == CONFIG_TYPE_NAMES)
        read_names(r, key, node, &list);
    else
        read_entries(r, key, node, &list);
    memcpy(field, &list, sizeof(list));
}

static void read_value(struct reader *r, const struct config_key *key, const struct yaml_node *node,
                       void *out)
{
    void *field = field_at(out, key->offset);
    struct bytes text;
    uint64_t number;
    uint32_t choice;
    bool boolean;

    set_line(out, key->line_offset, node->line);
    switch (key->type) {
    case CONFIG_TYPE_BOOLEAN:
        if (read_boolean(r, key, node, &boolean))
            memcpy(field, &boolean, sizeof(boolean));
        return;
    case CONFIG_TYPE_INTEGER:
    case CONFIG_TYPE_SIZE:
        if (read_number(r, key, node, &number))
            store_number(key, field, number);
        return;
    case CONFIG_TYPE_STRING:
        if (read_text(r, key, node, &text)) {
            text = keep(r->arena, text);
            memcpy(field, &text.data, sizeof(text.data));
        }
        return;
    case CONFIG_TYPE_NAME:
        if (read_text(r, key, node, &text)) {
            text = keep(r->arena, text);
            memcpy(field, &text, sizeof(text));
        }
        return;
    case CONFIG_TYPE_CHOICE:
        if (read_choice(r, key, node, &choice))
            memcpy(field, &choice, sizeof(choice));
        return;
    case CONFIG_TYPE_FLAGS:
        read_flags(r, key, node, field);
        return;
    case CONFIG_TYPE_ARGUMENTS:
        read_arguments(r, key, node, field);
        return;
    case CONFIG_TYPE_SECTION:
        if (node->kind == YAML_MAPPING)
            read_section(r, key->section, key->name, node, field);
        else if (!yaml_is_null(node))
            must_be(r, key, node, "a mapping");
        return;
    case CONFIG_TYPE_LIST:
    case CONFIG_TYPE_NAMES:
        read_list(r, key, node, field);
        return;
    }
}

static const struct yaml_node *find_entry(const struct yaml_node *mapping, const char *name)
{
    for (const struct yaml_node *entry = mapping->first; entry != NULL; entry = entry->next) {
        if (!entry->duplicate && bytes_equal_string(entry->key, name))
            return entry;
    }
    return NULL;
}

static bool knows_key(const struct config_section *section, struct bytes name)
{
    for (const struct config_key *key = section->keys; key->name != NULL; key++) {
        if (bytes_equal_string(name, key->name))
            return true;
    }
    return false;
}

/* Reads the entries of a mapping over the defaults in `out`. `where` is NULL at the top. */
static void read_section(struct reader *r, const struct config_section *section, const char *where,
                         const struct yaml_node *node, void *out)
{
    for (const struct yaml_node *entry = node->first; entry != NULL; entry = entry->next) {
        if (!knows_key(section, entry->key))
            unknown_key(r, section, where, entry);
    }
    for (const struct config_key *key = section->keys; key->name != NULL; key++) {
        const struct yaml_node *entry = find_entry(node, key->name);

        if (entry != NULL)
            read_value(r, key, entry, out);
        else if (key->required)
            config_problems_add(r->problems, r->file, node->line,
                                "'%s' is missing in an entry of %s", key->name, where);
    }
}

static bool scalar_type(enum config_type type)
{
    switch (type) {
    case CONFIG_TYPE_BOOLEAN:
    case CONFIG_TYPE_INTEGER:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_NAME:
    case CONFIG_TYPE_CHOICE:
        return true;
    case CONFIG_TYPE_FLAGS:
    case CONFIG_TYPE_ARGUMENTS:
    case CONFIG_TYPE_SECTION:
    case CONFIG_TYPE_LIST:
    case CONFIG_TYPE_NAMES:
        return false;
    }
    return false;
}

/* The names of a list as the schema's default has it: "[ONE, OTHER]". */
static uint32_t default_flags(const struct config_key *key)
{
    static const char SEPARATORS[] = "[], ";
    const char *text = key->default_text + strspn(key->default_text, SEPARATORS);
    uint32_t flags = 0;

    while (*text != '\0') {
        struct bytes name = bytes_of(text, strcspn(text, SEPARATORS));
        const struct config_choice *c = key->choices;

        while (c->name != NULL && !bytes_equal_string(name, c->name))
            c++;
        assert(c->name != NULL);
        flags |= c->value;
        text += name.size;
        text += strspn(text, SEPARATORS);
    }
    return flags;
}

void config_schema_defaults(const struct config_section *section, struct arena *arena, void *out)
{
    struct config_problems none;
    struct reader r = {.file = "(default)", .arena = arena, .problems = &none};

    config_problems_init(&none);
    for (const struct config_key *key = section->keys; key->name != NULL; key++) {
        struct yaml_node node = {.kind = YAML_SCALAR};

        if (key->type == CONFIG_TYPE_SECTION)
            config_schema_defaults(key->section, arena, field_at(out, key->offset));
        if (key->default_text != NULL && key->type == CONFIG_TYPE_FLAGS) {
            uint32_t flags = default_flags(key);

            memcpy(field_at(out, key->offset), &flags, sizeof(flags));
        }
        if (key->default_text == NULL || !scalar_type(key->type))
            continue;
        node.text = bytes_from_string(key->default_text);
        node.plain = key->type != CONFIG_TYPE_STRING && key->type != CONFIG_TYPE_NAME;
        read_value(&r, key, &node, out);
    }
    assert(none.count == 0); /* the table's own texts */
    config_problems_free(&none);
}

void config_schema_read(const struct config_section *section, const struct yaml_node *root,
                        const char *file, struct arena *arena, void *out,
                        struct config_problems *problems)
{
    struct reader r = {.file = file, .arena = arena, .problems = problems};

    config_schema_defaults(section, arena, out);
    if (root == NULL || yaml_is_null(root))
        return;
    if (root->kind != YAML_MAPPING) {
        config_problems_add(problems, file, root->line,
                            "a configuration is a mapping of keys to values");
        return;
    }
    read_section(&r, section, NULL, root, out);
}
