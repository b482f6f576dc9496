/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What the eBPF programs and user space share: map keys and values, limits, and
 * the names of every verdict. The only header that both sides include: constants
 * and layouts, no code. Fields are in host order unless they hold addresses.
 */
#ifndef EBPF_STEER_SHARED_H
#define EBPF_STEER_SHARED_H

#include <linux/types.h>

#define STEER_PORTS_MAX	   4  /* UDP ports that are ours */
#define STEER_IFACES_MAX   16 /* interfaces the programs are attached to */
#define STEER_QUEUES_MAX   64 /* receive queues of an interface */
#define STEER_LOCALS_MAX   4096
#define STEER_PREFIXES_MAX (1 << 20)
#define STEER_SOURCES_MAX  16384 /* handshake sources remembered, the oldest forgotten */

/* map `ifaces`, key: ifindex. An interface that is not in it passes everything. */
struct steer_iface {
	__u32 xsk_base; /* its queue q uses xsks_map[xsk_base + q]; n * STEER_QUEUES_MAX */
	__u8 mac[6];	/* its own: other frames are not ours to forward */
	__u16 zero;
};

/* map `locals`, key. IPv4 as ::ffff:a.b.c.d; the value is a __u32 without meaning. */
struct steer_addr {
	__u8 addr[16];
};

/* maps `mesh4` and `mesh6`, keys; network order, as the kernel's LPM wants it. */
struct steer_key4 {
	__u32 prefix_len;
	__u8 addr[4];
};

struct steer_key6 {
	__u32 prefix_len;
	__u8 addr[16];
};

/*
 * The prefix is the kernel's, not the mesh's: a hole in a shorter mesh prefix
 * (the connected networks below an exit node's 0.0.0.0/0).
 */
#define STEER_PREFIX_KERNEL 1u

/* maps `mesh4` and `mesh6`, value. */
struct steer_prefix {
	__u32 flags;	 /* STEER_PREFIX_* */
	__u32 mtu_bytes; /* longest inner packet (IP header included) that is taken */
};

/*
 * map `limits`, one entry: how many handshake messages (types 1 to 3) reach
 * causewayd. A bucket of `burst` messages that gains one every interval_ns;
 * interval 0 switches that limit off.
 */
struct steer_limits {
	__u64 source_interval_ns; /* per IPv4 address or IPv6 /64 */
	__u64 total_interval_ns;
	__u32 source_burst;
	__u32 total_burst;
};

/*
 * map `counters`: one per-CPU __u64 a verdict, indexed by enum steer_verdict.
 * X(name, XDP action, sentence). Appended to, never reordered: tools read by index.
 */
#define STEER_VERDICTS(X)                                                                          \
	X(WAN_DATA, REDIRECT, "data message, to the dataplane")                                    \
	X(WAN_DATA_GENEVE, REDIRECT, "data message inside Geneve, to the dataplane")               \
	X(WAN_NO_SOCKET, PASS, "data message, but the queue has no dataplane socket")              \
	X(WAN_HANDSHAKE, PASS, "handshake message within its limits")                              \
	X(WAN_FLOOD_SOURCE, DROP, "handshake message above the limit of its source")               \
	X(WAN_FLOOD_TOTAL, DROP, "handshake message above the limit of all sources")               \
	X(WAN_OTHER_MESSAGE, PASS, "our port, but neither data nor handshake")                     \
	X(WAN_OTHER_PORT, PASS, "UDP to another port")                                             \
	X(WAN_OTHER_ADDR, PASS, "our port at an address that is not this host's")                  \
	X(WAN_OTHER_MAC, PASS, "frame not addressed to this interface")                            \
	X(WAN_OTHER_PROTO, PASS, "IP, but not UDP")                                                \
	X(WAN_FRAGMENT, PASS, "IP fragment, left to the kernel's reassembly")                      \
	X(WAN_OPTIONS, PASS, "IPv4 options or IPv6 extension headers")                             \
	X(WAN_VLAN, PASS, "VLAN-tagged frame")                                                     \
	X(WAN_NOT_IP, PASS, "neither IPv4 nor IPv6")                                               \
	X(WAN_MALFORMED, PASS, "header cut short or lengths that disagree")                        \
	X(WAN_NO_IFACE, PASS, "interface not configured")                                          \
	X(LAN_MESH, REDIRECT, "packet for a mesh prefix, to the dataplane")                        \
	X(LAN_NO_SOCKET, PASS, "packet for a mesh prefix, but the queue has no dataplane socket")  \
	X(LAN_NO_PREFIX, PASS, "no mesh prefix covers the destination")                            \
	X(LAN_KERNEL_PREFIX, PASS, "the longest matching prefix is the kernel's")                  \
	X(LAN_LOCAL, PASS, "destination is an address of this host")                               \
	X(LAN_SCOPE, PASS, "multicast, broadcast or link-local, never forwarded here")             \
	X(LAN_TTL, PASS, "TTL or hop limit used up, time-exceeded is the kernel's")                \
	X(LAN_TOO_BIG, PASS, "longer than the prefix' MTU, too-big is the kernel's")               \
	X(LAN_FRAGMENT, PASS, "IPv4 fragment")                                                     \
	X(LAN_OPTIONS, PASS, "IPv4 options or IPv6 extension headers")                             \
	X(LAN_OTHER_MAC, PASS, "frame not addressed to this interface")                            \
	X(LAN_VLAN, PASS, "VLAN-tagged frame")                                                     \
	X(LAN_NOT_IP, PASS, "neither IPv4 nor IPv6")                                               \
	X(LAN_MALFORMED, PASS, "header cut short or lengths that disagree")                        \
	X(LAN_NO_IFACE, PASS, "interface not configured")

enum steer_verdict {
#define STEER_ENUM(name, action, sentence) STEER_##name,
	STEER_VERDICTS(STEER_ENUM)
#undef STEER_ENUM
		STEER_VERDICT_COUNT
};

#define REUSEPORT_WORKERS_MAX 64 /* dataplane sockets of a group */

/* The reuseport program's counters, as above: X(name, sentence). */
#define REUSEPORT_VERDICTS(X)                                                                      \
	X(DATA, "data message, to a worker's socket")                                              \
	X(DATA_GENEVE, "data message inside Geneve, to a worker's socket")                         \
	X(CONTROL, "anything else, to causewayd's socket")                                         \
	X(FALLBACK, "the socket meant is missing, to the first worker's")                          \
	X(NO_SOCKET, "no socket known, left to the kernel's choice within the group")

enum reuseport_verdict {
#define REUSEPORT_ENUM(name, sentence) REUSEPORT_##name,
	REUSEPORT_VERDICTS(REUSEPORT_ENUM)
#undef REUSEPORT_ENUM
		REUSEPORT_VERDICT_COUNT
};

#endif
