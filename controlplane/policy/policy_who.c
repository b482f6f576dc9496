/* SPDX-License-Identifier: Apache-2.0 */
/* Approvals, attributes and the owners of tags. */
#include <string.h>

#include "controlplane/policy/policy_file.h"

static bool is_any_of(const struct policy *p, const struct policy_world *w,
		      const struct selectors *s, uint32_t node)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (selector_has_node(p, w, &s->list[i], node))
			return true;
	return false;
}

bool policy_approves(const struct policy *p, const struct policy_world *world, uint32_t node,
		     const struct prefix *route)
{
	bool is_exit = route->len == 0;

	for (uint32_t i = 0; i < p->approver_count; i++) {
		const struct approver *a = &p->approvers[i];
		bool fits = a->is_exit ? is_exit
				       : !is_exit && a->prefix.addr.family == route->addr.family &&
						 a->prefix.len <= route->len &&
						 prefix_contains(&a->prefix, &route->addr);

		if (fits && is_any_of(p, world, &a->who, node))
			return true;
	}
	return false;
}

/* Has an entry before this one, or this name before in it, given it already? */
static bool was_given(const struct policy *p, const struct policy_world *w, uint32_t node,
		      uint32_t entry, uint32_t index)
{
	const char *name = p->attrs[entry].names[index];

	for (uint32_t i = 0; i <= entry; i++) {
		uint32_t until = i == entry ? index : p->attrs[i].count;

		for (uint32_t k = 0; k < until; k++)
			if (strcmp(p->attrs[i].names[k], name) == 0 &&
			    (i == entry || is_any_of(p, w, &p->attrs[i].target, node)))
				return true;
	}
	return false;
}

void policy_attributes(const struct policy *p, const struct policy_world *world, uint32_t node,
		       void (*fn)(void *arg, const char *name), void *arg)
{
	bool has_port = p->randomize_port, has_ipv4 = p->disable_ipv4;

	for (uint32_t i = 0; i < p->attr_count; i++) {
		if (!is_any_of(p, world, &p->attrs[i].target, node))
			continue;
		for (uint32_t k = 0; k < p->attrs[i].count; k++) {
			if (was_given(p, world, node, i, k))
				continue;
			has_port &= strcmp(p->attrs[i].names[k], "randomize-client-port") != 0;
			has_ipv4 &= strcmp(p->attrs[i].names[k], "disable-ipv4") != 0;
			fn(arg, p->attrs[i].names[k]);
		}
	}
	if (has_port)
		fn(arg, "randomize-client-port");
	if (has_ipv4)
		fn(arg, "disable-ipv4");
}

static const struct tag_owner *tag_of(const struct policy *p, const char *tag)
{
	for (uint32_t i = 0; i < p->tag_count; i++)
		if (strcmp(p->tags[i].tag, tag) == 0)
			return &p->tags[i];
	return NULL;
}

static bool is_user_in(const struct policy *p, const struct policy_world *w,
		       const struct selectors *owners, uint32_t user, unsigned depth)
{
	/* A node of that user alone, as far as selectors can tell. */
	const struct policy_node probe = {.user = (int32_t)user};
	const struct policy_world alone = {
		.users = w->users, .user_count = w->user_count, .nodes = &probe, .node_count = 1};

	for (uint32_t i = 0; i < owners->count; i++) {
		const struct selector *s = &owners->list[i];
		const struct tag_owner *t;

		if (s->kind != SELECT_TAG) {
			if (selector_has_node(p, &alone, s, 0))
				return true;
			continue;
		}
		t = tag_of(p, s->text);
		if (depth && t && is_user_in(p, w, &t->owners, user, depth - 1))
			return true;
	}
	return false;
}

bool policy_has_tag(const struct policy *p, const char *tag)
{
	return tag_of(p, tag) != NULL;
}

bool policy_may_tag(const struct policy *p, const struct policy_world *world, uint32_t user,
		    const char *tag)
{
	const struct tag_owner *t = tag_of(p, tag);

	return t && is_user_in(p, world, &t->owners, user, 8);
}

static bool is_node_in(const struct policy *p, const struct policy_world *w,
		       const struct selectors *owners, uint32_t node, unsigned depth)
{
	for (uint32_t i = 0; i < owners->count; i++) {
		const struct selector *s = &owners->list[i];
		const struct tag_owner *t = s->kind == SELECT_TAG ? tag_of(p, s->text) : NULL;

		if (selector_has_node(p, w, s, node) ||
		    (t && depth && is_node_in(p, w, &t->owners, node, depth - 1)))
			return true;
	}
	return false;
}

bool policy_may_retag(const struct policy *p, const struct policy_world *world, uint32_t node,
		      const char *tag)
{
	const struct tag_owner *t = tag_of(p, tag);

	return t && is_node_in(p, world, &t->owners, node, 8);
}
