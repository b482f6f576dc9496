/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP side of the DNS server (RFC 7766): a connection may ask many questions, and
 * answers come in the order in which they are known. One that asks nothing for 10 s,
 * or does not take its answers, is closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/dns/dns_server_int.h"
#include "lib/base/bug.h"

#define IDLE_MS	      10000
#define BACKLOG	      32
#define TCP_LEN_BYTES 2
#define QUERY_MAX     4096 /* a question with options is far shorter */
#define UNSENT_MAX    (256u << 10)
#ifndef IPV6_2292PKTOPTIONS
#define IPV6_2292PKTOPTIONS 6
#endif

struct dns_conn {
	struct dns_server *server;
	struct dns_client client;
	uv_tcp_t tcp;
	uv_timer_t idle;
	unsigned handles;
	bool is_closing, is_paused;
	uint32_t pending; /* requests that resolvers have */
	size_t len;
	uint8_t in[TCP_LEN_BYTES + QUERY_MAX];
	struct dns_conn *next, **link;
};

struct conn_write {
	uv_write_t req;
	uint8_t bytes[];
};

static void handle_closed(uv_handle_t *h)
{
	struct dns_conn *c = h->data;

	if (--c->handles == 0)
		free(c);
}

static void conn_close(struct dns_conn *c)
{
	c->is_closing = true;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->server->conn_count--;
	uv_close((uv_handle_t *)&c->tcp, handle_closed);
	uv_close((uv_handle_t *)&c->idle, handle_closed);
}

static void end(struct dns_conn *c)
{
	if (c->is_closing)
		return;
	dns_server_drop(c->server, c);
	conn_close(c);
}

static void on_idle(uv_timer_t *t)
{
	end(t->data);
}

static void on_written(uv_write_t *w, int status)
{
	free(w);
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf);

static void room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct dns_conn *c = h->data;

	*buf = uv_buf_init((char *)c->in + c->len, (unsigned)(sizeof(c->in) - c->len));
}

/* Takes what is whole, as long as not too much is pending. */
static void take_queries(struct dns_conn *c)
{
	while (!c->is_closing && c->pending < DNS_CONN_REQUESTS_MAX && c->len >= TCP_LEN_BYTES) {
		size_t len = (size_t)c->in[0] << 8 | c->in[1];
		uint32_t before = c->server->request_count;

		if (len > QUERY_MAX) {
			c->server->counters.bad_queries++;
			end(c);
			return;
		}
		if (c->len < TCP_LEN_BYTES + len)
			break;
		c->server->counters.tcp_queries++;
		if (!dns_server_take(c->server, c->in + TCP_LEN_BYTES, len, &c->client)) {
			end(c);
			return;
		}
		if (c->is_closing)
			return;
		c->pending += c->server->request_count > before;
		c->len -= TCP_LEN_BYTES + len;
		memmove(c->in, c->in + TCP_LEN_BYTES + len, c->len);
		uv_timer_start(&c->idle, on_idle, IDLE_MS, 0);
	}
	if (c->is_closing)
		return;
	if (c->pending >= DNS_CONN_REQUESTS_MAX && !c->is_paused)
		uv_read_stop((uv_stream_t *)&c->tcp);
	else if (c->pending < DNS_CONN_REQUESTS_MAX && c->is_paused)
		uv_read_start((uv_stream_t *)&c->tcp, room, on_read);
	c->is_paused = c->pending >= DNS_CONN_REQUESTS_MAX;
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
	struct dns_conn *c = tcp->data;

	if (n < 0) {
		end(c);
		return;
	}
	c->len += (size_t)n;
	take_queries(c);
}

static void send_now(struct dns_conn *c, const uint8_t *msg, size_t len)
{
	struct conn_write *w = malloc(sizeof(*w) + TCP_LEN_BYTES + len);
	uv_buf_t buf;

	if (!w) {
		end(c);
		return;
	}
	w->bytes[0] = (uint8_t)(len >> 8);
	w->bytes[1] = (uint8_t)len;
	memcpy(w->bytes + TCP_LEN_BYTES, msg, len);
	buf = uv_buf_init((char *)w->bytes, (unsigned)(TCP_LEN_BYTES + len));
	if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, on_written)) {
		free(w);
		end(c);
	} else if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > UNSENT_MAX) {
		end(c);
	}
}

void dns_conn_send(struct dns_conn *c, const uint8_t *msg, size_t len)
{
	if (!c->is_closing)
		send_now(c, msg, len);
}

bool dns_conn_is_open(const struct dns_conn *c)
{
	return !c->is_closing;
}

void dns_conn_close_all(struct dns_server *s)
{
	while (s->conns)
		conn_close(s->conns);
}

void dns_conn_answered(struct dns_conn *c)
{
	if (c->is_closing)
		return;
	BUG_ON(!c->pending);
	c->pending--;
	take_queries(c);
}

/* Over which interface the connection came; 0: the kernel does not say. */
static uint32_t ifindex_of(int fd, uint8_t family)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[512];
	} control;
	struct msghdr msg = {.msg_control = control.bytes};
	socklen_t len = sizeof(control.bytes);
	bool is_v6 = family == AF_INET6;
	int on = 1;

	if (setsockopt(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_RECVPKTINFO : IP_PKTINFO,
		       &on, sizeof(on)) ||
	    getsockopt(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		       is_v6 ? IPV6_2292PKTOPTIONS : IP_PKTOPTIONS, control.bytes, &len))
		return 0;
	msg.msg_controllen = len;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (!is_v6 && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			return (uint32_t)((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex;
		if (is_v6 && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			return ((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex;
	}
	return 0;
}

/* False: it is not taken. */
static bool look(struct dns_conn *c)
{
	struct dns_server *s = c->server;
	struct sockaddr_storage ss;
	int len = sizeof(ss), fd;
	uint32_t same = 0;

	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&ss, &len) ||
	    endpoint_from_sockaddr((struct sockaddr *)&ss, (socklen_t)len, &c->client.from) ||
	    uv_fileno((uv_handle_t *)&c->tcp, &fd))
		return false;
	c->client.ifindex = ifindex_of(fd, (uint8_t)ss.ss_family);
	if (dns_server_is_from_tunnel(s, c->client.ifindex, &c->client.from.addr)) {
		s->counters.from_tunnel++;
		return false;
	}
	for (const struct dns_conn *o = s->conns; o; o = o->next)
		same += o != c && addr_equal(&o->client.from.addr, &c->client.from.addr);
	if (same >= DNS_CONNS_SOURCE_MAX || s->conn_count > DNS_CONNS_MAX) {
		s->counters.too_many++;
		return false;
	}
	return true;
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct dns_listener *l = listener->data;
	struct dns_server *s = l->server;
	struct dns_conn *c = status ? NULL : calloc(1, sizeof(*c));

	if (!c)
		return;
	c->server = s;
	c->client = (struct dns_client){.udp_fd = -1, .conn = c};
	uv_tcp_init(s->loop, &c->tcp);
	uv_timer_init(s->loop, &c->idle);
	c->tcp.data = c->idle.data = c;
	c->handles = 2;
	c->link = &s->conns;
	c->next = s->conns;
	if (c->next)
		c->next->link = &c->next;
	s->conns = c;
	s->conn_count++;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) || !look(c) ||
	    uv_read_start((uv_stream_t *)&c->tcp, room, on_read)) {
		conn_close(c);
		return;
	}
	uv_timer_start(&c->idle, on_idle, IDLE_MS, 0);
}

int dns_conn_listen(struct dns_listener *l, int fd)
{
	int rc = uv_tcp_init(l->server->loop, &l->tcp);

	if (rc) {
		close(fd);
		return rc;
	}
	l->tcp.data = l;
	l->has_tcp = true;
	l->server->handles++;
	rc = uv_tcp_open(&l->tcp, fd);
	if (rc)
		close(fd);
	else
		rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
	if (rc)
		uv_close((uv_handle_t *)&l->tcp, dns_server_handle_closed);
	l->has_tcp = rc == 0;
	return rc;
}
