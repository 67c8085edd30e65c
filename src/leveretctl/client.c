#include "leveretctl/client.h"

#include "base/memory.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char BASE[] = "http://leveret";

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    buffer_append(context, bytes_of(data, size * count));
    return size * count;
}

/* Why a socket that could not be connected to could not be. */
static int explain_no_connection(const char *socket, char *error, size_t error_size)
{
    struct stat st;
    int rc = stat(socket, &st) < 0 ? -errno : 0;

    if (rc == 0 && access(socket, R_OK | W_OK) < 0)
        rc = -errno;
    if (rc == -EACCES) {
        snprintf(error, error_size, "%s cannot be opened: %s", socket, strerror(EACCES));
        return -EACCES;
    }
    snprintf(error, error_size, "no broker is running at %s%s%s", socket, rc < 0 ? ": " : "",
             rc < 0 ? strerror(-rc) : "");
    return -ECONNREFUSED;
}

/* The broker's reason, from {"error": …, "reason": …}. */
static int explain_refusal(long status, const struct buffer *body, char *error, size_t error_size)
{
    json_t *answer = json_loadb((const char *)body->data, body->size, 0, NULL);
    const char *reason = json_string_value(json_object_get(answer, "reason"));

    if (reason != NULL)
        snprintf(error, error_size, "%s", reason);
    else
        snprintf(error, error_size, "the broker answered with status %ld", status);
    json_decref(answer);
    return -EPROTO;
}

static int perform(CURL *curl, const struct client_request *r, struct buffer *out, char *error,
                   size_t error_size)
{
    CURLcode code = curl_easy_perform(curl);
    long status = 0;

    if (code == CURLE_COULDNT_CONNECT)
        return explain_no_connection(r->socket, error, error_size);
    if (code != CURLE_OK) {
        snprintf(error, error_size, "%s: %s", r->socket, curl_easy_strerror(code));
        return -EIO;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status < 300 ? 0 : explain_refusal(status, out, error, error_size);
}

int client_send(const struct client_request *r, struct buffer *out, char *error, size_t error_size)
{
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    size_t url_size = sizeof(BASE) + strlen(r->path);
    char *url;
    int rc;

    if (curl == NULL) {
        snprintf(error, error_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    url = memory_alloc(url_size);
    snprintf(url, url_size, "%s%s", BASE, r->path);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, r->socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    if (r->body.size != 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)r->body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.size);
    }
    rc = perform(curl, r, out, error, error_size);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(url);
    return rc;
}

char *client_encode(const char *segment)
{
    char *encoded = curl_easy_escape(NULL, segment, 0);
    char *copy = bytes_to_string(bytes_from_string(encoded != NULL ? encoded : ""));

    curl_free(encoded);
    return copy;
}
