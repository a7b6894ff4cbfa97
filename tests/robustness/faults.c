/* Makes one file operation beneath one directory fail, or kills the process in front of it.

   Loaded with LD_PRELOAD. Wraps libc's calls, so Python, torch, safetensors (Rust) and Pillow are all counted.
   fault_arm() starts counting in the calling process; its children inherit the count, programs it executes do not.
   The counter lies in shared memory: the process that forked the armed one reads it after the other's death. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FEW_BYTES 10
#define MOST_OPERATIONS (1 << 16)

enum mode { COUNT, KILL, KILL_HALF_WRITTEN, DISK_FULL, IO_ERROR };

struct shared {
    atomic_long operations; /* operations seen since fault_arm() */
    atomic_long struck;     /* 1 once the fault has happened */
    char what[PATH_MAX + 32];
    char kinds[MOST_OPERATIONS + 1]; /* first letter of each operation, in order; the rest is 0 */
};

static struct shared *shared;
static char root[PATH_MAX];
static long point;
static enum mode mode;
static atomic_int full;

__attribute__((constructor)) static void begin(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void fault_arm(const char *directory, long at, int how) {
    snprintf(root, sizeof root, "%s", directory);
    point = at;
    mode = how;
    atomic_store(&full, 0);
    memset(shared, 0, sizeof *shared);
}

long fault_operations(void) { return atomic_load(&shared->operations); }
const char *fault_kinds(void) { return shared->kinds; }
long fault_struck(void) { return atomic_load(&shared->struck); }
const char *fault_what(void) { return shared->what; }

static int is_below(const char *path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || path[length] == 0);
}

static int path_of(int descriptor, char *into) {
    char link[64];
    snprintf(link, sizeof link, descriptor == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, into, PATH_MAX - 1);
    into[length < 0 ? 0 : length] = 0;
    return length >= 0;
}

enum verdict { GO_ON, FAIL, CUT };

/* Whether this operation may happen. `bytes` is the length of a write, else 0; `takes_space` is false for what frees. */
static enum verdict judge(const char *operation, const char *path, size_t bytes, int takes_space) {
    if (!is_below(path))
        return GO_ON;
    if (atomic_load(&full)) {
        if (!takes_space)
            return GO_ON;
        errno = ENOSPC;
        return FAIL;
    }
    long number = atomic_fetch_add(&shared->operations, 1) + 1;
    if (number <= MOST_OPERATIONS)
        shared->kinds[number - 1] = *operation;
    if (mode == COUNT || number != point)
        return GO_ON;
    snprintf(shared->what, sizeof shared->what, "%s %s", operation, path + strlen(root));
    if (mode == KILL_HALF_WRITTEN && bytes < 2)
        return GO_ON;
    atomic_store(&shared->struck, 1);
    switch (mode) {
    case KILL:
        kill(getpid(), SIGKILL);
        for (;;) pause();
    case KILL_HALF_WRITTEN:
        return CUT;
    case DISK_FULL: /* from here on, until the process ends */
        atomic_store(&full, 1);
        if (!takes_space)
            return GO_ON;
        if (bytes > 1)
            return CUT;
        errno = ENOSPC;
        return FAIL;
    default:
        errno = EIO;
        return FAIL;
    }
}

static enum verdict judge_at(const char *operation, int directory, const char *path, int takes_space) {
    char full_path[2 * PATH_MAX + 2];
    if (!*root)
        return GO_ON;
    if (path[0] == '/')
        snprintf(full_path, sizeof full_path, "%s", path);
    else {
        if (!path_of(directory, full_path))
            return GO_ON;
        snprintf(full_path + strlen(full_path), PATH_MAX, "/%s", path);
    }
    return judge(operation, full_path, 0, takes_space);
}

static enum verdict judge_fd(const char *operation, int descriptor, size_t bytes) {
    char path[PATH_MAX];
    if (!*root || !path_of(descriptor, path))
        return GO_ON;
    return judge(operation, path, bytes, 1);
}

#define REAL(name) ({ static __typeof__(&name) found; if (!found) found = dlsym(RTLD_NEXT, #name); found; })
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define CREATES(flags) (((flags) & (O_CREAT | O_TMPFILE)) != 0)
#define MODE_ARGUMENT(flags) \
    mode_t permissions = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); permissions = va_arg(rest, mode_t); va_end(rest); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE_ARGUMENT(flags) \
        if (WRITES(flags) && judge_at("open", AT_FDCWD, path, CREATES(flags)) == FAIL) return -1; \
        return REAL(name)(path, flags, permissions); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        MODE_ARGUMENT(flags) \
        if (WRITES(flags) && judge_at("open", directory, path, CREATES(flags)) == FAIL) return -1; \
        return REAL(name)(directory, path, flags, permissions); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        if (strpbrk(how, "wa+") && judge_at("open", AT_FDCWD, path, 1) == FAIL) return NULL; \
        return REAL(name)(path, how); \
    }
FOPEN(fopen)
FOPEN(fopen64)

static void die_if_killed(void) {
    if (mode == KILL_HALF_WRITTEN) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    switch (judge_fd("write", descriptor, count)) {
    case FAIL: return -1;
    case CUT: {
        ssize_t written = REAL(write)(descriptor, bytes, count / 2);
        die_if_killed();
        return written;
    }
    default: return REAL(write)(descriptor, bytes, count);
    }
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *bytes, size_t count, offset_type offset) { \
        switch (judge_fd("write", descriptor, count)) { \
        case FAIL: return -1; \
        case CUT: { \
            ssize_t written = REAL(name)(descriptor, bytes, count / 2, offset); \
            die_if_killed(); \
            return written; \
        } \
        default: return REAL(name)(descriptor, bytes, count, offset); \
        } \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    switch (judge_fd("write", descriptor, count > 0 ? parts[0].iov_len : 0)) {
    case FAIL: return -1;
    case CUT: {
        ssize_t written = REAL(write)(descriptor, parts[0].iov_base, parts[0].iov_len / 2);
        die_if_killed();
        return written;
    }
    default: return REAL(writev)(descriptor, parts, count);
    }
}

#define COPY(name, offset_type) \
    ssize_t name(int into, int from, offset_type *offset, size_t count) { \
        switch (judge_fd("write", into, count)) { \
        case FAIL: return -1; \
        case CUT: { \
            ssize_t written = REAL(name)(into, from, offset, FEW_BYTES); /* count may exceed the file's length */ \
            die_if_killed(); \
            return written; \
        } \
        default: return REAL(name)(into, from, offset, count); \
        } \
    }
ssize_t sendfile(int, int, off_t *, size_t);
ssize_t sendfile64(int, int, off64_t *, size_t);
COPY(sendfile, off_t)
COPY(sendfile64, off64_t)

#define ON_DESCRIPTOR(name) \
    int name(int descriptor) { return judge_fd(#name, descriptor, 0) == FAIL ? -1 : REAL(name)(descriptor); }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

int ftruncate(int descriptor, off_t length) {
    return judge_fd("truncate", descriptor, 0) == FAIL ? -1 : REAL(ftruncate)(descriptor, length);
}
int ftruncate64(int descriptor, off64_t length) {
    return judge_fd("truncate", descriptor, 0) == FAIL ? -1 : REAL(ftruncate64)(descriptor, length);
}
int truncate(const char *path, off_t length) {
    return judge_at("truncate", AT_FDCWD, path, 1) == FAIL ? -1 : REAL(truncate)(path, length);
}
int rename(const char *from, const char *to) {
    return judge_at("rename", AT_FDCWD, to, 1) == FAIL ? -1 : REAL(rename)(from, to);
}
int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return judge_at("rename", to_directory, to, 1) == FAIL ? -1 : REAL(renameat)(from_directory, from, to_directory, to);
}
int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned int flags) {
    return judge_at("rename", to_directory, to, 1) == FAIL
        ? -1 : REAL(renameat2)(from_directory, from, to_directory, to, flags);
}
int unlink(const char *path) { return judge_at("remove", AT_FDCWD, path, 0) == FAIL ? -1 : REAL(unlink)(path); }
int unlinkat(int directory, const char *path, int flags) {
    return judge_at("remove", directory, path, 0) == FAIL ? -1 : REAL(unlinkat)(directory, path, flags);
}
int remove(const char *path) { return judge_at("remove", AT_FDCWD, path, 0) == FAIL ? -1 : REAL(remove)(path); }
int rmdir(const char *path) { return judge_at("rmdir", AT_FDCWD, path, 0) == FAIL ? -1 : REAL(rmdir)(path); }
int mkdir(const char *path, mode_t permissions) {
    return judge_at("mkdir", AT_FDCWD, path, 1) == FAIL ? -1 : REAL(mkdir)(path, permissions);
}
int mkdirat(int directory, const char *path, mode_t permissions) {
    return judge_at("mkdir", directory, path, 1) == FAIL ? -1 : REAL(mkdirat)(directory, path, permissions);
}
int link(const char *from, const char *to) {
    return judge_at("link", AT_FDCWD, to, 1) == FAIL ? -1 : REAL(link)(from, to);
}
int symlink(const char *target, const char *path) {
    return judge_at("link", AT_FDCWD, path, 1) == FAIL ? -1 : REAL(symlink)(target, path);
}
