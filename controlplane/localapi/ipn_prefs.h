/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings as the CLI sees them: with who is logged in beside them (Prefs.Config,
 * LoginProfile; docs/protocol/localapi.md). Private keys are written as zeros. Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_PREFS_H
#define CONTROLPLANE_LOCALAPI_IPN_PREFS_H

#include "controlplane/netmap/netmap.h"

/* prefs with Config filled from the map; m NULL: Config is null. A new object. */
json_t *ipn_prefs_shown(const json_t *prefs, const struct netmap *m);
/* The one profile that a node has. m NULL: the empty one of a node without a login. */
json_t *ipn_profile(const json_t *prefs, const struct netmap *m);
/* ID of ipn_profile: four hexadecimal digits. */
#define IPN_PROFILE_ID "0001"

/*
 * ExitNodeIP of an edit becomes ExitNodeID, as the daemon keeps it, if the map knows
 * who has the address. A new object.
 */
json_t *ipn_prefs_resolve_exit_node(const json_t *masked, const struct netmap *m);

#endif
