/* Denormals flushed to zero on the calling thread, as far as the processor can; WebAssembly cannot, so the kernels flush for themselves. */
#ifndef OSTINATO_FLUSH_H
#define OSTINATO_FLUSH_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
enum { FLUSH_BITS = 0x8040 }; /* flush to zero, denormals are zero */
static inline uint64_t flush_denormals(void) {
  const uint32_t before = _mm_getcsr();
  _mm_setcsr(before | FLUSH_BITS);
  return before;
}
static inline void restore_denormals(uint64_t before) { _mm_setcsr((uint32_t)before); }
#elif defined(__aarch64__)
enum { FLUSH_BIT = 1 << 24 };
static inline uint64_t flush_denormals(void) {
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" ::"r"(before | FLUSH_BIT));
  return before;
}
static inline void restore_denormals(uint64_t before) { __asm__ volatile("msr fpcr, %0" ::"r"(before)); }
#else
static inline uint64_t flush_denormals(void) { return 0; }
static inline void restore_denormals(uint64_t before) { (void)before; }
#endif

#endif
