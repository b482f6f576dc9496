/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one clock of all programs: CLOCK_BOOTTIME in nanoseconds. It is the same
 * in every process and network namespace of a host, so absolute times travel in
 * dpapi messages, and it goes on while the host sleeps, so a session key cannot
 * outlive its 180 s in a suspended machine.
 */
#ifndef LIB_BASE_CLOCK_H
#define LIB_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US  1000ull
#define NS_PER_MS  1000000ull
#define NS_PER_SEC 1000000000ull

/* Nanoseconds since boot, suspended time included. Any thread. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds since 1970 (UTC); may step. For timestamps that leave the host. */
static inline uint64_t clock_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

#endif
