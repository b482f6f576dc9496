/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of addresses that every tailnet has in common. Inside this folder only. */
#ifndef CONTROLPLANE_POLICY_POLICY_INTERNET_H
#define CONTROLPLANE_POLICY_POLICY_INTERNET_H

#include "controlplane/policy/ip_set.h"

/* autogroup:internet: all but private, link-local and tailnet addresses; 2000::/3. */
void policy_internet(struct ip_set *out);
/* "*" as a source: the tailnet's own addresses. */
void policy_tailnet(struct ip_set *out);
/* The same as FilterRules write them, NULL at the end. */
extern const char *const policy_internet_text[];
extern const char *const policy_tailnet_text[];

#endif
