/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the WireGuard engines need from outside and may not take themselves:
 * random bytes, time, and local indices. The daemon, a test, a fuzzer and a
 * simulation each bring their own.
 */
#ifndef CONTROLPLANE_NOISE_WG_ENV_H
#define CONTROLPLANE_NOISE_WG_ENV_H

#include <stddef.h>
#include <stdint.h>

struct wg_random {
	void *ctx;
	void (*fill)(void *ctx, void *buf, size_t len); /* never fails */
};

/* Local indices of all peers of the node, handshakes and sessions alike. */
struct wg_indices {
	void *ctx;
	/* A random index that nobody uses, never 0; 0: none is left. */
	uint32_t (*alloc)(void *ctx, uint32_t peer_id);
	void (*free)(void *ctx, uint32_t index);
};

struct wg_time {
	uint64_t now_ns;  /* CLOCK_BOOTTIME: timers and ages; never 0 */
	uint64_t wall_ns; /* since 1970: the timestamp of initiations only */
};

#endif
