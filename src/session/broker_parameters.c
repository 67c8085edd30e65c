#include "session/broker_parameters.h"

#include "base/arena.h"
#include "base/memory.h"
#include "session/broker.h"

#include <stdlib.h>

struct parameter {
    struct list_node in_all;
    struct arena arena;
    struct parameter_definition definition;
    struct value value;
};

void broker_parameters_init(struct broker_parameters *p)
{
    pthread_mutex_init(&p->lock, NULL);
    list_init(&p->all);
}

static void free_parameter(struct parameter *p)
{
    list_remove(&p->in_all);
    arena_free(&p->arena);
    free(p);
}

void broker_parameters_release(struct broker_parameters *p)
{
    list_for_each_safe(&p->all, node)
        free_parameter(container_of(node, struct parameter, in_all));
    pthread_mutex_destroy(&p->lock);
}

static struct parameter *find(const struct broker_parameters *all, struct bytes vhost,
                              struct bytes component, struct bytes name)
{
    list_for_each(&all->all, node) {
        struct parameter *p = container_of(node, struct parameter, in_all);

        if (bytes_equal(p->definition.name, name) &&
            bytes_equal(p->definition.component, component) &&
            bytes_equal(p->definition.vhost, vhost))
            return p;
    }
    return NULL;
}

static void add(struct broker_parameters *all, const struct parameter_definition *d)
{
    struct parameter *p = memory_alloc_zeroed(1, sizeof(*p));

    arena_init(&p->arena);
    p->value = value_copy(&p->arena, d->value);
    p->definition = (struct parameter_definition){
        .vhost = arena_copy(&p->arena, d->vhost),
        .component = arena_copy(&p->arena, d->component),
        .name = arena_copy(&p->arena, d->name),
        .value = &p->value,
    };
    list_append(&all->all, &p->in_all);
}

enum parameter_change broker_parameter_put(struct broker *b, const struct parameter_definition *p)
{
    struct broker_parameters *all = &b->parameters;
    enum parameter_change change = PARAMETER_CREATED;
    struct parameter *present;

    pthread_mutex_lock(&all->lock);
    present = find(all, p->vhost, p->component, p->name);
    if (present != NULL)
        change = value_equal(&present->value, p->value) ? PARAMETER_UNCHANGED : PARAMETER_UPDATED;
    if (change != PARAMETER_UNCHANGED) {
        if (present != NULL)
            free_parameter(present);
        add(all, p);
        if (b->definitions != NULL)
            definitions_add_parameter(b->definitions, p, (struct definitions_done){.call = NULL});
    }
    pthread_mutex_unlock(&all->lock);
    return change;
}

bool broker_parameter_clear(struct broker *b, struct bytes vhost, struct bytes component,
                            struct bytes name)
{
    struct broker_parameters *all = &b->parameters;
    struct parameter *present;

    pthread_mutex_lock(&all->lock);
    present = find(all, vhost, component, name);
    if (present != NULL) {
        free_parameter(present);
        if (b->definitions != NULL)
            definitions_remove_parameter(b->definitions, vhost, component, name,
                                         (struct definitions_done){.call = NULL});
    }
    pthread_mutex_unlock(&all->lock);
    return present != NULL;
}

void broker_parameters_forget_vhost(struct broker *b, struct bytes vhost)
{
    struct broker_parameters *all = &b->parameters;

    pthread_mutex_lock(&all->lock);
    list_for_each_safe(&all->all, node) {
        struct parameter *p = container_of(node, struct parameter, in_all);

        if (bytes_equal(p->definition.vhost, vhost))
            free_parameter(p);
    }
    pthread_mutex_unlock(&all->lock);
}

void broker_parameters_each(struct broker *b,
                            void (*visit)(const struct parameter_definition *p, void *context),
                            void *context)
{
    struct broker_parameters *all = &b->parameters;

    pthread_mutex_lock(&all->lock);
    list_for_each(&all->all, node)
        visit(&container_of(node, struct parameter, in_all)->definition, context);
    pthread_mutex_unlock(&all->lock);
}

void broker_parameter_restore(struct broker *b, const struct parameter_definition *p)
{
    if (!bytes_equal_string(p->component, PARAMETER_VHOST_LIMITS) &&
        !bytes_equal_string(p->component, PARAMETER_USER_LIMITS))
        add(&b->parameters, p);
}
