/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/policy/policy_live.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_internet.h"
#include "controlplane/policy/policy_live_state.h"

#define SLOTS_FIRST 64

uint32_t live_slot(const struct policy_live *l, int64_t id)
{
	return id > 0 && (uint64_t)id < l->slot_room && l->slots[id] ? l->slots[id] - 1 : LIVE_NONE;
}

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

/* ---- slots ---- */

static void bits_grow(uint64_t **bits, uint32_t from, uint32_t to)
{
	uint64_t *wide = live_bits(to);

	if (*bits)
		memcpy(wide, *bits, from * sizeof(*wide));
	free(*bits);
	*bits = wide;
}

static void grow(struct policy_live *l)
{
	uint32_t room = l->node_room ? 2 * l->node_room : SLOTS_FIRST, words = room / 64;
	uint32_t had = l->view.words;

	l->shown = realloc(l->shown, room * sizeof(*l->shown));
	l->nodes = realloc(l->nodes, room * sizeof(*l->nodes));
	BUG_ON(!l->shown || !l->nodes);
	memset(l->nodes + l->node_room, 0, (room - l->node_room) * sizeof(*l->nodes));
	for (uint32_t i = 0; i < l->node_room; i++)
		bits_grow(&l->nodes[i].row, had, words);
	for (uint32_t i = l->node_room; i < room; i++) {
		l->shown[i] = (struct policy_node){.user = -1};
		l->nodes[i].row = live_bits(words);
		l->nodes[i].src = live_bits(l->grant_words);
		l->nodes[i].dst = live_bits(l->grant_words);
	}
	for (uint32_t i = 0; i < l->class_count; i++)
		bits_grow(&l->classes[i].members, had, words);
	for (uint32_t i = 0; i < l->source_count; i++)
		bits_grow(&l->sources[i].nodes, had, words);
	for (uint32_t i = 0; i < l->view.grant_count; i++) {
		struct resolved_grant *g = &l->view.grants[i];

		g->src_nodes = l->sources[l->grants[i].source].nodes;
		for (uint32_t k = 0; k < g->dst_count; k++) {
			uint32_t c = l->grants[i].classes[k];

			bits_grow(&g->dst[k].nodes, had, words);
			if (g->dst[k].members)
				g->dst[k].members = l->classes[c].members;
		}
	}
	l->node_room = room;
	l->view.words = words;
	l->world.nodes = l->shown;
}

static uint32_t slot_new(struct policy_live *l, int64_t id)
{
	uint32_t slot = 0;

	if ((uint64_t)id >= l->slot_room) {
		size_t room = ((size_t)id + 1) * 2;

		l->slots = realloc(l->slots, room * sizeof(*l->slots));
		BUG_ON(!l->slots);
		memset(l->slots + l->slot_room, 0, (room - l->slot_room) * sizeof(*l->slots));
		l->slot_room = room;
	}
	while (slot < l->world.node_count && l->nodes[slot].id)
		slot++;
	if (slot == l->node_room)
		grow(l);
	if (slot == l->world.node_count)
		l->world.node_count++;
	l->slots[id] = slot + 1;
	l->nodes[slot].id = id;
	return slot;
}

/* ---- what is kept of a node ---- */

static void *copy_of(const void *from, size_t bytes)
{
	void *to = malloc(bytes + 1);

	BUG_ON(!to);
	if (bytes)
		memcpy(to, from, bytes);
	return to;
}

static void shown_free(struct policy_node *n)
{
	for (uint32_t i = 0; i < n->tag_count; i++)
		free((char *)n->tags[i]);
	free((void *)n->tags);
	free((void *)n->routes);
	free((void *)n->primary);
	*n = (struct policy_node){.user = -1};
}

static int32_t user_index(const struct policy_live *l, int64_t user)
{
	for (uint32_t i = 0; user && i < l->world.user_count; i++)
		if (l->user_ids[i] == user)
			return (int32_t)i;
	return -1;
}

static struct policy_node shown_of(const struct policy_live *l, const struct policy_live_node *n)
{
	char **tags = calloc(n->tag_count + 1, sizeof(*tags));

	BUG_ON(!tags);
	for (uint32_t i = 0; i < n->tag_count; i++)
		tags[i] = copy_of(n->tags[i], strlen(n->tags[i]) + 1);
	return (struct policy_node){
		.id = n->id,
		.user = n->tag_count ? -1 : user_index(l, n->user),
		.tags = (const char *const *)tags,
		.tag_count = n->tag_count,
		.v4 = n->v4,
		.v6 = n->v6,
		.routes = copy_of(n->routes, n->route_count * sizeof(*n->routes)),
		.route_count = n->route_count,
		.is_exit = n->is_exit,
		.primary = copy_of(n->primary, n->primary_count * sizeof(*n->primary)),
		.primary_count = n->primary_count,
	};
}

static bool same_prefixes(const struct prefix *a, uint32_t na, const struct prefix *b, uint32_t nb)
{
	for (uint32_t i = 0; na == nb && i < na; i++)
		if (!prefix_equal(&a[i], &b[i]))
			return false;
	return na == nb;
}

static bool same_identity(const struct policy_node *a, const struct policy_node *b)
{
	for (uint32_t i = 0; a->tag_count == b->tag_count && i < a->tag_count; i++)
		if (strcmp(a->tags[i], b->tags[i]) != 0)
			return false;
	return a->tag_count == b->tag_count && a->user == b->user;
}

static bool same_addresses(const struct policy_node *a, const struct policy_node *b)
{
	return addr_equal(&a->v4, &b->v4) && addr_equal(&a->v6, &b->v6);
}

static bool same_routes(const struct policy_node *a, const struct policy_node *b)
{
	return a->is_exit == b->is_exit &&
	       same_prefixes(a->routes, a->route_count, b->routes, b->route_count);
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
	bool is_rerouted = !same_routes(old, n), is_new;

	l->stamp++;
	find_wide(l, slot);
	is_new = find_classes(l, slot, !same_addresses(old, n));
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
	struct policy_node old = {.user = -1}, now = shown_of(l, n);
	uint32_t slot = live_slot(l, n->id);

	BUG_ON(n->id <= 0);
	if (slot == LIVE_NONE)
		slot = slot_new(l, n->id);
	else
		old = l->shown[slot];
	if (old.id && same_identity(&old, &now) && same_addresses(&old, &now) &&
	    same_routes(&old, &now) &&
	    same_prefixes(old.primary, old.primary_count, now.primary, now.primary_count)) {
		shown_free(&now);
		return;
	}
	l->shown[slot] = now;
	update(l, slot, &old, n->id);
	shown_free(&old);
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
	shown_free(&old);
}

void policy_live_user(struct policy_live *l, int64_t id, const char *login)
{
	int32_t at = user_index(l, id);

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
	l->users[at].login = copy_of(login, strlen(login) + 1);
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
	int32_t at = user_index(l, user);

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
		shown_free(&l->shown[i]);
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
