/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture's packet filter (tailcfg FilterRule) in the shape that the dataplane
 * takes (docs/protocol/tunnel.md, "Filter"). Pure.
 */
#ifndef CONTROLPLANE_NETMAP_NETMAP_FILTER_H
#define CONTROLPLANE_NETMAP_NETMAP_FILTER_H

#include "controlplane/netmap/netmap.h"
#include "lib/dpapi/rule_list.h"

/*
 * All chunks, joined in byte order of their names. No filter ever came: the mode is
 * NONE, nothing passes. An entry that does not parse is left out and counted in
 * *skipped, the rest holds; a rule of the old form (SrcBits, Bits) empties the
 * whole. Rules that only grant capabilities let no packet pass. 0, -ENOMEM or
 * -EFBIG; out is freed by rule_list_fini in any case.
 */
int netmap_filter_make(const struct netmap *m, struct rule_list *out, uint32_t *skipped);

#endif
