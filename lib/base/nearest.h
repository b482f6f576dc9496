/* SPDX-License-Identifier: Apache-2.0 */
/* The known name that is spelled most like one that is not known. */
#ifndef LIB_BASE_NEAREST_H
#define LIB_BASE_NEAREST_H

#include <stddef.h>

/* Longer names are like none. */
#define NEAREST_NAME_MAX 48

/* names ends with NULL. NULL: there are no names, or the one given is too long. */
const char *nearest_name(const char *name, size_t name_len, const char *const *names);

#endif
