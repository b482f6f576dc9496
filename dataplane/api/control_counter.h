/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters that causewayd keeps (handshakes it refused, by reason), held here so
 * that `dp show counters` is one table for the whole node. Control thread.
 */
#ifndef DATAPLANE_API_CONTROL_COUNTER_H
#define DATAPLANE_API_CONTROL_COUNTER_H

#include "lib/dpapi/dpapi.h"

#define CONTROL_COUNTERS_MAX 64

/* The last value of this name wins. 0, -EINVAL (no name), -ENOSPC. */
int control_counter_set(const struct dpapi_counter *m);
unsigned control_counter_count(void);
const struct dpapi_counter *control_counter_get(unsigned i);

#endif
