/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/policy/policy_file.h"
#include "lib/base/bug.h"
#include "lib/base/nearest.h"

static const char *const top_level[] = {"grants",
					"acls",
					"groups",
					"hosts",
					"ipsets",
					"tagOwners",
					"autoApprovers",
					"nodeAttrs",
					"randomizeClientPort",
					"disableIPv4",
					"tests",
					"derpMap",
					"OneCGNATRoute",
					"ssh",
					"sshTests",
					"postures",
					"defaultSrcPosture",
					NULL};

void *policy_alloc(struct reading *r, size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	r->no_memory |= !p;
	return p;
}

const char *policy_text(struct reading *r, const char *text, size_t len)
{
	struct policy *p = r->p;
	char **texts = realloc(p->texts, (p->text_count + 1) * sizeof(*texts));
	char *copy = texts ? policy_alloc(r, len + 1, 1) : NULL;

	if (texts)
		p->texts = texts;
	if (!copy) {
		r->no_memory = true;
		return NULL;
	}
	memcpy(copy, text, len);
	p->texts[p->text_count++] = copy;
	return copy;
}

const struct hujson_value *policy_member(const struct hujson_value *object, const char *name)
{
	const struct hujson_value *found = hujson_get(object, name);

	if (found || object->type != HUJSON_OBJECT)
		return found;
	for (const struct hujson_value *v = object->first; v; v = v->next)
		if (strcasecmp(v->key, name) == 0)
			return v;
	return NULL;
}

void policy_check_members(struct reading *r, const struct hujson_value *object,
			  const char *const *known, bool skip_hash)
{
	for (const struct hujson_value *v = object->first; v; v = v->next) {
		const char *near;
		bool found = skip_hash && v->key[0] == '#';

		for (const char *const *k = known; *k && !found; k++)
			found = strcasecmp(v->key, *k) == 0;
		if (found)
			continue;
		near = nearest_name(v->key, v->key_len, known);
		policy_complain(r, v->key_place, "unknown key \"%.60s\"%s%s", v->key,
				near ? ", the nearest is " : "", near ? near : "");
	}
}

/* False: complained, or it is not there. */
static bool is_object(struct reading *r, const struct hujson_value *v)
{
	struct hujson_error e;

	if (!v || hujson_object(v, &e) == 0)
		return v != NULL;
	policy_complain(r, v->place, "%s", e.text);
	return false;
}

static bool is_list(struct reading *r, const struct hujson_value *v)
{
	struct hujson_error e;

	if (!v || hujson_array(v, &e) == 0)
		return v != NULL;
	policy_complain(r, v->place, "%s", e.text);
	return false;
}

/* ---- names that others use ---- */

/* "name@" is the user whose login is the name alone. */
static void add_member(struct reading *r, struct group *g, const char *login)
{
	size_t len = strlen(login);

	g->members[g->count] = login[len - 1] == '@' ? policy_text(r, login, len - 1) : login;
	if (g->members[g->count])
		g->count++;
}

static void read_groups(struct reading *r, const struct hujson_value *object)
{
	struct policy *p = r->p;

	if (!is_object(r, object))
		return;
	p->groups = policy_alloc(r, object->count, sizeof(*p->groups));
	for (const struct hujson_value *v = object->first; v && p->groups; v = v->next) {
		struct group *g = &p->groups[p->group_count];

		if (strncmp(v->key, "group:", 6) != 0 || !v->key[6]) {
			policy_complain(r, v->key_place,
					"\"%.60s\" is no group name, as in \"group:name\"", v->key);
			continue;
		}
		if (!is_list(r, v))
			continue;
		g->name = v->key;
		g->members = policy_alloc(r, v->count, sizeof(*g->members));
		p->group_count++;
		for (const struct hujson_value *m = v->first; m && g->members; m = m->next) {
			struct hujson_error e;
			const char *login;

			if (hujson_string(m, &login, &e))
				policy_complain(r, m->place, "%s", e.text);
			else if (!strchr(login, '@') || strncmp(login, "group:", 6) == 0)
				policy_complain(r, m->place,
						"\"%.60s\" is no login: groups hold logins only",
						login);
			else
				add_member(r, g, login);
		}
		if (!v->count)
			policy_warn(r, v->key_place, "%.60s has no members", g->name);
	}
}

static bool is_host_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
			return false;
	return *name;
}

static void read_hosts(struct reading *r, const struct hujson_value *object)
{
	struct policy *p = r->p;

	if (!is_object(r, object))
		return;
	p->hosts = policy_alloc(r, object->count, sizeof(*p->hosts));
	for (const struct hujson_value *v = object->first; v && p->hosts; v = v->next) {
		struct host *h = &p->hosts[p->host_count];
		struct hujson_error e;
		const char *text;

		if (!is_host_name(v->key))
			policy_complain(r, v->key_place,
					"\"%.60s\" is no host name: letters, digits, '.', '-', '_'",
					v->key);
		else if (hujson_string(v, &text, &e))
			policy_complain(r, v->place, "%s", e.text);
		else if (prefix_parse(text, false, &h->prefix))
			policy_complain(r, v->place,
					"\"%.60s\" is no address, and no prefix without host bits",
					text);
		else {
			h->name = v->key;
			p->host_count++;
		}
	}
}

static bool is_tag_name(const char *name)
{
	if (strncmp(name, "tag:", 4) != 0 || !isalpha((unsigned char)name[4]))
		return false;
	for (const char *c = name + 4; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-')
			return false;
	return true;
}

/* Names first: an owner may be a tag that comes later. */
static void name_tags(struct reading *r, const struct hujson_value *object)
{
	struct policy *p = r->p;

	if (!is_object(r, object))
		return;
	p->tags = policy_alloc(r, object->count, sizeof(*p->tags));
	for (const struct hujson_value *v = object->first; v && p->tags; v = v->next) {
		if (is_tag_name(v->key))
			p->tags[p->tag_count++].tag = v->key;
		else
			policy_complain(r, v->key_place,
					"\"%.60s\" is no tag: \"tag:\", a letter, then letters, "
					"digits, hyphens",
					v->key);
	}
}

static void read_owners(struct reading *r, const struct hujson_value *object)
{
	struct policy *p = r->p;
	uint32_t at = 0;

	if (!object || object->type != HUJSON_OBJECT)
		return;
	for (const struct hujson_value *v = object->first; v; v = v->next) {
		if (at == p->tag_count || strcmp(p->tags[at].tag, v->key) != 0)
			continue;
		selectors_parse(r, v, USE_OWNER, &p->tags[at++].owners);
	}
}

static uint32_t tag_index(const struct policy *p, const char *tag)
{
	uint32_t i = 0;

	while (i < p->tag_count && strcmp(p->tags[i].tag, tag) != 0)
		i++;
	return i;
}

/* Does the tag own itself, by way of others? depth bounds the search. */
static bool owns_itself(const struct policy *p, uint32_t start, uint32_t at, uint32_t depth)
{
	const struct selectors *owners = &p->tags[at].owners;

	for (uint32_t i = 0; i < owners->count && depth; i++) {
		uint32_t next;

		if (owners->list[i].kind != SELECT_TAG)
			continue;
		next = tag_index(p, owners->list[i].text);
		if (next == start ||
		    (next < p->tag_count && next != at && owns_itself(p, start, next, depth - 1)))
			return true;
	}
	return false;
}

static void check_cycles(struct reading *r, const struct hujson_value *object)
{
	struct policy *p = r->p;

	for (uint32_t i = 0; i < p->tag_count; i++) {
		const struct hujson_value *v = hujson_get(object, p->tags[i].tag);
		uint32_t own = i;
		bool is_direct = false;

		/* A tag may be its own owner: a node keeps what it has. */
		for (uint32_t k = 0; k < p->tags[i].owners.count; k++)
			is_direct |= p->tags[i].owners.list[k].kind == SELECT_TAG &&
				     tag_index(p, p->tags[i].owners.list[k].text) == own;
		if (!is_direct && v && owns_itself(p, own, own, 16))
			policy_complain(r, v->key_place, "%.60s owns itself by way of other tags",
					p->tags[i].tag);
	}
}

/* ---- sections ---- */

static void read_approvers(struct reading *r, const struct hujson_value *object)
{
	static const char *const known[] = {"routes", "exitNode", "services", NULL};
	const struct hujson_value *routes, *exit_node;
	struct policy *p = r->p;

	if (!is_object(r, object))
		return;
	policy_check_members(r, object, known, false);
	if (policy_member(object, "services"))
		policy_warn(r, policy_member(object, "services")->key_place,
			    "services have no effect here");
	routes = policy_member(object, "routes");
	exit_node = policy_member(object, "exitNode");
	if (routes && !is_object(r, routes))
		routes = NULL;
	p->approvers = policy_alloc(r, (routes ? routes->count : 0) + 1, sizeof(*p->approvers));
	for (const struct hujson_value *v = routes ? routes->first : NULL; v && p->approvers;
	     v = v->next) {
		struct approver *a = &p->approvers[p->approver_count];

		if (prefix_parse(v->key, false, &a->prefix)) {
			policy_complain(r, v->key_place, "\"%.60s\" is no prefix without host bits",
					v->key);
			continue;
		}
		selectors_parse(r, v, USE_OWNER, &a->who);
		p->approver_count++;
	}
	if (exit_node && p->approvers) {
		p->approvers[p->approver_count].is_exit = true;
		selectors_parse(r, exit_node, USE_OWNER, &p->approvers[p->approver_count].who);
		p->approver_count++;
	}
}

static void read_attr(struct reading *r, const struct hujson_value *v, struct node_attr *out)
{
	static const char *const known[] = {"target", "attr", "ipPool", "app", NULL};
	const struct hujson_value *names;

	if (!is_object(r, v))
		return;
	policy_check_members(r, v, known, false);
	if (policy_member(v, "ipPool"))
		policy_complain(r, policy_member(v, "ipPool")->key_place,
				"\"ipPool\": addresses are not given out by policy here");
	if (policy_member(v, "app"))
		policy_warn(r, policy_member(v, "app")->key_place,
			    "app connectors have no effect here");
	selectors_parse(r, policy_member(v, "target"), USE_TARGET, &out->target);
	names = policy_member(v, "attr");
	if (!is_list(r, names))
		return;
	out->names = policy_alloc(r, names->count, sizeof(*out->names));
	for (const struct hujson_value *n = names->first; n && out->names; n = n->next) {
		struct hujson_error e;

		if (hujson_string(n, &out->names[out->count], &e))
			policy_complain(r, n->place, "%s", e.text);
		else
			out->count++;
	}
}

static void read_attrs(struct reading *r, const struct hujson_value *list)
{
	struct policy *p = r->p;

	if (!is_list(r, list))
		return;
	p->attrs = policy_alloc(r, list->count, sizeof(*p->attrs));
	for (const struct hujson_value *v = list->first; v && p->attrs; v = v->next)
		read_attr(r, v, &p->attrs[p->attr_count++]);
}

static void read_bool(struct reading *r, const struct hujson_value *v, bool *out)
{
	struct hujson_error e;

	if (v && hujson_bool(v, out, &e))
		policy_complain(r, v->place, "%s", e.text);
}

static void read_ignored(struct reading *r, const struct hujson_value *root)
{
	static const char *const without_effect[] = {"derpMap", "OneCGNATRoute", "ssh", "sshTests"};
	static const char *const refused[] = {"postures", "defaultSrcPosture"};

	for (size_t i = 0; i < ARRAY_SIZE(without_effect); i++) {
		const struct hujson_value *v = policy_member(root, without_effect[i]);

		if (v)
			policy_warn(r, v->key_place, "\"%s\" has no effect here", v->key);
	}
	/* To pass over a condition would open the rule to everybody. */
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct hujson_value *v = policy_member(root, refused[i]);

		if (v)
			policy_complain(r, v->key_place,
					"\"%s\": conditions on devices cannot be checked here",
					v->key);
	}
}

static void read_root(struct reading *r, const struct hujson_value *root)
{
	const struct hujson_value *owners = policy_member(root, "tagOwners");

	policy_check_members(r, root, top_level, false);
	read_ignored(r, root);
	read_groups(r, policy_member(root, "groups"));
	read_hosts(r, policy_member(root, "hosts"));
	policy_read_ipsets(r, policy_member(root, "ipsets"));
	name_tags(r, owners);
	read_owners(r, owners);
	if (owners)
		check_cycles(r, owners);
	read_approvers(r, policy_member(root, "autoApprovers"));
	read_attrs(r, policy_member(root, "nodeAttrs"));
	read_bool(r, policy_member(root, "randomizeClientPort"), &r->p->randomize_port);
	read_bool(r, policy_member(root, "disableIPv4"), &r->p->disable_ipv4);
	policy_read_rules(r, root);
	policy_read_tests(r, policy_member(root, "tests"));
}

int policy_parse(const char *text, size_t len, struct policy **out, struct policy_report *report)
{
	struct policy *p = calloc(1, sizeof(*p));
	struct reading r = {.p = p, .report = report};
	struct hujson_error e;
	int rc;

	*report = (struct policy_report){0};
	if (!p)
		return -ENOMEM;
	rc = hujson_parse(text, len, &p->doc, &e);
	if (rc == -EINVAL)
		policy_complain(&r, (struct hujson_place){e.line, e.column}, "%s", e.text);
	if (!rc && hujson_object(p->doc->root, &e))
		policy_complain(&r, p->doc->root->place, "%s", e.text);
	else if (!rc)
		read_root(&r, p->doc->root);
	if (r.no_memory || rc == -ENOMEM)
		rc = -ENOMEM;
	else if (report->errors)
		rc = -EINVAL;
	if (rc)
		policy_free(p);
	else
		*out = p;
	return rc;
}

static void free_grant(struct grant *g)
{
	free(g->src.list);
	free(g->dst.list);
	free(g->via.list);
	for (uint32_t i = 0; i < g->port_count; i++)
		free(g->ports[i].ranges);
	free(g->ports);
	free(g->app);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->group_count; i++)
		free(p->groups[i].members);
	for (uint32_t i = 0; i < p->ipset_count; i++)
		ip_set_fini(&p->ipsets[i].set);
	for (uint32_t i = 0; i < p->tag_count; i++)
		free(p->tags[i].owners.list);
	for (uint32_t i = 0; i < p->approver_count; i++)
		free(p->approvers[i].who.list);
	for (uint32_t i = 0; i < p->attr_count; i++) {
		free(p->attrs[i].target.list);
		free(p->attrs[i].names);
	}
	for (uint32_t i = 0; i < p->grant_count; i++)
		free_grant(&p->grants[i]);
	for (uint32_t i = 0; i < p->test_count; i++)
		free(p->tests[i].lines);
	for (uint32_t i = 0; i < p->text_count; i++)
		free(p->texts[i]);
	free(p->groups);
	free(p->hosts);
	free(p->ipsets);
	free(p->tags);
	free(p->approvers);
	free(p->attrs);
	free(p->grants);
	free(p->tests);
	free(p->texts);
	if (p->doc)
		hujson_free(p->doc);
	free(p);
}
