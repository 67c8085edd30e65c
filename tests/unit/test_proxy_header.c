#include "net/proxy_header.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* A header, with its zero bytes. */
struct header_case {
    const char *bytes;
    size_t size;
    const char *client; /* NULL: the connection's own */
};

#define HEADER(text, client) \
    { \
        text, sizeof(text) - 1, client \
    }

static const struct header_case good[] = {
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 5672\r\n", "192.0.2.7:56324"),
    HEADER("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
    HEADER("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0"),
    HEADER("PROXY TCP6 2001:db8::7 ::1 56324 5672\r\n", "[2001:db8::7]:56324"),
    HEADER("PROXY TCP6 :: :: 0 0\r\n", "[::]:0"),
    HEADER("PROXY UNKNOWN\r\n", NULL),
    HEADER("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", NULL),
    HEADER(V2 "\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", "192.0.2.7:56324"),
    HEADER(V2 "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
              "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x16\x28",
           "[2001:db8::7]:56324"),
    /* With something behind the addresses. */
    HEADER(V2 "\x21\x11\0\x0f\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28\x04\0\0",
           "192.0.2.7:56324"),
    HEADER(V2 "\x20\0\0\0", NULL),
    HEADER(V2 "\x20\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", NULL),
    HEADER(V2 "\x21\0\0\0", NULL),
};

static const struct header_case bad[] = {
    HEADER("AMQP\0\0\x09\x01", NULL),
    HEADER("GET / HTTP/1.1\r\n", NULL),
    HEADER("PROXY TCP5 192.0.2.7 198.51.100.1 56324 5672\r\n", NULL),
    HEADER("PROXY UDP4 192.0.2.7 198.51.100.1 56324 5672\r\n", NULL),
    HEADER("PROXY  TCP4 192.0.2.7 198.51.100.1 56324 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 5672\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7  198.51.100.1 56324 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 5672 \r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 056324 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 65536 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 -1 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.256 198.51.100.1 56324 5672\r\n", NULL),
    HEADER("PROXY TCP4 2001:db8::7 198.51.100.1 56324 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 ::1 56324 5672\r\n", NULL),
    HEADER("PROXY TCP6 192.0.2.7 ::1 56324 5672\r\n", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n  ", NULL),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1\0 56324 5672\r\n", NULL),
    /* No end within 107 bytes. */
    HEADER("PROXY UNKNOWN                                                                       "
           "                                                \r\n",
           NULL),
    HEADER(V2 "\x31\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", NULL),
    HEADER(V2 "\x22\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", NULL),
    HEADER(V2 "\x21\x12\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", NULL),
    HEADER(V2 "\x21\x11\0\x0b\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16", NULL),
    HEADER(V2 "\x21\x21\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", NULL),
    HEADER(V2 "\x21\x11\xff\xff\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28", NULL),
};

static void expect_header(const struct proxy_header *h, const char *client)
{
    char text[SOCKET_ADDRESS_TEXT_SIZE];

    ck_assert_int_eq(h->own, client == NULL);
    if (client == NULL)
        return;
    socket_address_format(&h->client, text);
    ck_assert_str_eq(text, client);
}

START_TEST(whole_headers_say_whose_connection_it_is)
{
    struct proxy_header h = {.own = false};
    size_t wanted;

    ck_assert_int_eq(proxy_header_parse(bytes_of(good[_i].bytes, good[_i].size), &h, &wanted),
                     (ssize_t)good[_i].size);
    expect_header(&h, good[_i].client);
}
END_TEST

/* As a connection reads them, with more behind: never beyond the end. */
START_TEST(no_more_is_wanted_than_the_header_has)
{
    struct proxy_header h = {.own = false};
    size_t got = 0;
    size_t wanted;
    ssize_t end;

    while ((end = proxy_header_parse(bytes_of(good[_i].bytes, got), &h, &wanted)) == 0) {
        ck_assert_uint_gt(wanted, 0);
        got += wanted;
        ck_assert_uint_le(got, good[_i].size);
    }
    ck_assert_int_eq(end, (ssize_t)good[_i].size);
    expect_header(&h, good[_i].client);
}
END_TEST

START_TEST(every_beginning_of_a_header_wants_more)
{
    struct proxy_header h = {.own = false};
    size_t wanted;

    for (size_t size = 0; size < good[_i].size; size++) {
        ck_assert_int_eq(proxy_header_parse(bytes_of(good[_i].bytes, size), &h, &wanted), 0);
        ck_assert_uint_gt(wanted, 0);
        ck_assert_uint_le(size + wanted, good[_i].size);
    }
}
END_TEST

START_TEST(what_is_behind_a_header_is_left_alone)
{
    struct proxy_header h = {.own = false};
    uint8_t data[512];
    size_t wanted;

    memcpy(data, good[_i].bytes, good[_i].size);
    memcpy(data + good[_i].size, "AMQP\0\0\x09\x01", 8);
    ck_assert_int_eq(proxy_header_parse(bytes_of(data, good[_i].size + 8), &h, &wanted),
                     (ssize_t)good[_i].size);
}
END_TEST

START_TEST(what_is_no_header_is_refused)
{
    struct proxy_header h = {.own = false};
    size_t wanted;

    ck_assert_int_eq(proxy_header_parse(bytes_of(bad[_i].bytes, bad[_i].size), &h, &wanted),
                     -EINVAL);
}
END_TEST

START_TEST(the_longest_header_is_4096_bytes)
{
    static uint8_t data[PROXY_HEADER_SIZE_MAX + 1] = V2 "\x21\x11";
    struct proxy_header h = {.own = false};
    size_t wanted;

    data[14] = (PROXY_HEADER_SIZE_MAX - 16) >> 8;
    data[15] = (PROXY_HEADER_SIZE_MAX - 16) & 0xff;
    ck_assert_int_eq(proxy_header_parse(bytes_of(data, 16), &h, &wanted), 0);
    ck_assert_uint_eq(wanted, PROXY_HEADER_SIZE_MAX - 16);
    ck_assert_int_eq(proxy_header_parse(bytes_of(data, PROXY_HEADER_SIZE_MAX), &h, &wanted),
                     PROXY_HEADER_SIZE_MAX);
    data[15]++;
    ck_assert_int_eq(proxy_header_parse(bytes_of(data, 16), &h, &wanted), -EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy_header");
    TCase *tcase = tcase_create("proxy_header");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, whole_headers_say_whose_connection_it_is, 0,
                        sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tcase, no_more_is_wanted_than_the_header_has, 0,
                        sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tcase, every_beginning_of_a_header_wants_more, 0,
                        sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tcase, what_is_behind_a_header_is_left_alone, 0,
                        sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tcase, what_is_no_header_is_refused, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tcase, the_longest_header_is_4096_bytes);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
