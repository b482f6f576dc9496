/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_whois.h"

#include <errno.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"

int ipn_who_parse(const char *text, struct ipn_who *out)
{
	struct endpoint ep;

	*out = (struct ipn_who){0};
	if (strncmp(text, KEY_TEXT_NODE, strlen(KEY_TEXT_NODE)) == 0) {
		out->is_key = true;
		return key_text_parse(text, KEY_TEXT_NODE, &out->key);
	}
	if (addr_parse(text, &out->addr) == 0)
		return 0;
	if (endpoint_parse(text, &ep))
		return -EINVAL;
	out->addr = ep.addr;
	return 0;
}

static bool is_this(const struct netmap_node *n, const struct ipn_who *who)
{
	if (who->is_key)
		return key_equal(&n->key, &who->key);
	for (uint32_t i = 0; i < n->address_count; i++)
		if (addr_equal(&n->addresses[i].addr, &who->addr))
			return true;
	return false;
}

const struct netmap_node *ipn_who_find(const struct netmap *m, const struct ipn_who *who)
{
	if (is_this(m->self, who))
		return m->self;
	for (uint32_t i = 0; i < m->peer_count; i++)
		if (is_this(m->peers[i], who))
			return m->peers[i];
	return NULL;
}

/* "a-b", both of one family. */
static bool range_contains(const char *text, const struct ip_addr *a)
{
	const char *dash = strchr(text, '-');
	char low[ADDR_STR_MAX];
	struct ip_addr from, to;

	if (!dash || (size_t)(dash - text) >= sizeof(low))
		return false;
	memcpy(low, text, (size_t)(dash - text));
	low[dash - text] = 0;
	return !addr_parse(low, &from) && !addr_parse(dash + 1, &to) && from.family == a->family &&
	       to.family == a->family && memcmp(from.bytes, a->bytes, sizeof(a->bytes)) <= 0 &&
	       memcmp(a->bytes, to.bytes, sizeof(a->bytes)) <= 0;
}

static bool text_contains(const char *text, const struct netmap_node *n, const struct ip_addr *a)
{
	struct prefix p;

	if (!text)
		return false;
	if (strcmp(text, "*") == 0)
		return true;
	if (strncmp(text, "cap:", 4) == 0)
		return netmap_node_has_cap(n, text + 4);
	if (strchr(text, '-'))
		return range_contains(text, a);
	return prefix_parse(text, true, &p) == 0 && prefix_contains(&p, a);
}

static bool list_contains(const json_t *list, const struct netmap_node *n, const struct ip_addr *a)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i,
			   item) if (text_contains(json_string_value(item), n, a)) return true;
	return false;
}

static bool shares_an_address(const json_t *srcs, const json_t *dsts, const struct netmap_node *src,
			      const struct netmap_node *dst)
{
	for (uint32_t s = 0; s < src->address_count; s++)
		for (uint32_t d = 0; d < dst->address_count; d++) {
			const struct ip_addr *from = &src->addresses[s].addr;
			const struct ip_addr *to = &dst->addresses[d].addr;

			if (from->family == to->family && list_contains(srcs, src, from) &&
			    list_contains(dsts, dst, to))
				return true;
		}
	return false;
}

static void add_values(json_t **out, const char *cap, json_t *values)
{
	json_t *have;

	if (json_is_null(*out))
		*out = json_object();
	have = json_object_get(*out, cap);
	if (!have)
		json_object_set_new(*out, cap, values ? json_copy(values) : json_null());
	else if (json_is_array(have) && json_is_array(values))
		json_array_extend(have, values);
	else if (json_is_array(values))
		json_object_set_new(*out, cap, json_copy(values));
}

static void add_grant(json_t **out, const json_t *grant)
{
	json_t *caps = json_in_get(grant, "Caps"), *values, *item;
	json_t *map = json_in_get(grant, "CapMap");
	const char *cap;
	size_t i;

	json_array_foreach(caps, i, item) if (json_is_string(item))
		add_values(out, json_string_value(item), NULL);
	json_object_foreach(map, cap, values) add_values(out, cap, values);
}

json_t *ipn_grants(const struct netmap *m, const struct netmap_node *src)
{
	json_t *out = json_null(), *chunk, *rule, *grant;
	const char *name;
	size_t i, k;

	json_object_foreach(m->filters, name, chunk) json_array_foreach(chunk, i, rule)
		json_array_foreach(json_in_get(rule, "CapGrant"), k,
				   grant) if (shares_an_address(json_in_get(rule, "SrcIPs"),
								json_in_get(grant, "Dsts"), src,
								m->self)) add_grant(&out, grant);
	return out;
}

json_t *ipn_whois(const struct netmap *m, const struct netmap_node *n)
{
	json_t *user = netmap_user(m, n->user), *to = json_object();

	json_object_set(to, "Node", n->raw);
	if (user)
		json_object_set(to, "UserProfile", user);
	else
		json_object_set_new(to, "UserProfile",
				    json_pack("{s:I, s:s, s:s}", "ID", (json_int_t)n->user,
					      "LoginName", "", "DisplayName", ""));
	json_object_set_new(to, "CapMap", ipn_grants(m, n));
	return to;
}
