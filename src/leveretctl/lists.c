#include "leveretctl/lists.h"

#include "base/buffer.h"
#include "leveretctl/client.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A column of the command line and where its value is in a row of the API. */
struct column {
    const char *name;
    const char *field; /* NULL: the same name */
};

struct list_command {
    const char *name;
    const char *resource; /* below /api */
    const char *what;     /* for "Listing … ..." */
    const char *defaults; /* columns, separated by commas */
    const struct column *columns;
    bool of_vhost; /* of one virtual host; else of the broker */
};

static const struct column VHOST_COLUMNS[] = {{"name", NULL}, {"tracing", NULL}, {NULL, NULL}};

static const struct column EXCHANGE_COLUMNS[] = {
    {"name", NULL},     {"type", NULL},      {"durable", NULL}, {"auto_delete", NULL},
    {"internal", NULL}, {"arguments", NULL}, {"policy", NULL},  {"messages_delayed", NULL},
    {"vhost", NULL},    {NULL, NULL},
};

static const struct column QUEUE_COLUMNS[] = {
    {"name", NULL},
    {"durable", NULL},
    {"auto_delete", NULL},
    {"arguments", NULL},
    {"exclusive", NULL},
    {"owner_pid", NULL},
    {"policy", NULL},
    {"operator_policy", NULL},
    {"effective_policy_definition", NULL},
    {"messages_ready", NULL},
    {"messages_unacknowledged", NULL},
    {"messages", NULL},
    {"messages_paged_out", NULL},
    {"message_bytes_ready", NULL},
    {"deliveries_expired", NULL},
    {"deliveries_extended", NULL},
    {"settlements_late", NULL},
    {"consumers", NULL},
    {"state", NULL},
    {"type", NULL},
    {"vhost", NULL},
    {"worker", NULL},
    {NULL, NULL},
};

static const struct column BINDING_COLUMNS[] = {
    {"source_name", "source"},
    {"source_kind", "source_type"},
    {"destination_name", "destination"},
    {"destination_kind", "destination_type"},
    {"routing_key", NULL},
    {"arguments", NULL},
    {"vhost", NULL},
    {NULL, NULL},
};

static const struct column CONNECTION_COLUMNS[] = {
    {"pid", NULL},       {"name", NULL},        {"user", NULL},     {"vhost", NULL},
    {"state", NULL},     {"channels", NULL},    {"host", NULL},     {"port", NULL},
    {"peer_host", NULL}, {"peer_port", NULL},   {"protocol", NULL}, {"timeout", NULL},
    {"frame_max", NULL}, {"channel_max", NULL}, {"worker", NULL},   {NULL, NULL},
};

static const struct column CHANNEL_COLUMNS[] = {
    {"pid", NULL},
    {"connection", "connection_pid"},
    {"number", NULL},
    {"user", NULL},
    {"vhost", NULL},
    {"transactional", NULL},
    {"confirm", NULL},
    {"consumer_count", NULL},
    {"messages_unacknowledged", NULL},
    {"messages_unconfirmed", NULL},
    {"prefetch_count", NULL},
    {"global_prefetch_count", NULL},
    {"state", NULL},
    {NULL, NULL},
};

static const struct column CONSUMER_COLUMNS[] = {
    {"queue_name", NULL},
    {"channel_pid", NULL},
    {"consumer_tag", NULL},
    {"ack_required", NULL},
    {"prefetch_count", NULL},
    {"active", NULL},
    {"activity_status", NULL},
    {"arguments", NULL},
    {"messages_unacknowledged", NULL},
    {"vhost", NULL},
    {NULL, NULL},
};

static const struct column USER_COLUMNS[] = {
    {"user", "name"},
    {"tags", NULL},
    {"limits", NULL},
    {NULL, NULL},
};

static const struct column PERMISSION_COLUMNS[] = {
    {"user", NULL}, {"configure", NULL}, {"write", NULL},
    {"read", NULL}, {"vhost", NULL},     {NULL, NULL},
};

static const struct column TOPIC_PERMISSION_COLUMNS[] = {
    {"user", NULL}, {"exchange", NULL}, {"write", NULL},
    {"read", NULL}, {"vhost", NULL},    {NULL, NULL},
};

static const struct column POLICY_COLUMNS[] = {
    {"vhost", NULL},      {"name", NULL},     {"pattern", NULL}, {"apply-to", NULL},
    {"definition", NULL}, {"priority", NULL}, {NULL, NULL},
};

static const struct list_command COMMANDS[] = {
    {"list_policies", "policies", "policies for vhost ",
     "vhost,name,pattern,apply-to,definition,priority", POLICY_COLUMNS, true},
    {"list_operator_policies", "operator-policies", "operator policies for vhost ",
     "vhost,name,pattern,apply-to,definition,priority", POLICY_COLUMNS, true},
    {"list_users", "users", "users", "user,tags", USER_COLUMNS, false},
    {"list_permissions", "permissions", "permissions for vhost ", "user,configure,write,read",
     PERMISSION_COLUMNS, true},
    {"list_topic_permissions", "topic-permissions", "topic permissions for vhost ",
     "user,exchange,write,read", TOPIC_PERMISSION_COLUMNS, true},
    {"list_vhosts", "vhosts", "vhosts", "name", VHOST_COLUMNS, false},
    {"list_exchanges", "exchanges", "exchanges for vhost ", "name,type", EXCHANGE_COLUMNS, true},
    {"list_queues", "queues", "queues for vhost ", "name,messages", QUEUE_COLUMNS, true},
    {"list_bindings", "bindings", "bindings for vhost ",
     "source_name,source_kind,destination_name,destination_kind,routing_key,arguments",
     BINDING_COLUMNS, true},
    {"list_connections", "connections", "connections", "user,peer_host,peer_port,state",
     CONNECTION_COLUMNS, false},
    {"list_channels", "channels", "channels", "pid,user,consumer_count,messages_unacknowledged",
     CHANNEL_COLUMNS, false},
    {"list_consumers", "consumers", "consumers in vhost ",
     "queue_name,channel_pid,consumer_tag,ack_required,prefetch_count,active,arguments",
     CONSUMER_COLUMNS, true},
};

enum {
    COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]),
    COLUMNS_MAX = 32,
};

const struct list_command *list_command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) == 0)
            return &COMMANDS[i];
    }
    return NULL;
}

void list_commands_print_help(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct list_command *c = &COMMANDS[i];

        printf("  %s [COLUMN]...\n                       of", c->name);
        for (const struct column *column = c->columns; column->name != NULL; column++)
            printf("%s%s",
                   (column - c->columns) % 5 == 0 && column != c->columns
                       ? "\n                       "
                       : " ",
                   column->name);
        putchar('\n');
    }
}

/* ---- Which columns ---- */

struct selection {
    const struct column *columns[COLUMNS_MAX];
    size_t count;
};

static int select_column(const struct list_command *c, const char *name, size_t size,
                         struct selection *s)
{
    for (const struct column *column = c->columns; column->name != NULL; column++) {
        if (strlen(column->name) == size && strncmp(column->name, name, size) == 0) {
            if (s->count < COLUMNS_MAX)
                s->columns[s->count++] = column;
            return 0;
        }
    }
    return -1;
}

/* The arguments, each a column or some with blanks or commas between. */
static int select_columns(const struct list_command *c, const struct options *o,
                          struct selection *s)
{
    s->count = 0;
    for (int i = 0; i < (o->count != 0 ? o->count : 1); i++) {
        const char *at = o->count != 0 ? o->arguments[i] : c->defaults;

        while (*at != '\0') {
            size_t size = strcspn(at, ", \t");

            if (size != 0 && select_column(c, at, size, s) < 0)
                return bad_usage("there is no column ", at);
            at += size;
            at += strspn(at, ", \t");
        }
    }
    return s->count != 0 ? 0 : bad_usage("no column is named", "");
}

static const char *field_of(const struct column *c)
{
    return c->field != NULL ? c->field : c->name;
}

/* ---- Output ---- */

/* Text as it is, but for what would end a column or a row. */
static void print_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ')
            printf("\\%03o", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
}

static bool is_list_of_texts(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return false;
    }
    return json_is_array(value);
}

static void print_texts(const json_t *list)
{
    putchar('[');
    for (size_t i = 0; i < json_array_size(list); i++) {
        fputs(i != 0 ? ", " : "", stdout);
        print_text(json_string_value(json_array_get(list, i)));
    }
    putchar(']');
}

static void print_value(const json_t *value)
{
    char *text;

    if (json_is_string(value)) {
        print_text(json_string_value(value));
        return;
    }
    if (value == NULL || json_is_null(value))
        return;
    if (is_list_of_texts(value)) {
        print_texts(value);
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text != NULL)
        fputs(text, stdout);
    free(text);
}

static void print_table(const json_t *rows, const struct selection *s, bool headers)
{
    for (size_t k = 0; headers && k < s->count; k++)
        printf("%s%s", s->columns[k]->name, k + 1 < s->count ? "\t" : "\n");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        for (size_t k = 0; k < s->count; k++) {
            print_value(json_object_get(json_array_get(rows, i), field_of(s->columns[k])));
            putchar(k + 1 < s->count ? '\t' : '\n');
        }
    }
}

static void print_json(const json_t *rows, const struct selection *s)
{
    putchar('[');
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        json_t *selected = json_object();
        char *text;

        for (size_t k = 0; k < s->count; k++) {
            json_t *value = json_object_get(row, field_of(s->columns[k]));

            json_object_set_new(selected, s->columns[k]->name,
                                value != NULL ? json_incref(value) : json_null());
        }
        text = json_dumps(selected, JSON_COMPACT);
        printf("%s%s", i != 0 ? ",\n" : "", text != NULL ? text : "{}");
        free(text);
        json_decref(selected);
    }
    puts("]");
}

/* ---- Asking ---- */

static json_t *fetch(const struct options *o, const char *path, char *error, size_t error_size)
{
    char *socket = options_socket(o);
    const struct client_request r = {.socket = socket, .method = "GET", .path = path};
    struct buffer body;
    json_t *answer = NULL;

    buffer_init(&body);
    if (client_send(&r, &body, error, error_size) == 0) {
        answer = json_loadb((const char *)body.data, body.size, 0, NULL);
        if (answer == NULL)
            snprintf(error, error_size, "the broker's answer is not JSON");
    }
    buffer_free(&body);
    free(socket);
    return answer;
}

static void append_path(const struct list_command *c, const struct options *o,
                        const struct selection *s, struct buffer *path)
{
    buffer_append_format(path, "/api/%s", c->resource);
    if (c->of_vhost) {
        char *vhost = client_encode(o->vhost);

        buffer_append_format(path, "/%s", vhost);
        free(vhost);
    }
    for (size_t i = 0; i < s->count; i++)
        buffer_append_format(path, "%s%s", i == 0 ? "?columns=" : ",", field_of(s->columns[i]));
    buffer_append(path, bytes_of("", 1));
}

int list_command_run(const struct list_command *c, const struct options *o)
{
    char error[ERROR_SIZE] = "";
    struct selection s;
    struct buffer path;
    json_t *rows;

    if (select_columns(c, o, &s) != 0)
        return EXIT_BAD_USAGE;
    buffer_init(&path);
    append_path(c, o, &s, &path);
    rows = fetch(o, (const char *)path.data, error, sizeof(error));
    buffer_free(&path);
    if (rows == NULL)
        return command_failed(error);
    if (o->format == OUTPUT_JSON) {
        print_json(rows, &s);
    } else {
        if (!o->quiet)
            printf("Listing %s%s ...\n", c->what, c->of_vhost ? o->vhost : "");
        print_table(rows, &s, !o->no_headers);
    }
    json_decref(rows);
    return EXIT_SUCCESS;
}

/* ---- Status ---- */

static const struct {
    const char *field;
    const char *label;
} STATUS_LINES[] = {
    {"product_version", "Version"},
    {"os_pid", "OS process"},
    {"uptime_s", "Uptime (s)"},
    {"data_directory", "Data directory"},
    {"config_file", "Config file"},
    {"listeners", "Listeners"},
    {"workers", "Workers"},
    {"connections", "Connections"},
    {"connections_max", "Connections at most"},
    {"handshakes", "Connections without a login"},
    {"handshakes_max", "Those at most"},
    {"queues", "Queues"},
    {"exchanges", "Exchanges beside the predeclared"},
    {"bindings", "Bindings"},
    {"alarms", "Alarms"},
    {"mem_used", "Memory used (bytes)"},
    {"mem_limit", "Memory high watermark (bytes)"},
    {"disk_free", "Disk free (bytes)"},
    {"disk_free_limit", "Disk free limit (bytes)"},
};

static void print_status(const json_t *overview)
{
    for (size_t i = 0; i < sizeof(STATUS_LINES) / sizeof(STATUS_LINES[0]); i++) {
        const json_t *value = json_object_get(overview, STATUS_LINES[i].field);

        printf("%s: ", STATUS_LINES[i].label);
        if (!json_is_array(value))
            print_value(value);
        else if (json_array_size(value) == 0)
            fputs("none", stdout);
        for (size_t k = 0; k < json_array_size(value); k++) {
            fputs(k != 0 ? ", " : "", stdout);
            print_value(json_array_get(value, k));
        }
        putchar('\n');
    }
}

int status_run(const struct options *o)
{
    char error[ERROR_SIZE] = "";
    json_t *overview = fetch(o, "/api/overview", error, sizeof(error));

    if (overview == NULL)
        return command_failed(error);
    if (o->format == OUTPUT_JSON) {
        json_dumpf(overview, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_status(overview);
    }
    json_decref(overview);
    return EXIT_SUCCESS;
}
