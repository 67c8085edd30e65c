#include "admin/commit.h"

#include "admin/waiter.h"
#include "session/broker.h"
#include "store/definitions.h"

int commit_wait(struct broker *b)
{
    struct waiter w;

    if (b->definitions == NULL)
        return 0;
    waiter_init(&w);
    definitions_barrier(b->definitions,
                        (struct definitions_done){.call = waiter_tell, .context = &w});
    return waiter_wait(&w);
}
