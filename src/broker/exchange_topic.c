/* The topic exchange: keys and patterns of words between dots, `*` for one word, `#` for any
 * number of them (AMQP 0-9-1 §3.1.3.3; RabbitMQ "Topics").
 *
 * Patterns without wildcards are filed by their whole text, the others in a trie of words. Nodes
 * are only made where patterns part: below the last one, a pattern whose rest can be compared
 * word by word is filed as a leaf, which is the binding itself. All children share one hash table
 * keyed by parent and word: a step costs one look-up however many children there are, and a
 * binding found through a leaf is all that is read below the common part.
 *
 * The trie is walked with the set of nodes that the words so far can lead to, so that a key costs
 * at most its words times the nodes it can reach, however patterns are built. */
#include "base/memory.h"
#include "broker/binding.h"
#include "broker/binding_key.h"
#include "broker/exchange_router.h"
#include "broker/route.h"

#include <assert.h>
#include <stdlib.h>

/* A node is there while a binding's pattern leads over it. */
struct topic_node {
    struct key_link by_word; /* `value` is the parent */
    struct key_set bindings; /* whose patterns end here */
    struct topic_node *one;  /* the child for `*` */
    struct topic_node *any;  /* the child for `#` */
    uint32_t child_count;    /* children by word, leaves included */
    uint16_t rest_at;        /* where the next word begins in patterns that lead here */
    uint8_t word_size;
    uint8_t word[];
};

/* What a link in the table of children belongs to. */
enum child_kind {
    CHILD_LEAVES, /* the bindings with one pattern */
    CHILD_NODE,
};

struct topic {
    struct key_index literals;
    struct key_index children;
    struct topic_node *root;
};

/* A child by its parent and word. */
struct child_key {
    const struct topic_node *parent;
    struct bytes word;
};

static struct topic_node *topic_node_from_link(const struct key_link *link)
{
    return (struct topic_node *)((uintptr_t)link - offsetof(struct topic_node, by_word));
}

static struct topic_node *topic_node_parent(const struct topic_node *n)
{
    return (struct topic_node *)n->by_word.value;
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

/* The words from `at` on, which is where a word begins, or one behind the end for none. */
static struct words words_from(struct bytes key, size_t at)
{
    if (at > key.size)
        return (struct words){.more = false};
    return (struct words){.at = key.data + at, .end = key.data + key.size, .more = true};
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

/* Whether words can be compared with these one by one: `#` is at the end, if anywhere. */
static bool is_plain(struct words rest)
{
    struct bytes word;

    while (words_next(&rest, &word)) {
        if (is_any(word))
            return !rest.more;
    }
    return true;
}

/* Holds the rest of a key against the plain rest of a pattern. */
static bool plain_matches(struct words pattern, struct words key)
{
    struct bytes wanted;
    struct bytes word;

    while (words_next(&pattern, &wanted)) {
        if (is_any(wanted))
            return true;
        if (!words_next(&key, &word) || (!is_one(wanted) && !bytes_equal(wanted, word)))
            return false;
    }
    return !key.more;
}

/* Children */

/* The hash of a child, from that of its word. */
static uint32_t child_hash(const struct topic_node *parent, uint64_t word_hash)
{
    return (uint32_t)((((uint64_t)(uintptr_t)parent ^ word_hash) * 0x9e3779b97f4a7c15u) >> 32);
}

/* Whether a pattern leads over `n` to a word below it. The ancestors were just read: this costs no
 * memory access that is not at hand. */
static bool leads_over(struct bytes pattern, const struct topic_node *n)
{
    if (pattern.size < n->rest_at)
        return false;
    for (; topic_node_parent(n) != NULL; n = topic_node_parent(n)) {
        size_t dot = (size_t)n->rest_at - 1;

        if (pattern.data[dot] != '.' ||
            memcmp(pattern.data + dot - n->word_size, n->word, n->word_size) != 0)
            return false;
    }
    return true;
}

static bool child_same(const struct key_link *link, const void *key)
{
    const struct child_key *k = key;
    struct words rest;
    struct bytes pattern;
    struct bytes word;

    if (link->tag == CHILD_NODE)
        return topic_node_parent(topic_node_from_link(link)) == k->parent &&
               bytes_equal(topic_node_word(topic_node_from_link(link)), k->word);
    pattern = binding_key(binding_from_link(link));
    rest = words_from(pattern, k->parent->rest_at);
    return words_next(&rest, &word) && bytes_equal(word, k->word) && leads_over(pattern, k->parent);
}

/* What is below `parent` under a word: one node, or leaves. */
static struct key_set *find_child(const struct topic *t, const struct topic_node *parent,
                                  struct bytes word, uint64_t word_hash)
{
    struct child_key key = {.parent = parent, .word = word};

    if (parent->child_count == 0)
        return NULL;
    return key_index_find(&t->children, child_hash(parent, word_hash), child_same, &key);
}

static void prefetch_children(const struct topic *t, const struct pointer_list *nodes,
                              uint64_t word_hash)
{
    for (uint32_t i = 0; i < nodes->count; i++) {
        const struct topic_node *n = nodes->items[i];

        if (n->child_count != 0)
            key_index_prefetch(&t->children, child_hash(n, word_hash));
    }
}

static bool is_node(const struct key_set *child)
{
    return child->count == 1 && child->one->tag == CHILD_NODE;
}

static struct bytes leaf_pattern(const struct key_set *child)
{
    return binding_key(binding_from_link(key_set_link(child, 0)));
}

static struct topic_node *node_create(struct topic_node *parent, struct bytes word)
{
    struct topic_node *n = memory_alloc_zeroed(1, sizeof(struct topic_node) + word.size);

    n->by_word = (struct key_link){.value = (uintptr_t)parent, .tag = CHILD_NODE};
    n->rest_at = parent != NULL ? (uint16_t)(parent->rest_at + word.size + 1) : 0;
    n->word_size = (uint8_t)word.size;
    if (word.size != 0)
        memcpy(n->word, word.data, word.size);
    return n;
}

static struct topic_node *need_wildcard(struct topic_node *parent, struct bytes word)
{
    struct topic_node **child = is_one(word) ? &parent->one : &parent->any;

    if (*child == NULL)
        *child = node_create(parent, word);
    return *child;
}

static void add_child(struct topic *t, struct topic_node *parent, struct bytes word,
                      const struct key_set *child)
{
    key_index_add_set(&t->children, child, child_hash(parent, bytes_hash(word)));
    parent->child_count++;
}

static struct topic_node *add_node(struct topic *t, struct topic_node *parent, struct bytes word)
{
    struct topic_node *n = node_create(parent, word);
    struct key_set child = {.count = 0};

    key_set_add(&child, &n->by_word);
    add_child(t, parent, word, &child);
    return n;
}

static void file_bindings(struct topic *t, struct topic_node *n, struct bytes pattern,
                          const struct key_set *bindings);

/* Puts a node where leaves are, and them below it: another pattern parts from theirs. */
static struct topic_node *part_leaves(struct topic *t, struct topic_node *parent, struct bytes word,
                                      struct key_set *leaves)
{
    struct topic_node *n = node_create(parent, word);
    struct key_set moved = *leaves;

    leaves->count = 0;
    key_set_add(leaves, &n->by_word);
    file_bindings(t, n, leaf_pattern(&moved), &moved);
    return n;
}

/* The node below `n` to go on from with a pattern, made when it is not there; or NULL when the
 * pattern ends in the table: `*leaves` are then those it has there, NULL when it has none yet. */
static struct topic_node *next_node(struct topic *t, struct topic_node *n, struct bytes pattern,
                                    struct bytes word, struct key_set **leaves)
{
    struct words rest = words_from(pattern, (size_t)n->rest_at + word.size + 1);
    struct key_set *child;

    *leaves = NULL;
    if (is_one(word) || is_any(word))
        return need_wildcard(n, word);
    child = find_child(t, n, word, bytes_hash(word));
    if (child == NULL)
        return is_plain(rest) ? NULL : add_node(t, n, word);
    if (is_node(child))
        return topic_node_from_link(child->one);
    if (!bytes_equal(leaf_pattern(child), pattern))
        return part_leaves(t, n, word, child);
    *leaves = child;
    return NULL;
}

/* Adds the links of a set that is new (one link, or parted leaves whose place is new). */
static void join(struct key_set *to, const struct key_set *from)
{
    if (to->count == 0) {
        *to = *from;
        return;
    }
    assert(from->count == 1);
    key_set_add(to, from->one);
}

/* Files the bindings of one pattern, which leads over `n`, at `n` or below. */
static void file_bindings(struct topic *t, struct topic_node *n, struct bytes pattern,
                          const struct key_set *bindings)
{
    struct words rest = words_from(pattern, n->rest_at);
    struct key_set *leaves;
    struct bytes word;

    while (words_next(&rest, &word)) {
        struct topic_node *next = next_node(t, n, pattern, word, &leaves);

        if (next == NULL && leaves != NULL) {
            join(leaves, bindings);
            return;
        }
        if (next == NULL) {
            add_child(t, n, word, bindings);
            return;
        }
        n = next;
    }
    join(&n->bindings, bindings);
}

static void unlink_node(struct topic *t, struct topic_node *parent, struct topic_node *n)
{
    if (parent->one == n) {
        parent->one = NULL;
    } else if (parent->any == n) {
        parent->any = NULL;
    } else {
        struct bytes word = topic_node_word(n);

        key_index_remove(&t->children, find_child(t, parent, word, bytes_hash(word)), &n->by_word);
        parent->child_count--;
    }
}

/* Frees `n` and its ancestors up to the first that some pattern still leads over. */
static void prune(struct topic *t, struct topic_node *n)
{
    while (n != t->root && n->bindings.count == 0 && n->child_count == 0 && n->one == NULL &&
           n->any == NULL) {
        struct topic_node *parent = topic_node_parent(n);

        unlink_node(t, parent, n);
        free(n);
        n = parent;
    }
}

static void take_out(struct topic *t, struct binding *b)
{
    struct words words = words_of(binding_key(b));
    struct topic_node *n = t->root;
    struct bytes word;

    while (words_next(&words, &word)) {
        struct key_set *child;

        if (is_one(word) || is_any(word)) {
            n = is_one(word) ? n->one : n->any;
            continue;
        }
        child = find_child(t, n, word, bytes_hash(word));
        if (!is_node(child)) {
            if (key_index_remove(&t->children, child, &b->link))
                n->child_count--;
            prune(t, n);
            return;
        }
        n = topic_node_from_link(child->one);
    }
    key_set_remove(&n->bindings, &b->link);
    prune(t, n);
}

static void topic_init(void *state, const struct table *arguments)
{
    struct topic *t = state;

    (void)arguments;
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
    struct key_set alone = {.count = 0};

    if (!has_wildcard(binding_key(b))) {
        binding_key_add(&t->literals, b);
        return;
    }
    b->link.tag = CHILD_LEAVES;
    key_set_add(&alone, &b->link);
    file_bindings(t, t->root, binding_key(b), &alone);
}

static void topic_remove(void *state, struct binding *b)
{
    struct topic *t = state;

    if (has_wildcard(binding_key(b)))
        take_out(t, b);
    else
        binding_key_remove(&t->literals, b);
}

/* The nodes that the words so far lead to. A `#` node that is reached stays reached: it may take
 * each word to come. Any other node has one parent and one word that lead to it, so that it is
 * reached once a word at most. */
struct walk {
    const struct topic *topic;
    struct route_search *search;
    struct pointer_list *now;
    struct pointer_list *next;
    struct pointer_list *any;
    struct pointer_set *seen; /* the nodes in `any`, and leaves that were found below them */
};

/* Reaches a node, and over it its `#` child, which may stand for no word at all. */
static void walk_reach(struct walk *w, const struct topic_node *n)
{
    pointer_list_append(w->next, n);
    for (n = n->any; n != NULL && pointer_set_add(w->seen, n); n = n->any)
        pointer_list_append(w->any, n);
}

/* Below a `#` the same leaves may match at several words; they are found once. */
static void walk_leaves(struct walk *w, const struct key_set *leaves, size_t rest_at,
                        struct words rest)
{
    if (!plain_matches(words_from(leaf_pattern(leaves), rest_at), rest))
        return;
    if (w->any->count == 0 || pointer_set_add(w->seen, key_set_link(leaves, 0)))
        route_search_found_set(w->search, leaves);
}

static void walk_step(struct walk *w, const struct topic_node *n, struct bytes word, uint64_t hash,
                      struct words rest)
{
    const struct key_set *child = find_child(w->topic, n, word, hash);

    if (child != NULL && is_node(child))
        walk_reach(w, topic_node_from_link(child->one));
    else if (child != NULL)
        walk_leaves(w, child, (size_t)n->rest_at + word.size + 1, rest);
    if (n->one != NULL)
        walk_reach(w, n->one);
}

/* Goes one word on; `rest` is what is behind it. The children of all nodes are fetched at once: in
 * a large exchange each is a wait for memory. */
static void walk_word(struct walk *w, struct bytes word, struct words rest)
{
    struct pointer_list *reached = w->next;
    uint64_t hash = bytes_hash(word);
    uint32_t any_count = w->any->count; /* those reached by this word do not take it */

    reached->count = 0;
    prefetch_children(w->topic, w->now, hash);
    prefetch_children(w->topic, w->any, hash);
    for (uint32_t i = 0; i < w->now->count; i++)
        walk_step(w, w->now->items[i], word, hash, rest);
    for (uint32_t i = 0; i < any_count; i++)
        walk_step(w, w->any->items[i], word, hash, rest);
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
        .search = s,
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
        walk_word(&w, word, words);
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
        uint32_t hash = binding_key_hash(key);

        key_index_prefetch(&t->literals, hash);
        if (has_patterns(t))
            match_patterns(t, key, s);
        binding_key_match_hashed(&t->literals, key, hash, s);
    }
}

/* A node with more children than this has them in memory that is hardly at hand. */
#define MANY_CHILDREN 64u

/* Goes down where all is at hand, and notes where a walk will look below. */
static void look_below(const struct topic *t, const struct topic_node *n, struct words rest,
                       struct route_hint *hint)
{
    struct bytes word;

    while (n != NULL && words_next(&rest, &word)) {
        const struct key_set *child;
        uint64_t hash;

        if (n->one != NULL)
            look_below(t, n->one, rest, hint);
        if (n->child_count == 0)
            return;
        hash = bytes_hash(word);
        if (n->child_count > MANY_CHILDREN) {
            route_hint_add(hint, &t->children, child_hash(n, hash));
            return;
        }
        child = find_child(t, n, word, hash);
        n = child != NULL && is_node(child) ? topic_node_from_link(child->one) : NULL;
    }
}

static void topic_look_ahead(const void *state, struct bytes routing_key, struct route_hint *hint)
{
    const struct topic *t = state;

    if (t->literals.used > MANY_CHILDREN)
        route_hint_add(hint, &t->literals, binding_key_hash(routing_key));
    if (t->children.used > MANY_CHILDREN)
        look_below(t, t->root, words_of(routing_key), hint);
}

const struct exchange_router exchange_topic = {
    .type = "topic",
    .state_size = sizeof(struct topic),
    .init = topic_init,
    .clear = topic_clear,
    .add = topic_add,
    .remove = topic_remove,
    .match = topic_match,
    .look_ahead = topic_look_ahead,
};
