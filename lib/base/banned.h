/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before everything else by the build: string functions that cannot
 * know the size of their destination do not compile.
 */
#ifndef LIB_BASE_BANNED_H
#define LIB_BASE_BANNED_H

#ifndef __bpf__
#include <stdio.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok
#endif

#endif
