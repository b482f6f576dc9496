/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_routes.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "a row is chosen by all of the hash");

void derp_routes_init(struct derp_routes *r, const struct wg_random *random)
{
	*r = (struct derp_routes){0};
	random->fill(random->ctx, r->hash_key, sizeof(r->hash_key));
}

void derp_routes_fini(struct derp_routes *r)
{
	free(r->at);
	r->at = NULL;
}

/* Keys are chosen by others: the row of one must not be theirs to choose. */
static struct derp_route *row_of(const struct derp_routes *r, const struct key *key)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, key->bytes, sizeof(key->bytes), r->hash_key);
	return r->at + hash % DERP_ROUTES_ROWS * DERP_ROUTES_WAYS;
}

static struct derp_route *find(const struct derp_routes *r, const struct key *key)
{
	struct derp_route *row;

	if (!r->at)
		return NULL;
	row = row_of(r, key);
	for (unsigned i = 0; i < DERP_ROUTES_WAYS; i++)
		if (row[i].turn && memcmp(&row[i].key, key, sizeof(*key)) == 0)
			return &row[i];
	return NULL;
}

void derp_routes_heard(struct derp_routes *r, const struct key *key, uint16_t region,
		       uint32_t generation)
{
	struct derp_route *found, *row;

	if (!r->at)
		r->at = calloc((size_t)DERP_ROUTES_ROWS * DERP_ROUTES_WAYS, sizeof(*r->at));
	if (!r->at)
		return;
	found = find(r, key);
	if (!found) {
		found = row = row_of(r, key);
		for (unsigned i = 1; i < DERP_ROUTES_WAYS; i++)
			if (row[i].turn < found->turn)
				found = &row[i];
	}
	*found = (struct derp_route){
		.key = *key, .turn = ++r->turn, .generation = generation, .region = region};
}

const struct derp_route *derp_routes_find(const struct derp_routes *r, const struct key *key)
{
	return find(r, key);
}

void derp_routes_forget(struct derp_routes *r, const struct key *key, uint16_t region)
{
	struct derp_route *found = find(r, key);

	if (found && found->region == region)
		*found = (struct derp_route){0};
}
