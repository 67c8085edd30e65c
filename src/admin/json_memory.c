#include "admin/json_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void wipe_and_free(void *p)
{
    if (p != NULL)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

void json_wipe_freed_memory(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}
