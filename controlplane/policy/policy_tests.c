/* SPDX-License-Identifier: Apache-2.0 */
/* The file's own assertions. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_resolved.h"

/* ---- reading ---- */

static int read_proto(struct reading *r, const struct hujson_value *v)
{
	struct hujson_error e;
	const char *text;
	int proto;

	if (!v)
		return -1;
	if (hujson_string(v, &text, &e)) {
		policy_complain(r, v->place, "%s", e.text);
		return -1;
	}
	proto = protocol_parse(text);
	if (proto != -1 && proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_SCTP)
		policy_complain(r, v->place, "\"%.40s\": a test is of tcp, udp or sctp", text);
	return proto;
}

/* One host, and one port behind the last colon. */
static bool read_line(struct reading *r, const char *text, struct hujson_place at,
		      struct policy_test_line *out)
{
	const char *colon = strrchr(text, ':'), *from = text;
	size_t len = colon ? (size_t)(colon - text) : 0;
	struct ports ports = {0};
	const char *name;
	bool ok;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		from++;
		len -= 2;
	}
	ok = colon && strchr(colon, '-') == NULL && strchr(colon, ',') == NULL &&
	     strcmp(colon, ":*") != 0 && ports_parse(r, colon + 1, &ports);
	if (!ok) {
		policy_complain(r, at, "\"%.80s\" has no single port: selector:22", text);
		free(ports.ranges);
		return false;
	}
	out->port = ports.ranges[0].first;
	free(ports.ranges);
	out->text = text;
	out->place = at;
	if (memchr(from, '/', len)) {
		policy_complain(r, at, "\"%.80s\": a test has one host, not a prefix", text);
		return false;
	}
	name = policy_text(r, from, len);
	if (!name || !selector_parse(r, name, at, USE_TEST, &out->dst))
		return false;
	if (out->dst.kind == SELECT_PREFIX &&
	    out->dst.prefix.len != (out->dst.prefix.addr.family == AF_INET6 ? 128 : 32)) {
		policy_complain(r, at, "\"%.80s\": a test has one host, not a prefix", text);
		return false;
	}
	return true;
}

static void read_lines(struct reading *r, const struct hujson_value *list, bool is_accept,
		       struct policy_test *t)
{
	struct hujson_error e;

	if (!list)
		return;
	if (hujson_array(list, &e)) {
		policy_complain(r, list->place, "%s", e.text);
		return;
	}
	for (const struct hujson_value *v = list->first; v; v = v->next) {
		struct policy_test_line line = {.is_accept = is_accept}, *p;
		const char *text;

		if (hujson_string(v, &text, &e)) {
			policy_complain(r, v->place, "%s", e.text);
			continue;
		}
		if (!read_line(r, text, v->place, &line))
			continue;
		p = realloc(t->lines, (t->count + 1) * sizeof(*p));
		if (!p) {
			r->no_memory = true;
			return;
		}
		t->lines = p;
		p[t->count++] = line;
	}
}

static void read_test(struct reading *r, const struct hujson_value *v, struct policy_test *t)
{
	static const char *const known[] = {"src",  "proto",	       "accept",
					    "deny", "srcPostureAttrs", NULL};
	const struct hujson_value *src, *accept, *deny;
	struct hujson_error e;

	if (hujson_object(v, &e)) {
		policy_complain(r, v->place, "%s", e.text);
		return;
	}
	policy_check_members(r, v, known, false);
	src = policy_member(v, "src");
	accept = policy_member(v, "accept");
	deny = policy_member(v, "deny");
	if (!src)
		policy_complain(r, v->place, "the test has no \"src\"");
	else if (hujson_string(src, &t->src_text, &e))
		policy_complain(r, src->place, "%s", e.text);
	else
		selector_parse(r, t->src_text, src->place, USE_TEST, &t->src);
	t->proto = read_proto(r, policy_member(v, "proto"));
	read_lines(r, accept, true, t);
	read_lines(r, deny, false, t);
	if (!(accept && accept->count) && !(deny && deny->count))
		policy_complain(r, v->place, "the test expects nothing: \"accept\" or \"deny\"");
	if (src)
		t->src.place = src->place;
}

void policy_read_tests(struct reading *r, const struct hujson_value *list)
{
	struct policy *p = r->p;
	struct hujson_error e;

	if (!list)
		return;
	if (hujson_array(list, &e)) {
		policy_complain(r, list->place, "%s", e.text);
		return;
	}
	p->tests = policy_alloc(r, list->count, sizeof(*p->tests));
	for (const struct hujson_value *v = list->first; v && p->tests; v = v->next)
		read_test(r, v, &p->tests[p->test_count++]);
}

/* ---- running ---- */

/* Absent means the node's default protocols, ICMP among them. */
static bool protocols_meet(int rule, int test)
{
	bool is_default = rule == IPPROTO_TCP || rule == IPPROTO_UDP || rule == IPPROTO_ICMP ||
			  rule == IPPROTO_ICMPV6;

	if (test == -1)
		return rule == -1 || is_default;
	if (rule == -1)
		return test == IPPROTO_TCP || test == IPPROTO_UDP;
	return rule == test;
}

static bool has_port(const struct grant *g, int proto, uint16_t port)
{
	for (uint32_t i = 0; i < g->port_count; i++)
		for (uint32_t k = 0; k < g->ports[i].count; k++)
			if (protocols_meet(g->ports[i].proto, proto) &&
			    g->ports[i].ranges[k].first <= port &&
			    port <= g->ports[i].ranges[k].last)
				return true;
	return false;
}

struct asking {
	const struct policy_view *v;
	const struct policy_test *t;
	const struct policy_test_line *line;
	struct ip_set dst; /* of the line; not of self */
};

/* The node that owns the address, or NULL. */
static const struct policy_node *owner_of(const struct policy_world *w, const struct ip_addr *a)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		if (addr_equal(&w->nodes[i].v4, a) || addr_equal(&w->nodes[i].v6, a))
			return &w->nodes[i];
	return NULL;
}

static bool sets_meet(const struct ip_set *a, const struct ip_set *b)
{
	for (uint32_t i = 0; i < b->count; i++) {
		struct ip_range r = b->ranges[i];
		struct prefix p;

		while (ip_range_next_prefix(&r, &p))
			if (ip_set_meets(a, &p))
				return true;
	}
	return false;
}

/* Some of the line's addresses belong to the source's user: self as the rule means it. */
static bool meets_own(const struct asking *a, const struct policy_node *source)
{
	const struct policy_world *w = a->v->world;

	if (!source || source->user < 0)
		return false;
	if (selector_is_auto(&a->line->dst, AUTO_SELF))
		return true;
	for (uint32_t i = 0; i < w->node_count; i++)
		if (nodes_are_of_one_user(source, &w->nodes[i]) &&
		    set_meets_node(&a->dst, &w->nodes[i]))
			return true;
	return false;
}

static bool reaches(const struct asking *a, const struct ip_addr *source)
{
	const struct policy_node *node = owner_of(a->v->world, source);

	for (uint32_t i = 0; i < a->v->grant_count; i++) {
		const struct resolved_grant *g = &a->v->grants[i];

		if (g->grant->via.count || (!g->is_src_any && !ip_set_has(&g->src, source)) ||
		    !has_port(g->grant, a->t->proto, a->line->port))
			continue;
		for (uint32_t k = 0; k < g->dst_count; k++) {
			const struct selector *s = g->dst[k].selector;

			if (s->kind == SELECT_ALL ||
			    (selector_is_auto(s, AUTO_SELF) && meets_own(a, node)))
				return true;
			if (selector_is_auto(&a->line->dst, AUTO_SELF)) {
				if (node && node->user >= 0 && set_meets_node(&g->dst[k].set, node))
					return true;
			} else if (sets_meet(&g->dst[k].set, &a->dst)) {
				return true;
			}
		}
	}
	return false;
}

/* First addresses of each range are enough: identities are single addresses. */
static void judge(struct reading *r, struct asking *a, const struct ip_set *sources)
{
	uint32_t asked = 0, reached = 0;

	for (uint32_t i = 0; i < sources->count; i++) {
		struct ip_range range = sources->ranges[i];
		struct prefix p;

		while (ip_range_next_prefix(&range, &p)) {
			uint32_t hosts =
				1u << (p.addr.family == AF_INET6 ? (p.len > 124 ? 128 - p.len : 0)
								 : (p.len > 28 ? 32 - p.len : 0));

			for (uint32_t h = 0; h < hosts; h++) {
				struct ip_addr one = p.addr;

				one.bytes[p.addr.family == AF_INET6 ? 15 : 3] += (uint8_t)h;
				asked++;
				reached += reaches(a, &one);
			}
		}
	}
	if (a->line->is_accept && reached < asked)
		policy_complain(r, a->line->place,
				"test failed: %.60s to %.60s: expected accept, %s", a->t->src_text,
				a->line->text,
				reached ? "some of the sources are denied" : "denied");
	if (!a->line->is_accept && reached)
		policy_complain(r, a->line->place,
				"test failed: %.60s to %.60s: expected deny, accepted",
				a->t->src_text, a->line->text);
}

static bool is_known_login(const struct policy_world *w, const char *login)
{
	for (uint32_t i = 0; i < w->user_count; i++)
		if (strcmp(w->users[i].login, login) == 0)
			return true;
	return false;
}

static void check_login(struct reading *r, const struct policy_world *w, const struct selector *s)
{
	if (s->kind == SELECT_LOGIN && !is_known_login(w, s->text))
		policy_complain(r, s->place, "there is no user \"%.60s\"", s->text);
}

static void run_test(struct reading *r, const struct policy_view *v, const struct policy_test *t)
{
	struct ip_set sources = {0};

	check_login(r, v->world, &t->src);
	selector_addresses(r->p, v->world, &t->src, &sources);
	ip_set_close(&sources);
	if (ip_set_is_empty(&sources))
		policy_complain(r, t->src.place, "\"%.60s\" has no address: nothing is tested",
				t->src_text);
	for (uint32_t i = 0; !ip_set_is_empty(&sources) && i < t->count; i++) {
		struct asking a = {.v = v, .t = t, .line = &t->lines[i]};

		check_login(r, v->world, &a.line->dst);
		if (!selector_is_auto(&a.line->dst, AUTO_SELF))
			selector_addresses(r->p, v->world, &a.line->dst, &a.dst);
		ip_set_close(&a.dst);
		judge(r, &a, &sources);
		r->no_memory |= a.dst.no_memory;
		ip_set_fini(&a.dst);
	}
	r->no_memory |= sources.no_memory;
	ip_set_fini(&sources);
}

int policy_run_tests(const struct policy *p, const struct policy_world *world,
		     struct policy_report *report)
{
	struct policy_view *v = policy_view_new(p, world);
	struct reading r = {.p = (struct policy *)p, .report = report};

	*report = (struct policy_report){0};
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->test_count; i++)
		run_test(&r, v, &p->tests[i]);
	policy_view_free(v);
	if (r.no_memory)
		return -ENOMEM;
	return report->errors ? -EINVAL : 0;
}
