/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_conn.h"

#include <stdlib.h>
#include <string.h>

#define IN_BYTES (2 * NOISE_IK_RECORD_MAX)
/* More than this waits in the session's hands, where it is counted and can be dropped. */
#define SOCKET_MAX (256u << 10)

static void enter(struct ts2021_conn *c)
{
	c->depth++;
}

static void leave(struct ts2021_conn *c)
{
	if (--c->depth || !c->is_freed)
		return;
	nghttp2_session_del(c->session);
	/* What gone tells of may still be asked to end. */
	c->session = NULL;
	noise_ik_stream_fini(&c->noise);
	free(c->in);
	c->ops->gone(c);
}

static void close_with(struct ts2021_conn *c, const char *why)
{
	if (!c->stream)
		return;
	net_stream_close(c->stream, true);
	c->stream = NULL;
	if (!c->is_freed)
		c->ops->closed(c, why);
}

static bool seal_and_send(struct ts2021_conn *c, const uint8_t *data, size_t len)
{
	uint8_t record[NOISE_IK_RECORD_MAX];

	while (len) {
		size_t n = len < NOISE_IK_PLAIN_MAX ? len : NOISE_IK_PLAIN_MAX;
		int sealed = noise_ik_seal(&c->noise.tx, data, n, record);

		if (sealed < 0 || net_stream_write(c->stream, record, (size_t)sealed))
			return false;
		data += n;
		len -= n;
	}
	return true;
}

bool ts2021_conn_write(struct ts2021_conn *c, const uint8_t *data, size_t len)
{
	return c->stream && seal_and_send(c, data, len);
}

void ts2021_conn_flush(struct ts2021_conn *c)
{
	const uint8_t *data;
	ssize_t n;

	/* nghttp2 may not be called again from its own callbacks. */
	if (c->is_sending || c->is_taking || !c->session)
		return;
	enter(c);
	c->is_sending = true;
	while (c->stream && net_stream_queued(c->stream) < SOCKET_MAX &&
	       (n = nghttp2_session_mem_send(c->session, &data)) > 0)
		if (!seal_and_send(c, data, (size_t)n)) {
			close_with(c, "writing failed");
			break;
		}
	c->is_sending = false;
	if (c->stream && !nghttp2_session_want_read(c->session) &&
	    !nghttp2_session_want_write(c->session))
		close_with(c, "the other side ended the connection");
	leave(c);
}

/* Whole records at the start of data; how many bytes they had. */
static size_t open_records(struct ts2021_conn *c, uint8_t *data, size_t len)
{
	size_t at = 0;

	while (c->stream && !c->is_freed) {
		uint8_t *plain;
		size_t plain_len;
		bool ok;
		int n = noise_ik_open(&c->noise.rx, data + at, len - at, &plain, &plain_len);

		if (n == 0)
			break;
		if (n < 0) {
			close_with(c, "a record does not open");
			break;
		}
		c->is_taking = true;
		ok = !plain_len || c->ops->take(c, plain, plain_len);
		c->is_taking = false;
		if (!ok) {
			close_with(c, "the other side broke HTTP/2");
			break;
		}
		at += (size_t)n;
	}
	return at;
}

/* Records that came whole are opened where they lie; only a rest is kept. */
static void take_bytes(struct ts2021_conn *c, uint8_t *data, size_t len)
{
	while (len && c->stream && !c->is_freed) {
		size_t used;

		if (!c->in_len) {
			used = open_records(c, data, len);
			data += used;
			len -= used;
			if (!len)
				break;
		}
		if (!c->in)
			c->in = malloc(IN_BYTES);
		if (!c->in) {
			close_with(c, "no memory");
			break;
		}
		used = IN_BYTES - c->in_len < len ? IN_BYTES - c->in_len : len;
		memcpy(c->in + c->in_len, data, used);
		c->in_len += used;
		data += used;
		len -= used;
		used = open_records(c, c->in, c->in_len);
		c->in_len -= used;
		memmove(c->in, c->in + used, c->in_len);
	}
	if (!c->in_len) {
		free(c->in);
		c->in = NULL;
	}
}

void ts2021_conn_feed(struct ts2021_conn *c, uint8_t *data, size_t len)
{
	enter(c);
	take_bytes(c, data, len);
	if (c->stream && !c->is_freed)
		ts2021_conn_flush(c);
	leave(c);
}

static void on_data(void *arg, uint8_t *data, size_t len)
{
	ts2021_conn_feed(arg, data, len);
}

static void on_drain(void *arg)
{
	struct ts2021_conn *c = arg;

	enter(c);
	ts2021_conn_flush(c);
	if (c->ops->drained && !c->is_freed)
		c->ops->drained(c);
	leave(c);
}

static void on_close(void *arg, int err, const char *why)
{
	struct ts2021_conn *c = arg;

	c->stream = NULL;
	enter(c);
	if (!c->is_freed)
		c->ops->closed(c, why);
	leave(c);
}

static const struct net_stream_events events = {
	.on_data = on_data, .on_drain = on_drain, .on_close = on_close};

void ts2021_conn_init(struct ts2021_conn *c, struct net_stream *s,
		      const struct noise_ik_stream *noise, const struct ts2021_conn_ops *ops)
{
	*c = (struct ts2021_conn){.ops = ops, .stream = s, .noise = *noise};
	net_stream_set_events(s, &events, c);
}

void ts2021_conn_free(struct ts2021_conn *c)
{
	if (c->is_freed)
		return;
	net_stream_close(c->stream, true);
	c->stream = NULL;
	c->is_freed = true;
	enter(c);
	leave(c);
}
