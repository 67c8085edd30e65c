#include "auth/sasl.h"
#include "base/buffer.h"
#include "base/random.h"
#include "config/config.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LITERAL(s) \
    { \
        .data = (const uint8_t *)(s), .size = sizeof(s) - 1 \
    }

static const struct sasl_peer NOBODY = {.is_private = false};

struct sasl_case {
    struct bytes response;
    const char *username; /* NULL: malformed */
    const char *password;
};

static void expect(const char *mechanism, const struct sasl_case *c)
{
    const struct sasl_mechanism *m = sasl_mechanism_find(bytes_from_string(mechanism));
    /* Memory of its very size, so that a sanitizer sees a read behind it. */
    uint8_t *copy = malloc(c->response.size + 1);
    uint8_t *response = copy + 1;
    struct sasl_credentials found;
    int rc;

    ck_assert_ptr_nonnull(m);
    if (c->response.size != 0)
        memcpy(response, c->response.data, c->response.size);
    rc = m->start(bytes_of(response, c->response.size), &NOBODY, &found);
    ck_assert_int_eq(rc, c->username != NULL ? 0 : -EINVAL);
    if (c->username != NULL) {
        ck_assert(bytes_equal_string(found.username, c->username));
        ck_assert(bytes_equal_string(found.password, c->password));
    }
    free(copy);
}

START_TEST(mechanisms_are_found_by_their_exact_name)
{
    ck_assert_str_eq(sasl_mechanism_find(bytes_from_string("PLAIN"))->name, "PLAIN");
    ck_assert_str_eq(sasl_mechanism_find(bytes_from_string("AMQPLAIN"))->name, "AMQPLAIN");
    ck_assert_ptr_null(sasl_mechanism_find(bytes_from_string("plain")));
    ck_assert_ptr_null(sasl_mechanism_find(bytes_from_string("PLAI")));
    ck_assert_ptr_null(sasl_mechanism_find(bytes_from_string("PLAIN ")));
    ck_assert_str_eq(sasl_mechanism_find(bytes_from_string("EXTERNAL"))->name, "EXTERNAL");
    ck_assert_ptr_null(sasl_mechanism_find(bytes_from_string("ANONYMOUS")));
    ck_assert_ptr_null(sasl_mechanism_find(bytes_of(NULL, 0)));
}
END_TEST

START_TEST(what_is_offered_fits_the_peer)
{
    enum {
        PASSWORDS = CONFIG_MECHANISM_PLAIN | CONFIG_MECHANISM_AMQPLAIN,
        ALL = PASSWORDS | CONFIG_MECHANISM_EXTERNAL,
    };
    static const struct {
        uint32_t configured;
        const char *identity;
        bool is_private;
        bool passwords_anyway;
        const char *names;
    } CASES[] = {
        {PASSWORDS, NULL, true, false, "PLAIN AMQPLAIN"},
        {PASSWORDS, NULL, false, false, ""},
        {PASSWORDS, NULL, false, true, "PLAIN AMQPLAIN"},
        {PASSWORDS, "u", true, false, "PLAIN AMQPLAIN"},
        {CONFIG_MECHANISM_AMQPLAIN, NULL, true, false, "AMQPLAIN"},
        {ALL, NULL, true, false, "PLAIN AMQPLAIN"},
        {ALL, "u", true, false, "PLAIN AMQPLAIN EXTERNAL"},
        {ALL, "u", false, false, "EXTERNAL"},
        {CONFIG_MECHANISM_EXTERNAL, NULL, true, true, ""},
        {0, "u", true, true, ""},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const struct sasl_peer peer = {
            .identity = CASES[i].identity != NULL ? bytes_from_string(CASES[i].identity)
                                                  : bytes_of(NULL, 0),
            .is_private = CASES[i].is_private,
        };
        char names[SASL_NAMES_SIZE];
        size_t size =
            sasl_names(sasl_offered(CASES[i].configured, &peer, CASES[i].passwords_anyway), names);

        ck_assert_str_eq(names, CASES[i].names);
        ck_assert_uint_eq(size, strlen(names));
    }
}
END_TEST

START_TEST(external_is_whom_the_transport_vouches_for)
{
    const struct sasl_mechanism *m = sasl_mechanism_find(bytes_from_string("EXTERNAL"));
    const struct sasl_peer peer = {.identity = bytes_from_string("ann")};
    struct sasl_credentials found;

    ck_assert_int_eq(m->start(bytes_of(NULL, 0), &peer, &found), 0);
    ck_assert(bytes_equal_string(found.username, "ann"));
    ck_assert_ptr_null(found.password.data);
    ck_assert_int_eq(m->start(bytes_from_string("ann"), &peer, &found), 0);
    ck_assert_int_eq(m->start(bytes_from_string("bob"), &peer, &found), 0);
    ck_assert(bytes_equal_string(found.username, "ann"));
    ck_assert_int_eq(m->start(bytes_of(NULL, 0), &NOBODY, &found), -EINVAL);
    ck_assert_int_eq(m->start(bytes_from_string("ann"), &NOBODY, &found), -EINVAL);
}
END_TEST

/* A password that is needed is never taken for one that is not. */
START_TEST(an_empty_password_is_a_password)
{
    static const struct bytes PLAIN = LITERAL("\0guest\0");
    static const struct bytes AMQPLAIN = LITERAL("\5LOGINS\0\0\0\5guest\10PASSWORDS\0\0\0\0");
    struct sasl_credentials found;

    ck_assert_int_eq(sasl_mechanism_find(bytes_from_string("PLAIN"))->start(PLAIN, &NOBODY, &found),
                     0);
    ck_assert_ptr_nonnull(found.password.data);
    ck_assert_int_eq(
        sasl_mechanism_find(bytes_from_string("AMQPLAIN"))->start(AMQPLAIN, &NOBODY, &found), 0);
    ck_assert_ptr_nonnull(found.password.data);
}
END_TEST

START_TEST(plain_is_three_parts)
{
    static const struct sasl_case CASES[] = {
        {LITERAL("\0guest\0secret"), "guest", "secret"},
        {LITERAL("guest\0guest\0secret"), "guest", "secret"},
        {LITERAL("\0guest\0"), "guest", ""},
        {LITERAL("\0\xc3\xa4\0\xff"), "\xc3\xa4", "\xff"},
        {LITERAL("other\0guest\0secret"), NULL, NULL},
        {LITERAL("\0\0secret"), NULL, NULL},
        {LITERAL("\0guest"), NULL, NULL},
        {LITERAL("guest\0secret"), NULL, NULL},
        {LITERAL("guest"), NULL, NULL},
        {LITERAL("\0guest\0sec\0ret"), NULL, NULL},
        {LITERAL("\0guest\0secret\0"), NULL, NULL},
        {LITERAL("\0\0"), NULL, NULL},
        {LITERAL("\0\0\0\0\0\0\0\0"), NULL, NULL},
        {LITERAL(""), NULL, NULL},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++)
        expect("PLAIN", &CASES[i]);
}
END_TEST

START_TEST(amqplain_is_a_table)
{
    static const struct sasl_case CASES[] = {
        {LITERAL("\5LOGINS\0\0\0\5guest\10PASSWORDS\0\0\0\6secret"), "guest", "secret"},
        {LITERAL("\10PASSWORDS\0\0\0\6secret\1xt\1\5LOGINS\0\0\0\5guest"), "guest", "secret"},
        {LITERAL("\5LOGINS\0\0\0\5guest\10PASSWORDS\0\0\0\0"), "guest", ""},
        {LITERAL("\5LOGINS\0\0\0\5guest"), NULL, NULL},
        {LITERAL("\10PASSWORDS\0\0\0\6secret"), NULL, NULL},
        {LITERAL("\5loginS\0\0\0\5guest\10passwordS\0\0\0\6secret"), NULL, NULL},
        {LITERAL("\5LOGINI\0\0\0\5\10PASSWORDS\0\0\0\6secret"), NULL, NULL},
        {LITERAL("\5LOGINS\0\0\0\5guest\10PASSWORDt\1"), NULL, NULL},
        {LITERAL("\5LOGINS\0\0\0\0\10PASSWORDS\0\0\0\6secret"), NULL, NULL},
        {LITERAL("\5LOGINS\0\0\0\5guest\10PASSWORDS\0\0\0\7secret"), NULL, NULL},
        {LITERAL("\5LOGINS\xff\xff\xff\xffguest"), NULL, NULL},
        {LITERAL("\5LOGIN"), NULL, NULL},
        {LITERAL("\377LOGIN"), NULL, NULL},
        {LITERAL("\0guest\0secret"), NULL, NULL},
        {LITERAL(""), NULL, NULL},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++)
        expect("AMQPLAIN", &CASES[i]);
}
END_TEST

START_TEST(whatever_is_accepted_lies_within_the_response)
{
    static const struct bytes SEEDS[] = {
        LITERAL("\5LOGINS\0\0\0\5guest\10PASSWORDS\0\0\0\6secret"),
        LITERAL("\0guest\0secret"),
    };
    struct random_sequence random;
    unsigned accepted = 0;

    random_sequence_seed(&random, 1);
    for (int round = 0; round < 200000; round++) {
        struct bytes seed = SEEDS[round % 2];
        size_t size = seed.size - random_sequence_below(&random, 3);
        uint8_t *response = malloc(size);
        const struct sasl_mechanism *m =
            sasl_mechanism_find(bytes_from_string(round % 2 == 0 ? "AMQPLAIN" : "PLAIN"));
        struct sasl_credentials found;

        memcpy(response, seed.data, size);
        response[random_sequence_below(&random, size)] = (uint8_t)random_sequence_next(&random);
        if (m->start(bytes_of(response, size), &NOBODY, &found) == 0) {
            accepted++;
            ck_assert(found.username.data >= response);
            ck_assert(found.username.data + found.username.size <= response + size);
            ck_assert(found.password.size == 0 || found.password.data >= response);
            ck_assert(found.password.size == 0 ||
                      found.password.data + found.password.size <= response + size);
        }
        free(response);
    }
    ck_assert_uint_gt(accepted, 1000);
}
END_TEST

UNIT_MAIN("auth_sasl", mechanisms_are_found_by_their_exact_name, what_is_offered_fits_the_peer,
          external_is_whom_the_transport_vouches_for, an_empty_password_is_a_password,
          plain_is_three_parts, amqplain_is_a_table, whatever_is_accepted_lies_within_the_response)
