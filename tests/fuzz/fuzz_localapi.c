/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a coordinator sent, as the LocalAPI answers of it, and what the command line
 * asks. The first line is an address that is asked for, the second an edit of the
 * settings, the rest a MapResponse.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/control/prefs.h"
#include "controlplane/localapi/ipn_notify.h"
#include "controlplane/localapi/ipn_ping.h"
#include "controlplane/localapi/ipn_prefs.h"
#include "controlplane/localapi/ipn_status.h"
#include "controlplane/localapi/ipn_whois.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_way(void *arg, const struct netmap_node *peer, struct ipn_live *out)
{
	*out = (struct ipn_live){0};
}

/* An answer is always made, and is JSON. */
static void must_print(json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_ENCODE_ANY) : NULL;

	if (!text)
		abort();
	free(text);
	json_decref(answer);
}

static void ask(const struct netmap *m, const json_t *prefs, const struct ipn_who *who)
{
	struct ipn_status s = {.version = "1",
			       .state = "Running",
			       .auth_url = "",
			       .host_name = "h",
			       .map = m,
			       .prefs = prefs,
			       .with_peers = true,
			       .home_region = 1,
			       .live = no_way};
	const struct netmap_node *n = m && who ? ipn_who_find(m, who) : NULL;
	struct ipn_ping p = {.node = n, .ip = who ? who->addr : (struct ip_addr){0}};
	struct ipn_nodes told = {0};
	json_t *changed, *removed;

	must_print(ipn_status(&s));
	must_print(ipn_prefs_shown(prefs, m));
	must_print(ipn_profile(prefs, m));
	if (n) {
		must_print(ipn_whois(m, n));
		must_print(ipn_ping_result(&p));
	}
	if (!m)
		return;
	must_print(ipn_netmap(m, false));
	ipn_peer_changes(&told, m, &changed, &removed);
	must_print(changed);
	must_print(removed);
	ipn_nodes_take(&told, m);
	ipn_nodes_fini(&told);
}

static json_t *edited(const struct netmap *m, const char *text, size_t len)
{
	struct json_in in = {0};
	json_t *prefs = prefs_new(), *masked = json_in_parse(&in, text, len), *resolved, *made;

	if (!masked)
		return prefs;
	resolved = ipn_prefs_resolve_exit_node(masked, m);
	made = prefs_edit(prefs, resolved, &in);
	json_decref(resolved);
	json_decref(masked);
	if (!made)
		return prefs;
	json_decref(prefs);
	return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *one = size ? memchr(text, '\n', size) : NULL;
	const char *two = one ? memchr(one + 1, '\n', size - (size_t)(one + 1 - text)) : NULL;
	char asked[128] = "";
	struct json_in in = {0};
	struct netmap *m = NULL;
	struct ipn_who who;
	json_t *message, *prefs;
	bool is_asked;

	if (!two || (size_t)(one - text) >= sizeof(asked))
		return 0;
	memcpy(asked, text, (size_t)(one - text));
	is_asked = ipn_who_parse(asked, &who) == 0;
	message = json_in_parse(&in, two + 1, size - (size_t)(two + 1 - text));
	if (message && netmap_apply(NULL, message, 0, &m, &in))
		m = NULL;
	prefs = edited(m, one + 1, (size_t)(two - one - 1));
	ask(m, prefs, is_asked ? &who : NULL);
	json_decref(prefs);
	json_decref(message);
	netmap_free(m);
	return 0;
}
