// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The sk_reuseport program of the `kernel` port: which socket of the group a
 * datagram goes to. Data messages (WireGuard type 4, plain or inside Geneve) go
 * to one of the workers' sockets; everything else goes to causewayd's. Which worker
 * is the receiver index modulo their number, so that the lanes of a peer come to
 * different ones (docs/protocol/lanes.md); inside Geneve, the hash of the 4-tuple.
 *
 * Each group (IPv4, IPv6, one a listening port) has an instance of its own, since
 * a program can select sockets of its own group only. A socket leaves its map by
 * itself when it is closed; a datagram whose socket is gone goes to worker 0, and
 * with that gone too to whatever the kernel's hash picks: each side hands the
 * other what is not its own.
 *
 * The program sees the first datagram of a GRO super-packet only (and GRO's own
 * look-up does not ask it at all), so readers check every segment.
 */
#include <linux/bpf.h>
#include <linux/udp.h>

#include <bpf/bpf_helpers.h>

#include "ebpf/message.h"
#include "ebpf/steer_shared.h"

char LICENSE[] SEC("license") = "GPL";

/* How many entries of `workers` are in use. User space writes it at any time. */
volatile __u32 worker_count;

/* The workers' sockets, dense from 0. */
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, REUSEPORT_WORKERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} workers SEC(".maps");

/* causewayd's socket. */
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} control SEC(".maps");

/* One count a verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REUSEPORT_VERDICT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int verdict(enum reuseport_verdict v)
{
	__u32 key = v;
	__u64 *count = bpf_map_lookup_elem(&counters, &key);

	if (count)
		(*count)++;
	return SK_PASS; /* with no socket selected: the kernel's own choice */
}

/* ctx->data is the UDP header; what lies behind it may be paged out of line. */
static __always_inline enum message_kind kind_of(struct sk_reuseport_md *ctx, __u32 *spread)
{
	__u8 peek[MESSAGE_PEEK_BYTES];
	enum message_kind kind;

	if (ctx->len < sizeof(struct udphdr) + MESSAGE_PEEK_BYTES ||
	    bpf_skb_load_bytes(ctx, sizeof(struct udphdr), peek, sizeof(peek)))
		return MESSAGE_OTHER;
	kind = message_kind(peek, ctx->len - sizeof(struct udphdr));
	if (kind == MESSAGE_DATA)
		*spread = peek[4] | peek[5] << 8 | peek[6] << 16 | (__u32)peek[7] << 24;
	return kind;
}

SEC("sk_reuseport")
int choose_socket(struct sk_reuseport_md *ctx)
{
	__u32 spread = ctx->hash, count = worker_count, slot = 0;
	enum message_kind kind = kind_of(ctx, &spread);

	if (kind == MESSAGE_DATA || kind == MESSAGE_DATA_GENEVE) {
		if (count)
			slot = spread % count;
		if (!bpf_sk_select_reuseport(ctx, &workers, &slot, 0))
			return verdict(kind == MESSAGE_DATA ? REUSEPORT_DATA
							    : REUSEPORT_DATA_GENEVE);
	} else if (!bpf_sk_select_reuseport(ctx, &control, &slot, 0)) {
		return verdict(REUSEPORT_CONTROL);
	}
	slot = 0;
	if (!bpf_sk_select_reuseport(ctx, &workers, &slot, 0))
		return verdict(REUSEPORT_FALLBACK);
	return verdict(REUSEPORT_NO_SOCKET);
}
