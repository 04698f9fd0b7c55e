/* Sleeping until a word changes: Linux's futex, or one condition variable for all words. */
#ifndef NEO_WAIT_H
#define NEO_WAIT_H

#include <stdatomic.h>

#if defined(__linux__) && !defined(NEO_NO_FUTEX)

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* May return early. */
static inline void wait_while(atomic_uint *word, unsigned seen) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
}

static inline void wake(atomic_uint *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}

#else

#include <pthread.h>

static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t waiting_change = PTHREAD_COND_INITIALIZER;

static inline void wait_while(atomic_uint *word, unsigned seen) {
  pthread_mutex_lock(&waiting_lock);
  while (atomic_load(word) == seen) pthread_cond_wait(&waiting_change, &waiting_lock);
  pthread_mutex_unlock(&waiting_lock);
}

static inline void wake(atomic_uint *word, int count) {
  (void)word;
  (void)count;
  pthread_mutex_lock(&waiting_lock);
  pthread_cond_broadcast(&waiting_change);
  pthread_mutex_unlock(&waiting_lock);
}

#endif
#endif
