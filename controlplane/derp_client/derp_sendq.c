/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_sendq.h"

#include <errno.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/wire/derp_frame.h"

#define PACKET_AT (DERP_HEADER_BYTES + DERP_KEY_BYTES)

void derp_sendq_init(struct derp_sendq *q, struct derp_counters *counters)
{
	*q = (struct derp_sendq){.counters = counters};
}

void derp_sendq_limit(struct derp_sendq *q, const struct derp_server_info *limit, uint64_t now_ns)
{
	q->limit = limit ? *limit : (struct derp_server_info){0};
	q->tokens = q->limit.burst_bytes;
	q->tokens_at_ns = now_ns;
}

/* A token a byte, the header's included, as the relay counts. */
static bool is_granted(struct derp_sendq *q, size_t bytes, uint64_t now_ns)
{
	uint64_t ms = (now_ns - q->tokens_at_ns) / NS_PER_MS, more;

	if (!q->limit.bytes_per_s)
		return true;
	if (__builtin_mul_overflow(ms, q->limit.bytes_per_s, &more))
		more = UINT64_MAX;
	more /= 1000;
	if (more) {
		q->tokens = more > q->limit.burst_bytes - q->tokens ? q->limit.burst_bytes
								    : q->tokens + more;
		q->tokens_at_ns += ms * NS_PER_MS;
	}
	if (q->tokens < bytes)
		return false;
	q->tokens -= bytes;
	return true;
}

int derp_sendq_add(struct derp_sendq *q, const struct key *to, const void *data, size_t len,
		   uint64_t now_ns)
{
	uint8_t *at;

	if (len > DERP_PACKET_MAX)
		return -EMSGSIZE;
	if (!is_granted(q, PACKET_AT + len, now_ns)) {
		q->counters->drop_rate++;
		return 0;
	}
	at = queue_add(&q->queue, &q->pool, PACKET_AT + len, now_ns, DERP_SENDQ_BYTES,
		       &q->counters->drop_queue);
	if (!at)
		return -ENOMEM;
	derp_header_put(at, DERP_SEND_PACKET, (uint32_t)(DERP_KEY_BYTES + len));
	memcpy(at + DERP_HEADER_BYTES, to->bytes, DERP_KEY_BYTES);
	memcpy(at + PACKET_AT, data, len);
	return 0;
}

const uint8_t *derp_sendq_first(struct derp_sendq *q, uint64_t now_ns, uint64_t max_age_ns,
				size_t *len)
{
	const struct queue_chunk *c;

	q->counters->drop_age += queue_expire(&q->queue, &q->pool, now_ns, max_age_ns);
	c = q->queue.first;
	if (!c)
		return NULL;
	*len = c->len - c->at;
	return c->data + c->at;
}

/* Frames of a chunk, from its first that was not sent. */
static unsigned count(const struct queue_chunk *c, uint64_t *packet_bytes)
{
	unsigned n = 0;

	for (uint32_t at = c->at; at < c->len; n++) {
		uint32_t body = derp_header_get(c->data + at).len;

		*packet_bytes += body - DERP_KEY_BYTES;
		at += DERP_HEADER_BYTES + body;
	}
	return n;
}

void derp_sendq_sent(struct derp_sendq *q)
{
	const struct queue_chunk *c = q->queue.first;

	q->counters->tx_packets += count(c, &q->counters->tx_bytes);
	queue_pop(&q->queue, &q->pool);
}

size_t derp_sendq_bytes(const struct derp_sendq *q)
{
	return q->queue.bytes;
}

void derp_sendq_clear(struct derp_sendq *q)
{
	uint64_t bytes = 0;

	for (const struct queue_chunk *c = q->queue.first; c; c = c->next)
		q->counters->drop_closed += count(c, &bytes);
	queue_clear(&q->queue, &q->pool);
	queue_pool_shrink(&q->pool, 0);
}
