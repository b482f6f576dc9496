/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/net/http.h"
#include "lib/base/sock.h"

#define SOCKET_MODE	0660
#define CONNECTIONS_MAX 64
#define PATIENCE_MS	10000 /* of a TCP connection, from its begin to its end */
#define TICK_MS		1000

/* libuv's own way of one handle with several names. */
union admin_handle {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_pipe_t pipe;
	uv_tcp_t tcp;
};

struct admin {
	union admin_handle listener;
	uv_timer_t tick; /* looks for connections that say nothing */
	struct coord *coord;
	char *path; /* NULL: a TCP port, for a monitor */
	struct admin_conn *conns;
	unsigned conn_count;
	unsigned handles;
};

struct admin_conn {
	union admin_handle to;
	uv_write_t write;
	struct admin *admin;
	struct admin_conn *next;
	struct ucred cred;
	char buf[HTTP_REQUEST_MAX];
	size_t len;
	char head[256];
	char *body;
	uint64_t since_ms;
	bool is_busy;	/* its request is worked on or answered */
	bool is_closed; /* the handle is */
};

static void admin_release(struct admin *a)
{
	if (a->handles || a->conns)
		return;
	free(a->path);
	free(a);
}

static void conn_release(struct admin_conn *c)
{
	struct admin_conn **at = &c->admin->conns;
	struct admin *a = c->admin;

	if (c->is_busy || !c->is_closed)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	a->conn_count--;
	free(c->body);
	free(c);
	admin_release(a);
}

static void on_closed(uv_handle_t *h)
{
	struct admin_conn *c = h->data;

	c->is_closed = true;
	conn_release(c);
}

static void conn_close(struct admin_conn *c)
{
	if (!uv_is_closing(&c->to.handle))
		uv_close(&c->to.handle, on_closed);
}

static void on_written(uv_write_t *req, int status)
{
	struct admin_conn *c = req->data;

	(void)status;
	c->is_busy = false;
	conn_close(c);
	conn_release(c);
}

static void respond(struct admin_conn *c, int code, const char *type, char *body, size_t len)
{
	uv_buf_t bufs[2];
	int n;

	c->body = body;
	n = snprintf(c->head, sizeof(c->head),
		     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n",
		     code, code == 200 ? "OK" : "Error", type, body ? len : 0);
	bufs[0] = uv_buf_init(c->head, (unsigned)n);
	bufs[1] = uv_buf_init(body, (unsigned)len);
	c->write.data = c;
	if (uv_is_closing(&c->to.handle) ||
	    uv_write(&c->write, &c->to.stream, bufs, body ? 2 : 1, on_written)) {
		c->is_busy = false;
		conn_close(c);
		conn_release(c);
	}
}

void admin_answer(struct admin_conn *conn, char *body, size_t len)
{
	respond(conn, 200, "application/json", body, len);
}

static void refuse(struct admin_conn *c, int code, const char *text)
{
	char *body = NULL;
	int n = asprintf(&body, "%s\n", text);

	respond(c, code, "text/plain; charset=utf-8", n < 0 ? NULL : body, n < 0 ? 0 : (size_t)n);
}

void admin_refuse(struct admin_conn *conn, int err, const char *text)
{
	char line[512];

	switch (err) {
	case -EINVAL:
		refuse(conn, 400, text);
		break;
	case -ENOENT:
		refuse(conn, 404, "there is no such thing");
		break;
	case -EEXIST:
		refuse(conn, 409, "it exists already");
		break;
	case -EBUSY:
		refuse(conn, 409, "it is in use: the user still has nodes");
		break;
	default:
		snprintf(line, sizeof(line), "%s: %s", text, strerror(-err));
		refuse(conn, 500, line);
		break;
	}
}

static void get(struct admin_conn *c, const char *path)
{
	struct coord *coord = c->admin->coord;
	char *body = NULL;
	size_t len = 0;

	if (strcmp(path, "/metrics") == 0) {
		body = coord_metrics(coord, &len);
		if (body)
			respond(c, 200, "text/plain; version=0.0.4", body, len);
	} else if (strcmp(path, "/health") == 0) {
		refuse(c, coord->is_ready ? 200 : 503, coord->is_ready ? "ok" : "starting");
		return;
	} else if (strncmp(path, ADMIN_PREFIX, strlen(ADMIN_PREFIX)) == 0) {
		path += strlen(ADMIN_PREFIX);
		body = admin_list(coord, path, &len);
		if (body)
			admin_answer(c, body, len);
		else if (strcmp(path, "audit") == 0 &&
			 admin_verb(coord, c, path, NULL, 0, c->cred.uid))
			return;
	}
	if (!body)
		refuse(c, 404, "404 page not found");
}

static void serve(struct admin_conn *c, const struct http_request *req)
{
	const size_t prefix = strlen(ADMIN_PREFIX);

	/* A browser that was lured to a local address names its origin. */
	if (req->has_origin)
		refuse(c, 403, "not from a browser");
	else if (!c->admin->path && (strcmp(req->method, "GET") != 0 ||
				     strncmp(req->path, ADMIN_PREFIX, strlen(ADMIN_PREFIX)) == 0))
		refuse(c, 404, "404 page not found");
	else if (strcmp(req->method, "GET") == 0)
		get(c, req->path);
	else if (strcmp(req->method, "POST") != 0)
		refuse(c, 405, "method not allowed");
	else if (c->cred.uid != 0 && c->cred.uid != geteuid())
		refuse(c, 403, "access denied");
	else if (!c->admin->coord->is_ready)
		refuse(c, 503, "starting");
	else if (strncmp(req->path, ADMIN_PREFIX, prefix) != 0 ||
		 !admin_verb(c->admin->coord, c, req->path + prefix, (const char *)req->body,
			     req->body_len, c->cred.uid))
		refuse(c, 404, "404 page not found");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct admin_conn *c = h->data;

	(void)suggested;
	*buf = uv_buf_init(c->buf + c->len, (unsigned)(sizeof(c->buf) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct admin_conn *c = stream->data;
	struct http_request req;
	long used;

	(void)buf;
	if (n < 0) {
		conn_close(c);
		return;
	}
	c->len += (size_t)n;
	used = http_parse((uint8_t *)c->buf, c->len, &req);
	if (used == 0 && c->len < sizeof(c->buf))
		return;
	uv_read_stop(stream);
	c->is_busy = true;
	if (used <= 0)
		refuse(c, 400, "bad request");
	else
		serve(c, &req);
}

/* The handle of a connection, and for the administrator who is at its other end. */
static int accept_conn(struct admin_conn *c, uv_stream_t *listener)
{
	uv_os_fd_t fd;
	int rc = uv_accept(listener, &c->to.stream);

	if (rc || !c->admin->path)
		return rc;
	rc = uv_fileno(&c->to.handle, &fd);
	return rc ? rc : sock_peer_cred(fd, &c->cred);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct admin *a = listener->data;
	struct admin_conn *c = status < 0 ? NULL : calloc(1, sizeof(*c));

	if (!c)
		return;
	if (a->path)
		uv_pipe_init(listener->loop, &c->to.pipe, 0);
	else
		uv_tcp_init(listener->loop, &c->to.tcp);
	c->to.handle.data = c;
	c->admin = a;
	c->since_ms = uv_now(listener->loop);
	c->next = a->conns;
	a->conns = c;
	a->conn_count++;
	if (accept_conn(c, listener) || a->conn_count > CONNECTIONS_MAX ||
	    uv_read_start(&c->to.stream, on_alloc, on_read))
		conn_close(c);
}

static void on_tick(uv_timer_t *t)
{
	struct admin *a = t->data;

	for (struct admin_conn *c = a->conns; c; c = c->next)
		if (uv_now(t->loop) - c->since_ms > PATIENCE_MS)
			conn_close(c);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct admin *a = h->data;

	a->handles--;
	admin_release(a);
}

/* The listener is the caller's to make. path is copied. */
static struct admin *admin_new(uv_loop_t *loop, struct coord *c, const char *path)
{
	struct admin *a = calloc(1, sizeof(*a));

	if (!a || (path && !(a->path = strdup(path)))) {
		free(a);
		return NULL;
	}
	a->coord = c;
	a->handles = 2;
	a->listener.handle.data = a->tick.data = a;
	uv_timer_init(loop, &a->tick);
	/* An administrator may take time: a backup does. */
	if (!path)
		uv_timer_start(&a->tick, on_tick, TICK_MS, TICK_MS);
	return a;
}

static int admin_listen(struct admin *a, int rc, struct admin **out)
{
	if (!rc)
		rc = uv_listen(&a->listener.stream, CONNECTIONS_MAX, on_connection);
	if (rc)
		admin_close(a);
	else
		*out = a;
	return rc;
}

int admin_open(uv_loop_t *loop, const char *socket_path, struct coord *c, struct admin **out)
{
	int fd = sock_unix_listen(socket_path, SOCK_STREAM, SOCKET_MODE), rc;
	struct admin *a;

	if (fd < 0)
		return fd;
	a = admin_new(loop, c, socket_path);
	if (!a) {
		close(fd);
		return -ENOMEM;
	}
	uv_pipe_init(loop, &a->listener.pipe, 0);
	rc = uv_pipe_open(&a->listener.pipe, fd);
	if (rc)
		close(fd);
	return admin_listen(a, rc, out);
}

int admin_open_metrics(uv_loop_t *loop, const struct endpoint *at, struct coord *c,
		       struct admin **out)
{
	struct admin *a = admin_new(loop, c, NULL);
	struct sockaddr_storage ss;

	if (!a)
		return -ENOMEM;
	endpoint_to_sockaddr(at, &ss);
	uv_tcp_init(loop, &a->listener.tcp);
	return admin_listen(a, uv_tcp_bind(&a->listener.tcp, (struct sockaddr *)&ss, 0), out);
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	if (a->path)
		unlink(a->path);
	for (struct admin_conn *c = a->conns; c; c = c->next)
		conn_close(c);
	uv_close(&a->listener.handle, on_handle_closed);
	uv_close((uv_handle_t *)&a->tick, on_handle_closed);
}
