/* SPDX-License-Identifier: Apache-2.0 */
/* grants and acls, both into grants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/policy/policy_file.h"
#include "lib/base/bug.h"

static struct grant *new_grant(struct reading *r)
{
	struct policy *p = r->p;
	struct grant *g = realloc(p->grants, (p->grant_count + 1) * sizeof(*g));

	if (!g) {
		r->no_memory = true;
		return NULL;
	}
	p->grants = g;
	g = &p->grants[p->grant_count++];
	*g = (struct grant){0};
	return g;
}

static bool is_auto(const struct selector *s, enum autogroup a)
{
	return s->kind == SELECT_AUTO && s->autogroup == a;
}

static bool has_auto(const struct selectors *s, enum autogroup a)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (is_auto(&s->list[i], a))
			return true;
	return false;
}

/* The same user's devices: the source has to be users. */
static void check_self(struct reading *r, const struct grant *g)
{
	if (!has_auto(&g->dst, AUTO_SELF))
		return;
	for (uint32_t i = 0; i < g->src.count; i++) {
		const struct selector *s = &g->src.list[i];
		bool is_user = s->kind == SELECT_LOGIN || s->kind == SELECT_GROUP ||
			       s->kind == SELECT_DOMAIN || is_auto(s, AUTO_MEMBER) ||
			       is_auto(s, AUTO_ROLE) || (g->is_acl && s->kind == SELECT_ALL);

		if (!is_user)
			policy_complain(
				r, s->place,
				"\"%.60s\": a destination autogroup:self needs sources that are "
				"users",
				s->text);
	}
}

/* ---- app ---- */

static void put_json(struct json_out *j, const char *key, const struct hujson_value *v)
{
	switch (v->type) {
	case HUJSON_NULL:
		json_out_null(j, key);
		break;
	case HUJSON_BOOL:
		json_out_bool(j, key, v->boolean);
		break;
	case HUJSON_NUMBER:
		json_out_raw(j, key, v->text);
		break;
	case HUJSON_STRING:
		json_out_string(j, key, v->text);
		break;
	case HUJSON_ARRAY:
	case HUJSON_OBJECT:
		if (v->type == HUJSON_ARRAY)
			json_out_array(j, key);
		else
			json_out_object(j, key);
		for (const struct hujson_value *m = v->first; m; m = m->next)
			put_json(j, v->type == HUJSON_OBJECT ? m->key : NULL, m);
		json_out_end(j);
		break;
	}
}

static bool is_open_capability(const char *path)
{
	static const char *const open[] = {"drive",	 "relay", "webui",
					   "kubernetes", "tsidp", "secrets"};

	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		if (strcmp(path, open[i]) == 0)
			return true;
	return false;
}

static void check_capability(struct reading *r, const struct hujson_value *v)
{
	const char *slash = strchr(v->key, '/');
	struct hujson_error e;

	if (strstr(v->key, "://") || !slash || slash == v->key || !slash[1])
		policy_complain(r, v->key_place,
				"\"%.60s\" is no capability: domain/path, without a scheme",
				v->key);
	else if (strncmp(v->key, "tailscale.com/", 14) == 0 &&
		 (strncmp(v->key, "tailscale.com/cap/", 18) != 0 ||
		  !is_open_capability(v->key + 18)))
		policy_complain(r, v->key_place,
				"\"%.60s\" is reserved; open are tailscale.com/cap/ drive, relay, "
				"webui, kubernetes, tsidp, secrets",
				v->key);
	if (hujson_array(v, &e))
		policy_complain(r, v->place, "%s", e.text);
}

static void read_app(struct reading *r, const struct hujson_value *v, struct grant *g)
{
	struct hujson_error e;
	struct json_out j;

	if (hujson_object(v, &e)) {
		policy_complain(r, v->place, "%s", e.text);
		return;
	}
	for (const struct hujson_value *c = v->first; c; c = c->next) {
		check_capability(r, c);
		g->has_drive |= strcmp(c->key, "tailscale.com/cap/drive") == 0;
		g->has_relay |= strcmp(c->key, "tailscale.com/cap/relay") == 0;
	}
	if (!v->count)
		return;
	json_out_init(&j);
	put_json(&j, NULL, v);
	if (j.error)
		r->no_memory = true;
	else
		g->app = strdup(j.text);
	json_out_fini(&j);
	if (has_auto(&g->dst, AUTO_INTERNET))
		policy_complain(r, v->key_place,
				"\"app\" cannot have autogroup:internet as destination");
}

/* ---- grants ---- */

static void read_ip(struct reading *r, const struct hujson_value *list, struct grant *g)
{
	struct hujson_error e;

	if (hujson_array(list, &e)) {
		policy_complain(r, list->place, "%s", e.text);
		return;
	}
	for (const struct hujson_value *v = list->first; v; v = v->next) {
		const char *text;

		if (hujson_string(v, &text, &e))
			policy_complain(r, v->place, "%s", e.text);
		else
			grant_ip_parse(r, text, v->place, g);
	}
}

static void refuse_posture(struct reading *r, const struct hujson_value *rule)
{
	const struct hujson_value *v = policy_member(rule, "srcPosture");

	if (v)
		policy_complain(r, v->key_place,
				"\"srcPosture\": conditions on devices cannot be checked here");
}

static void read_grant(struct reading *r, const struct hujson_value *v)
{
	static const char *const known[] = {"src", "dst", "ip", "app", "via", "srcPosture", NULL};
	const struct hujson_value *ip, *app, *src, *dst;
	struct hujson_error e;
	struct grant *g;

	if (hujson_object(v, &e)) {
		policy_complain(r, v->place, "%s", e.text);
		return;
	}
	policy_check_members(r, v, known, false);
	refuse_posture(r, v);
	g = new_grant(r);
	if (!g)
		return;
	g->place = v->place;
	src = policy_member(v, "src");
	dst = policy_member(v, "dst");
	ip = policy_member(v, "ip");
	app = policy_member(v, "app");
	if (!src || !dst)
		policy_complain(r, v->place, "the grant has no \"%s\"", src ? "dst" : "src");
	selectors_parse(r, src, USE_SRC, &g->src);
	selectors_parse(r, dst, USE_DST, &g->dst);
	selectors_parse(r, policy_member(v, "via"), USE_VIA, &g->via);
	for (uint32_t i = 0; i < g->dst.count; i++)
		if (g->dst.list[i].kind == SELECT_PREFIX && g->dst.list[i].prefix.len == 0)
			policy_complain(r, g->dst.list[i].place,
					"\"%.60s\": write \"*\" or \"autogroup:internet\"",
					g->dst.list[i].text);
	if (ip)
		read_ip(r, ip, g);
	if (app)
		read_app(r, app, g);
	if (!(ip && ip->count) && !(app && app->count))
		policy_complain(r, v->place, "the grant has neither \"ip\" nor \"app\"");
	check_self(r, g);
}

/* ---- acls ---- */

/* "selector:ports": copies the selector (without its brackets); ports begin at the return. */
static const char *split(struct reading *r, const char *text, const char **selector)
{
	const char *colon = strrchr(text, ':'), *close = strchr(text, ']');
	char buf[256];

	if (!colon)
		return NULL;
	if (text[0] == '[') {
		if (!close || close > colon || (close + 1 != colon && close[1] != '/'))
			return NULL;
		if ((size_t)snprintf(buf, sizeof(buf), "%.*s%.*s", (int)(close - text - 1),
				     text + 1, (int)(colon - close - 1),
				     close + 1) >= sizeof(buf) ||
		    !strchr(buf, ':'))
			return NULL;
		*selector = policy_text(r, buf, strlen(buf));
	} else {
		*selector = policy_text(r, text, (size_t)(colon - text));
	}
	return *selector ? colon + 1 : NULL;
}

static int class_of(const struct selector *s)
{
	switch (s->kind) {
	case SELECT_ALL:
		return 0;
	case SELECT_LOGIN:
	case SELECT_DOMAIN:
		return 1;
	case SELECT_GROUP:
		return 2;
	case SELECT_AUTO:
		return 4;
	default:
		return 3;
	}
}

struct acl_dst {
	struct selector selector;
	struct ports ports;
	uint32_t order;
};

static int by_class(const void *a, const void *b)
{
	const struct acl_dst *x = a, *y = b;
	int c = class_of(&x->selector) - class_of(&y->selector);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static void read_acl_dst(struct reading *r, const char *text, struct hujson_place at, int proto,
			 struct acl_dst *list, uint32_t *count)
{
	const char *name, *ports = split(r, text, &name);
	struct ports read = {0};
	struct acl_dst *d = NULL;
	struct selector s;

	if (!ports) {
		policy_complain(r, at, "\"%.80s\" has no ports: write selector:22 or selector:*",
				text);
		return;
	}
	if (!selector_parse(r, name, at, USE_DST, &s))
		return;
	if (!ports_parse(r, ports, &read)) {
		policy_complain(r, at, "\"%.60s\": \"%.20s\" is no port, range or list of them",
				text, ports);
		free(read.ranges);
		return;
	}
	if (!protocol_has_ports(proto) && strcmp(ports, "*") != 0)
		policy_complain(r, at, "\"%.60s\": this protocol has no ports, write \"*\"", text);
	for (uint32_t i = 0; i < *count; i++)
		if (strcmp(list[i].selector.text, s.text) == 0)
			d = &list[i];
	if (!d) {
		d = &list[*count];
		*d = (struct acl_dst){.selector = s, .ports = read, .order = *count};
		d->ports.proto = proto;
		++*count;
		return;
	}
	for (uint32_t i = 0; i < read.count; i++) {
		struct port_range *p = realloc(d->ports.ranges, (d->ports.count + 1) * sizeof(*p));

		if (!p) {
			r->no_memory = true;
			break;
		}
		d->ports.ranges = p;
		p[d->ports.count++] = read.ranges[i];
	}
	free(read.ranges);
}

/* One grant for each destination; src is copied for each. */
static void make_grants(struct reading *r, const struct hujson_value *v,
			const struct selectors *src, struct acl_dst *list, uint32_t count)
{
	qsort(list, count, sizeof(*list), by_class);
	for (uint32_t i = 0; i < count; i++) {
		struct grant *g = new_grant(r);

		if (!g) {
			free(list[i].ports.ranges);
			continue;
		}
		g->is_acl = true;
		g->place = v->place;
		g->src.list = policy_alloc(r, src->count, sizeof(*src->list));
		g->dst.list = policy_alloc(r, 1, sizeof(*g->dst.list));
		g->ports = policy_alloc(r, 1, sizeof(*g->ports));
		if (!g->src.list || !g->dst.list || !g->ports) {
			free(list[i].ports.ranges);
			continue;
		}
		if (src->count)
			memcpy(g->src.list, src->list, src->count * sizeof(*src->list));
		g->src.count = src->count;
		g->dst.list[0] = list[i].selector;
		g->dst.count = 1;
		g->ports[0] = list[i].ports;
		g->port_count = 1;
		check_self(r, g);
	}
}

static const struct hujson_value *old_name(struct reading *r, const struct hujson_value *v,
					   const char *name, const char *old)
{
	const struct hujson_value *found = policy_member(v, name);

	if (found)
		return found;
	found = policy_member(v, old);
	if (found)
		policy_warn(r, found->key_place, "\"%s\" is an old name of \"%s\"", old, name);
	return found;
}

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
	if (proto == -2) {
		policy_complain(r, v->place, "\"%.40s\": no such protocol; a name or 1 to 255",
				text);
		return -1;
	}
	return proto;
}

static void read_acl(struct reading *r, const struct hujson_value *v)
{
	static const char *const known[] = {"action", "src",   "users",	     "proto",
					    "dst",    "ports", "srcPosture", NULL};
	const struct hujson_value *action, *dst;
	struct selectors src = {0};
	struct hujson_error e;
	struct acl_dst *list;
	uint32_t count = 0;
	const char *text;
	int proto;

	if (hujson_object(v, &e)) {
		policy_complain(r, v->place, "%s", e.text);
		return;
	}
	policy_check_members(r, v, known, true);
	refuse_posture(r, v);
	action = policy_member(v, "action");
	if (!action || hujson_string(action, &text, &e) || strcmp(text, "accept") != 0)
		policy_complain(r, action ? action->place : v->place,
				"\"action\" is \"accept\": all else is denied already");
	proto = read_proto(r, policy_member(v, "proto"));
	selectors_parse(r, old_name(r, v, "src", "users"), USE_SRC, &src);
	dst = old_name(r, v, "dst", "ports");
	if (dst && hujson_array(dst, &e)) {
		policy_complain(r, dst->place, "%s", e.text);
		dst = NULL;
	}
	list = dst ? policy_alloc(r, dst->count, sizeof(*list)) : NULL;
	for (const struct hujson_value *d = list ? dst->first : NULL; d; d = d->next) {
		if (hujson_string(d, &text, &e))
			policy_complain(r, d->place, "%s", e.text);
		else
			read_acl_dst(r, text, d->place, proto, list, &count);
	}
	if (list)
		make_grants(r, v, &src, list, count);
	free(list);
	free(src.list);
}

void policy_read_rules(struct reading *r, const struct hujson_value *root)
{
	const struct hujson_value *grants = policy_member(root, "grants");
	const struct hujson_value *acls = policy_member(root, "acls");
	struct hujson_error e;

	r->p->has_rules = grants || acls;
	if (grants && hujson_array(grants, &e))
		policy_complain(r, grants->place, "%s", e.text);
	else if (grants)
		for (const struct hujson_value *v = grants->first; v; v = v->next)
			read_grant(r, v);
	if (acls && hujson_array(acls, &e))
		policy_complain(r, acls->place, "%s", e.text);
	else if (acls)
		for (const struct hujson_value *v = acls->first; v; v = v->next)
			read_acl(r, v);
}
