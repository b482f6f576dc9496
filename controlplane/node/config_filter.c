/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/config_filter.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "lib/base/bug.h"

#define RULES_MAX  100000u
#define RANGES_MAX 1000000u
#define PORT_ANY   65535

static int range_add(struct config_filter *f, const struct dpapi_range *r)
{
	/* Doubles at each power of two; no capacity to keep. */
	if ((f->range_count & (f->range_count - 1)) == 0) {
		size_t room = f->range_count ? 2 * (size_t)f->range_count : 1;
		void *p = realloc(f->ranges, room * sizeof(*f->ranges));

		if (!p)
			return -ENOMEM;
		f->ranges = p;
	}
	if (f->range_count >= RANGES_MAX)
		return -EFBIG;
	f->ranges[f->range_count++] = *r;
	return 0;
}

static int rule_add(struct config_filter *f, const struct dpapi_rule *r)
{
	if ((f->rule_count & (f->rule_count - 1)) == 0) {
		size_t room = f->rule_count ? 2 * (size_t)f->rule_count : 1;
		void *p = realloc(f->rules, room * sizeof(*f->rules));

		if (!p)
			return -ENOMEM;
		f->rules = p;
	}
	if (f->rule_count >= RULES_MAX)
		return -EFBIG;
	f->rules[f->rule_count++] = *r;
	return 0;
}

static void from_prefix(const struct prefix *p, struct dpapi_range *r)
{
	unsigned bits = p->addr.family == AF_INET6 ? 128 : 32;

	r->family = p->addr.family;
	memcpy(r->first, p->addr.bytes, sizeof(r->first));
	memcpy(r->last, p->addr.bytes, sizeof(r->last));
	for (unsigned b = p->len; b < bits; b++)
		r->last[b / 8] |= (uint8_t)(0x80u >> (b % 8));
}

/* The addresses of one entry: one range, or two for "*". 0 = no such form. */
static unsigned parse_addresses(const char *text, struct dpapi_range out[2])
{
	const char *dash = strchr(text, '-');
	struct prefix p;

	memset(out, 0, 2 * sizeof(*out));
	if (strcmp(text, "*") == 0) {
		from_prefix(&(struct prefix){.addr.family = AF_INET}, &out[0]);
		from_prefix(&(struct prefix){.addr.family = AF_INET6}, &out[1]);
		return 2;
	}
	if (dash) {
		char first[ADDR_STR_MAX];
		struct ip_addr a, b;

		if ((size_t)(dash - text) >= sizeof(first))
			return 0;
		snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
		if (addr_parse(first, &a) || addr_parse(dash + 1, &b) || a.family != b.family ||
		    memcmp(a.bytes, b.bytes, sizeof(a.bytes)) > 0)
			return 0;
		out[0].family = a.family;
		memcpy(out[0].first, a.bytes, sizeof(a.bytes));
		memcpy(out[0].last, b.bytes, sizeof(b.bytes));
		return 1;
	}
	if (prefix_parse(text, false, &p))
		return 0;
	from_prefix(&p, &out[0]);
	return 1;
}

static int parse_src(const struct hujson_value *v, struct config_filter *f,
		     struct hujson_error *err)
{
	struct dpapi_range r[2];
	const char *text;
	unsigned n;
	int rc = hujson_string(v, &text, err);

	if (rc)
		return rc;
	n = parse_addresses(text, r);
	if (!n)
		return hujson_error_at(err, v,
				       "\"%s\" is no source: an address, a prefix without host "
				       "bits, \"first-last\" or \"*\" is expected",
				       text);
	for (unsigned i = 0; i < n && !rc; i++) {
		r[i].port_last = PORT_ANY;
		rc = range_add(f, &r[i]);
	}
	return rc;
}

/* Digits up to end; -1 = no port number. */
static long parse_port(const char **p)
{
	long n = 0;
	int digits = 0;

	while (**p >= '0' && **p <= '9' && digits < 6) {
		n = n * 10 + (**p - '0');
		(*p)++;
		digits++;
	}
	return digits && n <= PORT_ANY ? n : -1;
}

/* "80,443,1000-2000" or "*": a range for each item and address. -EINVAL: no such form. */
static int add_ports(const char *p, const struct dpapi_range *addr, unsigned n,
		     struct config_filter *f)
{
	for (;;) {
		long first = 0, last = PORT_ANY;

		if (*p == '*') {
			p++;
		} else {
			first = last = parse_port(&p);
			if (first >= 0 && *p == '-') {
				p++;
				last = parse_port(&p);
			}
		}
		if (first < 0 || last < first)
			return -EINVAL;
		for (unsigned i = 0; i < n; i++) {
			struct dpapi_range r = addr[i];
			int rc;

			r.port_first = (uint16_t)first;
			r.port_last = (uint16_t)last;
			rc = range_add(f, &r);
			if (rc)
				return rc;
		}
		if (*p == 0)
			return 0;
		if (*p++ != ',')
			return -EINVAL;
	}
}

static int parse_dst(const struct hujson_value *v, struct config_filter *f,
		     struct hujson_error *err)
{
	const char *text, *colon;
	struct dpapi_range r[2];
	char addresses[2 * ADDR_STR_MAX + 2];
	unsigned n = 0;
	int rc = hujson_string(v, &text, err);

	if (rc)
		return rc;
	if (text[0] == '[') {
		colon = strstr(text, "]:");
		if (colon && (size_t)(colon - text) <= sizeof(addresses)) {
			snprintf(addresses, sizeof(addresses), "%.*s", (int)(colon - text - 1),
				 text + 1);
			n = parse_addresses(addresses, r);
			colon++;
		}
	} else {
		colon = strchr(text, ':');
		if (colon && (size_t)(colon - text) < sizeof(addresses)) {
			snprintf(addresses, sizeof(addresses), "%.*s", (int)(colon - text), text);
			n = parse_addresses(addresses, r);
		}
	}
	rc = n ? add_ports(colon + 1, r, n, f) : -EINVAL;
	if (rc != -EINVAL)
		return rc;
	return hujson_error_at(err, v,
			       "\"%s\" is no destination: addresses (IPv6 in brackets), ':' and "
			       "ports are expected, "
			       "as in \"10.2.0.0/16:80,443\", \"[fd00::/8]:1-1024\" or \"*:*\"",
			       text);
}

static int proto_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {
		{"icmp", IPPROTO_ICMP},
		{"igmp", IPPROTO_IGMP},
		{"tcp", IPPROTO_TCP},
		{"udp", IPPROTO_UDP},
		{"gre", IPPROTO_GRE},
		{"esp", IPPROTO_ESP},
		{"ah", IPPROTO_AH},
		{"icmpv6", IPPROTO_ICMPV6},
		{"ipv6-icmp", IPPROTO_ICMPV6},
		{"sctp", IPPROTO_SCTP},
		{"ospf", 89},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i].name) == 0)
			return names[i].number;
	return -1;
}

static int parse_protos(const struct hujson_value *v, struct dpapi_rule *rule,
			struct hujson_error *err)
{
	unsigned n = 0;
	int rc = hujson_array(v, err);

	if (rc)
		return rc;
	if (v->count >= sizeof(rule->protos))
		return hujson_error_at(err, v, "more than %zu protocols in one rule",
				       sizeof(rule->protos) - 1);
	for (const struct hujson_value *p = v->first; p; p = p->next) {
		int64_t number;

		if (p->type == HUJSON_STRING) {
			number = proto_number(p->text);
			if (number < 0)
				return hujson_error_at(err, p,
						       "\"%s\" is no protocol known here; write "
						       "its number",
						       p->text);
		} else {
			rc = hujson_int(p, 1, 254, &number, err);
			if (rc)
				return rc;
		}
		rule->protos[n++] = (uint8_t)number;
	}
	return 0;
}

static int parse_list(const struct hujson_value *rule, const char *key, struct config_filter *f,
		      int (*one)(const struct hujson_value *, struct config_filter *,
				 struct hujson_error *),
		      struct hujson_error *err)
{
	const struct hujson_value *list = hujson_get(rule, key);
	int rc;

	if (!list)
		return hujson_error_at(err, rule, "the rule has no \"%s\"", key);
	rc = hujson_array(list, err);
	if (!rc && !list->first)
		rc = hujson_error_at(err, list, "\"%s\" is empty; \"*\" means any", key);
	for (const struct hujson_value *v = list->first; v && !rc; v = v->next)
		rc = one(v, f, err);
	return rc;
}

static int parse_rule(const struct hujson_value *v, struct config_filter *f,
		      struct hujson_error *err)
{
	static const char *const keys[] = {"src", "dst", "proto", NULL};
	const struct hujson_value *proto;
	struct dpapi_rule rule = {.src_first = f->range_count};
	int rc = hujson_object(v, err);

	if (!rc)
		rc = hujson_check_keys(v, keys, err);
	if (!rc)
		rc = parse_list(v, "src", f, parse_src, err);
	if (rc)
		return rc;
	rule.src_count = f->range_count - rule.src_first;
	rule.dst_first = f->range_count;
	rc = parse_list(v, "dst", f, parse_dst, err);
	if (rc)
		return rc;
	rule.dst_count = f->range_count - rule.dst_first;
	proto = hujson_get(v, "proto");
	rc = proto ? parse_protos(proto, &rule, err) : 0;
	return rc ? rc : rule_add(f, &rule);
}

int config_filter_parse(const struct hujson_value *value, struct config_filter *out,
			struct hujson_error *err)
{
	*out = (struct config_filter){.mode = DPAPI_FILTER_NONE};
	if (value->type == HUJSON_STRING && strcmp(value->text, "allow-all") == 0) {
		out->mode = DPAPI_FILTER_ALLOW_ALL;
		return 0;
	}
	if (value->type != HUJSON_ARRAY)
		return hujson_error_at(err, value,
				       "\"filter\" is \"allow-all\" or an array of rules");
	out->mode = DPAPI_FILTER_RULES;
	for (const struct hujson_value *v = value->first; v; v = v->next) {
		int rc = parse_rule(v, out, err);

		if (rc == -ENOMEM || rc == -EFBIG)
			hujson_error_at(err, v, "the filter is too large");
		if (rc)
			return rc;
	}
	return 0;
}

void config_filter_fini(struct config_filter *f)
{
	free(f->rules);
	free(f->ranges);
	*f = (struct config_filter){0};
}
