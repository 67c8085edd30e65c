/* Loaded into a broker with LD_PRELOAD: leaks memory, LEVERET_SOAK_LEAK KiB a minute, so that the
 * soak test can be held to finding it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *leak(void *unused)
{
    const char *rate = getenv("LEVERET_SOAK_LEAK");
    size_t bytes_per_second = rate == NULL ? 0 : (size_t)strtoul(rate, NULL, 10) * 1024 / 60;
    const struct timespec second = {.tv_sec = 1};

    if (bytes_per_second == 0)
        return unused;
    for (;;) {
        char *volatile lost = malloc(bytes_per_second);

        if (lost != NULL)
            memset(lost, 1, bytes_per_second);
        nanosleep(&second, NULL);
    }
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, leak, NULL) == 0)
        pthread_detach(thread);
}
