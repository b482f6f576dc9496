/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/config_filter.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "lib/base/bug.h"

static int parse_src(const struct hujson_value *v, struct rule_list *f, struct hujson_error *err)
{
	struct dpapi_range r[2];
	const char *text;
	unsigned n;
	int rc = hujson_string(v, &text, err);

	if (rc)
		return rc;
	n = rule_addresses_parse(text, r);
	if (!n)
		return hujson_error_at(err, v,
				       "\"%s\" is no source: an address, a prefix without host "
				       "bits, \"first-last\" or \"*\" is expected",
				       text);
	for (unsigned i = 0; i < n && !rc; i++) {
		r[i].port_last = RULE_PORT_LAST;
		rc = rule_list_add_range(f, &r[i]);
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
	return digits && n <= RULE_PORT_LAST ? n : -1;
}

/* "80,443,1000-2000" or "*": a range for each item and address. -EINVAL: no such form. */
static int add_ports(const char *p, const struct dpapi_range *addr, unsigned n, struct rule_list *f)
{
	for (;;) {
		long first = 0, last = RULE_PORT_LAST;

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
			rc = rule_list_add_range(f, &r);
			if (rc)
				return rc;
		}
		if (*p == 0)
			return 0;
		if (*p++ != ',')
			return -EINVAL;
	}
}

static int parse_dst(const struct hujson_value *v, struct rule_list *f, struct hujson_error *err)
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
			n = rule_addresses_parse(addresses, r);
			colon++;
		}
	} else {
		colon = strchr(text, ':');
		if (colon && (size_t)(colon - text) < sizeof(addresses)) {
			snprintf(addresses, sizeof(addresses), "%.*s", (int)(colon - text), text);
			n = rule_addresses_parse(addresses, r);
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

static int parse_list(const struct hujson_value *rule, const char *key, struct rule_list *f,
		      int (*one)(const struct hujson_value *, struct rule_list *,
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

static int parse_rule(const struct hujson_value *v, struct rule_list *f, struct hujson_error *err)
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
	return rc ? rc : rule_list_add_rule(f, &rule);
}

int config_filter_parse(const struct hujson_value *value, struct rule_list *out,
			struct hujson_error *err)
{
	*out = (struct rule_list){.mode = DPAPI_FILTER_NONE};
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
