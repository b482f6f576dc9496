/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to one peer as `causeway debug path` shows them: each candidate, its last
 * probe, its points and why it is, or is not, taken (path/path_peer.h). Ours alone;
 * stock has no such thing. Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_PATH_H
#define CONTROLPLANE_LOCALAPI_IPN_PATH_H

#include <jansson.h>

#include "controlplane/path/path_peer.h"

/* name: the peer's; code: gives the text of a DERP region. A new object. */
json_t *ipn_path(const struct path_peer *p, const char *name,
		 const char *(*code)(const void *arg, uint16_t region), const void *arg,
		 uint64_t now_ns);

#endif
