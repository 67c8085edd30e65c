#include "base/memory.h"
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct bytes text(const char *s)
{
    return bytes_from_string(s);
}

/* Declaring exchanges */

static int try_declare(struct world *w, const char *name, const char *type, const char *options)
{
    struct exchange_declaration d = declaration(w, name, type, options);

    return topology_declare_exchange(w->topology, &d, &w->refusal);
}

START_TEST(predeclared_exchanges_are_there)
{
    static const struct {
        const char *name;
        const char *type;
    } expected[] = {
        {"", "direct"},           {"amq.direct", "direct"},
        {"amq.fanout", "fanout"}, {"amq.headers", "headers"},
        {"amq.match", "headers"}, {"amq.topic", "topic"},
        {"amq.lease", "direct"},
    };
    struct world w;

    world_begin(&w);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct exchange *e = topology_find_exchange(w.topology, text(expected[i].name));

        ck_assert_ptr_nonnull(e);
        ck_assert(bytes_equal_string(exchange_name(e), expected[i].name));
        ck_assert(bytes_equal_string(exchange_type(e), expected[i].type));
        ck_assert(exchange_durable(e));
        ck_assert(!exchange_internal(e) && !exchange_auto_delete(e));
    }
    world_end(&w);
}
END_TEST

START_TEST(declared_exchange_is_as_asked_for)
{
    struct exchange *e;
    struct world w;

    world_begin(&w);
    declare(&w, "x", "topic", "durable auto_delete internal|alternate-exchange=y n=1");
    e = topology_find_exchange(w.topology, text("x"));
    ck_assert_ptr_nonnull(e);
    ck_assert(bytes_equal_string(exchange_type(e), "topic"));
    ck_assert(exchange_durable(e) && exchange_auto_delete(e) && exchange_internal(e));
    ck_assert_uint_eq(exchange_arguments(e)->count, 2);
    ck_assert_int_eq(table_get(exchange_arguments(e), "n")->integer, 1);
    world_end(&w);
}
END_TEST

/* There are: x (direct, no options) and a (direct, alternate-exchange ae). */
static const struct {
    const char *name;
    const char *type;
    const char *options;
    enum refusal_code code;
    const char *text;
} refused_declarations[] = {
    {"y", "bogus", NULL, REFUSAL_COMMAND_INVALID, "unknown exchange type 'bogus'"},
    {"y", "", NULL, REFUSAL_COMMAND_INVALID, "unknown exchange type ''"},
    {"", "bogus", NULL, REFUSAL_COMMAND_INVALID, "unknown exchange type 'bogus'"},
    {"", "direct", NULL, REFUSAL_ACCESS_REFUSED, "operation not permitted on the default exchange"},
    {"", "", "passive", REFUSAL_ACCESS_REFUSED, "operation not permitted on the default exchange"},
    {"y", "", "passive", REFUSAL_NOT_FOUND, "no exchange 'y' in vhost '/'"},
    {"amq.foo", "direct", NULL, REFUSAL_ACCESS_REFUSED,
     "exchange name 'amq.foo' contains reserved prefix 'amq.*'"},
    {"amq.foo", "", "passive", REFUSAL_NOT_FOUND, "no exchange 'amq.foo' in vhost '/'"},
    {"y", "direct", "|alternate-exchange=5", REFUSAL_PRECONDITION_FAILED,
     "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'"},

    {"amq.direct", "direct", NULL, REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but "
     "current is 'true'"},
    {"x", "topic", "durable", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is "
     "'direct'"},
    {"x", "direct", "durable auto_delete", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'true' but current is "
     "'false'"},
    {"x", "direct", "auto_delete internal", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is "
     "'false'"},
    {"x", "direct", "internal|alternate-exchange=be", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current is "
     "'false'"},
    {"x", "direct", "|alternate-exchange=be", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value 'be' "
     "of type 'longstr' but current is none"},
    {"x", "direct", "|alternate-exchange=7", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value '7' "
     "of type 'signedint' but current is none"},
    {"a", "direct", NULL, REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'alternate-exchange' for exchange 'a' in vhost '/': received none but "
     "current is the value 'ae' of type 'longstr'"},
    {"a", "direct", "|alternate-exchange=be", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'alternate-exchange' for exchange 'a' in vhost '/': received 'be' but "
     "current is 'ae'"},
    {"a", "direct", "|alternate-exchange=true", REFUSAL_PRECONDITION_FAILED,
     "inequivalent arg 'alternate-exchange' for exchange 'a' in vhost '/': received 'true' but "
     "current is 'ae'"},
};

START_TEST(declarations_are_refused_in_rabbitmqs_words)
{
    struct world w;
    uint64_t epoch;

    world_begin(&w);
    declare(&w, "x", "direct", NULL);
    declare(&w, "a", "direct", "|alternate-exchange=ae");
    epoch = topology_epoch(w.topology);
    for (size_t i = 0; i < sizeof(refused_declarations) / sizeof(refused_declarations[0]); i++) {
        int rc = try_declare(&w, refused_declarations[i].name, refused_declarations[i].type,
                             refused_declarations[i].options);

        expect_refusal(&w, rc, refused_declarations[i].code, refused_declarations[i].text);
    }
    ck_assert(!exchange_exists(&w, "y"));
    ck_assert_uint_eq(topology_epoch(w.topology), epoch);
    world_end(&w);
}
END_TEST

START_TEST(equal_redeclaration_is_fine)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "topic", "durable internal|alternate-exchange=ae");
    declare(&w, "x", "topic", "durable internal|alternate-exchange=ae other=1");
    declare(&w, "x", "", "passive");
    declare(&w, "amq.topic", "topic", "durable");
    declare(&w, "amq.topic", "", "passive");
    world_end(&w);
}
END_TEST

/* Deleting exchanges */

static int try_delete(struct world *w, const char *name, bool if_unused)
{
    return topology_delete_exchange(w->topology, text(name), if_unused, &w->refusal);
}

START_TEST(deletions_are_refused_in_rabbitmqs_words)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", NULL);
    add_queue(&w, "q");
    bind(&w, "x", "q", "k", NULL);
    expect_refusal(&w, try_delete(&w, "", false), REFUSAL_ACCESS_REFUSED,
                   "operation not permitted on the default exchange");
    expect_refusal(&w, try_delete(&w, "amq.direct", false), REFUSAL_ACCESS_REFUSED,
                   "deletion of system exchange 'amq.direct' in vhost '/' not allowed");
    expect_refusal(&w, try_delete(&w, "amq.foo", true), REFUSAL_ACCESS_REFUSED,
                   "deletion of system exchange 'amq.foo' in vhost '/' not allowed");
    expect_refusal(&w, try_delete(&w, "x", true), REFUSAL_PRECONDITION_FAILED,
                   "exchange 'x' in vhost '/' in use");
    ck_assert(exchange_exists(&w, "x"));
    world_end(&w);
}
END_TEST

START_TEST(unused_is_what_no_binding_leads_from)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", NULL);
    bind(&w, "amq.direct", "x:x", "k", NULL);
    ck_assert_int_eq(try_delete(&w, "x", true), 0);
    ck_assert(!exchange_exists(&w, "x"));
    expect_route(&w, "amq.direct", "k", NULL, "");
    ck_assert_int_eq(try_delete(&w, "x", true), 0);
    world_end(&w);
}
END_TEST

START_TEST(deleted_exchange_takes_its_bindings)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", NULL);
    add_queue(&w, "q");
    bind(&w, "x", "q", "k", NULL);
    bind(&w, "amq.fanout", "x:x", "", NULL);
    delete_exchange(&w, "x");
    declare(&w, "x", "direct", NULL);
    expect_route(&w, "amq.fanout", "k", NULL, "");
    bind(&w, "amq.fanout", "x:x", "", NULL);
    expect_route(&w, "amq.fanout", "k", NULL, "");
    bind(&w, "x", "q", "k", NULL);
    expect_route(&w, "amq.fanout", "k", NULL, "q");
    world_end(&w);
}
END_TEST

/* Binding */

/* There are: the queue q, and the queue mine, exclusive to connection 1. */
static const struct {
    const char *source;
    const char *destination;
    const char *arguments;
    uint64_t connection;
    enum refusal_code code;
    const char *text;
} refused_bindings[] = {
    {"amq.lease", "q", NULL, 1, REFUSAL_ACCESS_REFUSED,
     "operation not permitted on exchange 'amq.lease' in vhost '/'"},
    {"", "q", NULL, 1, REFUSAL_ACCESS_REFUSED, "operation not permitted on the default exchange"},
    {"", "none", NULL, 1, REFUSAL_ACCESS_REFUSED,
     "operation not permitted on the default exchange"},
    {"", "x:amq.direct", NULL, 1, REFUSAL_ACCESS_REFUSED,
     "operation not permitted on the default exchange"},
    {"amq.direct", "x:", NULL, 1, REFUSAL_ACCESS_REFUSED,
     "operation not permitted on the default exchange"},
    {"none", "q", NULL, 1, REFUSAL_NOT_FOUND, "no exchange 'none' in vhost '/'"},
    {"none", "nor", NULL, 1, REFUSAL_NOT_FOUND, "no exchange 'none' in vhost '/'"},
    {"none", "mine", NULL, 2, REFUSAL_NOT_FOUND, "no exchange 'none' in vhost '/'"},
    {"amq.direct", "none", NULL, 1, REFUSAL_NOT_FOUND, "no queue 'none' in vhost '/'"},
    {"amq.direct", "", NULL, 1, REFUSAL_NOT_FOUND, "no queue '' in vhost '/'"},
    {"amq.direct", "x:none", NULL, 1, REFUSAL_NOT_FOUND, "no exchange 'none' in vhost '/'"},
    {"amq.direct", "mine", NULL, 2, REFUSAL_RESOURCE_LOCKED,
     "cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be originally "
     "declared on another connection or the exclusive property value does not match that of the "
     "original declaration."},
    {"amq.headers", "mine", "x-match=bad", 2, REFUSAL_PRECONDITION_FAILED,
     "Invalid x-match field value <<\"bad\">>; expected all, any, all-with-x, or any-with-x"},
};

START_TEST(bindings_are_refused_in_rabbitmqs_words)
{
    struct world w;
    uint64_t epoch;

    world_begin(&w);
    add_queue(&w, "q");
    add_exclusive_queue(&w, "mine", 1);
    epoch = topology_epoch(w.topology);
    for (size_t i = 0; i < sizeof(refused_bindings) / sizeof(refused_bindings[0]); i++) {
        struct binding_declaration b =
            binding_of(&w, refused_bindings[i].source, refused_bindings[i].destination, "k",
                       refused_bindings[i].arguments);

        b.connection = refused_bindings[i].connection;
        expect_refusal(&w, topology_bind(w.topology, &b, &w.refusal), refused_bindings[i].code,
                       refused_bindings[i].text);
    }
    ck_assert_uint_eq(topology_epoch(w.topology), epoch);
    world_end(&w);
}
END_TEST

START_TEST(exclusive_queue_is_bound_by_its_connection_alone)
{
    struct binding_declaration b;
    struct world w;

    world_begin(&w);
    add_exclusive_queue(&w, "mine", 1);
    b = binding_of(&w, "amq.direct", "mine", "k", NULL);
    b.connection = 1;
    ck_assert_int_eq(topology_bind(w.topology, &b, &w.refusal), 0);
    b.connection = 2;
    ck_assert_int_lt(topology_bind(w.topology, &b, &w.refusal), 0);
    ck_assert_int_lt(topology_unbind(w.topology, &b, &w.refusal), 0);
    ck_assert_int_eq((int)w.refusal.code, REFUSAL_RESOURCE_LOCKED);
    b.routing_key = text("not bound");
    ck_assert_int_eq(topology_unbind(w.topology, &b, &w.refusal), 0);
    expect_route(&w, "amq.direct", "k", NULL, "mine");
    b.routing_key = text("k");
    b.connection = 0;
    ck_assert_int_eq(topology_unbind(w.topology, &b, &w.refusal), 0);
    expect_route(&w, "amq.direct", "k", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(unbinding_from_the_default_exchange_is_refused)
{
    struct binding_declaration b;
    struct world w;

    world_begin(&w);
    add_queue(&w, "q");
    b = binding_of(&w, "", "q", "q", NULL);
    expect_refusal(&w, topology_unbind(w.topology, &b, &w.refusal), REFUSAL_ACCESS_REFUSED,
                   "operation not permitted on the default exchange");
    world_end(&w);
}
END_TEST

/* Auto-delete */

START_TEST(auto_delete_exchange_goes_with_its_last_binding)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "topic", "auto_delete");
    add_queue(&w, "q");
    bind(&w, "x", "q", "1", NULL);
    bind(&w, "x", "q", "2.#", NULL);
    unbind(&w, "x", "q", "1", NULL);
    ck_assert(exchange_exists(&w, "x"));
    unbind(&w, "x", "q", "2.#", NULL);
    ck_assert(!exchange_exists(&w, "x"));
    world_end(&w);
}
END_TEST

START_TEST(auto_delete_exchange_stays_until_it_had_a_binding)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "fanout", "auto_delete");
    declare(&w, "y", "fanout", "auto_delete");
    add_queue(&w, "q");
    unbind(&w, "x", "q", "", NULL);
    bind(&w, "y", "x:x", "", NULL);
    unbind(&w, "y", "x:x", "", NULL);
    ck_assert(exchange_exists(&w, "x"));
    ck_assert(!exchange_exists(&w, "y"));
    world_end(&w);
}
END_TEST

START_TEST(deleting_a_queue_takes_auto_delete_exchanges_in_a_chain)
{
    struct world w;

    world_begin(&w);
    declare(&w, "first", "direct", "auto_delete");
    declare(&w, "second", "topic", "auto_delete");
    declare(&w, "third", "headers", "auto_delete");
    declare(&w, "other", "fanout", "auto_delete");
    declare(&w, "stays", "fanout", NULL);
    add_queue(&w, "q");
    add_queue(&w, "r");
    bind(&w, "stays", "x:first", "", NULL);
    bind(&w, "first", "x:second", "k", NULL);
    bind(&w, "second", "x:third", "#", NULL);
    bind(&w, "third", "q", "", "a=1");
    bind(&w, "third", "q", "", "x-match=any a=1 b=2");
    bind(&w, "other", "q", "", NULL);
    bind(&w, "other", "r", "", NULL);
    remove_queue(&w, "q");
    ck_assert(!exchange_exists(&w, "first"));
    ck_assert(!exchange_exists(&w, "second"));
    ck_assert(!exchange_exists(&w, "third"));
    ck_assert(exchange_exists(&w, "stays"));
    expect_route(&w, "other", "", NULL, "r");
    expect_route(&w, "stays", "k", "a=1", "");
    world_end(&w);
}
END_TEST

START_TEST(auto_delete_exchange_bound_to_itself_stays)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "fanout", "auto_delete");
    add_queue(&w, "q");
    bind(&w, "x", "x:x", "", NULL);
    bind(&w, "x", "q", "", NULL);
    remove_queue(&w, "q");
    ck_assert(exchange_exists(&w, "x"));
    delete_exchange(&w, "x");
    ck_assert(!exchange_exists(&w, "x"));
    world_end(&w);
}
END_TEST

/* Queues */

START_TEST(handle_tells_what_it_was_made_with)
{
    struct queue_options options = {.durable = true, .exclusive = true};
    struct queue_handle *h;
    struct world w;

    world_begin(&w);
    h = queue_handle_create(text("name"), &options, 3, 42);
    ck_assert(bytes_equal_string(h->name, "name"));
    ck_assert(h->options.durable && h->options.exclusive && !h->options.auto_delete);
    ck_assert_uint_eq(h->home_worker, 3);
    ck_assert_uint_eq(h->owner, 42);
    ck_assert_ptr_null(h->queue);
    topology_add_queue(w.topology, h);
    ck_assert_ptr_eq(h->vhost, &w);
    ck_assert_ptr_eq(topology_find_queue(w.topology, text("name")), h);
    ck_assert_uint_eq(topology_queue_count(w.topology), 1);

    topology_remove_queue(w.topology, h);
    ck_assert(atomic_load(&h->deleted));
    ck_assert_ptr_null(topology_find_queue(w.topology, text("name")));
    ck_assert_uint_eq(topology_queue_count(w.topology), 0);
    queue_handle_unref(h);
    world_end(&w);
}
END_TEST

START_TEST(removed_queue_takes_its_bindings)
{
    struct world w;

    world_begin(&w);
    add_queue(&w, "q");
    bind(&w, "amq.direct", "q", "k", NULL);
    bind(&w, "amq.topic", "q", "*", NULL);
    bind(&w, "amq.fanout", "q", "", NULL);
    bind(&w, "amq.headers", "q", "", "a=1");
    remove_queue(&w, "q");
    add_queue(&w, "q");
    expect_route(&w, "amq.direct", "k", NULL, "");
    expect_route(&w, "amq.topic", "k", NULL, "");
    expect_route(&w, "amq.fanout", "k", NULL, "");
    expect_route(&w, "amq.headers", "k", "a=1", "");
    world_end(&w);
}
END_TEST

/* Epoch */

static uint64_t risen(struct world *w, uint64_t *epoch)
{
    uint64_t now = topology_epoch(w->topology);
    uint64_t by = now - *epoch;

    *epoch = now;
    return by;
}

START_TEST(epoch_rises_with_every_change_that_may_alter_a_route)
{
    struct world w;
    uint64_t epoch;

    world_begin(&w);
    epoch = topology_epoch(w.topology);
    add_queue(&w, "q");
    ck_assert_uint_gt(risen(&w, &epoch), 0);
    declare(&w, "x", "fanout", NULL);
    ck_assert_uint_gt(risen(&w, &epoch), 0);
    bind(&w, "x", "q", "", NULL);
    ck_assert_uint_gt(risen(&w, &epoch), 0);
    bind(&w, "x", "q", "", NULL);
    declare(&w, "x", "fanout", NULL);
    unbind(&w, "x", "q", "other", NULL);
    expect_route(&w, "x", "", NULL, "q");
    delete_exchange(&w, "missing");
    ck_assert_uint_eq(risen(&w, &epoch), 0);
    unbind(&w, "x", "q", "", NULL);
    ck_assert_uint_gt(risen(&w, &epoch), 0);
    delete_exchange(&w, "x");
    ck_assert_uint_gt(risen(&w, &epoch), 0);
    remove_queue(&w, "q");
    ck_assert_uint_gt(risen(&w, &epoch), 0);
    world_end(&w);
}
END_TEST

/* Walking */

struct names {
    unsigned count;
    unsigned limit;
};

static bool count_exchange(const struct exchange *e, void *context)
{
    struct names *n = context;

    (void)e;
    return ++n->count < n->limit;
}

static bool count_queue(struct queue_handle *h, void *context)
{
    struct names *n = context;

    (void)h;
    return ++n->count < n->limit;
}

START_TEST(walks_visit_all_until_they_are_stopped)
{
    struct names all = {.limit = 1000};
    struct names some = {.limit = 3};
    struct names queues = {.limit = 1000};
    struct world w;

    world_begin(&w);
    declare(&w, "x", "fanout", NULL);
    add_queue(&w, "a");
    add_queue(&w, "b");
    topology_each_exchange(w.topology, count_exchange, &all);
    topology_each_exchange(w.topology, count_exchange, &some);
    topology_each_queue(w.topology, count_queue, &queues);
    ck_assert_uint_eq(all.count, 8);
    ck_assert_uint_eq(some.count, 3);
    ck_assert_uint_eq(queues.count, 2);
    world_end(&w);
}
END_TEST

/* Memory */

/* What one queue with a name of 20 bytes and one binding costs, of many. */
static size_t queue_cost(const char *exchange, const char *key_format)
{
    enum { QUEUES = 20000 };
    size_t before;
    size_t after;
    struct world w;

    world_begin(&w);
    before = heap_in_use();
    for (int i = 0; i < QUEUES; i++) {
        char name[32];
        char key[32];

        snprintf(name, sizeof(name), "queue-number-%07d", i);
        snprintf(key, sizeof(key), key_format, i);
        add_queue(&w, name);
        bind(&w, exchange, name, key, NULL);
    }
    after = heap_in_use();
    world_end(&w);
    return (after - before) / QUEUES;
}

START_TEST(idle_queue_with_a_binding_is_small)
{
    if (heap_in_use() == 0)
        return; /* under sanitizers, whose overhead is not ours */
    ck_assert_uint_le(queue_cost("amq.direct", "queue-number-%07d"), 400);
    ck_assert_uint_le(queue_cost("amq.topic", "queue-number-%07d"), 400);
    ck_assert_uint_le(queue_cost("amq.fanout", ""), 400);
    ck_assert_uint_le(queue_cost("amq.topic", "queue.number.*.%05d"), 560);
}
END_TEST

START_TEST(nothing_is_kept_of_what_went)
{
    enum { QUEUES = 2000 };
    struct world w;
    size_t before;

    world_begin(&w);
    before = heap_in_use();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < QUEUES; i++) {
            char name[32];
            char key[32];

            snprintf(name, sizeof(name), "q%d", i);
            snprintf(key, sizeof(key), "a.*.%d", i);
            if (round == 1) {
                remove_queue(&w, name);
                continue;
            }
            add_queue(&w, name);
            bind(&w, "amq.topic", name, key, "a=1");
            bind(&w, "amq.headers", name, key, "a=1 b=s");
            bind(&w, "amq.direct", name, "same", NULL);
            arena_free(&w.arena);
        }
    }
    ck_assert_uint_le(heap_in_use(), before + 32768);
    world_end(&w);
}
END_TEST

START_TEST(destroying_visits_each_thing_once)
{
    enum { QUEUES = 200000 };
    struct timespec start;
    struct timespec end;
    struct world w;

    world_begin(&w);
    for (int i = 0; i < QUEUES; i++) {
        char name[32];

        snprintf(name, sizeof(name), "q%d", i);
        add_queue(&w, name);
        if (i % 10 == 0)
            declare(&w, name, "fanout", NULL);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    world_end(&w);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    /* A tenth of a second; several times that under sanitizers; a scan for each takes longer. */
    ck_assert_int_lt(end.tv_sec - start.tv_sec, 3);
}
END_TEST

START_TEST(handle_outlives_the_topology)
{
    struct queue_handle *h;
    struct world w;

    world_begin(&w);
    h = queue_handle_ref(add_queue(&w, "q"));
    declare(&w, "x", "fanout", "auto_delete");
    bind(&w, "x", "q", "", NULL);
    bind(&w, "amq.topic", "x:x", "a.*", NULL);
    world_end(&w);
    ck_assert(atomic_load(&h->deleted));
    ck_assert(bytes_equal_string(h->name, "q"));
    queue_handle_unref(h);
}
END_TEST

/* Everything comes and goes at random; routes are held against a scan of a plain model. */

#define MODEL_EXCHANGES 6
#define MODEL_QUEUES 6
#define MODEL_BINDINGS 256

struct model_exchange {
    bool there;
    bool auto_delete;
    int type;      /* of model_types */
    int alternate; /* or -1 */
};

struct model_binding {
    bool there;
    int source;
    int destination; /* an exchange, or MODEL_EXCHANGES + a queue */
    char key[64];
    char arguments[32];
};

struct model {
    struct model_exchange exchanges[MODEL_EXCHANGES];
    bool queues[MODEL_QUEUES];
    struct model_binding bindings[MODEL_BINDINGS];
};

static const char *const model_types[] = {"direct", "fanout", "topic", "headers"};
static const char *const model_arguments[] = {"", "a=1", "x-match=any a=1 b=2", "b=void"};
static const char *const model_headers[] = {"", "a=1", "a=1 b=2", "b=3"};

static const char *exchange_named(int i)
{
    static const char *const names[] = {"x0", "x1", "x2", "x3", "x4", "x5"};

    return names[i];
}

static const char *destination_named(int i)
{
    static const char *const names[] = {"x:x0", "x:x1", "x:x2", "x:x3", "x:x4", "x:x5",
                                        "q0",   "q1",   "q2",   "q3",   "q4",   "q5"};

    return names[i];
}

static void model_drop_exchange(struct model *m, int x);

static void model_drop_binding(struct model *m, struct model_binding *b)
{
    b->there = false;
    if (!m->exchanges[b->source].auto_delete)
        return;
    for (int i = 0; i < MODEL_BINDINGS; i++) {
        if (m->bindings[i].there && m->bindings[i].source == b->source)
            return;
    }
    model_drop_exchange(m, b->source);
}

static void model_drop_to(struct model *m, int destination)
{
    for (int i = 0; i < MODEL_BINDINGS; i++) {
        if (m->bindings[i].there && m->bindings[i].destination == destination)
            model_drop_binding(m, &m->bindings[i]);
    }
}

static void model_drop_exchange(struct model *m, int x)
{
    if (!m->exchanges[x].there)
        return;
    m->exchanges[x].there = false;
    for (int i = 0; i < MODEL_BINDINGS; i++) {
        if (m->bindings[i].source == x)
            m->bindings[i].there = false;
    }
    model_drop_to(m, x);
}

static bool model_matches(const struct model *m, struct world *w, const struct model_binding *b,
                          const char *key, const char *headers)
{
    switch (m->exchanges[b->source].type) {
    case 0:
        return strcmp(b->key, key) == 0;
    case 1:
        return true;
    case 2:
        return naive_topic_match(b->key, key);
    default:
        return naive_headers_match(table_of(w, b->arguments), table_of(w, headers));
    }
}

static void model_route(const struct model *m, struct world *w, int start, const char *key,
                        const char *headers, bool reached[MODEL_EXCHANGES + MODEL_QUEUES])
{
    bool done[MODEL_EXCHANGES] = {false};
    bool again = true;

    reached[start] = true;
    while (again) {
        again = false;
        for (int x = 0; x < MODEL_EXCHANGES; x++) {
            bool matched = false;

            if (!reached[x] || done[x] || !m->exchanges[x].there)
                continue;
            done[x] = again = true;
            for (int i = 0; i < MODEL_BINDINGS; i++) {
                const struct model_binding *b = &m->bindings[i];

                if (b->there && b->source == x && model_matches(m, w, b, key, headers))
                    matched = reached[b->destination] = true;
            }
            if (!matched && m->exchanges[x].alternate >= 0)
                reached[m->exchanges[x].alternate] = true;
        }
    }
}

static void model_expect_route(const struct model *m, struct world *w, struct random_sequence *r,
                               uint64_t seed)
{
    int start = (int)random_sequence_below(r, MODEL_EXCHANGES);
    const char *key = random_key(r, 4, false);
    const char *headers = model_headers[random_sequence_below(r, 4)];
    bool reached[MODEL_EXCHANGES + MODEL_QUEUES] = {false};
    char expected[64] = "";
    const char *got;

    ck_assert_int_eq(exchange_exists(w, exchange_named(start)), m->exchanges[start].there);
    if (!m->exchanges[start].there)
        return;
    model_route(m, w, start, key, headers, reached);
    for (int q = MODEL_EXCHANGES; q < MODEL_EXCHANGES + MODEL_QUEUES; q++) {
        if (reached[q])
            sprintf(expected + strlen(expected), "%s%s", expected[0] != '\0' ? " " : "",
                    destination_named(q));
    }
    got = route_names(w, exchange_named(start), key, headers);
    ck_assert_msg(strcmp(got, expected) == 0, "seed %llu: '%s' (%s) goes to '%s', not to '%s'",
                  (unsigned long long)seed, key, headers, got, expected);
}

static void change_exchange(struct model *m, struct world *w, struct random_sequence *r)
{
    int x = (int)random_sequence_below(r, MODEL_EXCHANGES);
    struct model_exchange *e = &m->exchanges[x];
    char options[64];

    if (e->there) {
        delete_exchange(w, exchange_named(x));
        model_drop_exchange(m, x);
        return;
    }
    e->there = true;
    e->type = (int)random_sequence_below(r, 4);
    e->auto_delete = random_sequence_below(r, 3) == 0;
    e->alternate = (int)random_sequence_below(r, 2 * MODEL_EXCHANGES) - MODEL_EXCHANGES;
    snprintf(options, sizeof(options), "%s", e->auto_delete ? "auto_delete" : "");
    if (e->alternate >= 0)
        sprintf(options + strlen(options), "|alternate-exchange=%s", exchange_named(e->alternate));
    declare(w, exchange_named(x), model_types[e->type], options);
}

static void change_queue(struct model *m, struct world *w, struct random_sequence *r)
{
    int q = (int)random_sequence_below(r, MODEL_QUEUES);

    m->queues[q] = !m->queues[q];
    if (m->queues[q]) {
        add_queue(w, destination_named(MODEL_EXCHANGES + q));
        return;
    }
    remove_queue(w, destination_named(MODEL_EXCHANGES + q));
    model_drop_to(m, MODEL_EXCHANGES + q);
}

static struct model_binding *model_find(struct model *m, const struct model_binding *like)
{
    for (int i = 0; i < MODEL_BINDINGS; i++) {
        struct model_binding *b = &m->bindings[i];

        if (b->there && b->source == like->source && b->destination == like->destination &&
            strcmp(b->key, like->key) == 0 && strcmp(b->arguments, like->arguments) == 0)
            return b;
    }
    return NULL;
}

static void add_random_binding(struct model *m, struct world *w, struct random_sequence *r)
{
    struct model_binding *b = &m->bindings[random_sequence_below(r, MODEL_BINDINGS)];
    int destination = (int)random_sequence_below(r, MODEL_EXCHANGES + MODEL_QUEUES);
    int source = (int)random_sequence_below(r, MODEL_EXCHANGES);
    bool there = destination < MODEL_EXCHANGES ? m->exchanges[destination].there
                                               : m->queues[destination - MODEL_EXCHANGES];

    if (b->there || !there || !m->exchanges[source].there)
        return;
    b->source = source;
    b->destination = destination;
    snprintf(b->key, sizeof(b->key), "%s", random_key(r, 4, true));
    snprintf(b->arguments, sizeof(b->arguments), "%s",
             model_arguments[random_sequence_below(r, 4)]);
    b->there = model_find(m, b) == NULL;
    bind(w, exchange_named(source), destination_named(destination), b->key, b->arguments);
}

static void remove_random_binding(struct model *m, struct world *w, struct random_sequence *r)
{
    struct model_binding *b = &m->bindings[random_sequence_below(r, MODEL_BINDINGS)];

    if (!b->there)
        return;
    unbind(w, exchange_named(b->source), destination_named(b->destination), b->key, b->arguments);
    model_drop_binding(m, b);
}

static void run_model(uint64_t seed)
{
    struct model m = {.queues = {false}};
    struct random_sequence r;
    struct world w;

    random_sequence_seed(&r, seed);
    world_begin(&w);
    for (int step = 0; step < 400; step++) {
        uint64_t what = random_sequence_below(&r, 20);

        if (what == 0)
            change_exchange(&m, &w, &r);
        else if (what == 1)
            change_queue(&m, &w, &r);
        else if (what < 12)
            add_random_binding(&m, &w, &r);
        else
            remove_random_binding(&m, &w, &r);
        model_expect_route(&m, &w, &r, seed);
    }
    world_end(&w);
}

START_TEST(topology_agrees_with_a_plain_model)
{
    uint64_t seed = first_seed();

    for (uint64_t i = 0; i < 150; i++)
        run_model(seed + i);
}
END_TEST

/* Counts and limits */

static int try_bind(struct world *w, const char *source, const char *destination, const char *key,
                    uint32_t max)
{
    struct binding_declaration b = binding_of(w, source, destination, key, NULL);

    b.bindings_max = max;
    return topology_bind(w->topology, &b, &w->refusal);
}

static int try_declare_below(struct world *w, const char *name, const char *options, uint32_t max)
{
    struct exchange_declaration d = declaration(w, name, "fanout", options);

    d.exchanges_max = max;
    return topology_declare_exchange(w->topology, &d, &w->refusal);
}

static void expect_totals(const struct topology_totals *t, unsigned exchanges, unsigned bindings)
{
    ck_assert_uint_eq(atomic_load(&t->exchanges), exchanges);
    ck_assert_uint_eq(atomic_load(&t->bindings), bindings);
}

START_TEST(what_several_topologies_hold_is_counted_and_limited_together)
{
    struct topology_totals totals = {.exchanges = 0};
    struct world a;
    struct world b;

    world_begin(&a);
    world_begin(&b);
    topology_count_in(a.topology, &totals);
    topology_count_in(b.topology, &totals);
    add_queue(&a, "q");
    add_queue(&b, "q");
    expect_totals(&totals, 0, 0);
    declare(&a, "x", "fanout", NULL);
    declare(&b, "goes", "fanout", "auto_delete");
    bind(&b, "goes", "q", "", NULL);
    expect_totals(&totals, 2, 1);

    expect_refusal(&a, try_declare_below(&a, "y", NULL, 2), REFUSAL_PRECONDITION_FAILED,
                   "cannot declare exchange 'y' in vhost '/': the limit of 2 exchanges is reached "
                   "(limits.max_exchanges)");
    ck_assert_int_eq(try_declare_below(&a, "x", NULL, 2), 0);
    ck_assert_int_eq(try_declare_below(&a, "x", "passive", 2), 0);
    expect_refusal(&a, try_bind(&a, "x", "q", "k", 1), REFUSAL_PRECONDITION_FAILED,
                   "cannot bind queue 'q' to exchange 'x' in vhost '/': the limit of 1 bindings is "
                   "reached (limits.max_bindings)");
    ck_assert_int_eq(try_bind(&b, "goes", "q", "", 1), 0);
    expect_totals(&totals, 2, 1);

    remove_queue(&b, "q");
    expect_totals(&totals, 1, 0);
    ck_assert_int_eq(try_declare_below(&a, "y", NULL, 2), 0);
    ck_assert_int_eq(try_bind(&a, "x", "q", "k", 1), 0);
    bind(&a, "x", "x:y", "k", NULL);
    bind(&a, "amq.direct", "x:y", "k", NULL);
    expect_totals(&totals, 2, 3);
    delete_exchange(&a, "y");
    expect_totals(&totals, 1, 1);
    unbind(&a, "x", "q", "k", NULL);
    expect_totals(&totals, 1, 0);
    world_end(&a);
    world_end(&b);
}
END_TEST

START_TEST(bindings_of_a_deleted_virtual_host_are_removed_in_pieces)
{
    struct topology_totals totals = {.exchanges = 0};
    struct world w;

    world_begin(&w);
    topology_count_in(w.topology, &totals);
    declare(&w, "goes", "fanout", "auto_delete");
    bind(&w, "goes", "x:amq.fanout", "", NULL);
    bind(&w, "amq.direct", "x:amq.fanout", "a", NULL);
    bind(&w, "amq.direct", "x:amq.fanout", "b", NULL);
    ck_assert(topology_remove_bindings(w.topology, 2));
    ck_assert(!topology_remove_bindings(w.topology, 2));
    ck_assert(!topology_remove_bindings(w.topology, 2));
    expect_totals(&totals, 0, 0);
    world_end(&w);
}
END_TEST

START_TEST(refusal_of_the_longest_names_ends_with_the_key)
{
    static const char END[] = "(limits.max_bindings)";
    struct topology_totals totals = {.exchanges = 0};
    char name[256];
    struct world w;

    world_begin(&w);
    topology_destroy(w.topology);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    w.topology = topology_create(text(name), &w);
    topology_count_in(w.topology, &totals);
    declare(&w, name, "fanout", NULL);
    add_queue(&w, name);
    bind(&w, name, name, "", NULL);
    ck_assert_int_lt(try_bind(&w, name, name, "k", 1), 0);
    ck_assert_str_eq(w.refusal.text + strlen(w.refusal.text) - strlen(END), END);
    world_end(&w);
}
END_TEST

UNIT_MAIN("topology", predeclared_exchanges_are_there, declared_exchange_is_as_asked_for,
          declarations_are_refused_in_rabbitmqs_words, equal_redeclaration_is_fine,
          deletions_are_refused_in_rabbitmqs_words, unused_is_what_no_binding_leads_from,
          deleted_exchange_takes_its_bindings, bindings_are_refused_in_rabbitmqs_words,
          exclusive_queue_is_bound_by_its_connection_alone,
          unbinding_from_the_default_exchange_is_refused,
          auto_delete_exchange_goes_with_its_last_binding,
          auto_delete_exchange_stays_until_it_had_a_binding,
          deleting_a_queue_takes_auto_delete_exchanges_in_a_chain,
          auto_delete_exchange_bound_to_itself_stays, handle_tells_what_it_was_made_with,
          removed_queue_takes_its_bindings, epoch_rises_with_every_change_that_may_alter_a_route,
          walks_visit_all_until_they_are_stopped, idle_queue_with_a_binding_is_small,
          nothing_is_kept_of_what_went, destroying_visits_each_thing_once,
          handle_outlives_the_topology, topology_agrees_with_a_plain_model,
          what_several_topologies_hold_is_counted_and_limited_together,
          bindings_of_a_deleted_virtual_host_are_removed_in_pieces,
          refusal_of_the_longest_names_ends_with_the_key)
