#include "admin/list_policies.h"

#include "admin/api.h"
#include "admin/json_value.h"
#include "server/vhost.h"
#include "session/broker_policies.h"

static const char *const POLICY_KEY[] = {"vhost", "name", NULL};

struct rows {
    struct broker *broker;
    struct listing *listing;
    struct bytes vhost;
    bool operator_policies;
};

static void set_content(json_t *row, const struct policy_declaration *d)
{
    json_object_set_new(row, "pattern", json_from_bytes(d->pattern));
    json_object_set_new(row, "apply-to", json_from_bytes(d->apply_to));
    json_object_set_new(row, "definition", json_from_table(d->definition));
    json_object_set_new(row, "priority", json_integer(d->priority));
}

static void add_policy(void *context, const struct policy_declaration *d)
{
    const struct rows *r = context;
    json_t *row = json_object();

    json_object_set_new(row, "vhost", json_from_bytes(r->vhost));
    json_object_set_new(row, "name", json_from_bytes(d->name));
    set_content(row, d);
    listing_add(r->listing, row);
}

static void add_parameter(void *context, const struct policy_declaration *d)
{
    const struct rows *r = context;
    json_t *row = json_object();
    json_t *value = json_object();

    json_object_set_new(row, "vhost", json_from_bytes(r->vhost));
    json_object_set_new(row, "component", json_string("operator_policy"));
    json_object_set_new(row, "name", json_from_bytes(d->name));
    set_content(value, d);
    json_object_set_new(row, "value", value);
    listing_add(r->listing, row);
}

void list_policies(struct broker *b, struct bytes vhost, bool operator_policies, struct listing *l)
{
    struct rows r = {.broker = b, .listing = l, .vhost = vhost};

    broker_policies_each(b, vhost, operator_policies,
                         operator_policies ? add_parameter : add_policy, &r);
}

/* ---- The API ---- */

static void add_of_vhost(struct vhost *v, void *context)
{
    struct rows *r = context;

    r->vhost = v->name;
    broker_policies_each(r->broker, v->name, r->operator_policies, add_policy, r);
}

static void answer_policies(const struct api_request *request, struct api_answer *answer,
                            bool operator_policies)
{
    struct listing l;
    struct rows r = {
        .broker = request->broker, .listing = &l, .operator_policies = operator_policies};

    listing_init(&l, POLICY_KEY, request->columns);
    if (api_each_vhost(request, 1, add_of_vhost, &r, answer))
        listing_write(&l, &answer->body);
    listing_free(&l);
}

void api_policies(const struct api_request *r, struct api_answer *answer)
{
    answer_policies(r, answer, false);
}

void api_operator_policies(const struct api_request *r, struct api_answer *answer)
{
    answer_policies(r, answer, true);
}
