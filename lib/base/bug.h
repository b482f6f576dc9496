/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants. None of these may ever depend on input: input is checked at the
 * door and refused with an error or a drop reason.
 *
 *   static_assert   layout, at compile time
 *   BUG_ON          cheap, always in: the process stops with the place
 *   BUG_ON_HOT      on a packet's way: only in debug builds (-DCAUSEWAY_DEBUG)
 */
#ifndef LIB_BASE_BUG_H
#define LIB_BASE_BUG_H

#include <assert.h>
#include <stdbool.h>

/* Prints "BUG file:line: text" to stderr and aborts. Any thread. */
_Noreturn void bug_stop(const char *file, int line, const char *text);

#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			bug_stop(__FILE__, __LINE__, #cond);                                       \
	} while (0)

#ifdef CAUSEWAY_DEBUG
#define BUG_ON_HOT(cond) BUG_ON(cond)
#else
#define BUG_ON_HOT(cond) ((void)sizeof(cond))
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define likely_(x)    __builtin_expect(!!(x), 1)
#define unlikely_(x)  __builtin_expect(!!(x), 0)

#endif
