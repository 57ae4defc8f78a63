/* Stands between a node and its C library: a disk that fails, and a clock that jumps.
 *
 *   QUARRY_SHIM_FILES    what the paths of the files that fail begin with
 *   QUARRY_SHIM_CONTROL  a directory; while it holds an entry of one of these names,
 *     flush      fsync and fdatasync of these files answer EIO
 *     slow       fsync and fdatasync of these files take half a second longer
 *     write      writes to them answer EROFS
 *     clock      the wall clock is off by the number of seconds that the file holds
 *
 * The monotonic clocks are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int control(const char *name, char path[PATH_MAX]) {
  const char *directory = getenv("QUARRY_SHIM_CONTROL");
  if (directory == NULL) return 0;
  int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
  return length > 0 && length < PATH_MAX && access(path, F_OK) == 0;
}

static int fails(const char *name, int fd) {
  char path[PATH_MAX], link[64], target[PATH_MAX];
  int before = errno;
  const char *files = getenv("QUARRY_SHIM_FILES");
  int answer = 0;
  if (files != NULL && control(name, path)) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    answer = strncmp(target, files, strlen(files)) == 0;
  }
  errno = before;
  return answer;
}

#define NEXT(name) static __typeof__(&name) next; if (next == NULL) next = dlsym(RTLD_NEXT, #name)
#define FAIL_IF(kind, fd, error) if (fails(kind, fd)) { errno = error; return -1; }

#define WAIT_IF(kind, fd) if (fails(kind, fd)) nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);

int fsync(int fd) { NEXT(fsync); WAIT_IF("slow", fd) FAIL_IF("flush", fd, EIO) return next(fd); }
int fdatasync(int fd) { NEXT(fdatasync); WAIT_IF("slow", fd) FAIL_IF("flush", fd, EIO) return next(fd); }

ssize_t write(int fd, const void *bytes, size_t length) {
  NEXT(write);
  FAIL_IF("write", fd, EROFS)
  return next(fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  NEXT(pwrite);
  FAIL_IF("write", fd, EROFS)
  return next(fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  NEXT(pwrite64);
  FAIL_IF("write", fd, EROFS)
  return next(fd, bytes, length, at);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  NEXT(clock_gettime);
  char path[PATH_MAX];
  int answer = next(clock, time);
  if (answer == 0 && clock == CLOCK_REALTIME && control("clock", path)) {
    FILE *file = fopen(path, "r");
    long long seconds = 0;
    if (file != NULL && fscanf(file, "%lld", &seconds) == 1) time->tv_sec += seconds;
    if (file != NULL) fclose(file);
  }
  return answer;
}
