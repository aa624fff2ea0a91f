/* Included before every unit of an addon that is to run on older Linux systems than the one it is built on: binds what glibc 2.34 moved from its
 * thread library into the C library to the versions that both old and new ones have. Without it an addon built on a new system asks for 2.34. */
#if defined(__linux__)
#include <features.h>
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_detach, pthread_detach@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.17");
__asm__(".symver pthread_detach, pthread_detach@GLIBC_2.17");
#endif
#endif
