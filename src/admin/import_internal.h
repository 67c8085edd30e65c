/* What the parts of an import share. */
#ifndef LEVERET_ADMIN_IMPORT_INTERNAL_H
#define LEVERET_ADMIN_IMPORT_INTERNAL_H

#include "admin/ask.h"
#include "admin/definition_reader.h"
#include "admin/import.h"
#include "admin/import_queues.h"
#include "store/definitions.h"

#include <stdint.h>

struct broker;
struct vhost;

struct import {
    struct asker *asker;
    struct broker *broker;
    struct import_report *report;
    struct import_queues queues; /* that wait for their workers */
    uint32_t next_worker;        /* for the next exchange */
};

enum import_change {
    IMPORT_CREATED,
    IMPORT_UPDATED,
    IMPORT_UNCHANGED,
};

/* Counts an object, and one that could not be made, with the reason. */
void import_count(struct import *im, enum definition_section section, enum import_change change);
void import_fail(struct import *im, enum definition_section section, const char *place,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The virtual host of the record, or NULL after telling that there is none. */
struct vhost *import_vhost_of(struct import *im, const struct definition_record *r,
                              const char *place);

/* Keeps a parameter. */
enum import_change import_put_parameter(struct import *im, const struct parameter_definition *p);

/* Sections with a file of their own. */
void import_user(struct import *im, const struct definition_record *r, const char *place);
void import_permission(struct import *im, const struct definition_record *r, const char *place);
void import_topic_permission(struct import *im, const struct definition_record *r,
                             const char *place);

#endif
