/* SPDX-License-Identifier: MIT */
/*
 * uring_compat: the kernel constants that liburing 2.3 lacks, so that 2.3 is enough to build with.
 * They are facts of the kernel interface; whether the running kernel has them is asked at run time.
 */
#ifndef RL_OS_URING_COMPAT_H
#define RL_OS_URING_COMPAT_H

#include <liburing.h>

/* Linux 6.15: a thread that waits for completions does not count as waiting for the disk. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

#endif
