/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report on the network (path/netcheck.h) as `tailscale netcheck --format=json`
 * prints it. Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_NETCHECK_H
#define CONTROLPLANE_LOCALAPI_IPN_NETCHECK_H

#include <jansson.h>

#include "controlplane/path/netcheck.h"

/* at_ns: when it ended, since 1970. home: PreferredDERP; os_has_v6: the
 * kernel speaks it. A new object. */
json_t *ipn_netcheck(const struct netcheck_report *r, int64_t at_ns, uint16_t home, bool os_has_v6);

#endif
