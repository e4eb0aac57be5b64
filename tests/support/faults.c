/* Preloaded: the N-th call on a path below one of FAULTS_BELOW fails, or every call is written down.
   A process of its own counts from FAULTS_AT, or from what `faults_arm` says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static char below[4 * PATH_MAX];
static long seen, at;
static int number, sticks, record = -1;

static void __attribute__((constructor)) begin(void) {
    const char *text = getenv("FAULTS_BELOW");
    snprintf(below, sizeof below, "%s", text ? text : "");
    if ((text = getenv("FAULTS_AT"))) at = atol(text);
    if ((text = getenv("FAULTS_ERRNO"))) number = atoi(text);
}

/* `call` fails with `error` (0: none), and all after it if it `stays`; counting begins anew. */
void faults_arm(long call, int error, int stays) { seen = 0, at = call, number = error, sticks = stays; }
void faults_below(const char *paths) { snprintf(below, sizeof below, "%s", paths); }
void faults_record(int file) { record = file; }
long faults_seen(void) { return seen; }

static int is_below(const char *path) {
    char list[sizeof below], *rest;
    if (path[0] != '/') return 0;
    memcpy(list, below, sizeof below);
    for (char *p = strtok_r(list, ":", &rest); p; p = strtok_r(NULL, ":", &rest))
        if (!strncmp(path, p, strlen(p))) return 1;
    return 0;
}

static int fails(const char *path) {
    if (!is_below(path)) return 0;
    pthread_mutex_lock(&one);
    long call = ++seen;
    pthread_mutex_unlock(&one);
    if (!number || !(call == at || (sticks && at && call > at))) return 0;
    errno = number;
    return 1;
}

static const char *path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return path;
}

/* "kind offset bytes path other\n", then the bytes. */
static void note(char kind, const char *path, const char *other, off_t offset, const void *data, size_t n) {
    if (record < 0 || !is_below(path)) return;
    char head[3 * PATH_MAX];
    int length = snprintf(head, sizeof head, "%c\t%ld\t%zu\t%s\t%s\n", kind, (long)offset, n, path, other);
    ssize_t (*put)(int, const void *, size_t) = REAL(write);
    pthread_mutex_lock(&one);
    put(record, head, length);
    if (n) put(record, data, n);
    pthread_mutex_unlock(&one);
}

/* What was promised by then: `path` is one of those below. */
void faults_note(const char *path, const char *text) { note('A', path, text, 0, NULL, 0); }

#define OPEN(name)                                                                        \
    int name(const char *path, int flags, ...) {                                          \
        va_list rest;                                                                     \
        va_start(rest, flags);                                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;           \
        va_end(rest);                                                                     \
        if (fails(path)) return -1;                                                       \
        int is_new = flags & O_CREAT && access(path, F_OK);                               \
        int file = REAL(name)(path, flags, mode);                                         \
        if (file >= 0 && is_new) note('C', path, "", 0, NULL, 0);                         \
        if (file >= 0 && flags & O_TRUNC) note('T', path, "", 0, NULL, 0);                \
        return file;                                                                      \
    }
OPEN(open)
OPEN(open64)

#define ON_FILE(type, name, declared, given, kind, offset, data, bytes)                   \
    type name declared {                                                                  \
        char path[PATH_MAX];                                                              \
        off_t place = offset;                                                             \
        if (fails(path_of(file, path))) return -1;                                        \
        type done = REAL(name) given;                                                     \
        if (done >= 0) note(kind, path, "", place, data, bytes);                          \
        return done;                                                                      \
    }
ON_FILE(ssize_t, write, (int file, const void *data, size_t n), (file, data, n), 'W',
        lseek(file, 0, SEEK_CUR), data, done)
ON_FILE(ssize_t, pwrite, (int file, const void *data, size_t n, off_t to), (file, data, n, to), 'W', to, data, done)
ON_FILE(ssize_t, pwrite64, (int file, const void *data, size_t n, off64_t to), (file, data, n, to), 'W', to, data, done)
ON_FILE(int, ftruncate, (int file, off_t size), (file, size), 'T', size, NULL, 0)
ON_FILE(int, ftruncate64, (int file, off64_t size), (file, size), 'T', size, NULL, 0)
ON_FILE(int, fsync, (int file), (file), 'S', 0, NULL, 0)
ON_FILE(int, fdatasync, (int file), (file), 'S', 0, NULL, 0)
ON_FILE(int, flock, (int file, int how), (file, how), 'L', 0, NULL, 0)

int rename(const char *from, const char *to) {
    if (fails(from)) return -1;
    int done = REAL(rename)(from, to);
    if (!done) note('R', from, to, 0, NULL, 0);
    return done;
}

int mkdir(const char *path, mode_t mode) {
    if (fails(path)) return -1;
    int done = REAL(mkdir)(path, mode);
    if (!done) note('M', path, "", 0, NULL, 0);
    return done;
}

int unlink(const char *path) {
    if (fails(path)) return -1;
    int done = REAL(unlink)(path);
    if (!done) note('U', path, "", 0, NULL, 0);
    return done;
}

int rmdir(const char *path) {
    if (fails(path)) return -1;
    int done = REAL(rmdir)(path);
    if (!done) note('U', path, "", 0, NULL, 0);
    return done;
}
