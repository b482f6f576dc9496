/* SPDX-License-Identifier: Apache-2.0 */
/* Included first by the build of test_aead_secrets: tells Valgrind what is no secret. */
#ifndef TESTS_UNIT_PLAIN512_PUBLIC_H
#define TESTS_UNIT_PLAIN512_PUBLIC_H

#include <stdbool.h>
#include <valgrind/memcheck.h>

static inline bool plain_public(bool x)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(&x, sizeof(x));
	return x;
}

#define AEAD_PUBLIC(x) plain_public(x)

#endif
