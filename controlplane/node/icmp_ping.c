/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/icmp_ping.h"

#include <assert.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "lib/base/clock.h"
#include "lib/wire/be.h"
#include "lib/wire/ip_sum.h"

#define PINGS_MAX    64
#define COOKIE_BYTES 16

/* RFC 792, RFC 4443: an echo, and what we put into it. */
struct echo {
	uint8_t type, code;
	wire_be16 checksum, id, seq;
	uint8_t cookie[COOKIE_BYTES];
};
static_assert(sizeof(struct echo) == 24, "as on the wire");

struct out_ping {
	uint8_t cookie[COOKIE_BYTES]; /* what the answer is known by: identifiers are not ours */
	uint64_t sent_ns;
	icmp_ping_fn *fn; /* NULL: free */
	void *arg;
};

struct family {
	uv_poll_t poll;
	int fd; /* -1: none */
	bool is_raw;
};

struct icmp_ping {
	struct family v4, v6;
	unsigned open_handles;
	uint16_t seq;
	struct out_ping out[PINGS_MAX];
};

static void on_readable(uv_poll_t *poll, int status, int events);

static int open_socket(struct family *f, int family, int protocol)
{
	int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;

	f->fd = socket(family, SOCK_DGRAM | flags, protocol);
	if (f->fd < 0) {
		f->fd = socket(family, SOCK_RAW | flags, protocol);
		f->is_raw = true;
	}
	return f->fd;
}

/* A raw socket hears every ICMP message of the host: only echo replies concern us. */
static void hear_replies_alone(struct family *f, bool is_v6)
{
	uint32_t others = ~(1u << ICMP_ECHOREPLY);
	struct icmp6_filter filter;

	if (!f->is_raw)
		return;
	if (!is_v6) {
		setsockopt(f->fd, SOL_RAW, 1 /* ICMP_FILTER */, &others, sizeof(others));
		return;
	}
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
	setsockopt(f->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
}

static void watch(struct icmp_ping *i, uv_loop_t *loop, struct family *f, bool is_v6)
{
	if (f->fd < 0)
		return;
	if (uv_poll_init(loop, &f->poll, f->fd)) {
		close(f->fd);
		f->fd = -1;
		return;
	}
	hear_replies_alone(f, is_v6);
	f->poll.data = i;
	i->open_handles++;
	uv_poll_start(&f->poll, UV_READABLE, on_readable);
	/* It alone does not keep the loop alive. */
	uv_unref((uv_handle_t *)&f->poll);
}

struct icmp_ping *icmp_ping_open(uv_loop_t *loop)
{
	struct icmp_ping *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	open_socket(&i->v4, AF_INET, IPPROTO_ICMP);
	open_socket(&i->v6, AF_INET6, IPPROTO_ICMPV6);
	watch(i, loop, &i->v4, false);
	watch(i, loop, &i->v6, true);
	return i;
}

static void on_closed(uv_handle_t *h)
{
	struct icmp_ping *i = h->data;

	if (--i->open_handles == 0)
		free(i);
}

static void close_family(struct family *f)
{
	if (f->fd < 0)
		return;
	uv_poll_stop(&f->poll);
	close(f->fd);
	f->fd = -1;
	uv_close((uv_handle_t *)&f->poll, on_closed);
}

void icmp_ping_close(struct icmp_ping *i)
{
	if (!i)
		return;
	if (!i->open_handles) {
		free(i);
		return;
	}
	memset(i->out, 0, sizeof(i->out));
	close_family(&i->v4);
	close_family(&i->v6);
}

static struct out_ping *free_slot(struct icmp_ping *i)
{
	for (unsigned k = 0; k < PINGS_MAX; k++)
		if (!i->out[k].fn)
			return &i->out[k];
	return NULL;
}

int icmp_ping_send(struct icmp_ping *i, const struct ip_addr *to, icmp_ping_fn *fn, void *arg)
{
	const struct family *f = to->family == AF_INET6 ? &i->v6 : &i->v4;
	struct endpoint ep = {.addr = *to};
	struct sockaddr_storage ss;
	socklen_t ss_len = endpoint_to_sockaddr(&ep, &ss);
	struct echo packet = {.type = to->family == AF_INET6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO};
	struct out_ping *out = free_slot(i);

	if (f->fd < 0)
		return -EPROTONOSUPPORT;
	if (!out)
		return -EBUSY;
	randombytes_buf(out->cookie, sizeof(out->cookie));
	be16_put(&packet.id, (uint16_t)getpid());
	be16_put(&packet.seq, ++i->seq);
	memcpy(packet.cookie, out->cookie, COOKIE_BYTES);
	/* The kernel writes the sum of ICMPv6, and of both for its own ping sockets. */
	if (to->family == AF_INET)
		be16_put(&packet.checksum, ip_checksum(&packet, sizeof(packet)));
	out->sent_ns = clock_now_ns();
	if (sendto(f->fd, &packet, sizeof(packet), 0, (struct sockaddr *)&ss, ss_len) < 0)
		return -errno;
	out->fn = fn;
	out->arg = arg;
	return 0;
}

void icmp_ping_cancel(struct icmp_ping *i, void *arg)
{
	for (unsigned k = 0; k < PINGS_MAX; k++)
		if (i->out[k].fn && i->out[k].arg == arg)
			i->out[k].fn = NULL;
}

/* Raw IPv4 sockets give the IP header too. */
static size_t icmp_offset(const struct family *f, bool is_v6, const uint8_t *data, size_t len)
{
	if (is_v6 || !f->is_raw || !len)
		return 0;
	return (size_t)(data[0] & 15) * 4;
}

static void on_reply(struct icmp_ping *i, const uint8_t *cookie, uint64_t now_ns)
{
	for (unsigned k = 0; k < PINGS_MAX; k++) {
		struct out_ping *out = &i->out[k];
		icmp_ping_fn *fn = out->fn;

		if (!fn || sodium_memcmp(out->cookie, cookie, COOKIE_BYTES) != 0)
			continue;
		out->fn = NULL;
		fn(out->arg, now_ns - out->sent_ns);
		return;
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct icmp_ping *i = poll->data;
	bool is_v6 = poll == &i->v6.poll;
	const struct family *f = is_v6 ? &i->v6 : &i->v4;
	uint8_t data[512];
	struct echo reply;

	(void)events;
	if (status < 0)
		return;
	/* A few at a time: whoever floods the host with replies does not hold the loop. */
	for (unsigned k = 0; k < 16; k++) {
		ssize_t n = recv(f->fd, data, sizeof(data), 0);
		size_t at;

		if (n < 0)
			return;
		at = icmp_offset(f, is_v6, data, (size_t)n);
		if ((size_t)n < at + sizeof(reply))
			continue;
		memcpy(&reply, data + at, sizeof(reply));
		if (reply.type == (is_v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
			on_reply(i, reply.cookie, clock_now_ns());
	}
}
