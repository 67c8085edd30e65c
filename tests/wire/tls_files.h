/* The certificates of the TLS tests, in a directory of the program's own: two authorities, servers
 * and clients with and without something wrong and revocation lists:
 *   crl.pem         of the first authority, with the client "revoked" and the authority "fallen";
 *   crl_all.pem     that, the list of "middle" with its client "nested_revoked", that of "fallen";
 *   crl_middle.pem  the list of "middle" alone;
 *   crl_old.pem     as crl.pem, but out of date.
 * "middle" and "fallen" are intermediate authorities under the first one, with the clients "nested"
 * and "orphan"; lone.pem is a server of "middle" without that one's certificate, which is in
 * authorities_of_lone.pem with the first authority's.
 * Of "lasting", "ending" (10 days and a half) and "ended" there are intermediate authorities behind
 * the server of chained.pem, authorities in authorities.pem, and the lists of those in lists.pem,
 * where "lasting" has a former one as well, which is out of date. "weekly" and "overdue" are such
 * authorities that last, with lists of a week, of which there are two days left and half a one. */
#ifndef LEVERET_TESTS_WIRE_TLS_FILES_H
#define LEVERET_TESTS_WIRE_TLS_FILES_H

#include <stddef.h>

/* Makes them all; before the tests fork. Removed when the program ends. Aborts when it cannot. */
void tls_files_make(void);

/* "DIRECTORY/NAME"; NAME is such as "ca.pem", "server.pem" or "server_key.pem". Valid until 16
 * others were asked for. */
const char *tls_file(const char *name);

/* Makes another certificate NAME.pem and NAME_key.pem of the first authority with this common name
 * and for this host, valid for so many seconds. */
void tls_files_add_server(const char *name, const char *common_name, long valid_s);

/* Makes NAME.pem, a revocation list of the first authority that is good from `begin_s` to `end_s`
 * from now. */
void tls_files_add_list(const char *name, long begin_s, long end_s);

/* Makes another client's certificate of the first authority, with its common name NAME. */
void tls_files_add_client(const char *name);

/* Of a client with several common names, in this order, and with an alternative name (NULL: none)
 * of one type, which may have zero bytes, or with several as OpenSSL's configuration writes them.
 */
struct odd_names {
    struct odd_name {
        const char *data; /* NULL: none */
        size_t size;
    } common[2], dns, address, other;
    int other_type;          /* V_ASN1_UTF8STRING and the like */
    const char *uri;         /* or NULL */
    const char *alternative; /* or NULL: DNS:a,IP:192.0.2.7 */
};

/* Makes the certificate of such a client. */
void tls_files_add_odd_client(const char *name, const struct odd_names *names);

#endif
