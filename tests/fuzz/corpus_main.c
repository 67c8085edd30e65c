/* Runs a fuzz target over files instead of a fuzzer's inventions: links with any compiler, and
 * makes each corpus a normal test.
 *
 * usage: fuzz_NAME [FILE | DIRECTORY ...]
 *
 * Without arguments the files are those of $top_srcdir/tests/fuzz/corpus/NAME. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH_SIZE 4096

static size_t inputs_run;

static bool complain(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return false;
}

/* The input gets memory of exactly its size, so that a sanitizer sees a read behind it. */
static bool run_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size != 0 ? size : 1);
    FILE *f = fopen(path, "re");
    bool complete = false;

    if (f == NULL || data == NULL) {
        complain(path);
        goto done;
    }
    complete = fread(data, 1, size, f) == size;
    if (!complete) {
        complain(path);
        goto done;
    }
    LLVMFuzzerTestOneInput(data, size);
    inputs_run++;

done:
    if (f != NULL)
        fclose(f);
    free(data);
    return complete;
}

static bool run_path(const char *path);

static bool run_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    bool all_ran = true;

    if (directory == NULL)
        return complain(path);
    while ((entry = readdir(directory)) != NULL) {
        char name[PATH_SIZE];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        all_ran = run_path(name) && all_ran;
    }
    closedir(directory);
    return all_ran;
}

static bool run_path(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return complain(path);
    return S_ISDIR(st.st_mode) ? run_directory(path) : run_file(path, (size_t)st.st_size);
}

/* corpus/NAME for a program called fuzz_NAME. */
static bool run_own_corpus(const char *program)
{
    const char *top_srcdir = getenv("top_srcdir");
    const char *slash = strrchr(program, '/');
    const char *name = slash != NULL ? slash + 1 : program;
    char path[PATH_SIZE];

    if (strncmp(name, "fuzz_", strlen("fuzz_")) == 0)
        name += strlen("fuzz_");
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top_srcdir != NULL ? top_srcdir : ".",
             name);
    return run_path(path);
}

int main(int argc, char **argv)
{
    bool all_ran = true;

    if (argc < 2)
        all_ran = run_own_corpus(argv[0]);
    for (int i = 1; i < argc; i++)
        all_ran = run_path(argv[i]) && all_ran;

    printf("%zu inputs\n", inputs_run);
    return all_ran && inputs_run != 0 ? 0 : 1;
}
