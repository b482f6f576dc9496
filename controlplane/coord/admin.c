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

struct admin {
	uv_pipe_t listener;
	struct coord *coord;
	char *path;
	struct admin_conn *conns;
	unsigned conn_count;
	bool is_listening;
};

struct admin_conn {
	uv_pipe_t pipe;
	uv_write_t write;
	struct admin *admin;
	struct admin_conn *next;
	struct ucred cred;
	char buf[HTTP_REQUEST_MAX];
	size_t len;
	char head[256];
	char *body;
	bool is_busy;	/* its request is worked on or answered */
	bool is_closed; /* the handle is */
};

static void admin_release(struct admin *a)
{
	if (a->is_listening || a->conns)
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
	if (!uv_is_closing((uv_handle_t *)&c->pipe))
		uv_close((uv_handle_t *)&c->pipe, on_closed);
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
	if (uv_is_closing((uv_handle_t *)&c->pipe) ||
	    uv_write(&c->write, (uv_stream_t *)&c->pipe, bufs, body ? 2 : 1, on_written)) {
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

static void on_connection(uv_stream_t *listener, int status)
{
	struct admin *a = listener->data;
	struct admin_conn *c = status < 0 ? NULL : calloc(1, sizeof(*c));
	uv_os_fd_t fd;

	if (!c)
		return;
	uv_pipe_init(listener->loop, &c->pipe, 0);
	c->pipe.data = c;
	c->admin = a;
	c->next = a->conns;
	a->conns = c;
	a->conn_count++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) || a->conn_count > CONNECTIONS_MAX ||
	    uv_fileno((uv_handle_t *)&c->pipe, &fd) || sock_peer_cred(fd, &c->cred) ||
	    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read))
		conn_close(c);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct admin *a = h->data;

	a->is_listening = false;
	admin_release(a);
}

int admin_open(uv_loop_t *loop, const char *socket_path, struct coord *c, struct admin **out)
{
	int fd = sock_unix_listen(socket_path, SOCK_STREAM, SOCKET_MODE), rc;
	struct admin *a;

	if (fd < 0)
		return fd;
	a = calloc(1, sizeof(*a));
	if (!a || !(a->path = strdup(socket_path))) {
		free(a);
		close(fd);
		return -ENOMEM;
	}
	a->coord = c;
	a->is_listening = true;
	uv_pipe_init(loop, &a->listener, 0);
	a->listener.data = a;
	rc = uv_pipe_open(&a->listener, fd);
	if (rc)
		close(fd);
	else
		rc = uv_listen((uv_stream_t *)&a->listener, CONNECTIONS_MAX, on_connection);
	if (rc)
		admin_close(a);
	else
		*out = a;
	return rc;
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	unlink(a->path);
	for (struct admin_conn *c = a->conns; c; c = c->next)
		conn_close(c);
	uv_close((uv_handle_t *)&a->listener, on_listener_closed);
}
