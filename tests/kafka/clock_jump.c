/* Moves the wall clock of a process, as a person or a time server may: by so many seconds as the first eight bytes of the
 * file CLOCK_JUMP hold. To be preloaded. Clocks that measure durations are left alone, as the system leaves them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static int64_t jump(void) {
        static volatile int64_t *shared;
        if (!shared) {
                int file = open(getenv("CLOCK_JUMP"), O_RDONLY);
                shared   = mmap(NULL, sizeof(*shared), PROT_READ, MAP_SHARED, file, 0);
                close(file);
        }
        return *shared;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
        static int (*real)(clockid_t, struct timespec *);
        if (!real)
                real = dlsym(RTLD_NEXT, "clock_gettime");
        int answer = real(clock, now);
        if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
                now->tv_sec += jump();
        return answer;
}

int gettimeofday(struct timeval *now, void *zone) {
        struct timespec precise;
        (void)zone;
        clock_gettime(CLOCK_REALTIME, &precise);
        now->tv_sec  = precise.tv_sec;
        now->tv_usec = precise.tv_nsec / 1000;
        return 0;
}

time_t time(time_t *now) {
        struct timespec precise;
        clock_gettime(CLOCK_REALTIME, &precise);
        if (now)
                *now = precise.tv_sec;
        return precise.tv_sec;
}

/* Whoever waits until a time of the moved clock is woken when the real one shows what belongs to it, as the system does it.
 * librdkafka waits by this function of C11 only. */
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
        static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
        struct timespec moved = *until;
        if (!real)
                real = dlsym(RTLD_NEXT, "cnd_timedwait");
        moved.tv_sec -= jump();
        return real(condition, mutex, &moved);
}
