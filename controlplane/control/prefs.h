/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user asked of this node: tailscale's Prefs (docs/protocol/localapi.md,
 * "Prefs"). They are kept as the JSON object that the CLI reads and writes, with
 * every key that it knows, also those without an effect here: its check of
 * `up` compares them all. Objects are immutable once made. Pure.
 */
#ifndef CONTROLPLANE_CONTROL_PREFS_H
#define CONTROLPLANE_CONTROL_PREFS_H

#include "controlplane/tailcfg/json_in.h"

/* Of a node that nobody has configured. The caller's; NULL: no memory. */
json_t *prefs_new(void);
/*
 * Keys for which "<Key>Set" is true in masked replace those of prefs. A new object,
 * or NULL with in->error filled: a value of a wrong type, or a key that is not a
 * client's to set. Keys that nobody knows are passed over.
 */
json_t *prefs_edit(const json_t *prefs, const json_t *masked, struct json_in *in);
/* All keys of given that prefs have replace theirs (POST start); as above. */
json_t *prefs_replace(const json_t *prefs, const json_t *given, struct json_in *in);
/*
 * What cannot work, as a sentence for the user; NULL: nothing. (POST check-prefs.)
 */
const char *prefs_problem(const json_t *prefs);

/* The effect: borrowed from prefs, lists malloc'd. */
struct prefs_view {
	const char *control_url, *hostname, *exit_node_id;
	struct ip_addr exit_node_ip;
	bool want_running, logged_out;
	bool accept_routes, accept_dns, shields_up, allow_lan;
	bool snat_subnet_routes, netfilter;
	struct prefix *routes; /* advertised */
	uint32_t route_count;
	const json_t *tags; /* list of texts, or NULL */
};

/* False with in->error filled: out is then empty. */
bool prefs_view(const json_t *prefs, struct prefs_view *out, struct json_in *in);
void prefs_view_fini(struct prefs_view *v);

#endif
