#include "leveretctl/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERIAL_BITS = 159, /* RFC 5280 §4.1.2.2: at most 20 octets, positive */
    PATH_SIZE = 4096,
    URL_SIZE_MAX = 1024,
    X509_VERSION_3_VALUE = 2,
};

/* What differs by the use of a certificate (RFC 5280 §4.2.1). */
struct use_extensions {
    const char *basic_constraints;
    const char *key_usage;
    const char *extended_key_usage; /* NULL: any */
};

static const struct use_extensions USES[] = {
    [CERTIFICATE_OF_ROOT] = {"critical,CA:TRUE", "critical,keyCertSign,cRLSign", NULL},
    [CERTIFICATE_OF_CA] = {"critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign", NULL},
    [CERTIFICATE_OF_SERVER] = {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth"},
    [CERTIFICATE_OF_CLIENT] = {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth"},
};

/* The innermost reason of libcrypto. */
static int fail(const char *what, char *error, size_t error_size)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);

    snprintf(error, error_size, "%s: %s", what, reason != NULL ? reason : "unknown error");
    ERR_clear_error();
    return -1;
}

static int fail_file(const char *path, int error_number, char *error, size_t error_size)
{
    snprintf(error, error_size, "%s: %s", path, strerror(error_number));
    return -1;
}

static bool set_serial(X509 *x)
{
    BIGNUM *serial = BN_new();
    bool good = serial != NULL &&
                BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x)) != NULL;

    BN_free(serial);
    return good;
}

static bool set_name(X509 *x, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(x);

    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool good;

    if (value == NULL)
        return true;
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    good = extension != NULL && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool add_crl_url(X509 *x, const char *url)
{
    char value[URL_SIZE_MAX + sizeof("URI:")];

    if (url == NULL)
        return true;
    if ((size_t)snprintf(value, sizeof(value), "URI:%s", url) >= sizeof(value))
        return false;
    return add_extension(x, x, NID_crl_distribution_points, value);
}

static bool add_extensions(X509 *x, X509 *issuer, const struct certificate_terms *terms)
{
    const struct use_extensions *use = &USES[terms->use];

    return add_extension(x, issuer, NID_basic_constraints, use->basic_constraints) &&
           add_extension(x, issuer, NID_key_usage, use->key_usage) &&
           add_extension(x, issuer, NID_ext_key_usage, use->extended_key_usage) &&
           add_extension(x, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(x, issuer, NID_authority_key_identifier, "keyid") &&
           add_extension(x, issuer, NID_subject_alt_name, terms->alternative_names) &&
           add_crl_url(x, terms->crl_url);
}

static bool fill(X509 *x, EVP_PKEY *key, const struct certificate_terms *terms,
                 const struct certificate *issuer)
{
    X509 *signer = issuer != NULL ? issuer->x509 : x;

    return X509_set_version(x, X509_VERSION_3_VALUE) == 1 && set_serial(x) &&
           X509_gmtime_adj(X509_getm_notBefore(x), terms->not_before_s) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(x), terms->not_after_s) != NULL &&
           X509_set_pubkey(x, key) == 1 && set_name(x, terms->common_name) &&
           X509_set_issuer_name(x, X509_get_subject_name(signer)) == 1 &&
           add_extensions(x, signer, terms) &&
           X509_sign(x, issuer != NULL ? issuer->key : key, EVP_sha256()) != 0;
}

int certificate_issue(struct certificate *out, const struct certificate_terms *terms,
                      const struct certificate *issuer, char *error, size_t error_size)
{
    *out = (struct certificate){.x509 = X509_new(), .key = EVP_EC_gen("P-256")};
    if (out->x509 != NULL && out->key != NULL && fill(out->x509, out->key, terms, issuer))
        return 0;
    certificate_release(out);
    return fail(terms->common_name, error, error_size);
}

void certificate_release(struct certificate *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    *c = (struct certificate){.x509 = NULL};
}

/* Opens a file that replace_file() puts in the place of `path`. */
static FILE *open_new(const char *path, mode_t mode, char *temporary)
{
    FILE *f;
    int fd;

    if ((size_t)snprintf(temporary, PATH_SIZE, "%s.new", path) >= PATH_SIZE) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return NULL;
    f = fdopen(fd, "w");
    if (f == NULL)
        close(fd);
    return f;
}

static int replace_file(const char *temporary, const char *path, FILE *f)
{
    int rc = fflush(f) == 0 && fsync(fileno(f)) == 0 ? 0 : -errno;

    if (fclose(f) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(temporary);
    return rc;
}

int certificate_write(const struct certificate *c, const char *path, char *error, size_t error_size)
{
    char temporary[PATH_SIZE];
    FILE *f = open_new(path, 0644, temporary);
    int rc;

    if (f == NULL)
        return fail_file(path, errno, error, error_size);
    if (PEM_write_X509(f, c->x509) != 1) {
        fclose(f);
        unlink(temporary);
        return fail(path, error, error_size);
    }
    rc = replace_file(temporary, path, f);
    return rc < 0 ? fail_file(path, -rc, error, error_size) : 0;
}

int certificate_write_key(const struct certificate *c, const char *path, const char *passphrase,
                          char *error, size_t error_size)
{
    char temporary[PATH_SIZE];
    FILE *f = open_new(path, 0600, temporary);
    int size = passphrase != NULL ? (int)strlen(passphrase) : 0;
    int rc;

    if (f == NULL)
        return fail_file(path, errno, error, error_size);
    if (PEM_write_PKCS8PrivateKey(f, c->key, passphrase != NULL ? EVP_aes_256_cbc() : NULL,
                                  passphrase, size, NULL, NULL) != 1) {
        fclose(f);
        unlink(temporary);
        return fail(path, error, error_size);
    }
    rc = replace_file(temporary, path, f);
    return rc < 0 ? fail_file(path, -rc, error, error_size) : 0;
}

/* Nobody is asked for the passphrase of a key that is encrypted: it cannot be read. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

int certificate_read(struct certificate *out, const char *certificate_path, const char *key_path,
                     char *error, size_t error_size)
{
    FILE *f = fopen(certificate_path, "re");

    *out = (struct certificate){.x509 = NULL};
    if (f == NULL)
        return fail_file(certificate_path, errno, error, error_size);
    out->x509 = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    if (out->x509 == NULL)
        return fail(certificate_path, error, error_size);
    f = fopen(key_path, "re");
    if (f == NULL) {
        certificate_release(out);
        return fail_file(key_path, errno, error, error_size);
    }
    out->key = PEM_read_PrivateKey(f, NULL, no_passphrase, NULL);
    fclose(f);
    if (out->key == NULL || X509_check_private_key(out->x509, out->key) != 1) {
        certificate_release(out);
        return fail(key_path, error, error_size);
    }
    return 0;
}
