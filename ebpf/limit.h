/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The handshake flood limiter. A token bucket kept as one time stamp: the time
 * at which it will be full again. A message moves it one interval ahead; a
 * bucket whose time lies `burst` intervals ahead is empty. One word can be
 * exchanged atomically, and an idle bucket needs no upkeep.
 *
 * Per source first, then for all together: one loud source must not use up what
 * the others need. Sources can be forged, hence the second bucket, and hence
 * the LRU map: a flood of forged sources only pushes out older ones.
 *
 * A limiter, not a judge: mac1 and cookies are checked by causewayd.
 */
#ifndef EBPF_LIMIT_H
#define EBPF_LIMIT_H

#include "ebpf/maps.h"

#define LIMIT_TRIES 4 /* against other CPUs that take from the same bucket */

/* Takes one message from the bucket; 0 if it is empty. */
static __always_inline int bucket_take(__u64 *full_at_ns, __u64 now_ns, __u64 interval_ns,
				       __u32 burst)
{
#pragma unroll
	for (int i = 0; i < LIMIT_TRIES; i++) {
		__u64 seen_ns = *(volatile __u64 *)full_at_ns;
		__u64 base_ns = seen_ns > now_ns ? seen_ns : now_ns;
		__u64 next_ns = base_ns + interval_ns;

		if (next_ns - now_ns > interval_ns * burst)
			return 0;
		if (__sync_val_compare_and_swap(full_at_ns, seen_ns, next_ns) == seen_ns)
			return 1;
	}
	return 0; /* so contended that it is a flood */
}

static __always_inline enum steer_verdict limit_handshake(const struct steer_addr *source)
{
	__u32 zero = 0;
	struct steer_limits *l = bpf_map_lookup_elem(&limits, &zero);
	__u64 *all = bpf_map_lookup_elem(&total, &zero);
	__u64 now_ns, *own;

	if (!l || !all)
		return STEER_WAN_HANDSHAKE;
	now_ns = bpf_ktime_get_ns();
	if (l->source_interval_ns) {
		own = bpf_map_lookup_elem(&sources, source);
		if (!own) {
			/* Another CPU may have made it meanwhile: then its value stands. */
			bpf_map_update_elem(&sources, source, &now_ns, BPF_NOEXIST);
			own = bpf_map_lookup_elem(&sources, source);
		}
		if (own && !bucket_take(own, now_ns, l->source_interval_ns, l->source_burst))
			return STEER_WAN_FLOOD_SOURCE;
	}
	if (l->total_interval_ns && !bucket_take(all, now_ns, l->total_interval_ns, l->total_burst))
		return STEER_WAN_FLOOD_TOTAL;
	return STEER_WAN_HANDSHAKE;
}

#endif
