/* The keys of the configuration as a table: what each is called, its type, default and range, where
 * its value goes, and what it means. The reader walks it, and so does the test that holds the
 * documentation against it. */
#ifndef LEVERET_CONFIG_SCHEMA_H
#define LEVERET_CONFIG_SCHEMA_H

#include "base/arena.h"
#include "config/problems.h"
#include "config/yaml_tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_TYPE_BOOLEAN,   /* bool */
    CONFIG_TYPE_INTEGER,   /* uint16_t, uint32_t or uint64_t, by `size` */
    CONFIG_TYPE_SIZE,      /* the same; bytes, also written with KiB, MiB or GiB */
    CONFIG_TYPE_STRING,    /* const char *, without zero bytes; min and max are its length */
    CONFIG_TYPE_NAME,      /* struct bytes; min and max are its length */
    CONFIG_TYPE_CHOICE,    /* an enum, one of `choices` */
    CONFIG_TYPE_FLAGS,     /* uint32_t, any of `choices`, a list */
    CONFIG_TYPE_ARGUMENTS, /* struct table, a mapping of anything */
    CONFIG_TYPE_SECTION,   /* a struct, a mapping by `section` */
    CONFIG_TYPE_LIST,      /* { items, count }, a list of mappings by `section`, at least min */
    CONFIG_TYPE_NAMES,     /* { items, count } of structs by `section`, a list of its only name */
};

/* When a changed value counts. */
enum config_applies {
    CONFIG_AT_RELOAD,
    CONFIG_AT_RESTART,
};

struct config_choice {
    const char *name;
    uint32_t value;
};

struct config_section;

struct config_key {
    const char *name;
    enum config_type type;
    enum config_applies applies;
    bool required;
    bool secret;              /* the value is never printed */
    const char *default_text; /* as it would be written; NULL: none, the field stays zero */
    uint64_t min;
    uint64_t max;
    size_t offset; /* of the field in the section's struct */
    size_t size;
    size_t line_offset;                  /* of a field for the value's line; 0: none */
    const struct config_choice *choices; /* ends with a NULL name */
    const struct config_section *section;
    /* Returns NULL, or what the value must be instead ("must be …"). */
    const char *(*check)(struct bytes text);
    const char *doc; /* one line */
};

struct config_section {
    const struct config_key *keys; /* ends with a NULL name */
    size_t struct_size;
    size_t line_offset; /* of a field for the line where the entry begins; 0: none */
};

/* The whole configuration: the struct is struct config. */
extern const struct config_section config_schema;

/* Sets the fields of the section's struct at `out`, which is zeroed, to the defaults. */
void config_schema_defaults(const struct config_section *section, struct arena *arena, void *out);

/* Reads `root` (NULL counts as an empty mapping) into `out`, defaults included. What is wrong is
 * added to `problems`; the fields concerned keep their defaults. Copies what it keeps. */
void config_schema_read(const struct config_section *section, const struct yaml_node *root,
                        const char *file, struct arena *arena, void *out,
                        struct config_problems *problems);

/* Calls `visit` for every key of the schema with its full path: "limits.frame_max",
 * "users[].name". */
void config_schema_walk(void (*visit)(const char *path, const struct config_key *key,
                                      void *context),
                        void *context);

#endif
