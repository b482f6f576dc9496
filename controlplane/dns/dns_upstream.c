/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/dns/dns_upstream.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

#define TCP_LEN_BYTES 2

/* One resolver in the race. */
struct lane {
	struct dns_ask *ask;
	struct endpoint at;
	bool is_out; /* no answer will come of it */
	bool has_udp, has_tcp;
	uv_udp_t udp;
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	uint8_t *stream; /* what came by TCP: length, message */
	size_t stream_len, stream_room;
};

struct dns_ask {
	uv_timer_t timer;
	unsigned handles; /* open: the last one frees */
	bool is_over, has_retried;
	dns_ask_fn *cb;
	void *arg;
	uint64_t *bad_replies;
	/* What is answered if nothing better comes: a failure, or a cut answer. */
	uint8_t *worse;
	size_t worse_len;
	uint32_t lane_count;
	struct lane lanes[DNS_UPSTREAM_RACE_MAX];
	struct dns_query q;
	uint16_t id; /* of the query as it is sent */
	size_t len;
	uint8_t *query;	  /* behind its length, which TCP wants */
	uint8_t framed[]; /* length, query */
};

/* One datagram at a time, on the one thread. */
static uint8_t scratch[DNS_MESSAGE_MAX];

static void handle_closed(uv_handle_t *h)
{
	struct dns_ask *a = h->data;

	if (--a->handles)
		return;
	for (uint32_t i = 0; i < a->lane_count; i++)
		free(a->lanes[i].stream);
	free(a->worse);
	free(a);
}

static void close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, handle_closed);
}

/* Stops everything; the memory goes with the last handle. */
static void stop(struct dns_ask *a)
{
	a->is_over = true;
	for (uint32_t i = 0; i < a->lane_count; i++) {
		if (a->lanes[i].has_udp)
			close_handle(&a->lanes[i].udp);
		if (a->lanes[i].has_tcp)
			close_handle(&a->lanes[i].tcp);
	}
	close_handle(&a->timer);
}

void dns_ask_cancel(struct dns_ask *a)
{
	BUG_ON(a->is_over);
	stop(a);
}

static void finish(struct dns_ask *a, uint8_t *reply, size_t len)
{
	stop(a);
	if (reply)
		dns_set_id(reply, a->q.id);
	a->cb(a->arg, reply, len);
}

static void finish_worse(struct dns_ask *a)
{
	finish(a, a->worse, a->worse_len);
}

/* Kept in case nothing better comes: the first failure, or a cut answer before any. */
static void keep(struct dns_ask *a, const uint8_t *reply, size_t len)
{
	uint8_t *copy;

	if (a->worse && !(dns_reply_is_cut(reply) && !dns_reply_is_cut(a->worse)))
		return;
	copy = malloc(len);
	if (!copy)
		return;
	memcpy(copy, reply, len);
	free(a->worse);
	a->worse = copy;
	a->worse_len = len;
}

static void lane_out(struct lane *l)
{
	struct dns_ask *a = l->ask;

	l->is_out = true;
	for (uint32_t i = 0; i < a->lane_count; i++)
		if (!a->lanes[i].is_out)
			return;
	finish_worse(a);
}

static bool is_failure(const uint8_t *reply)
{
	enum dns_rcode rcode = dns_reply_rcode(reply);

	return rcode == DNS_SERVFAIL || rcode == DNS_REFUSED;
}

static void stream_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct lane *l = (struct lane *)((char *)h - offsetof(struct lane, tcp));
	size_t want = TCP_LEN_BYTES;
	uint8_t *p = l->stream;

	if (l->stream_len >= TCP_LEN_BYTES)
		want += (size_t)l->stream[0] << 8 | l->stream[1];
	if (want > l->stream_room) {
		p = realloc(l->stream, want);
		if (p) {
			l->stream = p;
			l->stream_room = want;
		}
	}
	*buf = p ? uv_buf_init((char *)p + l->stream_len, (unsigned)(want - l->stream_len))
		 : uv_buf_init(NULL, 0);
}

static void on_stream(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
	struct lane *l = (struct lane *)((char *)tcp - offsetof(struct lane, tcp));
	struct dns_ask *a = l->ask;
	size_t len;

	if (a->is_over)
		return;
	if (n < 0) {
		lane_out(l);
		return;
	}
	l->stream_len += (size_t)n;
	if (l->stream_len < TCP_LEN_BYTES)
		return;
	len = (size_t)l->stream[0] << 8 | l->stream[1];
	if (l->stream_len < TCP_LEN_BYTES + len)
		return;
	if (!dns_reply_matches(l->stream + TCP_LEN_BYTES, len, a->query, &a->q, a->id)) {
		++*a->bad_replies;
		lane_out(l);
	} else if (is_failure(l->stream + TCP_LEN_BYTES)) {
		keep(a, l->stream + TCP_LEN_BYTES, len);
		lane_out(l);
	} else {
		finish(a, l->stream + TCP_LEN_BYTES, len);
	}
}

/* A write that failed shows at the next read. */
static void on_written(uv_write_t *w, int status)
{
}

static void on_connected(uv_connect_t *c, int status)
{
	struct lane *l = (struct lane *)((char *)c - offsetof(struct lane, connect));
	struct dns_ask *a = l->ask;
	uv_buf_t buf = uv_buf_init((char *)a->framed, (unsigned)(TCP_LEN_BYTES + a->len));

	if (a->is_over)
		return;
	if (status || uv_write(&l->write, (uv_stream_t *)&l->tcp, &buf, 1, on_written) ||
	    uv_read_start((uv_stream_t *)&l->tcp, stream_room, on_stream))
		lane_out(l);
}

static void start_tcp(struct lane *l)
{
	struct sockaddr_storage ss;

	endpoint_to_sockaddr(&l->at, &ss);
	if (l->has_tcp)
		return;
	if (uv_tcp_init(l->ask->timer.loop, &l->tcp)) {
		lane_out(l);
		return;
	}
	l->tcp.data = l->ask;
	l->has_tcp = true;
	l->ask->handles++;
	if (uv_tcp_connect(&l->connect, &l->tcp, (struct sockaddr *)&ss, on_connected))
		lane_out(l);
}

static void datagram_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	*buf = uv_buf_init((char *)scratch, sizeof(scratch));
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
			unsigned flags)
{
	struct lane *l = (struct lane *)((char *)udp - offsetof(struct lane, udp));
	struct dns_ask *a = l->ask;

	if (a->is_over || l->is_out || (n == 0 && !from))
		return;
	if (n < 0) {
		/* Nobody is there, says ICMP. By TCP it may still come. */
		if (!l->has_tcp)
			lane_out(l);
		return;
	}
	if (flags & UV_UDP_PARTIAL ||
	    !dns_reply_matches(scratch, (size_t)n, a->query, &a->q, a->id)) {
		++*a->bad_replies;
		return;
	}
	if (is_failure(scratch)) {
		keep(a, scratch, (size_t)n);
		lane_out(l);
	} else if (dns_reply_is_cut(scratch)) {
		keep(a, scratch, (size_t)n);
		start_tcp(l);
	} else {
		finish(a, scratch, (size_t)n);
	}
}

/* A datagram that the kernel does not take is as one that is lost. */
static void send_udp(struct lane *l)
{
	uv_buf_t buf = uv_buf_init((char *)l->ask->query, (unsigned)l->ask->len);

	uv_udp_try_send(&l->udp, &buf, 1, NULL);
}

static void on_timer(uv_timer_t *t)
{
	struct dns_ask *a = t->data;

	if (a->has_retried) {
		finish_worse(a);
		return;
	}
	a->has_retried = true;
	for (uint32_t i = 0; i < a->lane_count; i++)
		if (!a->lanes[i].is_out && !a->lanes[i].has_tcp)
			send_udp(&a->lanes[i]);
	uv_timer_start(t, on_timer, DNS_UPSTREAM_PATIENCE_MS - DNS_UPSTREAM_RETRY_MS, 0);
}

/* False: it is not in the race, as without a route to it. */
static bool start_lane(struct dns_ask *a, const struct endpoint *at)
{
	struct lane *l = &a->lanes[a->lane_count];
	struct sockaddr_storage ss;

	endpoint_to_sockaddr(at, &ss);
	if (uv_udp_init(a->timer.loop, &l->udp))
		return false;
	*l = (struct lane){.ask = a, .at = *at, .udp = l->udp, .has_udp = true};
	l->udp.data = a;
	a->handles++;
	a->lane_count++;
	if (uv_udp_connect(&l->udp, (struct sockaddr *)&ss) ||
	    uv_udp_recv_start(&l->udp, datagram_room, on_datagram)) {
		l->is_out = true;
		return false;
	}
	send_udp(l);
	return true;
}

int dns_ask_start(uv_loop_t *loop, const struct dns_resolvers *resolvers, const uint8_t *query,
		  size_t len, const struct dns_query *q, uint64_t *bad_replies, dns_ask_fn *cb,
		  void *arg, struct dns_ask **out)
{
	struct dns_ask *a = calloc(1, sizeof(*a) + TCP_LEN_BYTES + len);
	bool is_racing = false;

	BUG_ON(len > DNS_MESSAGE_MAX);
	if (!a)
		return -ENOMEM;
	a->cb = cb;
	a->arg = arg;
	a->bad_replies = bad_replies;
	a->q = *q;
	a->len = len;
	a->framed[0] = (uint8_t)(len >> 8);
	a->framed[1] = (uint8_t)len;
	a->query = a->framed + TCP_LEN_BYTES;
	memcpy(a->query, query, len);
	randombytes_buf(&a->id, sizeof(a->id));
	dns_set_id(a->query, a->id);
	uv_timer_init(loop, &a->timer);
	a->timer.data = a;
	a->handles = 1;
	for (uint32_t i = 0; i < resolvers->count && a->lane_count < DNS_UPSTREAM_RACE_MAX; i++)
		is_racing |= start_lane(a, &resolvers->at[i]);
	if (!is_racing) {
		stop(a);
		return -ENETUNREACH;
	}
	uv_timer_start(&a->timer, on_timer, DNS_UPSTREAM_RETRY_MS, 0);
	*out = a;
	return 0;
}
