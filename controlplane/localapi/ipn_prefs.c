/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_prefs.h"

#include <string.h>

#include "controlplane/localapi/ipn_status.h"
#include "controlplane/localapi/ipn_whois.h"

#define ZEROS_64 "0000000000000000000000000000000000000000000000000000000000000000"

static json_t *user_of_self(const struct netmap *m)
{
	json_t *user = m ? netmap_user(m, m->self->user) : NULL;

	if (user)
		return json_incref(user);
	return json_pack("{s:I, s:s, s:s}", "ID", (json_int_t)(m ? m->self->user : 0), "LoginName",
			 /* Empty would mean that nobody is logged in. */
			 m ? "tagged-devices" : "", "DisplayName", "");
}

json_t *ipn_prefs_shown(const json_t *prefs, const struct netmap *m)
{
	json_t *shown = json_copy((json_t *)prefs);

	json_object_set_new(shown, "Config",
			    m ? json_pack("{s:s, s:s, s:o, s:s, s:s}", "PrivateNodeKey",
					  "privkey:" ZEROS_64, "OldPrivateNodeKey",
					  "privkey:" ZEROS_64, "UserProfile", user_of_self(m),
					  "NetworkLockKey", "nlpriv:" ZEROS_64 ZEROS_64, "NodeID",
					  m->self->stable_id)
			      : json_null());
	return shown;
}

json_t *ipn_profile(const json_t *prefs, const struct netmap *m)
{
	const char *domain = m ? json_string_value(netmap_value(m, "Domain")) : NULL;
	const char *url = json_string_value(json_object_get(prefs, "ControlURL"));
	const char *nick = json_string_value(json_object_get(prefs, "ProfileName"));
	json_t *user = user_of_self(m), *profile;
	const char *login = json_string_value(json_object_get(user, "LoginName"));
	char suffix[256] = "";

	if (m)
		ipn_dns_suffix(m->self, suffix, sizeof(suffix));
	profile = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:s, s:o, s:s, s:s, s:s}", "ID",
			    m ? IPN_PROFILE_ID : "", "Name",
			    m && nick && nick[0] ? nick
			    : login		 ? login
						 : "",
			    "NetworkProfile", "MagicDNSName", suffix, "DomainName",
			    domain ? domain : "", "DisplayName", "", "Key",
			    m ? "profile-" IPN_PROFILE_ID : "", "UserProfile", user, "NodeID",
			    m ? m->self->stable_id : "", "LocalUserID", "", "ControlURL",
			    m && url ? url : "");
	return profile;
}

json_t *ipn_prefs_resolve_exit_node(const json_t *masked, const struct netmap *m)
{
	json_t *made = json_copy((json_t *)masked);
	const char *text = json_string_value(json_object_get(masked, "ExitNodeIP"));
	const struct netmap_node *n;
	struct ipn_who who;

	if (!m || !text || !text[0] || ipn_who_parse(text, &who) || who.is_key)
		return made;
	n = ipn_who_find(m, &who);
	if (n && n != m->self) {
		json_object_set_new(made, "ExitNodeID", json_string(n->stable_id));
		json_object_set_new(made, "ExitNodeIP", json_string(""));
		if (json_is_true(json_object_get(masked, "ExitNodeIPSet")))
			json_object_set_new(made, "ExitNodeIDSet", json_true());
	}
	return made;
}
