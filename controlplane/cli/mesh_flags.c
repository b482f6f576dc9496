/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/mesh_flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/mesh_peer.h"
#include "lib/base/addr.h"

enum kind { TEXT, SWITCH, INVERTED, TAGS, ROUTES, EXIT_ROUTES, EXIT_NODE, NETFILTER };

static const struct {
	const char *name, *pref;
	enum kind kind;
	const char *initial;
	bool up_alone;
} flags[FLAG_COUNT] = {
	[FLAG_LOGIN_SERVER] = {"login-server", "ControlURL", TEXT, "", true},
	[FLAG_ACCEPT_ROUTES] = {"accept-routes", "RouteAll", SWITCH, "false", false},
	[FLAG_ACCEPT_DNS] = {"accept-dns", "CorpDNS", SWITCH, "true", false},
	[FLAG_EXIT_NODE] = {"exit-node", "ExitNodeIP", EXIT_NODE, "", false},
	[FLAG_ALLOW_LAN] = {"exit-node-allow-lan-access", "ExitNodeAllowLANAccess", SWITCH, "false",
			    false},
	[FLAG_SHIELDS_UP] = {"shields-up", "ShieldsUp", SWITCH, "false", false},
	[FLAG_ADVERTISE_TAGS] = {"advertise-tags", "AdvertiseTags", TAGS, "", true},
	[FLAG_HOSTNAME] = {"hostname", "Hostname", TEXT, "", false},
	[FLAG_ADVERTISE_ROUTES] = {"advertise-routes", "AdvertiseRoutes", ROUTES, "", false},
	[FLAG_ADVERTISE_EXIT_NODE] = {"advertise-exit-node", "AdvertiseRoutes", EXIT_ROUTES,
				      "false", false},
	[FLAG_SNAT] = {"snat-subnet-routes", "NoSNAT", INVERTED, "true", false},
	[FLAG_STATEFUL] = {"stateful-filtering", "NoStatefulFiltering", INVERTED, "false", false},
	[FLAG_NETFILTER_MODE] = {"netfilter-mode", "NetfilterMode", NETFILTER, "on", false},
	[FLAG_OPERATOR] = {"operator", "OperatorUser", TEXT, "", false},
};
static const char *const netfilter_modes[] = {"off", "nodivert", "on"};

const char *mesh_flag_name(enum mesh_flag flag)
{
	return flags[flag].name;
}

bool mesh_flag_is_of_up_alone(enum mesh_flag flag)
{
	return flags[flag].up_alone;
}

static bool is_switch(enum mesh_flag flag)
{
	enum kind kind = flags[flag].kind;

	return kind == SWITCH || kind == INVERTED || kind == EXIT_ROUTES;
}

bool mesh_flags_take(struct mesh_flags *f, enum mesh_verb verb, int argc, char **argv,
		     char err[ARGS_ERROR_MAX])
{
	struct arg args[FLAG_COUNT + 5] = {{0}};
	unsigned n = 0;
	int words;

	*f = (struct mesh_flags){0};
	for (unsigned i = 0; i < FLAG_COUNT; i++)
		if (verb == MESH_UP || !flags[i].up_alone)
			args[n++] = (struct arg){flags[i].name, is_switch(i), &f->value[i]};
	if (verb == MESH_UP) {
		args[n++] = (struct arg){"auth-key", false, &f->auth_key};
		args[n++] = (struct arg){"force-reauth", true, &f->force_reauth};
		args[n++] = (struct arg){"reset", true, &f->reset};
		args[n++] = (struct arg){"timeout", false, &f->timeout};
	}
	words = args_take(args, argc, argv, err);
	if (words > 0)
		snprintf(err, ARGS_ERROR_MAX, "too many words: %.200s", argv[1]);
	return words == 0;
}

bool mesh_flags_is_any_given(const struct mesh_flags *f)
{
	for (unsigned i = 0; i < FLAG_COUNT; i++)
		if (f->value[i])
			return true;
	return f->auth_key || f->force_reauth || f->reset;
}

static bool is_default_route(const json_t *route)
{
	const char *text = json_string_value(route);

	return text && (strcmp(text, "0.0.0.0/0") == 0 || strcmp(text, "::/0") == 0);
}

/* One list of routes is two options: half of it is kept when the other is given. */
static json_t *split_routes(const json_t *prefs, bool exits)
{
	json_t *kept = json_array(), *route;
	size_t i;

	json_array_foreach(json_object_get(prefs, "AdvertiseRoutes"), i,
			   route) if (is_default_route(route) == exits)
		json_array_append(kept, route);
	return kept;
}

static void set_routes(json_t *prefs, json_t *subnets, json_t *exits)
{
	json_array_extend(subnets, exits);
	json_decref(exits);
	if (json_array_size(subnets)) {
		json_object_set_new(prefs, "AdvertiseRoutes", subnets);
	} else {
		json_object_set_new(prefs, "AdvertiseRoutes", json_null());
		json_decref(subnets);
	}
}

static bool add_route(json_t *list, const char *text, char err[ARGS_ERROR_MAX])
{
	char masked[PREFIX_STR_MAX];
	struct prefix p;

	if (!strchr(text, '/') || prefix_parse(text, true, &p)) {
		snprintf(err, ARGS_ERROR_MAX, "\"%.100s\" is not a prefix like 10.0.0.0/8", text);
		return false;
	}
	prefix_print(&p, masked);
	if (prefix_parse(text, false, &p)) {
		snprintf(err, ARGS_ERROR_MAX, "%.100s has non-address bits set; expected %s", text,
			 masked);
		return false;
	}
	if (p.len == 0) {
		snprintf(err, ARGS_ERROR_MAX, "%s: to be an exit node is --advertise-exit-node",
			 masked);
		return false;
	}
	json_array_append_new(list, json_string(masked));
	return true;
}

static bool add_tag(json_t *list, const char *text, char err[ARGS_ERROR_MAX])
{
	char tag[128];

	snprintf(tag, sizeof(tag), "%s%s", strchr(text, ':') ? "" : "tag:", text);
	if (strncmp(tag, "tag:", 4) != 0 || !tag[4]) {
		snprintf(err, ARGS_ERROR_MAX, "\"%.100s\" is no tag: tags begin with \"tag:\"",
			 text);
		return false;
	}
	json_array_append_new(list, json_string(tag));
	return true;
}

/* Comma-separated; an empty text is an empty list. NULL with err filled. */
static json_t *list_of(const char *text, bool (*add)(json_t *, const char *, char *), char *err)
{
	json_t *list = json_array();
	char *copy = strdup(text), *save = NULL;

	for (char *one = copy ? strtok_r(copy, ",", &save) : NULL; one;
	     one = strtok_r(NULL, ",", &save))
		if (!add(list, one, err)) {
			json_decref(list);
			list = NULL;
			break;
		}
	free(copy);
	return list;
}

static bool set_exit_node(json_t *prefs, const char *who, const json_t *status, char *err)
{
	json_t *node = who[0] ? mesh_find(status, who) : NULL;

	json_object_del(prefs, "AutoExitNode");
	if (who[0] && !node) {
		snprintf(err, ARGS_ERROR_MAX, "no node of the mesh is called %.100s", who);
		return false;
	}
	if (node && node == json_object_get(status, "Self")) {
		snprintf(err, ARGS_ERROR_MAX,
			 "%.100s is this node; did you mean --advertise-exit-node?", who);
		return false;
	}
	if (node && !json_is_true(json_object_get(node, "ExitNodeOption"))) {
		snprintf(err, ARGS_ERROR_MAX, "node %.100s is not advertising an exit node", who);
		return false;
	}
	json_object_set_new(prefs, "ExitNodeID", json_string(node ? mesh_text(node, "ID") : ""));
	json_object_set_new(prefs, "ExitNodeIP", json_string(""));
	return true;
}

static bool set_netfilter(json_t *prefs, const char *text, char *err)
{
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(netfilter_modes[i], text) == 0) {
			json_object_set_new(prefs, "NetfilterMode", json_integer(i));
			return true;
		}
	snprintf(err, ARGS_ERROR_MAX, "--netfilter-mode is on, nodivert or off, not \"%.100s\"",
		 text);
	return false;
}

static bool apply_one(json_t *prefs, unsigned i, const char *text, const json_t *status, char *err)
{
	bool yes = strcmp(text, "true") == 0;
	json_t *list;

	switch (flags[i].kind) {
	case TEXT:
		if (!text[0] && i == FLAG_OPERATOR)
			json_object_del(prefs, flags[i].pref);
		else
			json_object_set_new(prefs, flags[i].pref, json_string(text));
		return true;
	case SWITCH:
		json_object_set_new(prefs, flags[i].pref, json_boolean(yes));
		return true;
	case INVERTED:
		json_object_set_new(prefs, flags[i].pref, json_boolean(!yes));
		return true;
	case TAGS:
		list = list_of(text, add_tag, err);
		json_object_set_new(prefs, flags[i].pref,
				    list && !json_array_size(list) ? json_null()
								   : json_incref(list));
		json_decref(list);
		return list != NULL;
	case ROUTES:
		list = list_of(text, add_route, err);
		if (list)
			set_routes(prefs, list, split_routes(prefs, true));
		return list != NULL;
	case EXIT_ROUTES:
		list = yes ? json_pack("[s, s]", "0.0.0.0/0", "::/0") : json_array();
		set_routes(prefs, split_routes(prefs, false), list);
		return true;
	case EXIT_NODE:
		return set_exit_node(prefs, text, status, err);
	case NETFILTER:
		return set_netfilter(prefs, text, err);
	}
	return false;
}

json_t *mesh_flags_apply(const struct mesh_flags *f, const json_t *prefs, bool defaults,
			 const json_t *status, char err[ARGS_ERROR_MAX])
{
	json_t *made = json_deep_copy(prefs);

	for (unsigned i = 0; made && i < FLAG_COUNT; i++) {
		const char *text = f->value[i] ? f->value[i] : defaults ? flags[i].initial : NULL;

		if (text && !apply_one(made, i, text, status, err)) {
			json_decref(made);
			return NULL;
		}
	}
	if (args_is_on(f->value[FLAG_ALLOW_LAN], false) && !mesh_text(made, "ExitNodeID")[0] &&
	    !mesh_text(made, "ExitNodeIP")[0]) {
		snprintf(err, ARGS_ERROR_MAX,
			 "--exit-node-allow-lan-access can only be used with --exit-node");
		json_decref(made);
		return NULL;
	}
	return made;
}

static void mask(json_t *masked, const json_t *prefs, const char *key)
{
	json_t *value = json_object_get(prefs, key);
	char set[64];

	snprintf(set, sizeof(set), "%sSet", key);
	json_object_set(masked, key, value ? value : json_null());
	json_object_set_new(masked, set, json_true());
}

json_t *mesh_flags_masked(const struct mesh_flags *f, const json_t *prefs, bool all)
{
	json_t *masked = json_object();

	for (unsigned i = 0; i < FLAG_COUNT; i++) {
		if (!all && !f->value[i])
			continue;
		mask(masked, prefs, flags[i].pref);
		if (flags[i].kind == EXIT_NODE) {
			mask(masked, prefs, "ExitNodeID");
			mask(masked, prefs, "AutoExitNode");
		}
	}
	return masked;
}

static void join(const json_t *list, char *out, size_t len)
{
	const json_t *item;
	size_t i, at = 0;

	out[0] = 0;
	json_array_foreach(list, i, item) at += (size_t)snprintf(
		out + at, at < len ? len - at : 0, "%s%s", i ? "," : "", json_string_value(item));
}

/* The option's text that gives these settings. */
static void text_of(unsigned i, const json_t *prefs, const json_t *status, char *out, size_t len)
{
	json_t *value = json_object_get(prefs, flags[i].pref), *list;
	bool yes = json_is_true(value);
	json_int_t mode = json_integer_value(value);

	switch (flags[i].kind) {
	case TEXT:
		snprintf(out, len, "%s", mesh_text(prefs, flags[i].pref));
		break;
	case SWITCH:
	case INVERTED:
		snprintf(out, len, "%s", yes == (flags[i].kind == SWITCH) ? "true" : "false");
		break;
	case TAGS:
		join(value, out, len);
		break;
	case ROUTES:
	case EXIT_ROUTES:
		list = split_routes(prefs, flags[i].kind == EXIT_ROUTES);
		if (flags[i].kind == ROUTES)
			join(list, out, len);
		else
			snprintf(out, len, "%s", json_array_size(list) == 2 ? "true" : "false");
		json_decref(list);
		break;
	case EXIT_NODE:
		value = mesh_find(status, mesh_text(prefs, "ExitNodeID"));
		snprintf(out, len, "%s",
			 value ? mesh_address(value) : mesh_text(prefs, "ExitNodeIP"));
		break;
	case NETFILTER:
		snprintf(out, len, "%s", mode >= 0 && mode < 3 ? netfilter_modes[mode] : "on");
		break;
	}
}

static void print_flag(FILE *to, unsigned i, const char *text)
{
	if (is_switch(i) && strcmp(text, "true") == 0)
		fprintf(to, " --%s", flags[i].name);
	else
		fprintf(to, " --%s=%s", flags[i].name, text);
}

char *mesh_flags_missing(const struct mesh_flags *f, const json_t *was, const json_t *will,
			 const json_t *status)
{
	char old[4096], new[4096], *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	bool any = false;

	for (unsigned i = 0; to && i < FLAG_COUNT; i++)
		if (f->value[i])
			print_flag(to, i, f->value[i]);
	for (unsigned i = 0; to && i < FLAG_COUNT; i++) {
		text_of(i, was, status, old, sizeof(old));
		text_of(i, will, status, new, sizeof(new));
		if (f->value[i] || strcmp(old, new) == 0)
			continue;
		print_flag(to, i, old);
		any = true;
	}
	if (to)
		fclose(to);
	if (any)
		return text;
	free(text);
	return NULL;
}
