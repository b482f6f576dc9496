/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a packet was dropped. A drop is a value in the packet's metadata; the one
 * place that counts and frees is packet_finish() in packet.c.
 *
 * X(NAME, fault, sentence). fault 1 marks the kinds that mean something is
 * broken or attacked: a healthy gateway shows zero there.
 */
#ifndef DATAPLANE_DROP_H
#define DATAPLANE_DROP_H

#define DROP_REASONS(X)                                                                            \
	X(DROP_NONE, 0, "not dropped")                                                             \
	/* classify */                                                                             \
	X(DROP_CLASSIFY_RUNT, 1, "outer datagram shorter than its message type allows")            \
	X(DROP_CLASSIFY_OVERSIZE, 1, "outer datagram larger than any peer may send")               \
	/* open */                                                                                 \
	X(DROP_OPEN_UNKNOWN_INDEX, 1, "receiver index of no session")                              \
	X(DROP_OPEN_EXPIRED, 0, "session older than 180 s")                                        \
	X(DROP_OPEN_BAD_TAG, 1, "authentication failed")                                           \
	X(DROP_OPEN_REPLAY, 1, "counter seen already")                                             \
	X(DROP_OPEN_TOO_OLD, 1, "counter older than the replay window")                            \
	X(DROP_OPEN_NO_WINDOW, 0, "no memory for a replay window, or it is being cleared")         \
	X(DROP_OPEN_COUNTER_LIMIT, 1, "counter beyond the last allowed one")                       \
	X(DROP_OPEN_NOT_IP, 1, "opened packet is not IPv4 or IPv6")                                \
	X(DROP_OPEN_BAD_LENGTH, 1, "opened packet shorter than its IP length")                     \
	X(DROP_OPEN_SRC_NOT_ALLOWED, 1, "inner source is not among the peer's allowed IPs")        \
	X(DROP_OPEN_LANE_FLOOD, 0, "more messages about lanes than causewayd is asked to read")    \
	X(DROP_OPEN_ECN, 0, "outer congestion mark on a packet that cannot carry it (RFC 6040)")   \
	/* filter */                                                                               \
	X(DROP_FILTER_NO_POLICY, 0, "no packet filter is configured: nothing passes")              \
	X(DROP_FILTER_NO_RULE, 0, "no rule of the packet filter allows it")                        \
	X(DROP_FILTER_NOT_LOCAL, 0, "inner destination is not a prefix of this gateway")           \
	X(DROP_FILTER_MALFORMED, 1, "inner packet whose protocol cannot be read")                  \
	X(DROP_FILTER_MULTICAST, 0, "inner destination is multicast")                              \
	X(DROP_FILTER_LINK_LOCAL, 0, "inner destination is link-local")                            \
	/* route */                                                                                \
	X(DROP_ROUTE_NO_PEER, 0, "no peer has this destination among its allowed IPs")             \
	X(DROP_ROUTE_NOT_IP, 0, "packet from the inside is not IPv4 or IPv6")                      \
	X(DROP_ROUTE_BAD_LENGTH, 1, "packet from the inside is shorter than its IP length")        \
	X(DROP_ROUTE_TTL, 0, "TTL or hop limit ran out where no error can be sent")                \
	X(DROP_MTU_TOO_BIG, 0, "larger than the peer's MTU")                                       \
	/* seal */                                                                                 \
	X(DROP_SEAL_STAGED_OVERFLOW, 0, "128 packets of the peer wait for a handshake already")    \
	X(DROP_SEAL_STAGED_TIMEOUT, 0, "waited for a handshake that did not come")                 \
	X(DROP_SEAL_NO_PATH, 0, "peer has no endpoint yet")                                        \
	X(DROP_SEAL_COUNTER_LIMIT, 1, "session has used its last counter")                         \
	X(DROP_SEAL_NO_BUFFER, 1, "no buffer to seal into")                                        \
	/* tx */                                                                                   \
	X(DROP_TX_TUN_FULL, 0, "kernel did not take the packet from the TUN in time")              \
	X(DROP_TX_TUN_ERROR, 1, "kernel refused the packet on the TUN")                            \
	X(DROP_TX_UDP_FULL, 0, "socket send buffer is full")                                       \
	X(DROP_TX_UDP_ERROR, 0, "kernel refused to send the datagram (no route, unreachable)")     \
	X(DROP_TX_RING_FULL, 0, "transmit ring of the interface is full")                          \
	X(DROP_TX_NO_BUFFER, 1, "no frame to send with")                                           \
	X(DROP_TX_NO_PORT, 1, "packet with no way out")                                            \
	/* rx */                                                                                   \
	X(DROP_RX_TRUNCATED, 1, "packet longer than the receive buffer")                           \
	X(DROP_RX_BAD_FRAME, 0, "frame that is not an IP packet for this gateway")                 \
	X(DROP_RX_BAD_GSO, 1, "super-packet whose headers cannot be split")                        \
	/* packet channel to causewayd */                                                          \
	X(DROP_CHANNEL_FULL, 0, "packet channel to causewayd is full or closed")                   \
	X(DROP_CHANNEL_BAD, 1, "message on the packet channel that is not understood")

enum drop_reason {
#define X(name, fault, help) name,
	DROP_REASONS(X)
#undef X
		DROP_REASON_COUNT
};

const char *drop_name(enum drop_reason r);
const char *drop_help(enum drop_reason r);
int drop_is_fault(enum drop_reason r);

#endif
