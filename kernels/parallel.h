/* Work shared out over threads that all see the engine's memory.
 *
 * A body runs once per member, at the same time, and splits the work by its index and the count; what it computes may not depend on how many
 * members there are. Every element of a result is computed by one member in one fixed order, so the bits are those of a single thread.
 */
#ifndef OSTINATO_PARALLEL_H
#define OSTINATO_PARALLEL_H

#include "vector.h"

/* A place where all members wait for each other. Zero it before use. */
typedef struct {
  int32_t arrived, round;
} Barrier;

typedef void Body(void *context, int index, int count);

/* Runs the body on at most `threads` threads; member 0 is the caller. Fewer where threads are missing, or busy for another caller. */
void parallel(int threads, Body *body, void *context);

void wait_for_all(Barrier *barrier, int count);

/* One member's share of 0 .. total-1: whole multiples of `grain`, as even as they can be. */
typedef struct {
  int from, to;
} Share;

INLINE Share share_of(int total, int grain, int index, int count) {
  const int grains = (total + grain - 1) / grain;
  const int from = (int)((int64_t)grains * index / count) * grain, to = (int)((int64_t)grains * (index + 1) / count) * grain;
  return (Share){from < total ? from : total, to < total ? to : total};
}

/* The number of threads worth waking for so many multiply-adds or elements. */
INLINE int threads_for(int threads, double work, double enough) {
  const double most = work / enough;
  return most < 2 ? 1 : most < threads ? (int)most : threads;
}

#endif
