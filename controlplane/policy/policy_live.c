/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/policy/policy_live.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_internet.h"
#include "controlplane/policy/policy_live_state.h"

static void tell(struct policy_live *l, int64_t id, unsigned what)
{
	l->on_change(l->arg, id, what);
}

static void tell_filters(struct policy_live *l)
{
	if (l->filters_changed)
		tell(l, 0, POLICY_LIVE_FILTERS);
	l->filters_changed = false;
}

/* ---- a change ---- */

static void find_wide(struct policy_live *l, uint32_t slot)
{
	struct ip_set tailnet = {0};
	bool is_wide;

	policy_tailnet(&tailnet);
	ip_set_close(&tailnet);
	BUG_ON(tailnet.no_memory);
	is_wide = l->shown[slot].route_count && set_meets_routes(&tailnet, &l->shown[slot]);
	ip_set_fini(&tailnet);
	l->wide_count += is_wide;
	l->wide_count -= l->nodes[slot].is_wide;
	l->nodes[slot].is_wide = is_wide;
}

struct digest {
	uint64_t sum;
	bool has_no_ipv4;
};

static void add_name(void *arg, const char *name)
{
	struct digest *d = arg;

	for (const char *c = name;; c++) {
		d->sum = (d->sum ^ (uint8_t)*c) * 0x100000001b3ull;
		if (!*c)
			break;
	}
	d->has_no_ipv4 |= strcmp(name, "disable-ipv4") == 0;
}

/* Whether they are others than before. */
static bool find_attributes(struct policy_live *l, uint32_t slot)
{
	struct digest d = {.sum = 0xcbf29ce484222325ull};
	struct live_node *n = &l->nodes[slot];
	bool is_new;

	if (l->policy && n->id)
		policy_attributes(l->policy, &l->world, slot, add_name, &d);
	is_new = n->attributes != d.sum;
	n->attributes = d.sum;
	n->has_no_ipv4 = d.has_no_ipv4;
	return is_new;
}

/* Its memberships; whether some class holds another set of addresses now. */
static bool find_classes(struct policy_live *l, uint32_t slot, bool is_readdressed)
{
	bool is_there = l->nodes[slot].id != 0, is_new = false;

	for (uint32_t i = 0; i < l->class_count; i++) {
		struct live_class *c = &l->classes[i];
		bool is_in = c->is_identity && is_there &&
			     selector_has_node(l->view.policy, &l->world, c->selector, slot);

		if (bit_put(c->members, slot, is_in) || (is_in && is_readdressed)) {
			live_class_touched(l, i);
			is_new = true;
		}
	}
	return is_new;
}

/* autogroup:self: what the user's other nodes may do depends on this one. */
static void touch_own(struct policy_live *l, int32_t user)
{
	for (uint32_t i = 0; user >= 0 && i < l->world.node_count; i++)
		if (l->shown[i].user == user)
			l->nodes[i].own_stamp = l->nodes[i].stamp = l->stamp;
}

/* Routers with routes into the tailnet are in what identities are in. */
static void place_wide(struct policy_live *l, uint32_t but)
{
	for (uint32_t i = 0; l->wide_count && i < l->world.node_count; i++) {
		if (i == but || !l->nodes[i].is_wide)
			continue;
		live_place(l, i);
		live_row(l, i);
		tell(l, l->nodes[i].id, POLICY_LIVE_EDGES);
	}
}

/* Who else may be elected for a route that goes by way of a tag. */
static void tell_routers(struct policy_live *l, uint32_t but)
{
	for (uint32_t i = 0; l->has_via && i < l->world.node_count; i++)
		if (i != but && l->nodes[i].id && l->shown[i].route_count)
			tell(l, l->nodes[i].id, POLICY_LIVE_EDGES);
}

/* shown[slot] is new; id is its number, also when it is gone. */
static void update(struct policy_live *l, uint32_t slot, const struct policy_node *old, int64_t id)
{
	const struct policy_node *n = &l->shown[slot];
	bool is_rerouted = !live_same_routes(old, n), is_new;

	l->stamp++;
	find_wide(l, slot);
	is_new = find_classes(l, slot, !live_same_addresses(old, n));
	if (is_rerouted)
		live_routes_touched(l);
	live_place(l, slot);
	live_row(l, slot);
	if (is_new)
		place_wide(l, slot);
	if (l->has_self) {
		touch_own(l, old->user);
		touch_own(l, n->user);
	}
	tell(l, id, POLICY_LIVE_EDGES);
	if (find_attributes(l, slot))
		tell(l, id, POLICY_LIVE_SELF);
	if (old->route_count || n->route_count)
		tell_routers(l, slot);
	tell_filters(l);
}

void policy_live_put(struct policy_live *l, const struct policy_live_node *n)
{
	struct policy_node old = {.user = -1}, now = live_shown_of(l, n);
	uint32_t slot = live_slot(l, n->id);

	BUG_ON(n->id <= 0);
	if (slot == LIVE_NONE)
		slot = live_slot_new(l, n->id);
	else
		old = l->shown[slot];
	if (old.id && live_same_identity(&old, &now) && live_same_addresses(&old, &now) &&
	    live_same_routes(&old, &now) &&
	    live_same_prefixes(old.primary, old.primary_count, now.primary, now.primary_count)) {
		live_shown_free(&now);
		return;
	}
	l->shown[slot] = now;
	update(l, slot, &old, n->id);
	live_shown_free(&old);
}

void policy_live_remove(struct policy_live *l, int64_t id)
{
	uint32_t slot = live_slot(l, id);
	struct policy_node old;

	if (slot == LIVE_NONE)
		return;
	old = l->shown[slot];
	l->shown[slot] = (struct policy_node){.user = -1};
	l->nodes[slot].id = 0;
	l->slots[id] = 0;
	update(l, slot, &old, id);
	live_shown_free(&old);
}

void policy_live_user(struct policy_live *l, int64_t id, const char *login)
{
	int32_t at = live_user_index(l, id);

	/* Nobody is called that. */
	login = login ? login : "";
	if (at < 0) {
		uint32_t n = l->world.user_count + 1;

		l->users = realloc(l->users, n * sizeof(*l->users));
		l->user_ids = realloc(l->user_ids, n * sizeof(*l->user_ids));
		BUG_ON(!l->users || !l->user_ids);
		at = (int32_t)l->world.user_count++;
		l->users[at] = (struct policy_user){0};
		l->world.users = l->users;
	}
	l->user_ids[at] = id;
	if (l->users[at].login && strcmp(login, l->users[at].login) == 0)
		return;
	free((char *)l->users[at].login);
	l->users[at].login = live_copy(login, strlen(login) + 1);
	/* Another name is in other groups. */
	for (uint32_t i = 0; i < l->world.node_count; i++) {
		struct policy_node same = l->shown[i];

		if (l->nodes[i].id && same.user == at)
			update(l, i, &same, l->nodes[i].id);
	}
}

/* ---- another policy ---- */

static void place_all(struct policy_live *l)
{
	for (uint32_t i = 0; i < l->node_room; i++) {
		free(l->nodes[i].src);
		free(l->nodes[i].dst);
		l->nodes[i].src = live_bits(l->grant_words);
		l->nodes[i].dst = live_bits(l->grant_words);
	}
	for (uint32_t i = 0; i < l->world.node_count; i++)
		find_classes(l, i, false);
	for (uint32_t i = 0; i < l->world.node_count; i++)
		live_place(l, i);
	for (uint32_t i = 0; i < l->world.node_count; i++)
		live_row(l, i);
}

void policy_live_set(struct policy_live *l, struct policy *p)
{
	live_rules_free(l);
	policy_free(l->policy);
	l->policy = p;
	l->stamp++;
	l->generation++;
	live_rules_make(l);
	place_all(l);
	for (uint32_t i = 0; i < l->world.node_count; i++)
		if (l->nodes[i].id)
			tell(l, l->nodes[i].id,
			     POLICY_LIVE_EDGES | (find_attributes(l, i) ? POLICY_LIVE_SELF : 0));
	l->filters_changed = true;
	tell_filters(l);
}

/* ---- questions ---- */

const struct policy *policy_live_policy(const struct policy_live *l)
{
	return l->policy;
}

bool policy_live_has_ipv4(const struct policy_live *l, int64_t id)
{
	uint32_t slot = live_slot(l, id);

	return slot == LIVE_NONE || !l->nodes[slot].has_no_ipv4;
}

void policy_live_attributes(const struct policy_live *l, int64_t id,
			    void (*fn)(void *arg, const char *name), void *arg)
{
	uint32_t slot = live_slot(l, id);

	if (l->policy && slot != LIVE_NONE)
		policy_attributes(l->policy, &l->world, slot, fn, arg);
}

bool policy_live_approves(const struct policy_live *l, int64_t id, const struct prefix *route)
{
	uint32_t slot = live_slot(l, id);

	return l->policy && slot != LIVE_NONE && policy_approves(l->policy, &l->world, slot, route);
}

bool policy_live_may_tag(const struct policy_live *l, int64_t user, const char *tag)
{
	int32_t at = live_user_index(l, user);

	return l->policy && at >= 0 && policy_may_tag(l->policy, &l->world, (uint32_t)at, tag);
}

bool policy_live_has_tag(const struct policy_live *l, const char *tag)
{
	return l->policy && policy_has_tag(l->policy, tag);
}

bool policy_live_may_retag(const struct policy_live *l, int64_t id, const char *tag)
{
	uint32_t slot = live_slot(l, id);

	return l->policy && slot != LIVE_NONE && policy_may_retag(l->policy, &l->world, slot, tag);
}

int policy_live_run_tests(const struct policy_live *l, const struct policy *p,
			  struct policy_report *report)
{
	return policy_run_tests(p, &l->world, report);
}

struct policy_live *policy_live_new(policy_live_fn *on_change, void *arg)
{
	struct policy_live *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->on_change = on_change;
	l->arg = arg;
	/* What nobody was told yet is older. */
	l->generation = 1;
	live_rules_make(l);
	return l;
}

void policy_live_free(struct policy_live *l)
{
	if (!l)
		return;
	live_rules_free(l);
	for (uint32_t i = 0; i < l->node_room; i++) {
		live_shown_free(&l->shown[i]);
		free(l->nodes[i].row);
		free(l->nodes[i].src);
		free(l->nodes[i].dst);
	}
	for (uint32_t i = 0; i < l->world.user_count; i++)
		free((char *)l->users[i].login);
	policy_free(l->policy);
	free(l->users);
	free(l->user_ids);
	free(l->shown);
	free(l->nodes);
	free(l->slots);
	free(l);
}
