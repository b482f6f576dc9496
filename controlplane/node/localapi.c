/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/localapi.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/net/http.h"
#include "controlplane/node/dp_refresh.h"
#include "controlplane/node/status.h"
#include "lib/base/bug.h"
#include "lib/base/log.h"
#include "lib/base/sock.h"

#define SOCKET_MODE	0660
#define CONNECTIONS_MAX 64
#define READ_BYTES	4096

struct localapi {
	uv_pipe_t listener;
	struct node *node;
	struct conn *conns;
	unsigned conn_count;
	char *path;
	bool closing;
};

struct conn {
	uv_pipe_t pipe;
	struct localapi *api;
	struct conn *next;
	struct ucred cred;
	bool busy;   /* a request is being answered */
	bool closed; /* freed once not busy and the handle is closed */
	bool handle_closed;
	bool keep_alive;
	bool with_peers;
	char *buf;
	size_t len, room;
};

struct response {
	uv_write_t req;
	struct conn *conn;
	char head[512];
	char *body;
};

static void serve(struct conn *c);

static void conn_free(struct conn *c)
{
	struct localapi *api = c->api;
	struct conn **at = &api->conns;

	if (!c->handle_closed || c->busy)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	api->conn_count--;
	free(c->buf);
	free(c);
	if (api->closing && !api->conns && !api->path)
		free(api);
}

static void on_conn_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	c->handle_closed = true;
	conn_free(c);
}

static void conn_close(struct conn *c)
{
	if (c->closed)
		return;
	c->closed = true;
	uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
}

static void on_written(uv_write_t *req, int status)
{
	struct response *r = (struct response *)req;
	struct conn *c = r->conn;

	free(r->body);
	free(r);
	c->busy = false;
	if (c->handle_closed) {
		conn_free(c);
		return;
	}
	if (status < 0 || !c->keep_alive)
		conn_close(c);
	else
		serve(c);
}

static const char *reason(int code)
{
	switch (code) {
	case 200:
		return "OK";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	default:
		return "Internal Server Error";
	}
}

/* Takes the body (malloc'd, may be NULL). */
static void respond(struct conn *c, int code, const char *type, char *body, size_t len)
{
	struct response *r = calloc(1, sizeof(*r));
	uv_buf_t bufs[2];
	int n;

	if (!r || c->closed) {
		free(r);
		free(body);
		c->busy = false;
		if (c->handle_closed)
			conn_free(c);
		else
			conn_close(c);
		return;
	}
	r->conn = c;
	r->body = body;
	n = snprintf(r->head, sizeof(r->head),
		     "HTTP/1.1 %d %s\r\n"
		     "Content-Type: %s\r\n"
		     "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
		     "X-Content-Type-Options: nosniff\r\n"
		     "Connection: %s\r\n",
		     code, reason(code), type, c->keep_alive ? "keep-alive" : "close");
	/* RFC 9110 8.6: a 204 has no Content-Length. */
	n += snprintf(r->head + n, sizeof(r->head) - (size_t)n,
		      code == 204 ? "\r\n" : "Content-Length: %zu\r\n\r\n", len);
	bufs[0] = uv_buf_init(r->head, (unsigned)n);
	bufs[1] = uv_buf_init(body, (unsigned)len);
	if (uv_write(&r->req, (uv_stream_t *)&c->pipe, bufs, body ? 2 : 1, on_written)) {
		free(r->body);
		free(r);
		c->busy = false;
		conn_close(c);
	}
}

static void respond_text(struct conn *c, int code, const char *text)
{
	size_t len = strlen(text);
	char *body = malloc(len + 2);

	if (body)
		snprintf(body, len + 2, "%s\n", text);
	respond(c, code, "text/plain; charset=utf-8", body, body ? len + 1 : 0);
}

static void on_status_ready(void *arg)
{
	struct conn *c = arg;
	struct json_out j;

	json_out_init(&j);
	status_json(c->api->node, c->with_peers, &j);
	if (j.error) {
		json_out_fini(&j);
		respond_text(c, 500, "out of memory");
		return;
	}
	/* The text is handed on; the rest of j owns nothing. */
	respond(c, 200, "application/json", j.text, j.len);
}

static void get_status(struct conn *c, const struct http_request *req)
{
	char peers[8];

	c->with_peers =
		!http_query_get(req, "peers", peers, sizeof(peers)) || strcmp(peers, "false") != 0;
	dp_refresh_start(c->api->node->refresh, on_status_ready, c);
}

static void on_metrics_ready(void *arg)
{
	struct conn *c = arg;
	size_t len = 0;
	char *text = status_metrics(c->api->node, &len);

	if (text)
		respond(c, 200, "text/plain; version=0.0.4", text, len);
	else
		respond_text(c, 500, "out of memory");
}

static void get_metrics(struct conn *c, const struct http_request *req)
{
	(void)req;
	dp_refresh_start(c->api->node->refresh, on_metrics_ready, c);
}

static void post_reload(struct conn *c, const struct http_request *req)
{
	char err[CONFIG_ERROR_MAX];

	(void)req;
	if (node_reload(c->api->node, err))
		respond_text(c, 400, err);
	else
		respond(c, 204, "text/plain", NULL, 0);
}

static void answer(struct conn *c, int rc)
{
	if (rc)
		respond_text(c, 500, strerror(-rc));
	else
		respond(c, 204, "text/plain", NULL, 0);
}

static void post_down(struct conn *c, const struct http_request *req)
{
	(void)req;
	answer(c, node_stop(c->api->node));
}

static void post_up(struct conn *c, const struct http_request *req)
{
	(void)req;
	answer(c, node_start(c->api->node));
}

static const struct endpoint_row {
	const char *method;
	const char *path;
	bool is_change;
	void (*serve)(struct conn *c, const struct http_request *req);
} endpoints[] = {
	{"GET", LOCALAPI_PREFIX "status", false, get_status},
	{"GET", LOCALAPI_PREFIX "metrics", false, get_metrics},
	{"GET", "/metrics", false, get_metrics},
	{"POST", LOCALAPI_PREFIX "reload", true, post_reload},
	{"POST", LOCALAPI_PREFIX "down", true, post_down},
	{"POST", LOCALAPI_PREFIX "up", true, post_up},
};

static bool may_change(const struct conn *c)
{
	return c->cred.uid == 0 || c->cred.uid == geteuid();
}

/* A browser that was lured to a local address names its origin, or our name wrongly. */
static bool is_local_request(const struct http_request *req)
{
	return !req->has_origin &&
	       (!req->host[0] || strcmp(req->host, "local-tailscaled.sock") == 0 ||
		strcmp(req->host, "localhost") == 0 || strcmp(req->host, "causewayd") == 0);
}

static void route(struct conn *c, const struct http_request *req)
{
	const struct endpoint_row *found = NULL;
	bool known = false;

	if (!is_local_request(req)) {
		respond_text(c, 403, "invalid localapi request");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(endpoints) && !found; i++) {
		if (strcmp(endpoints[i].path, req->path) != 0)
			continue;
		known = true;
		if (strcmp(endpoints[i].method, req->method) == 0)
			found = &endpoints[i];
	}
	if (!found)
		respond_text(c, known ? 405 : 404,
			     known ? "method not allowed" : "404 page not found");
	else if (found->is_change && !may_change(c))
		respond_text(c, 403, "access denied");
	else
		found->serve(c, req);
}

static void refuse(struct conn *c, long error)
{
	int code = error == -EMSGSIZE  ? 413
		   : error == -ENOBUFS ? 431
		   : error == -ENOTSUP ? 501
				       : 400;

	c->keep_alive = false;
	c->len = 0;
	respond_text(c, code, reason(code));
}

/* The next request, if it has come whole. */
static void serve(struct conn *c)
{
	struct http_request req;
	long n;

	if (c->busy || c->closed || !c->len)
		return;
	n = http_parse((uint8_t *)c->buf, c->len, &req);
	if (n == 0 && c->len < HTTP_REQUEST_MAX)
		return;
	c->busy = true;
	if (n <= 0) {
		refuse(c, n ? n : -EMSGSIZE);
		return;
	}
	c->keep_alive = req.keep_alive;
	/* No handler uses the body; what it was is known to have ended here. */
	memmove(c->buf, c->buf + n, c->len - (size_t)n);
	c->len -= (size_t)n;
	route(c, &req);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct conn *c = h->data;

	(void)suggested;
	if (c->room - c->len < READ_BYTES && c->room < HTTP_REQUEST_MAX + READ_BYTES) {
		size_t room = c->room ? 2 * c->room : READ_BYTES;
		char *p = realloc(c->buf, room);

		if (p) {
			c->buf = p;
			c->room = room;
		}
	}
	*buf = uv_buf_init(c->buf ? c->buf + c->len : NULL, (unsigned)(c->room - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = stream->data;

	(void)buf;
	/* The other end is gone, or sends more ahead than one request may have. */
	if (n < 0) {
		conn_close(c);
		return;
	}
	c->len += (size_t)n;
	serve(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct localapi *api = listener->data;
	struct conn *c;
	uv_os_fd_t fd;

	if (status < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		return;
	uv_pipe_init(listener->loop, &c->pipe, 0);
	c->pipe.data = c;
	c->api = api;
	c->next = api->conns;
	api->conns = c;
	api->conn_count++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) || api->conn_count > CONNECTIONS_MAX ||
	    uv_fileno((uv_handle_t *)&c->pipe, &fd) || sock_peer_cred(fd, &c->cred) ||
	    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read))
		conn_close(c);
}

int localapi_open(uv_loop_t *loop, const char *socket_path, struct node *n, struct localapi **out)
{
	struct localapi *api = calloc(1, sizeof(*api));
	int fd, err;

	if (!api)
		return -ENOMEM;
	fd = sock_unix_listen(socket_path, SOCK_STREAM, SOCKET_MODE);
	if (fd < 0) {
		free(api);
		return fd;
	}
	api->node = n;
	api->path = strdup(socket_path);
	uv_pipe_init(loop, &api->listener, 0);
	api->listener.data = api;
	err = api->path ? uv_pipe_open(&api->listener, fd) : -ENOMEM;
	if (err)
		close(fd);
	else
		err = uv_listen((uv_stream_t *)&api->listener, CONNECTIONS_MAX, on_connection);
	if (err) {
		localapi_close(api);
		return err;
	}
	*out = api;
	return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct localapi *api = h->data;

	free(api->path);
	api->path = NULL;
	if (!api->conns)
		free(api);
}

void localapi_close(struct localapi *api)
{
	if (!api)
		return;
	api->closing = true;
	if (api->path)
		unlink(api->path);
	for (struct conn *c = api->conns; c; c = c->next)
		conn_close(c);
	uv_close((uv_handle_t *)&api->listener, on_listener_closed);
}
