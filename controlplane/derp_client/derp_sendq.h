/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that wait for a relay, as SendPacket frames. Bounded in bytes and age, the oldest go
 * first, and each that went is counted; so it holds what is worth sending while a connection is
 * made anew or takes less than comes. The relay's own limit, if it told one, is kept here, too. One
 * thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_SENDQ_H
#define CONTROLPLANE_DERP_CLIENT_DERP_SENDQ_H

#include <stddef.h>
#include <stdint.h>

#include "controlplane/derp/queue.h"
#include "controlplane/derp_client/derp_counters.h"
#include "controlplane/derp_client/derp_hello.h"
#include "lib/base/key.h"

#define DERP_SENDQ_BYTES 262144u
#define DERP_SENDQ_WAIT_MS                                                                         \
	5000		       /* for a connection: a handshake's first message is sent anew then */
#define DERP_SENDQ_OPEN_MS 500 /* for a connection that takes less than comes */

struct derp_sendq {
	struct queue queue;
	struct queue_pool pool;
	struct derp_counters *counters; /* borrowed */
	struct derp_server_info limit;
	uint64_t tokens, tokens_at_ns;
};

void derp_sendq_init(struct derp_sendq *q, struct derp_counters *counters);
/* Copies. 0 (also where the limit drops it), -EMSGSIZE: over DERP_PACKET_MAX, -ENOMEM. */
int derp_sendq_add(struct derp_sendq *q, const struct key *to, const void *data, size_t len,
		   uint64_t now_ns);
/* Another connection's; NULL: none. The bucket is full then. */
void derp_sendq_limit(struct derp_sendq *q, const struct derp_server_info *limit, uint64_t now_ns);
/*
 * Whole frames behind one another that are not older than max_age_ns, as one record; NULL: none.
 * Valid until the next call.
 */
const uint8_t *derp_sendq_first(struct derp_sendq *q, uint64_t now_ns, uint64_t max_age_ns,
				size_t *len);
/* Those of derp_sendq_first are sent. */
void derp_sendq_sent(struct derp_sendq *q);
size_t derp_sendq_bytes(const struct derp_sendq *q);
/* What waits is dropped and counted as such; its memory goes. */
void derp_sendq_clear(struct derp_sendq *q);

#endif
