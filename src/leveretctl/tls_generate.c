#include "leveretctl/tls_generate.h"

#include "base/buffer.h"
#include "leveretctl/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_SIZE = 4096,
    DAY_S = 24 * 60 * 60,
    CA_DAYS = 3650,
    CLOCK_SKEW_S = 60 * 60, /* by which clocks of other machines may be behind */
    HOST_NAME_SIZE_MAX = 253,
    URL_SIZE_MAX = 1000,
    COMMON_NAME_SIZE_MAX = 64, /* RFC 5280, ub-common-name */
};

static const char OWN_NAMES[] = "DNS:localhost,IP:127.0.0.1,IP:::1";
static const char CA_NAME[] = "leveret development CA";

struct paths {
    char certificate[PATH_SIZE];
    char key[PATH_SIZE];
};

static int find_paths(struct paths *p, const char *directory, const char *who, char *error,
                      size_t error_size)
{
    if ((size_t)snprintf(p->certificate, PATH_SIZE, "%s/%s_certificate.pem", directory, who) <
            PATH_SIZE &&
        (size_t)snprintf(p->key, PATH_SIZE, "%s/%s_key.pem", directory, who) < PATH_SIZE)
        return 0;
    snprintf(error, error_size, "%s: %s", directory, strerror(ENAMETOOLONG));
    return -1;
}

/* A name of a host, with "*" for its first label perhaps: nothing that would say more in the list
 * of names that libcrypto reads. */
static bool is_host_name(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t size = strlen(name);
    const char *rest = strncmp(name, "*.", 2) == 0 ? name + 2 : name;

    return size <= HOST_NAME_SIZE_MAX && rest[0] != '\0' && strspn(rest, letters) == strlen(rest);
}

/* Nothing that would say more in the configuration that libcrypto reads. */
static bool is_url(const char *url)
{
    size_t size = strlen(url);

    return (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) &&
           size <= URL_SIZE_MAX && strcspn(url, ", \t\r\n;#@$") == size;
}

static int add_host(struct buffer *names, const char *host, char *error, size_t error_size)
{
    unsigned char address[16];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        buffer_append_format(names, ",IP:%s", host);
        return 0;
    }
    if (!is_host_name(host)) {
        snprintf(error, error_size, "'%.100s' is neither the name of a host nor an address", host);
        return -1;
    }
    buffer_append_format(names, ",DNS:%s", host);
    return 0;
}

static int write_both(const struct certificate *c, const struct paths *p, char *error,
                      size_t error_size)
{
    if (certificate_write_key(c, p->key, NULL, error, error_size) < 0)
        return -1;
    return certificate_write(c, p->certificate, error, error_size);
}

/* The CA of the directory, or a new one. */
static int find_ca(struct certificate *ca, const char *directory, bool *new_ca, char *error,
                   size_t error_size)
{
    const struct certificate_terms terms = {
        .use = CERTIFICATE_OF_CA,
        .common_name = CA_NAME,
        .not_before_s = -CLOCK_SKEW_S,
        .not_after_s = (long)CA_DAYS * DAY_S,
    };
    struct paths p = {.key = ""};

    if (find_paths(&p, directory, "ca", error, error_size) < 0)
        return -1;
    *new_ca = access(p.certificate, F_OK) < 0 && access(p.key, F_OK) < 0;
    if (!*new_ca)
        return certificate_read(ca, p.certificate, p.key, error, error_size);
    if (certificate_issue(ca, &terms, NULL, error, error_size) < 0)
        return -1;
    if (write_both(ca, &p, error, error_size) < 0) {
        certificate_release(ca);
        return -1;
    }
    return 0;
}

static int issue(const struct tls_generate_options *o, const struct certificate *ca,
                 enum certificate_use use, const char *common_name, const char *alternative_names,
                 char *error, size_t error_size)
{
    const struct certificate_terms terms = {
        .use = use,
        .common_name = common_name,
        .alternative_names = alternative_names,
        .crl_url = o->crl_url,
        .not_before_s = -CLOCK_SKEW_S,
        .not_after_s = (long)o->days * DAY_S,
    };
    const char *who = use == CERTIFICATE_OF_SERVER ? "server" : "client";
    struct certificate c;
    struct paths p = {.key = ""};
    int rc;

    if (find_paths(&p, o->directory, who, error, error_size) < 0 ||
        certificate_issue(&c, &terms, ca, error, error_size) < 0)
        return -1;
    rc = write_both(&c, &p, error, error_size);
    certificate_release(&c);
    return rc;
}

static int issue_for_server(const struct tls_generate_options *o, const struct certificate *ca,
                            char *error, size_t error_size)
{
    struct buffer list;
    char *names;
    int rc = 0;

    buffer_init(&list);
    buffer_append(&list, bytes_from_string(OWN_NAMES));
    for (size_t i = 0; rc == 0 && i < o->host_count; i++)
        rc = add_host(&list, o->hosts[i], error, error_size);
    names = bytes_to_string(buffer_bytes(&list));
    if (rc == 0)
        rc = issue(o, ca, CERTIFICATE_OF_SERVER, "localhost", names, error, error_size);
    free(names);
    buffer_free(&list);
    return rc;
}

int tls_generate(const struct tls_generate_options *o, bool *new_ca, char *error, size_t error_size)
{
    struct certificate ca;
    int rc;

    if (o->user[0] == '\0' || strlen(o->user) > COMMON_NAME_SIZE_MAX) {
        snprintf(error, error_size, "the user's name must have 1 to %d bytes",
                 COMMON_NAME_SIZE_MAX);
        return -1;
    }
    if (o->crl_url != NULL && !is_url(o->crl_url)) {
        snprintf(error, error_size, "'%.200s' is no address of a revocation list (http://…)",
                 o->crl_url);
        return -1;
    }
    if (mkdir(o->directory, 0755) < 0 && errno != EEXIST) {
        snprintf(error, error_size, "%s: %s", o->directory, strerror(errno));
        return -1;
    }
    if (find_ca(&ca, o->directory, new_ca, error, error_size) < 0)
        return -1;
    rc = issue_for_server(o, &ca, error, error_size);
    if (rc == 0)
        rc = issue(o, &ca, CERTIFICATE_OF_CLIENT, o->user, NULL, error, error_size);
    certificate_release(&ca);
    return rc;
}
