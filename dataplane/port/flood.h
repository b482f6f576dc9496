/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake flood limiter of ports that the kernel's XDP program does not stand
 * before: what ebpf/limit.h does, with the same buckets.
 *
 * A bucket is one time stamp: when it will be full again. A message moves it one
 * interval ahead; a bucket whose time lies `burst` intervals ahead is empty. Per source
 * first (an IPv4 address, an IPv6 /64), then for all together. Sources are found by a
 * keyed hash; two that share a bucket share its rate, which only a flood notices.
 *
 * Shared by the workers: a bucket is one word, exchanged atomically. A limiter, not a
 * judge: mac1 and cookies are checked by causewayd.
 */
#ifndef DATAPLANE_PORT_FLOOD_H
#define DATAPLANE_PORT_FLOOD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FLOOD_SOURCES 16384u

/*
 * Handshakes that reach causewayd: one source is a peer behind its address, or a
 * relay or NAT with many. All together is more than one core works on, and less
 * than it answers with cookies: a flood from everywhere has to put causewayd
 * under load, where mac2 tells peers from forgers. This limit drops both alike.
 */
#define FLOOD_SOURCE_RATE_PPS 100u
#define FLOOD_SOURCE_BURST    200u
#define FLOOD_TOTAL_RATE_PPS  50000u
#define FLOOD_TOTAL_BURST     50000u

enum flood_verdict { FLOOD_PASS, FLOOD_SOURCE, FLOOD_TOTAL };

struct flood {
	uint64_t seed;
	_Atomic uint64_t total_full_ns __attribute__((aligned(64)));
	_Atomic uint64_t source_full_ns[FLOOD_SOURCES];
};

/* NULL: no memory. */
struct flood *flood_new(void);
void flood_free(struct flood *f);
/* May this handshake message pass? addr: 4 bytes, or 16 of which 8 count. */
enum flood_verdict flood_take(struct flood *f, const uint8_t *addr, bool is_v4, uint64_t now_ns);

#endif
