/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/path_candidate.h"

#include <string.h>

struct path_candidate *path_candidate_find(struct path_candidates *c, const struct endpoint *e)
{
	for (size_t i = 0; i < c->count; i++) {
		if (endpoint_equal(&c->at[i].at, e))
			return &c->at[i];
	}
	return NULL;
}

static struct path_candidate *make_room(struct path_candidates *c)
{
	struct path_candidate *oldest = NULL;

	for (size_t i = 0; i < c->count; i++) {
		struct path_candidate *k = &c->at[i];

		if (k->sources == PATH_FROM_PING && !k->ponged_ns &&
		    (!oldest || k->heard_ns < oldest->heard_ns))
			oldest = k;
	}
	return oldest;
}

struct path_candidate *path_candidate_add(struct path_candidates *c, const struct endpoint *e,
					  enum path_source source)
{
	struct path_candidate *k = path_candidate_find(c, e);

	if (!k) {
		k = c->count < PATH_CANDIDATES_MAX ? &c->at[c->count++] : make_room(c);
		if (!k)
			return NULL;
		*k = (struct path_candidate){.at = *e};
	}
	k->sources |= (uint8_t)source;
	return k;
}

void path_candidate_forget_source(struct path_candidates *c, enum path_source source)
{
	for (size_t i = 0; i < c->count; i++)
		c->at[i].sources &= (uint8_t)~source;
}

void path_candidate_sweep(struct path_candidates *c, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++) {
		struct path_candidate *k = &c->at[i];

		if (k->sources & PATH_FROM_PING && now_ns - k->heard_ns >= PATH_PING_LEARNT_NS)
			k->sources &= (uint8_t)~PATH_FROM_PING;
		if (k->sources)
			c->at[kept++] = *k;
	}
	c->count = kept;
}
