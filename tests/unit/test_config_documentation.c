/* Holds docs/configuration.md and etc/leveret.yaml against the table of keys. */
#include "base/buffer.h"
#include "config/config.h"
#include "config/schema.h"
#include "tests/unit/unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROW_SIZE = 1024,
};

/* A file of the source tree, on the heap. */
static char *source_file(const char *name)
{
    const char *top_srcdir = getenv("top_srcdir");
    char path[4096];
    struct buffer content;
    char *text;
    FILE *f;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", top_srcdir != NULL ? top_srcdir : ".", name);
    f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    buffer_init(&content);
    do {
        n = fread(buffer_reserve(&content, 4096), 1, 4096, f);
        content.size += n;
    } while (n != 0);
    fclose(f);
    text = bytes_to_string(buffer_bytes(&content));
    buffer_free(&content);
    return text;
}

static const char *type_text(enum config_type type)
{
    switch (type) {
    case CONFIG_TYPE_BOOLEAN:
        return "true or false";
    case CONFIG_TYPE_INTEGER:
        return "integer";
    case CONFIG_TYPE_SIZE:
        return "size";
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_NAME:
        return "string";
    case CONFIG_TYPE_CHOICE:
        return "one of";
    case CONFIG_TYPE_FLAGS:
        return "list of";
    case CONFIG_TYPE_ARGUMENTS:
        return "mapping";
    case CONFIG_TYPE_SECTION:
        return "section";
    case CONFIG_TYPE_LIST:
        return "list";
    case CONFIG_TYPE_NAMES:
        return "list of strings";
    }
    return "";
}

static void format_number(enum config_type type, uint64_t n, char out[32])
{
    static const char *const UNITS[] = {"", "KiB", "MiB", "GiB"};
    size_t unit = 0;

    while (type == CONFIG_TYPE_SIZE && n != 0 && n % 1024 == 0 && unit < 3) {
        n /= 1024;
        unit++;
    }
    snprintf(out, 32, "%" PRIu64 "%s", n, UNITS[unit]);
}

static void format_range(const struct config_key *key, char *out, size_t size)
{
    char min[32];
    char max[32];

    out[0] = '\0';
    if (key->choices != NULL) {
        for (const struct config_choice *c = key->choices; c->name != NULL; c++)
            snprintf(out + strlen(out), size - strlen(out), "%s%s", out[0] != '\0' ? ", " : "",
                     c->name);
        return;
    }
    format_number(key->type, key->min, min);
    format_number(key->type, key->max, max);
    if (key->type == CONFIG_TYPE_INTEGER || key->type == CONFIG_TYPE_SIZE)
        snprintf(out, size, "%s to %s", min, max);
    else if (key->type == CONFIG_TYPE_STRING || key->type == CONFIG_TYPE_NAME)
        snprintf(out, size, "%s to %s bytes", min, max);
}

static void format_default(const struct config_key *key, char *out, size_t size)
{
    if (key->required)
        snprintf(out, size, "required");
    else if (key->default_text == NULL)
        snprintf(out, size, "absent");
    else
        snprintf(out, size, "`%s`", key->default_text[0] != '\0' ? key->default_text : "\"\"");
}

/* The key's row in the manual's table. */
static void format_row(const char *path, const struct config_key *key, char out[ROW_SIZE])
{
    char range[256];
    char by_default[128];

    format_range(key, range, sizeof(range));
    format_default(key, by_default, sizeof(by_default));
    snprintf(out, ROW_SIZE, "\n| `%s` | %s | %s | %s | %s | %s |\n", path, type_text(key->type),
             range, by_default, key->applies == CONFIG_AT_RELOAD ? "reload" : "restart", key->doc);
}

struct walk {
    const char *text;
    unsigned keys;
    unsigned missing;
};

static void expect_row(const char *path, const struct config_key *key, void *context)
{
    struct walk *walk = context;
    char row[ROW_SIZE];

    format_row(path, key, row);
    walk->keys++;
    if (strstr(walk->text, row) == NULL) {
        fprintf(stderr, "docs/configuration.md lacks this row:%s", row);
        walk->missing++;
    }
}

START_TEST(manual_has_a_true_row_for_every_key)
{
    char *text = source_file("docs/configuration.md");
    struct walk walk = {.text = text};
    unsigned rows = 0;

    config_schema_walk(expect_row, &walk);
    ck_assert_uint_eq(walk.missing, 0);
    ck_assert_uint_ge(walk.keys, 50);

    /* And none for a key that is no more. */
    for (const char *row = strstr(text, "\n| `"); row != NULL; row = strstr(row + 1, "\n| `")) {
        const char *end = strchr(row + 1, '\n');

        rows += memmem(row, (size_t)(end - row), "| reload |", 10) != NULL ||
                memmem(row, (size_t)(end - row), "| restart |", 11) != NULL;
    }
    ck_assert_uint_eq(rows, walk.keys);
    free(text);
}
END_TEST

/* Whether `line` is a setting, commented out: `#key:`, `#- …` or `#  key:` of the list entry begun
 * above it. What is prose begins with a capital letter or holds no colon behind its first word. */
static bool is_commented_setting(const char *line, size_t size)
{
    size_t i = 0;

    while (i < size && line[i] == ' ')
        i++;
    if (i == size || line[i] != '#')
        return false;
    i++;
    while (i < size && line[i] == ' ')
        i++;
    if (i + 1 < size && line[i] == '-' && line[i + 1] == ' ')
        return true;
    while (i < size && (islower((unsigned char)line[i]) || line[i] == '_' || line[i] == '-'))
        i++;
    return i < size && line[i] == ':' && line[i - 1] != ' ' && line[i - 1] != '#';
}

/* The text with every commented setting in force. */
static struct buffer uncommented(const char *text)
{
    struct buffer out;

    buffer_init(&out);
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        const char *sign = memchr(text, '#', size);

        if (is_commented_setting(text, size)) {
            buffer_append(&out, bytes_of(text, (size_t)(sign - text)));
            buffer_append(&out, bytes_of(sign + 1, (size_t)(text + size - sign - 1)));
        } else {
            buffer_append(&out, bytes_of(text, size));
        }
        buffer_append_format(&out, "\n");
        text += size + (text[size] == '\n');
    }
    return out;
}

static struct config *expect_loads(struct bytes text)
{
    struct config_problems problems;
    struct config *c;

    config_problems_init(&problems);
    if (config_load_text("etc/leveret.yaml", text, NULL, &c, &problems) < 0) {
        config_problems_print(&problems, stderr);
        ck_abort_msg("etc/leveret.yaml has problems");
    }
    return c;
}

START_TEST(shipped_file_says_the_defaults)
{
    char *text = source_file("etc/leveret.yaml");
    struct config *shipped = expect_loads(bytes_from_string(text));
    struct config *defaults = config_default();

    ck_assert_uint_eq(shipped->listeners.count, 1);
    ck_assert_str_eq(shipped->listeners.items[0].address, defaults->listeners.items[0].address);
    ck_assert_uint_eq(shipped->listeners.items[0].port, defaults->listeners.items[0].port);
    ck_assert_mem_eq(&shipped->limits, &defaults->limits, sizeof(defaults->limits));
    ck_assert_mem_eq(&shipped->journal, &defaults->journal, sizeof(defaults->journal));
    ck_assert_mem_eq(&shipped->memory, &defaults->memory, sizeof(defaults->memory));
    ck_assert_mem_eq(&shipped->disk, &defaults->disk, sizeof(defaults->disk));
    ck_assert_mem_eq(&shipped->admin, &defaults->admin, sizeof(defaults->admin));
    ck_assert_uint_eq(shipped->users.count, 1);
    ck_assert_str_eq(shipped->users.items[0].password, defaults->users.items[0].password);
    ck_assert(shipped->users.items[0].loopback_only);
    ck_assert_uint_eq(shipped->vhosts.count, 1);
    ck_assert_uint_eq(shipped->permissions.count, 1);
    ck_assert_uint_eq(shipped->topology.queues.count, 0);
    config_free(shipped);
    config_free(defaults);
    free(text);
}
END_TEST

/* Limits that are written there as comments are the defaults, and the examples are good. */
START_TEST(commented_settings_of_the_shipped_file_are_valid)
{
    char *text = source_file("etc/leveret.yaml");
    struct buffer all = uncommented(text);
    struct config *c = expect_loads(buffer_bytes(&all));
    struct config *defaults = config_default();

    ck_assert_mem_eq(&c->limits, &defaults->limits, sizeof(defaults->limits));
    ck_assert_mem_eq(&c->journal, &defaults->journal, sizeof(defaults->journal));
    ck_assert_mem_eq(&c->memory, &defaults->memory, sizeof(defaults->memory));
    ck_assert_mem_eq(&c->disk, &defaults->disk, sizeof(defaults->disk));
    ck_assert_str_eq(c->data_dir, defaults->data_dir);
    ck_assert_str_eq(c->server.product, defaults->server.product);
    ck_assert_int_eq(c->log.level, defaults->log.level);
    ck_assert_uint_eq(c->users.count, 2);
    ck_assert_uint_eq(c->vhosts.count, 2);
    ck_assert_uint_eq(c->permissions.count, 2);
    ck_assert_uint_eq(c->topology.exchanges.count, 2);
    ck_assert_uint_eq(c->topology.queues.count, 2);
    ck_assert_uint_eq(c->topology.bindings.count, 2);
    config_free(c);
    config_free(defaults);
    buffer_free(&all);
    free(text);
}
END_TEST

/* The node under a path such as "users[].name", or NULL. */
static const struct yaml_node *find_path(const struct yaml_node *node, const char *path)
{
    while (node != NULL && *path != '\0') {
        size_t size = strcspn(path, ".[");

        if (node->kind == YAML_SEQUENCE) {
            /* Any entry of the list may have the key. */
            for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
                const struct yaml_node *found = find_path(item, path);

                if (found != NULL)
                    return found;
            }
            return NULL;
        }
        for (node = node->first; node != NULL; node = node->next) {
            if (bytes_equal(node->key, bytes_of(path, size)))
                break;
        }
        path += size;
        path += strspn(path, ".[]");
    }
    return node;
}

struct yaml_walk {
    const struct yaml_node *root;
    unsigned missing;
};

static void expect_key(const char *path, const struct config_key *key, void *context)
{
    struct yaml_walk *walk = context;

    (void)key;
    if (find_path(walk->root, path) == NULL) {
        fprintf(stderr, "etc/leveret.yaml lacks the key %s\n", path);
        walk->missing++;
    }
}

START_TEST(shipped_file_shows_every_key)
{
    char *text = source_file("etc/leveret.yaml");
    struct buffer all = uncommented(text);
    struct config_problems problems;
    struct yaml_tree tree;
    struct yaml_walk walk = {.missing = 0};

    config_problems_init(&problems);
    ck_assert_int_eq(yaml_tree_parse(&tree, "f", buffer_bytes(&all), &problems), 0);
    walk.root = tree.root;
    config_schema_walk(expect_key, &walk);
    ck_assert_uint_eq(walk.missing, 0);
    yaml_tree_free(&tree);
    buffer_free(&all);
    free(text);
}
END_TEST

UNIT_MAIN("config_documentation", manual_has_a_true_row_for_every_key,
          shipped_file_says_the_defaults, commented_settings_of_the_shipped_file_are_valid,
          shipped_file_shows_every_key)
