/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/netmap/netmap_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAP_SOURCE    "cap:"
#define PROTOS_A_RULE (sizeof(((struct dpapi_rule *)0)->protos) - 1)

struct making {
	const struct netmap *map;
	struct rule_list *out;
	uint32_t skipped;
	bool is_old_form;
	int rc;
};

static void add_range(struct making *k, struct dpapi_range *r, uint16_t first, uint16_t last)
{
	r->port_first = first;
	r->port_last = last;
	if (!k->rc)
		k->rc = rule_list_add_range(k->out, r);
}

static void add_addresses(struct making *k, const struct netmap_node *n)
{
	for (uint32_t i = 0; i < n->address_count; i++) {
		struct dpapi_range r;

		rule_range_of_prefix(&n->addresses[i], &r);
		add_range(k, &r, 0, RULE_PORT_LAST);
	}
}

/* "cap:NAME": every node that has the attribute. */
static void add_cap_source(struct making *k, const char *name)
{
	if (netmap_node_has_cap(k->map->self, name))
		add_addresses(k, k->map->self);
	for (uint32_t i = 0; i < k->map->peer_count; i++)
		if (netmap_node_has_cap(k->map->peers[i], name))
			add_addresses(k, k->map->peers[i]);
}

static void add_source(struct making *k, const json_t *value)
{
	const char *text = json_string_value(value);
	struct dpapi_range r[2];
	unsigned n;

	if (text && strncmp(text, CAP_SOURCE, strlen(CAP_SOURCE)) == 0) {
		add_cap_source(k, text + strlen(CAP_SOURCE));
		return;
	}
	n = text ? rule_addresses_parse(text, r) : 0;
	k->skipped += n == 0;
	for (unsigned i = 0; i < n; i++)
		add_range(k, &r[i], 0, RULE_PORT_LAST);
}

static void add_destination(struct making *k, const json_t *value)
{
	struct json_in in = {0};
	json_t *ports = json_in_object(&in, value, "Ports");
	int64_t first = 0, last = 0;
	const char *text = "";
	struct dpapi_range r[2];
	unsigned n;

	if (json_in_get(value, "Bits"))
		k->is_old_form = true;
	json_in_string(&in, value, "IP", &text);
	json_in_i64(&in, ports, "First", 0, RULE_PORT_LAST, &first);
	json_in_i64(&in, ports, "Last", 0, RULE_PORT_LAST, &last);
	n = json_in_failed(&in) || last < first ? 0 : rule_addresses_parse(text, r);
	k->skipped += n == 0;
	for (unsigned i = 0; i < n; i++)
		add_range(k, &r[i], (uint16_t)first, (uint16_t)last);
}

/* One rule, or several where it names more protocols than one of ours holds. */
static void add_rules(struct making *k, struct dpapi_rule *rule, const json_t *protos)
{
	size_t count = json_array_size(protos), used = 0;

	for (size_t i = 0; i < count; i++) {
		json_int_t proto = json_integer_value(json_array_get(protos, i));

		if (proto < 1 || proto > 254) {
			k->skipped++;
			continue;
		}
		if (used == PROTOS_A_RULE) {
			if (!k->rc)
				k->rc = rule_list_add_rule(k->out, rule);
			memset(rule->protos, 0, sizeof(rule->protos));
			used = 0;
		}
		rule->protos[used++] = (uint8_t)proto;
	}
	/* A list of which nothing is left must not become the default protocols. */
	if ((used || !count) && !k->rc)
		k->rc = rule_list_add_rule(k->out, rule);
}

static void add_rule(struct making *k, const json_t *rule)
{
	json_t *sources = json_in_get(rule, "SrcIPs");
	json_t *destinations = json_in_get(rule, "DstPorts"), *value;
	struct dpapi_rule made = {.src_first = k->out->range_count};
	size_t i;

	if (json_in_get(rule, "SrcBits"))
		k->is_old_form = true;
	if (!json_array_size(destinations))
		return;
	json_array_foreach(sources, i, value) add_source(k, value);
	made.src_count = k->out->range_count - made.src_first;
	made.dst_first = k->out->range_count;
	json_array_foreach(destinations, i, value) add_destination(k, value);
	made.dst_count = k->out->range_count - made.dst_first;
	if (made.src_count && made.dst_count)
		add_rules(k, &made, json_in_get(rule, "IPProto"));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_chunks(struct making *k, json_t *filters)
{
	const char **names = malloc((json_object_size(filters) + 1) * sizeof(*names)), *name;
	json_t *rules, *rule;
	size_t n = 0, i;

	if (!names)
		return -ENOMEM;
	json_object_foreach(filters, name, rules) names[n++] = name;
	qsort(names, n, sizeof(*names), by_name);
	for (size_t c = 0; c < n; c++)
		json_array_foreach(json_object_get(filters, names[c]), i, rule) add_rule(k, rule);
	free(names);
	return k->rc;
}

int netmap_filter_make(const struct netmap *m, struct rule_list *out, uint32_t *skipped)
{
	struct making k = {.map = m, .out = out};
	int rc;

	*out = (struct rule_list){.mode = DPAPI_FILTER_NONE};
	*skipped = 0;
	if (!m->filters)
		return 0;
	out->mode = DPAPI_FILTER_RULES;
	rc = add_chunks(&k, m->filters);
	*skipped = k.skipped;
	if (k.is_old_form) {
		rule_list_fini(out);
		out->mode = DPAPI_FILTER_RULES;
	}
	return rc;
}
