/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a selector means among the nodes there are. */
#include <string.h>

#include "controlplane/policy/policy_file.h"

static const char *login_of(const struct policy_world *w, uint32_t node)
{
	int32_t user = w->nodes[node].user;

	return user < 0 ? NULL : w->users[user].login;
}

static bool is_in_group(const struct policy *p, uint32_t group, const char *login)
{
	const struct group *g = &p->groups[group];

	for (uint32_t i = 0; login && i < g->count; i++)
		if (strcmp(g->members[i], login) == 0)
			return true;
	return false;
}

static bool has_tag(const struct policy_node *n, const char *tag)
{
	for (uint32_t i = 0; i < n->tag_count; i++)
		if (strcmp(n->tags[i], tag) == 0)
			return true;
	return false;
}

static bool is_of_domain(const char *login, const char *domain)
{
	const char *at = login ? strrchr(login, '@') : NULL;

	return at && strcmp(at + 1, domain) == 0;
}

static bool has_autogroup(const struct policy_world *w, const struct selector *s,
			  const struct policy_node *n)
{
	switch (s->autogroup) {
	case AUTO_MEMBER:
		return n->user >= 0;
	case AUTO_TAGGED:
		return n->tag_count > 0;
	case AUTO_DANGER_ALL:
		return true;
	case AUTO_ROLE:
		return n->user >= 0 && (w->users[n->user].roles & s->role);
	default:
		return false;
	}
}

bool selector_has_node(const struct policy *p, const struct policy_world *w,
		       const struct selector *s, uint32_t node)
{
	const struct policy_node *n = &w->nodes[node];
	const char *login = login_of(w, node);

	switch (s->kind) {
	case SELECT_PREFIX:
		return (n->v4.family && prefix_contains(&s->prefix, &n->v4)) ||
		       (n->v6.family && prefix_contains(&s->prefix, &n->v6));
	case SELECT_ALL:
		return true;
	case SELECT_DOMAIN:
		return is_of_domain(login, s->text);
	case SELECT_LOGIN:
		return login && strcmp(login, s->text) == 0;
	case SELECT_GROUP:
		return is_in_group(p, s->index, login);
	case SELECT_TAG:
		return has_tag(n, s->text);
	case SELECT_AUTO:
		return has_autogroup(w, s, n);
	case SELECT_IPSET:
		return ip_set_has(&p->ipsets[s->index].set, &n->v4) ||
		       ip_set_has(&p->ipsets[s->index].set, &n->v6);
	}
	return false;
}

void selector_addresses(const struct policy *p, const struct policy_world *w,
			const struct selector *s, struct ip_set *out)
{
	if (s->kind == SELECT_PREFIX) {
		ip_set_add_prefix(out, &s->prefix);
		return;
	}
	if (s->kind == SELECT_IPSET) {
		ip_set_add_all(out, &p->ipsets[s->index].set);
		return;
	}
	for (uint32_t i = 0; i < w->node_count; i++) {
		if (!selector_has_node(p, w, s, i))
			continue;
		ip_set_add_addr(out, &w->nodes[i].v4);
		ip_set_add_addr(out, &w->nodes[i].v6);
	}
}
