/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/localapi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/node/icmp_ping.h"
#include "controlplane/node/localapi_serve.h"
#include "lib/base/sock.h"

#define SOCKET_MODE	0666
#define CONNECTIONS_MAX 64
#define READ_BYTES	4096

struct localapi {
	uv_pipe_t listener;
	struct node *node;
	struct mesh *mesh;
	struct icmp_ping *icmp;
	struct api_conn *conns;
	unsigned conn_count;
	char *path;
	bool closing;
};

void localapi_conn_free(struct api_conn *c)
{
	struct localapi *api = c->api;
	struct api_conn **at = &api->conns;

	if (!c->handle_closed || c->busy || c->writes)
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
	struct api_conn *c = h->data;

	c->handle_closed = true;
	localapi_conn_free(c);
}

void localapi_conn_close(struct api_conn *c)
{
	void (*gone)(void *arg) = c->on_gone;

	if (c->closed)
		return;
	c->closed = true;
	uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
	/* Who was to answer later does not any more. */
	c->on_gone = NULL;
	if (gone) {
		c->busy = false;
		gone(c->gone_arg);
	}
}

static void refuse(struct api_conn *c, long error)
{
	c->keep_alive = false;
	c->len = 0;
	if (error == -EMSGSIZE)
		api_text(c, 413, "the request is too large");
	else if (error == -ENOBUFS)
		api_text(c, 431, "the request's head is too large");
	else if (error == -ENOTSUP)
		api_text(c, 501, "unknown transfer coding");
	else
		api_text(c, 400, "400 Bad Request");
}

/* The next request, if it has come whole. */
static void serve(struct api_conn *c)
{
	struct http_request req;
	uint8_t *whole;
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
	/* The endpoint may be asked again from inside, which moves the buffer. */
	whole = malloc(req.body_len + 1);
	if (!whole) {
		refuse(c, -EMSGSIZE);
		return;
	}
	memcpy(whole, req.body, req.body_len);
	req.body = whole;
	memmove(c->buf, c->buf + n, c->len - (size_t)n);
	c->len -= (size_t)n;
	localapi_route(c, &req);
	free(whole);
}

void localapi_conn_answered(struct api_conn *c, bool may_go_on)
{
	c->busy = false;
	if (!may_go_on)
		localapi_conn_close(c);
	else if (!c->closed)
		serve(c);
	if (c->handle_closed)
		localapi_conn_free(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct api_conn *c = h->data;

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
	struct api_conn *c = stream->data;

	(void)buf;
	/* The other end is gone, or sends more ahead than one request may have. */
	if (n < 0) {
		localapi_conn_close(c);
		return;
	}
	c->len += (size_t)n;
	serve(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct localapi *api = listener->data;
	struct api_conn *c;
	uv_os_fd_t fd;

	if (status < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		return;
	uv_pipe_init(listener->loop, &c->pipe, 0);
	c->pipe.data = c;
	c->api = api;
	c->node = api->node;
	c->mesh = api->mesh;
	c->icmp = api->icmp;
	c->next = api->conns;
	api->conns = c;
	api->conn_count++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) || api->conn_count > CONNECTIONS_MAX ||
	    uv_fileno((uv_handle_t *)&c->pipe, &fd) || sock_peer_cred(fd, &c->cred) ||
	    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read))
		localapi_conn_close(c);
}

int localapi_open(uv_loop_t *loop, const char *socket_path, struct node *n, struct mesh *mesh,
		  struct localapi **out)
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
	api->mesh = mesh;
	api->path = strdup(socket_path);
	api->icmp = icmp_ping_open(loop);
	uv_pipe_init(loop, &api->listener, 0);
	api->listener.data = api;
	err = api->path && api->icmp ? uv_pipe_open(&api->listener, fd) : -ENOMEM;
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
	for (struct api_conn *c = api->conns; c; c = c->next)
		localapi_conn_close(c);
	icmp_ping_close(api->icmp);
	uv_close((uv_handle_t *)&api->listener, on_listener_closed);
}
