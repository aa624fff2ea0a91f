/* The threads behind `parallel`: a pool whose threads look for work for a moment after each call and then sleep.
 *
 * Native: one pool per process, grown on demand. Callers from several threads of the runtime meet here; the pool serves one at a time, and who
 * finds it busy works alone. WebAssembly: one pool per memory; its threads are workers that called `serve_pool`, which JavaScript starts and
 * ends (src/kernels/worker-pool.ts). A memory that is not shared never has any: there `threads` is 1.
 *
 * A call is an invitation: the threads that come within a moment are its members, and nobody waits for one that sleeps deeply, has lost its
 * core to another program, or is gone. Only this file knows of time; no result depends on how many came.
 */
#include "parallel.h"
#include "call.h"

enum { MOST_THREADS = 64 };

/* `call` is the invitation in one word, so that whoever joins, by adding one, joins the call that he saw: bits 0-7 how many members there are
 * (the caller is the first), 8-15 how many there may be, 16 whether it is open, and above a running number. What belongs to a call is written
 * before it opens, and stays until all its members are done. */
enum { COUNT = 255, LIMIT = 8, OPEN = 1 << 16, NUMBER = 1 << 17 };

static struct {
  uint32_t call;
  int32_t done;      /* members of the call, but for the caller, that have finished */
  int32_t sleepers;  /* threads that sleep, or are about to */
  int32_t threads;   /* threads of the pool */
  Body *body;
  void *context;
  int32_t waited_us; /* by members of the call for each other, where they let others have the core */
  int32_t busy;      /* 1 while a caller has the pool */
  /* The caller's: when sharing was last in vain, 0 if it was not; how, and what follows from it for how long. */
  double vain_at, retry_ms;
  enum { SOME_MISSED, ALL_MISSED, ALL_WAITED } vain;
  /* For `shared_calls`. */
  int32_t insist, shared, members;
} pool;

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)
#define ADD(place, value) __atomic_add_fetch(&(place), value, __ATOMIC_ACQ_REL)
#define EXCHANGE(place, before, after) __atomic_compare_exchange_n(&(place), before, after, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* How often a thread looks at a word: LOOKS, a few hundredths of a millisecond, before it lets others have the core, and LOOKS / 16 before it does
 * so again, because whom it waits for may need this core; IDLE, a few tenths, before a thread of the pool sleeps or one that was woken is given
 * up: longer than the caller needs between two calls of a training step; HASTY, a microsecond, in which a thread that is looking comes. */
enum { RETRY_MS = 5, LONGEST_RETRY_MS = 80 };
#if defined(__wasm__)
enum { LOOKS = 100000, IDLE = 400000, HASTY = 2000 };
enum { FIRST_US = 120, NEXT_US = 75 }; /* about what looking takes, with letting others have the core */

/* JavaScript's. Lets others have the core for a moment; `turn` counts from 1 within one wait. On the caller's thread it does not return when
 * it gives the others up for lost: then the engine is at its end. */
__attribute__((import_module("env"), import_name("linger"))) void linger(uint32_t turn);
/* JavaScript's. Milliseconds. */
__attribute__((import_module("env"), import_name("now"))) double now(void);

static void pause_looking(void) {}
static void pause_idling(int look) { (void)look; }
static void sleep_while(uint32_t call) { __builtin_wasm_memory_atomic_wait32((int32_t *)&pool.call, (int32_t)call, -1); }
static void wake(void) { __builtin_wasm_memory_atomic_notify((int32_t *)&pool.call, MOST_THREADS); }
#else
#include "flush.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>
enum { LOOKS = 1000, IDLE = 10000, HASTY = 20 };
enum { FIRST_US = 20, NEXT_US = 2 };

static void linger(uint32_t turn) {
  (void)turn;
  sched_yield();
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static void pause_looking(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void pause_idling(int look) {
  pause_looking();
  if (look % LOOKS == LOOKS - 1) sched_yield();
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;

static void sleep_while(uint32_t call) {
  pthread_mutex_lock(&mutex);
  while (LOAD(pool.call) == call) pthread_cond_wait(&called, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void wake(void) {
  pthread_mutex_lock(&mutex);
  pthread_cond_broadcast(&called);
  pthread_mutex_unlock(&mutex);
}
#endif

typedef struct {
  uint32_t looks, turns;
} Wait;

/* Between two looks of one wait. */
INLINE void look_again(Wait *wait) {
  pause_looking();
  if (++wait->looks == LOOKS) {
    wait->looks = LOOKS - LOOKS / 16;
    ADD(pool.waited_us, wait->turns == 0 ? FIRST_US : NEXT_US);
    linger(++wait->turns);
  }
}

static int may_join(uint32_t call) { return (call & OPEN) && (call & COUNT) < (call >> LIMIT & COUNT); }

/* The whole life of a thread of the pool. */
static void serve(void) {
  for (;;) {
    uint32_t call = LOAD(pool.call);
    for (int look = 0; !may_join(call) && look < IDLE; look++) {
      pause_idling(look);
      call = LOAD(pool.call);
    }
    if (!may_join(call)) {
      /* Counted before the last look at `call`, which the caller writes before he looks at the count. Each has a fence between, so at least
       * one of them sees the other. */
      ADD(pool.sleepers, 1);
      FENCE();
      sleep_while(call);
      ADD(pool.sleepers, -1);
      continue;
    }
    if (!EXCHANGE(pool.call, &call, call + 1)) continue;
    const int index = (int)(call & COUNT);
    Wait wait = {0, 0};
    while ((call = LOAD(pool.call)) & OPEN) look_again(&wait);
    pool.body(pool.context, index, (int)(call & COUNT));
    ADD(pool.done, 1);
  }
}

#if defined(__wasm__)
EXPORT(serve_pool) void serve_pool(void) {
  ADD(pool.threads, 1);
  serve();
}

/* How many workers serve. */
EXPORT(pool_threads) int pool_threads(void) { return LOAD(pool.threads); }

static void want_threads(int count) { (void)count; }
#else
static void *thread_main(void *argument) {
  (void)argument;
  flush_denormals();
  serve();
  return NULL;
}

/* Called by who holds `busy`. */
static void want_threads(int count) {
  while (pool.threads < count) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_main, NULL) != 0) return;
    pthread_detach(thread);
    pool.threads++;
  }
}
#endif

/* Sharing was in vain: some or all of the others did not come, or came and were waited for longer than they saved. Where more than some fail
 * again and again, the cores are taken. */
static void in_vain(int how) {
  if (pool.vain_at == 0 || how == SOME_MISSED) pool.retry_ms = RETRY_MS;
  else if (pool.retry_ms < LONGEST_RETRY_MS) pool.retry_ms *= 2;
  pool.vain = how;
  pool.vain_at = now();
}

/* Invites the pool and returns how many members the call has, the caller included. Sleepers are woken and waited for, unless that was in vain
 * a moment ago: then only who is looking comes, and nobody is asked who was slow. So waiting in vain costs a few hundredths of the time. */
static int invite(int limit, Body *body, void *context) {
  const int insist = LOAD(pool.insist), patient = insist || pool.vain_at == 0 || now() - pool.vain_at > pool.retry_ms;
  if (!patient && pool.vain == ALL_WAITED) return 1;
  pool.body = body;
  pool.context = context;
  STORE(pool.done, 0);
  STORE(pool.waited_us, 0);
  STORE(pool.call, (LOAD(pool.call) & ~(uint32_t)(NUMBER - 1)) + NUMBER + OPEN + ((uint32_t)limit << LIMIT) + 1);
  FENCE();
  if (patient && LOAD(pool.sleepers) > 0) wake();
  Wait wait = {0, 0};
  for (int look = 0; (int)(LOAD(pool.call) & COUNT) < limit; look++) {
    if (insist) look_again(&wait);
    else if (look < (patient ? IDLE : HASTY)) pause_looking();
    else break;
  }
  const int count = (int)(__atomic_and_fetch(&pool.call, ~(uint32_t)OPEN, __ATOMIC_ACQ_REL) & COUNT);
  if (patient && count < limit) in_vain(count == 1 ? ALL_MISSED : SOME_MISSED);
  return count;
}

void parallel(int threads, Body *body, void *context) {
  int32_t free_pool = 0;
  if (threads < 2 || !EXCHANGE(pool.busy, &free_pool, 1)) {
    body(context, 0, 1);
    return;
  }
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  want_threads(threads - 1);
  const int there = LOAD(pool.threads) + 1, limit = there < threads ? there : threads;
  const int count = limit > 1 ? invite(limit, body, context) : 1;
  STORE(pool.members, count);
  if (count == 1) {
    body(context, 0, 1);
  } else {
    const double start = now();
    body(context, 0, count);
    Wait wait = {0, 0};
    while (LOAD(pool.done) < count - 1) look_again(&wait);
    /* Alone it would have taken about `count` times what the caller did not wait; uneven shares are no reason yet. */
    const double waited = LOAD(pool.waited_us) * 1e-3, elapsed = waited > 0 ? now() - start : 0;
    if (waited > elapsed * (1 - 0.8 / count)) in_vain(ALL_WAITED);
    else if (count == limit) pool.vain_at = 0;
    STORE(pool.shared, pool.shared + 1);
  }
  STORE(pool.busy, 0);
}

void wait_for_all(Barrier *barrier, int count) {
  if (count == 1) return;
  const int32_t round = LOAD(barrier->round);
  if (ADD(barrier->arrived, 1) == count) {
    STORE(barrier->arrived, 0);
    STORE(barrier->round, round + 1);
  } else {
    Wait wait = {0, 0};
    while (LOAD(barrier->round) == round) look_again(&wait);
  }
}

/* Words: place of two int32, insist. What tests and benchmarks ask, because results cannot tell: how many calls had several members so far,
 * and how many the last call had that could have had them. From now on, if `insist` is 1, every invitation waits for all threads. */
size_t shared_calls_kernel(Call *call) {
  int32_t *result = next_ints(call);
  STORE(pool.insist, next_int(call));
  result[0] = LOAD(pool.shared);
  result[1] = LOAD(pool.members);
  return 0;
}
