/* The one entry of the kernels: runs the call that a block describes. */
#include "kernels.h"
#include "vector.h"

static Kernel *const KERNEL[] = {
#define ENTRY(name) name##_kernel,
    KERNELS(ENTRY)
#undef ENTRY
};

/* The first word of a block is the kernel's number, the rest its arguments. The context: scratch, bytes of it, threads. Returns 0, or the
 * bytes of scratch that the call wants. */
EXPORT(run) uint32_t run(char *memory, uint32_t block, uint32_t context) {
  const uint32_t *words = at_offset(memory, block), *lent = at_offset(memory, context);
  Call call = {.memory = memory, .next = words + 1, .scratch = at_offset(memory, lent[0])};
  call.scratch_bytes = lent[1], call.threads = (int)lent[2];
  return (uint32_t)KERNEL[words[0]](&call);
}

/* Several calls in one: how many, then their blocks. Only for kernels that may run twice, because a call that wants more scratch makes the
 * program run again from its beginning. */
size_t program_kernel(Call *call) {
  const int count = next_int(call);
  for (int i = 0; i < count; i++) {
    const uint32_t *words = (const uint32_t *)next_ints(call);
    Call inner = *call;
    inner.next = words + 1;
    const size_t wanted = KERNEL[words[0]](&inner);
    if (wanted) return wanted;
  }
  return 0;
}
