#include "session/user_limits.h"

#include "auth/user.h"
#include "session/connection.h"

bool user_limits_enter(struct connection *c, int64_t *limit)
{
    int64_t before;

    c->account = auth_account_ref(auth_user_account(c->user));
    before = atomic_fetch_add(&c->account->connections, 1);
    *limit = auth_user_max_connections(c->user);
    return *limit < 0 || before < *limit;
}

void user_limits_leave(struct connection *c)
{
    if (c->account == NULL)
        return;
    atomic_fetch_sub(&c->account->connections, 1);
    auth_account_unref(c->account);
    c->account = NULL;
}

bool user_limits_open_channel(struct connection *c, int64_t *limit)
{
    int64_t before = atomic_fetch_add(&c->account->channels, 1);

    *limit = auth_user_max_channels(c->user);
    if (*limit < 0 || before < *limit)
        return true;
    atomic_fetch_sub(&c->account->channels, 1);
    return false;
}

const char *user_limits_connections_key(const struct connection *c)
{
    return auth_user_is_configured(c->user) ? "users.max_connections"
                                            : "max-connections of set_user_limits";
}

const char *user_limits_channels_key(const struct connection *c)
{
    return auth_user_is_configured(c->user) ? "users.max_channels"
                                            : "max-channels of set_user_limits";
}

void user_limits_close_channels(struct connection *c, uint32_t count)
{
    if (count != 0)
        atomic_fetch_sub(&c->account->channels, count);
}
