/* Bringing definitions into a running broker: each object is made wholly or not at all; what is
 * there already and the same stays, what differs is told. Running it twice changes nothing more. */
#ifndef LEVERET_ADMIN_IMPORT_H
#define LEVERET_ADMIN_IMPORT_H

#include "admin/ask.h"
#include "admin/definition_reader.h"
#include "base/bytes.h"

#include <jansson.h>
#include <stddef.h>

/* What became of the objects of a section. */
struct import_counts {
    unsigned created;
    unsigned updated; /* was there, with other values that can be changed */
    unsigned unchanged;
    unsigned failed;
};

struct import_report {
    struct import_counts counts[DEFINITION_SECTIONS];
    json_t *problems;       /* [{"place": …, "reason": …}] */
    json_t *not_understood; /* likewise */
};

/* Imports definitions in RabbitMQ's JSON format; objects without a virtual host go to `vhost`
 * (empty: that is a fault). Returns when all that was made is committed: 0 with the report filled
 * (to be released), whatever it says; -EINVAL when the text is no definitions, or another -errno
 * when they could not be committed, with one line in `error` and nothing to release. The workers
 * run. */
int import_definitions(struct asker *a, struct bytes text, struct bytes vhost,
                       struct import_report *report, char *error, size_t error_size);

void import_report_release(struct import_report *r);

/* The report as the API answers it. The caller owns it. */
json_t *import_report_json(const struct import_report *r);

/* Imports the file at `path` and logs the report, each problem with file and place, for
 * load_definitions. Returns 0, or -errno after logging when the file could not be taken at all. */
int import_file(struct asker *a, const char *path);

#endif
