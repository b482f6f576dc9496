/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of RFC 3339 as Go writes and reads them: fractions up to nanoseconds, "Z"
 * or an offset. ns since 1970, UTC; year 1 is Go's zero time and 0 here. What lies
 * outside 1678..2262 is clamped. Any thread.
 */
#ifndef CONTROLPLANE_TAILCFG_TIME_TEXT_H
#define CONTROLPLANE_TAILCFG_TIME_TEXT_H

#include <stdint.h>

#define TIME_TEXT_MAX 40

/* 0, or -EINVAL with out untouched. */
int time_text_parse(const char *text, int64_t *out_ns);
/* "2026-11-24T20:43:29.5Z"; 0 is "0001-01-01T00:00:00Z". Returns buf, TIME_TEXT_MAX bytes. */
const char *time_text_print(int64_t ns, char *buf);

#endif
