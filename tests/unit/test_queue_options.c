#include "broker/queue_options.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The texts are those of RabbitMQ 3.10.8 for the same declaration. */
#define INVALID(name) "invalid arg '" name "' for queue 'q' in vhost '/': "
#define NOT_AN_INTEGER(name, type) INVALID(name) "\"expected integer, got " type "\""
#define UNACCEPTABLE(name, type) INVALID(name) "{unacceptable_type," type "}"
#define INEQUIVALENT(name) "inequivalent arg '" name "' for queue 'q' in vhost '/': "

static struct arena arena;
static struct refusal refusal;

static struct value integer(int64_t n)
{
    return n >= INT32_MIN && n <= INT32_MAX ? value_int32((int32_t)n) : value_int64(n);
}

static struct value text(const char *s)
{
    return value_string(bytes_from_string(s));
}

static struct table one_argument(const char *name, struct value v)
{
    struct table t = table_empty();

    table_set(&arena, &t, name, v);
    return t;
}

static int parse(struct queue_options *o, const struct table *t)
{
    refusal.text[0] = '\0';
    return queue_options_parse(o, true, false, false, t, bytes_from_string("q"),
                               bytes_from_string("/"), &refusal);
}

static int equivalent(const struct queue_options *current, const struct queue_options *received)
{
    refusal.text[0] = '\0';
    return queue_options_equivalent(current, received, bytes_from_string("q"),
                                    bytes_from_string("/"), &refusal);
}

static void expect_refusal(int rc, const char *expected)
{
    ck_assert_int_eq(rc, -EPROTO);
    ck_assert_int_eq(refusal.code, REFUSAL_PRECONDITION_FAILED);
    ck_assert_str_eq(refusal.text, expected);
}

/* An argument alone: accepted when `expected` is NULL, else refused with this text. */
static void expect_parse(const char *name, struct value v, const char *expected)
{
    struct table t = one_argument(name, v);
    struct queue_options o;
    int rc = parse(&o, &t);

    if (expected != NULL) {
        expect_refusal(rc, expected);
        return;
    }
    ck_assert_msg(rc == 0, "%s: %s", name, refusal.text);
    ck_assert(value_equal(table_get(&o.arguments, name), &v));
    queue_options_free(&o);
}

START_TEST(no_arguments_are_fine)
{
    struct queue_options o;
    struct table none = table_empty();

    ck_assert_int_eq(parse(&o, NULL), 0);
    ck_assert(o.durable && !o.exclusive && !o.auto_delete);
    ck_assert(!o.has_dead_letter_exchange && !o.has_dead_letter_routing_key);
    queue_options_free(&o);
    ck_assert_int_eq(queue_options_parse(&o, false, true, true, &none, bytes_from_string("q"),
                                         bytes_from_string("/"), &refusal),
                     0);
    ck_assert(!o.durable && o.exclusive && o.auto_delete);
    ck_assert_ptr_null(o.arena.blocks);
    queue_options_free(&o);
}
END_TEST

START_TEST(integers_have_their_ranges)
{
    static const struct {
        const char *name;
        int64_t value;
        const char *expected;
    } cases[] = {
        {"x-message-ttl", -1, INVALID("x-message-ttl") "{value_negative,-1}"},
        {"x-message-ttl", 0, NULL},
        {"x-message-ttl", INT64_C(315360000000), NULL},
        {"x-message-ttl", INT64_C(315360000001),
         INVALID("x-message-ttl") "{value_too_large,315360000001}"},
        {"x-expires", -1, INVALID("x-expires") "{value_negative,-1}"},
        {"x-expires", 0, INVALID("x-expires") "{value_zero,0}"},
        {"x-expires", 1, NULL},
        {"x-expires", INT64_C(1) << 40, INVALID("x-expires") "{value_too_large,1099511627776}"},
        {"x-max-length", -1, INVALID("x-max-length") "{value_negative,-1}"},
        {"x-max-length", 0, NULL},
        {"x-max-length", INT64_MAX, NULL},
        {"x-max-length-bytes", -7, INVALID("x-max-length-bytes") "{value_negative,-7}"},
        {"x-max-length-bytes", INT64_MAX, NULL},
        {"x-max-in-memory-length", -1, INVALID("x-max-in-memory-length") "{value_negative,-1}"},
        {"x-max-in-memory-bytes", 0, NULL},
        {"x-max-priority", -1, INVALID("x-max-priority") "{value_negative,-1}"},
        {"x-max-priority", 0, NULL},
        {"x-max-priority", 255, NULL},
        {"x-max-priority", 256, INVALID("x-max-priority") "{max_value_exceeded,256}"},
        {"x-queue-version", -1, INVALID("x-queue-version") "{value_negative,-1}"},
        {"x-queue-version", 0, INVALID("x-queue-version") "\"unsupported queue version '0'\""},
        {"x-queue-version", 1, NULL},
        {"x-queue-version", 2, NULL},
        {"x-queue-version", 3, INVALID("x-queue-version") "\"unsupported queue version '3'\""},
        {"x-quorum-initial-group-size", 0, INVALID("x-quorum-initial-group-size") "{value_zero,0}"},
        {"x-quorum-initial-group-size", 3, NULL},
        {"x-delivery-limit", -2, INVALID("x-delivery-limit") "{value_negative,-2}"},
        {"x-delivery-limit", -1, NULL},
        {"x-delivery-limit", 20, NULL},
        {"x-consumer-timeout", -1, INVALID("x-consumer-timeout") "{value_negative,-1}"},
        {"x-consumer-timeout", 0, INVALID("x-consumer-timeout") "{value_zero,0}"},
        {"x-consumer-timeout", 1, NULL},
        {"x-consumer-timeout", 315360000001,
         INVALID("x-consumer-timeout") "{value_too_large,315360000001}"},
        {"x-visibility-timeout", -1, INVALID("x-visibility-timeout") "{value_negative,-1}"},
        {"x-visibility-timeout", 0, INVALID("x-visibility-timeout") "{value_zero,0}"},
        {"x-visibility-timeout", 1, NULL},
        {"x-visibility-timeout", 315360000000, NULL},
        {"x-visibility-timeout", 315360000001,
         INVALID("x-visibility-timeout") "{value_too_large,315360000001}"},
        {"x-queue-master-locator", 1, NULL},
    };

    arena_init(&arena);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_parse(cases[i].name, integer(cases[i].value), cases[i].expected);
    arena_free(&arena);
}
END_TEST

START_TEST(strings_have_their_choices)
{
    static const struct {
        const char *name;
        const char *value;
        const char *expected;
    } cases[] = {
        {"x-overflow", "drop-head", NULL},
        {"x-overflow", "reject-publish", NULL},
        {"x-overflow", "reject-publish-dlx", NULL},
        {"x-overflow", "abc", INVALID("x-overflow") "invalid_overflow"},
        {"x-overflow", "", INVALID("x-overflow") "invalid_overflow"},
        {"x-queue-mode", "default", NULL},
        {"x-queue-mode", "lazy", NULL},
        {"x-queue-mode", "abc", INVALID("x-queue-mode") "\"unsupported queue mode 'abc'\""},
        {"x-queue-type", "classic", NULL},
        {"x-queue-type", "quorum", NULL},
        {"x-queue-type", "stream", INVALID("x-queue-type") "\"unsupported queue type 'stream'\""},
        {"x-queue-type", "", INVALID("x-queue-type") "\"unsupported queue type ''\""},
        {"x-dead-letter-strategy", "at-most-once", NULL},
        {"x-dead-letter-strategy", "at-least-once", NULL},
        {"x-dead-letter-strategy", "abc", INVALID("x-dead-letter-strategy") "invalid_dlx_strategy"},
        {"x-queue-leader-locator", "client-local", NULL},
        {"x-queue-leader-locator", "balanced", NULL},
        {"x-queue-leader-locator", "abc",
         INVALID("x-queue-leader-locator") "invalid_queue_locator_arg"},
        {"x-queue-master-locator", "abc", NULL},
        {"x-consumer-timeout", "abc",
         INVALID("x-consumer-timeout") "\"expected integer, got longstr\""},
        {"x-visibility-timeout", "abc",
         INVALID("x-visibility-timeout") "\"expected integer, got longstr\""},
        {"x-dead-letter-exchange", "", NULL},
        {"x-dead-letter-exchange", "dlx", NULL},
        {"x-dead-letter-routing-key", "k",
         INVALID("x-dead-letter-routing-key") "routing_key_but_no_dlx_defined"},
    };

    arena_init(&arena);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_parse(cases[i].name, text(cases[i].value), cases[i].expected);
    arena_free(&arena);
}
END_TEST

START_TEST(types_are_told_by_name)
{
    const struct value string = text("5");
    const struct value boolean = value_boolean(true);
    const struct value list = value_array((struct value_array){.items = NULL});
    const struct value real = {.type = VALUE_DOUBLE, .real = 1.0};
    const struct value timestamp = value_timestamp(1);

    arena_init(&arena);
    expect_parse("x-message-ttl", string, NOT_AN_INTEGER("x-message-ttl", "longstr"));
    expect_parse("x-expires", boolean, NOT_AN_INTEGER("x-expires", "bool"));
    expect_parse("x-max-length", list, NOT_AN_INTEGER("x-max-length", "array"));
    expect_parse("x-max-priority", real, NOT_AN_INTEGER("x-max-priority", "double"));
    expect_parse("x-max-length-bytes", timestamp,
                 NOT_AN_INTEGER("x-max-length-bytes", "timestamp"));
    expect_parse("x-queue-version", value_void(), NOT_AN_INTEGER("x-queue-version", "void"));
    expect_parse("x-overflow", integer(1), UNACCEPTABLE("x-overflow", "signedint"));
    expect_parse("x-overflow", integer(INT64_MAX), UNACCEPTABLE("x-overflow", "long"));
    expect_parse("x-queue-mode", boolean, UNACCEPTABLE("x-queue-mode", "bool"));
    expect_parse("x-queue-type", integer(1), UNACCEPTABLE("x-queue-type", "signedint"));
    expect_parse("x-single-active-consumer", string,
                 UNACCEPTABLE("x-single-active-consumer", "longstr"));
    expect_parse("x-single-active-consumer", boolean, NULL);
    expect_parse("x-dead-letter-routing-key", integer(1),
                 UNACCEPTABLE("x-dead-letter-routing-key", "signedint"));
    expect_parse("x-dead-letter-exchange", integer(1),
                 "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost "
                 "'/'");
    arena_free(&arena);
}
END_TEST

START_TEST(every_integer_type_is_an_integer)
{
    static const enum value_type types[] = {VALUE_INT8,   VALUE_UINT8, VALUE_INT16, VALUE_UINT16,
                                            VALUE_UINT32, VALUE_INT32, VALUE_INT64};

    arena_init(&arena);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        expect_parse("x-message-ttl", (struct value){.type = types[i], .integer = 100}, NULL);
    arena_free(&arena);
}
END_TEST

START_TEST(arguments_of_streams_are_refused)
{
    struct table t;
    struct queue_options o;

    arena_init(&arena);
    expect_parse("x-max-age", text("1D"),
                 "invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type "
                 "rabbit_classic_queue");
    t = one_argument("x-initial-cluster-size", integer(1));
    table_set(&arena, &t, "x-queue-type", text("quorum"));
    expect_refusal(parse(&o, &t), "invalid arg 'x-initial-cluster-size' for queue 'q' in vhost "
                                  "'/' of queue type rabbit_quorum_queue");
    arena_free(&arena);
}
END_TEST

START_TEST(unknown_arguments_are_kept_and_say_nothing)
{
    arena_init(&arena);
    expect_parse("x-foo", integer(-1), NULL);
    expect_parse("x-ha-policy", text("all"), NULL);
    expect_parse("anything", value_void(), NULL);
    arena_free(&arena);
}
END_TEST

/* RabbitMQ "Quorum Queues": all three, or at most once. */
START_TEST(letters_are_confirmed_where_there_is_room_for_them)
{
    static const struct {
        const char *strategy;
        const char *overflow;
        const char *exchange;
        bool confirmed;
    } cases[] = {
        {"at-least-once", "reject-publish", "dlx", true},
        {"at-least-once", "reject-publish", "", true},
        {"at-most-once", "reject-publish", "dlx", false},
        {NULL, "reject-publish", "dlx", false},
        {"at-least-once", "drop-head", "dlx", false},
        {"at-least-once", "reject-publish-dlx", "dlx", false},
        {"at-least-once", NULL, "dlx", false},
        {"at-least-once", "reject-publish", NULL, false},
    };

    arena_init(&arena);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table t = table_empty();
        struct queue_options o;

        if (cases[i].strategy != NULL)
            table_set(&arena, &t, "x-dead-letter-strategy", text(cases[i].strategy));
        if (cases[i].overflow != NULL)
            table_set(&arena, &t, "x-overflow", text(cases[i].overflow));
        if (cases[i].exchange != NULL)
            table_set(&arena, &t, "x-dead-letter-exchange", text(cases[i].exchange));
        ck_assert_int_eq(parse(&o, &t), 0);
        ck_assert_int_eq(o.rules != NULL && o.rules->letters_confirmed, cases[i].confirmed);
        queue_options_free(&o);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(dead_letter_names_come_out)
{
    struct table t;
    struct queue_options o;

    arena_init(&arena);
    t = one_argument("x-dead-letter-routing-key", text("k"));
    table_set(&arena, &t, "x-dead-letter-exchange", text(""));
    ck_assert_int_eq(parse(&o, &t), 0);
    arena_free(&arena);

    ck_assert(o.has_dead_letter_exchange);
    ck_assert_uint_eq(o.dead_letters->exchange.size, 0);
    ck_assert(o.has_dead_letter_routing_key);
    ck_assert(bytes_equal_string(o.dead_letters->routing_key, "k"));
    queue_options_free(&o);
}
END_TEST

START_TEST(dead_letter_names_are_as_long_as_names_can_be)
{
    char name[257];
    struct queue_options o;
    struct table t;

    memset(name, 'n', 256);
    name[256] = '\0';
    arena_init(&arena);
    expect_parse("x-dead-letter-exchange", value_string(bytes_of(name, 255)), NULL);
    expect_parse("x-dead-letter-exchange", text(name),
                 INVALID("x-dead-letter-exchange") "\"longer than 255 bytes\"");
    t = one_argument("x-dead-letter-exchange", text("x"));
    table_set(&arena, &t, "x-dead-letter-routing-key", text(name));
    expect_refusal(parse(&o, &t), INVALID("x-dead-letter-routing-key") "\"longer than 255 bytes\"");
    arena_free(&arena);
}
END_TEST

START_TEST(overlong_string_does_not_overflow_the_text)
{
    char name[4001];
    struct queue_options o;
    struct table t;

    memset(name, 'n', 4000);
    name[4000] = '\0';
    arena_init(&arena);
    t = one_argument("x-queue-type", text(name));
    ck_assert_int_eq(parse(&o, &t), -EPROTO);
    ck_assert_uint_lt(strlen(refusal.text), REFUSAL_TEXT_SIZE);
    t = one_argument("x-queue-mode", text(name));
    ck_assert_int_eq(parse(&o, &t), -EPROTO);
    arena_free(&arena);
}
END_TEST

START_TEST(first_of_several_errors_is_the_one_rabbitmq_tells)
{
    struct queue_options o;
    struct table t;

    arena_init(&arena);
    t = one_argument("x-max-priority", integer(-1));
    table_set(&arena, &t, "x-overflow", text("n"));
    table_set(&arena, &t, "x-message-ttl", integer(-1));
    table_set(&arena, &t, "x-expires", integer(-1));
    expect_refusal(parse(&o, &t), INVALID("x-expires") "{value_negative,-1}");
    table_set(&arena, &t, "x-queue-type", text("abc"));
    expect_refusal(parse(&o, &t), INVALID("x-queue-type") "\"unsupported queue type 'abc'\"");
    table_set(&arena, &t, "x-dead-letter-exchange", integer(1));
    expect_refusal(parse(&o, &t), "invalid type 'signedint' for arg 'x-dead-letter-exchange' in "
                                  "queue 'q' in vhost '/'");
    arena_free(&arena);
}
END_TEST

START_TEST(quorum_queue_is_durable_and_shared)
{
    static const struct {
        bool durable, exclusive, auto_delete;
        const char *property;
    } cases[] = {
        {true, false, false, NULL},
        {false, false, false, "non-durable"},
        {true, true, false, "exclusive-owner"},
        {false, true, false, "exclusive-owner"},
        {true, false, true, "auto-delete"},
        {false, true, true, "auto-delete"},
    };

    arena_init(&arena);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table t = one_argument("x-queue-type", text("quorum"));
        struct queue_options o;
        char expected[128];
        int rc = queue_options_parse(&o, cases[i].durable, cases[i].exclusive, cases[i].auto_delete,
                                     &t, bytes_from_string("q"), bytes_from_string("/"), &refusal);

        if (cases[i].property == NULL) {
            ck_assert_int_eq(rc, 0);
            queue_options_free(&o);
            continue;
        }
        snprintf(expected, sizeof(expected), "invalid property '%s' for queue 'q' in vhost '/'",
                 cases[i].property);
        expect_refusal(rc, expected);
    }
    arena_free(&arena);
}
END_TEST

/* A queue declared with `current`, redeclared with `received`: NULL when they are equivalent. */
static void expect_redeclare(const struct table *current, const struct table *received,
                             const char *expected)
{
    struct queue_options a, b;

    ck_assert_int_eq(parse(&a, current), 0);
    ck_assert_int_eq(parse(&b, received), 0);
    if (expected == NULL)
        ck_assert_msg(equivalent(&a, &b) == 0, "%s", refusal.text);
    else
        expect_refusal(equivalent(&a, &b), expected);
    queue_options_free(&a);
    queue_options_free(&b);
}

START_TEST(redeclare_compares_durable_and_auto_delete)
{
    const struct queue_options durable = {.durable = true};
    const struct queue_options transient = {.durable = false};
    const struct queue_options auto_delete = {.auto_delete = true};
    const struct queue_options exclusive = {.exclusive = true};

    expect_refusal(equivalent(&durable, &transient),
                   INEQUIVALENT("durable") "received 'false' but current is 'true'");
    expect_refusal(equivalent(&transient, &durable),
                   INEQUIVALENT("durable") "received 'true' but current is 'false'");
    expect_refusal(equivalent(&auto_delete, &transient),
                   INEQUIVALENT("auto_delete") "received 'false' but current is 'true'");
    ck_assert_int_eq(equivalent(&transient, &exclusive), 0);
    ck_assert_int_eq(equivalent(&durable, &durable), 0);
}
END_TEST

START_TEST(redeclare_compares_arguments_by_value)
{
    struct table none = table_empty();
    struct table a, b;

    arena_init(&arena);
    a = one_argument("x-message-ttl", integer(60000));
    b = one_argument("x-message-ttl", value_int64(60000));
    expect_redeclare(&a, &a, NULL);
    expect_redeclare(&a, &b, NULL);
    expect_redeclare(&a, &none,
                     INEQUIVALENT("x-message-ttl") "received none but current is the value "
                                                   "'60000' of type 'signedint'");
    expect_redeclare(&none, &a,
                     INEQUIVALENT("x-message-ttl") "received the value '60000' of type "
                                                   "'signedint' but current is none");
    b = one_argument("x-message-ttl", integer(1));
    expect_redeclare(&a, &b, INEQUIVALENT("x-message-ttl") "received '1' but current is '60000'");
    a = one_argument("x-single-active-consumer", value_boolean(true));
    b = one_argument("x-single-active-consumer", value_boolean(false));
    expect_redeclare(&a, &b,
                     INEQUIVALENT("x-single-active-consumer") "received 'false' but current is "
                                                              "'true'");
    a = one_argument("x-overflow", text("drop-head"));
    b = one_argument("x-overflow", text("reject-publish"));
    expect_redeclare(&a, &b,
                     INEQUIVALENT("x-overflow") "received 'reject-publish' but current is "
                                                "'drop-head'");
    arena_free(&arena);
}
END_TEST

START_TEST(every_known_argument_is_compared)
{
    static const struct {
        const char *name;
        const char *value; /* NULL: the integer 1 */
    } known[] = {
        {"x-expires", NULL},
        {"x-message-ttl", NULL},
        {"x-dead-letter-exchange", "x"},
        {"x-dead-letter-strategy", "at-most-once"},
        {"x-max-length", NULL},
        {"x-max-length-bytes", NULL},
        {"x-max-in-memory-length", NULL},
        {"x-max-in-memory-bytes", NULL},
        {"x-max-priority", NULL},
        {"x-overflow", "drop-head"},
        {"x-queue-mode", "default"},
        {"x-queue-version", NULL},
        {"x-queue-type", "quorum"},
        {"x-quorum-initial-group-size", NULL},
        {"x-queue-leader-locator", "balanced"},
        {"x-queue-master-locator", "random"},
        {"x-delivery-limit", NULL},
    };

    arena_init(&arena);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct table t =
            one_argument(known[i].name, known[i].value != NULL ? text(known[i].value) : integer(1));
        struct queue_options with, without;

        ck_assert_int_eq(parse(&with, &t), 0);
        ck_assert_int_eq(parse(&without, NULL), 0);
        ck_assert_msg(equivalent(&with, &without) == -EPROTO, "%s", known[i].name);
        ck_assert_ptr_nonnull(strstr(refusal.text, known[i].name));
        ck_assert_int_eq(equivalent(&with, &with), 0);
        queue_options_free(&with);
        queue_options_free(&without);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(classic_is_what_no_type_means)
{
    struct table none = table_empty();
    struct table classic, quorum;

    arena_init(&arena);
    classic = one_argument("x-queue-type", text("classic"));
    quorum = one_argument("x-queue-type", text("quorum"));
    expect_redeclare(&none, &classic, NULL);
    expect_redeclare(&classic, &none, NULL);
    expect_redeclare(&classic, &quorum,
                     INEQUIVALENT("x-queue-type") "received 'quorum' but current is 'classic'");
    expect_redeclare(&none, &quorum,
                     INEQUIVALENT("x-queue-type") "received the value 'quorum' of type 'longstr' "
                                                  "but current is none");
    arena_free(&arena);
}
END_TEST

START_TEST(unknown_arguments_are_not_compared)
{
    struct table none = table_empty();
    struct table a, b;

    arena_init(&arena);
    a = one_argument("x-foo", integer(1));
    b = one_argument("x-foo", text("else"));
    expect_redeclare(&a, &b, NULL);
    expect_redeclare(&a, &none, NULL);
    expect_redeclare(&none, &b, NULL);
    arena_free(&arena);
}
END_TEST

START_TEST(several_differences_are_told_in_rabbitmqs_order)
{
    struct table a, b;

    arena_init(&arena);
    a = one_argument("x-message-ttl", integer(1));
    table_set(&arena, &a, "x-expires", integer(1));
    b = one_argument("x-message-ttl", integer(2));
    table_set(&arena, &b, "x-expires", integer(2));
    expect_redeclare(&a, &b, INEQUIVALENT("x-expires") "received '2' but current is '1'");
    arena_free(&arena);
}
END_TEST

UNIT_MAIN("queue_options", no_arguments_are_fine, integers_have_their_ranges,
          strings_have_their_choices, types_are_told_by_name, every_integer_type_is_an_integer,
          arguments_of_streams_are_refused, unknown_arguments_are_kept_and_say_nothing,
          letters_are_confirmed_where_there_is_room_for_them, dead_letter_names_come_out,
          dead_letter_names_are_as_long_as_names_can_be, overlong_string_does_not_overflow_the_text,
          first_of_several_errors_is_the_one_rabbitmq_tells, quorum_queue_is_durable_and_shared,
          redeclare_compares_durable_and_auto_delete, redeclare_compares_arguments_by_value,
          every_known_argument_is_compared, classic_is_what_no_type_means,
          unknown_arguments_are_not_compared, several_differences_are_told_in_rabbitmqs_order)
