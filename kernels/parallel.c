/* The threads behind `parallel`: a pool that spins for a moment after each body and then sleeps.
 *
 * Native: one pool per process, grown on demand. Callers from several threads of the runtime meet here; the pool serves one at a time, and who
 * finds it busy works alone. WebAssembly with shared memory: one pool per memory; its threads are workers that called `serve_pool`. Elsewhere
 * there are no threads.
 */
#include "parallel.h"

#if !defined(__wasm__)
#define THREADS 1
#include <pthread.h>
#elif defined(__wasm_atomics__)
#define THREADS 1
#else
#define THREADS 0
#endif

#if THREADS

enum { MOST_THREADS = 64, SPINS = 20000 };

/* `call` holds a running number and, in its low byte, how many members take part: one word, so that a member never pairs the number of one
 * call with the members of another. */
static struct {
  int32_t busy, members, sleepers, pending, stop;
  uint32_t call;
  Body *body;
  void *context;
} pool;

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)
#define ADD(place, value) __atomic_add_fetch(&(place), value, __ATOMIC_ACQ_REL)

#if defined(__wasm__)
static void spin_pause(void) {}
static void sleep_until_called(uint32_t seen) { __builtin_wasm_memory_atomic_wait32((int32_t *)&pool.call, (int32_t)seen, -1); }
static void wake(void) { __builtin_wasm_memory_atomic_notify((int32_t *)&pool.call, MOST_THREADS); }
#else
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;
static void spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
static void sleep_until_called(uint32_t seen) {
  pthread_mutex_lock(&mutex);
  while (LOAD(pool.call) == seen) pthread_cond_wait(&called, &mutex);
  pthread_mutex_unlock(&mutex);
}
static void wake(void) {
  pthread_mutex_lock(&mutex);
  pthread_cond_broadcast(&called);
  pthread_mutex_unlock(&mutex);
}
#endif

/* What a thread of the pool does: member `index` of every call that has so many. */
static void serve(int index, uint32_t seen) {
  for (;;) {
    uint32_t call = LOAD(pool.call);
    for (int spin = 0; call == seen && spin < SPINS; spin++) {
      spin_pause();
      call = LOAD(pool.call);
    }
    if (call == seen) {
      ADD(pool.sleepers, 1);
      sleep_until_called(seen);
      ADD(pool.sleepers, -1);
      continue;
    }
    seen = call;
    if (LOAD(pool.stop)) return;
    const int count = (int)(call & 255);
    if (index >= count) continue;
    pool.body(pool.context, index, count);
    ADD(pool.pending, -1);
  }
}

#if defined(__wasm__)
/* Never returns before `stop_pool`: a worker's whole life. Its index comes from the order of arrival. */
EXPORT(serve_pool) void serve_pool(void) {
  const uint32_t seen = LOAD(pool.call);
  serve(ADD(pool.members, 1), seen);
}

EXPORT(pool_members) int pool_members(void) { return LOAD(pool.members); }

EXPORT(stop_pool) void stop_pool(void) {
  STORE(pool.stop, 1);
  ADD(pool.call, 256);
  wake();
}

static void want_members(int threads) { (void)threads; }
#else
#include "flush.h"

static void *thread_main(void *argument) {
  const uintptr_t packed = (uintptr_t)argument;
  flush_denormals();
  serve((int)(packed & 255), (uint32_t)(packed >> 8));
  return NULL;
}

static void want_members(int threads) {
  while (pool.members < threads - 1) {
    pthread_t thread;
    const uintptr_t argument = (uintptr_t)pool.call << 8 | (uintptr_t)(pool.members + 1);
    if (pthread_create(&thread, NULL, thread_main, (void *)argument) != 0) return;
    pthread_detach(thread);
    pool.members++;
  }
}
#endif

void parallel(int threads, Body *body, void *context) {
  int32_t free_pool = 0;
  if (threads < 2 || !__atomic_compare_exchange_n(&pool.busy, &free_pool, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    body(context, 0, 1);
    return;
  }
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  want_members(threads);
  const int members = LOAD(pool.members), count = members + 1 < threads ? members + 1 : threads;
  if (count > 1) {
    pool.body = body;
    pool.context = context;
    STORE(pool.pending, count - 1);
    STORE(pool.call, ((pool.call & ~255u) + 256) | (uint32_t)count);
    /* A thread counts itself asleep before it looks at `call` for the last time, so one of the two sees the other. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (LOAD(pool.sleepers) > 0) wake();
  }
  body(context, 0, count);
  while (LOAD(pool.pending) > 0) spin_pause();
  STORE(pool.busy, 0);
}

void wait_for_all(Barrier *barrier, int count) {
  if (count == 1) return;
  const int32_t round = LOAD(barrier->round);
  if (ADD(barrier->arrived, 1) == count) {
    STORE(barrier->arrived, 0);
    STORE(barrier->round, round + 1);
  } else {
    while (LOAD(barrier->round) == round) spin_pause();
  }
}

#else

void parallel(int threads, Body *body, void *context) {
  (void)threads;
  body(context, 0, 1);
}

void wait_for_all(Barrier *barrier, int count) { (void)barrier, (void)count; }

#endif
