/* A YAML document as a tree of nodes that know their lines. One document, plain data: anchors,
 * aliases and tags (but !!str) are refused, keys are scalars and unique, depth and size are
 * bounded. One thread at a time. */
#ifndef LEVERET_CONFIG_YAML_TREE_H
#define LEVERET_CONFIG_YAML_TREE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/hash_map.h"
#include "config/problems.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    YAML_DEPTH_MAX = 32,
};

enum yaml_kind {
    YAML_SCALAR,
    YAML_SEQUENCE,
    YAML_MAPPING,
};

/* A node belongs to its tree. */
struct yaml_node {
    enum yaml_kind kind;
    unsigned line;          /* from 1 */
    struct yaml_node *next; /* in the sequence or mapping around it */

    /* In a mapping: the key in front of this node. */
    struct bytes key; /* with a zero byte behind it */
    unsigned key_line;
    bool duplicate; /* an earlier entry has the same key: reported, to be passed over */

    /* Of a sequence or mapping: its entries in order. */
    struct yaml_node *first;
    struct yaml_node *last;
    size_t count;

    /* Of a scalar. A plain one may be a number, a boolean or null; a quoted one is a string. */
    struct bytes text; /* with a zero byte behind it */
    bool plain;

    /* Private: the mapping around it and the entry in the tree's index of keys. */
    const struct yaml_node *parent;
    struct hash_node by_key;
};

struct yaml_tree {
    struct arena arena;
    struct yaml_node *root; /* NULL: an empty document */
    bool complete;          /* the document was read to its end */
};

/* Reads `text`; problems are added under the name `file`. Returns 0, or -EINVAL after adding at
 * least one; the tree may be complete all the same. Call yaml_tree_free() in both cases. */
int yaml_tree_parse(struct yaml_tree *tree, const char *file, struct bytes text,
                    struct config_problems *problems);

/* Wipes the texts of all scalars and frees the tree. */
void yaml_tree_free(struct yaml_tree *tree);

/* What a scalar is by YAML's core schema. */
enum yaml_type {
    YAML_TYPE_NULL,
    YAML_TYPE_BOOLEAN,
    YAML_TYPE_INTEGER,
    YAML_TYPE_INTEGER_TOO_BIG, /* does not fit in 64 bits with a sign */
    YAML_TYPE_FLOAT,
    YAML_TYPE_STRING,
};

struct yaml_scalar {
    enum yaml_type type;
    union {
        bool boolean;
        int64_t integer;
        double real;
    };
};

/* Reads a scalar node. */
struct yaml_scalar yaml_resolve(const struct yaml_node *scalar);

/* Whether the node is a plain scalar that means null (`key:` with nothing behind it). */
bool yaml_is_null(const struct yaml_node *node);

#endif
