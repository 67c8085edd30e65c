#include "tests/wire/tls_files.h"

#include "leveretctl/certificate.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HOUR = 60 * 60,
    DAY = 24 * HOUR,
    PATHS = 16,
};

static char directory[256];
static pid_t owner;
static struct certificate authority;
static struct certificate stranger;

const char *tls_file(const char *name)
{
    static char paths[PATHS][512];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void must(int rc, const char *error)
{
    if (rc == 0)
        return;
    fprintf(stderr, "certificates: %s\n", error);
    abort();
}

static void write_one(const struct certificate *c, const char *name, const char *passphrase)
{
    char error[1024] = "";
    char file[64];

    snprintf(file, sizeof(file), "%s.pem", name);
    must(certificate_write(c, tls_file(file), error, sizeof(error)), error);
    snprintf(file, sizeof(file), "%s_key.pem", name);
    must(certificate_write_key(c, tls_file(file), passphrase, error, sizeof(error)), error);
}

static struct certificate make(const char *name, const struct certificate_terms *terms,
                               const struct certificate *issuer)
{
    char error[1024] = "";
    struct certificate c;

    must(certificate_issue(&c, terms, issuer, error, sizeof(error)), error);
    write_one(&c, name, NULL);
    return c;
}

static void make_client(const char *name, const struct certificate *issuer, long from_s, long to_s)
{
    const struct certificate_terms terms = {
        .use = CERTIFICATE_OF_CLIENT,
        .common_name = name,
        .alternative_names = "DNS:host.clients.example,email:someone@clients.example",
        .not_before_s = from_s,
        .not_after_s = to_s,
    };
    struct certificate c = make(name, &terms, issuer);

    certificate_release(&c);
}

void tls_files_add_client(const char *name)
{
    make_client(name, &authority, -DAY, DAY);
}

/* Takes over `name`. */
static void set_alternative_name(X509 *x, GENERAL_NAME *name)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();

    sk_GENERAL_NAME_push(all, name);
    if (X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_REPLACE) != 1)
        abort();
    GENERAL_NAMES_free(all);
}

/* A text or an address. */
static void add_alternative_name(X509 *x, int type, const void *data, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    ASN1_STRING_set(value, data, (int)size);
    GENERAL_NAME_set0_value(name, type, value);
    set_alternative_name(x, name);
}

/* A user principal name, whose value is of whatever type. */
static void add_other_name(X509 *x, int type, const struct odd_name *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(type);
    ASN1_TYPE *any = ASN1_TYPE_new();

    ASN1_STRING_set(value, text->data, (int)text->size);
    ASN1_TYPE_set(any, type, value);
    GENERAL_NAME_set0_othername(name, OBJ_nid2obj(NID_ms_upn), any);
    set_alternative_name(x, name);
}

void tls_files_add_odd_client(const char *name, const struct odd_names *names)
{
    const struct certificate_terms terms = {.use = CERTIFICATE_OF_CLIENT,
                                            .common_name = name,
                                            .alternative_names = names->alternative,
                                            .not_before_s = -DAY,
                                            .not_after_s = DAY};
    struct certificate c = make(name, &terms, &authority);
    X509_NAME *subject = X509_NAME_new();

    for (size_t i = 0; i < 2 && names->common[i].data != NULL; i++)
        X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
                                   (const unsigned char *)names->common[i].data,
                                   (int)names->common[i].size, -1, 0);
    X509_set_subject_name(c.x509, subject);
    X509_NAME_free(subject);
    if (names->dns.data != NULL)
        add_alternative_name(c.x509, GEN_DNS, names->dns.data, names->dns.size);
    if (names->address.data != NULL)
        add_alternative_name(c.x509, GEN_IPADD, names->address.data, names->address.size);
    if (names->other.data != NULL)
        add_other_name(c.x509, names->other_type, &names->other);
    if (names->uri != NULL)
        add_alternative_name(c.x509, GEN_URI, names->uri, strlen(names->uri));
    if (X509_sign(c.x509, authority.key, EVP_sha256()) == 0)
        abort();
    write_one(&c, name, NULL);
    certificate_release(&c);
}

static void make_server(const char *name, const char *common_name, long valid_s,
                        const struct certificate *issuer)
{
    char names[128];
    struct certificate_terms terms = {
        .use = CERTIFICATE_OF_SERVER,
        .common_name = common_name,
        .alternative_names = names,
        .not_before_s = -2L * DAY,
        .not_after_s = valid_s,
    };
    struct certificate c;

    snprintf(names, sizeof(names), "DNS:%s,IP:127.0.0.1", common_name);
    c = make(name, &terms, issuer);
    certificate_release(&c);
}

void tls_files_add_server(const char *name, const char *common_name, long valid_s)
{
    make_server(name, common_name, valid_s, &authority);
}

static void make_encrypted_server(void)
{
    const struct certificate_terms terms = {
        .use = CERTIFICATE_OF_SERVER, .common_name = "encrypted", .not_after_s = DAY};
    struct certificate c = make("encrypted", &terms, &authority);
    FILE *f;

    write_one(&c, "encrypted", "open sesame");
    certificate_release(&c);
    f = fopen(tls_file("passphrase"), "w");
    fputs("open sesame\n", f);
    fclose(f);
    f = fopen(tls_file("wrong_passphrase"), "w");
    fputs("open barley\n", f);
    fclose(f);
}

static X509 *read_certificate(const char *name)
{
    char file[64];
    FILE *f;
    X509 *x;

    snprintf(file, sizeof(file), "%s.pem", name);
    f = fopen(tls_file(file), "r");
    if (f == NULL || (x = PEM_read_X509(f, NULL, NULL, NULL)) == NULL)
        abort();
    fclose(f);
    return x;
}

static void put_on_list(X509_CRL *list, const char *name, const ASN1_TIME *when)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    X509 *revoked = read_certificate(name);

    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
    X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)(uintptr_t)when);
    X509_CRL_add0_revoked(list, entry);
    X509_free(revoked);
}

/* Adds the list of `issuer`, good from `begin_s` to `end_s` from now, with up to two certificates
 * on it, to a file. */
static void add_list(const char *file, const struct certificate *issuer, long begin_s, long end_s,
                     const char *first, const char *second)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *before = ASN1_TIME_adj(NULL, time(NULL), 0, begin_s);
    ASN1_TIME *after = ASN1_TIME_adj(NULL, time(NULL), 0, end_s);
    FILE *f = fopen(tls_file(file), "a");

    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->x509));
    X509_CRL_set1_lastUpdate(list, before);
    X509_CRL_set1_nextUpdate(list, after);
    if (first != NULL)
        put_on_list(list, first, before);
    if (second != NULL)
        put_on_list(list, second, before);
    X509_CRL_sign(list, issuer->key, EVP_sha256());
    PEM_write_X509_CRL(f, list);
    fclose(f);
    X509_CRL_free(list);
    ASN1_TIME_free(before);
    ASN1_TIME_free(after);
}

/* One of yesterday, good for `valid_s`. */
static void add_revocation_list(const char *file, const struct certificate *issuer, long valid_s,
                                const char *first, const char *second)
{
    add_list(file, issuer, -(long)DAY, valid_s, first, second);
}

void tls_files_add_list(const char *name, long begin_s, long end_s)
{
    char file[64];

    snprintf(file, sizeof(file), "%s.pem", name);
    add_list(file, &authority, begin_s, end_s, NULL, NULL);
}

/* Adds the certificate of an intermediate authority to the client's, as clients show it. */
static void append_issuer(const char *name, const struct certificate *issuer)
{
    char file[64];
    FILE *f;

    snprintf(file, sizeof(file), "%s.pem", name);
    f = fopen(tls_file(file), "a");
    PEM_write_X509(f, issuer->x509);
    fclose(f);
}

static struct certificate make_intermediate(const char *name)
{
    const struct certificate_terms terms = {.use = CERTIFICATE_OF_CA,
                                            .common_name = name,
                                            .not_before_s = -2L * DAY,
                                            .not_after_s = 2L * DAY};

    return make(name, &terms, &authority);
}

/* Clients and a server of intermediate authorities, and which lists there are of whom. */
static void make_intermediates(void)
{
    struct certificate middle = make_intermediate("middle");
    struct certificate fallen = make_intermediate("fallen");

    make_client("nested", &middle, -DAY, DAY);
    append_issuer("nested", &middle);
    make_client("nested_revoked", &middle, -DAY, DAY);
    append_issuer("nested_revoked", &middle);
    make_client("orphan", &fallen, -DAY, DAY);
    append_issuer("orphan", &fallen);
    make_server("lone", "localhost", DAY, &middle);
    append_issuer("authorities_of_lone", &middle);
    append_issuer("authorities_of_lone", &authority);

    add_revocation_list("crl.pem", &authority, DAY, "revoked", "fallen");
    add_revocation_list("crl_all.pem", &authority, DAY, "revoked", "fallen");
    add_revocation_list("crl_all.pem", &middle, DAY, "nested_revoked", NULL);
    add_revocation_list("crl_all.pem", &fallen, DAY, NULL, NULL);
    add_revocation_list("crl_middle.pem", &middle, DAY, "nested_revoked", NULL);
    add_revocation_list("crl_old.pem", &authority, 0, "revoked", "fallen");
    certificate_release(&middle);
    certificate_release(&fallen);
}

/* When a list was made and when the next one is due, in seconds from now. */
struct list_terms {
    long begin_s;
    long end_s;
};

/* The authority NAME and an intermediate one of that name, which last for so long, and a list. */
static void add_expiring(const char *name, long valid_s, struct list_terms list)
{
    const struct certificate_terms root_terms = {.use = CERTIFICATE_OF_ROOT,
                                                 .common_name = name,
                                                 .not_before_s = -2L * DAY,
                                                 .not_after_s = valid_s};
    const struct certificate_terms middle_terms = {.use = CERTIFICATE_OF_CA,
                                                   .common_name = name,
                                                   .not_before_s = -2L * DAY,
                                                   .not_after_s = valid_s};
    struct certificate root = make("expiring_root", &root_terms, NULL);
    struct certificate middle = make("expiring_middle", &middle_terms, &authority);

    append_issuer("authorities", &root);
    append_issuer("chained", &middle);
    add_list("lists.pem", &root, list.begin_s, list.end_s, NULL, NULL);
    if (list.end_s > 30L * DAY)
        add_revocation_list("lists.pem", &root, -60, NULL, NULL);
    certificate_release(&root);
    certificate_release(&middle);
}

static void make_expiring(void)
{
    tls_files_add_server("chained", "localhost", 90L * DAY);
    add_expiring("lasting", 90L * DAY, (struct list_terms){-DAY, 90L * DAY});
    add_expiring("ending", 10L * DAY + DAY / 2,
                 (struct list_terms){-60L * DAY, 10L * DAY + DAY / 2});
    add_expiring("ended", -60, (struct list_terms){-DAY, -60});
    add_expiring("weekly", 90L * DAY, (struct list_terms){-5L * DAY, 2L * DAY});
    add_expiring("overdue", 90L * DAY, (struct list_terms){-6L * DAY, DAY / 2 + HOUR / 2});
}

static void make_authorities(void)
{
    struct certificate_terms terms = {
        .use = CERTIFICATE_OF_ROOT,
        .common_name = "An authority",
        .not_before_s = -2L * DAY,
        .not_after_s = 2L * DAY,
    };

    authority = make("ca", &terms, NULL);
    terms.common_name = "A stranger";
    stranger = make("stranger", &terms, NULL);
}

static void remove_all(void)
{
    DIR *d;
    struct dirent *entry;

    if (owner != getpid())
        return;
    certificate_release(&authority);
    certificate_release(&stranger);
    d = opendir(directory);
    while (d != NULL && (entry = readdir(d)) != NULL)
        unlink(tls_file(entry->d_name));
    if (d != NULL)
        closedir(d);
    rmdir(directory);
}

void tls_files_make(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(directory, sizeof(directory), "%s/leveret-tls-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        abort();
    owner = getpid();
    atexit(remove_all);
    make_authorities();
    tls_files_add_server("server", "localhost", 90L * DAY);
    tls_files_add_server("other", "other.example", 90L * DAY);
    tls_files_add_server("wild", "*.wild.example", 90L * DAY);
    tls_files_add_server("ending", "localhost", 10L * DAY + DAY / 2);
    tls_files_add_server("ended", "localhost", -60);
    make_client("guest", &authority, -DAY, DAY);
    make_client("revoked", &authority, -DAY, DAY);
    make_client("expired", &authority, -2L * DAY, -60);
    make_client("early", &authority, DAY, 2L * DAY);
    make_client("foreign", &stranger, -DAY, DAY);
    make_client("selfmade", NULL, -DAY, DAY);
    make_encrypted_server();
    make_intermediates();
    make_expiring();
}
