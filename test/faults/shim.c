/*
 * Lets the C library's file calls fail, or take their time, and moves the wall clock, by order of a control file that is
 * mapped (COMETMQ_SHIM_CONTROL). Preloaded into a server that is under test: LD_PRELOAD=shim.so. Everything goes to
 * the kernel by syscall(2), so that nothing here depends on what the library has set up.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, ALLOCATE = 8, MAP = 16, RENAME = 32, TRUNCATE = 64 };

enum { SYNCS_MAX = 128 };

struct sync {
  int64_t began_ns; /* CLOCK_MONOTONIC */
  int64_t ended_ns;
  int64_t status;
};

/* Written by the test, in this order, little endian. */
struct control {
  volatile int32_t fail_calls;  /* which calls fail */
  volatile int32_t fail_errno;
  volatile int32_t let_pass;    /* so many of them go through first */
  volatile int32_t fail_count;  /* so many fail; negative: all from then on */
  volatile int32_t slow_calls;  /* which calls wait first */
  volatile int32_t slow_ms;
  volatile int32_t struck;      /* how many have failed */
  volatile int32_t slowed;
  volatile int64_t clock_ms;    /* added to the wall clock */
  char path[256];               /* only calls on paths that contain it */
  volatile int32_t watch_syncs; /* syncs are written down below */
  volatile int32_t sync_count;  /* so many were: the last SYNCS_MAX of them are there */
  char unused[512 - 304];
  struct sync syncs[SYNCS_MAX];
};

static struct control *control;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *name = getenv("COMETMQ_SHIM_CONTROL");
  if (name == NULL) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (map != MAP_FAILED) control = map;
}

static int concerns(const char *path) {
  return path != NULL && strstr(path, control->path) != NULL;
}

static int concerns_fd(int fd) {
  char link[64], path[4096];
  char *end = link + 14;
  memcpy(link, "/proc/self/fd/", 14);
  char digits[16];
  int count = 0;
  if (fd < 0) return 0;
  do digits[count++] = (char)('0' + fd % 10); while ((fd /= 10) > 0);
  while (count > 0) *end++ = digits[--count];
  *end = 0;
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return concerns(path);
}

/* The errno with which this call fails, or 0. */
static int strike(int call, const char *path, int fd) {
  if (control == NULL || ((control->fail_calls | control->slow_calls) & call) == 0) return 0;
  int saved = errno;
  int meant = path != NULL ? concerns(path) : concerns_fd(fd);
  errno = saved;
  if (!meant) return 0;
  if (control->slow_calls & call) {
    __atomic_add_fetch(&control->slowed, 1, __ATOMIC_SEQ_CST);
    struct timespec pause = {control->slow_ms / 1000, (control->slow_ms % 1000) * 1000000L};
    syscall(SYS_nanosleep, &pause, NULL);
  }
  if (!(control->fail_calls & call)) return 0;
  if (__atomic_sub_fetch(&control->let_pass, 1, __ATOMIC_SEQ_CST) >= 0) return 0;
  if (control->fail_count >= 0 && __atomic_sub_fetch(&control->fail_count, 1, __ATOMIC_SEQ_CST) < 0) {
    control->fail_calls = 0;
    return 0;
  }
  __atomic_add_fetch(&control->struck, 1, __ATOMIC_SEQ_CST);
  return control->fail_errno;
}

#define FAIL_IF(call, path, fd)             \
  do {                                      \
    int code = strike(call, path, fd);      \
    if (code != 0) {                        \
      errno = code;                         \
      return -1;                            \
    }                                       \
  } while (0)

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  FAIL_IF(OPEN, path, -1);
  return (int)syscall(SYS_openat, directory, path, flags, mode);
}

#define MODE(flags)                                          \
  mode_t mode = 0;                                           \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {                   \
    va_list rest;                                            \
    va_start(rest, flags);                                   \
    mode = va_arg(rest, mode_t);                             \
    va_end(rest);                                            \
  }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE(flags) return open_at(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE(flags) return open_at(directory, path, flags, mode); }

ssize_t write(int fd, const void *bytes, size_t length) {
  FAIL_IF(WRITE, NULL, fd);
  return syscall(SYS_write, fd, bytes, length);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  FAIL_IF(WRITE, NULL, fd);
  return syscall(SYS_writev, fd, parts, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  FAIL_IF(WRITE, NULL, fd);
  return syscall(SYS_pwrite64, fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return pwrite(fd, bytes, length, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  FAIL_IF(WRITE, NULL, fd);
  return syscall(SYS_pwritev, fd, parts, count, at, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }

static int64_t monotonic_ns(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int synced(long call, int fd) {
  if (control == NULL || !control->watch_syncs || !concerns_fd(fd)) return (int)syscall(call, fd);
  struct sync one = {monotonic_ns(), 0, 0};
  one.status = syscall(call, fd);
  int saved = errno;
  one.ended_ns = monotonic_ns();
  control->syncs[__atomic_fetch_add(&control->sync_count, 1, __ATOMIC_SEQ_CST) % SYNCS_MAX] = one;
  errno = saved;
  return (int)one.status;
}

int fdatasync(int fd) {
  FAIL_IF(SYNC, NULL, fd);
  return synced(SYS_fdatasync, fd);
}
int fsync(int fd) {
  FAIL_IF(SYNC, NULL, fd);
  return synced(SYS_fsync, fd);
}
int syncfs(int fd) {
  FAIL_IF(SYNC, NULL, fd);
  return (int)syscall(SYS_syncfs, fd);
}
int msync(void *address, size_t length, int flags) { return (int)syscall(SYS_msync, address, length, flags); }

int posix_fallocate(int fd, off_t at, off_t length) {
  int code = strike(ALLOCATE, NULL, fd);
  if (code != 0) return code;
  return syscall(SYS_fallocate, fd, 0, at, length) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t at, off64_t length) { return posix_fallocate(fd, at, length); }
int fallocate(int fd, int mode, off_t at, off_t length) {
  FAIL_IF(ALLOCATE, NULL, fd);
  return (int)syscall(SYS_fallocate, fd, mode, at, length);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at) {
  if (fd >= 0) {
    int code = strike(MAP, NULL, fd);
    if (code != 0) {
      errno = code;
      return MAP_FAILED;
    }
  }
  return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, at);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at) {
  return mmap(address, length, protection, flags, fd, at);
}

int rename(const char *from, const char *to) {
  FAIL_IF(RENAME, to, -1);
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int ftruncate(int fd, off_t length) {
  FAIL_IF(TRUNCATE, NULL, fd);
  return (int)syscall(SYS_ftruncate, fd, length);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static void moved(int64_t *seconds, int64_t *rest, int64_t unit_in_ms) {
  if (control == NULL || control->clock_ms == 0) return;
  int64_t ms = control->clock_ms;
  *seconds += ms / 1000;
  *rest += ms % 1000 * unit_in_ms;
  if (*rest < 0) {
    *rest += 1000 * unit_in_ms;
    (*seconds)--;
  } else if (*rest >= 1000 * unit_in_ms) {
    *rest -= 1000 * unit_in_ms;
    (*seconds)++;
  }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int status = real_clock_gettime != NULL ? real_clock_gettime(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
  if (status != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return status;
  int64_t seconds = now->tv_sec, rest = now->tv_nsec;
  moved(&seconds, &rest, 1000000);
  now->tv_sec = seconds;
  now->tv_nsec = rest;
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int status = (int)syscall(SYS_gettimeofday, now, zone);
  if (status != 0) return status;
  int64_t seconds = now->tv_sec, rest = now->tv_usec;
  moved(&seconds, &rest, 1000);
  now->tv_sec = seconds;
  now->tv_usec = rest;
  return 0;
}
