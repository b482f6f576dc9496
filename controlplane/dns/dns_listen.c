/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets of the DNS server: bound before an interface has the address, and what
 * comes over UDP, with the interface that it came by.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/dns/dns_server_int.h"
#include "lib/base/log.h"

#define DATAGRAMS_A_RUN 64
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

static uint32_t ifindex_of(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			return (uint32_t)((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex;
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			return ((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex;
	}
	return 0;
}

/* False: nothing waits. */
static bool take_datagram(struct dns_listener *l)
{
	struct dns_server *s = l->server;
	struct dns_client client = {.udp_fd = l->udp_fd};
	union {
		struct cmsghdr align;
		uint8_t bytes[256];
	} control;
	uint8_t data[DNS_UDP_MAX + 1];
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	struct sockaddr_storage from;
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(l->udp_fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR || errno == ECONNREFUSED;
	s->counters.udp_queries++;
	if (endpoint_from_sockaddr((struct sockaddr *)&from, msg.msg_namelen, &client.from) ||
	    (size_t)n == sizeof(data) || !client.from.port) {
		s->counters.bad_queries++;
		return true;
	}
	client.ifindex = ifindex_of(&msg);
	if (dns_server_is_from_tunnel(s, client.ifindex, &client.from.addr))
		s->counters.from_tunnel++;
	else
		dns_server_take(s, data, (size_t)n, &client);
	return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct dns_listener *l = poll->data;

	for (int i = 0; i < DATAGRAMS_A_RUN && take_datagram(l); i++)
		;
}

/* A bound socket, also while no interface has the address. Or a negative errno. */
static int bound_socket(const struct endpoint *at, int type)
{
	bool is_v6 = at->addr.family == AF_INET6;
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(at, &ss);
	int fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_FREEBIND : IP_FREEBIND,
		       &on, sizeof(on)) ||
	    setsockopt(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_RECVPKTINFO : IP_PKTINFO,
		       &on, sizeof(on)) ||
	    (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on))) ||
	    bind(fd, (struct sockaddr *)&ss, len)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

void dns_server_handle_closed(uv_handle_t *h)
{
	struct dns_server *s = ((struct dns_listener *)h->data)->server;

	/* A listener whose opening failed halfway is tried again: its handles come back. */
	if (--s->handles == 0)
		free(s);
}

static void poll_closed(uv_handle_t *h)
{
	struct dns_listener *l = h->data;

	close(l->udp_fd);
	dns_server_handle_closed(h);
}

static int open_udp(struct dns_listener *l)
{
	int fd, rc;

	if (l->has_poll)
		return 0;
	fd = bound_socket(&l->at, SOCK_DGRAM);
	if (fd < 0)
		return fd;
	rc = uv_poll_init(l->server->loop, &l->poll, fd);
	if (rc) {
		close(fd);
		return rc;
	}
	l->poll.data = l;
	l->udp_fd = fd;
	l->has_poll = true;
	l->server->handles++;
	return uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static int open_listener(struct dns_listener *l)
{
	int rc = open_udp(l), fd;

	if (rc || l->has_tcp)
		return rc;
	fd = bound_socket(&l->at, SOCK_STREAM);
	return fd < 0 ? fd : dns_conn_listen(l, fd);
}

/* A host without IPv6 has nothing to say about it. */
static bool is_no_ipv6(const struct endpoint *at, int err)
{
	return at->addr.family == AF_INET6 && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL);
}

void dns_listen_all(struct dns_server *s)
{
	char before[sizeof(s->listen_problem)];

	memcpy(before, s->listen_problem, sizeof(before));
	s->listen_problem[0] = 0;
	for (uint32_t i = 0; i < s->listener_count; i++) {
		const struct endpoint *at = &s->listeners[i].at;
		int rc = open_listener(&s->listeners[i]);
		char text[ENDPOINT_STR_MAX];

		if (!rc || is_no_ipv6(at, rc) || s->listen_problem[0])
			continue;
		snprintf(s->listen_problem, sizeof(s->listen_problem),
			 "MagicDNS cannot be given at %s: %s%s.", endpoint_print(at, text),
			 strerror(-rc),
			 rc == -EADDRINUSE ? " (does another resolver have port 53 of every "
					     "address?)"
					   : "");
	}
	if (s->listen_problem[0] && strcmp(before, s->listen_problem) != 0)
		log_warn("dns.listen", "problem=\"%s\"", s->listen_problem);
}

void dns_listen_close(struct dns_server *s)
{
	for (uint32_t i = 0; i < s->listener_count; i++) {
		struct dns_listener *l = &s->listeners[i];

		if (l->has_poll)
			uv_close((uv_handle_t *)&l->poll, poll_closed);
		if (l->has_tcp)
			uv_close((uv_handle_t *)&l->tcp, dns_server_handle_closed);
	}
}
