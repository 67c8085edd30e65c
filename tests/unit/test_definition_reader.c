#include "admin/definition_reader.h"
#include "tests/unit/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the visitor was told, one line each. */
static char told[4096];

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
    size_t size = strlen(told);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(told + size, sizeof(told) - size, format, arguments);
    va_end(arguments);
}

static void on_problem(void *context, const char *place, const char *reason)
{
    (void)context;
    tell("problem %s: %s\n", place, reason);
}

static void on_not_understood(void *context, const char *place, const char *reason)
{
    (void)context;
    tell("unknown %s: %s\n", place, reason);
}

static void tell_arguments(const struct table *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        tell(" %.*s=%c", BYTES_ARGS(t->fields[i].key), t->fields[i].value.type);
}

static void on_record(void *context, const struct definition_record *r, const char *place)
{
    (void)context;
    tell("%s: vhost %.*s name %.*s", place, BYTES_ARGS(r->vhost), BYTES_ARGS(r->name));
    switch (r->section) {
    case DEFINITION_USERS:
        tell(" hash %.*s by %.*s tags %.*s", BYTES_ARGS(r->password_hash),
             BYTES_ARGS(r->hashing_algorithm), BYTES_ARGS(r->tags));
        break;
    case DEFINITION_PERMISSIONS:
    case DEFINITION_TOPIC_PERMISSIONS:
        tell(" user %.*s exchange %.*s: %.*s %.*s %.*s", BYTES_ARGS(r->user),
             BYTES_ARGS(r->exchange), BYTES_ARGS(r->configure), BYTES_ARGS(r->write),
             BYTES_ARGS(r->read));
        break;
    case DEFINITION_PARAMETERS:
    case DEFINITION_GLOBAL_PARAMETERS:
        tell(" component %.*s value %c", BYTES_ARGS(r->component), r->value.type);
        break;
    case DEFINITION_POLICIES:
        tell(" %s%.*s to '%.*s' priority %d", r->operator_policy ? "operator " : "",
             BYTES_ARGS(r->pattern), BYTES_ARGS(r->apply_to), (int)r->priority);
        break;
    case DEFINITION_EXCHANGES:
        tell(" type %.*s %d%d%d", BYTES_ARGS(r->type), r->durable, r->auto_delete, r->internal);
        break;
    case DEFINITION_QUEUES:
        tell(" %d%d", r->durable, r->auto_delete);
        break;
    case DEFINITION_BINDINGS:
        tell(" %.*s to %s %.*s by '%.*s'", BYTES_ARGS(r->source),
             r->to_exchange ? "exchange" : "queue", BYTES_ARGS(r->destination),
             BYTES_ARGS(r->routing_key));
        break;
    case DEFINITION_VHOSTS:
    case DEFINITION_SECTIONS:
        break;
    }
    tell_arguments(&r->arguments);
    tell("\n");
}

static const struct definition_visitor VISITOR = {
    .record = on_record,
    .problem = on_problem,
    .not_understood = on_not_understood,
};

static void expect_told(const char *text, const char *vhost, const char *expected)
{
    char error[256] = "";

    told[0] = '\0';
    ck_assert_msg(definitions_read_json(bytes_from_string(text), bytes_from_string(vhost), &VISITOR,
                                        error, sizeof(error)) == 0,
                  "%s", error);
    ck_assert_str_eq(told, expected);
}

static void expect_refused(const char *text, const char *expected)
{
    char error[256] = "";

    told[0] = '\0';
    ck_assert_int_lt(definitions_read_json(bytes_from_string(text), bytes_of(NULL, 0), &VISITOR,
                                           error, sizeof(error)),
                     0);
    ck_assert_str_eq(error, expected);
    ck_assert_str_eq(told, "");
}

START_TEST(sections_come_in_the_order_in_which_they_can_be_made)
{
    expect_told("{\"bindings\": [{\"vhost\": \"v\", \"source\": \"x\", \"destination\": \"q\","
                "  \"destination_type\": \"queue\", \"routing_key\": \"k\", \"arguments\": {}}],"
                " \"queues\": [{\"vhost\": \"v\", \"name\": \"q\", \"durable\": false,"
                "  \"auto_delete\": true, \"arguments\": {}}],"
                " \"exchanges\": [{\"vhost\": \"v\", \"name\": \"x\", \"type\": \"topic\","
                "  \"internal\": true}],"
                " \"policies\": [{\"vhost\": \"v\", \"name\": \"p\", \"pattern\": \".*\","
                "  \"apply-to\": \"queues\", \"priority\": 3, \"definition\": {\"expires\": 1}}],"
                " \"global_parameters\": [{\"name\": \"g\", \"value\": [1]}],"
                " \"parameters\": [{\"vhost\": \"v\", \"component\": \"c\", \"name\": \"n\","
                "  \"value\": true}],"
                " \"topic_permissions\": [{\"vhost\": \"v\", \"user\": \"u\","
                "  \"exchange\": \"x\", \"write\": \"a\", \"read\": \"b\"}],"
                " \"permissions\": [{\"vhost\": \"v\", \"user\": \"u\", \"configure\": \"c\","
                "  \"write\": \"w\", \"read\": \"r\"}],"
                " \"users\": [{\"name\": \"u\", \"password_hash\": \"h\","
                "  \"hashing_algorithm\": \"a\", \"tags\": [\"s\", \"t\"]}],"
                " \"vhosts\": [{\"name\": \"v\"}]}",
                "",
                "$.vhosts[0]: vhost  name v\n"
                "$.users[0]: vhost  name u hash h by a tags s,t\n"
                "$.permissions[0]: vhost v name  user u exchange : c w r\n"
                "$.topic_permissions[0]: vhost v name  user u exchange x:  a b\n"
                "$.parameters[0]: vhost v name n component c value t\n"
                "$.global_parameters[0]: vhost  name g component  value A\n"
                "$.policies[0]: vhost v name p .* to 'queues' priority 3 expires=l\n"
                "$.exchanges[0]: vhost v name x type topic 101\n"
                "$.queues[0]: vhost v name q 01\n"
                "$.bindings[0]: vhost v name  x to queue q by 'k'\n");
}
END_TEST

START_TEST(arguments_have_the_types_that_rabbitmq_reads)
{
    expect_told("{\"queues\": [{\"name\": \"q\", \"arguments\": {\"int\": 5, \"real\": 2.0,"
                " \"text\": \"x\", \"yes\": true, \"none\": null, \"list\": [], \"table\": {}}}]}",
                "v",
                "$.queues[0]: vhost v name q 10 int=l real=d text=S yes=t none=V list=A table=F\n");
}
END_TEST

/* As the command line of RabbitMQ 3.10 writes some objects. */
START_TEST(list_of_pairs_is_an_object)
{
    expect_told("{\"policies\": [{\"name\": \"p\", \"pattern\": \"a\","
                " \"definition\": [[\"max-length\", 5], [\"overflow\", \"drop-head\"]]}]}",
                "v", "$.policies[0]: vhost v name p a to '' priority 0 max-length=l overflow=S\n");
    expect_told("{\"queues\": [{\"name\": \"q\", \"arguments\": [[\"a\"]]}]}", "v",
                "problem $.queues[0].arguments: must be an object, not a list\n");
}
END_TEST

START_TEST(operator_policy_is_a_parameter_in_the_file)
{
    expect_told("{\"parameters\": [{\"vhost\": \"v\", \"component\": \"operator_policy\","
                " \"name\": \"p\", \"value\": {\"pattern\": \"a\", \"apply-to\": \"queues\","
                " \"priority\": 1, \"definition\": {\"max-length\": 5}}},"
                " {\"vhost\": \"v\", \"component\": \"operator_policy\", \"name\": \"r\","
                " \"value\": 5}]}",
                "",
                "$.parameters[0]: vhost v name p operator a to 'queues' priority 1 max-length=l\n"
                "problem $.parameters[1].value: must be an object, not a number\n");
}
END_TEST

START_TEST(type_of_a_queue_is_an_argument)
{
    expect_told("{\"queues\": [{\"name\": \"a\", \"type\": \"classic\"},"
                " {\"name\": \"b\", \"type\": \"quorum\"},"
                " {\"name\": \"c\", \"type\": \"quorum\","
                "  \"arguments\": {\"x-queue-type\": \"quorum\"}}]}",
                "v",
                "$.queues[0]: vhost v name a 10\n"
                "$.queues[1]: vhost v name b 10 x-queue-type=S\n"
                "$.queues[2]: vhost v name c 10 x-queue-type=S\n");
}
END_TEST

START_TEST(faults_are_told_with_their_place_and_the_others_come)
{
    expect_told("{\"queues\": [{\"name\": \"q\", \"durable\": \"yes\"}, 7, {},"
                " {\"name\": \"good\"}],"
                " \"exchanges\": {}, \"bindings\": [{\"source\": \"x\", \"destination\": \"q\","
                " \"destination_type\": \"topic\"}],"
                " \"policies\": [{\"name\": \"p\", \"pattern\": \"a\", \"definition\": {},"
                " \"priority\": 1.5}]}",
                "v",
                "problem $.policies[0].priority: must be a whole number, not a number\n"
                "problem $.exchanges: must be a list, not an object\n"
                "problem $.queues[0].durable: must be true or false, not a string\n"
                "problem $.queues[1]: must be an object, not a number\n"
                "problem $.queues[2]: has no 'name'\n"
                "$.queues[3]: vhost v name good 10\n"
                "problem $.bindings[0].destination_type: must be \"queue\" or \"exchange\"\n");
}
END_TEST

/* RabbitMQ's integers have no bound; ours and those of AMQP do. */
START_TEST(number_that_is_too_large_takes_its_object_alone)
{
    static const char BAD_ONES[] =
        "{\"queues\": ["
        "{\"name\": \"a\", \"arguments\": {\"x-max-length\": 9223372036854775808}},"
        "{\"name\": \"b \\\" 99999999999999999999 \\\\\","
        " \"arguments\": {\"x-max-length\": 9223372036854775807}},"
        "{\"name\": \"c\", \"arguments\": {\"y\": [1, {\"z\": -1e999}]}},"
        "{\"name\": 123456789012345678901234567890123456789012345678901234567890},"
        "-9223372036854775809,"
        "{\"name\": \"d\", \"arguments\": {\"y\": 1e308, \"w\": -9223372036854775808}}],"
        "\"exchanges\": 1e400, \"tomorrow\": 18446744073709551616}";

    expect_told(
        BAD_ONES, "v",
        "unknown $.tomorrow: is unknown\n"
        "problem $.exchanges: must be a list, not a number\n"
        "problem $.queues[0].arguments.x-max-length: the number 9223372036854775808 is too large: "
        "whole ones have 64 bits\n"
        "$.queues[1]: vhost v name b \" 99999999999999999999 \\ 10 x-max-length=l\n"
        "problem $.queues[2].arguments.y[1].z: the number -1e999 is too large: whole ones have 64 "
        "bits\n"
        "problem $.queues[3].name: the number "
        "123456789012345678901234567890123456789012345678... is too large: whole ones have 64 "
        "bits\n"
        "problem $.queues[4]: the number -9223372036854775809 is too large: whole ones have 64 "
        "bits\n"
        "$.queues[5]: vhost v name d 10 y=d w=l\n");
}
END_TEST

START_TEST(object_without_a_virtual_host_needs_one_from_elsewhere)
{
    expect_told("{\"queues\": [{\"name\": \"q\"}]}", "", "problem $.queues[0]: has no 'vhost'\n");
    expect_told("{\"queues\": [{\"name\": \"q\"}]}", "v", "$.queues[0]: vhost v name q 10\n");
}
END_TEST

/* RabbitMQ's POST of /api/definitions/VHOST reads no more than this. */
START_TEST(import_into_one_virtual_host_touches_no_other)
{
    expect_told("{\"vhosts\": [{\"name\": \"w\"}], \"users\": [{\"name\": \"u\"}],"
                " \"permissions\": [{\"vhost\": \"w\"}], \"topic_permissions\": [],"
                " \"global_parameters\": [{\"name\": \"g\", \"value\": 1}],"
                " \"parameters\": [{\"vhost\": \"w\", \"component\": \"c\", \"name\": \"n\","
                "  \"value\": true}],"
                " \"policies\": [{\"vhost\": \"w\", \"name\": \"p\", \"pattern\": \"a\","
                "  \"definition\": {\"expires\": 1}}],"
                " \"queues\": [{\"vhost\": \"w\", \"name\": \"q\"}]}",
                "v",
                "unknown $.vhosts: is left out of an import into one virtual host\n"
                "unknown $.users: is left out of an import into one virtual host\n"
                "unknown $.permissions: is left out of an import into one virtual host\n"
                "$.parameters[0]: vhost v name n component c value t\n"
                "unknown $.global_parameters: is left out of an import into one virtual host\n"
                "$.policies[0]: vhost v name p a to '' priority 0 expires=l\n"
                "$.queues[0]: vhost v name q 10\n");
}
END_TEST

START_TEST(what_means_nothing_here_is_told)
{
    expect_told("{\"rabbit_version\": \"3.10.8\", \"tomorrow\": [],"
                " \"vhosts\": [{\"name\": \"v\", \"metadata\": {\"description\": \"\","
                "  \"tags\": []}},"
                "  {\"name\": \"w\", \"metadata\": {\"description\": \"x\"}}],"
                " \"queues\": [{\"vhost\": \"v\", \"name\": \"q\", \"colour\": 1}]}",
                "",
                "unknown $.tomorrow: is unknown\n"
                "$.vhosts[0]: vhost  name v\n"
                "unknown $.vhosts[1].metadata: is not kept\n"
                "$.vhosts[1]: vhost  name w\n"
                "unknown $.queues[0].colour: is unknown\n"
                "$.queues[0]: vhost v name q 10\n");
    /* As in an export of one virtual host. */
    expect_told("{\"original_vhost_name\": \"v\", \"description\": \"\", \"limits\": [],"
                " \"metadata\": {\"description\": \"\", \"tags\": []},"
                " \"default_queue_type\": \"quorum\"}",
                "v", "unknown $.default_queue_type: is not kept\n");
}
END_TEST

START_TEST(long_names_and_deep_tables_are_faults)
{
    char text[1024];
    char name[300];

    memset(name, 'n', 256);
    name[256] = '\0';
    snprintf(text, sizeof(text), "{\"queues\": [{\"name\": \"%s\"}]}", name);
    expect_told(text, "v", "problem $.queues[0].name: must have at most 255 bytes, not 256\n");
    snprintf(text, sizeof(text), "{\"queues\": [{\"name\": \"q\", \"arguments\": {\"%s\": 1}}]}",
             name);
    expect_told(text, "v", "problem $.queues[0].arguments: a key must have at most 255 bytes\n");
    expect_told("{\"queues\": [{\"name\": \"q\", \"arguments\": {\"a\":"
                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}]}",
                "v", "problem $.queues[0].arguments: is nested too deep\n");
}
END_TEST

START_TEST(text_that_is_no_definitions_is_refused_as_a_whole)
{
    expect_refused("", "line 1, column 0: '[' or '{' expected near end of file");
    expect_refused("{\"queues\": [}", "line 1, column 13: unexpected token near '}'");
    expect_refused("{\"queues\": [], \"queues\": []}",
                   "line 1, column 23: duplicate object key near '\"queues\"'");
    expect_refused("[]", "must be an object, not a list");
    expect_refused("{\"a\": 9223372036854775808,\n \"queues\": [}",
                   "line 2, column 13: unexpected token near '}'");
    expect_refused("{\"a\": 9223372036854775808, \"queues\": \"q\\",
                   "line 1, column 60: invalid escape near '\"q\\'");
}
END_TEST

UNIT_MAIN("definition_reader", sections_come_in_the_order_in_which_they_can_be_made,
          arguments_have_the_types_that_rabbitmq_reads, list_of_pairs_is_an_object,
          operator_policy_is_a_parameter_in_the_file, type_of_a_queue_is_an_argument,
          faults_are_told_with_their_place_and_the_others_come,
          number_that_is_too_large_takes_its_object_alone,
          object_without_a_virtual_host_needs_one_from_elsewhere,
          import_into_one_virtual_host_touches_no_other, what_means_nothing_here_is_told,
          long_names_and_deep_tables_are_faults, text_that_is_no_definitions_is_refused_as_a_whole)
