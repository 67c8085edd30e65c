#include "net/network.h"
#include "tests/unit/unit.h"

#include <errno.h>

struct place {
    const char *network;
    const char *address;
    bool inside;
};

static const struct place places[] = {
    {"192.0.2.0/24", "192.0.2.0", true},
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.6", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"10.0.0.0/8", "::ffff:10.1.2.3", true},
    {"::ffff:10.0.0.0/104", "10.1.2.3", true},
    {"2001:db8::/32", "2001:db8:ffff::1", true},
    {"2001:db8::/32", "2001:db9::1", false},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"::1", "::1", true},
    {"::1", "::2", false},
    {"::/0", "192.0.2.1", true},
    {"::/0", "2001:db8::1", true},
};

static const char *const none[] = {
    "",
    "x",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8x",
    "10.0.0/8",
    "10.0.0.1/8",
    "::/129",
    "2001:db8::1/32",
    "/8",
    "10.0.0.0/8/8",
    "localhost",
    "10.0.0.0 /8",
    "::1%lo",
    "1111:2222:3333:4444:5555:6666:7777:8888:9999/1",
};

START_TEST(networks_hold_their_addresses_and_no_others)
{
    const struct place *p = &places[_i];
    struct socket_address a;
    struct network n;

    ck_assert_int_eq(network_parse(&n, p->network), 0);
    ck_assert_int_eq(socket_address_parse(&a, p->address, 5672), 0);
    ck_assert_int_eq(network_holds(&n, &a), p->inside);
}
END_TEST

START_TEST(what_is_no_network_is_refused)
{
    struct network n;

    ck_assert_msg(network_parse(&n, none[_i]) == -EINVAL, "%s", none[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network");
    TCase *tcase = tcase_create("network");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
    tcase_add_loop_test(tcase, networks_hold_their_addresses_and_no_others, 0,
                        sizeof(places) / sizeof(places[0]));
    tcase_add_loop_test(tcase, what_is_no_network_is_refused, 0, sizeof(none) / sizeof(none[0]));
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
