/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ts2021/ts2021_conn.h"

#define METHOD_MAX   16
#define PATH_MAX_LEN 256
#define WINDOW	     (1 << 20)
#define HEADERS_MAX  (64 << 10)

struct piece {
	struct piece *next;
	struct ts2021_bytes *bytes;
};

struct ts2021_request {
	struct ts2021_request *next;
	struct ts2021_serve *c;
	int32_t id;
	struct ts2021_request_info info;
	char method[METHOD_MAX], path[PATH_MAX_LEN];
	uint8_t *body;
	size_t body_room;
	void *user;
	uint64_t begun_ms;
	bool is_whole; /* nothing of it comes any more */
	bool is_given; /* to the handler: it is owed on_gone */
	bool is_begun, is_ended, is_refused;
	bool is_told;	  /* in this round of on_drained */
	bool is_deferred; /* HTTP/2 has no data of it and waits */
	struct piece *first, **last;
	size_t sent; /* of the first piece */
	size_t queued;
};

struct ts2021_serve {
	struct ts2021_conn conn; /* first */
	struct ts2021_serve_config cfg;
	struct ts2021_request *requests;
	size_t body_bytes; /* of all requests */
	uv_timer_t timer;  /* of bodies and of idleness */
	uint64_t idle_since_ms;
};

struct ts2021_bytes *ts2021_bytes_new(const void *data, size_t len)
{
	struct ts2021_bytes *b = malloc(sizeof(*b) + len);

	if (!b)
		return NULL;
	b->refs = 1;
	b->len = len;
	memcpy(b->data, data, len);
	return b;
}

struct ts2021_bytes *ts2021_bytes_get(struct ts2021_bytes *b)
{
	b->refs++;
	return b;
}

void ts2021_bytes_put(struct ts2021_bytes *b)
{
	if (b && --b->refs == 0)
		free(b);
}

/* ---- requests ---- */

static struct ts2021_request *request_of(struct ts2021_serve *c, int32_t id)
{
	return nghttp2_session_get_stream_user_data(c->conn.session, id);
}

static void on_timer(uv_timer_t *t);

/* Looks again in ms at the latest. */
static void watch_the_time(struct ts2021_serve *c, uint64_t ms)
{
	if (!uv_is_active((uv_handle_t *)&c->timer) || uv_timer_get_due_in(&c->timer) > ms)
		uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void drop_piece(struct ts2021_request *r)
{
	struct piece *p = r->first;

	r->first = p->next;
	if (!r->first)
		r->last = &r->first;
	r->sent = 0;
	ts2021_bytes_put(p->bytes);
	free(p);
}

static void drop_body(struct ts2021_request *r)
{
	free(r->body);
	r->body = NULL;
	r->info.body = NULL;
	r->c->body_bytes -= r->body_room;
	r->body_room = 0;
}

static void forget(struct ts2021_request *r)
{
	struct ts2021_serve *c = r->c;
	struct ts2021_request **p = &c->requests;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	if (r->is_given)
		c->cfg.handler->on_gone(c->cfg.arg, r);
	while (r->first)
		drop_piece(r);
	drop_body(r);
	free(r);
	if (!c->requests && c->conn.stream) {
		c->idle_since_ms = uv_now(c->cfg.loop);
		watch_the_time(c, c->cfg.limits->idle_ms);
	}
}

const struct ts2021_request_info *ts2021_request_info(const struct ts2021_request *r)
{
	return &r->info;
}

void ts2021_request_set_user(struct ts2021_request *r, void *user)
{
	r->user = user;
}

void *ts2021_request_user(const struct ts2021_request *r)
{
	return r->user;
}

static ssize_t read_pieces(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
			   uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct ts2021_request *r = source->ptr;
	size_t at = 0;

	while (r->first && at < room) {
		struct ts2021_bytes *b = r->first->bytes;
		size_t n = b->len - r->sent < room - at ? b->len - r->sent : room - at;

		memcpy(buf + at, b->data + r->sent, n);
		at += n;
		r->sent += n;
		if (r->sent == b->len)
			drop_piece(r);
	}
	r->queued -= at;
	if (!r->first && r->is_ended)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (!at) {
		r->is_deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)at;
}

#define HEADER(n, v)                                                                               \
	((nghttp2_nv){(uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE})

static void submit(struct ts2021_request *r, unsigned status, const char *type)
{
	nghttp2_data_provider provider = {.source.ptr = r, .read_callback = read_pieces};
	char code[8];
	nghttp2_nv headers[2];

	snprintf(code, sizeof(code), "%u", status);
	headers[0] = HEADER(":status", code);
	headers[1] = HEADER("content-type", type ? type : "application/json");
	r->is_begun = true;
	if (!r->c->conn.session)
		return;
	nghttp2_submit_response(r->c->conn.session, r->id, headers, 2, &provider);
}

static int append(struct ts2021_request *r, struct ts2021_bytes *b)
{
	struct piece *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->next = NULL;
	p->bytes = ts2021_bytes_get(b);
	*r->last = p;
	r->last = &p->next;
	r->queued += b->len;
	return 0;
}

static void wake(struct ts2021_request *r)
{
	if (r->is_deferred && r->c->conn.session) {
		r->is_deferred = false;
		nghttp2_session_resume_data(r->c->conn.session, r->id);
	}
	ts2021_conn_flush(&r->c->conn);
}

void ts2021_respond(struct ts2021_request *r, unsigned status, const char *type, const void *body,
		    size_t len)
{
	struct ts2021_bytes *b = len ? ts2021_bytes_new(body, len) : NULL;

	if (len && (!b || append(r, b))) {
		ts2021_bytes_put(b);
		ts2021_abort(r);
		return;
	}
	ts2021_bytes_put(b);
	r->is_ended = true;
	submit(r, status, type);
	ts2021_conn_flush(&r->c->conn);
}

void ts2021_begin(struct ts2021_request *r, unsigned status, const char *type)
{
	submit(r, status, type);
	ts2021_conn_flush(&r->c->conn);
}

int ts2021_write(struct ts2021_request *r, struct ts2021_bytes *b)
{
	int rc = b->len ? append(r, b) : 0;

	if (!rc)
		wake(r);
	return rc;
}

size_t ts2021_queued(const struct ts2021_request *r)
{
	return r->queued + (r->c->conn.stream ? net_stream_queued(r->c->conn.stream) : 0);
}

void ts2021_end(struct ts2021_request *r)
{
	r->is_ended = true;
	wake(r);
}

void ts2021_abort(struct ts2021_request *r)
{
	if (!r->c->conn.session)
		return;
	nghttp2_submit_rst_stream(r->c->conn.session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
	ts2021_conn_flush(&r->c->conn);
}

/* ---- what comes ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct ts2021_serve *c = user;
	struct ts2021_request *r;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	r->c = c;
	r->id = frame->hd.stream_id;
	r->last = &r->first;
	r->info = (struct ts2021_request_info){.method = r->method,
					       .path = r->path,
					       .machine = c->cfg.machine,
					       .version = c->cfg.version,
					       .remote = c->cfg.remote};
	r->next = c->requests;
	c->requests = r;
	r->begun_ms = uv_now(c->cfg.loop);
	watch_the_time(c, c->cfg.limits->body_ms);
	nghttp2_session_set_stream_user_data(session, r->id, r);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	struct ts2021_request *r = request_of(user, frame->hd.stream_id);

	if (!r)
		return 0;
	if (name_len == 7 && memcmp(name, ":method", 7) == 0) {
		snprintf(r->method, sizeof(r->method), "%.*s", (int)value_len, (const char *)value);
	} else if (name_len == 5 && memcmp(name, ":path", 5) == 0) {
		const uint8_t *query = memchr(value, '?', value_len);
		size_t len = query ? (size_t)(query - value) : value_len;

		if ((size_t)snprintf(r->path, sizeof(r->path), "%.*s", (int)len,
				     (const char *)value) >= sizeof(r->path))
			r->path[0] = 0; /* no path of ours */
	}
	return 0;
}

/* What still comes of it is not kept; on_sent ends it. */
static void refuse(struct ts2021_request *r, unsigned status, const char *why)
{
	r->is_refused = true;
	drop_body(r);
	ts2021_respond(r, status, "text/plain; charset=utf-8", why, strlen(why));
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		    size_t len, void *user)
{
	struct ts2021_request *r = request_of(user, id);

	if (!r || r->is_refused)
		return 0;
	if (len > TS2021_BODY_MAX - r->info.body_len) {
		refuse(r, 413, "the body is too large\n");
		return 0;
	}
	if (r->info.body_len + len > r->body_room) {
		size_t room = r->body_room ? 2 * r->body_room : 4096;
		uint8_t *p;

		while (room < r->info.body_len + len)
			room *= 2;
		if (r->c->body_bytes - r->body_room + room > TS2021_BODIES_MAX) {
			refuse(r, 503, "too many large requests at a time\n");
			return 0;
		}
		p = realloc(r->body, room);
		if (!p) {
			refuse(r, 503, "no memory\n");
			return 0;
		}
		r->body = p;
		r->c->body_bytes += room - r->body_room;
		r->body_room = room;
		r->info.body = p;
	}
	memcpy(r->body + r->info.body_len, data, len);
	r->info.body_len += len;
	return 0;
}

/* A request is whole with its last frame; also a GET may have had a body. */
static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct ts2021_serve *c = user;
	struct ts2021_request *r;

	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	r = request_of(c, frame->hd.stream_id);
	if (!r || r->is_whole)
		return 0;
	r->is_whole = true;
	if (r->is_refused)
		return 0;
	r->is_given = true;
	++*c->cfg.requests;
	c->cfg.handler->on_request(c->cfg.arg, r);
	/* It cannot be gone: HTTP/2 sends nothing, and so ends nothing, while it is read. */
	drop_body(r);
	return 0;
}

/* Who was refused in the middle of a body need not send the rest (RFC 9113 8.1). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct ts2021_request *r;

	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	r = request_of(user, frame->hd.stream_id);
	if (r && !r->is_whole)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct ts2021_request *r = request_of(user, id);

	if (r) {
		nghttp2_session_set_stream_user_data(session, id, NULL);
		forget(r);
	}
	return 0;
}

static bool take(struct ts2021_conn *conn, const uint8_t *data, size_t len)
{
	return nghttp2_session_mem_recv(conn->session, data, len) == (ssize_t)len;
}

static void on_closed(struct ts2021_conn *conn, const char *why)
{
	ts2021_conn_free(conn);
}

static void on_drained(struct ts2021_conn *conn)
{
	struct ts2021_serve *c = (struct ts2021_serve *)conn;
	struct ts2021_request *r;

	if (!c->cfg.handler->on_drained)
		return;
	for (r = c->requests; r; r = r->next)
		r->is_told = !r->is_begun || r->is_ended || r->queued;
	/* From the start each time: the handler may end any of them. */
	for (r = c->requests; r && conn->stream;) {
		if (r->is_told) {
			r = r->next;
			continue;
		}
		r->is_told = true;
		c->cfg.handler->on_drained(c->cfg.arg, r);
		r = c->requests;
	}
}

/* The first that is late; NULL: none. *due_ms: when the next one will be. */
static struct ts2021_request *late_body(struct ts2021_serve *c, uint64_t now, uint64_t *due_ms)
{
	for (struct ts2021_request *r = c->requests; r; r = r->next) {
		uint64_t due = r->begun_ms + c->cfg.limits->body_ms;

		if (r->is_whole || r->is_refused)
			continue;
		if (due <= now)
			return r;
		*due_ms = due < *due_ms ? due : *due_ms;
	}
	return NULL;
}

static void on_timer(uv_timer_t *t)
{
	struct ts2021_serve *c = t->data;
	uint64_t now = uv_now(c->cfg.loop), due = UINT64_MAX;
	struct ts2021_request *r;

	while ((r = late_body(c, now, &due)))
		refuse(r, 408, "the request took too long\n");
	if (!c->conn.stream)
		return;
	if (!c->requests) {
		due = c->idle_since_ms + c->cfg.limits->idle_ms;
		if (due <= now) {
			nghttp2_session_terminate_session(c->conn.session, NGHTTP2_NO_ERROR);
			ts2021_conn_flush(&c->conn);
			return;
		}
	}
	if (due != UINT64_MAX)
		watch_the_time(c, due - now);
}

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void on_gone(struct ts2021_conn *conn)
{
	struct ts2021_serve *c = (struct ts2021_serve *)conn;

	while (c->requests)
		forget(c->requests);
	c->cfg.on_gone(c->cfg.owner, c);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static const struct ts2021_conn_ops ops = {
	.take = take, .closed = on_closed, .drained = on_drained, .gone = on_gone};

static nghttp2_session *new_session(struct ts2021_serve *c)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, TS2021_STREAMS_MAX},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX},
	};
	nghttp2_session_callbacks *cb;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&cb))
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	if (nghttp2_session_server_new(&session, cb, c))
		session = NULL;
	nghttp2_session_callbacks_del(cb);
	if (session && nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 3)) {
		nghttp2_session_del(session);
		return NULL;
	}
	return session;
}

struct ts2021_serve *ts2021_serve_new(struct net_stream *s, const struct noise_ik_stream *noise,
				      const struct ts2021_serve_config *cfg)
{
	struct ts2021_serve *c = calloc(1, sizeof(*c));
	nghttp2_session *session = c ? new_session(c) : NULL;

	if (!session) {
		free(c);
		net_stream_close(s, false);
		return NULL;
	}
	ts2021_conn_init(&c->conn, s, noise, &ops);
	c->conn.session = session;
	c->cfg = *cfg;
	uv_timer_init(cfg->loop, &c->timer);
	c->timer.data = c;
	c->idle_since_ms = uv_now(cfg->loop);
	watch_the_time(c, cfg->limits->idle_ms);
	return c;
}

void ts2021_serve_feed(struct ts2021_serve *c, uint8_t *data, size_t len)
{
	/* SETTINGS go out at once, also when nothing came yet. */
	ts2021_conn_feed(&c->conn, data, len);
}

void ts2021_serve_close(struct ts2021_serve *c)
{
	ts2021_conn_free(&c->conn);
}
