/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included first by the builds of test_aead_secrets: tells Valgrind what is no secret, unless
 * a test wants the engine to be caught.
 */
#ifndef TESTS_UNIT_PLAIN512_PUBLIC_H
#define TESTS_UNIT_PLAIN512_PUBLIC_H

#include <stdbool.h>
#include <valgrind/memcheck.h>

extern bool plain_keeps_secrets;

static inline bool plain_public(bool x)
{
	if (!plain_keeps_secrets)
		(void)VALGRIND_MAKE_MEM_DEFINED(&x, sizeof(x));
	return x;
}

#define AEAD_PUBLIC(x) plain_public(x)

#endif
