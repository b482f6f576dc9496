/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node says of itself (tailcfg Hostinfo; docs/protocol/control.md). Pure, but
 * for what the system says of itself.
 */
#ifndef CONTROLPLANE_CONTROL_HOSTINFO_H
#define CONTROLPLANE_CONTROL_HOSTINFO_H

#include "controlplane/control/prefs.h"

/* hostname of prefs, or the system's. The caller's; NULL: no memory. */
json_t *hostinfo_new(const struct prefs_view *prefs);
/* A copy with another NetInfo (NULL: without). */
json_t *hostinfo_with_netinfo(const json_t *hostinfo, json_t *netinfo);

#endif
