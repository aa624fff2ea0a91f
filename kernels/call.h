/* How a kernel is called: one block of 32-bit words in the engine's memory.
 *
 * Arrays are byte offsets into that memory, 0 standing for an absent one, so that the same block serves WebAssembly, where the memory begins
 * at address 0, and native code, where it begins wherever the runtime mapped it. A kernel reads its arguments in the order in which
 * src/kernels/compiled.ts writes them.
 *
 * Scratch belongs to the engine and is lent for the length of a call. A kernel that needs more than it is given touches nothing and returns
 * the bytes it wants; the engine makes room and calls again. 0 means done.
 */
#ifndef OSTINATO_CALL_H
#define OSTINATO_CALL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  char *memory;         /* offset 0 */
  const uint32_t *next; /* the next word of the block */
  char *scratch;        /* 64-byte aligned */
  size_t scratch_bytes;
  int threads; /* most threads that may work on the call, the caller's among them */
} Call;

typedef size_t Kernel(Call *call);

/* Computed as integers: on WebAssembly the memory begins at NULL, from which no pointer may be derived. */
static inline void *at_offset(char *memory, uint32_t offset) { return offset ? (void *)((uintptr_t)memory + offset) : NULL; }

static inline int next_int(Call *call) { return (int)*call->next++; }
static inline float *next_floats(Call *call) { return at_offset(call->memory, *call->next++); }
static inline int32_t *next_ints(Call *call) { return at_offset(call->memory, *call->next++); }
static inline double next_double(Call *call) {
  double value;
  __builtin_memcpy(&value, call->next, sizeof value);
  call->next += 2;
  return value;
}

/* Lays blocks out one after another, each 64-byte aligned. From NULL it counts the bytes: what a layout function takes, it takes in the
 * same order both times. */
typedef struct {
  char *next;
} Scratch;

static inline void *take(Scratch *scratch, size_t bytes) {
  char *block = scratch->next;
  scratch->next = (char *)(((uintptr_t)scratch->next + bytes + 63) & ~(uintptr_t)63);
  return block;
}

static inline size_t taken(const Scratch *scratch) { return (size_t)(uintptr_t)scratch->next; }

#endif
