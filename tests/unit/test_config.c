#include "config/config.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "f.yaml"

static int load(const char *text, struct config **out, struct config_problems *problems)
{
    config_problems_init(problems);
    return config_load_text(FILE_NAME, bytes_from_string(text), NULL, out, problems);
}

static void fail_with(const char *text, const struct config_problems *problems)
{
    fprintf(stderr, "of this text:\n%s\n", text);
    config_problems_print(problems, stderr);
    ck_abort_msg("not the problems that were expected");
}

/* Loads what must be right. The caller frees it. */
static struct config *loaded(const char *text)
{
    struct config_problems problems;
    struct config *c;

    if (load(text, &c, &problems) != 0)
        fail_with(text, &problems);
    ck_assert_uint_eq(problems.count, 0);
    config_problems_free(&problems);
    return c;
}

/* All problems, a line each, without the file's name: "3: message\n". Freed by the caller. */
static char *joined(const struct config_problems *problems)
{
    size_t size = 1;
    char *all = calloc(1, size);

    for (size_t i = 0; i < problems->count; i++) {
        char *text = config_problem_text(&problems->items[i]);
        const char *rest = text + strlen(FILE_NAME ":");

        ck_assert(strncmp(text, FILE_NAME ":", strlen(FILE_NAME ":")) == 0);
        size += strlen(rest) + 1;
        all = realloc(all, size);
        strcat(strcat(all, rest), "\n");
        free(text);
    }
    return all;
}

struct bad_case {
    const char *text;
    const char *problems; /* each `line: message\n` in order */
};

static void expect_problems(const struct bad_case *bad)
{
    struct config_problems problems;
    struct config *c;
    char *found;

    ck_assert_int_eq(load(bad->text, &c, &problems), -EINVAL);
    ck_assert_ptr_null(c);
    found = joined(&problems);
    if (strcmp(found, bad->problems) != 0) {
        fprintf(stderr, "expected:\n%s\nfound:\n%s\n", bad->problems, found);
        fail_with(bad->text, &problems);
    }
    free(found);
    config_problems_free(&problems);
}

#define EXPECT_ALL(cases) \
    do { \
        for (size_t i = 0; i < sizeof(cases) / sizeof(*(cases)); i++) \
            expect_problems(&(cases)[i]); \
    } while (0)

static void expect_defaults(const struct config *c)
{
    ck_assert_uint_eq(c->listeners.count, 1);
    ck_assert_str_eq(c->listeners.items[0].address, "*");
    ck_assert_uint_eq(c->listeners.items[0].port, 5672);
    ck_assert_uint_eq(c->workers, 0);
    ck_assert_str_eq(c->data_dir, "/var/lib/leveret");
    ck_assert_str_eq(c->server.product, "leveret");
    ck_assert_ptr_null(c->server.version);
    ck_assert_ptr_null(c->server.cluster_name);
    ck_assert_uint_eq(c->limits.handshake_timeout_ms, 10000);
    ck_assert_uint_eq(c->limits.max_connections, 0);
    ck_assert_uint_eq(c->limits.max_channels_per_connection, 2047);
    ck_assert_uint_eq(c->limits.frame_max, 131072);
    ck_assert_uint_eq(c->limits.handshake_frame_max, 8192);
    ck_assert_uint_eq(c->limits.heartbeat_s, 60);
    ck_assert_uint_eq(c->limits.max_message_size_bytes, 16 * 1024 * 1024);
    ck_assert_uint_eq(c->limits.max_header_table_size_bytes, 128 * 1024);
    ck_assert_uint_eq(c->limits.direct_reply_timeout_ms, 30000);
    ck_assert_uint_eq(c->limits.read_budget_bytes, 256 * 1024);
    ck_assert_int_eq(c->journal.sync, CONFIG_SYNC_ALWAYS);
    ck_assert_uint_eq(c->journal.sync_interval_ms, 100);
    ck_assert_uint_eq(c->journal.segment_size_bytes, 64 * 1024 * 1024);
    ck_assert_uint_eq(c->journal.compact_below_percent, 50);
    ck_assert_uint_eq(c->journal.reserve_bytes, 8 * 1024 * 1024);
    ck_assert_uint_eq(c->journal.write_buffer_bytes, 32 * 1024 * 1024);
    ck_assert_uint_eq(c->dead_letters.window, 256);
    ck_assert_uint_eq(c->dead_letters.retry_min_ms, 1000);
    ck_assert_uint_eq(c->dead_letters.retry_max_ms, 60000);
    ck_assert_uint_eq(c->memory.target_bytes, 0);
    ck_assert_uint_eq(c->memory.target_percent, 40);
    ck_assert_uint_eq(c->memory.high_watermark_bytes, 0);
    ck_assert_uint_eq(c->memory.high_watermark_percent, 60);
    ck_assert_uint_eq(c->disk.free_limit_bytes, 50 * 1024 * 1024);
    ck_assert_uint_eq(c->admin.max_connections, 64);
    ck_assert_uint_eq(c->admin.max_body_size_bytes, 64 * 1024 * 1024);
    ck_assert_int_eq(c->log.level, LOG_LEVEL_INFO);
    ck_assert_int_eq(c->log.format, LOG_FORMAT_TEXT);
    ck_assert_ptr_null(c->log.path);
    ck_assert_uint_eq(c->vhosts.count, 1);
    ck_assert(bytes_equal_string(c->vhosts.items[0].name, "/"));
    ck_assert_uint_eq(c->users.count, 1);
    ck_assert(bytes_equal_string(c->users.items[0].name, "guest"));
    ck_assert_str_eq(c->users.items[0].password, "guest");
    ck_assert_uint_eq(c->users.items[0].tags, USER_TAG_ADMINISTRATOR);
    ck_assert(c->users.items[0].loopback_only);
    ck_assert_uint_eq(c->permissions.count, 1);
    ck_assert(bytes_equal_string(c->permissions.items[0].user, "guest"));
    ck_assert(bytes_equal_string(c->permissions.items[0].vhost, "/"));
    ck_assert_str_eq(c->permissions.items[0].configure, ".*");
    ck_assert_str_eq(c->permissions.items[0].write, ".*");
    ck_assert_str_eq(c->permissions.items[0].read, ".*");
    ck_assert_uint_eq(c->topology.exchanges.count, 0);
    ck_assert_uint_eq(c->topology.queues.count, 0);
    ck_assert_uint_eq(c->topology.bindings.count, 0);
}

START_TEST(without_a_file_guest_gets_in_from_loopback)
{
    struct config *c = config_default();

    expect_defaults(c);
    config_free(c);
}
END_TEST

START_TEST(empty_files_and_sections_count_as_absent)
{
    static const char *const TEXTS[] = {
        "",
        "# nothing but a comment\n",
        "---\n",
        "{}",
        "~",
        "listeners:\nserver:\nlimits:\nlog: ~\nusers:\nvhosts:\npermissions:\ntopology:\n",
        "topology:\n  exchanges:\n  queues:\n  bindings:\n",
    };

    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(*TEXTS); i++) {
        struct config *c = loaded(TEXTS[i]);

        expect_defaults(c);
        config_free(c);
    }
}
END_TEST

START_TEST(every_scalar_key_reaches_its_field)
{
    struct config *c = loaded("workers: 3\n"
                              "data_dir: /tmp/x\n"
                              "server: {product: RabbitMQ, version: \"3.13.7\", cluster_name: c}\n"
                              "limits:\n"
                              "  handshake_timeout_ms: 101\n"
                              "  max_connections: 102\n"
                              "  max_channels_per_connection: 103\n"
                              "  frame_max: 4096\n"
                              "  handshake_frame_max: 5KiB\n"
                              "  heartbeat_s: 0\n"
                              "  max_queues: 105\n"
                              "  max_exchanges: 110\n"
                              "  max_bindings: 111\n"
                              "  max_consumers_per_channel: 106\n"
                              "  consumer_timeout_ms: 109\n"
                              "  max_message_size: 3 MiB\n"
                              "  max_header_table_size: 2KiB\n"
                              "  max_table_depth: 7\n"
                              "  output_high_watermark: 1GiB\n"
                              "  direct_reply_timeout_ms: 108\n"
                              "  read_budget: 0x20000\n"
                              "journal:\n"
                              "  sync: interval\n"
                              "  sync_interval_ms: 107\n"
                              "  segment_size: 1GiB\n"
                              "  compact_below_percent: 0\n"
                              "  reserve: 3MiB\n"
                              "  write_buffer: 5MiB\n"
                              "dead_letters: {window: 11, retry_min_ms: 12, retry_max_ms: 13}\n"
                              "memory:\n"
                              "  target: 3GiB\n"
                              "  target_percent: 100\n"
                              "  high_watermark: 1048576GiB\n"
                              "  high_watermark_percent: 0\n"
                              "disk: {free_limit: 5GiB}\n"
                              "log: {level: debug, format: json, output: /tmp/log}\n");

    ck_assert_uint_eq(c->workers, 3);
    ck_assert_str_eq(c->data_dir, "/tmp/x");
    ck_assert_str_eq(c->server.product, "RabbitMQ");
    ck_assert_str_eq(c->server.version, "3.13.7");
    ck_assert_str_eq(c->server.cluster_name, "c");
    ck_assert_uint_eq(c->limits.handshake_timeout_ms, 101);
    ck_assert_uint_eq(c->limits.max_connections, 102);
    ck_assert_uint_eq(c->limits.max_channels_per_connection, 103);
    ck_assert_uint_eq(c->limits.frame_max, 4096);
    ck_assert_uint_eq(c->limits.handshake_frame_max, 5120);
    ck_assert_uint_eq(c->limits.heartbeat_s, 0);
    ck_assert_uint_eq(c->limits.max_queues, 105);
    ck_assert_uint_eq(c->limits.max_exchanges, 110);
    ck_assert_uint_eq(c->limits.max_bindings, 111);
    ck_assert_uint_eq(c->limits.max_consumers_per_channel, 106);
    ck_assert_uint_eq(c->limits.consumer_timeout_ms, 109);
    ck_assert_uint_eq(c->limits.max_message_size_bytes, 3 * 1024 * 1024);
    ck_assert_uint_eq(c->limits.max_header_table_size_bytes, 2048);
    ck_assert_uint_eq(c->limits.max_table_depth, 7);
    ck_assert_uint_eq(c->limits.output_high_watermark_bytes, 1024 * 1024 * 1024);
    ck_assert_uint_eq(c->limits.direct_reply_timeout_ms, 108);
    ck_assert_uint_eq(c->limits.read_budget_bytes, 0x20000);
    ck_assert_int_eq(c->journal.sync, CONFIG_SYNC_INTERVAL);
    ck_assert_uint_eq(c->journal.sync_interval_ms, 107);
    ck_assert_uint_eq(c->journal.segment_size_bytes, 1024 * 1024 * 1024);
    ck_assert_uint_eq(c->journal.compact_below_percent, 0);
    ck_assert_uint_eq(c->journal.reserve_bytes, 3 * 1024 * 1024);
    ck_assert_uint_eq(c->journal.write_buffer_bytes, 5 * 1024 * 1024);
    ck_assert_uint_eq(c->dead_letters.window, 11);
    ck_assert_uint_eq(c->dead_letters.retry_min_ms, 12);
    ck_assert_uint_eq(c->dead_letters.retry_max_ms, 13);
    ck_assert_uint_eq(c->memory.target_bytes, UINT64_C(3) << 30);
    ck_assert_uint_eq(c->memory.target_percent, 100);
    ck_assert_uint_eq(c->memory.high_watermark_bytes, UINT64_C(1) << 50);
    ck_assert_uint_eq(c->memory.high_watermark_percent, 0);
    ck_assert_uint_eq(c->disk.free_limit_bytes, UINT64_C(5) << 30);
    ck_assert_int_eq(c->log.level, LOG_LEVEL_DEBUG);
    ck_assert_int_eq(c->log.format, LOG_FORMAT_JSON);
    ck_assert_str_eq(c->log.path, "/tmp/log");
    config_free(c);
}
END_TEST

START_TEST(listeners_are_read_in_order_with_defaults)
{
    struct config *c = loaded("listeners:\n"
                              "- address: 127.0.0.1\n"
                              "  port: 0\n"
                              "- address: \"::1\"\n"
                              "- port: 1\n");

    ck_assert_uint_eq(c->listeners.count, 3);
    ck_assert_str_eq(c->listeners.items[0].address, "127.0.0.1");
    ck_assert_uint_eq(c->listeners.items[0].port, 0);
    ck_assert_uint_eq(c->listeners.items[0].line, 2);
    ck_assert_str_eq(c->listeners.items[1].address, "::1");
    ck_assert_uint_eq(c->listeners.items[1].port, 5672);
    ck_assert_uint_eq(c->listeners.items[1].line, 4);
    ck_assert_str_eq(c->listeners.items[2].address, "*");
    ck_assert_uint_eq(c->listeners.items[2].port, 1);
    config_free(c);
}
END_TEST

START_TEST(users_and_permissions_are_read)
{
    struct config *c = loaded("vhosts: [/, 'a b']\n"
                              "users:\n"
                              "- {name: a, password: 'x', tags: [monitoring, impersonator]}\n"
                              "- name: b\n"
                              "  password_hash: H\n"
                              "  loopback_only: true\n"
                              "permissions:\n"
                              "- user: b\n"
                              "  vhost: a b\n"
                              "  configure: ''\n"
                              "  write: ^w\\.\n"
                              "  read: .*\n");

    ck_assert_uint_eq(c->users.count, 2);
    ck_assert_str_eq(c->users.items[0].password, "x");
    ck_assert_ptr_null(c->users.items[0].password_hash);
    ck_assert_uint_eq(c->users.items[0].tags, USER_TAG_MONITORING | USER_TAG_IMPERSONATOR);
    ck_assert(!c->users.items[0].loopback_only);
    ck_assert_ptr_null(c->users.items[1].password);
    ck_assert_str_eq(c->users.items[1].password_hash, "H");
    ck_assert_uint_eq(c->users.items[1].line, 4);
    ck_assert_uint_eq(c->users.items[1].password_line, 5);
    ck_assert(c->users.items[1].loopback_only);
    ck_assert_uint_eq(c->vhosts.count, 2);
    ck_assert_uint_eq(c->permissions.count, 1);
    ck_assert(bytes_equal_string(c->permissions.items[0].vhost, "a b"));
    ck_assert_str_eq(c->permissions.items[0].configure, "");
    ck_assert_str_eq(c->permissions.items[0].write, "^w\\.");
    ck_assert_uint_eq(c->permissions.items[0].configure_line, 10);
    ck_assert_uint_eq(c->permissions.items[0].write_line, 11);
    ck_assert_uint_eq(c->permissions.items[0].read_line, 12);
    config_free(c);
}
END_TEST

START_TEST(own_users_replace_guest_altogether)
{
    struct config *nobody = loaded("users: []\n");
    struct config *other = loaded("users: [{name: a, password: b}]\n");
    struct config *elsewhere = loaded("vhosts: [a]\n");

    ck_assert_uint_eq(nobody->users.count, 0);
    ck_assert_uint_eq(nobody->permissions.count, 0);
    ck_assert_uint_eq(other->users.count, 1);
    ck_assert_uint_eq(other->permissions.count, 0);
    ck_assert_uint_eq(elsewhere->users.count, 1);
    ck_assert_uint_eq(elsewhere->permissions.count, 0);
    config_free(nobody);
    config_free(other);
    config_free(elsewhere);
}
END_TEST

START_TEST(topology_is_read_with_its_arguments)
{
    struct config *c =
        loaded("topology:\n"
               "  exchanges:\n"
               "  - name: x\n"
               "    type: headers\n"
               "    durable: false\n"
               "    internal: true\n"
               "  queues:\n"
               "  - name: q\n"
               "    auto_delete: true\n"
               "    arguments:\n"
               "      int: -5\n"
               "      big: 9223372036854775807\n"
               "      hex: 0xff\n"
               "      octal: 0o17\n"
               "      real: 2.5\n"
               "      infinite: -.inf\n"
               "      bool: false\n"
               "      void:\n"
               "      text: yes\n"
               "      quoted: '12'\n"
               "      tagged: !!str 12\n"
               "      nested: {a: [1, b, {c: ~}]}\n"
               "  bindings:\n"
               "  - {source: x, destination: q, routing_key: a.b, arguments: {k: 1}}\n"
               "  - {source: amq.topic, destination: x, destination_type: exchange}\n");
    const struct table *t = &c->topology.queues.items[0].arguments;
    const struct value *array;

    ck_assert_uint_eq(c->topology.exchanges.count, 1);
    ck_assert(bytes_equal_string(c->topology.exchanges.items[0].vhost, "/"));
    ck_assert(bytes_equal_string(c->topology.exchanges.items[0].type, "headers"));
    ck_assert(!c->topology.exchanges.items[0].durable);
    ck_assert(!c->topology.exchanges.items[0].auto_delete);
    ck_assert(c->topology.exchanges.items[0].internal);
    ck_assert_uint_eq(c->topology.exchanges.items[0].line, 3);
    ck_assert(c->topology.queues.items[0].durable);
    ck_assert(c->topology.queues.items[0].auto_delete);
    ck_assert_uint_eq(t->count, 12);
    ck_assert_int_eq(table_get(t, "int")->type, VALUE_INT64);
    ck_assert_int_eq(table_get(t, "int")->integer, -5);
    ck_assert_int_eq(table_get(t, "big")->integer, INT64_MAX);
    ck_assert_int_eq(table_get(t, "hex")->integer, 255);
    ck_assert_int_eq(table_get(t, "octal")->integer, 15);
    ck_assert_int_eq(table_get(t, "real")->type, VALUE_DOUBLE);
    ck_assert_double_eq(table_get(t, "real")->real, 2.5);
    ck_assert(table_get(t, "infinite")->real == -INFINITY);
    ck_assert_int_eq(table_get(t, "bool")->type, VALUE_BOOLEAN);
    ck_assert(!table_get(t, "bool")->boolean);
    ck_assert_int_eq(table_get(t, "void")->type, VALUE_VOID);
    ck_assert(bytes_equal_string(table_get(t, "text")->bytes, "yes"));
    ck_assert_int_eq(table_get(t, "quoted")->type, VALUE_STRING);
    ck_assert_int_eq(table_get(t, "tagged")->type, VALUE_STRING);
    ck_assert_int_eq(table_get(t, "nested")->type, VALUE_TABLE);
    array = table_get(&table_get(t, "nested")->table, "a");
    ck_assert_int_eq(array->type, VALUE_ARRAY);
    ck_assert_uint_eq(array->array.count, 3);
    ck_assert_int_eq(array->array.items[2].type, VALUE_TABLE);
    ck_assert_uint_eq(c->topology.bindings.count, 2);
    ck_assert_int_eq(c->topology.bindings.items[0].destination_type, CONFIG_DESTINATION_QUEUE);
    ck_assert(bytes_equal_string(c->topology.bindings.items[0].routing_key, "a.b"));
    ck_assert_uint_eq(c->topology.bindings.items[0].arguments.count, 1);
    ck_assert_int_eq(c->topology.bindings.items[1].destination_type, CONFIG_DESTINATION_EXCHANGE);
    ck_assert_uint_eq(c->topology.bindings.items[1].routing_key.size, 0);
    config_free(c);
}
END_TEST

START_TEST(unknown_keys_are_refused_with_a_suggestion)
{
    static const struct bad_case CASES[] = {
        {"worker: 1\n", "1: unknown key 'worker' (did you mean 'workers'?)\n"},
        {"\nlimits:\n  fram_emax: 1\n",
         "3: unknown key 'fram_emax' in limits (did you mean 'frame_max'?)\n"},
        {"quorum: 1\n", "1: unknown key 'quorum'\n"},
        {"users: [{name: a, pasword: b, password: c}]\n",
         "1: unknown key 'pasword' in users (did you mean 'password'?)\n"},
        {"12: a\n", "1: unknown key '12'\n"},
        {"a_key_that_is_very_very_long_and_goes_on_and_on: 1\n",
         "1: unknown key 'a_key_that_is_very_very_long_and_goes_on…'\n"},
        {"<<: {workers: 1}\n", "1: unknown key '<<'\n"},
        {"\"a\\nb\": 1\n", "1: unknown key 'a\\x0ab'\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(wrong_types_are_refused)
{
    static const struct bad_case CASES[] = {
        {"workers: many\n", "1: 'workers' must be an integer, not 'many'\n"},
        {"workers: 1.5\n", "1: 'workers' must be an integer, not '1.5'\n"},
        {"workers: '1'\n", "1: 'workers' must be an integer, not '1'\n"},
        {"workers:\n", "1: 'workers' must be an integer, not nothing\n"},
        {"workers: [1]\n", "1: 'workers' must be an integer, not a list\n"},
        {"workers:\n  a: 1\n", "2: 'workers' must be an integer, not a mapping\n"},
        {"data_dir: 12\n", "1: 'data_dir' must be a string in quotes, not '12'\n"},
        {"data_dir: true\n", "1: 'data_dir' must be a string in quotes, not 'true'\n"},
        {"data_dir: []\n", "1: 'data_dir' must be a string, not a list\n"},
        {"data_dir: \"a\\0b\"\n", "1: 'data_dir' must not hold a zero byte\n"},
        {"limits: []\n", "1: 'limits' must be a mapping, not a list\n"},
        {"limits: 7\n", "1: 'limits' must be a mapping, not '7'\n"},
        {"listeners: {port: 1}\n", "1: 'listeners' must be a list, not a mapping\n"},
        {"listeners:\n- 5672\n", "2: an entry of 'listeners' must be a mapping, not '5672'\n"},
        {"listeners:\n- address: localhost\n", "2: 'address' must be an IPv4 or IPv6 address, "
                                               "\"*\" or \"unix:\" and the path of a socket, "
                                               "not 'localhost'\n"},
        {"limits:\n  frame_max: 64MB\n",
         "2: 'frame_max' must be a size such as 65536, 64KiB or 16MiB, not '64MB'\n"},
        {"limits: {frame_max: []}\n", "1: 'frame_max' must be a size, not a list\n"},
        {"log: {level: warn}\n", "1: 'level' must be debug, info, warning or error, not 'warn' "
                                 "(did you mean 'warning'?)\n"},
        {"log: {level: inof}\n",
         "1: 'level' must be debug, info, warning or error, not 'inof' (did you mean 'info'?)\n"},
        {"log: {format: {}}\n", "1: 'format' must be text or json, not a mapping\n"},
        {"users: [{name: a, password: b, loopback_only: yes}]\n",
         "1: 'loopback_only' must be true or false, not 'yes'\n"},
        {"users: [{name: a, password: b, tags: administrator}]\n",
         "1: 'tags' must be a list, not 'administrator'\n"},
        {"users: [{name: a, password: b, tags: [monitoring, monitoring]}]\n",
         "1: 'tags' names 'monitoring' twice\n"},
        {"journal: {sync: sometimes}\n",
         "1: 'sync' must be always, interval or never, not 'sometimes'\n"},
        {"vhosts: [1]\n", "1: 'vhosts' must be a string in quotes, not '1'\n"},
        {"topology: {queues: [{name: q, arguments: []}]}\n",
         "1: 'arguments' must be a mapping, not a list\n"},
        {"topology: {queues: [{name: q, arguments: {x: 9223372036854775808}}]}\n",
         "1: the integer '9223372036854775808' does not fit in 64 bits\n"},
        {"[]\n", "1: a configuration is a mapping of keys to values\n"},
        {"just text\n", "1: a configuration is a mapping of keys to values\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(listeners_that_cannot_do_what_they_say_are_refused)
{
    static const struct bad_case CASES[] = {
        {"listeners: [{mechanisms: [EXTERNAL]}]\n",
         "1: 'mechanisms' has EXTERNAL alone, which needs 'tls' with 'verify': nobody could log "
         "in\n"},
        {"listeners: [{mechanisms: [EXTERNAL], tls: {certificate: a, key: b}}]\n",
         "1: 'mechanisms' has EXTERNAL alone, which needs 'tls' with 'verify': nobody could log "
         "in\n"},
        {"listeners: [{address: 'unix:/a', proxy_protocol: {networks: [192.0.2.1]}}]\n",
         "1: 'proxy_protocol' has no use for a Unix socket: nobody connects to it from a "
         "network\n"},
        {"listeners:\n- address: 'unix:/a'\n  port: 5672\n",
         "3: 'port' has no use for a Unix socket\n"},
        {"listeners:\n- tls:\n    certificate: a\n    key: b\n    ca: c\n    verify: require\n"
         "    crl_check: peer\n",
         "7: 'crl_check' needs 'crl', the lists that it is about\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(numbers_out_of_range_are_refused)
{
    static const struct bad_case CASES[] = {
        {"workers: -1\n", "1: 'workers' must be between 0 and 256, not '-1'\n"},
        {"workers: 257\n", "1: 'workers' must be between 0 and 256, not '257'\n"},
        {"workers: 99999999999999999999\n",
         "1: 'workers' must be between 0 and 256, not '99999999999999999999'\n"},
        {"listeners: [{port: 65536}]\n", "1: 'port' must be between 0 and 65535, not '65536'\n"},
        {"limits: {frame_max: 4095}\n",
         "1: 'frame_max' must be between 4KiB and 16MiB, not '4095'\n"},
        {"limits: {frame_max: 17 MiB}\n",
         "1: 'frame_max' must be between 4KiB and 16MiB, not '17 MiB'\n"},
        {"limits: {frame_max: 17179869185GiB}\n",
         "1: 'frame_max' must be between 4KiB and 16MiB, not '17179869185GiB'\n"},
        {"limits: {frame_max: 18446744073709551617KiB}\n",
         "1: 'frame_max' must be between 4KiB and 16MiB, not '18446744073709551617KiB'\n"},
        {"journal: {segment_size: 1048575}\n",
         "1: 'segment_size' must be between 1MiB and 1GiB, not '1048575'\n"},
        {"memory: {target_percent: 0}\n",
         "1: 'target_percent' must be between 1 and 100, not '0'\n"},
        {"data_dir: ''\n", "1: 'data_dir' must have 1 to 4095 bytes, not 0\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(duplicates_are_refused)
{
    static const struct bad_case CASES[] = {
        {"workers: 1\n\nworkers: 2\n", "3: duplicate key 'workers' (first on line 1)\n"},
        {"limits:\n  frame_max: 4096\nlimits:\n  bad: 1\n",
         "3: duplicate key 'limits' (first on line 1)\n"},
        {"users:\n- {name: a, password: b}\n- {name: c, password: d}\n- {name: a, password: e}\n",
         "4: duplicate user 'a' (first on line 2)\n"},
        {"vhosts: [a,\n b,\n a]\n", "3: duplicate vhost 'a' (first on line 1)\n"},
        {"permissions:\n"
         "- {user: guest, configure: '', write: '', read: ''}\n"
         "- {user: guest, vhost: /, configure: '', write: '', read: ''}\n",
         "3: duplicate permissions of user 'guest' in vhost '/' (first on line 2)\n"},
        {"listeners:\n- port: 1\n- port: 2\n- address: '*'\n  port: 1\n",
         "4: duplicate listener '*' port 1 (first on line 2)\n"},
        {"topology:\n  exchanges:\n  - name: x\n  - {name: x, vhost: /}\n",
         "4: duplicate exchange 'x' in vhost '/' (first on line 3)\n"},
        {"topology:\n  queues:\n  - name: q\n  - name: q\n",
         "4: duplicate queue 'q' in vhost '/' (first on line 3)\n"},
        {"topology: {queues: [{name: q, arguments: {a: 1, b: 2, a: 3}}]}\n",
         "1: duplicate key 'a' (first on line 1)\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(names_are_unique_only_within_their_scope)
{
    struct config *c = loaded("vhosts: [/, a]\n"
                              "listeners: [{port: 0}, {port: 0}, {port: 1},\n"
                              "            {port: 1, address: '::1'}]\n"
                              "permissions:\n"
                              "- {user: guest, configure: '', write: '', read: ''}\n"
                              "- {user: guest, vhost: a, configure: '', write: '', read: ''}\n"
                              "topology:\n"
                              "  exchanges: [{name: n}, {name: n, vhost: a}]\n"
                              "  queues: [{name: n}, {name: n, vhost: a}]\n");

    ck_assert_uint_eq(c->topology.queues.count, 2);
    config_free(c);
}
END_TEST

START_TEST(references_must_lead_somewhere)
{
    static const struct bad_case CASES[] = {
        {"permissions:\n- {user: bob, configure: '', write: '', read: ''}\n",
         "2: unknown user 'bob'\n"},
        {"permissions:\n- {user: guest, vhost: v, configure: '', write: '', read: ''}\n",
         "2: unknown vhost 'v'\n"},
        {"topology: {queues: [{name: q, vhost: v}]}\n", "1: unknown vhost 'v'\n"},
        {"topology: {exchanges: [{name: q, vhost: v}]}\n", "1: unknown vhost 'v'\n"},
        {"topology: {bindings: [{source: a, destination: b, vhost: v}]}\n",
         "1: unknown vhost 'v'\n"},
        /* What has no name is reported once, not once more by whoever refers to it. */
        {"users: [{nam: bob, password: x}]\n"
         "permissions:\n- {user: bob, configure: '', write: '', read: ''}\n",
         "1: unknown key 'nam' in users (did you mean 'name'?)\n"
         "1: 'name' is missing in an entry of users\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(names_of_users_are_text)
{
    static const struct bad_case CASES[] = {
        {"users:\n- {name: \"a\\0b\", password: c}\n",
         "2: 'name' must be UTF-8 without control characters, not 'a\\x00b'\n"},
        {"users:\n- {name: \"a\\nb\", password: c}\n",
         "2: 'name' must be UTF-8 without control characters, not 'a\\x0ab'\n"},
        {"users:\n- {name: \"\\x7f\", password: c}\n",
         "2: 'name' must be UTF-8 without control characters, not '\\x7f'\n"},
        {"users:\n- {name: \"a\\u0085\", password: c}\n",
         "2: 'name' must be UTF-8 without control characters, not 'a\xc2\x85'\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

/* What nobody wrote gives way. */
START_TEST(the_longest_wait_is_shorter_than_the_handshake)
{
    struct config_problems problems;
    struct config *c;

    ck_assert_int_eq(load("limits: {handshake_timeout_ms: 5001}\n", &c, &problems), 0);
    ck_assert_uint_eq(c->login.backoff_max_ms, 5000);
    config_free(c);
    config_problems_free(&problems);
    ck_assert_int_eq(load("limits: {handshake_timeout_ms: 3000}\n", &c, &problems), 0);
    ck_assert_uint_eq(c->login.backoff_max_ms, 1500);
    config_free(c);
    config_problems_free(&problems);
}
END_TEST

START_TEST(required_keys_and_contradictions_are_named)
{
    static const struct bad_case CASES[] = {
        {"users:\n- name: a\n", "2: user 'a' needs 'password' or 'password_hash'\n"},
        {"users:\n- {name: a, password: b, password_hash: c}\n",
         "2: user 'a' has both 'password' and 'password_hash'\n"},
        {"permissions:\n- user: guest\n", "2: 'configure' is missing in an entry of permissions\n"
                                          "2: 'write' is missing in an entry of permissions\n"
                                          "2: 'read' is missing in an entry of permissions\n"},
        {"topology: {bindings: [{}]}\n", "1: 'source' is missing in an entry of bindings\n"
                                         "1: 'destination' is missing in an entry of bindings\n"},
        {"listeners: []\n", "1: 'listeners' must not be empty\n"},
        {"limits:\n  handshake_timeout_ms: 3000\nlogin:\n  backoff_max_ms: 3000\n",
         "4: 'backoff_max_ms' must be below limits.handshake_timeout_ms (3000), not 3000: who "
         "waits "
         "longer is disconnected before the password is looked at\n"},
        {"vhosts: []\n", "1: 'vhosts' must not be empty\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(topology_that_the_broker_would_refuse_is_refused)
{
    static const struct bad_case CASES[] = {
        {"topology:\n  exchanges:\n  - {name: x, type: carrot}\n",
         "3: unknown exchange type 'carrot'\n"},
        {"topology:\n  exchanges:\n  - name: amq.mine\n",
         "3: exchange name 'amq.mine' contains reserved prefix 'amq.*'\n"},
        {"topology:\n  queues:\n  - name: amq.mine\n",
         "3: queue name 'amq.mine' contains reserved prefix 'amq.*'\n"},
        {"topology:\n  bindings:\n  - {source: x, destination: q}\n",
         "3: no exchange 'x' in vhost '/'\n"},
        {"topology:\n  bindings:\n  - {source: amq.direct, destination: q}\n",
         "3: no queue 'q' in vhost '/'\n"},
        {"vhosts: [/, a]\n"
         "topology:\n"
         "  queues:\n  - {name: q, vhost: a}\n"
         "  bindings:\n  - {source: amq.direct, destination: q}\n",
         "6: no queue 'q' in vhost '/'\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(queue_arguments_are_checked)
{
    static const char TEXT[] = "topology:\n"
                               "  queues:\n"
                               "  - name: q\n"
                               "    arguments: {x-dead-letter-exchange: 1}\n";
    struct config_problems problems;
    struct config *c;

    ck_assert_int_eq(load(TEXT, &c, &problems), -EINVAL);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_uint_eq(problems.items[0].line, 3);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "'x-dead-letter-exchange'"));
    config_problems_free(&problems);
}
END_TEST

START_TEST(policies_are_read)
{
    struct config *c = loaded("policies:\n"
                              "- name: p\n"
                              "  pattern: ^q\\.\n"
                              "  apply_to: queues\n"
                              "  priority: 7\n"
                              "  definition: {max-length: 5, overflow: reject-publish}\n"
                              "operator_policies:\n"
                              "- {name: p, pattern: '', definition: {expires: 1}}\n"
                              "vhost_limits:\n"
                              "- {max_queues: 3}\n");
    const struct config_policy *p = &c->policies.items[0];

    ck_assert_uint_eq(c->policies.count, 1);
    ck_assert(bytes_equal_string(p->vhost, "/") && bytes_equal_string(p->pattern, "^q\\."));
    ck_assert(bytes_equal_string(p->apply_to, "queues"));
    ck_assert_uint_eq(p->priority, 7);
    ck_assert_int_eq(table_get(&p->definition, "max-length")->integer, 5);
    ck_assert_uint_eq(c->operator_policies.count, 1);
    ck_assert(bytes_equal_string(c->operator_policies.items[0].apply_to, "all"));
    ck_assert_uint_eq(c->vhost_limits.items[0].max_queues, 3);
    ck_assert_uint_eq(c->vhost_limits.items[0].max_connections, 0);
    config_free(c);
}
END_TEST

START_TEST(policies_are_checked)
{
    static const struct bad_case CASES[] = {
        {"policies:\n- {name: p, pattern: a}\n",
         "2: 'definition' is missing in an entry of policies\n"},
        {"policies:\n- {name: p, pattern: a, definition: {}}\n",
         "2: policy 'p' in vhost '/': its definition is empty\n"},
        {"policies:\n- {name: p, pattern: (a, definition: {expires: 1}}\n",
         "2: policy 'p' in vhost '/': its pattern is no regular expression: missing closing "
         "parenthesis (at offset 2)\n"},
        {"policies:\n- {name: p, pattern: a, definition: {x: 1}}\n",
         "2: policy 'p' in vhost '/': 'x' is not a recognised setting\n"},
        {"operator_policies:\n- {name: p, pattern: a, definition: {overflow: drop-head}}\n",
         "2: operator policy 'p' in vhost '/': 'overflow' is not a recognised setting\n"},
        {"policies:\n"
         "- {name: p, pattern: a, definition: {expires: 1}}\n"
         "- {name: p, pattern: b, vhost: v, definition: {expires: 1}}\n"
         "- {name: p, pattern: b, definition: {expires: 1}}\n",
         "3: unknown vhost 'v'\n"
         "4: duplicate policy 'p' in vhost '/' (first on line 2)\n"},
        {"vhost_limits:\n- {max_queues: 1}\n- {vhost: v}\n- {max_connections: 1}\n",
         "3: unknown vhost 'v'\n"
         "4: duplicate limits of vhost '/' (first on line 2)\n"},
    };

    EXPECT_ALL(CASES);
}
END_TEST

START_TEST(all_problems_are_found_in_the_order_of_their_lines)
{
    static const struct bad_case CASE = {
        "permissions:\n"
        "- {user: bob, configure: '', write: '', read: ''}\n"
        "workers: many\n"
        "limits:\n"
        "  heartbeat_s: 70000\n"
        "  heartbeat_s: 1\n"
        "nonsense: 1\n",
        "2: unknown user 'bob'\n"
        "3: 'workers' must be an integer, not 'many'\n"
        "5: 'heartbeat_s' must be between 0 and 65535, not '70000'\n"
        "6: duplicate key 'heartbeat_s' (first on line 5)\n"
        "7: unknown key 'nonsense'\n",
    };

    expect_problems(&CASE);
}
END_TEST

START_TEST(passwords_never_reach_a_message)
{
    static const char *const TEXTS[] = {
        "users: [{name: a, password: 123454321}]\n",
        "users: [{name: a, password: true123454321, password_hash: 123454321}]\n",
        "users: [{name: a, password: [123454321]}]\n",
        "users: [{name: a, password: 123454321, password: 123454321}]\n",
        "users: [{name: a, password: x,123454321}]\n",
        "users: [{name: a, password: &123454321}]\n",
        "users: [{name: a, password: *123454321}]\n",
        "users: [{name: a, password: !123454321}]\n",
        "users: [{name: a, password: '123454321]\n",
    };

    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(*TEXTS); i++) {
        struct config_problems problems;
        struct config *c;
        char *text;

        ck_assert_int_eq(load(TEXTS[i], &c, &problems), -EINVAL);
        text = joined(&problems);
        ck_assert_ptr_null(strstr(text, "123454321"));
        free(text);
        config_problems_free(&problems);
    }
}
END_TEST

START_TEST(problems_beyond_the_maximum_are_counted)
{
    struct config_problems problems;
    struct config *c;
    char text[32 * 150];
    size_t length = 0;

    for (int i = 0; i < 150; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "unknown%d: 1\n", i);
    ck_assert_int_eq(load(text, &c, &problems), -EINVAL);
    ck_assert_uint_eq(problems.count, CONFIG_PROBLEMS_MAX);
    ck_assert_uint_eq(problems.dropped, 50);
    config_problems_free(&problems);
}
END_TEST

START_TEST(a_full_list_of_problems_hides_no_unknown_vhost)
{
    struct config_problems problems;
    struct config *c;
    char text[32 * 150];
    size_t length = 0;

    for (int i = 0; i < CONFIG_PROBLEMS_MAX; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "unknown%d: 1\n", i);
    snprintf(text + length, sizeof(text) - length,
             "topology: {queues: [{name: q, vhost: nowhere}]}\n");
    ck_assert_int_eq(load(text, &c, &problems), -EINVAL);
    ck_assert_uint_eq(config_problems_total(&problems), CONFIG_PROBLEMS_MAX + 1);
    config_problems_free(&problems);
}
END_TEST

START_TEST(problems_print_a_line_each)
{
    struct config_problems problems;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    config_problems_init(&problems);
    config_problems_add(&problems, "a.yaml", 12, "bad %s", "thing\nb.yaml:1: forged");
    config_problems_add(&problems, "a.yaml", 0, "bad whole");
    problems.dropped = 7;
    config_problems_print(&problems, out);
    fclose(out);
    ck_assert_str_eq(text, "a.yaml:12: bad thing\\x0ab.yaml:1: forged\n"
                           "a.yaml: bad whole\n"
                           "7 more problems are not shown\n");
    free(text);
    config_problems_free(&problems);
}
END_TEST

START_TEST(listeners_are_bounded)
{
    struct config_problems problems;
    struct config *c;
    char text[64 * 80];
    size_t length = (size_t)snprintf(text, sizeof(text), "listeners:\n");

    for (int i = 0; i < 64; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "- port: %d\n", i);
    config_free(loaded(text));

    snprintf(text + length, sizeof(text) - length, "- port: 64\n");
    ck_assert_int_eq(load(text, &c, &problems), -EINVAL);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_uint_eq(problems.items[0].line, 66);
    ck_assert_str_eq(problems.items[0].message, "there are more than 64 listeners");
    config_problems_free(&problems);
}
END_TEST

START_TEST(names_of_arguments_have_at_most_255_bytes)
{
    struct config_problems problems;
    struct config *c;
    char name[257];
    char text[512];

    memset(name, 'k', sizeof(name));
    name[255] = '\0';
    snprintf(text, sizeof(text), "topology: {queues: [{name: q, arguments: {'%s': 1}}]}", name);
    config_free(loaded(text));

    name[255] = 'k';
    name[256] = '\0';
    snprintf(text, sizeof(text), "topology: {queues: [{name: q, arguments: {a: {'%s': 1}}}]}",
             name);
    ck_assert_int_eq(load(text, &c, &problems), -EINVAL);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.items[0].message,
                     "the name of an argument must have at most 255 bytes, not 256");
    config_problems_free(&problems);
}
END_TEST

START_TEST(files_are_read_and_missing_ones_reported)
{
    char directory[] = "/tmp/test_config.XXXXXX";
    struct config_problems problems;
    struct config *c;
    char path[64];
    FILE *f;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/a.yaml", directory);
    config_problems_init(&problems);

    ck_assert_int_eq(config_load_file(path, NULL, &c, &problems), -ENOENT);
    ck_assert_ptr_null(c);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.items[0].file, path);
    ck_assert_str_eq(problems.items[0].message, "cannot be opened: No such file or directory");
    config_problems_free(&problems);

    ck_assert_int_eq(config_load_file(directory, NULL, &c, &problems), -EISDIR);
    ck_assert_uint_eq(problems.count, 1);
    config_problems_free(&problems);

    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs("workers: 5\n", f);
    fclose(f);
    ck_assert_int_eq(config_load_file(path, NULL, &c, &problems), 0);
    ck_assert_uint_eq(c->workers, 5);
    ck_assert_str_eq(c->file, path);
    config_free(c);

    ck_assert_int_eq(truncate(path, CONFIG_FILE_SIZE_MAX + 1), 0);
    ck_assert_int_eq(config_load_file(path, NULL, &c, &problems), -EINVAL);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.items[0].message, "the file is larger than 16 MiB");
    config_problems_free(&problems);

    unlink(path);
    rmdir(directory);
}
END_TEST

START_TEST(connections_never_exceed_what_descriptors_allow)
{
    static const struct {
        uint32_t configured;
        uint64_t descriptors;
        uint32_t expected;
    } CASES[] = {
        {0, 1024, 1024 - CONFIG_DESCRIPTOR_RESERVE},
        {100, 1024, 100},
        {5000, 1024, 1024 - CONFIG_DESCRIPTOR_RESERVE},
        {0, 10, 1},
        {0, UINT64_MAX, UINT32_MAX},
        {7, UINT64_MAX, 7},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct config_limits limits = {.max_connections = CASES[i].configured};

        ck_assert_uint_eq(config_max_connections(&limits, CASES[i].descriptors), CASES[i].expected);
    }
}
END_TEST

START_TEST(handshakes_are_as_many_as_configured_or_a_bounded_share)
{
    static const struct {
        uint32_t configured;
        uint32_t max_connections;
        uint32_t expected;
    } CASES[] = {
        {0, 960, 960},           {0, 1000000, CONFIG_HANDSHAKES_MAX},
        {100, 960, 100},         {5000, 960, 960},
        {50000, 1000000, 50000}, {1, 1, 1},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct config_limits limits = {.max_handshakes = CASES[i].configured};

        ck_assert_uint_eq(config_max_handshakes(&limits, CASES[i].max_connections),
                          CASES[i].expected);
    }
}
END_TEST

UNIT_MAIN("config", without_a_file_guest_gets_in_from_loopback,
          empty_files_and_sections_count_as_absent, every_scalar_key_reaches_its_field,
          listeners_are_read_in_order_with_defaults, users_and_permissions_are_read,
          own_users_replace_guest_altogether, topology_is_read_with_its_arguments,
          unknown_keys_are_refused_with_a_suggestion, wrong_types_are_refused,
          listeners_that_cannot_do_what_they_say_are_refused, numbers_out_of_range_are_refused,
          duplicates_are_refused, names_are_unique_only_within_their_scope,
          references_must_lead_somewhere, names_of_users_are_text,
          the_longest_wait_is_shorter_than_the_handshake,
          required_keys_and_contradictions_are_named,
          topology_that_the_broker_would_refuse_is_refused, queue_arguments_are_checked,
          policies_are_read, policies_are_checked,
          all_problems_are_found_in_the_order_of_their_lines, passwords_never_reach_a_message,
          problems_beyond_the_maximum_are_counted, a_full_list_of_problems_hides_no_unknown_vhost,
          problems_print_a_line_each, listeners_are_bounded,
          names_of_arguments_have_at_most_255_bytes, files_are_read_and_missing_ones_reported,
          handshakes_are_as_many_as_configured_or_a_bounded_share,
          connections_never_exceed_what_descriptors_allow)
