/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of ebpf_test and what they report with. */
#ifndef TESTS_EBPF_EBPF_TEST_H
#define TESTS_EBPF_EBPF_TEST_H

#include <stdbool.h>

/* Counts a check; a failed one is printed with what it was about. */
bool check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void steer_test(void);
void reuseport_test(void);

#endif
