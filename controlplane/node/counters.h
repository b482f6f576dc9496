/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What causewayd refused or could not do, by reason: shown in status, in
 * /metrics and, through the dataplane, in `causeway dp show counters`.
 *
 * X(NAME, fault, sentence). fault 1 marks the kinds that mean something is broken
 * or attacked: a healthy gateway shows zero there.
 */
#ifndef CONTROLPLANE_NODE_COUNTERS_H
#define CONTROLPLANE_NODE_COUNTERS_H

#include <stdint.h>

#define COUNTERS(X)                                                                                \
	X(CONTROL_RUNT, 1, "datagram shorter than any message")                                    \
	X(CONTROL_UNKNOWN_TYPE, 1, "datagram of no known message type")                            \
	X(CONTROL_BAD_LENGTH, 1, "handshake message of another length than its type's")            \
	X(CONTROL_QUEUE_FULL, 1, "handshake message while 1,024 of them waited")                   \
	X(CONTROL_BAD_MAC1, 1, "handshake message of somebody without our public key")             \
	X(CONTROL_COOKIE_SENT, 0, "handshake message answered with a cookie, under load")          \
	X(CONTROL_RATE_LIMITED, 0,                                                                 \
	  "handshake message above 20 a second of its source, under load")                         \
	X(CONTROL_BAD_INITIATION, 1, "initiation that does not decrypt")                           \
	X(CONTROL_BAD_RESPONSE, 1, "response that does not decrypt")                               \
	X(CONTROL_BAD_COOKIE, 1, "cookie reply that does not decrypt or that nobody asked for")    \
	X(CONTROL_LOW_ORDER, 1, "handshake message with a low-order point")                        \
	X(CONTROL_UNKNOWN_PEER, 1, "initiation with a public key that is not configured")          \
	X(CONTROL_UNKNOWN_INDEX, 0, "response or cookie reply to no handshake of ours")            \
	X(CONTROL_REPLAY, 0, "initiation whose timestamp is not newer than the last one")          \
	X(CONTROL_TOO_FAST, 0, "second initiation of a peer within 20 ms")                         \
	X(CONTROL_NO_INDEX, 1, "no free session index")                                            \
	X(CONTROL_NO_ENDPOINT, 0, "handshake wanted with a peer whose address is not known")       \
	X(CONTROL_SEND_FAILED, 0, "kernel refused to send a handshake message")                    \
	X(CONTROL_CHANNEL_FULL, 0, "packet channel to the dataplane is full")                      \
	X(CONTROL_CHANNEL_UNWANTED, 0, "message on the packet channel that has no use here")       \
	X(CONTROL_INSTALL_REFUSED, 1, "dataplane refused a session")                               \
	X(CONTROL_UNKNOWN_DISCO, 0, "disco message of nobody in the picture")                      \
	X(CONTROL_BAD_DISCO, 0, "disco message that does not decrypt, or says nothing known")      \
	X(CONTROL_UNKNOWN_DERP, 0, "packet by DERP of nobody in the picture")                      \
	X(CONTROL_DERP_DROPPED, 0, "packet for a peer that no DERP connection took")               \
	X(CONTROL_BAD_STUN, 0, "STUN message that answers nothing that we asked")                  \
	X(CONTROL_BAD_LANE, 0, "message about lanes that is malformed or of no session")           \
	X(CONTROL_DISK, 1, "timestamp that could not be kept on disk")

enum counter {
#define X(name, fault, help) name,
	COUNTERS(X)
#undef X
		COUNTER_COUNT
};

struct counter_info {
	const char *name;
	int is_fault;
	const char *help;
};

extern const struct counter_info counter_infos[COUNTER_COUNT];

struct counters {
	uint64_t value[COUNTER_COUNT];
	uint64_t told[COUNTER_COUNT]; /* to the dataplane */
};

static inline void counters_add(struct counters *c, enum counter which)
{
	c->value[which]++;
}

#endif
