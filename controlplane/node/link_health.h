/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with the kernel's side of a node, for status. The loop's thread only. */
#ifndef CONTROLPLANE_NODE_LINK_HEALTH_H
#define CONTROLPLANE_NODE_LINK_HEALTH_H

#include "controlplane/node/node.h"

/*
 * link_problem, or that translation is wanted where packets do not pass the kernel that
 * does it. A sentence, borrowed until the loop goes on; NULL: all is as wanted.
 */
const char *link_health(const struct node *n);

#endif
