#include "auth/base64.h"
#include "auth/password.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What RabbitMQ stores for "secret" with the salt 01 02 03 fa. */
#define SHA512 \
    "AQID+pirk17vLTfXORxBVxxClel0g+yOM9SM78ZpVg/MtT" \
    "Z1OLzCY8W2I0FqosUfDPASx+UlrJsBaIkVwBtrx2EnlGs="

static bool verifies(const char *text, const char *password)
{
    struct password_hash hash;
    const char *why = NULL;

    ck_assert_msg(password_hash_parse(text, &hash, &why) == 0, "%s: %s", text, why);
    return password_verify(&hash, bytes_from_string(password));
}

START_TEST(new_hash_verifies_its_password_alone)
{
    char *text = password_hash_new(bytes_from_string("secret"));

    ck_assert_ptr_nonnull(text);
    ck_assert(strncmp(text, "$scrypt$ln=", 11) == 0);
    ck_assert_ptr_null(strstr(text, "secret"));
    ck_assert(verifies(text, "secret"));
    ck_assert(!verifies(text, "Secret"));
    ck_assert(!verifies(text, "secret "));
    ck_assert(!verifies(text, ""));
    free(text);
}
END_TEST

START_TEST(equal_passwords_have_different_hashes)
{
    char *one = password_hash_new(bytes_from_string("secret"));
    char *other = password_hash_new(bytes_from_string("secret"));

    ck_assert_str_ne(one, other);
    free(one);
    free(other);
}
END_TEST

START_TEST(passwords_have_1_to_1024_bytes)
{
    uint8_t password[PASSWORD_SIZE_MAX + 1];
    struct password_hash hash;

    memset(password, 'x', sizeof(password));
    ck_assert_int_eq(password_hash_make(bytes_of(NULL, 0), &hash), -EINVAL);
    ck_assert_int_eq(password_hash_make(bytes_of(password, sizeof(password)), &hash), -EINVAL);
    ck_assert_ptr_null(password_hash_new(bytes_of(password, sizeof(password))));

    ck_assert_int_eq(password_hash_make(bytes_of(password, PASSWORD_SIZE_MAX), &hash), 0);
    ck_assert(password_verify(&hash, bytes_of(password, PASSWORD_SIZE_MAX)));
    ck_assert(!password_verify(&hash, bytes_of(password, PASSWORD_SIZE_MAX - 1)));
    ck_assert(!password_verify(&hash, bytes_of(password, sizeof(password))));
}
END_TEST

START_TEST(binary_passwords_count_to_their_end)
{
    struct password_hash hash;

    ck_assert_int_eq(password_hash_make(bytes_of("a\0b", 3), &hash), 0);
    ck_assert(password_verify(&hash, bytes_of("a\0b", 3)));
    ck_assert(!password_verify(&hash, bytes_of("a\0c", 3)));
    ck_assert(!password_verify(&hash, bytes_of("a", 1)));
}
END_TEST

/* Vectors of RFC 7914 §12 (N = 1024, r = 8, p = 16) and of OpenSSL and Python for RabbitMQ's. */
START_TEST(hashes_made_elsewhere_verify)
{
    static const struct {
        const char *text;
        const char *password;
    } CASES[] = {
        {"$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWI"
         "urzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA",
         "password"},
        {"AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa", "secret"},
        {"rabbit_password_hashing_sha256:AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa",
         "secret"},
        {SHA512, "secret"},
        {"rabbit_password_hashing_sha512:" SHA512, "secret"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        ck_assert_msg(verifies(CASES[i].text, CASES[i].password), "%s", CASES[i].text);
        ck_assert(!verifies(CASES[i].text, "Password"));
    }
}
END_TEST

START_TEST(text_of_a_hash_reads_back_as_the_same)
{
    static const char *const TEXTS[] = {
        "$scrypt$ln=4,r=1,p=2$AAEC$AAECAwQFBgcICQoLDA0ODw",
        "rabbit_password_hashing_sha256:AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa",
        "rabbit_password_hashing_sha512:" SHA512,
    };

    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(*TEXTS); i++) {
        struct password_hash hash;
        struct password_hash again;
        const char *why;
        char *text;

        ck_assert_int_eq(password_hash_parse(TEXTS[i], &hash, &why), 0);
        text = password_hash_text(&hash);
        ck_assert_int_eq(password_hash_parse(text, &again, &why), 0);
        ck_assert(password_hash_equal(&hash, &again));
        again.salt[0] ^= 1;
        ck_assert(!password_hash_equal(&hash, &again));
        free(text);
    }
}
END_TEST

START_TEST(malformed_hashes_are_refused)
{
    static const char MALFORMED[] =
        "is not a scrypt hash of the form $scrypt$ln=10,r=8,p=1$SALT$HASH";
    static const char COSTS[] =
        "has scrypt costs out of range (up to 64 MiB of memory and p=16 are accepted)";
    static const char NEITHER[] =
        "is neither a hash of leveretd --hash-password nor one of RabbitMQ (SHA-256 or SHA-512)";
    static const struct {
        const char *text;
        const char *why;
    } CASES[] = {
        {"", NEITHER},
        {"secret", NEITHER},
        {"$scrypt$", MALFORMED},
        {"$scrypt$ln=10,r=8,p=1", MALFORMED},
        {"$scrypt$ln=10,r=8,p=1$AAEC", MALFORMED},
        {"$scrypt$ln=10,r=8,p=1$$AAECAwQFBgcICQoLDA0ODw", MALFORMED},
        {"$scrypt$ln=10,r=8,p=1$AAEC$", MALFORMED},
        {"$scrypt$ln=10,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0O", MALFORMED}, /* 15 bytes */
        {"$scrypt$ln=10,r=8,p=1$A*EC$AAECAwQFBgcICQoLDA0ODw", MALFORMED},
        {"$scrypt$ln=10,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw$", MALFORMED},
        {"$scrypt$ln=10,p=1,r=8$AAEC$AAECAwQFBgcICQoLDA0ODw", MALFORMED},
        {"$scrypt$ln=,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", MALFORMED},
        {"$scrypt$ln=-1,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", MALFORMED},
        {"$scrypt$ln=9999999999,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", MALFORMED},
        {"$scrypt$ln=0,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"$scrypt$ln=17,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"$scrypt$ln=999,r=8,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"$scrypt$ln=10,r=0,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"$scrypt$ln=1,r=256,p=1$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"$scrypt$ln=10,r=8,p=0$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"$scrypt$ln=10,r=8,p=17$AAEC$AAECAwQFBgcICQoLDA0ODw", COSTS},
        {"rabbit_password_hashing_sha512:AQID+pZ6Pnb0UVndEv7Z/IixwID1wAIIYQgpJXJwKxSYdiLa",
         NEITHER},
        {"rabbit_password_hashing_sha256:" SHA512, NEITHER},
        {"rabbit_password_hashing_md5:AAAA", NEITHER},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct password_hash hash;
        const char *why = NULL;

        ck_assert_msg(password_hash_parse(CASES[i].text, &hash, &why) == -EINVAL, "%s",
                      CASES[i].text);
        ck_assert_str_eq(why, CASES[i].why);
    }
}
END_TEST

START_TEST(base64_is_strict)
{
    static const struct {
        const char *text;
        const char *bytes; /* NULL: refused */
    } CASES[] = {
        {"", ""},       {"Zg", "f"},          {"Zg==", "f"},        {"Zm8", "fo"},
        {"Zm8=", "fo"}, {"Zm9v", "foo"},      {"Zm9vYg==", "foob"}, {"Zm9vYmFy", "foobar"},
        {"Z", NULL},    {"Zh", NULL},         {"Zg=", NULL},        {"Zg===", NULL},
        {"Z===", NULL}, {"====", NULL},       {"Zm 9v", NULL},      {"Zm9v\n", NULL},
        {"Zm-_", NULL}, {"Zm9vYmFyYQ", NULL}, /* one byte more than there is room */
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        uint8_t out[6];
        ssize_t size = base64_decode(bytes_from_string(CASES[i].text), out, sizeof(out));

        if (CASES[i].bytes == NULL) {
            ck_assert_msg(size == -EINVAL, "%s", CASES[i].text);
            continue;
        }
        ck_assert_msg(size >= 0, "%s", CASES[i].text);
        ck_assert(bytes_equal_string(bytes_of(out, (size_t)size), CASES[i].bytes));
    }
}
END_TEST

START_TEST(base64_reads_what_it_wrote)
{
    for (size_t size = 0; size < 50; size++) {
        char text[BASE64_TEXT_SIZE(50)];
        uint8_t in[50];
        uint8_t out[50];

        for (size_t i = 0; i < size; i++)
            in[i] = (uint8_t)(i * 37 + size * 11);
        ck_assert_uint_eq(base64_encode(bytes_of(in, size), text), strlen(text));
        ck_assert_uint_lt(strlen(text), BASE64_TEXT_SIZE(size));
        ck_assert_int_eq(base64_decode(bytes_from_string(text), out, sizeof(out)), (ssize_t)size);
        ck_assert(bytes_equal(bytes_of(in, size), bytes_of(out, size)));
    }
}
END_TEST

UNIT_MAIN("auth_password", new_hash_verifies_its_password_alone,
          equal_passwords_have_different_hashes, passwords_have_1_to_1024_bytes,
          binary_passwords_count_to_their_end, hashes_made_elsewhere_verify,
          text_of_a_hash_reads_back_as_the_same, malformed_hashes_are_refused, base64_is_strict,
          base64_reads_what_it_wrote)
