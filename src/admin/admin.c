#include "admin/admin.h"

#include "base/bytes.h"
#include "base/log.h"
#include "session/audit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 64,
};

/* ---- The socket ---- */

/* Whether somebody answers there. */
static bool is_served(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool served;

    if (fd < 0)
        return false;
    served = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    close(fd);
    return served;
}

/* What a broker left that did not end properly goes; anything else stays. */
static int make_room(const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    if (is_served(address))
        return -EADDRINUSE;
    return unlink(address->sun_path) < 0 ? -errno : 0;
}

/* Nobody can connect before it listens, and by then its mode is set. Returns the descriptor or
 * -errno. */
static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    rc = make_room(&address);
    if (rc < 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, S_IRUSR | S_IWUSR) < 0 || listen(fd, BACKLOG) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* ---- The thread ---- */

static void *run(void *argument)
{
    struct admin *a = argument;

    audit_set_origin("the admin socket");
    http_run(&a->http, a->stop_fd);
    return NULL;
}

static int start_thread(struct admin *a)
{
    sigset_t all;
    sigset_t old;
    int rc;

    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&a->thread, NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        pthread_setname_np(a->thread, "admin");
    return -rc;
}

static int start(struct admin *a, struct broker *b)
{
    int rc;
    int fd = open_socket(a->path);

    if (fd < 0)
        return fd;
    rc = http_start(&a->http, fd, b, &a->asker);
    if (rc < 0)
        goto fail_socket;
    a->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (a->stop_fd < 0) {
        rc = -errno;
        goto fail_http;
    }
    rc = start_thread(a);
    if (rc == 0)
        return 0;

    close(a->stop_fd);
fail_http:
    http_stop(&a->http);
fail_socket:
    unlink(a->path);
    return rc;
}

int admin_start(struct admin *a, struct broker *b, const char *path)
{
    int rc;

    *a = (struct admin){.path = bytes_to_string(bytes_from_string(path))};
    asker_init(&a->asker, b);
    rc = start(a, b);
    if (rc < 0) {
        log_error("admin", "no admin socket at %s: %s", path, strerror(-rc));
        asker_release(&a->asker);
        free(a->path);
        return rc;
    }
    a->running = true;
    return 0;
}

void admin_stop(struct admin *a)
{
    const uint64_t one = 1;

    if (!a->running)
        return;
    if (write(a->stop_fd, &one, sizeof(one)) < 0)
        abort();
    pthread_join(a->thread, NULL);
    http_stop(&a->http);
    close(a->stop_fd);
    unlink(a->path);
    asker_release(&a->asker);
    free(a->path);
    a->running = false;
}
