#include "tests/fault/faults.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/wire/harness.h"

static char control[512];

void faults_set(const char *fault)
{
    char next[520];
    FILE *f;

    snprintf(next, sizeof(next), "%s.new", control);
    f = fopen(next, "we");
    ck_assert_ptr_nonnull(f);
    fputs(fault, f);
    fclose(f);
    ck_assert_int_eq(rename(next, control), 0);
}

struct broker *faults_launch(const char *config, int workers)
{
    const char *top = getenv("top_builddir");
    struct broker *b = broker_prepare();
    char library[1024];

    snprintf(library, sizeof(library), "%s/tests/fault/disk_faults.so", top != NULL ? top : ".");
    ck_assert_msg(access(library, R_OK) == 0, "there is no %s", library);
    snprintf(control, sizeof(control), "%s/control", scratch_directory());
    faults_set("-");
    setenv("LEVERET_DISK_FAULTS", control, 1);
    setenv("LEVERETD_PRELOAD", library, 1);
    broker_launch(b, config, workers);
    return b;
}

void faults_restart(struct broker *b, const char *config, int workers)
{
    unsetenv("LEVERETD_PRELOAD");
    ck_assert(broker_kill(b));
    broker_launch(b, config, workers);
}
