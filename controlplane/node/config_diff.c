/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/config_diff.h"

#include <errno.h>
#include <stdlib.h>

static int peer_cmp(const void *a, const void *b)
{
	const struct config_peer *const *pa = a, *const *pb = b;

	return memcmp((*pa)->public_key.bytes, (*pb)->public_key.bytes, KEY_BYTES);
}

static const struct config_peer **sorted(const struct node_config *cfg)
{
	const struct config_peer **v = calloc(cfg->peer_count + 1, sizeof(*v));

	if (!v)
		return NULL;
	for (uint32_t i = 0; i < cfg->peer_count; i++)
		v[i] = &cfg->peers[i];
	qsort(v, cfg->peer_count, sizeof(*v), peer_cmp);
	return v;
}

/* The order in the file has no meaning, but it seldom changes; a changed one is re-sent. */
static bool allowed_equal(const struct config_peer *a, const struct config_peer *b)
{
	if (a->allowed_count != b->allowed_count)
		return false;
	for (uint32_t i = 0; i < a->allowed_count; i++)
		if (!prefix_equal(&a->allowed[i], &b->allowed[i]))
			return false;
	return true;
}

static uint32_t peer_diff(const struct config_peer *a, const struct config_peer *b)
{
	uint32_t what = 0;

	if (strcmp(a->name, b->name) != 0)
		what |= CONFIG_DIFF_NAME;
	if (!key_equal(&a->preshared_key, &b->preshared_key))
		what |= CONFIG_DIFF_PSK;
	if (!endpoint_equal(&a->endpoint, &b->endpoint))
		what |= CONFIG_DIFF_ENDPOINT;
	if (!allowed_equal(a, b))
		what |= CONFIG_DIFF_ALLOWED;
	if (a->keepalive_s != b->keepalive_s)
		what |= CONFIG_DIFF_KEEPALIVE;
	if (a->mtu != b->mtu)
		what |= CONFIG_DIFF_MTU;
	if (a->is_jailed != b->is_jailed)
		what |= CONFIG_DIFF_JAILED;
	return what;
}

static bool filter_equal(const struct rule_list *a, const struct rule_list *b)
{
	return a->mode == b->mode && a->rule_count == b->rule_count &&
	       a->range_count == b->range_count &&
	       (!a->rule_count ||
		memcmp(a->rules, b->rules, a->rule_count * sizeof(*a->rules)) == 0) &&
	       (!a->range_count ||
		memcmp(a->ranges, b->ranges, a->range_count * sizeof(*a->ranges)) == 0);
}

static bool addresses_equal(const struct node_config *a, const struct node_config *b)
{
	if (a->mtu != b->mtu || a->address_count != b->address_count)
		return false;
	for (uint32_t i = 0; i < a->address_count; i++)
		if (a->addresses[i].prefix_len != b->addresses[i].prefix_len ||
		    !addr_equal(&a->addresses[i].addr, &b->addresses[i].addr) ||
		    a->addresses[i].is_service != b->addresses[i].is_service)
			return false;
	return true;
}

static bool prefixes_equal(const struct prefix *a, uint32_t a_count, const struct prefix *b,
			   uint32_t b_count)
{
	if (a_count != b_count)
		return false;
	for (uint32_t i = 0; i < a_count; i++)
		if (!prefix_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool local_equal(const struct node_config *a, const struct node_config *b)
{
	return prefixes_equal(a->local, a->local_count, b->local, b->local_count);
}

/* What routes for others and by an exit node want of the kernel. */
static bool forwarding_equal(const struct node_config *a, const struct node_config *b)
{
	return prefixes_equal(a->masquerade, a->masquerade_count, b->masquerade,
			      b->masquerade_count) &&
	       a->leaves_netfilter == b->leaves_netfilter && a->forwards4 == b->forwards4 &&
	       a->forwards6 == b->forwards6 && a->has_exit == b->has_exit &&
	       a->outer_shuns_tunnel == b->outer_shuns_tunnel &&
	       a->exit_shuts_lan == b->exit_shuts_lan;
}

static void push(struct config_diff *d, enum config_change_kind kind,
		 const struct config_peer *old_peer, const struct config_peer *new_peer)
{
	struct config_change *c = &d->changes[d->count++];

	*c = (struct config_change){.kind = kind, .old_peer = old_peer, .new_peer = new_peer};
	if (kind == CONFIG_PEER_KEPT)
		c->what = peer_diff(old_peer, new_peer);
	if (kind != CONFIG_PEER_KEPT || (c->what & (CONFIG_DIFF_ALLOWED | CONFIG_DIFF_MTU)))
		d->link_changed = true;
}

/* Walks both sorted lists; pass 0 tells removals, pass 1 the rest. */
static void merge(const struct node_config *old_cfg, const struct config_peer **olds,
		  const struct node_config *new_cfg, const struct config_peer **news, int pass,
		  struct config_diff *out)
{
	uint32_t i = 0, k = 0;

	while (i < old_cfg->peer_count || k < new_cfg->peer_count) {
		int c = 0;

		if (i == old_cfg->peer_count)
			c = 1;
		else if (k == new_cfg->peer_count)
			c = -1;
		else
			c = peer_cmp(&olds[i], &news[k]);
		if (c == 0 && out->key_changed) {
			if (pass == 0)
				push(out, CONFIG_PEER_REMOVED, olds[i], NULL);
			else
				push(out, CONFIG_PEER_ADDED, NULL, news[k]);
		} else if (c < 0 && pass == 0) {
			push(out, CONFIG_PEER_REMOVED, olds[i], NULL);
		} else if (c > 0 && pass == 1) {
			push(out, CONFIG_PEER_ADDED, NULL, news[k]);
		} else if (c == 0 && pass == 1) {
			push(out, CONFIG_PEER_KEPT, olds[i], news[k]);
		}
		i += c <= 0;
		k += c >= 0;
	}
}

int config_diff_make(const struct node_config *old_cfg, const struct node_config *new_cfg,
		     struct config_diff *out)
{
	const struct config_peer **olds = sorted(old_cfg);
	const struct config_peer **news = sorted(new_cfg);
	int rc = -ENOMEM;

	*out = (struct config_diff){
		.key_changed = !key_equal(&old_cfg->private_key, &new_cfg->private_key),
		.filter_changed = !filter_equal(&old_cfg->filter, &new_cfg->filter),
		.local_changed = !local_equal(old_cfg, new_cfg),
		.link_changed =
			!addresses_equal(old_cfg, new_cfg) || !forwarding_equal(old_cfg, new_cfg),
	};
	out->changes = calloc((size_t)old_cfg->peer_count + new_cfg->peer_count + 1,
			      sizeof(*out->changes));
	if (olds && news && out->changes) {
		merge(old_cfg, olds, new_cfg, news, 0, out);
		merge(old_cfg, olds, new_cfg, news, 1, out);
		rc = 0;
	}
	free(olds);
	free(news);
	return rc;
}

void config_diff_fini(struct config_diff *d)
{
	free(d->changes);
	*d = (struct config_diff){0};
}
