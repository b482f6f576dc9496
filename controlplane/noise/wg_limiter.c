/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/wg_limiter.h"

#include "lib/base/clock.h"

#include <assert.h>
#include <sodium.h>

#define COST_NS	      (NS_PER_SEC / WG_LIMITER_RATE_PPS)
#define MAX_TOKENS_NS (COST_NS * WG_LIMITER_BURST)
#define LOAD_TAIL_NS  NS_PER_SEC
#define WINDOW_NS     (100 * NS_PER_MS)
#define WINDOW_MAX    (WG_UNDER_LOAD_PPS / 10)

static_assert(crypto_shorthash_KEYBYTES == WG_LIMITER_SEED_BYTES, "seed of the hash");
static_assert(MAX_TOKENS_NS <= UINT32_MAX, "tokens_ns");

void wg_limiter_init(struct wg_limiter *l, const uint8_t seed[WG_LIMITER_SEED_BYTES])
{
	memset(l, 0, sizeof(*l));
	memcpy(l->seed, seed, sizeof(l->seed));
}

static struct wg_limiter_slot *set_of(struct wg_limiter *l, uint64_t prefix, uint8_t family)
{
	uint8_t key[9];
	uint64_t hash;

	memcpy(key, &prefix, 8);
	key[8] = family;
	crypto_shorthash((unsigned char *)&hash, key, sizeof(key), l->seed);
	return l->slots[hash % WG_LIMITER_SETS];
}

static uint64_t tokens_at(const struct wg_limiter_slot *slot, uint64_t now_ns)
{
	uint64_t idle_ns = now_ns - slot->last_ns;

	if (idle_ns >= MAX_TOKENS_NS - slot->tokens_ns)
		return MAX_TOKENS_NS;
	return slot->tokens_ns + idle_ns;
}

/* The source's slot, a free one, or one whose owner may be forgotten; else NULL. */
static struct wg_limiter_slot *find(struct wg_limiter *l, uint64_t prefix, uint8_t family,
				    uint64_t now_ns)
{
	struct wg_limiter_slot *set = set_of(l, prefix, family);
	struct wg_limiter_slot *usable = NULL;

	for (int i = 0; i < WG_LIMITER_WAYS; i++) {
		struct wg_limiter_slot *slot = &set[i];

		if (slot->family == family && slot->prefix == prefix)
			return slot;
		if (!usable && (!slot->family || tokens_at(slot, now_ns) == MAX_TOKENS_NS))
			usable = slot;
	}
	if (usable)
		*usable = (struct wg_limiter_slot){.prefix = prefix,
						   .family = family,
						   .tokens_ns = MAX_TOKENS_NS,
						   .last_ns = now_ns};
	return usable;
}

bool wg_limiter_allow(struct wg_limiter *l, const struct ip_addr *source, uint64_t now_ns)
{
	struct wg_limiter_slot *slot;
	uint64_t prefix = 0;
	uint64_t tokens;

	memcpy(&prefix, source->bytes, source->family == AF_INET ? 4 : 8);
	slot = find(l, prefix, source->family, now_ns);
	if (!slot)
		return false;
	tokens = tokens_at(slot, now_ns);
	slot->last_ns = now_ns;
	slot->tokens_ns = (uint32_t)tokens;
	if (tokens < COST_NS)
		return false;
	slot->tokens_ns -= COST_NS;
	return true;
}

bool wg_limiter_under_load(struct wg_limiter *l, uint32_t queued, uint64_t now_ns)
{
	if (now_ns - l->window_ns >= WINDOW_NS) {
		l->window_ns = now_ns;
		l->window_count = 0;
	}
	l->window_count++;
	if (queued >= WG_UNDER_LOAD_QUEUE || l->window_count > WINDOW_MAX)
		l->load_until_ns = now_ns + LOAD_TAIL_NS;
	return now_ns < l->load_until_ns;
}
