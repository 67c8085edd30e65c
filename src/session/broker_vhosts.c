#include "session/broker_vhosts.h"

#include "server/vhost.h"
#include "session/audit.h"
#include "session/broker.h"
#include "session/broker_store.h"

static void prepare(struct vhost *v, void *context)
{
    broker_store_watch(context, v);
}

struct vhost *broker_vhost_put(struct broker *b, struct bytes name, bool *made)
{
    struct vhost *v = vhost_ensure_prepared(&b->server->vhosts, name, prepare, b, made);

    if (*made)
        audit_log("vhost", "vhost '%.*s' was made", BYTES_ARGS(name));
    return v;
}
