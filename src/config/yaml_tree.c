#include "config/yaml_tree.h"

#include "base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static const char STR_TAG[] = "tag:yaml.org,2002:str";

struct builder {
    struct yaml_tree *tree;
    const char *file;
    struct config_problems *problems;
    bool failed;
    struct hash_map keys; /* all keys of all mappings: (mapping, key) → node */
    unsigned documents;

    /* The sequences and mappings that are open, outermost first. */
    struct yaml_node *open[YAML_DEPTH_MAX];
    unsigned depth;

    /* In the innermost mapping: a key was read and its value comes next. */
    bool have_key;
    struct bytes key;
    unsigned key_line;
};

static unsigned line_of(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

#define fail(b, line, ...) \
    do { \
        config_problems_add((b)->problems, (b)->file, line, __VA_ARGS__); \
        (b)->failed = true; \
    } while (0)

/* A copy with a zero byte behind it. */
static struct bytes copy_text(struct arena *a, const yaml_char_t *text, size_t size)
{
    uint8_t *copy = arena_alloc(a, size + 1);

    if (size != 0)
        memcpy(copy, text, size);
    return bytes_of(copy, size);
}

struct key_of_mapping {
    const struct yaml_node *mapping;
    struct bytes key;
};

static uint64_t key_hash(struct key_of_mapping k)
{
    return bytes_hash_seeded(k.key, (uint64_t)(uintptr_t)k.mapping);
}

static bool key_matches(const struct hash_node *hash_node, const void *key)
{
    const struct yaml_node *node = container_of(hash_node, struct yaml_node, by_key);
    const struct key_of_mapping *wanted = key;

    return node->parent == wanted->mapping && bytes_equal(node->key, wanted->key);
}

/* The first entry of `mapping` under `key`, or NULL. */
static const struct yaml_node *find_key(const struct builder *b, struct key_of_mapping k)
{
    struct hash_node *found = hash_map_find(&b->keys, key_hash(k), key_matches, &k);

    return found != NULL ? container_of(found, struct yaml_node, by_key) : NULL;
}

static void append_child(struct yaml_node *parent, struct yaml_node *child)
{
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

/* Puts a finished scalar or an opened collection where it belongs. */
static void place(struct builder *b, struct yaml_node *node)
{
    struct yaml_node *parent;
    struct key_of_mapping k;
    const struct yaml_node *earlier;

    if (b->depth == 0) {
        b->tree->root = node;
        return;
    }
    parent = b->open[b->depth - 1];
    node->parent = parent;
    if (parent->kind == YAML_SEQUENCE) {
        append_child(parent, node);
        return;
    }
    node->key = b->key;
    node->key_line = b->key_line;
    b->have_key = false;
    k = (struct key_of_mapping){.mapping = parent, .key = node->key};
    earlier = find_key(b, k);
    if (earlier != NULL) {
        fail(b, node->key_line, "duplicate key '%.*s' (first on line %u)", BYTES_ARGS(node->key),
             earlier->key_line);
        node->duplicate = true;
    } else {
        hash_map_insert(&b->keys, &node->by_key, key_hash(k));
    }
    append_child(parent, node);
}

static bool expects_key(const struct builder *b)
{
    return b->depth != 0 && b->open[b->depth - 1]->kind == YAML_MAPPING && !b->have_key;
}

/* What stands behind the sign is not printed: it may be a password that lacks its quotes. */
static void refuse_anchor(struct builder *b, const yaml_char_t *anchor, unsigned line)
{
    if (anchor != NULL)
        fail(b, line,
             "anchors and aliases are not supported "
             "(quote a value that begins with '&' or '*')");
}

static void refuse_tag(struct builder *b, unsigned line)
{
    fail(b, line, "tags are not supported, except !!str (quote a value that begins with '!')");
}

static void on_scalar(struct builder *b, const yaml_event_t *event)
{
    const yaml_char_t *tag = event->data.scalar.tag;
    unsigned line = line_of(event->start_mark);
    struct bytes text =
        copy_text(&b->tree->arena, event->data.scalar.value, event->data.scalar.length);
    struct yaml_node *node;

    refuse_anchor(b, event->data.scalar.anchor, line);
    if (tag != NULL && strcmp((const char *)tag, STR_TAG) != 0 &&
        strcmp((const char *)tag, "!") != 0)
        refuse_tag(b, line);
    if (expects_key(b)) {
        b->have_key = true;
        b->key = text;
        b->key_line = line;
        return;
    }
    node = arena_alloc(&b->tree->arena, sizeof(*node));
    node->kind = YAML_SCALAR;
    node->line = line;
    node->text = text;
    node->plain = tag == NULL && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    place(b, node);
}

/* Returns whether reading can go on. */
static bool on_collection_start(struct builder *b, enum yaml_kind kind, const yaml_event_t *event)
{
    bool mapping = kind == YAML_MAPPING;
    const yaml_char_t *tag =
        mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor =
        mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    unsigned line = line_of(event->start_mark);
    struct yaml_node *node;

    refuse_anchor(b, anchor, line);
    if (tag != NULL)
        refuse_tag(b, line);
    if (expects_key(b)) {
        fail(b, line, "a key must be a scalar, not a %s", mapping ? "mapping" : "list");
        return false;
    }
    if (b->depth == YAML_DEPTH_MAX) {
        fail(b, line, "nested deeper than %d levels", YAML_DEPTH_MAX);
        return false;
    }
    node = arena_alloc(&b->tree->arena, sizeof(*node));
    node->kind = kind;
    node->line = line;
    place(b, node);
    b->open[b->depth++] = node;
    return true;
}

/* Returns whether reading can go on. */
static bool on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    case YAML_STREAM_END_EVENT:
        b->tree->complete = true;
        return false;
    case YAML_DOCUMENT_START_EVENT:
        if (++b->documents == 1)
            return true;
        fail(b, line_of(event->start_mark), "only one YAML document is allowed");
        return false;
    case YAML_ALIAS_EVENT:
        refuse_anchor(b, event->data.alias.anchor, line_of(event->start_mark));
        return false;
    case YAML_SCALAR_EVENT:
        on_scalar(b, event);
        return true;
    case YAML_SEQUENCE_START_EVENT:
        return on_collection_start(b, YAML_SEQUENCE, event);
    case YAML_MAPPING_START_EVENT:
        return on_collection_start(b, YAML_MAPPING, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return true;
    }
    return false;
}

/* An event holds a copy of its text, perhaps a password. */
static void delete_event(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        explicit_bzero(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}

static void delete_parser(yaml_parser_t *parser)
{
    if (parser->buffer.start != NULL)
        explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
    if (parser->raw_buffer.start != NULL)
        explicit_bzero(parser->raw_buffer.start,
                       (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
    yaml_parser_delete(parser);
}

static unsigned line_at(struct bytes text, size_t offset)
{
    unsigned line = 1;

    for (size_t i = 0; i < offset && i < text.size; i++)
        line += text.data[i] == '\n';
    return line;
}

static void add_syntax_problem(struct builder *b, const yaml_parser_t *parser, struct bytes text)
{
    const char *problem = parser->problem != NULL ? parser->problem : "unknown error";

    if (parser->error == YAML_READER_ERROR)
        fail(b, line_at(text, parser->problem_offset), "not valid YAML: %s", problem);
    else if (parser->context != NULL)
        fail(b, line_of(parser->problem_mark), "not valid YAML: %s, %s", parser->context, problem);
    else
        fail(b, line_of(parser->problem_mark), "not valid YAML: %s", problem);
}

int yaml_tree_parse(struct yaml_tree *tree, const char *file, struct bytes text,
                    struct config_problems *problems)
{
    struct builder b = {.tree = tree, .file = file, .problems = problems};
    yaml_parser_t parser;
    bool more = true;

    arena_init(&tree->arena);
    tree->root = NULL;
    tree->complete = false;
    if (yaml_parser_initialize(&parser) == 0) {
        fail(&b, 0, "out of memory");
        return -EINVAL;
    }
    hash_map_init(&b.keys);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.data != NULL ? text.data : (const unsigned char *)"",
                                 text.size);
    while (more) {
        yaml_event_t event;

        if (yaml_parser_parse(&parser, &event) == 0) {
            add_syntax_problem(&b, &parser, text);
            break;
        }
        more = on_event(&b, &event);
        delete_event(&event);
    }
    delete_parser(&parser);
    hash_map_clear(&b.keys);
    return b.failed ? -EINVAL : 0;
}

static void wipe(const struct yaml_node *node)
{
    for (; node != NULL; node = node->next) {
        if (node->text.size != 0)
            explicit_bzero((void *)(uintptr_t)node->text.data, node->text.size);
        wipe(node->first);
    }
}

void yaml_tree_free(struct yaml_tree *tree)
{
    wipe(tree->root);
    tree->root = NULL;
    arena_free(&tree->arena);
}

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(s, *words) == 0)
            return true;
    }
    return false;
}

/* [-+]? digits, 0x hexadecimal or 0o octal digits. */
static bool looks_like_integer(const char *s, int *base, const char **digits)
{
    const char *allowed = "0123456789";

    *base = 10;
    *digits = s;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o')) {
        *base = s[1] == 'x' ? 16 : 8;
        allowed = s[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
        *digits = s + 2;
    } else if (s[0] == '-' || s[0] == '+') {
        s++;
    }
    if (*base != 10)
        s += 2;
    return *s != '\0' && s[strspn(s, allowed)] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_like_float(const char *s)
{
    static const char DIGITS[] = "0123456789";
    size_t whole;
    size_t fraction = 0;

    if (*s == '-' || *s == '+')
        s++;
    whole = strspn(s, DIGITS);
    s += whole;
    if (*s == '.') {
        s++;
        fraction = strspn(s, DIGITS);
        s += fraction;
    }
    if (whole == 0 && fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        size_t exponent;

        s++;
        if (*s == '-' || *s == '+')
            s++;
        exponent = strspn(s, DIGITS);
        if (exponent == 0)
            return false;
        s += exponent;
    }
    return *s == '\0';
}

static bool special_float(const char *s, double *out)
{
    static const char *const NANS[] = {".nan", ".NaN", ".NAN", NULL};
    static const char *const INFINITIES[] = {".inf", ".Inf", ".INF", NULL};
    bool negative = *s == '-';

    if (is_one_of(s, NANS)) {
        *out = NAN;
        return true;
    }
    if (*s == '-' || *s == '+')
        s++;
    *out = negative ? -INFINITY : INFINITY;
    return is_one_of(s, INFINITIES);
}

struct yaml_scalar yaml_resolve(const struct yaml_node *scalar)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const TRUES[] = {"true", "True", "TRUE", NULL};
    static const char *const FALSES[] = {"false", "False", "FALSE", NULL};
    const char *s = (const char *)scalar->text.data;
    struct yaml_scalar result = {.type = YAML_TYPE_STRING};
    const char *digits;
    int base;

    if (!scalar->plain || strlen(s) != scalar->text.size)
        return result;
    if (is_one_of(s, NULLS)) {
        result.type = YAML_TYPE_NULL;
    } else if (is_one_of(s, TRUES) || is_one_of(s, FALSES)) {
        result.type = YAML_TYPE_BOOLEAN;
        result.boolean = is_one_of(s, TRUES);
    } else if (looks_like_integer(s, &base, &digits)) {
        errno = 0;
        result.type = YAML_TYPE_INTEGER;
        result.integer = strtoll(digits, NULL, base);
        if (errno == ERANGE)
            result.type = YAML_TYPE_INTEGER_TOO_BIG;
    } else if (looks_like_float(s)) {
        result.type = YAML_TYPE_FLOAT;
        result.real = strtod(s, NULL);
    } else if (special_float(s, &result.real)) {
        result.type = YAML_TYPE_FLOAT;
    }
    return result;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && yaml_resolve(node).type == YAML_TYPE_NULL;
}
