/* SPDX-License-Identifier: Apache-2.0 */
/* See server.h. */
#include "dataplane/api/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/api/apply.h"
#include "dataplane/api/dump.h"
#include "dataplane/api/show.h"
#include "dataplane/channel.h"
#include "dataplane/table/retire.h"
#include "lib/base/bug.h"
#include "lib/base/log.h"
#include "lib/base/sock.h"
#include "lib/dpapi/dpapi_msg.h"

#define CLIENTS_MAX	64
#define QUEUE_MAX_BYTES (256u << 20)
#define SHOW_PIECE	32768u
#define MESSAGES_A_TURN 256

/* A message that the socket did not take yet. */
struct queued {
	struct queued *next;
	size_t len;
	uint8_t bytes[];
};

struct client {
	struct loop_handler handler;
	struct server *server;
	struct client *next;
	int fd;
	bool has_hello, is_controller, is_doomed;
	struct queued *out_head, **out_tail;
	size_t out_bytes;
};

struct server {
	struct loop_handler handler;
	struct dataplane *dp;
	char *path;
	int listen_fd, epoll_fd;
	unsigned client_count;
	struct client *clients;
	struct client *controller;
	uint8_t buf[DPAPI_MSG_MAX];
};

bool server_has_controller(const struct server *s)
{
	return s->controller != NULL;
}

struct dataplane *server_dataplane(struct server *s)
{
	return s->dp;
}

static void want_write(struct client *c, bool want)
{
	struct epoll_event ev = {.events = EPOLLIN | (want ? (uint32_t)EPOLLOUT : 0u),
				 .data.ptr = &c->handler};

	epoll_ctl(c->server->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* Sends at once, or behind what waits already. The client is doomed if it cannot take it. */
static void client_send(struct client *c, void *msg, size_t len)
{
	struct queued *q;
	int ret = -EAGAIN;

	if (c->is_doomed)
		return;
	if (!c->out_head)
		ret = dpapi_msg_send(c->fd, msg, len, NULL, 0);
	if (ret == 0)
		return;
	q = ret == -EAGAIN && c->out_bytes + len <= QUEUE_MAX_BYTES ? malloc(sizeof(*q) + len)
								    : NULL;
	if (!q) {
		log_warn("api.send", "error=%d queued_bytes=%zu", ret, c->out_bytes);
		c->is_doomed = true;
		return;
	}
	((struct dpapi_hdr *)msg)->len = (uint32_t)len;
	q->next = NULL;
	q->len = len;
	memcpy(q->bytes, msg, len);
	if (!c->out_head)
		want_write(c, true);
	*c->out_tail = q;
	c->out_tail = &q->next;
	c->out_bytes += len;
}

static void client_flush(struct client *c)
{
	while (c->out_head) {
		struct queued *q = c->out_head;
		int ret = dpapi_msg_send(c->fd, q->bytes, q->len, NULL, 0);

		if (ret == -EAGAIN)
			return;
		if (ret < 0) {
			c->is_doomed = true;
			return;
		}
		c->out_head = q->next;
		c->out_bytes -= q->len;
		free(q);
	}
	c->out_tail = &c->out_head;
	want_write(c, false);
}

static void channel_fd_free(void *fd)
{
	close((int)(intptr_t)fd);
}

/* Workers may be about to use the old end: it is closed after quiescence. */
static void channel_replace(struct dataplane *dp, int fd)
{
	int old = __atomic_exchange_n(&dp->channel_fd, fd, __ATOMIC_ACQ_REL);

	if (old >= 0) {
		epoll_ctl(dp->workers[0]->epoll_fd, EPOLL_CTL_DEL, old, NULL);
		retire((void *)(intptr_t)old, channel_fd_free);
	}
	if (fd >= 0) {
		struct epoll_event ev = {.events = EPOLLIN,
					 .data.u64 = WORKER_EPOLL_CHANNEL_OF(fd)};

		epoll_ctl(dp->workers[0]->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	}
}

static void client_free(struct client *c)
{
	struct server *s = c->server;
	struct client **at = &s->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	s->client_count--;
	if (s->controller == c) {
		s->controller = NULL;
		channel_replace(s->dp, -1);
		log_info("api.controller", "state=gone");
	}
	close(c->fd);
	while (c->out_head) {
		struct queued *q = c->out_head;

		c->out_head = q->next;
		free(q);
	}
	free(c);
}

static void ack(struct client *c, const struct dpapi_hdr *hdr, int error, const char *text)
{
	struct dpapi_ack a = {
		.hdr = {.type = DPAPI_ACK, .seq = hdr->seq, .generation = hdr->generation},
		.error = error,
		.type = hdr->type};

	snprintf(a.text, sizeof(a.text), "%s", text);
	client_send(c, &a, sizeof(a));
}

/* The reply to a controller's hello carries its sockets and its end of the packet channel. */
static int hello_reply(struct client *c, struct dpapi_hello_reply *r)
{
	struct dataplane *dp = c->server->dp;
	int fds[DPAPI_FDS_MAX], theirs = -1, ours = -1, ret;
	unsigned n = 0;

	if (!c->is_controller)
		return dpapi_msg_send(c->fd, r, sizeof(*r), NULL, 0);
	ret = channel_open(&ours, &theirs);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < dp->port_count; i++) {
		if (dp->ports[i].control_fd_v4 >= 0)
			fds[n++] = dp->ports[i].control_fd_v4;
		if (dp->ports[i].control_fd_v6 >= 0)
			fds[n++] = dp->ports[i].control_fd_v6;
	}
	r->udp_fds = (uint16_t)n;
	fds[n++] = theirs;
	ret = dpapi_msg_send(c->fd, r, sizeof(*r), fds, n);
	close(theirs);
	if (ret < 0) {
		close(ours);
		return ret;
	}
	channel_replace(dp, ours);
	return 0;
}

static void take_over(struct client *c)
{
	struct server *s = c->server;

	if (s->controller && s->controller != c) {
		log_warn("api.controller", "state=replaced");
		s->controller->is_doomed = true;
	}
	s->controller = c;
	c->is_controller = true;
}

static void send_row(void *ctx, void *msg, size_t len)
{
	client_send(ctx, msg, len);
}

static void on_hello(struct client *c, const void *data, size_t len)
{
	struct dataplane *dp = c->server->dp;
	struct dpapi_hello h;
	struct dpapi_hello_reply r;
	char text[DPAPI_ERROR_TEXT];
	int ret = dpapi_msg_decode(data, len, &h, sizeof(h), NULL, text, sizeof(text));

	if (ret == 0 && h.role > DPAPI_ROLE_CONTROLLER) {
		ret = -EINVAL;
		snprintf(text, sizeof(text), "HELLO: role %u is not known", h.role);
	}
	if (ret < 0) {
		ack(c, data, ret, text);
		c->is_doomed = true;
		return;
	}
	if (h.version != DPAPI_VERSION) {
		snprintf(text, sizeof(text), "HELLO: version %u, this dataplane speaks %u",
			 h.version, DPAPI_VERSION);
		ack(c, &h.hdr, -EPROTONOSUPPORT, text);
		return;
	}
	if (h.role == DPAPI_ROLE_CONTROLLER)
		take_over(c);
	dump_hello(dp, &r);
	r.hdr.seq = h.hdr.seq;
	if (hello_reply(c, &r) < 0) {
		c->is_doomed = true;
		return;
	}
	c->has_hello = true;
	dump_ports(dp, send_row, c);
	if (c->is_controller) {
		dump_state(dp, send_row, c);
		log_info("api.controller", "state=connected program=%.*s", DPAPI_NAME_MAX,
			 h.program);
	}
}

static void on_show(struct client *c, const void *data, size_t len)
{
	struct {
		struct dpapi_show_reply r;
		char text[SHOW_PIECE];
	} out;
	struct dpapi_show sh;
	struct json_out js;
	size_t sent = 0;
	char text[DPAPI_ERROR_TEXT];
	int error;

	json_out_init(&js);
	error = dpapi_msg_decode(data, len, &sh, sizeof(sh), NULL, text, sizeof(text));
	if (error < 0) {
		memcpy(&sh.hdr, data, sizeof(sh.hdr));
	} else {
		sh.what[sizeof(sh.what) - 1] = 0;
		error = show_table(c->server->dp, sh.what, sh.limit, &js);
		if (error == 0 && js.error)
			error = js.error;
		snprintf(text, sizeof(text), "%s",
			 error == -ENOENT ? "no such table" : strerror(-error));
	}
	do {
		const char *from = error ? text : js.text + sent;
		size_t left = error ? strlen(from) : js.len - sent;
		size_t n = left < SHOW_PIECE ? left : SHOW_PIECE;

		memset(&out.r, 0, sizeof(out.r));
		out.r.hdr.type = DPAPI_SHOW_REPLY;
		out.r.hdr.seq = sh.hdr.seq;
		out.r.error = error;
		out.r.more = n < left;
		out.r.text_bytes = (uint32_t)n;
		memcpy(out.text, from, n);
		client_send(c, &out, sizeof(out.r) + n);
		sent += n;
	} while (!error && sent < js.len);
	json_out_fini(&js);
}

static void on_message(struct client *c, const void *data, size_t len)
{
	struct dpapi_hdr hdr;
	char text[DPAPI_ERROR_TEXT] = "";
	int ret;

	if (len < sizeof(hdr)) {
		c->is_doomed = true;
		return;
	}
	memcpy(&hdr, data, sizeof(hdr));
	if (hdr.type == DPAPI_HELLO) {
		on_hello(c, data, len);
		return;
	}
	if (!c->has_hello) {
		ack(c, &hdr, -EPROTO, "the first message must be HELLO");
		c->is_doomed = true;
		return;
	}
	if (hdr.type == DPAPI_SHOW) {
		on_show(c, data, len);
		return;
	}
	if (c->server->controller != c) {
		ack(c, &hdr, -EPERM, "only the controller may change things");
		return;
	}
	ret = apply_message(c->server->dp, data, len, text);
	if (ret < 0)
		log_warn("api.refused", "message=%s error=%d reason=\"%s\"",
			 dpapi_type_name(hdr.type), ret, text);
	if (ret < 0 || (hdr.flags & DPAPI_WANT_ACK) || hdr.type == DPAPI_BARRIER)
		ack(c, &hdr, ret, text);
}

static void reap(struct server *s)
{
	struct client *next;

	for (struct client *c = s->clients; c; c = next) {
		next = c->next;
		if (c->is_doomed)
			client_free(c);
	}
}

static void on_client(struct loop_handler *h, uint32_t events)
{
	struct client *c = (struct client *)h;
	struct server *s = c->server;

	if (events & EPOLLOUT)
		client_flush(c);
	for (int i = 0; i < MESSAGES_A_TURN && !c->is_doomed; i++) {
		unsigned nfds = 0;
		ssize_t n = dpapi_msg_recv(c->fd, s->buf, sizeof(s->buf), NULL, &nfds);

		if (n == -EAGAIN)
			break;
		if (n <= 0)
			c->is_doomed = true;
		else
			on_message(c, s->buf, (size_t)n);
		/* It may have held session keys. */
		if (n > 0)
			explicit_bzero(s->buf, (size_t)n);
	}
	reap(s);
}

static void on_listen(struct loop_handler *h, uint32_t events)
{
	struct server *s = (struct server *)h;
	struct epoll_event ev = {.events = EPOLLIN};
	struct ucred cred;
	struct client *c;
	int fd = sock_accept(s->listen_fd);

	if (fd < 0)
		return;
	if (sock_peer_cred(fd, &cred) < 0 || (cred.uid != 0 && cred.uid != geteuid()) ||
	    s->client_count == CLIENTS_MAX) {
		log_warn("api.refused", "uid=%u clients=%u", cred.uid, s->client_count);
		close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->handler.on_ready = on_client;
	c->server = s;
	c->fd = fd;
	c->out_tail = &c->out_head;
	c->next = s->clients;
	s->clients = c;
	s->client_count++;
	ev.data.ptr = &c->handler;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

struct server *server_new(struct dataplane *dp, const char *path, int epoll_fd, int *error)
{
	struct server *s = calloc(1, sizeof(*s));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!s) {
		*error = -ENOMEM;
		return NULL;
	}
	s->handler.on_ready = on_listen;
	s->dp = dp;
	s->epoll_fd = epoll_fd;
	s->path = strdup(path);
	s->listen_fd = sock_unix_listen(path, SOCK_SEQPACKET, 0600);
	if (s->listen_fd < 0) {
		*error = s->listen_fd;
		free(s->path);
		free(s);
		return NULL;
	}
	ev.data.ptr = &s->handler;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &ev);
	return s;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	while (s->clients)
		client_free(s->clients);
	close(s->listen_fd);
	unlink(s->path);
	free(s->path);
	free(s);
}

void server_to_controller(struct server *s, void *msg, size_t len)
{
	if (s->controller)
		client_send(s->controller, msg, len);
}
