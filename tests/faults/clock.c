/* A wall clock that jumps, for the processes that are started with this library preloaded.

   The file named by FAULT_CLOCK holds the jump, in seconds (int64). Only the wall clock is moved; a process that
   waits until a wall-clock time is given the kernel's time for it, as if the kernel's own clock had jumped. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Not a deadline of the monotonic clock: no machine runs for thirty years. */
#define LEAST_WALL_SECONDS 1000000000

static int64_t still, *jump = &still;

__attribute__((constructor)) static void open_clock(void) {
  const char *name = getenv("FAULT_CLOCK");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    void *map = mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) jump = map;
    close(file);
  }
}

/* glibc has two of these; the older one, which dlsym may find, knows another condition variable. */
static void *real(const char *name) {
  void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  return found ? found : dlsym(RTLD_NEXT, name);
}

static struct timespec kernels(const struct timespec *until) {
  struct timespec time = *until;
  if (time.tv_sec >= LEAST_WALL_SECONDS) time.tv_sec -= *(volatile int64_t *)jump;
  return time;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*next)(clockid_t, struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
  int status = next(clock, now);
  if (!status && is_wall(clock)) now->tv_sec += *(volatile int64_t *)jump;
  return status;
}

time_t time(time_t *kept) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (kept) *kept = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec exact;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wait, struct timespec *left) {
  static int (*next)(clockid_t, int, const struct timespec *, struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "clock_nanosleep");
  struct timespec time = flags & TIMER_ABSTIME ? kernels(wait) : *wait;
  return next(clock, flags, &time, left);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!next) next = real("pthread_cond_timedwait");
  struct timespec time = kernels(until);
  return next(condition, mutex, &time);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  struct timespec time = kernels(until);
  return next(condition, mutex, clock, &time);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
  static int (*next)(pthread_mutex_t *, const struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
  struct timespec time = kernels(until);
  return next(mutex, &time);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
  static int (*next)(sem_t *, const struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "sem_timedwait");
  struct timespec time = kernels(until);
  return next(semaphore, &time);
}
