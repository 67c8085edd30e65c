#include "store/data_directory.h"

#include "base/bytes.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char STAMP[] = "leveret.format";
static const char STAMP_UNFINISHED[] = "leveret.format.new";
static const char LOCK[] = "leveret.lock";
static const char DEFINITIONS[] = "definitions.sqlite";
static const char JOURNAL[] = "journal";
static const char PAGED[] = "paged";

enum {
    DIRECTORY_MODE = 0750,
    FILE_MODE = 0640,
    STAMP_SIZE_MAX = 64,
};

/* What is being opened, and what must be undone when it is refused. */
struct opening {
    const char *path;
    char *error;
    size_t error_size;
    int fd; /* of the directory */
    int lock_fd;
    bool made_directory;
    bool made_lock;
};

/* Sets the line to "PATH: …" and returns `rc`. */
static int refuse(const struct opening *o, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(const struct opening *o, int rc, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(o->error, o->error_size, "%s: ", o->path);

    if (used >= 0 && (size_t)used < o->error_size) {
        va_start(arguments, format);
        vsnprintf(o->error + used, o->error_size - (size_t)used, format, arguments);
        va_end(arguments);
    }
    return rc;
}

/* ---- Looking at it ---- */

static int open_directory(struct opening *o)
{
    int rc;

    /* What was made a moment ago is there itself, no matter who may write above it. */
    o->fd =
        open(o->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (o->made_directory ? O_NOFOLLOW : 0));
    if (o->fd >= 0)
        return 0;
    rc = -errno;
    if (rc == -ENOTDIR)
        return refuse(o, rc, "is not a directory");
    return refuse(o, rc, "cannot be opened: %s", strerror(-rc));
}

/* Its own stamp is looked for by itself; the others are there when a start was cut short, or, like
 * lost+found, in every new file system. */
static bool is_harmless(const char *name)
{
    static const char *const NAMES[] = {".", "..", "lost+found", LOCK, STAMP_UNFINISHED};

    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    }
    return false;
}

/* A listing of the directory `fd`, whose offset is its own. Returns NULL and sets errno. */
static DIR *list(int fd, const char *name)
{
    int own = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir;

    if (own < 0)
        return NULL;
    dir = fdopendir(own);
    if (dir == NULL)
        close(own);
    return dir;
}

/* Refuses a directory without a stamp that holds what is not ours. */
static int check_empty(const struct opening *o)
{
    DIR *dir = list(o->fd, ".");
    const struct dirent *entry;
    int rc = 0;

    if (dir == NULL)
        return refuse(o, -errno, "cannot be read: %s", strerror(errno));
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (!is_harmless(entry->d_name))
            rc = refuse(o, -ENOTEMPTY,
                        "is not a data directory of leveret (no %s), and is not empty: it holds %s",
                        STAMP, entry->d_name);
    }
    if (rc == 0 && errno != 0)
        rc = refuse(o, -errno, "cannot be read: %s", strerror(errno));
    closedir(dir);
    return rc;
}

static ssize_t read_small(int fd, char *out, size_t size)
{
    ssize_t n;

    do
        n = pread(fd, out, size - 1, 0);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        out[n] = '\0';
    return n;
}

static int parse_stamp(const struct opening *o, const char *text)
{
    static const char prefix[] = "leveret data ";
    const char *digits = text + sizeof(prefix) - 1;
    unsigned long version = 0;
    char *end = NULL;

    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0 && *digits >= '1' && *digits <= '9')
        version = strtoul(digits, &end, 10);
    if (end == NULL || strcmp(end, "\n") != 0)
        return refuse(o, -EBADMSG, "%s does not hold a format's version", STAMP);
    if (version > DATA_DIRECTORY_FORMAT)
        return refuse(o, -ENOTSUP, "has format %lu, newer than this leveret's %d", version,
                      DATA_DIRECTORY_FORMAT);
    return 0;
}

/* Reads the stamp. Returns 1 when it is a good one, 0 when there is none, or -errno. */
static int check_stamp(const struct opening *o)
{
    char text[STAMP_SIZE_MAX];
    int fd = openat(o->fd, STAMP, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n;
    int rc;

    if (fd < 0) {
        if (errno == ENOENT)
            return 0;
        return refuse(o, -errno, "%s cannot be opened: %s", STAMP, strerror(errno));
    }
    n = read_small(fd, text, sizeof(text));
    if (n < 0)
        rc = refuse(o, -errno, "%s cannot be read: %s", STAMP, strerror(errno));
    else
        rc = parse_stamp(o, text);
    close(fd);
    return rc < 0 ? rc : 1;
}

static bool has_entries(DIR *dir)
{
    const struct dirent *entry;

    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return true;
    }
    return false;
}

/* Journals whose definitions are gone: messages that no queue would take. */
static int check_definitions(const struct opening *o)
{
    struct stat st;
    DIR *journals;
    bool has_journals;

    if (fstatat(o->fd, DEFINITIONS, &st, 0) == 0 && st.st_size > 0)
        return 0;
    journals = list(o->fd, JOURNAL);
    if (journals == NULL)
        return errno == ENOENT ? 0 : refuse(o, -errno, "cannot be read: %s", strerror(errno));
    has_journals = has_entries(journals);
    closedir(journals);
    if (!has_journals)
        return 0;
    return refuse(o, -EBADMSG, "%s is missing or empty, and there are journals", DEFINITIONS);
}

/* ---- Taking it ---- */

static int refuse_locked(const struct opening *o, int fd)
{
    char text[STAMP_SIZE_MAX];
    long pid;

    pid = read_small(fd, text, sizeof(text)) > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        return refuse(o, -EBUSY, "is in use by process %ld", pid);
    return refuse(o, -EBUSY, "is in use by another process");
}

static int write_all(int fd, const char *text)
{
    size_t size = strlen(text);
    size_t done = 0;

    while (done < size) {
        ssize_t n = pwrite(fd, text + done, size - done, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static int open_lock(struct opening *o)
{
    o->lock_fd = openat(o->fd, LOCK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (o->lock_fd >= 0) {
        o->made_lock = true;
        return 0;
    }
    if (errno == EEXIST)
        o->lock_fd = openat(o->fd, LOCK, O_RDWR | O_CLOEXEC);
    if (o->lock_fd < 0)
        return refuse(o, -errno, "cannot be written: %s", strerror(errno));
    return 0;
}

static int lock(struct opening *o)
{
    int rc = open_lock(o);

    if (rc < 0)
        return rc;
    if (flock(o->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    o->made_lock = false; /* it is the other's now */
    o->made_directory = false;
    if (errno == EWOULDBLOCK)
        return refuse_locked(o, o->lock_fd);
    return refuse(o, -errno, "%s cannot be locked: %s", LOCK, strerror(errno));
}

/* For those who find it locked; nothing depends on it. */
static int write_pid(const struct opening *o)
{
    char text[32];
    int rc;

    snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    rc = ftruncate(o->lock_fd, 0) < 0 ? -errno : write_all(o->lock_fd, text);
    return rc < 0 ? refuse(o, rc, "cannot be written: %s", strerror(-rc)) : 0;
}

static int write_stamp_file(const struct opening *o)
{
    char text[STAMP_SIZE_MAX];
    int fd = openat(o->fd, STAMP_UNFINISHED, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    int rc;

    if (fd < 0)
        return -errno;
    snprintf(text, sizeof(text), "leveret data %d\n", DATA_DIRECTORY_FORMAT);
    rc = write_all(fd, text);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    close(fd);
    if (rc == 0 && renameat(o->fd, STAMP_UNFINISHED, o->fd, STAMP) < 0)
        rc = -errno;
    if (rc == 0 && fsync(o->fd) < 0)
        rc = -errno;
    if (rc < 0)
        unlinkat(o->fd, STAMP_UNFINISHED, 0);
    return rc;
}

static int make_subdirectory(const struct opening *o, const char *name)
{
    if (mkdirat(o->fd, name, DIRECTORY_MODE) == 0 || errno == EEXIST)
        return 0;
    return refuse(o, -errno, "cannot be written: %s", strerror(errno));
}

/* The stamp comes first: with it, whatever follows can be made at the next start. */
static int make_layout(const struct opening *o, bool stamped)
{
    int rc = 0;

    if (!stamped) {
        rc = write_stamp_file(o);
        if (rc < 0)
            return refuse(o, rc, "cannot be written: %s", strerror(-rc));
    }
    rc = make_subdirectory(o, JOURNAL);
    if (rc == 0)
        rc = make_subdirectory(o, PAGED);
    if (rc == 0 && fsync(o->fd) < 0)
        rc = refuse(o, -errno, "cannot be synced: %s", strerror(errno));
    if (rc < 0 && !stamped) {
        unlinkat(o->fd, PAGED, AT_REMOVEDIR);
        unlinkat(o->fd, JOURNAL, AT_REMOVEDIR);
        unlinkat(o->fd, STAMP, 0);
    }
    return rc;
}

/* Syncs the directory that holds `path`, so that a new entry in it stays. */
static int sync_parent(const char *path)
{
    size_t size = strlen(path);
    char *parent;
    int fd;
    int rc = 0;

    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    parent = size == 0 ? strdup(".") : strndup(path, size);
    if (parent == NULL)
        return -ENOMEM;
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

static int make_directory(struct opening *o)
{
    int rc;

    if (mkdir(o->path, DIRECTORY_MODE) < 0) {
        if (errno == EEXIST)
            return 0;
        return refuse(o, -errno, "cannot be created: %s", strerror(errno));
    }
    o->made_directory = true;
    rc = sync_parent(o->path);
    return rc < 0 ? refuse(o, rc, "cannot be synced: %s", strerror(-rc)) : 0;
}

/* Looks before it touches, and looks again with the lock in hand: another may have been quicker. */
static int take(struct opening *o)
{
    int stamped;
    int rc = make_directory(o);

    if (rc == 0)
        rc = open_directory(o);
    if (rc < 0)
        return rc;
    stamped = check_stamp(o);
    if (stamped < 0)
        return stamped;
    rc = stamped == 0 ? check_empty(o) : check_definitions(o);
    if (rc == 0)
        rc = lock(o);
    if (rc < 0)
        return rc;
    stamped = check_stamp(o);
    if (stamped < 0)
        return stamped;
    rc = make_layout(o, stamped == 1);
    return rc == 0 ? write_pid(o) : rc;
}

static void undo(struct opening *o)
{
    if (o->made_lock)
        unlinkat(o->fd, LOCK, 0);
    if (o->lock_fd >= 0)
        close(o->lock_fd);
    if (o->fd >= 0)
        close(o->fd);
    if (o->made_directory)
        rmdir(o->path);
}

static struct opening begin(const char *path, char *error, size_t error_size)
{
    return (struct opening){
        .path = path, .error = error, .error_size = error_size, .fd = -1, .lock_fd = -1};
}

int data_directory_open(struct data_directory *d, const char *path, char *error, size_t error_size)
{
    struct opening o = begin(path, error, error_size);
    int rc = take(&o);

    if (rc < 0) {
        undo(&o);
        return rc;
    }
    close(o.fd);
    d->path = bytes_to_string(bytes_from_string(path));
    d->lock_fd = o.lock_fd;
    return 0;
}

/* ---- For another user ---- */

enum {
    PREPARE_DEPTH_MAX = 4, /* of directories in it */
};

/* Refuses what is in the directory `fd` (at `name` in o->path) and not the user's. */
static int check_owner(const struct opening *o, int fd, const char *name, uid_t uid, int depth)
{
    char inner[512];
    struct dirent *entry;
    struct stat st;
    DIR *dir;
    int rc = 0;

    dir = list(fd, ".");
    if (dir == NULL)
        return refuse(o, -errno, "%s cannot be read: %s", name, strerror(errno));
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        int below;

        if (strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, "lost+found") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        snprintf(inner, sizeof(inner), "%s%s%s", name, *name != '\0' ? "/" : "", entry->d_name);
        if (st.st_uid != uid) {
            rc = refuse(o, -EACCES,
                        "%s belongs to uid %ld, and leveretd becomes uid %ld: give "
                        "that the directory and all in it (chown -R)",
                        strcmp(inner, ".") == 0 ? "it" : inner, (long)st.st_uid, (long)uid);
            continue;
        }
        if (!S_ISDIR(st.st_mode) || depth == PREPARE_DEPTH_MAX || strcmp(entry->d_name, ".") == 0)
            continue;
        below = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
            continue;
        rc = check_owner(o, below, inner, uid, depth + 1);
        close(below);
    }
    closedir(dir);
    return rc;
}

int data_directory_prepare(const char *path, uid_t uid, gid_t gid, char *error, size_t error_size)
{
    struct opening o = begin(path, error, error_size);
    int rc = make_directory(&o);

    if (rc == 0)
        rc = open_directory(&o);
    if (rc == 0 && o.made_directory && fchown(o.fd, uid, gid) < 0)
        rc = refuse(&o, -errno, "cannot be given to uid %ld: %s", (long)uid, strerror(errno));
    if (rc == 0)
        rc = check_owner(&o, o.fd, "", uid, 0);
    if (rc < 0)
        undo(&o);
    else
        close(o.fd);
    return rc;
}

void data_directory_close(struct data_directory *d)
{
    close(d->lock_fd);
    free(d->path);
    d->path = NULL;
    d->lock_fd = -1;
}

int data_directory_recognise(const char *path, char *error, size_t error_size)
{
    struct opening o = {.path = path, .error = error, .error_size = error_size, .fd = -1};
    int rc = open_directory(&o);

    if (rc < 0)
        return rc;
    rc = check_stamp(&o);
    if (rc == 0)
        rc = refuse(&o, -ENOENT, "is not a data directory of leveret (no %s)", STAMP);
    close(o.fd);
    return rc < 0 ? rc : 0;
}

int data_directory_stamp(const char *path)
{
    struct opening o = {.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    int rc;

    if (o.fd < 0)
        return -errno;
    rc = write_stamp_file(&o);
    close(o.fd);
    return rc == 0 ? sync_parent(path) : rc;
}

/* ---- Paths ---- */

static char *path_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *path_format(const char *format, ...)
{
    va_list arguments;
    char *out;
    int n;

    va_start(arguments, format);
    n = vasprintf(&out, format, arguments);
    va_end(arguments);
    if (n < 0)
        abort();
    return out;
}

char *data_directory_definitions(const char *path)
{
    return path_format("%s/%s", path, DEFINITIONS);
}

char *data_directory_admin_socket(const char *path)
{
    return path_format("%s/admin.sock", path);
}

char *data_directory_journals(const char *path)
{
    return path_format("%s/%s", path, JOURNAL);
}

char *data_directory_journal(const char *path, uint32_t shard)
{
    return path_format("%s/%s/%" PRIu32, path, JOURNAL, shard);
}

char *data_directory_paged(const char *path, uint32_t shard)
{
    return path_format("%s/%s/%" PRIu32, path, PAGED, shard);
}

static int make_and_free(char *path)
{
    int rc = 0;

    if (mkdir(path, DIRECTORY_MODE) == 0)
        rc = sync_parent(path);
    else if (errno != EEXIST)
        rc = -errno;
    free(path);
    return rc;
}

int data_directory_make_journal(const struct data_directory *d, uint32_t shard)
{
    return make_and_free(data_directory_journal(d->path, shard));
}

int data_directory_make_paged(const struct data_directory *d, uint32_t shard)
{
    return make_and_free(data_directory_paged(d->path, shard));
}

/* ---- Walking ---- */

/* Reads a shard's number as it is written in a path. */
static bool parse_shard(const char *name, uint32_t *out)
{
    char *end;
    unsigned long n;

    if (name[0] < '0' || name[0] > '9' || (name[0] == '0' && name[1] != '\0'))
        return false;
    errno = 0;
    n = strtoul(name, &end, 10);
    *out = (uint32_t)n;
    return *end == '\0' && errno == 0 && n <= UINT32_MAX;
}

static int compare_shards(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static int collect_shards(DIR *dir, uint32_t **shards, size_t *count)
{
    const struct dirent *entry;
    uint32_t shard;

    while ((errno = 0, entry = readdir(dir)) != NULL) {
        if (!parse_shard(entry->d_name, &shard))
            continue;
        *shards = memory_resize(*shards, *count + 1, sizeof(**shards));
        (*shards)[(*count)++] = shard;
    }
    return -errno;
}

int data_directory_each_journal(const char *path, void (*each)(void *context, uint32_t shard),
                                void *context)
{
    char *journals = data_directory_journals(path);
    DIR *dir = list(AT_FDCWD, journals);
    int rc = -errno;
    uint32_t *shards = NULL;
    size_t count = 0;

    free(journals);
    if (dir == NULL)
        return rc;
    rc = collect_shards(dir, &shards, &count);
    closedir(dir);
    if (rc == 0 && count != 0)
        qsort(shards, count, sizeof(*shards), compare_shards);
    for (size_t i = 0; i < count && rc == 0; i++)
        each(context, shards[i]);
    free(shards);
    return rc;
}

/* Removes what is in a directory, links themselves and not what they point at. What is below
 * `depth` levels is not ours: -ELOOP. */
static int wipe(int parent_fd, const char *name, unsigned depth)
{
    const struct dirent *entry;
    DIR *dir = list(parent_fd, name);
    int rc = 0;

    if (dir == NULL)
        return -errno;
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM)
            rc = -errno;
        else if (depth == 0)
            rc = -ELOOP;
        else
            rc = wipe(dirfd(dir), entry->d_name, depth - 1);
        if (rc == 0 && unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0)
            rc = -errno;
    }
    if (rc == 0)
        rc = -errno;
    closedir(dir);
    return rc;
}

int data_directory_wipe_paged(const struct data_directory *d)
{
    enum { DEPTH_MAX = 8 };
    char *paged = path_format("%s/%s", d->path, PAGED);
    int rc = wipe(AT_FDCWD, paged, DEPTH_MAX);

    free(paged);
    return rc;
}
