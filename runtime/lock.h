/* A mutex; nothing where there are no threads. */
#ifndef NEO_LOCK_H
#define NEO_LOCK_H

#ifdef __wasm__

typedef int neo_lock;
static inline void neo_lock_init(neo_lock *lock) { *lock = 0; }
static inline void neo_lock_destroy(neo_lock *lock) { (void)lock; }
static inline void neo_lock_take(neo_lock *lock) { (void)lock; }
static inline void neo_lock_give(neo_lock *lock) { (void)lock; }

#else

#include <pthread.h>

typedef pthread_mutex_t neo_lock;
static inline void neo_lock_init(neo_lock *lock) { pthread_mutex_init(lock, 0); }
static inline void neo_lock_destroy(neo_lock *lock) { pthread_mutex_destroy(lock); }
static inline void neo_lock_take(neo_lock *lock) { pthread_mutex_lock(lock); }
static inline void neo_lock_give(neo_lock *lock) { pthread_mutex_unlock(lock); }

#endif
#endif
