/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pings that the command line asks for: disco (is the peer there, and by which way)
 * and ICMP (does its system answer through the tunnel). One that is not answered
 * stays open until the other end gives up, as with stock.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/localapi/ipn_ping.h"
#include "controlplane/localapi/ipn_whois.h"
#include "controlplane/node/icmp_ping.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/mesh.h"

#define SIZE_MAX_DISCO 65467

struct ping {
	struct api_conn *c;
	struct ip_addr ip;
	struct key node;
};

static void on_gone(void *arg)
{
	struct ping *p = arg;

	mesh_ping_cancel(p->c->mesh, p);
	icmp_ping_cancel(p->c->icmp, p);
	free(p);
}

/* Ends p. */
static void answer(struct ping *p, struct ipn_ping *result)
{
	struct api_conn *c = p->c;
	const struct netmap *m = mesh_map(c->mesh);
	struct ipn_who who = {.is_key = true, .key = p->node};

	result->ip = p->ip;
	result->node = m && !result->error ? ipn_who_find(m, &who) : NULL;
	api_release(c);
	free(p);
	api_json(c, 200, ipn_ping_result(result), false);
}

static void on_pong(void *arg, const struct mesh_pong *pong)
{
	struct ping *p = arg;
	struct ipn_ping result = {0};

	if (!pong)
		return;
	result.latency_ns = pong->latency_ns;
	result.endpoint = pong->from;
	result.region = pong->from.addr.family ? 0 : pong->region;
	result.region_code = mesh_region_code(p->c->mesh, pong->region);
	answer(p, &result);
}

static void on_echo(void *arg, uint64_t latency_ns)
{
	struct ipn_ping result = {.latency_ns = latency_ns};

	answer(arg, &result);
}

static void fail(struct ping *p, const char *why)
{
	struct ipn_ping result = {.error = why};

	answer(p, &result);
}

static void begin(struct ping *p, const char *type)
{
	int rc = 0;

	if (strcmp(type, "disco") == 0)
		rc = mesh_ping(p->c->mesh, &p->node, on_pong, p);
	else if (strcmp(type, "ICMP") == 0)
		rc = icmp_ping_send(p->c->icmp, &p->ip, on_echo, p);
	else if (strcmp(type, "TSMP") == 0 || strcmp(type, "peerapi") == 0)
		rc = -EPROTONOSUPPORT;
	if (rc == -EPROTONOSUPPORT)
		fail(p, "this node sends disco and ICMP pings only");
	else if (rc == -EOPNOTSUPP)
		fail(p, "the peer does not speak disco");
	else if (rc == -ENOENT)
		fail(p, "no matching peer");
	else if (rc)
		fail(p, strerror(-rc));
}

static bool is_own(const struct netmap *m, const struct ip_addr *ip)
{
	for (uint32_t i = 0; i < m->self->address_count; i++)
		if (addr_equal(&m->self->addresses[i].addr, ip))
			return true;
	return false;
}

static void find(struct api_conn *c, const struct ip_addr *ip, const char *type)
{
	const struct netmap *m = mesh_map(c->mesh);
	const struct netmap_node *n = mesh_whois(c->mesh, ip);
	struct ping *p = calloc(1, sizeof(*p));
	char text[ADDR_STR_MAX + 32], addr[ADDR_STR_MAX];
	struct ipn_ping local = {.error = text, .is_local = true};

	if (!p) {
		api_done(c, -ENOMEM);
		return;
	}
	p->c = c;
	p->ip = *ip;
	api_hold(c, on_gone, p);
	if (m && is_own(m, ip)) {
		snprintf(text, sizeof(text), "%s is local Tailscale IP", addr_print(ip, addr));
		answer(p, &local);
	} else if (!n) {
		fail(p, "no matching peer");
	} else {
		p->node = n->key;
		begin(p, type);
	}
}

void api_post_ping(struct api_conn *c, const struct http_request *req)
{
	char ip_text[64] = "", type[16] = "", size[16] = "";
	struct ip_addr ip;
	unsigned long bytes;

	http_query_get(req, "ip", ip_text, sizeof(ip_text));
	http_query_get(req, "type", type, sizeof(type));
	http_query_get(req, "size", size, sizeof(size));
	bytes = strtoul(size, NULL, 10);
	if (!ip_text[0])
		api_text(c, 400, "missing 'ip' parameter");
	else if (addr_parse(ip_text, &ip))
		api_text(c, 400, "invalid IP");
	else if (!type[0])
		api_text(c, 400, "missing 'type' parameter");
	else if (bytes && strcmp(type, "disco") != 0)
		api_text(c, 400, "'size' parameter is only supported with disco pings");
	else if (bytes > SIZE_MAX_DISCO)
		api_text(c, 400, "maximum value for 'size' is 65467");
	else
		find(c, &ip, type);
}
