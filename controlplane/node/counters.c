/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/counters.h"

#include <assert.h>

#include "lib/dpapi/dpapi.h"

const struct counter_info counter_infos[COUNTER_COUNT] = {
#define X(name, fault, help) {#name, fault, help},
	COUNTERS(X)
#undef X
};

/* They travel in struct dpapi_counter. */
#define X(name, fault, help)                                                                       \
	static_assert(sizeof(#name) <= DPAPI_NAME_MAX, #name);                                     \
	static_assert(sizeof(help) <= DPAPI_ERROR_TEXT, #name);
COUNTERS(X)
#undef X
