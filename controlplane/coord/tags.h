/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags that a node asks for (Hostinfo.RequestTags) and who may put them on it
 * (docs/protocol/policy.md, "Approvals, tags, tests"): all of them, or none is given.
 */
#ifndef CONTROLPLANE_COORD_TAGS_H
#define CONTROLPLANE_COORD_TAGS_H

#include "controlplane/coord/visibility.h"

/* tags: a JSON list of texts, all the way down. "[]": none are asked for. */
static inline bool tags_are_none(const char *tags)
{
	return tags[0] == '[' && tags[1] == ']';
}

/* Does the policy know them all? */
bool tags_are_defined(const struct policy_live *policy, const char *tags);
/* Is the user an owner of each? */
bool tags_are_of_user(const struct policy_live *policy, int64_t user_id, const char *tags);
/* May the node, as it is, have each: has it, or is an owner of it? */
bool tags_are_for_node(const struct policy_live *policy, const struct picture_node *n,
		       const char *tags);
/* The users who own each, as a JSON list of ids, malloc'd; NULL: no memory. */
char *tags_owners(const struct policy_live *policy, const struct picture *p, const char *tags);

#endif
