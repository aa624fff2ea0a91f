/* The kernels as a Node addon: one function and what is to be known before it is called.
 *
 *     run(memory: Uint8Array, block: number, context: number): number    see run.c
 *     isa: string                                                        the instruction set this file was built for
 *     supported: number                                                  1 if this processor has it
 *     fingerprint: string                                                of the sources this file was built from
 *
 * One file per instruction set, each built from the same sources. This unit alone is compiled for the oldest processor of the family, so that
 * any of the files may be loaded anywhere and asked `supported`. Nothing is kept between calls but the thread pool, so any number of the
 * runtime's threads may load it.
 *
 * native/build.mjs defines OSTINATO_ISA, OSTINATO_NEEDS (a list of HAS(feature)), OSTINATO_FINGERPRINT and OSTINATO_BUILD. A build for the
 * sanitizers also defines OSTINATO_SANITIZED, which adds poison(memory, offset, bytes) and unpoison, for a test's allocator.
 */
#include "../flush.h"
#include "../kernels.h"
#include "node-api.h"

#define QUOTE_(x) #x
#define QUOTE(x) QUOTE_(x)

uint32_t run(char *memory, uint32_t block, uint32_t context);

static napi_value run_callback(napi_env env, napi_callback_info info) {
  size_t count = 3, length = 0;
  napi_value arguments[3], result = NULL;
  void *memory = NULL;
  uint32_t block = 0, context = 0;
  /* A memory that grew has left its old views with length 0. */
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != 0 || count != 3 ||
      napi_get_typedarray_info(env, arguments[0], NULL, &length, &memory, NULL, NULL) != 0 ||
      napi_get_value_uint32(env, arguments[1], &block) != 0 || napi_get_value_uint32(env, arguments[2], &context) != 0 ||
      block >= length || context >= length) {
    napi_throw_error(env, "OST_ENGINE", "run wants a view of the engine's memory, and two offsets inside it");
    return NULL;
  }
  const uint64_t before = flush_denormals();
  const uint32_t wanted = run(memory, block, context);
  restore_denormals(before);
  napi_create_uint32(env, wanted, &result);
  return result;
}

#define HAS(feature) &&__builtin_cpu_supports(#feature)

static uint32_t supported(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  return 1 OSTINATO_NEEDS;
}

/* Read from the file, without loading it, by who wants to know whether it is up to date. */
__attribute__((used)) static const char build[] = "ostinato-build:" QUOTE(OSTINATO_BUILD);

#ifdef OSTINATO_SANITIZED
void __asan_poison_memory_region(void const volatile *, size_t);
void __asan_unpoison_memory_region(void const volatile *, size_t);

static napi_value mark(napi_env env, napi_callback_info info, int poison) {
  size_t count = 3, length = 0;
  napi_value arguments[3];
  void *memory = NULL;
  uint32_t offset = 0, bytes = 0;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != 0 || count != 3 ||
      napi_get_typedarray_info(env, arguments[0], NULL, &length, &memory, NULL, NULL) != 0 ||
      napi_get_value_uint32(env, arguments[1], &offset) != 0 || napi_get_value_uint32(env, arguments[2], &bytes) != 0 ||
      (size_t)offset + bytes > length) {
    napi_throw_error(env, "OST_ENGINE", "a region of the engine's memory is wanted");
    return NULL;
  }
  if (poison) __asan_poison_memory_region((char *)memory + offset, bytes);
  else __asan_unpoison_memory_region((char *)memory + offset, bytes);
  return NULL;
}

static napi_value poison_callback(napi_env env, napi_callback_info info) { return mark(env, info, 1); }
static napi_value unpoison_callback(napi_env env, napi_callback_info info) { return mark(env, info, 0); }
#endif

static void add_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value value;
  napi_create_function(env, name, (size_t)-1, callback, NULL, &value);
  napi_set_named_property(env, exports, name, value);
}

static void add_text(napi_env env, napi_value exports, const char *name, const char *text) {
  napi_value value;
  napi_create_string_utf8(env, text, (size_t)-1, &value);
  napi_set_named_property(env, exports, name, value);
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value value;
  add_function(env, exports, "run", run_callback);
  add_text(env, exports, "isa", QUOTE(OSTINATO_ISA));
  add_text(env, exports, "fingerprint", QUOTE(OSTINATO_FINGERPRINT));
  napi_create_uint32(env, supported(), &value);
  napi_set_named_property(env, exports, "supported", value);
#ifdef OSTINATO_SANITIZED
  add_function(env, exports, "poison", poison_callback);
  add_function(env, exports, "unpoison", unpoison_callback);
#endif
  return exports;
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }
