/* Definitions in RabbitMQ's JSON format, out of a running broker and into it. */
#include "admin/api.h"
#include "admin/definition_reader.h"
#include "admin/import.h"
#include "admin/json_value.h"
#include "admin/list_policies.h"
#include "admin/list_users.h"
#include "admin/listing.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/broker_parameters.h"
#include "session/vhost_limits.h"

#include <stdlib.h>

enum {
    SCAN_COUNT = 256,
    STATUS_BAD_REQUEST = 400,
};

/* Whose format it is: importers ask for it. */
static const char FORMAT_VERSION[] = "3.10.8";

static const char *const NAME_KEY[] = {"name", NULL};
static const char *const VHOST_NAME_KEY[] = {"vhost", "name", NULL};
static const char *const PARAMETER_KEY[] = {"vhost", "component", "name", NULL};
static const char *const BINDING_KEY[] = {
    "vhost", "source", "destination_type", "destination", "routing_key", "arguments", NULL};

/* A section that is being gathered. */
struct gathering {
    const struct api_request *request;
    struct listing listing;
    struct vhost *vhost;
    json_t *rows;  /* those of one look under the lock */
    bool of_vhost; /* of the one that the request names, without saying so in each row */
    bool global;   /* parameters: those of the broker */
};

static void row_in_vhost(const struct gathering *g, json_t *row)
{
    json_object_set_new(row, "vhost", json_from_bytes(g->vhost->name));
    json_array_append_new(g->rows, row);
}

/* ---- Virtual hosts and parameters ---- */

static void gather_vhost(struct vhost *v, void *context)
{
    struct gathering *g = context;
    json_t *row = json_object();

    json_object_set_new(row, "name", json_from_bytes(v->name));
    listing_add(&g->listing, row);
}

static void gather_parameter(const struct parameter_definition *p, void *context)
{
    struct gathering *g = context;
    bool global = bytes_equal_string(p->component, PARAMETER_GLOBAL);
    json_t *row;

    if (global != g->global || (!global && p->vhost.size == 0))
        return;
    if (g->of_vhost && !bytes_equal(p->vhost, g->request->segments[1]))
        return;
    row = json_object();
    if (!global) {
        json_object_set_new(row, "vhost", json_from_bytes(p->vhost));
        json_object_set_new(row, "component", json_from_bytes(p->component));
    }
    json_object_set_new(row, "name", json_from_bytes(p->name));
    json_object_set_new(row, "value", json_from_value(p->value));
    listing_add(&g->listing, row);
}

/* ---- Topology ---- */

/* Every virtual host has these. */
static bool is_predeclared(struct bytes exchange)
{
    return exchange.size == 0 || bytes_starts_with(exchange, "amq.");
}

static void gather_exchange(const struct exchange *e, void *context)
{
    json_t *row;

    if (is_predeclared(exchange_name(e)))
        return;
    row = json_object();
    json_object_set_new(row, "name", json_from_bytes(exchange_name(e)));
    json_object_set_new(row, "type", json_from_bytes(exchange_type(e)));
    json_object_set_new(row, "durable", json_boolean(exchange_durable(e)));
    json_object_set_new(row, "auto_delete", json_boolean(exchange_auto_delete(e)));
    json_object_set_new(row, "internal", json_boolean(exchange_internal(e)));
    json_object_set_new(row, "arguments", json_from_table(exchange_arguments(e)));
    row_in_vhost(context, row);
}

/* An exclusive queue is its connection's alone, and goes with it. */
static void gather_queue(struct queue_handle *h, void *context)
{
    json_t *row;

    if (h->owner != 0)
        return;
    row = json_object();
    json_object_set_new(row, "name", json_from_bytes(h->name));
    json_object_set_new(row, "durable", json_boolean(h->options.durable));
    json_object_set_new(row, "auto_delete", json_boolean(h->options.auto_delete));
    json_object_set_new(row, "arguments", json_from_table(&h->options.arguments));
    row_in_vhost(context, row);
}

static void gather_binding(const struct binding_declaration *b, bool durable, void *context)
{
    const struct gathering *g = context;
    const struct queue_handle *queue =
        b->to_exchange ? NULL : topology_find_queue(g->vhost->topology, b->destination);
    json_t *row;

    (void)durable;
    if (queue != NULL && queue->owner != 0)
        return;
    row = json_object();
    json_object_set_new(row, "source", json_from_bytes(b->source));
    json_object_set_new(row, "destination", json_from_bytes(b->destination));
    json_object_set_new(row, "destination_type",
                        json_string(b->to_exchange ? "exchange" : "queue"));
    json_object_set_new(row, "routing_key", json_from_bytes(b->routing_key));
    json_object_set_new(row, "arguments", json_from_table(b->arguments));
    row_in_vhost(g, row);
}

static size_t scan_exchanges(struct gathering *g, size_t cursor)
{
    return topology_scan_exchanges(g->vhost->topology, cursor, SCAN_COUNT, gather_exchange, g);
}

static size_t scan_queues(struct gathering *g, size_t cursor)
{
    return topology_scan_queues(g->vhost->topology, cursor, SCAN_COUNT, gather_queue, g);
}

static size_t scan_bindings(struct gathering *g, size_t cursor)
{
    return topology_scan_bindings(g->vhost->topology, cursor, SCAN_COUNT, gather_binding, g);
}

static void gather_by(struct vhost *v, struct gathering *g,
                      size_t (*scan)(struct gathering *g, size_t cursor))
{
    size_t cursor = 0;

    g->vhost = v;
    do {
        g->rows = json_array();
        vhost_lock_read(v);
        cursor = scan(g, cursor);
        vhost_unlock(v);
        listing_add_all(&g->listing, g->rows);
    } while (cursor != 0);
}

static void gather_exchanges(struct vhost *v, void *context)
{
    gather_by(v, context, scan_exchanges);
}

static void gather_queues(struct vhost *v, void *context)
{
    gather_by(v, context, scan_queues);
}

static void gather_bindings(struct vhost *v, void *context)
{
    gather_by(v, context, scan_bindings);
}

/* ---- The whole ---- */

static json_t *limits_of(const struct vhost *v)
{
    const struct vhost_limits limits = vhost_limits_of(v);
    json_t *value = json_object();

    if (limits.max_connections >= 0)
        json_object_set_new(value, "max-connections", json_integer(limits.max_connections));
    if (limits.max_queues >= 0)
        json_object_set_new(value, "max-queues", json_integer(limits.max_queues));
    return value;
}

static void gather_limits(struct vhost *v, void *context)
{
    struct gathering *g = context;
    json_t *value = limits_of(v);
    json_t *row;

    if (json_object_size(value) == 0) {
        json_decref(value);
        return;
    }
    row = json_object();
    json_object_set_new(row, "vhost", json_from_bytes(v->name));
    json_object_set_new(row, "component", json_string(PARAMETER_VHOST_LIMITS));
    json_object_set_new(row, "name", json_string("limits"));
    json_object_set_new(row, "value", value);
    listing_add(&g->listing, row);
}

/* RabbitMQ keeps operator policies as parameters. */
static void gather_operator_policies(struct vhost *v, void *context)
{
    struct gathering *g = context;

    list_policies(g->request->broker, v->name, true, &g->listing);
}

static void gather_policies(struct vhost *v, void *context)
{
    struct gathering *g = context;

    list_policies(g->request->broker, v->name, false, &g->listing);
}

static void gather_parameters(struct gathering *g)
{
    struct api_answer ignored = {.status = 0};

    api_each_vhost(g->request, 1, gather_limits, g, &ignored);
    api_each_vhost(g->request, 1, gather_operator_policies, g, &ignored);
    buffer_free(&ignored.body);
    broker_parameters_each(g->request->broker, gather_parameter, g);
}

static void gather_global_parameters(struct gathering *g)
{
    g->global = true;
    broker_parameters_each(g->request->broker, gather_parameter, g);
}

static void gather_users(struct gathering *g)
{
    list_users(g->request->broker, &g->listing);
}

static void gather_permissions(struct gathering *g)
{
    list_permissions(api_vhost_named(g->request), &g->listing);
}

static void gather_topic_permissions(struct gathering *g)
{
    list_topic_permissions(api_vhost_named(g->request), &g->listing);
}

/* How each section is gathered: from each virtual host, or at once. */
static const struct {
    const char *const *key;
    void (*from_vhost)(struct vhost *v, void *gathering);
    void (*at_once)(struct gathering *g);
    enum definition_section section;
    bool of_broker; /* not among the definitions of one virtual host */
} SECTIONS[] = {
    {NAME_KEY, gather_vhost, NULL, DEFINITION_VHOSTS, true},
    {USER_KEY, NULL, gather_users, DEFINITION_USERS, true},
    {PERMISSION_KEY, NULL, gather_permissions, DEFINITION_PERMISSIONS, true},
    {TOPIC_PERMISSION_KEY, NULL, gather_topic_permissions, DEFINITION_TOPIC_PERMISSIONS, true},
    {PARAMETER_KEY, NULL, gather_parameters, DEFINITION_PARAMETERS, false},
    {NAME_KEY, NULL, gather_global_parameters, DEFINITION_GLOBAL_PARAMETERS, true},
    {VHOST_NAME_KEY, gather_policies, NULL, DEFINITION_POLICIES, false},
    {VHOST_NAME_KEY, gather_exchanges, NULL, DEFINITION_EXCHANGES, false},
    {VHOST_NAME_KEY, gather_queues, NULL, DEFINITION_QUEUES, false},
    {BINDING_KEY, gather_bindings, NULL, DEFINITION_BINDINGS, false},
};

static void write_origin(const struct api_request *r, struct buffer *out)
{
    buffer_append_format(out, "{\"rabbit_version\":\"%s\",\n\"rabbitmq_version\":\"%s\",\n",
                         FORMAT_VERSION, FORMAT_VERSION);
    buffer_append_format(out, "\"product_name\":\"leveret\",\n\"product_version\":\"%s\"",
                         r->broker->server->version);
}

void api_export(const struct api_request *r, struct api_answer *answer)
{
    bool of_vhost = r->segment_count > 1;

    write_origin(r, &answer->body);
    for (size_t i = 0; i < sizeof(SECTIONS) / sizeof(SECTIONS[0]); i++) {
        struct gathering g = {.request = r, .of_vhost = of_vhost};
        bool found = true;

        if (of_vhost && SECTIONS[i].of_broker)
            continue;
        listing_init(&g.listing, SECTIONS[i].key, bytes_of(NULL, 0));
        g.listing.omitted = of_vhost ? "vhost" : NULL;
        if (SECTIONS[i].from_vhost != NULL)
            found = api_each_vhost(r, 1, SECTIONS[i].from_vhost, &g, answer);
        else
            SECTIONS[i].at_once(&g);
        if (found) {
            buffer_append_format(&answer->body,
                                 ",\n\"%s\":", definition_section_name(SECTIONS[i].section));
            listing_write(&g.listing, &answer->body);
        }
        listing_free(&g.listing);
        if (!found)
            return;
    }
    buffer_append(&answer->body, bytes_from_string("}\n"));
}

void api_import(const struct api_request *r, struct api_answer *answer)
{
    struct bytes vhost = api_vhost_named(r);
    struct import_report report;
    char error[512];

    if (!api_check_vhost(r, answer))
        return;
    if (import_definitions(r->asker, r->body, vhost, &report, error, sizeof(error)) < 0) {
        api_fail(answer, STATUS_BAD_REQUEST, "%s", error);
        return;
    }
    api_answer_json(answer, import_report_json(&report));
    import_report_release(&report);
}
