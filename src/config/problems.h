/* What is wrong with a configuration: a list of places and messages. Owns its texts. One thread at
 * a time. */
#ifndef LEVERET_CONFIG_PROBLEMS_H
#define LEVERET_CONFIG_PROBLEMS_H

#include <stddef.h>
#include <stdio.h>

enum {
    /* Problems beyond these are counted, not kept. */
    CONFIG_PROBLEMS_MAX = 100,
};

struct config_problem {
    char *file;
    unsigned line; /* from 1; 0: the file as a whole */
    char *message;
};

struct config_problems {
    struct config_problem *items; /* in the order of their lines once the load is done */
    size_t count;
    size_t capacity;
    size_t dropped; /* how many came after the list was full */
};

/* An empty list; allocates nothing. */
void config_problems_init(struct config_problems *p);

/* Frees everything; the list is empty and usable again. */
void config_problems_free(struct config_problems *p);

/* Adds a problem; the texts are copied. */
void config_problems_add(struct config_problems *p, const char *file, unsigned line,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* How many were added so far, the dropped ones included. */
size_t config_problems_total(const struct config_problems *p);

/* Puts the problems in the order of file and line, those of one line as they were added. */
void config_problems_sort(struct config_problems *p);

/* One problem as `file:line: message` (`file: message` when it has no line), on the heap: the
 * caller frees it. Control characters are escaped. */
char *config_problem_text(const struct config_problem *problem);

/* Prints each problem on its own line, and a last line when some were dropped. */
void config_problems_print(const struct config_problems *p, FILE *out);

#endif
