/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpapi: what causewayd and the CLI say to causeway-dp, and what it says back.
 * One SOCK_SEQPACKET Unix socket, one message a packet, little-endian structs
 * (both ends are on one host; big-endian machines are not supported and do not
 * compile). docs/dpapi.md tells the conversation.
 *
 *   client                                   causeway-dp
 *   HELLO (role, version)          ->
 *                                  <-        HELLO_REPLY (instance, slots) + descriptors
 *                                  <-        PORT x n, (controller:) PEER_STATE x n,
 *                                            SESSION_STATE x n, DUMP_END
 *   PEER_SET, ROUTE_SET, RULES, .. ->                        (idempotent upserts)
 *   BARRIER (generation)           ->                        (sweeps what is older)
 *                                  <-        ACK (seq, error)   to messages that ask for one
 *                                  <-        EVENT_*            at any time
 *
 * Each message begins with struct dpapi_hdr. hdr.len is the length of the whole
 * message. A message shorter than the receiver's struct is zero-filled; a longer
 * one is accepted only if the surplus is all zero, else refused (-E2BIG) with
 * the message's name; so a new field's zero must mean "as before".
 * Objects carry hdr.generation; a BARRIER with DPAPI_BARRIER_SWEEP removes the
 * peers and routes that no message of its generation named.
 *
 * Times are CLOCK_BOOTTIME nanoseconds (lib/base/clock.h), the same in both
 * processes. Peer ids are chosen by the controller, dense from 1 up; 0 is none.
 * Session indices are chosen by the controller: random in all bits, and unique
 * in their low bits, hello_reply.session_slots being a power of two
 * (table/session.h).
 */
#ifndef LIB_DPAPI_DPAPI_H
#define LIB_DPAPI_DPAPI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "dpapi is little-endian");

#define DPAPI_VERSION	   1
#define DPAPI_MSG_MAX	   65536
#define DPAPI_ERROR_TEXT   112
#define DPAPI_NAME_MAX	   32
#define DPAPI_KEY_BYTES	   32
#define DPAPI_CHAN_MSG_MAX 65600 /* packet channel: struct dpapi_chan_hdr + payload */

/* X(NAME, number, struct, sentence). Down: client to dataplane. Up: the reverse. */
#define DPAPI_MESSAGES(X)                                                                          \
	X(HELLO, 1, dpapi_hello, "first message of a client")                                      \
	X(PEER_SET, 2, dpapi_peer_set, "make or change a peer")                                    \
	X(PEER_DEL, 3, dpapi_peer_del, "remove a peer, its sessions and routes")                   \
	X(ROUTE_SET, 4, dpapi_route, "prefix goes to a peer")                                      \
	X(ROUTE_DEL, 5, dpapi_route, "prefix goes to no peer")                                     \
	X(SESSION_SET, 6, dpapi_session_set, "install a transport session")                        \
	X(SESSION_DEL, 7, dpapi_session_del, "remove a transport session")                         \
	X(ENDPOINT_SET, 8, dpapi_endpoint_set, "where packets for a peer go")                      \
	X(RULES, 9, dpapi_rules, "replace the packet filter")                                      \
	X(SEND_KEEPALIVE, 10, dpapi_peer_ref, "seal and send an empty packet")                     \
	X(DROP_STAGED, 11, dpapi_peer_ref, "drop the packets that wait for a handshake")           \
	X(BARRIER, 12, dpapi_barrier, "end of a batch")                                            \
	X(SHOW, 13, dpapi_show, "ask for a table as JSON text")                                    \
	X(LOCAL_SET, 14, dpapi_local, "prefix is served by this gateway (filter)")                 \
	X(COUNTER, 15, dpapi_counter, "a counter of causewayd, for dp show counters")              \
	X(LANE_SET, 16, dpapi_lane_set, "a lane may carry data until then")                        \
	X(HELLO_REPLY, 64, dpapi_hello_reply, "what the dataplane is, with descriptors")           \
	X(PORT, 65, dpapi_port, "one port of the dataplane")                                       \
	X(PEER_STATE, 66, dpapi_peer_state, "one peer that the dataplane has")                     \
	X(SESSION_STATE, 67, dpapi_session_state, "one session that the dataplane has")            \
	X(DUMP_END, 68, dpapi_dump_end, "the picture is complete")                                 \
	X(ACK, 69, dpapi_ack, "a message was applied or refused")                                  \
	X(SHOW_REPLY, 70, dpapi_show_reply, "a piece of JSON text")                                \
	X(EVENT_HANDSHAKE, 80, dpapi_event, "a packet waits for a session")                        \
	X(EVENT_CONFIRMED, 81, dpapi_event, "first packet opened on a session")                    \
	X(EVENT_ACTIVITY, 82, dpapi_event_activity, "sent or received and not answered")           \
	X(EVENT_ROAMED, 83, dpapi_event_roamed, "authenticated packet from another address")       \
	X(EVENT_REKEY, 84, dpapi_event, "a session was used past its age or counter")              \
	X(EVENT_SESSION_GONE, 85, dpapi_event, "a session was removed or has expired")             \
	X(EVENT_TRAFFIC, 86, dpapi_event, "authenticated traffic, at most once a second a peer")   \
	X(EVENT_LANE_TRAFFIC, 87, dpapi_event, "data goes to a peer with lanes, once a second")

enum dpapi_type {
#define X(name, number, type, help) DPAPI_##name = number,
	DPAPI_MESSAGES(X)
#undef X
};

struct dpapi_hdr {
	uint16_t type;	     /* enum dpapi_type */
	uint16_t flags;	     /* DPAPI_WANT_ACK */
	uint32_t len;	     /* bytes of the whole message */
	uint32_t seq;	     /* chosen by the sender, comes back in ACK */
	uint32_t generation; /* of the batch it belongs to */
};

#define DPAPI_WANT_ACK 1 /* a refused message is answered with an ACK in any case */

/* An outer UDP address. IPv4 in the first four bytes. */
struct dpapi_addr {
	uint8_t bytes[16];
	uint16_t family; /* AF_INET, AF_INET6, 0 = none */
	uint16_t port;	 /* host order */
};

/*
 * A network path: (kind, local port, remote, VNI, lane). Kind UDP with vni 0 is
 * the direct one; RELAY is Geneve with the VNI; CHANNEL hands sealed packets to
 * causewayd (DERP region in port of remote).
 */
enum dpapi_path_kind {
	DPAPI_PATH_NONE = 0,
	DPAPI_PATH_UDP = 1,
	DPAPI_PATH_RELAY = 2,
	DPAPI_PATH_CHANNEL = 3,
};

struct dpapi_path {
	uint8_t kind;	     /* enum dpapi_path_kind */
	uint8_t lane;	     /* from (at) which UDP port: 0 = the listen port, n = lane port n */
	uint16_t local_port; /* index of the dataplane's port, 0 = the first */
	uint32_t vni;	     /* 24 bits; 0 = no Geneve header */
	struct dpapi_addr remote;
};

enum dpapi_role {
	DPAPI_ROLE_OBSERVER = 0,   /* may only SHOW */
	DPAPI_ROLE_CONTROLLER = 1, /* one at a time; a newer one takes over */
};

struct dpapi_hello {
	struct dpapi_hdr hdr;
	uint32_t version; /* DPAPI_VERSION */
	uint32_t role;	  /* enum dpapi_role */
	char program[DPAPI_NAME_MAX];
};

/*
 * Descriptors come as SCM_RIGHTS with the reply, controllers only, in the order
 * udp_fds sockets (bound, SO_REUSEPORT members that get all that is not
 * type 4, with UDP_GRO and TOS/pktinfo control messages on), then the packet
 * channel (SOCK_SEQPACKET, non-blocking).
 */
struct dpapi_hello_reply {
	struct dpapi_hdr hdr;
	uint32_t version;
	uint32_t pid;
	uint64_t instance;	/* random, new at each start of the dataplane */
	uint32_t session_slots; /* power of two; see above */
	uint16_t port_count;
	uint16_t udp_fds;
	uint32_t workers;
	uint32_t controller_generation; /* last barrier that was applied, 0 = none */
	char engine[DPAPI_NAME_MAX];
};

enum dpapi_port_kind { DPAPI_PORT_KERNEL = 1, DPAPI_PORT_XDP = 2, DPAPI_PORT_DPDK = 3 };

struct dpapi_port {
	struct dpapi_hdr hdr;
	uint16_t index;
	uint16_t kind;	      /* enum dpapi_port_kind */
	uint16_t listen_port; /* UDP, host order */
	uint16_t mtu_max;     /* largest inner MTU that the port carries */
	uint32_t tun_ifindex;
	uint32_t features; /* DPAPI_FEATURE_* */
	char tun[DPAPI_NAME_MAX];
	uint32_t udp_fd_v4; /* 1-based position in the hello's descriptors, 0 = none */
	uint32_t udp_fd_v6;
	uint32_t lanes; /* lane ports that it has (docs/protocol/lanes.md) */
};

#define DPAPI_FEATURE_TUN_TSO	(1u << 0)
#define DPAPI_FEATURE_TUN_USO	(1u << 1)
#define DPAPI_FEATURE_UDP_GSO	(1u << 2)
#define DPAPI_FEATURE_UDP_GRO	(1u << 3)
#define DPAPI_FEATURE_XDP_DRV	(1u << 4) /* native mode */
#define DPAPI_FEATURE_XDP_ZC	(1u << 5) /* zero copy */
#define DPAPI_FEATURE_XDP_FRAGS (1u << 6) /* multi-buffer */

struct dpapi_peer_set {
	struct dpapi_hdr hdr;
	uint32_t id;
	uint32_t flags; /* DPAPI_PEER_* */
	uint8_t public_key[DPAPI_KEY_BYTES];
	uint16_t mtu; /* largest inner packet to this peer: too-big, MSS clamp, padding */
	uint16_t reserved;
	uint32_t reserved2;
};

#define DPAPI_PEER_JAILED (1u << 0) /* may answer, not initiate */

struct dpapi_peer_del {
	struct dpapi_hdr hdr;
	uint32_t id;
	uint32_t reserved;
};

struct dpapi_peer_ref {
	struct dpapi_hdr hdr;
	uint32_t id;
	uint32_t reserved;
};

/*
 * Both directions of WireGuard's allowed IPs: packets to the prefix go to the
 * peer, packets from the peer must come from such a prefix.
 */
struct dpapi_route {
	struct dpapi_hdr hdr;
	uint8_t addr[16];
	uint16_t family; /* AF_INET, AF_INET6 */
	uint8_t prefix_len;
	uint8_t reserved;
	uint32_t peer_id; /* ROUTE_DEL: removed only if it is this peer's */
};

/* A prefix that the filter takes as its own (docs/protocol/tunnel.md, "local prefixes"). */
struct dpapi_local {
	struct dpapi_hdr hdr;
	uint8_t addr[16];
	uint16_t family;
	uint8_t prefix_len;
	uint8_t remove;
	uint32_t reserved;
};

#define DPAPI_SESSION_INITIATOR (1u << 0)
#define DPAPI_SESSION_CONFIRMED                                                                    \
	(1u << 1) /* may send at once; else after the first opened packet                          \
		   */

struct dpapi_session_set {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t local_index;
	uint32_t remote_index;
	uint32_t flags; /* DPAPI_SESSION_* */
	uint64_t born_ns;
	uint64_t expire_ns;   /* neither sends nor receives from here on */
	uint64_t rekey_tx_ns; /* a packet sent later raises EVENT_REKEY; 0 = never */
	uint64_t rekey_rx_ns; /* a packet received later raises EVENT_REKEY; 0 = never */
	uint8_t send_key[DPAPI_KEY_BYTES];
	uint8_t recv_key[DPAPI_KEY_BYTES];
	uint8_t lane;
	uint8_t reserved[7];
};

/*
 * Workers send data in lane `lane` (1 and up) of the peer, on the session of that
 * lane and over that path, until then; what is sent later, and all after 0, goes
 * in lane 0. Sessions of lanes are installed by SESSION_SET as all are, with their
 * number in `lane`.
 */
struct dpapi_lane_set {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t local_index;
	uint64_t until_ns;
	struct dpapi_path path;
	uint8_t lane;
	uint8_t reserved[3];
};

struct dpapi_session_del {
	struct dpapi_hdr hdr;
	uint32_t local_index;
	uint32_t reserved;
};

struct dpapi_endpoint_set {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t reserved;
	struct dpapi_path path;
};

enum dpapi_filter_mode {
	DPAPI_FILTER_NONE = 0, /* no policy: nothing passes */
	DPAPI_FILTER_ALLOW_ALL = 1,
	DPAPI_FILTER_RULES = 2,
};

/* One rule: any source, any destination, any protocol of it. Follows dpapi_rules. */
struct dpapi_rule {
	uint32_t src_first; /* into the ranges that follow the rules */
	uint32_t src_count;
	uint32_t dst_first;
	uint32_t dst_count;
	uint8_t protos[32]; /* IP protocol numbers, 0 ends the list; empty: TCP, UDP, ICMP, ICMPv6
			     */
};

struct dpapi_range {
	uint8_t first[16]; /* network order, inclusive; IPv4 in the first four bytes */
	uint8_t last[16];
	uint16_t family;
	uint16_t port_first; /* host order, inclusive; destinations only */
	uint16_t port_last;
	uint16_t reserved;
};

/*
 * The whole filter in one or several messages: offset 0 begins a set, the
 * message with the last byte publishes it. body = rule_count dpapi_rule, then
 * range_count dpapi_range.
 */
struct dpapi_rules {
	struct dpapi_hdr hdr;
	uint32_t mode; /* enum dpapi_filter_mode */
	uint32_t rule_count;
	uint32_t range_count;
	uint32_t total_bytes; /* of the body */
	uint32_t offset;      /* of this piece */
	uint32_t piece_bytes; /* that follow this struct */
};

/*
 * A counter that causewayd keeps (messages it refused, by reason), so that
 * `dp show counters` shows all of a node in one table. The last value wins.
 */
struct dpapi_counter {
	struct dpapi_hdr hdr;
	uint64_t value;
	uint32_t is_fault;
	uint32_t reserved;
	char name[DPAPI_NAME_MAX]; /* CONTROL_... */
	char help[DPAPI_ERROR_TEXT];
};

#define DPAPI_BARRIER_SWEEP 1

struct dpapi_barrier {
	struct dpapi_hdr hdr; /* always acknowledged */
	uint32_t flags;
	uint32_t reserved;
};

struct dpapi_peer_state {
	struct dpapi_hdr hdr;
	uint32_t id;
	uint32_t flags;
	uint8_t public_key[DPAPI_KEY_BYTES];
	uint64_t rx_bytes; /* inner bytes opened */
	uint64_t tx_bytes; /* inner bytes sealed */
	uint64_t rx_packets;
	uint64_t tx_packets;
	uint64_t last_rx_ns; /* authenticated */
	uint64_t last_tx_ns;
	struct dpapi_path path;
	uint32_t reserved;
};

struct dpapi_session_state {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t local_index;
	uint32_t remote_index;
	uint32_t flags; /* DPAPI_SESSION_*: CONFIRMED as it is now */
	uint64_t born_ns;
	uint64_t expire_ns;
	uint64_t rekey_tx_ns;
	uint64_t rekey_rx_ns;
	uint64_t send_counter; /* next to be used */
	uint64_t recv_counter; /* highest accepted, 0 = none */
	uint8_t lane;
	uint8_t is_current; /* the one that sends */
	uint8_t reserved[6];
};

struct dpapi_dump_end {
	struct dpapi_hdr hdr;
	uint32_t peers;
	uint32_t sessions;
};

struct dpapi_ack {
	struct dpapi_hdr hdr; /* seq and generation of the message answered */
	int32_t error;	      /* 0 or a negative errno */
	uint32_t type;	      /* of the message answered */
	char text[DPAPI_ERROR_TEXT];
};

struct dpapi_show {
	struct dpapi_hdr hdr;
	char what[DPAPI_NAME_MAX]; /* "ports", "counters", ... */
	uint32_t limit;		   /* rows at most, 0 = all */
	uint32_t reserved;
};

/* JSON text in pieces; more == 0 on the last. error < 0: the text is the reason. */
struct dpapi_show_reply {
	struct dpapi_hdr hdr;
	int32_t error;
	uint32_t more;
	uint32_t text_bytes; /* that follow this struct */
	uint32_t reserved;
};

struct dpapi_event {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t local_index; /* of the session, 0 = none */
	uint64_t time_ns;
};

/* Persisted for 600 ms or more when it is told; 0 = answered since. */
struct dpapi_event_activity {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t reserved;
	uint64_t tx_unanswered_ns; /* first data sent after the last authenticated receipt */
	uint64_t rx_unanswered_ns; /* first data received after the last send */
};

struct dpapi_event_roamed {
	struct dpapi_hdr hdr;
	uint32_t peer_id;
	uint32_t local_index;
	uint64_t time_ns;
	struct dpapi_path path; /* where the packet came from */
	uint32_t reserved;
};

/*
 * The packet channel: one message a packet, struct dpapi_chan_hdr and payload.
 * Full: the sender drops and counts.
 */
enum dpapi_chan_kind {
	DPAPI_CHAN_SEALED = 1,	  /* WireGuard type 4, either way; path: from, or to */
	DPAPI_CHAN_RAW = 2,	  /* UDP payload that belongs to the other side; path: from */
	DPAPI_CHAN_INNER_IN = 3,  /* opened packet for causewayd */
	DPAPI_CHAN_INNER_OUT = 4, /* seal and send to peer_id */
	DPAPI_CHAN_LANE_IN = 5,	  /* opened message about lanes; path: from, and where it came */
	DPAPI_CHAN_LANE_OUT = 6,  /* seal on that very session and send; path: to, and whence */
};

/* What the payload of LANE_IN and LANE_OUT begins with. */
struct dpapi_chan_lane {
	uint32_t local_index; /* of the session */
	uint32_t reserved;
};

#define DPAPI_CHAN_FIRST 1 /* INNER_OUT: first packet on its session */

struct dpapi_chan_hdr {
	uint8_t kind; /* enum dpapi_chan_kind */
	uint8_t flags;
	uint8_t outer_tos;
	uint8_t reserved;
	uint32_t peer_id;
	uint32_t len; /* of the payload */
	struct dpapi_path path;
};

static_assert(sizeof(struct dpapi_hdr) == 16, "dpapi_hdr");
static_assert(sizeof(struct dpapi_addr) == 20, "dpapi_addr");
static_assert(sizeof(struct dpapi_path) == 28, "dpapi_path");
static_assert(sizeof(struct dpapi_session_set) == 136, "dpapi_session_set");
static_assert(offsetof(struct dpapi_session_set, send_key) == 64, "dpapi_session_set keys");
static_assert(sizeof(struct dpapi_lane_set) == 64, "dpapi_lane_set");
static_assert(sizeof(struct dpapi_rule) == 48, "dpapi_rule");
static_assert(sizeof(struct dpapi_range) == 40, "dpapi_range");
static_assert(sizeof(struct dpapi_chan_hdr) == 40, "dpapi_chan_hdr");

#endif
