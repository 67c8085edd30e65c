#include "base/random.h"
#include "perf/options.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct perf_options o;
static char error[512];

/* Parses "leveret-perf" followed by the words of `line`, which are cut at spaces. */
static enum options_outcome parse(const char *line)
{
    static char words[512];
    char *argv[32] = {(char *)(uintptr_t) "leveret-perf"};
    int argc = 1;

    error[0] = '\0';
    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_parse(&o, argc, argv, error, sizeof(error));
}

START_TEST(nothing_said_is_one_producer_and_one_consumer_for_ten_seconds)
{
    ck_assert_int_eq(parse(""), OPTIONS_RUN);

    ck_assert_int_eq(o.mode, PERF_MODE_THROUGHPUT);
    ck_assert_uint_eq(o.producers, 1);
    ck_assert_uint_eq(o.consumers, 1);
    ck_assert_uint_eq(o.queues, 1);
    ck_assert_str_eq(o.exchange, "");
    ck_assert_double_eq(o.time_s, 10);
    ck_assert_str_eq(o.broker.user, "guest");
    ck_assert_str_eq(o.broker.vhost, "/");
    ck_assert_uint_eq(o.broker.port, 5672);
}
END_TEST

START_TEST(options_take_their_value_either_way)
{
    ck_assert_int_eq(parse("--producers=3 --consumers 4 --autoack --rate 0.5 --messages 10 "
                           "--header a=1 --header=b=x=y"),
                     OPTIONS_RUN);

    ck_assert_uint_eq(o.producers, 3);
    ck_assert_uint_eq(o.consumers, 4);
    ck_assert(o.autoack);
    ck_assert_double_eq(o.rate, 0.5);
    ck_assert_uint_eq(o.messages, 10);
    ck_assert_double_eq(o.time_s, 0);
    ck_assert_uint_eq(o.headers.count, 2);
    ck_assert_uint_eq(o.headers.items[1].key_size, 1);
    ck_assert_str_eq(o.headers.items[1].value, "x=y");
}
END_TEST

static const struct {
    const char *line;
    const char *says; /* what the error must contain */
} wrong_lines[] = {
    {"--no-such-thing", "unknown option --no-such-thing"},
    {"--producers", "--producers needs a value"},
    {"--producers many", "--producers: 'many' is not a whole number from 0 to 10000"},
    {"--producers 10001", "--producers"},
    {"--producers=-1", "--producers"},
    {"--autoack=1", "--autoack takes no value"},
    {"--rate fast", "--rate: 'fast' is not a number"},
    {"--rate -5", "--rate"},
    {"--size 10..5", "--size"},
    {"--size 10:", "--size"},
    {"--size 10,", "--size"},
    {"--size 10:0", "--size"},
    {"--header novalue", "--header: 'novalue' is not KEY=VALUE"},
    {"--header =v", "--header"},
    {"--type rainbow", "--type: 'rainbow' is not one of default"},
    {"--uri http://x", "--uri: an address begins with amqp:// or amqps://"},
    {"--uri amqps://x --cert a", "--cert and --key: one needs the other"},
    {"--uri amqps://x --key a", "--cert and --key: one needs the other"},
    {"--insecure", "--ca, --cert and --insecure: need an --uri of amqps://"},
    {"--uri amqp://h:0", "--uri: malformed host or port"},
    {"--uri amqp://h:70000", "--uri: malformed host or port"},
    {"--uri amqp://a%zz@h", "--uri: malformed user"},
    {"--uri amqp://h/%00", "--uri: malformed vhost"},
    {"--queues 2 --queue-name same", "--queue-name: 2 queues need a %d in 'same'"},
    {"--routing-key k", "--routing-key"},
    {"--exchange x", "--exchange: give its --type"},
    {"--autoack --multi-ack 10", "--multi-ack"},
    {"--prefetch 5 --multi-ack 10", "--multi-ack: 10 is more than the --prefetch of 5"},
    {"--producers 0 --consumers 0", "--producers and --consumers: both are 0"},
    {"--max-in-flight 5 --consumers 0", "--max-in-flight: needs consumers"},
    {"--threads 0", "--threads: '0' is not a whole number from 1 to 64"},
    {"--broker-pid 0", "--broker-pid"},
    {"somewhere", "unknown mode 'somewhere'"},
    {"backlog many", "backlog: 'many' is not a whole number"},
    {"throughput 5", "unexpected '5'"},
    {"idle-queues 5 --queue-name same", "--queue-name: needs a %d"},
};

START_TEST(an_error_names_the_option)
{
    ck_assert_int_eq(parse(wrong_lines[_i].line), OPTIONS_WRONG);
    ck_assert_msg(strstr(error, wrong_lines[_i].says) != NULL, "'%s' lacks '%s'", error,
                  wrong_lines[_i].says);
}
END_TEST

START_TEST(modes_bring_their_defaults)
{
    ck_assert_int_eq(parse("latency"), OPTIONS_RUN);
    ck_assert_double_eq(o.rate, 5000);
    ck_assert_uint_eq(size_distribution_max(&o.size), 1024);

    ck_assert_int_eq(parse("latency --rate 10 --size 5"), OPTIONS_RUN);
    ck_assert_double_eq(o.rate, 10);
    ck_assert_uint_eq(size_distribution_max(&o.size), 5);

    ck_assert_int_eq(parse("idle-connections 77 --hold 1"), OPTIONS_RUN);
    ck_assert_int_eq(o.mode, PERF_MODE_IDLE_CONNECTIONS);
    ck_assert_uint_eq(o.count, 77);

    ck_assert_int_eq(parse("backlog --producers 3"), OPTIONS_RUN);
    ck_assert_uint_eq(o.count, 1000000);
    ck_assert_uint_eq(o.messages, 333334);
    ck_assert_uint_eq(o.consumers, 0);
    ck_assert_uint_ne(o.confirms, 0);
}
END_TEST

START_TEST(an_address_is_decoded_part_by_part)
{
    struct broker_address a;

    ck_assert_int_eq(
        broker_address_parse(&a, "amqp://us%40er:p%3Ass@[::1]:77/v%2fh", error, sizeof(error)), 0);
    ck_assert_str_eq(a.user, "us@er");
    ck_assert_str_eq(a.password, "p:ss");
    ck_assert_str_eq(a.host, "::1");
    ck_assert_uint_eq(a.port, 77);
    ck_assert_str_eq(a.vhost, "v/h");

    ck_assert_int_eq(broker_address_parse(&a, "amqps://example", error, sizeof(error)), 0);
    ck_assert_str_eq(a.host, "example");
    ck_assert_uint_eq(a.port, 5671);
    ck_assert(a.tls);
    ck_assert_int_eq(broker_address_parse(&a, "amqp://example:99", error, sizeof(error)), 0);
    ck_assert(!a.tls);
    ck_assert_str_eq(a.host, "example");
    ck_assert_uint_eq(a.port, 99);
    ck_assert_str_eq(a.vhost, "/");
    ck_assert_str_eq(a.user, "guest");
}
END_TEST

START_TEST(sizes_are_drawn_as_weighted)
{
    enum { DRAWS = 100000 };
    struct size_distribution d;
    struct random_sequence r;
    int small = 0;
    int least = 0;
    int most = 0;

    random_sequence_seed(&r, 3);
    ck_assert_int_eq(size_distribution_parse(&d, "100:0.9,1000..1003:0.1"), 0);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t size = size_distribution_draw(&d, &r);

        ck_assert(size == 100 || (size >= 1000 && size <= 1003));
        small += size == 100;
        least += size == 1000;
        most += size == 1003;
    }
    ck_assert_int_gt(small, DRAWS * 89 / 100);
    ck_assert_int_lt(small, DRAWS * 91 / 100);
    ck_assert_int_gt(least, DRAWS / 50);
    ck_assert_int_gt(most, DRAWS / 50);
    ck_assert_double_eq_tol(size_distribution_mean(&d), 190.15, 0.001);
}
END_TEST

START_TEST(patterns_put_the_number_in)
{
    char out[16];

    ck_assert(pattern_expand(out, sizeof(out), "a%d.%d", 42));
    ck_assert_str_eq(out, "a42.42");
    ck_assert(pattern_expand(out, sizeof(out), "100%", 1));
    ck_assert_str_eq(out, "100%");
    ck_assert(!pattern_expand(out, sizeof(out), "0123456789%d", 123456));
    ck_assert(!pattern_expand(out, sizeof(out), "0123456789abcdef", 1));
}
END_TEST

START_TEST(help_shows_every_option_and_mode)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    options_print_help(out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "  --max-in-flight=N"));
    ck_assert_ptr_nonnull(strstr(text, "  --no-progress"));
    ck_assert_ptr_nonnull(strstr(text, "  idle-connections [N]"));
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        ck_assert_msg(strlen(line) <= 80, "too long: %s", line);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perf_options");
    TCase *tc = tcase_create("options");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, nothing_said_is_one_producer_and_one_consumer_for_ten_seconds);
    tcase_add_test(tc, options_take_their_value_either_way);
    tcase_add_loop_test(tc, an_error_names_the_option, 0,
                        (int)(sizeof(wrong_lines) / sizeof(wrong_lines[0])));
    tcase_add_test(tc, modes_bring_their_defaults);
    tcase_add_test(tc, an_address_is_decoded_part_by_part);
    tcase_add_test(tc, sizes_are_drawn_as_weighted);
    tcase_add_test(tc, patterns_put_the_number_in);
    tcase_add_test(tc, help_shows_every_option_and_mode);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
