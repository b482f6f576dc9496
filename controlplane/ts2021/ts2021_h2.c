/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_h2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ts2021/ts2021_conn.h"
#include "lib/wire/be.h"

#define EARLY_MAGIC	  "\xff\xff\xffTS"
#define EARLY_HEADER	  9 /* magic, length */
#define EARLY_MAX	  (10u << 20)
#define STREAM_WINDOW	  (4 << 20)
#define CONNECTION_WINDOW (1 << 30)
#define RECORDS		  (4 * NOISE_IK_RECORD_MAX)
#define USER_AGENT	  "causeway"

/* A request under way. */
struct request {
	struct request *next;
	char *body;
	size_t len, sent;
	unsigned status, retry_after_s;
	bool is_told; /* its head */
};

struct ts2021_h2 {
	struct ts2021_conn conn; /* first */
	struct request *requests;
	const struct ts2021_h2_events *ev;
	void *arg;
	uint8_t early[EARLY_HEADER];
	size_t early_len, early_left; /* of the payload, once its header was read */
	bool is_past_early;
};

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
			 uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct request *r = source->ptr;
	size_t n = r->len - r->sent < room ? r->len - r->sent : room;

	memcpy(buf, r->body + r->sent, n);
	r->sent += n;
	if (r->sent == r->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

#define HEADER(n, v)                                                                               \
	((nghttp2_nv){(uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE})

int32_t ts2021_h2_post(struct ts2021_h2 *h, const char *authority, const char *path,
		       const char *body, size_t len)
{
	struct request *r = calloc(1, sizeof(*r));
	nghttp2_data_provider provider = {.source.ptr = r, .read_callback = read_body};
	char length[24];
	nghttp2_nv headers[] = {
		HEADER(":method", "POST"),	  HEADER(":scheme", "https"),
		HEADER(":authority", authority),  HEADER(":path", path),
		HEADER("user-agent", USER_AGENT), {0},
	};
	int32_t id;

	snprintf(length, sizeof(length), "%zu", len);
	headers[5] = HEADER("content-length", length);
	if (r)
		r->body = malloc(len + 1);
	if (!r || !r->body) {
		free(r);
		return -ENOMEM;
	}
	memcpy(r->body, body, len);
	r->len = len;
	id = h->conn.stream
		     ? nghttp2_submit_request(h->conn.session, NULL, headers, 6, &provider, r)
		     : NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
	if (id < 0) {
		free(r->body);
		free(r);
		return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EAGAIN;
	}
	r->next = h->requests;
	h->requests = r;
	ts2021_conn_flush(&h->conn);
	return id;
}

static struct request *request_of(struct ts2021_h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->conn.session, id);
}

static void forget(struct ts2021_h2 *h, int32_t id)
{
	struct request *r = request_of(h, id), **p = &h->requests;

	if (!r)
		return;
	nghttp2_session_set_stream_user_data(h->conn.session, id, NULL);
	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	free(r->body);
	free(r);
}

void ts2021_h2_cancel(struct ts2021_h2 *h, int32_t id)
{
	struct request *r = request_of(h, id);

	if (!r || !h->conn.stream)
		return;
	/* Its body may be read until the stream is closed. */
	r->is_told = true;
	nghttp2_submit_rst_stream(h->conn.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	ts2021_conn_flush(&h->conn);
}

/* ---- in ---- */

static unsigned number(const uint8_t *text, size_t len)
{
	unsigned value = 0;

	for (size_t i = 0; i < len && i < 6 && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (unsigned)(text[i] - '0');
	return value;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	struct request *r = request_of(user, frame->hd.stream_id);

	if (!r || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (name_len == 7 && memcmp(name, ":status", 7) == 0)
		r->status = number(value, value_len);
	else if (name_len == 11 && memcmp(name, "retry-after", 11) == 0)
		r->retry_after_s = number(value, value_len);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct ts2021_h2 *h = user;
	struct request *r = request_of(h, frame->hd.stream_id);

	/* 1xx are not the answer. */
	if (!r || r->is_told || frame->hd.type != NGHTTP2_HEADERS || r->status < 200)
		return 0;
	r->is_told = true;
	if (!h->conn.is_freed)
		h->ev->on_head(h->arg, frame->hd.stream_id, r->status, r->retry_after_s);
	return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		    size_t len, void *user)
{
	struct ts2021_h2 *h = user;

	if (request_of(h, id) && !h->conn.is_freed)
		h->ev->on_body(h->arg, id, data, len);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct ts2021_h2 *h = user;
	struct request *r = request_of(h, id);
	bool is_whole = r && code == NGHTTP2_NO_ERROR && r->is_told;

	if (!r)
		return 0;
	forget(h, id);
	if (!h->conn.is_freed)
		h->ev->on_end(h->arg, id, is_whole ? NULL : nghttp2_http2_strerror(code));
	return 0;
}

/* The first bytes may be a message of the server's own, in front of HTTP/2; nothing of it is used.
 */
static bool pass_early(struct ts2021_h2 *h, const uint8_t **data, size_t *len)
{
	while (*len && !h->is_past_early) {
		size_t n;

		if (h->early_len < EARLY_HEADER) {
			h->early[h->early_len++] = *(*data)++;
			(*len)--;
			if (h->early_len < EARLY_HEADER)
				continue;
			if (memcmp(h->early, EARLY_MAGIC, 5) != 0) {
				/* It was the first frame's header. */
				h->is_past_early = true;
				return nghttp2_session_mem_recv(h->conn.session, h->early,
								EARLY_HEADER) == EARLY_HEADER;
			}
			h->early_left = be32_get((const wire_be32 *)(h->early + 5));
			if (h->early_left > EARLY_MAX)
				return false;
			h->is_past_early = h->early_left == 0;
			continue;
		}
		n = *len < h->early_left ? *len : h->early_left;
		*data += n;
		*len -= n;
		h->early_left -= n;
		h->is_past_early = h->early_left == 0;
	}
	return true;
}

static bool take_plain(struct ts2021_conn *c, const uint8_t *data, size_t len)
{
	struct ts2021_h2 *h = (struct ts2021_h2 *)c;

	if (!pass_early(h, &data, &len))
		return false;
	return !len || nghttp2_session_mem_recv(h->conn.session, data, len) == (ssize_t)len;
}

static void on_closed(struct ts2021_conn *c, const char *why)
{
	struct ts2021_h2 *h = (struct ts2021_h2 *)c;

	h->ev->on_closed(h->arg, why);
}

static void on_gone(struct ts2021_conn *c)
{
	struct ts2021_h2 *h = (struct ts2021_h2 *)c;

	while (h->requests) {
		struct request *r = h->requests;

		h->requests = r->next;
		free(r->body);
		free(r);
	}
	free(h);
}

static const struct ts2021_conn_ops conn_ops = {
	.take = take_plain, .closed = on_closed, .gone = on_gone};

void ts2021_h2_feed(struct ts2021_h2 *h, uint8_t *data, size_t len)
{
	ts2021_conn_feed(&h->conn, data, len);
}

static nghttp2_session *new_session(struct ts2021_h2 *h)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
	};
	nghttp2_session_callbacks *cb;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&cb))
		return NULL;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	if (nghttp2_session_client_new(&session, cb, h))
		session = NULL;
	nghttp2_session_callbacks_del(cb);
	if (session && (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) ||
			nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
							      CONNECTION_WINDOW))) {
		nghttp2_session_del(session);
		return NULL;
	}
	return session;
}

struct ts2021_h2 *ts2021_h2_new(struct net_stream *s, const struct noise_ik_stream *noise,
				const struct ts2021_h2_events *ev, void *arg)
{
	struct ts2021_h2 *h = calloc(1, sizeof(*h));
	nghttp2_session *session = h ? new_session(h) : NULL;

	if (!session) {
		free(h);
		net_stream_close(s, false);
		return NULL;
	}
	ts2021_conn_init(&h->conn, s, noise, &conn_ops);
	h->conn.session = session;
	h->ev = ev;
	h->arg = arg;
	return h;
}

void ts2021_h2_free(struct ts2021_h2 *h)
{
	if (h)
		ts2021_conn_free(&h->conn);
}
