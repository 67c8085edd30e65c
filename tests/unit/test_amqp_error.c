#include "amqp/error.h"
#include "amqp/protocol_header.h"
#include "amqp/utf8.h"
#include "tests/unit/amqp_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>

START_TEST(reply_codes_have_the_specifications_names)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {200, "REPLY_SUCCESS"},     {311, "CONTENT_TOO_LARGE"},
        {312, "NO_ROUTE"},          {313, "NO_CONSUMERS"},
        {320, "CONNECTION_FORCED"}, {402, "INVALID_PATH"},
        {403, "ACCESS_REFUSED"},    {404, "NOT_FOUND"},
        {405, "RESOURCE_LOCKED"},   {406, "PRECONDITION_FAILED"},
        {501, "FRAME_ERROR"},       {502, "SYNTAX_ERROR"},
        {503, "COMMAND_INVALID"},   {504, "CHANNEL_ERROR"},
        {505, "UNEXPECTED_FRAME"},  {506, "RESOURCE_ERROR"},
        {530, "NOT_ALLOWED"},       {540, "NOT_IMPLEMENTED"},
        {541, "INTERNAL_ERROR"},    {0, "UNKNOWN"},
        {999, "UNKNOWN"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_str_eq(amqp_reply_name(names[i].code), names[i].name);
}
END_TEST

START_TEST(error_text_begins_with_the_name)
{
    struct amqp_error e = {.code = 0};
    int rc = amqp_error_set(&e, AMQP_NOT_FOUND, 50, 10, "no queue '%s' in vhost '%s'", "q", "/");

    ck_assert_int_eq(rc, -EPROTO);
    ck_assert_uint_eq(e.code, 404);
    ck_assert_uint_eq(e.class_id, 50);
    ck_assert_uint_eq(e.method_id, 10);
    ck_assert_str_eq(e.text, "NOT_FOUND - no queue 'q' in vhost '/'");
}
END_TEST

START_TEST(error_text_fits_a_shortstr)
{
    struct amqp_error e;
    char long_name[400];

    memset(long_name, 'n', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    amqp_error_set(&e, AMQP_NOT_FOUND, 0, 0, "%s", long_name);
    ck_assert_uint_eq(strlen(e.text), 255);
    ck_assert_str_eq(e.text + 251, "n...");

    long_name[255 - strlen("NOT_FOUND - ")] = '\0';
    amqp_error_set(&e, AMQP_NOT_FOUND, 0, 0, "%s", long_name);
    ck_assert_uint_eq(strlen(e.text), 255);
    ck_assert_str_eq(e.text + 251, "nnnn");
}
END_TEST

START_TEST(what_is_in_parentheses_at_the_end_stays)
{
    static const char KEY[] = "': connection limit (5) is reached (vhost_limits.max_connections)";
    struct amqp_error e;
    char name[256];

    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    amqp_error_set(&e, AMQP_NOT_ALLOWED, 0, 0,
                   "access to vhost '%s' refused for user '%s': connection limit (%d) is reached "
                   "(%s)",
                   name, name, 5, "vhost_limits.max_connections");
    ck_assert_uint_eq(strlen(e.text), 255);
    ck_assert_ptr_nonnull(strstr(e.text, "NOT_ALLOWED - access to vhost 'nnnn"));
    ck_assert_ptr_nonnull(strstr(e.text, "nnn…nnn"));
    ck_assert_str_eq(e.text + 255 - strlen(KEY), KEY);

    /* What fits is as it is. */
    name[200 - strlen("NOT_ALLOWED - ") - strlen("(key)")] = '\0';
    amqp_error_set(&e, AMQP_NOT_ALLOWED, 0, 0, "%s(key)", name);
    ck_assert_uint_eq(strlen(e.text), 200);
    ck_assert_ptr_null(strstr(e.text, "…"));
}
END_TEST

/* Whatever octets of sequences the cut is at. */
START_TEST(text_is_cut_between_characters_in_the_middle)
{
    for (size_t offset = 0; offset < 8; offset++) {
        char name[1024] = "";
        struct amqp_error e;
        size_t n;

        memset(name, 'n', offset);
        for (n = offset; n + 4 < 400; n += 4)
            memcpy(name + n, "🐇", 4);
        memcpy(name + n, "nnnnnnnn", offset);
        amqp_error_set(&e, AMQP_NOT_ALLOWED, 0, 0, "%s (key)", name);
        ck_assert(amqp_utf8_valid(bytes_from_string(e.text)));
        ck_assert_uint_le(strlen(e.text), 255);
        ck_assert_uint_ge(strlen(e.text), 245);
        ck_assert_str_eq(e.text + strlen(e.text) - 6, " (key)");
    }
}
END_TEST

/* Whatever octet of a sequence the 252nd is. */
START_TEST(long_error_text_is_cut_between_characters)
{
    static const char *const characters[] = {"é", "€", "🐇"};

    for (size_t c = 0; c < 3; c++) {
        size_t width = strlen(characters[c]);

        for (size_t offset = 0; offset < width; offset++) {
            char name[512] = "";
            struct amqp_error e;

            memset(name, 'n', offset);
            for (size_t n = offset; n + width < sizeof(name); n += width)
                memcpy(name + n, characters[c], width);
            amqp_error_set(&e, AMQP_NOT_FOUND, 0, 0, "%s", name);

            ck_assert(amqp_utf8_valid(text(e.text)));
            ck_assert_uint_gt(strlen(e.text), 255 - width);
            ck_assert_str_eq(e.text + strlen(e.text) - 3, "...");
            ck_assert_uint_le(strlen(e.text), 255);
        }
    }
}
END_TEST

START_TEST(error_may_be_of_no_interest)
{
    ck_assert_int_eq(amqp_error_set(NULL, AMQP_NOT_FOUND, 0, 0, "no queue"), -EPROTO);
}
END_TEST

START_TEST(utf8_is_told_from_other_octets)
{
    static const struct {
        const char *notation;
        bool valid;
    } cases[] = {
        {"", true},
        {"'plain'", true},
        {"'seventeen letters'", true},
        {"00", true},
        {"7f", true},
        {"'long enough for eight ' c3 a9", true},
        {"'1234567' c3 a9", true},
        {"c2 80", true},
        {"df bf", true},
        {"e0 a0 80", true},
        {"ed 9f bf", true},
        {"ee 80 80", true},
        {"ef bf bf", true},
        {"f0 90 80 80", true},
        {"f4 8f bf bf", true},
        {"80", false},
        {"bf", false},
        {"c0 80", false},
        {"c1 bf", false},
        {"c2", false},
        {"c2 c2", false},
        {"c2 7f", false},
        {"e0 9f bf", false},
        {"e2 82", false},
        {"e2 82 28", false},
        {"ed a0 80", false},
        {"f0 8f bf bf", false},
        {"f0 9f 90", false},
        {"f0 9f 90 28", false},
        {"f4 90 80 80", false},
        {"f5 80 80 80", false},
        {"ff", false},
        {"fe ff", false},
        {"'abcdefgh' ff", false},
        {"'abcdefghi' ff", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(amqp_utf8_valid(octets(cases[i].notation)) == cases[i].valid, "%s",
                      cases[i].notation);
}
END_TEST

START_TEST(wrong_protocol_header_shows_as_soon_as_it_differs)
{
    struct bytes right = octets("'AMQP' 00 00 09 01");

    for (size_t n = 0; n <= right.size; n++)
        ck_assert(amqp_protocol_header_matches(bytes_of(right.data, n)));
    ck_assert(amqp_protocol_header_matches(octets("'AMQP' 00 00 09 01 01 00")));
    ck_assert(!amqp_protocol_header_matches(text("G")));
    ck_assert(!amqp_protocol_header_matches(text("AMQX")));
    ck_assert(!amqp_protocol_header_matches(octets("'AMQP' 00 01 00 00")));
    ck_assert(!amqp_protocol_header_matches(octets("'AMQP' 01 01 08 00")));
}
END_TEST

UNIT_MAIN("amqp_error", reply_codes_have_the_specifications_names, error_text_begins_with_the_name,
          error_text_fits_a_shortstr, what_is_in_parentheses_at_the_end_stays,
          text_is_cut_between_characters_in_the_middle, long_error_text_is_cut_between_characters,
          error_may_be_of_no_interest, utf8_is_told_from_other_octets,
          wrong_protocol_header_shows_as_soon_as_it_differs)
