/* The memory of the JSON library: passwords come in JSON. */
#ifndef LEVERET_ADMIN_JSON_MEMORY_H
#define LEVERET_ADMIN_JSON_MEMORY_H

/* Has all that the library frees wiped from here on. Before any other thread runs and any JSON is
 * made. */
void json_wipe_freed_memory(void);

#endif
