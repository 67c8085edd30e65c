#include "server/reload.h"

#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint64_t asked;    /* how often */
    uint64_t answered; /* of these */
    char *problems;    /* of the last reload; NULL: none */
    bool closed;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};

int reload_ask(char **problems)
{
    uint64_t mine;
    int rc = 0;

    *problems = NULL;
    pthread_mutex_lock(&state.lock);
    mine = ++state.asked;
    if (!state.closed)
        kill(getpid(), SIGHUP);
    while (!state.closed && state.answered < mine)
        pthread_cond_wait(&state.ended, &state.lock);
    if (state.answered < mine) {
        rc = -ESHUTDOWN;
    } else if (state.problems != NULL) {
        *problems = strdup(state.problems);
        rc = -EINVAL;
    }
    pthread_mutex_unlock(&state.lock);
    return rc;
}

uint64_t reload_begin(void)
{
    uint64_t asked;

    pthread_mutex_lock(&state.lock);
    asked = state.asked;
    pthread_mutex_unlock(&state.lock);
    return asked;
}

void reload_end(uint64_t begun, struct bytes problems)
{
    char *text = NULL;

    if (problems.size != 0) {
        text = memory_alloc(problems.size + 1);
        memcpy(text, problems.data, problems.size);
        text[problems.size] = '\0';
    }
    pthread_mutex_lock(&state.lock);
    free(state.problems);
    state.problems = text;
    state.answered = begun;
    pthread_cond_broadcast(&state.ended);
    pthread_mutex_unlock(&state.lock);
}

void reload_close(void)
{
    pthread_mutex_lock(&state.lock);
    state.closed = true;
    free(state.problems);
    state.problems = NULL;
    pthread_cond_broadcast(&state.ended);
    pthread_mutex_unlock(&state.lock);
}
