/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/control/prefs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, BOOL, TRISTATE, INT, LIST, PREFIXES, OBJECT, INTERNAL };

/* In the order in which stock nodes write them. */
static const struct {
	const char *key, *initial; /* JSON */
	enum kind kind;
} known[] = {
	{"ControlURL", "\"\"", TEXT},
	{"RouteAll", "false", BOOL},
	{"ExitNodeID", "\"\"", TEXT},
	{"ExitNodeIP", "\"\"", TEXT},
	{"AutoExitNode", NULL, TEXT},
	{"InternalExitNodePrior", "\"\"", INTERNAL},
	{"ExitNodeAllowLANAccess", "false", BOOL},
	{"CorpDNS", "true", BOOL},
	{"RunSSH", "false", BOOL},
	{"RunWebClient", "false", BOOL},
	{"WantRunning", "false", BOOL},
	{"LoggedOut", "true", BOOL},
	{"ShieldsUp", "false", BOOL},
	{"AdvertiseTags", "null", LIST},
	{"Hostname", "\"\"", TEXT},
	{"NotepadURLs", "false", BOOL},
	{"ForceDaemon", NULL, BOOL},
	{"Egg", NULL, BOOL},
	{"AdvertiseRoutes", "null", PREFIXES},
	{"AdvertiseServices", "null", LIST},
	{"Sync", "null", TRISTATE},
	{"NoSNAT", "false", BOOL},
	{"NoStatefulFiltering", "true", TRISTATE},
	{"NetfilterMode", "2", INT},
	{"OperatorUser", NULL, TEXT},
	{"ProfileName", NULL, TEXT},
	{"AutoUpdate", "{\"Check\":true,\"Apply\":null}", OBJECT},
	{"AppConnector", "{\"Advertise\":false}", OBJECT},
	{"PostureChecking", "false", BOOL},
	{"NetfilterKind", "\"\"", TEXT},
	{"RemoteConfig", "false", BOOL},
	{"DriveShares", "null", LIST},
	{"RelayServerPort", NULL, INT},
	{"RelayServerStaticEndpoints", NULL, LIST},
	{"Config", "null", INTERNAL},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

json_t *prefs_new(void)
{
	json_t *prefs = json_object();

	for (size_t i = 0; prefs && i < KNOWN; i++) {
		if (known[i].initial &&
		    json_object_set_new(prefs, known[i].key,
					json_loads(known[i].initial, JSON_DECODE_ANY, NULL))) {
			json_decref(prefs);
			return NULL;
		}
	}
	return prefs;
}

static void check(const json_t *from, size_t i, struct json_in *in)
{
	struct prefix *prefixes = NULL;
	enum json_tristate tristate;
	const char *text;
	uint32_t count;
	int64_t number;
	bool yes;

	switch (known[i].kind) {
	case TEXT:
		json_in_string(in, from, known[i].key, &text);
		break;
	case BOOL:
		json_in_bool(in, from, known[i].key, &yes);
		break;
	case TRISTATE:
		json_in_tristate(in, from, known[i].key, &tristate);
		break;
	case INT:
		json_in_i64(in, from, known[i].key, 0, 65535, &number);
		break;
	case LIST:
		json_in_list(in, from, known[i].key);
		break;
	case PREFIXES:
		json_in_prefixes(in, from, known[i].key, &prefixes, &count);
		free(prefixes);
		break;
	case OBJECT:
		json_in_object(in, from, known[i].key);
		break;
	case INTERNAL:
		break;
	}
}

/* The value of a key that was left out is its zero. */
static json_t *zero_of(size_t i)
{
	switch (known[i].kind) {
	case TEXT:
		return json_string("");
	case BOOL:
		return json_false();
	case INT:
		return json_integer(0);
	default:
		return json_null();
	}
}

static void take(json_t *prefs, const json_t *from, size_t i, struct json_in *in)
{
	json_t *value = json_in_get(from, known[i].key);

	check(from, i, in);
	/* Keys that are written only when they say something go when they say nothing. */
	if (!value && !known[i].initial)
		json_object_del(prefs, known[i].key);
	else if (value ? json_object_set(prefs, known[i].key, value)
		       : json_object_set_new(prefs, known[i].key, zero_of(i)))
		json_in_fail(in, known[i].key, "less (no memory)");
}

static json_t *copy(const json_t *prefs, struct json_in *in)
{
	json_t *made = json_copy((json_t *)prefs);

	in->error[0] = 0;
	if (!made)
		json_in_fail(in, "prefs", "less (no memory)");
	return made;
}

static json_t *unless_failed(json_t *made, const struct json_in *in)
{
	if (!json_in_failed(in))
		return made;
	json_decref(made);
	return NULL;
}

/* {"AutoUpdateSet": {"CheckSet": true}}: the mask of an object is by member. */
static void take_members(json_t *prefs, const json_t *masked, const json_t *mask, size_t i,
			 struct json_in *in)
{
	json_t *from = json_in_object(in, masked, known[i].key);
	json_t *made = json_copy(json_object_get(prefs, known[i].key)), *yes;
	const char *name;

	json_object_foreach((json_t *)mask, name, yes)
	{
		size_t n = strlen(name);
		char member[64];

		if (!json_is_true(yes) || n < 4 || n >= sizeof(member) ||
		    strcmp(name + n - 3, "Set") != 0)
			continue;
		memcpy(member, name, n - 3);
		member[n - 3] = 0;
		if (json_object_get(made, member))
			json_object_set_new(made, member,
					    json_incref(json_object_get(from, member)
								? json_object_get(from, member)
								: json_null()));
	}
	json_object_set_new(prefs, known[i].key, made);
}

json_t *prefs_edit(const json_t *prefs, const json_t *masked, struct json_in *in)
{
	json_t *made = copy(prefs, in);

	if (made && !json_is_object(masked))
		json_in_fail(in, "MaskedPrefs", "an object");
	for (size_t i = 0; made && i < KNOWN; i++) {
		char mask_key[64];
		json_t *mask;

		snprintf(mask_key, sizeof(mask_key), "%sSet", known[i].key);
		mask = json_in_get(masked, mask_key);
		if (known[i].kind == OBJECT && json_is_object(mask))
			take_members(made, masked, mask, i, in);
		else if (!json_is_true(mask))
			continue;
		else if (known[i].kind == INTERNAL && !json_in_failed(in))
			snprintf(in->error, sizeof(in->error), "can't set Internal fields");
		else
			take(made, masked, i, in);
	}
	return unless_failed(made, in);
}

json_t *prefs_replace(const json_t *prefs, const json_t *given, struct json_in *in)
{
	json_t *made = copy(prefs, in);

	if (made && !json_is_object(given))
		json_in_fail(in, "Prefs", "an object");
	for (size_t i = 0; made && i < KNOWN; i++)
		if (known[i].kind != INTERNAL)
			take(made, given, i, in);
	return unless_failed(made, in);
}

static bool is_default_route(const struct prefix *p, uint8_t family)
{
	return p->len == 0 && p->addr.family == family;
}

const char *prefs_problem(const json_t *prefs)
{
	struct prefs_view v;
	struct json_in in = {0};
	const char *problem = NULL;
	bool has4 = false, has6 = false;

	if (!prefs_view(prefs, &v, &in))
		return "the settings do not read";
	for (uint32_t i = 0; i < v.route_count; i++) {
		has4 |= is_default_route(&v.routes[i], AF_INET);
		has6 |= is_default_route(&v.routes[i], AF_INET6);
	}
	if (has4 != has6)
		problem = "an exit node advertises 0.0.0.0/0 and ::/0, not one of them";
	else if (has4 && (v.exit_node_id[0] || v.exit_node_ip.family))
		problem = "Cannot advertise an exit node and use an exit node at the same time.";
	else if (json_is_true(json_object_get(prefs, "RunSSH")))
		problem = "this node has no SSH server";
	prefs_view_fini(&v);
	return problem;
}

bool prefs_view(const json_t *prefs, struct prefs_view *out, struct json_in *in)
{
	int64_t netfilter = 2;
	bool no_snat = false;

	*out = (struct prefs_view){.control_url = "", .hostname = "", .exit_node_id = ""};
	json_in_string(in, prefs, "ControlURL", &out->control_url);
	json_in_string(in, prefs, "Hostname", &out->hostname);
	json_in_string(in, prefs, "ExitNodeID", &out->exit_node_id);
	json_in_addr(in, prefs, "ExitNodeIP", &out->exit_node_ip);
	json_in_bool(in, prefs, "WantRunning", &out->want_running);
	json_in_bool(in, prefs, "LoggedOut", &out->logged_out);
	json_in_bool(in, prefs, "RouteAll", &out->accept_routes);
	json_in_bool(in, prefs, "CorpDNS", &out->accept_dns);
	json_in_bool(in, prefs, "ShieldsUp", &out->shields_up);
	json_in_bool(in, prefs, "ExitNodeAllowLANAccess", &out->allow_lan);
	json_in_bool(in, prefs, "NoSNAT", &no_snat);
	json_in_i64(in, prefs, "NetfilterMode", 0, 2, &netfilter);
	json_in_prefixes(in, prefs, "AdvertiseRoutes", &out->routes, &out->route_count);
	out->tags = json_in_list(in, prefs, "AdvertiseTags");
	out->snat_subnet_routes = !no_snat;
	out->netfilter = netfilter != 0;
	if (!json_in_failed(in))
		return true;
	prefs_view_fini(out);
	return false;
}

void prefs_view_fini(struct prefs_view *v)
{
	free(v->routes);
	*v = (struct prefs_view){0};
}
