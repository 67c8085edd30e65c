#include "leveretctl/definitions.h"

#include "base/buffer.h"
#include "leveretctl/client.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_SIZE = 64 * 1024,
};

static const char STANDARD[] = "-";

/* /api/definitions, and of a virtual host when one is named; on the heap. */
static char *definitions_path(const struct options *o)
{
    char *vhost = o->vhost_named ? client_encode(o->vhost) : NULL;
    struct buffer path;

    buffer_init(&path);
    buffer_append_format(&path, "/api/definitions%s%s", vhost != NULL ? "/" : "",
                         vhost != NULL ? vhost : "");
    buffer_append(&path, bytes_of("", 1));
    free(vhost);
    return (char *)path.data;
}

static int request(const struct options *o, const char *method, struct bytes body,
                   struct buffer *answer, char *error, size_t error_size)
{
    char *socket = options_socket(o);
    char *path = definitions_path(o);
    const struct client_request r = {
        .socket = socket, .method = method, .path = path, .body = body};
    int rc = client_send(&r, answer, error, error_size);

    free(path);
    free(socket);
    return rc;
}

/* ---- Export ---- */

static int write_all(int fd, struct bytes text)
{
    while (text.size != 0) {
        ssize_t n = write(fd, text.data, text.size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text = bytes_of(text.data + n, text.size - (size_t)n);
    }
    return 0;
}

/* It has the hashes of passwords: it is its owner's alone. */
static int write_file(const char *path, struct bytes text)
{
    struct buffer name;
    const char *unfinished;
    int rc;
    int fd;

    buffer_init(&name);
    buffer_append_format(&name, "%s.unfinished", path);
    buffer_append(&name, bytes_of("", 1));
    unfinished = (const char *)name.data;
    fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    rc = fd < 0 ? -errno : write_all(fd, text);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(unfinished, path) < 0)
        rc = -errno;
    if (rc < 0 && fd >= 0)
        unlink(unfinished);
    buffer_free(&name);
    return rc;
}

int export_run(const struct options *o)
{
    const char *path = o->arguments[0];
    char error[ERROR_SIZE] = "";
    struct buffer answer;
    int rc;

    buffer_init(&answer);
    rc = request(o, "GET", bytes_of(NULL, 0), &answer, error, sizeof(error));
    if (rc == 0) {
        if (strcmp(path, STANDARD) == 0)
            rc = write_all(STDOUT_FILENO, buffer_bytes(&answer));
        else
            rc = write_file(path, buffer_bytes(&answer));
        if (rc < 0)
            snprintf(error, sizeof(error), "%s: %s", path, strerror(-rc));
    }
    buffer_free(&answer);
    return rc < 0 ? command_failed(error) : EXIT_SUCCESS;
}

/* ---- Import ---- */

static int read_file(const char *path, struct buffer *text)
{
    int fd = strcmp(path, STANDARD) == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -errno;
    while ((n = read(fd, buffer_reserve(text, READ_SIZE), READ_SIZE)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        text->size += (size_t)n;
    }
    n = n < 0 ? -errno : 0;
    if (fd != STDIN_FILENO)
        close(fd);
    return (int)n;
}

static void print_remarks(FILE *to, const char *path, const json_t *remarks, const char *kind)
{
    for (size_t i = 0; i < json_array_size(remarks); i++) {
        const json_t *remark = json_array_get(remarks, i);
        const char *place = json_string_value(json_object_get(remark, "place"));
        const char *reason = json_string_value(json_object_get(remark, "reason"));

        fprintf(to, "%s: %s: %s%s\n", path, place != NULL ? place : "$", kind,
                reason != NULL ? reason : "");
    }
}

static long count_of(const json_t *counts, const char *key)
{
    return (long)json_integer_value(json_object_get(counts, key));
}

static void print_counts(json_t *sections)
{
    for (void *at = json_object_iter(sections); at != NULL;
         at = json_object_iter_next(sections, at)) {
        const json_t *counts = json_object_iter_value(at);

        printf("%s: %ld created, %ld updated, %ld unchanged, %ld failed\n",
               json_object_iter_key(at), count_of(counts, "created"), count_of(counts, "updated"),
               count_of(counts, "unchanged"), count_of(counts, "failed"));
    }
}

static int print_report(const struct options *o, const char *path, const struct buffer *answer)
{
    json_t *report = json_loadb((const char *)answer->data, answer->size, JSON_ALLOW_NUL, NULL);
    const json_t *problems = json_object_get(report, "problems");
    int status = EXIT_SUCCESS;

    if (report == NULL)
        return command_failed("the broker's answer is not JSON");
    if (o->format == OUTPUT_JSON) {
        json_dumpf(report, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        if (!o->quiet)
            print_counts(json_object_get(report, "sections"));
        print_remarks(stdout, path, json_object_get(report, "not_understood"), "");
        print_remarks(stderr, path, problems, "not imported: ");
    }
    if (json_array_size(problems) != 0)
        status = EXIT_FAILURE;
    json_decref(report);
    return status;
}

int import_run(const struct options *o)
{
    const char *path = o->arguments[0];
    char error[ERROR_SIZE] = "";
    char line[ERROR_SIZE + 4096];
    struct buffer answer;
    struct buffer text;
    int status;
    int rc;

    buffer_init(&answer);
    buffer_init(&text);
    rc = read_file(path, &text);
    if (rc < 0)
        snprintf(error, sizeof(error), "%s", strerror(-rc));
    else
        rc = request(o, "POST", buffer_bytes(&text), &answer, error, sizeof(error));
    buffer_free(&text);
    if (rc < 0) {
        snprintf(line, sizeof(line), "%s: %s", path, error);
        status = command_failed(line);
    } else {
        status = print_report(o, path, &answer);
    }
    buffer_free(&answer);
    return status;
}
