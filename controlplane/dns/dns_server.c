/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/dns/dns_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/dns/dns_server_int.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define DNS_PORT      53
#define RETRY_MS      5000
#define LOOPBACK      1 /* the first interface of a network namespace */
#define OPCODE(flags) ((flags) >> 11 & 0xf)
#define TYPE_IXFR     251

/* Of this host: it can be bound without IP_FREEBIND. */
static bool is_own(const struct ip_addr *a)
{
	const struct endpoint any_port = {.addr = *a};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&any_port, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_bound = fd >= 0 && bind(fd, (struct sockaddr *)&ss, len) == 0;

	if (fd >= 0)
		close(fd);
	return is_bound;
}

/*
 * What this host sends to an address of its own is looped back, but the kernel names the
 * interface that has the address, which is the TUN. Its source tells: a packet that
 * comes in with a source of ours is dropped by the kernel as a martian.
 */
bool dns_server_is_from_tunnel(const struct dns_server *s, uint32_t ifindex,
			       const struct ip_addr *source)
{
	return s->tunnel && (!ifindex || ifindex == s->tunnel) && !is_own(source);
}

void dns_server_set_tunnel(struct dns_server *s, uint32_t ifindex)
{
	s->tunnel = ifindex;
}

const struct dns_server_counters *dns_server_counters(const struct dns_server *s)
{
	return &s->counters;
}

const char *dns_server_problem(const struct dns_server *s)
{
	if (s->listen_problem[0])
		return s->listen_problem;
	return s->problem[0] ? s->problem : NULL;
}

static void answer(struct dns_server *s, const struct dns_client *c, const uint8_t *msg, size_t len)
{
	struct sockaddr_storage ss;
	socklen_t ss_len;

	if (c->conn) {
		dns_conn_send(c->conn, msg, len);
		return;
	}
	ss_len = endpoint_to_sockaddr(&c->from, &ss);
	/* A full buffer loses it, as the network might: the client asks again. */
	if (sendto(c->udp_fd, msg, len, MSG_DONTWAIT, (struct sockaddr *)&ss, ss_len) < 0)
		log_debug("dns.send", "error=\"%s\"", strerror(errno));
}

static void refuse(struct dns_server *s, const struct dns_client *c, const uint8_t *msg,
		   const struct dns_query *q, enum dns_rcode rcode)
{
	answer(s, c, s->answer, dns_refuse(s->answer, msg, q, rcode));
}

static bool is_asked(const struct dns_query *q, const struct ip_addr *a)
{
	return q->type == DNS_TYPE_ANY ||
	       q->type == (a->family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA);
}

static void answer_here(struct dns_server *s, const struct dns_client *c, const uint8_t *msg,
			const struct dns_query *q, enum dns_verdict verdict,
			const struct dns_found *found)
{
	static const enum dns_rcode rcodes[] = {
		[DNS_HERE] = DNS_OK, [DNS_NOT_HERE] = DNS_NXDOMAIN, [DNS_NOT_MADE] = DNS_NOTIMP};
	size_t room = c->conn ? sizeof(s->answer) : q->udp_room;
	struct dns_answer a;
	bool is_empty = true;

	s->counters.answered++;
	dns_answer_begin(&a, s->answer, room, msg, q, rcodes[verdict]);
	for (uint32_t i = 0; i < found->addr_count && verdict == DNS_HERE; i++)
		if (is_asked(q, &found->addrs[i])) {
			dns_answer_addr(&a, &found->addrs[i], DNS_TTL_S);
			is_empty = false;
		}
	if (found->pointer) {
		dns_answer_ptr(&a, found->pointer, DNS_TTL_S);
		is_empty = false;
	}
	if (is_empty && found->zone && verdict != DNS_NOT_MADE)
		dns_answer_soa(&a, found->zone, (uint32_t)(clock_wall_ns() / NS_PER_SEC),
			       DNS_NEGATIVE_TTL_S);
	answer(s, c, s->answer, dns_answer_end(&a, q));
}

static void free_request(struct dns_request *r)
{
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
	r->server->request_count--;
	free(r->query);
	free(r);
}

static void on_forwarded(void *arg, uint8_t *reply, size_t len)
{
	struct dns_request *r = arg;
	struct dns_server *s = r->server;
	struct dns_conn *conn = r->client.conn;

	r->ask = NULL;
	if (!reply) {
		s->counters.forward_failed++;
		refuse(s, &r->client, r->query, &r->q, DNS_SERVFAIL);
	} else {
		s->counters.forward_answers++;
		if (!conn && len > r->q.udp_room)
			len = dns_reply_cut(reply, &r->q);
		answer(s, &r->client, reply, len);
	}
	/* A connection that failed just now has dropped its requests, this one too. */
	if (conn && !dns_conn_is_open(conn))
		return;
	free_request(r);
	if (conn)
		dns_conn_answered(conn);
}

static bool is_too_many(const struct dns_server *s, const struct dns_client *c)
{
	uint32_t same = 0;

	if (s->request_count >= DNS_REQUESTS_MAX)
		return true;
	/* This host itself, by whatever interface the kernel says. */
	if (c->ifindex == LOOPBACK || c->ifindex == s->tunnel)
		return false;
	for (const struct dns_request *r = s->requests; r; r = r->next)
		same += addr_equal(&r->client.from.addr, &c->from.addr);
	return same >= DNS_REQUESTS_SOURCE_MAX;
}

static struct dns_resolvers resolvers_for(struct dns_server *s, const struct dns_query *q)
{
	struct dns_resolvers r = dns_names_resolvers(s->names, q->name);

	if (r.count)
		return r;
	if (r.unusable) {
		snprintf(s->problem, sizeof(s->problem),
			 "Some names cannot be resolved: their resolvers are named by URL (DNS "
			 "over HTTPS), which is not spoken.");
		return r;
	}
	resolv_conf_refresh(&s->system);
	return (struct dns_resolvers){.at = s->system.at, .count = s->system.count};
}

/* False: no memory or sockets, or nobody to ask. */
static bool forward(struct dns_server *s, const struct dns_client *c, const uint8_t *msg,
		    size_t len, const struct dns_query *q)
{
	struct dns_resolvers resolvers = resolvers_for(s, q);
	struct dns_request *r = resolvers.count ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return false;
	*r = (struct dns_request){.server = s, .client = *c, .q = *q, .query = malloc(len)};
	if (!r->query || dns_ask_start(s->loop, &resolvers, msg, len, q, &s->counters.bad_replies,
				       on_forwarded, r, &r->ask)) {
		free(r->query);
		free(r);
		return false;
	}
	memcpy(r->query, msg, len);
	r->link = &s->requests;
	r->next = s->requests;
	if (r->next)
		r->next->link = &r->next;
	s->requests = r;
	s->request_count++;
	s->counters.forwarded++;
	return true;
}

void dns_server_drop(struct dns_server *s, const struct dns_conn *conn)
{
	struct dns_request *next;

	for (struct dns_request *r = s->requests; r; r = next) {
		next = r->next;
		if (r->client.conn != conn)
			continue;
		if (r->ask)
			dns_ask_cancel(r->ask);
		free_request(r);
	}
}

static bool is_zone_transfer(const struct dns_query *q)
{
	return q->type == DNS_TYPE_AXFR || q->type == TYPE_IXFR;
}

bool dns_server_take(struct dns_server *s, const uint8_t *msg, size_t len,
		     const struct dns_client *client)
{
	enum dns_verdict verdict;
	struct dns_found found;
	struct dns_query q;
	int rc = dns_query_parse(msg, len, &q);

	if (rc) {
		s->counters.bad_queries++;
		if (rc == -EINVAL)
			refuse(s, client, msg, NULL, DNS_FORMERR);
		return rc == -EINVAL;
	}
	if (OPCODE(q.flags) != 0) {
		refuse(s, client, msg, &q, DNS_NOTIMP);
		return true;
	}
	if (q.class != DNS_CLASS_IN) {
		refuse(s, client, msg, &q, DNS_REFUSED);
		return true;
	}
	verdict = dns_names_find(s->names, q.name, q.type, &found);
	if (verdict != DNS_ELSEWHERE) {
		answer_here(s, client, msg, &q, verdict, &found);
	} else if (is_zone_transfer(&q)) {
		refuse(s, client, msg, &q, DNS_REFUSED);
	} else if (is_too_many(s, client)) {
		s->counters.too_many++;
		refuse(s, client, msg, &q, DNS_SERVFAIL);
	} else if (!forward(s, client, msg, len, &q)) {
		s->counters.forward_failed++;
		refuse(s, client, msg, &q, DNS_SERVFAIL);
	}
	return true;
}

static void on_retry(uv_timer_t *t)
{
	dns_listen_all(((struct dns_listener *)t->data)->server);
}

static void service_addresses(struct dns_server *s)
{
	addr_parse(DNS_SERVICE_IP4, &s->listeners[0].at.addr);
	addr_parse(DNS_SERVICE_IP6, &s->listeners[1].at.addr);
	s->listeners[0].at.port = s->listeners[1].at.port = DNS_PORT;
	s->listener_count = 2;
}

int dns_server_open(const struct dns_server_options *o, struct dns_server **out)
{
	struct dns_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (dns_names_make(NULL, false, 0, &s->names)) {
		free(s);
		return -ENOMEM;
	}
	s->loop = o->loop;
	s->system.path = o->resolv_conf ? o->resolv_conf : "/etc/resolv.conf";
	if (!o->listen_count)
		service_addresses(s);
	for (uint32_t i = 0; i < o->listen_count && i < DNS_SERVER_LISTEN_MAX; i++)
		s->listeners[s->listener_count++].at = o->listen[i];
	for (uint32_t i = 0; i < s->listener_count; i++) {
		s->listeners[i].server = s;
		s->listeners[i].udp_fd = -1;
	}
	uv_timer_init(s->loop, &s->retry);
	s->retry.data = &s->listeners[0];
	s->handles = 1;
	dns_listen_all(s);
	uv_timer_start(&s->retry, on_retry, RETRY_MS, RETRY_MS);
	*out = s;
	return 0;
}

int dns_server_set_map(struct dns_server *s, const struct netmap *m, bool accept_dns,
		       int64_t now_ns)
{
	struct dns_names *names;
	int rc = dns_names_make(m, accept_dns, now_ns, &names);

	if (rc)
		return rc;
	dns_names_free(s->names);
	s->names = names;
	s->problem[0] = 0;
	return 0;
}

void dns_server_close(struct dns_server *s)
{
	if (!s)
		return;
	while (s->requests) {
		dns_ask_cancel(s->requests->ask);
		free_request(s->requests);
	}
	dns_conn_close_all(s);
	dns_names_free(s->names);
	dns_listen_close(s);
	uv_close((uv_handle_t *)&s->retry, dns_server_handle_closed);
}
