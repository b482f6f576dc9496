/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "controlplane/derp_client/derp_conn_state.h"
#include "lib/base/clock.h"

/* Printable, and cut at the room. */
static void on_health(struct derp_conn *c, const uint8_t *body, size_t len)
{
	char text[DERP_CONN_HEALTH_MAX];
	size_t n = len < sizeof(text) - 1 ? len : sizeof(text) - 1;

	for (size_t i = 0; i < n; i++)
		text[i] = body[i] < ' ' || body[i] > '~' ? '?' : (char)body[i];
	text[n] = 0;
	c->ev->on_health(c->arg, text);
}

static void on_server_key(struct derp_conn *c, const uint8_t *body, size_t len)
{
	uint8_t out[DERP_HELLO_MAX];

	if (derp_server_key_get(body, len, c->server.bytes))
		derp_conn_fail(c, "what the relay began with is no ServerKey");
	else
		derp_conn_greet(c, out, 0);
}

static void on_server_info(struct derp_conn *c, const uint8_t *body, size_t len)
{
	char why[DERP_HELLO_WHY_MAX];
	struct derp_server_info info;

	if (derp_hello_get(c->keys, &c->server, body, len, &info, why)) {
		c->queue->counters->bad_frames++;
		derp_conn_fail(c, why);
		return;
	}
	derp_sendq_limit(c->queue, &info, clock_now_ns());
	if (c->state == DERP_CONN_OPEN)
		return;
	derp_conn_opened(c);
}

static void on_packet(struct derp_conn *c, const uint8_t *body, size_t len)
{
	struct key from;

	memcpy(from.bytes, body, DERP_KEY_BYTES);
	c->queue->counters->rx_packets++;
	c->queue->counters->rx_bytes += len - DERP_KEY_BYTES;
	c->ev->on_packet(c->arg, &from, body + DERP_KEY_BYTES, len - DERP_KEY_BYTES);
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *body, size_t len)
{
	struct derp_conn *c = arg;
	uint32_t reconnect_ms, try_for_ms;
	struct derp_present present;
	struct key peer;
	uint8_t reason;

	derp_conn_heard(c);
	switch (type) {
	case DERP_SERVER_KEY: /* the first, where it is waited for */
		on_server_key(c, body, len);
		break;
	case DERP_SERVER_INFO:
		on_server_info(c, body, len);
		break;
	case DERP_RECV_PACKET:
		on_packet(c, body, len);
		break;
	case DERP_PEER_GONE:
		if (derp_gone_get(body, len, peer.bytes, &reason) == 0)
			c->ev->on_gone(c->arg, &peer, (enum derp_gone_reason)reason);
		break;
	case DERP_PEER_PRESENT:
		if (c->ev->on_present && derp_present_get(body, len, &present) == 0)
			c->ev->on_present(c->arg, &present);
		break;
	case DERP_PING:
		/* Who asks faster than it reads gets fewer answers. */
		if (net_stream_queued(c->stream) < DERP_CONN_STREAM_MAX)
			derp_conn_send(c, DERP_PONG, body, DERP_PING_BYTES);
		break;
	case DERP_HEALTH:
		on_health(c, body, len);
		break;
	case DERP_RESTARTING:
		if (derp_restarting_get(body, len, &reconnect_ms, &try_for_ms) == 0)
			c->ev->on_restarting(c->arg, reconnect_ms, try_for_ms);
		break;
	default: /* KeepAlive, Pong: it was heard */
		break;
	}
	return c->state != DERP_CONN_CLOSED;
}

void derp_conn_frames(struct derp_conn *c, const uint8_t *data, size_t len)
{
	uint64_t before = c->reader.passed_over;
	struct derp_counters *counters = c->queue->counters;
	char why[DERP_READER_WHY_MAX];
	int rc = derp_reader_feed(&c->reader, data, len, on_frame, c, why);

	counters->bad_frames += c->reader.passed_over - before;
	if (!rc || rc == -ECANCELED)
		return;
	counters->bad_frames++;
	derp_conn_fail(c, why);
}
