/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/policy/policy_file.h"
#include "lib/base/bug.h"

#define PORT_LAST 65535

static const struct {
	const char *name;
	int number;
} protocols[] = {
	{"icmp", 1}, {"igmp", 2},	{"ipv4", 4},   {"ip-in-ip", 4}, {"tcp", 6},
	{"egp", 8},  {"igp", 9},	{"udp", 17},   {"gre", 47},	{"esp", 50},
	{"ah", 51},  {"ipv6-icmp", 58}, {"sctp", 132}, {"fc", 133},
};

int protocol_parse(const char *text)
{
	int number = 0;

	if (!text[0])
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (strcasecmp(text, protocols[i].name) == 0)
			return protocols[i].number;
	if (text[0] == '0' || strlen(text) > 3)
		return -2;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -2;
		number = number * 10 + (*c - '0');
	}
	return number <= 255 ? number : -2;
}

bool protocol_has_ports(int proto)
{
	return proto == -1 || proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

/* Decimal; -1: no port. */
static long number(const char **p)
{
	long n = 0;
	int digits = 0;

	for (; **p >= '0' && **p <= '9' && digits < 6; (*p)++, digits++)
		n = n * 10 + (**p - '0');
	return digits && n <= PORT_LAST ? n : -1;
}

static bool add_range(struct ports *out, long first, long last)
{
	struct port_range *p = realloc(out->ranges, (out->count + 1) * sizeof(*p));

	if (!p)
		return false;
	out->ranges = p;
	p[out->count++] = (struct port_range){(uint16_t)first, (uint16_t)last};
	return true;
}

bool ports_parse(struct reading *r, const char *text, struct ports *out)
{
	const char *p = text;

	if (strcmp(text, "*") == 0)
		return add_range(out, 0, PORT_LAST);
	for (;;) {
		long first = number(&p), last = first;

		if (first >= 0 && *p == '-') {
			p++;
			last = number(&p);
		} else if (first == 0) {
			return false; /* 0 stands only in ranges */
		}
		if (first < 0 || last < first || !add_range(out, first, last))
			return false;
		if (!*p)
			return true;
		if (*p++ != ',')
			return false;
	}
}

/* The grant's ports of this protocol, made when they are not there. */
static struct ports *ports_of(struct reading *r, struct grant *g, int proto)
{
	struct ports *p;

	for (uint32_t i = 0; i < g->port_count; i++)
		if (g->ports[i].proto == proto)
			return &g->ports[i];
	p = realloc(g->ports, (g->port_count + 1) * sizeof(*p));
	if (!p) {
		r->no_memory = true;
		return NULL;
	}
	g->ports = p;
	p[g->port_count] = (struct ports){.proto = proto};
	return &p[g->port_count++];
}

bool grant_ip_parse(struct reading *r, const char *text, struct hujson_place at, struct grant *g)
{
	const char *colon = strchr(text, ':'), *what = text;
	struct ports read = {0}, *p;
	char name[16];
	int proto = -1;
	bool ok;

	if (colon) {
		if ((size_t)(colon - text) >= sizeof(name))
			proto = -2;
		else {
			memcpy(name, text, (size_t)(colon - text));
			name[colon - text] = 0;
			proto = name[0] ? protocol_parse(name) : -2;
		}
		what = colon + 1;
	}
	if (proto == -2) {
		policy_complain(r, at, "\"%.60s\": no such protocol", text);
		return false;
	}
	ok = ports_parse(r, what, &read);
	if (ok && !protocol_has_ports(proto) && strcmp(what, "*") != 0) {
		policy_complain(r, at, "\"%.60s\": this protocol has no ports, write \"*\"", text);
		ok = false;
	} else if (!ok) {
		policy_complain(r, at, "\"%.60s\" is no \"*\", port, range or protocol:ports",
				text);
	}
	p = ok ? ports_of(r, g, proto) : NULL;
	for (uint32_t i = 0; p && i < read.count; i++)
		if (!add_range(p, read.ranges[i].first, read.ranges[i].last))
			r->no_memory = true;
	free(read.ranges);
	return p != NULL;
}
