/* Any bytes as a configuration: it is refused with problems that can be printed, or it is accepted,
 * has none, and its users can be built. */
#include "auth/users.h"
#include "config/config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Hashing would take all the time there is. */
static bool has_plain_passwords(const struct config *c)
{
    for (size_t i = 0; i < c->users.count; i++) {
        if (c->users.items[i].password != NULL)
            return true;
    }
    return false;
}

static void build_users(struct config *c, struct config_problems *problems)
{
    struct auth_database *db;
    int rc = auth_database_build(c, NULL, &db, problems);

    require((rc == 0) == (problems->count == 0));
    require((rc == 0) == (db != NULL));
    auth_database_unref(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_problems problems;
    struct config *c;
    int rc;

    config_problems_init(&problems);
    rc = config_load_text("f", bytes_of(data, size), NULL, &c, &problems);
    require((rc == 0) == (problems.count == 0));
    require((rc == 0) == (c != NULL));
    if (c != NULL && !has_plain_passwords(c))
        build_users(c, &problems);
    for (size_t i = 0; i < problems.count; i++)
        free(config_problem_text(&problems.items[i]));
    config_free(c);
    config_problems_free(&problems);
    return 0;
}
