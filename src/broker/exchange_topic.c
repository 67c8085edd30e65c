/* The topic exchange: keys and patterns of words between dots, `*` for one word, `#` for any
 * number of them (AMQP 0-9-1 §3.1.3.3; RabbitMQ "Topics").
 *
 * Patterns without wildcards are filed by their whole text, the others in a trie of words. The
 * trie is walked with the set of nodes that the words so far can lead to, so that a key costs at
 * most its words times the nodes it can reach, however patterns are built. All children by word
 * share one hash table keyed by parent and word: a step costs one look-up however many children
 * there are. */
#include "base/memory.h"
#include "broker/binding.h"
#include "broker/binding_key.h"
#include "broker/exchange_router.h"
#include "broker/route.h"

#include <assert.h>
#include <stdlib.h>

/* A node is there while a binding's pattern leads over it. */
struct topic_node {
    struct key_link by_word; /* `value` is the parent, as topic_node_value() gives it */
    struct key_set bindings; /* whose patterns end here */
    struct topic_node *one;  /* the child for `*` */
    struct topic_node *any;  /* the child for `#` */
    uint32_t child_count;    /* children by word */
    uint8_t word_size;
    uint8_t word[];
};

struct topic {
    struct key_index literals;
    struct key_index children;
    struct topic_node *root;
};

/* A child by its parent and word. */
struct child_key {
    uintptr_t parent;
    struct bytes word;
};

static uintptr_t topic_node_value(const struct topic_node *n)
{
    return (uintptr_t)n;
}

static struct topic_node *topic_node_from_value(uintptr_t value)
{
    return (struct topic_node *)value;
}

static struct topic_node *topic_node_from_link(const struct key_link *link)
{
    return (struct topic_node *)((uintptr_t)link - offsetof(struct topic_node, by_word));
}

static struct bytes topic_node_word(const struct topic_node *n)
{
    return bytes_of(n->word, n->word_size);
}

/* The words of a key. The empty key has none; else there is one more than there are dots. */
struct words {
    const uint8_t *at;
    const uint8_t *end;
    bool more;
};

static struct words words_of(struct bytes key)
{
    return (struct words){.at = key.data, .end = key.data + key.size, .more = key.size != 0};
}

static bool words_next(struct words *w, struct bytes *word)
{
    const uint8_t *dot;

    if (!w->more)
        return false;
    dot = memchr(w->at, '.', (size_t)(w->end - w->at));
    if (dot == NULL) {
        *word = bytes_of(w->at, (size_t)(w->end - w->at));
        w->more = false;
        return true;
    }
    *word = bytes_of(w->at, (size_t)(dot - w->at));
    w->at = dot + 1;
    return true;
}

static bool is_one(struct bytes word)
{
    return word.size == 1 && word.data[0] == '*';
}

static bool is_any(struct bytes word)
{
    return word.size == 1 && word.data[0] == '#';
}

static bool has_wildcard(struct bytes pattern)
{
    struct words words = words_of(pattern);
    struct bytes word;

    while (words_next(&words, &word)) {
        if (is_one(word) || is_any(word))
            return true;
    }
    return false;
}

/* The hash of a child, from that of its word. */
static uint32_t child_hash(uintptr_t parent, uint64_t word_hash)
{
    return (uint32_t)((((uint64_t)parent ^ word_hash) * 0x9e3779b97f4a7c15u) >> 32);
}

static bool child_same(const struct key_link *link, const void *key)
{
    const struct child_key *k = key;

    return link->value == k->parent &&
           bytes_equal(topic_node_word(topic_node_from_link(link)), k->word);
}

static struct topic_node *find_child(const struct topic *t, const struct topic_node *parent,
                                     struct bytes word, uint64_t word_hash)
{
    struct child_key key = {.parent = topic_node_value(parent), .word = word};
    const struct key_set *found;

    if (parent->child_count == 0)
        return NULL;
    found = key_index_find(&t->children, child_hash(key.parent, word_hash), child_same, &key);
    return found != NULL ? topic_node_from_link(found->one) : NULL;
}

static struct topic_node *node_create(struct topic_node *parent, struct bytes word)
{
    size_t size = offsetof(struct topic_node, word) + word.size;
    struct topic_node *n =
        memory_alloc_zeroed(1, size > sizeof(struct topic_node) ? size : sizeof(struct topic_node));

    n->by_word.value = topic_node_value(parent);
    n->word_size = (uint8_t)word.size;
    if (word.size != 0)
        memcpy(n->word, word.data, word.size);
    return n;
}

/* The child of `parent` under a word of a pattern, made when it is not there. */
static struct topic_node *need_child(struct topic *t, struct topic_node *parent, struct bytes word)
{
    struct child_key key = {.parent = topic_node_value(parent), .word = word};
    struct topic_node **wildcard = is_one(word) ? &parent->one : &parent->any;
    struct topic_node *n;

    if (is_one(word) || is_any(word)) {
        if (*wildcard == NULL)
            *wildcard = node_create(parent, word);
        return *wildcard;
    }
    n = find_child(t, parent, word, bytes_hash(word));
    if (n != NULL)
        return n;
    n = node_create(parent, word);
    key_index_add(&t->children, &n->by_word, child_hash(key.parent, bytes_hash(word)), child_same,
                  &key);
    parent->child_count++;
    return n;
}

/* The node where a pattern ends, which must be there. */
static struct topic_node *find_end(const struct topic *t, struct bytes pattern)
{
    struct words words = words_of(pattern);
    struct topic_node *n = t->root;
    struct bytes word;

    while (words_next(&words, &word)) {
        if (is_one(word))
            n = n->one;
        else if (is_any(word))
            n = n->any;
        else
            n = find_child(t, n, word, bytes_hash(word));
        assert(n != NULL);
    }
    return n;
}

static void unlink_node(struct topic *t, struct topic_node *parent, struct topic_node *n)
{
    struct child_key key = {.parent = topic_node_value(parent), .word = topic_node_word(n)};

    if (parent->one == n) {
        parent->one = NULL;
    } else if (parent->any == n) {
        parent->any = NULL;
    } else {
        key_index_remove(&t->children, &n->by_word, child_same, &key);
        parent->child_count--;
    }
}

/* Frees `n` and its ancestors up to the first that some pattern still leads over. */
static void prune(struct topic *t, struct topic_node *n)
{
    while (n != t->root && n->bindings.count == 0 && n->child_count == 0 && n->one == NULL &&
           n->any == NULL) {
        struct topic_node *parent = topic_node_from_value(n->by_word.value);

        unlink_node(t, parent, n);
        free(n);
        n = parent;
    }
}

static void topic_init(void *state)
{
    struct topic *t = state;

    t->root = node_create(NULL, bytes_of(NULL, 0));
}

static void topic_clear(void *state)
{
    struct topic *t = state;

    assert(t->literals.used == 0 && t->children.used == 0);
    free(t->root);
}

static void topic_add(void *state, struct binding *b)
{
    struct topic *t = state;
    struct words words = words_of(binding_key(b));
    struct topic_node *n = t->root;
    struct bytes word;

    if (!has_wildcard(binding_key(b))) {
        binding_key_add(&t->literals, b);
        return;
    }
    while (words_next(&words, &word))
        n = need_child(t, n, word);
    key_set_add(&n->bindings, &b->link);
}

static void topic_remove(void *state, struct binding *b)
{
    struct topic *t = state;
    struct topic_node *n;

    if (!has_wildcard(binding_key(b))) {
        binding_key_remove(&t->literals, b);
        return;
    }
    n = find_end(t, binding_key(b));
    key_set_remove(&n->bindings, &b->link);
    prune(t, n);
}

/* The nodes that the words so far lead to. A `#` node that is reached stays reached: it may take
 * each word to come. Any other node has one parent and one word that lead to it, so that it is
 * reached once a word at most. */
struct walk {
    const struct topic *topic;
    struct pointer_list *now;
    struct pointer_list *next;
    struct pointer_list *any;
    struct pointer_set *seen; /* the nodes in `any` */
};

/* Reaches a node, and over it its `#` child, which may stand for no word at all. */
static void walk_reach(struct walk *w, const struct topic_node *n)
{
    pointer_list_append(w->next, n);
    for (n = n->any; n != NULL && pointer_set_add(w->seen, n); n = n->any)
        pointer_list_append(w->any, n);
}

static void walk_step(struct walk *w, const struct topic_node *n, struct bytes word, uint64_t hash)
{
    const struct topic_node *child = find_child(w->topic, n, word, hash);

    if (child != NULL)
        walk_reach(w, child);
    if (n->one != NULL)
        walk_reach(w, n->one);
}

/* Goes one word on. */
static void walk_word(struct walk *w, struct bytes word)
{
    struct pointer_list *reached = w->next;
    uint64_t hash = bytes_hash(word);
    uint32_t any_count = w->any->count; /* those reached by this word do not take it */

    reached->count = 0;
    for (uint32_t i = 0; i < w->now->count; i++)
        walk_step(w, w->now->items[i], word, hash);
    for (uint32_t i = 0; i < any_count; i++)
        walk_step(w, w->any->items[i], word, hash);
    w->next = w->now;
    w->now = reached;
}

static void found_at(const struct pointer_list *nodes, struct route_search *s)
{
    for (uint32_t i = 0; i < nodes->count; i++) {
        const struct topic_node *n = nodes->items[i];

        if (n->bindings.count != 0)
            route_search_found_set(s, &n->bindings);
    }
}

static void match_patterns(const struct topic *t, struct bytes key, struct route_search *s)
{
    struct words words = words_of(key);
    struct walk w = {
        .topic = t,
        .now = &s->nodes[0],
        .next = &s->nodes[1],
        .any = &s->nodes[2],
        .seen = &s->seen_nodes,
    };
    struct bytes word;

    pointer_set_reset(w.seen);
    w.any->count = 0;
    w.next->count = 0;
    walk_reach(&w, t->root);
    w.now = &s->nodes[1];
    w.next = &s->nodes[0];
    while ((w.now->count != 0 || w.any->count != 0) && words_next(&words, &word))
        walk_word(&w, word);
    found_at(w.now, s);
    found_at(w.any, s);
}

static bool has_patterns(const struct topic *t)
{
    return t->root->child_count != 0 || t->root->one != NULL || t->root->any != NULL;
}

static void topic_match(const void *state, struct route_search *s)
{
    const struct topic *t = state;

    for (uint32_t i = 0; i < s->request->routing_key_count; i++) {
        struct bytes key = s->request->routing_keys[i];

        binding_key_match(&t->literals, key, s);
        if (has_patterns(t))
            match_patterns(t, key, s);
    }
}

const struct exchange_router exchange_topic = {
    .type = "topic",
    .state_size = sizeof(struct topic),
    .init = topic_init,
    .clear = topic_clear,
    .add = topic_add,
    .remove = topic_remove,
    .match = topic_match,
};
