/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/dp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <sodium.h>

#include "lib/base/log.h"
#include "lib/dpapi/dpapi_msg.h"

#define RETRY_MS 100
/* Messages taken at one wake-up, so that a busy dataplane cannot starve the loop. */
#define RECV_BURST 256
/*
 * What may wait for a dataplane that does not read: several times the whole picture
 * of 65,536 peers. Beyond it a new connection, with the picture sent anew, is less.
 */
#define OUT_BYTES_MAX ((size_t)256 << 20)

struct outgoing {
	struct outgoing *next;
	size_t len;
	uint8_t data[];
};

struct pending {
	struct pending *next;
	uint32_t seq;
	dp_client_ack_fn *cb;
	void *arg;
};

struct dp_client {
	uv_timer_t retry;
	uv_poll_t *poll; /* closes in its own time, so it is apart */
	int fd;
	enum dp_client_state state;
	bool closed;
	bool told_down; /* an error was logged since the last connection */
	uint32_t seq;
	struct outgoing *out_first, **out_last;
	size_t out_bytes;
	struct pending *pending_first, **pending_last;
	const struct dp_client_ops *ops;
	void *arg;
	char path[108];
	uint8_t buf[DPAPI_MSG_MAX];
};

union message {
	struct dpapi_hdr hdr;
#define X(name, number, type, help) struct type name;
	DPAPI_MESSAGES(X)
#undef X
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_retry(uv_timer_t *timer);

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void out_free(struct dp_client *c, struct outgoing *o)
{
	c->out_bytes -= o->len;
	/* It may carry session keys. */
	sodium_memzero(o->data, o->len);
	free(o);
}

static void drop_queues(struct dp_client *c)
{
	struct pending *p = c->pending_first;

	while (c->out_first) {
		struct outgoing *o = c->out_first;

		c->out_first = o->next;
		out_free(c, o);
	}
	c->out_last = &c->out_first;
	c->pending_first = NULL;
	c->pending_last = &c->pending_first;
	while (p) {
		struct pending *next = p->next;

		p->cb(p->arg, -ECONNRESET, "the dataplane went away");
		free(p);
		p = next;
	}
}

static void disconnect(struct dp_client *c, int why)
{
	bool was_up = c->state > DP_CLIENT_GREETING;

	if (c->poll) {
		uv_poll_stop(c->poll);
		uv_close((uv_handle_t *)c->poll, free_handle);
		c->poll = NULL;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = DP_CLIENT_DOWN;
	drop_queues(c);
	if (c->closed)
		return;
	if (!c->told_down)
		log_warn("dp.down", "socket=%s error=\"%s\"", c->path, strerror(-why));
	c->told_down = true;
	uv_timer_start(&c->retry, on_retry, RETRY_MS, 0);
	if (was_up)
		c->ops->on_down(c->arg);
}

static void watch(struct dp_client *c)
{
	uv_poll_start(c->poll, UV_READABLE | (c->out_first ? UV_WRITABLE : 0), on_poll);
}

/* Not where it was noticed: the sender may be in the middle of its picture. */
static void on_overflow(uv_timer_t *timer)
{
	disconnect(timer->data, -ENOBUFS);
}

static int transmit(struct dp_client *c, void *msg, size_t len)
{
	struct outgoing *o;
	int err = -EAGAIN;

	if (!c->out_first)
		err = dpapi_msg_send(c->fd, msg, len, NULL, 0);
	if (err != -EAGAIN)
		return err;
	if (c->out_bytes + len > OUT_BYTES_MAX) {
		uv_timer_start(&c->retry, on_overflow, 0, 0);
		return -ENOBUFS;
	}
	o = malloc(sizeof(*o) + len);
	if (!o)
		return -ENOMEM;
	o->next = NULL;
	o->len = len;
	memcpy(o->data, msg, len);
	*c->out_last = o;
	c->out_last = &o->next;
	c->out_bytes += len;
	watch(c);
	return 0;
}

static void flush(struct dp_client *c)
{
	while (c->out_first) {
		struct outgoing *o = c->out_first;
		int err = dpapi_msg_send(c->fd, o->data, o->len, NULL, 0);

		if (err == -EAGAIN)
			return;
		if (err) {
			disconnect(c, err);
			return;
		}
		c->out_first = o->next;
		if (!c->out_first)
			c->out_last = &c->out_first;
		out_free(c, o);
	}
	watch(c);
}

int dp_client_send(struct dp_client *c, void *msg, size_t len)
{
	struct dpapi_hdr *hdr = msg;

	if (c->state < DP_CLIENT_DUMPING)
		return -ENOTCONN;
	hdr->seq = ++c->seq;
	hdr->len = (uint32_t)len;
	return transmit(c, msg, len);
}

int dp_client_request(struct dp_client *c, void *msg, size_t len, dp_client_ack_fn *cb, void *arg)
{
	struct dpapi_hdr *hdr = msg;
	struct pending *p = malloc(sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	hdr->flags |= DPAPI_WANT_ACK;
	err = dp_client_send(c, msg, len);
	if (err) {
		free(p);
		return err;
	}
	*p = (struct pending){.seq = c->seq, .cb = cb, .arg = arg};
	*c->pending_last = p;
	c->pending_last = &p->next;
	return 0;
}

static void on_ack(struct dp_client *c, struct dpapi_ack *ack)
{
	struct pending **at = &c->pending_first;
	struct pending *p;

	ack->text[sizeof(ack->text) - 1] = 0;
	/* Answers come nearly in order: the first few of the list. */
	while (*at && (*at)->seq != ack->hdr.seq)
		at = &(*at)->next;
	p = *at;
	/* Asked to remove what is gone already: expiry crosses with us. */
	if (ack->error && !(ack->error == -ENOENT &&
			    (ack->type == DPAPI_SESSION_DEL || ack->type == DPAPI_ROUTE_DEL)))
		log_warn("dp.refused", "message=%s error=\"%s\" text=\"%s\"",
			 dpapi_type_name((uint16_t)ack->type), strerror(-ack->error), ack->text);
	if (!p)
		return;
	*at = p->next;
	if (!p->next)
		c->pending_last = at;
	p->cb(p->arg, ack->error, ack->text);
	free(p);
}

static int on_hello_reply(struct dp_client *c, const struct dpapi_hello_reply *reply,
			  const int *fds, unsigned nfds)
{
	if (reply->version != DPAPI_VERSION) {
		log_error("dp.version", "theirs=%u ours=%u", reply->version, DPAPI_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (nfds != reply->udp_fds + 1u)
		return -EBADMSG;
	c->state = DP_CLIENT_DUMPING;
	c->told_down = false;
	log_info("dp.up", "pid=%u workers=%u engine=%.32s ports=%u", reply->pid, reply->workers,
		 reply->engine, reply->port_count);
	c->ops->on_hello(c->arg, reply, fds, nfds);
	return 0;
}

static int on_packet(struct dp_client *c, size_t len, const int *fds, unsigned *nfds)
{
	union message m;
	char why[DPAPI_ERROR_TEXT];
	size_t body = len;
	int err = dpapi_msg_decode(c->buf, len, &m, sizeof(m), &body, why, sizeof(why));

	if (err) {
		log_warn("dp.bad_message", "text=\"%s\"", why);
		/* A newer dataplane may say things that we do not know. */
		return err == -ENOTSUP ? 0 : err;
	}
	if (c->state == DP_CLIENT_GREETING) {
		/* Before its hello a dataplane may only refuse us. */
		if (m.hdr.type == DPAPI_ACK) {
			on_ack(c, &m.ACK);
			return -ECONNREFUSED;
		}
		if (m.hdr.type != DPAPI_HELLO_REPLY)
			return -EBADMSG;
		err = on_hello_reply(c, &m.HELLO_REPLY, fds, *nfds);
		if (!err)
			*nfds = 0;
		return err;
	}
	switch (m.hdr.type) {
	case DPAPI_HELLO_REPLY:
		return -EBADMSG;
	case DPAPI_ACK:
		on_ack(c, &m.ACK);
		return 0;
	case DPAPI_DUMP_END:
		c->state = DP_CLIENT_READY;
		break;
	default:
		break;
	}
	if (m.hdr.type >= DPAPI_HELLO_REPLY)
		c->ops->on_message(c->arg, &m.hdr, c->buf + body, len - body);
	return 0;
}

static void receive(struct dp_client *c)
{
	for (int i = 0; i < RECV_BURST && c->fd >= 0; i++) {
		int fds[DPAPI_FDS_MAX];
		unsigned nfds = DPAPI_FDS_MAX;
		ssize_t n = dpapi_msg_recv(c->fd, c->buf, sizeof(c->buf), fds, &nfds);
		int err;

		if (n == -EAGAIN)
			return;
		err = n <= 0 ? (n ? (int)n : -ECONNRESET) : on_packet(c, (size_t)n, fds, &nfds);
		while (n > 0 && nfds > 0)
			close(fds[--nfds]);
		if (err) {
			disconnect(c, err);
			return;
		}
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct dp_client *c = poll->data;

	if (status < 0) {
		/* libuv has EBADF for whatever poll calls an error. */
		disconnect(c, status == UV_EBADF ? -ECONNRESET : status);
		return;
	}
	if (events & UV_READABLE)
		receive(c);
	if (c->poll == poll && (events & UV_WRITABLE))
		flush(c);
}

static int connect_now(struct dp_client *c)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct dpapi_hello hello = {
		.hdr = {.type = DPAPI_HELLO},
		.version = DPAPI_VERSION,
		.role = DPAPI_ROLE_CONTROLLER,
		.program = "causewayd",
	};
	int err;

	memcpy(sa.sun_path, c->path, sizeof(sa.sun_path));
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	/* Never blocks: with a full backlog it is -EAGAIN, and we come again. */
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	err = dpapi_msg_send(c->fd, &hello, sizeof(hello), NULL, 0);
	if (err)
		return err;
	c->poll = calloc(1, sizeof(*c->poll));
	if (!c->poll)
		return -ENOMEM;
	err = uv_poll_init(c->retry.loop, c->poll, c->fd);
	if (err) {
		free(c->poll);
		c->poll = NULL;
		return err;
	}
	c->poll->data = c;
	c->state = DP_CLIENT_GREETING;
	watch(c);
	return 0;
}

static void on_retry(uv_timer_t *timer)
{
	struct dp_client *c = timer->data;
	int err = connect_now(c);

	if (err)
		disconnect(c, err);
}

int dp_client_open(uv_loop_t *loop, const char *socket_path, const struct dp_client_ops *ops,
		   void *arg, struct dp_client **out)
{
	struct dp_client *c;

	if (strlen(socket_path) >= sizeof(c->path))
		return -ENAMETOOLONG;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	snprintf(c->path, sizeof(c->path), "%s", socket_path);
	c->fd = -1;
	c->ops = ops;
	c->arg = arg;
	c->out_last = &c->out_first;
	c->pending_last = &c->pending_first;
	uv_timer_init(loop, &c->retry);
	c->retry.data = c;
	uv_timer_start(&c->retry, on_retry, 0, 0);
	*out = c;
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void dp_client_close(struct dp_client *c)
{
	if (!c)
		return;
	c->closed = true;
	disconnect(c, 0);
	uv_close((uv_handle_t *)&c->retry, on_closed);
}

enum dp_client_state dp_client_state(const struct dp_client *c)
{
	return c->state;
}
