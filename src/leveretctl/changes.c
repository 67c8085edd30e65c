#include "leveretctl/changes.h"

#include "base/buffer.h"
#include "leveretctl/client.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ANY_NUMBER = 64,
    PASSWORD_SIZE = 1026, /* with a newline and a terminator */
};

/* In `path` %v stands for the virtual host and %1, %2 for arguments. */
struct change_command {
    const char *name;
    const char *arguments; /* for the help */
    const char *method;
    const char *path;
    int arguments_min;
    int arguments_max;
    /* The body, from the arguments; NULL after saying what is wrong with them. */
    json_t *(*body)(const struct options *o);
};

/* ---- Bodies ---- */

static json_t *no_body(const struct options *o)
{
    (void)o;
    return json_object();
}

static bool set_text(json_t *body, const char *key, const char *text)
{
    json_t *value = json_string(text);

    if (value == NULL) {
        fprintf(stderr, "leveretctl: %s is not UTF-8\n", key);
        return false;
    }
    json_object_set_new(body, key, value);
    return true;
}

/* The keys and the arguments that go with them; the list ends with NULL. */
static json_t *texts(const struct options *o, int first, const char *const *keys)
{
    json_t *body = json_object();

    for (int i = 0; keys[i] != NULL; i++) {
        if (!set_text(body, keys[i], o->arguments[first + i])) {
            json_decref(body);
            return NULL;
        }
    }
    return body;
}

/* The second argument, or a line of standard input. */
static json_t *password_body(const struct options *o)
{
    char line[PASSWORD_SIZE] = "";
    const char *password = o->arguments[1];
    json_t *body = json_object();
    bool good;

    if (o->count < 2) {
        if (isatty(STDIN_FILENO) == 1)
            fputs("Password: ", stderr);
        if (fgets(line, sizeof(line), stdin) == NULL)
            line[0] = '\0';
        line[strcspn(line, "\n")] = '\0';
        password = line;
    }
    good = set_text(body, "password", password);
    explicit_bzero(line, sizeof(line));
    if (good)
        return body;
    json_decref(body);
    return NULL;
}

static json_t *login_body(const struct options *o)
{
    json_t *body = password_body(o);

    if (body != NULL && !set_text(body, "user", o->arguments[0])) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* No password fits. */
static json_t *no_password_body(const struct options *o)
{
    json_t *body = json_object();

    (void)o;
    json_object_set_new(body, "password_hash", json_string(""));
    return body;
}

static json_t *tags_body(const struct options *o)
{
    json_t *body = json_object();
    struct buffer tags;
    bool good;

    buffer_init(&tags);
    for (int i = 1; i < o->count; i++)
        buffer_append_format(&tags, "%s%s", i > 1 ? "," : "", o->arguments[i]);
    buffer_append(&tags, bytes_of("", 1));
    good = set_text(body, "tags", (const char *)tags.data);
    buffer_free(&tags);
    if (good)
        return body;
    json_decref(body);
    return NULL;
}

static json_t *permission_body(const struct options *o)
{
    static const char *const keys[] = {"configure", "write", "read", NULL};

    return texts(o, 1, keys);
}

static json_t *topic_permission_body(const struct options *o)
{
    static const char *const keys[] = {"exchange", "write", "read", NULL};

    return texts(o, 1, keys);
}

static json_t *parse_definition(const char *text)
{
    json_error_t fault;
    json_t *definition = json_loads(text, JSON_REJECT_DUPLICATES, &fault);

    if (json_is_object(definition))
        return definition;
    fprintf(stderr, "leveretctl: the definition must be a JSON object%s%s: %s\n",
            definition == NULL ? ": " : "", definition == NULL ? fault.text : "", text);
    json_decref(definition);
    return NULL;
}

static json_t *policy_body(const struct options *o)
{
    json_t *definition = parse_definition(o->arguments[2]);
    json_t *body = json_object();

    if (definition != NULL) {
        json_object_set_new(body, "definition", definition);
        json_object_set_new(body, "priority", json_integer(o->priority));
        if (set_text(body, "pattern", o->arguments[1]) && set_text(body, "apply-to", o->apply_to))
            return body;
    }
    json_decref(body);
    return NULL;
}

static json_t *limits_body(const struct options *o)
{
    return parse_definition(o->arguments[0]);
}

static json_t *user_limits_body(const struct options *o)
{
    return parse_definition(o->arguments[1]);
}

static json_t *deletion_body(const struct options *o)
{
    json_t *body = json_object();

    json_object_set_new(body, "if_unused", json_boolean(o->if_unused));
    json_object_set_new(body, "if_empty", json_boolean(o->if_empty));
    return body;
}

static json_t *reason_body(const struct options *o)
{
    static const char *const keys[] = {"reason", NULL};

    return texts(o, 1, keys);
}

/* ---- Commands ---- */

static const struct change_command COMMANDS[] = {
    {"add_user", "USER [PASSWORD]", "PUT", "/users/%1", 1, 2, password_body},
    {"delete_user", "USER", "DELETE", "/users/%1", 1, 1, no_body},
    {"change_password", "USER [PASSWORD]", "POST", "/users/%1", 1, 2, password_body},
    {"clear_password", "USER", "POST", "/users/%1", 1, 1, no_password_body},
    {"authenticate_user", "USER [PASSWORD]", "POST", "/authenticate", 1, 2, login_body},
    {"set_user_tags", "USER [TAG]...", "POST", "/users/%1", 1, ANY_NUMBER, tags_body},
    {"set_user_limits", "USER DEFINITION", "PUT", "/user-limits/%1", 2, 2, user_limits_body},
    {"clear_user_limits", "USER LIMIT", "DELETE", "/user-limits/%1/%2", 2, 2, no_body},
    {"set_permissions", "USER CONFIGURE WRITE READ", "PUT", "/permissions/%v/%1", 4, 4,
     permission_body},
    {"clear_permissions", "USER", "DELETE", "/permissions/%v/%1", 1, 1, no_body},
    {"set_topic_permissions", "USER EXCHANGE WRITE READ", "PUT", "/topic-permissions/%v/%1", 4, 4,
     topic_permission_body},
    {"clear_topic_permissions", "USER [EXCHANGE]", "DELETE", "/topic-permissions/%v/%1/%2", 1, 2,
     no_body},
    {"add_vhost", "VHOST", "PUT", "/vhosts/%1", 1, 1, no_body},
    {"delete_vhost", "VHOST", "DELETE", "/vhosts/%1", 1, 1, no_body},
    {"set_vhost_limits", "DEFINITION", "PUT", "/vhost-limits/%v", 1, 1, limits_body},
    {"clear_vhost_limits", "", "DELETE", "/vhost-limits/%v", 0, 0, no_body},
    {"set_policy", "NAME PATTERN DEFINITION", "PUT", "/policies/%v/%1", 3, 3, policy_body},
    {"clear_policy", "NAME", "DELETE", "/policies/%v/%1", 1, 1, no_body},
    {"set_operator_policy", "NAME PATTERN DEFINITION", "PUT", "/operator-policies/%v/%1", 3, 3,
     policy_body},
    {"clear_operator_policy", "NAME", "DELETE", "/operator-policies/%v/%1", 1, 1, no_body},
    {"purge_queue", "QUEUE", "DELETE", "/queue-contents/%v/%1", 1, 1, no_body},
    {"delete_queue", "QUEUE", "DELETE", "/queues/%v/%1", 1, 1, deletion_body},
    {"close_connection", "PID REASON", "DELETE", "/connections/%1", 2, 2, reason_body},
    {"reload", "", "POST", "/reload", 0, 0, no_body},
};

enum {
    COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]),
};

const struct change_command *change_command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) == 0)
            return &COMMANDS[i];
    }
    return NULL;
}

void change_commands_print_help(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %s%s%s\n", COMMANDS[i].name, *COMMANDS[i].arguments != '\0' ? " " : "",
               COMMANDS[i].arguments);
}

/* ---- Doing it ---- */

static void append_encoded(struct buffer *path, const char *text)
{
    char *encoded = client_encode(text);

    buffer_append(path, bytes_from_string(encoded));
    free(encoded);
}

/* An argument that is not there ends the path before it. */
static void append_path(const struct change_command *c, const struct options *o,
                        struct buffer *path)
{
    buffer_append(path, bytes_from_string("/api"));
    for (const char *at = c->path; *at != '\0'; at++) {
        if (*at != '%') {
            if (at[0] != '/' || at[1] != '%' || at[2] == 'v' || at[2] - '1' < o->count)
                buffer_append(path, bytes_of(at, 1));
            continue;
        }
        at++;
        if (*at == 'v')
            append_encoded(path, o->vhost);
        else if (*at - '1' < o->count)
            append_encoded(path, o->arguments[*at - '1']);
    }
    buffer_append(path, bytes_of("", 1));
}

/* What the broker said of what it did, if anything. */
static void print_answer(const struct options *o, const struct buffer *answer)
{
    if (answer->size == 0 || o->quiet)
        return;
    fwrite(answer->data, 1, answer->size, stdout);
}

static int send_change(const struct change_command *c, const struct options *o, json_t *body)
{
    char error[ERROR_SIZE] = "";
    char *text = json_dumps(body, JSON_COMPACT);
    char *socket = options_socket(o);
    struct client_request r = {.socket = socket, .method = c->method};
    struct buffer answer;
    struct buffer path;
    int rc;

    buffer_init(&answer);
    buffer_init(&path);
    append_path(c, o, &path);
    r.path = (const char *)path.data;
    r.body = bytes_from_string(text != NULL ? text : "");
    rc = client_send(&r, &answer, error, sizeof(error));
    if (rc == 0)
        print_answer(o, &answer);
    buffer_free(&path);
    buffer_free(&answer);
    free(socket);
    if (text != NULL)
        explicit_bzero(text, strlen(text)); /* it may have a password */
    free(text);
    return rc < 0 ? command_failed(error) : EXIT_SUCCESS;
}

int change_command_run(const struct change_command *c, const struct options *o)
{
    json_t *body;
    int status;

    if (o->count < c->arguments_min)
        return bad_usage("an argument is missing behind ", c->name);
    if (o->count > c->arguments_max)
        return bad_usage("unexpected argument ", o->arguments[c->arguments_max]);
    body = c->body(o);
    if (body == NULL)
        return EXIT_BAD_USAGE;
    status = send_change(c, o, body);
    json_decref(body);
    return status;
}
