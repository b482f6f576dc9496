/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_regions.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "controlplane/derp_client/derp_map.h"
#include "controlplane/derp_client/derp_region.h"
#include "controlplane/derp_client/derp_routes.h"

#define IDLE_MS 60000

struct derp_regions {
	struct derp_region_env env;
	const struct derp_regions_events *ev;
	void *arg;
	const struct derp_map *map;
	uint16_t home;
	size_t count;
	struct derp_region *region[DERP_MAP_REGIONS_MAX]; /* by rising id */
	struct derp_routes routes;
	uv_timer_t end; /* its closing frees us, after whoever called us has returned */
	bool is_closed;
};

/* ---- what regions say ---- */

static void on_packet(void *arg, struct derp_region *g, const struct key *from, const uint8_t *data,
		      size_t len)
{
	struct derp_regions *r = arg;

	derp_routes_heard(&r->routes, from, derp_region_id(g), derp_region_generation(g));
	r->ev->on_packet(r->arg, derp_region_id(g), from, data, len);
}

static void on_gone(void *arg, struct derp_region *g, const struct key *peer,
		    enum derp_gone_reason reason)
{
	struct derp_regions *r = arg;

	derp_routes_forget(&r->routes, peer, derp_region_id(g));
	if (r->ev->on_peer_gone)
		r->ev->on_peer_gone(r->arg, derp_region_id(g), peer, reason);
}

static void on_state(void *arg, struct derp_region *g, bool is_connected, const char *why)
{
	struct derp_regions *r = arg;

	r->ev->on_state(r->arg, derp_region_id(g), is_connected, why);
}

static void on_health(void *arg, struct derp_region *g, const char *text)
{
	struct derp_regions *r = arg;

	if (r->ev->on_health)
		r->ev->on_health(r->arg, derp_region_id(g), text);
}

static const struct derp_region_events region_events = {
	.on_packet = on_packet, .on_gone = on_gone, .on_state = on_state, .on_health = on_health};

/* ---- which regions there are ---- */

/* The one with this id, or where it would stand. */
static size_t place(const struct derp_regions *r, uint16_t id)
{
	size_t i = 0;

	while (i < r->count && derp_region_id(r->region[i]) < id)
		i++;
	return i;
}

static struct derp_region *find(const struct derp_regions *r, uint16_t id)
{
	size_t i = place(r, id);

	return i < r->count && derp_region_id(r->region[i]) == id ? r->region[i] : NULL;
}

/* NULL: the map has no relay in it, or there is no memory. */
static struct derp_region *find_or_open(struct derp_regions *r, uint16_t id)
{
	struct derp_region *g = find(r, id);
	const struct derp_map_region *m;
	size_t at;

	if (g)
		return g;
	m = derp_map_region(r->map, id);
	g = m ? derp_region_open(&r->env, m, &region_events, r) : NULL;
	if (!g)
		return NULL;
	/* No more than the map has. */
	at = place(r, id);
	for (size_t i = r->count++; i > at; i--)
		r->region[i] = r->region[i - 1];
	r->region[at] = g;
	return g;
}

static void close_at(struct derp_regions *r, size_t at)
{
	derp_region_close(r->region[at]);
	r->count--;
	for (size_t i = at; i < r->count; i++)
		r->region[i] = r->region[i + 1];
}

static void keep_home(struct derp_regions *r)
{
	struct derp_region *home = r->home ? find_or_open(r, r->home) : NULL;

	for (size_t i = 0; i < r->count; i++)
		derp_region_set_home(r->region[i], r->region[i] == home);
}

void derp_regions_set_map(struct derp_regions *r, const struct derp_map *map)
{
	uint16_t lost[DERP_MAP_REGIONS_MAX];
	size_t lost_count = 0;

	r->map = map;
	for (size_t i = r->count; i-- > 0;) {
		const struct derp_map_region *m =
			derp_map_region(map, derp_region_id(r->region[i]));

		if (m && derp_region_is(r->region[i], m))
			continue;
		if (derp_region_is_connected(r->region[i]))
			lost[lost_count++] = derp_region_id(r->region[i]);
		close_at(r, i);
	}
	keep_home(r);
	/* The owner may do anything then, closing us included: the memory stays for this turn. */
	while (lost_count && !r->is_closed)
		r->ev->on_state(r->arg, lost[--lost_count], false, "the map has changed");
}

void derp_regions_set_home(struct derp_regions *r, uint16_t region)
{
	r->home = region;
	keep_home(r);
}

uint16_t derp_regions_home(const struct derp_regions *r)
{
	return r->home;
}

/* ---- packets ---- */

static struct derp_region *heard_in(const struct derp_regions *r, const struct key *peer)
{
	const struct derp_route *route = derp_routes_find(&r->routes, peer);
	struct derp_region *g = route ? find(r, route->region) : NULL;

	return g && derp_region_is_connected(g) && derp_region_generation(g) == route->generation
		       ? g
		       : NULL;
}

int derp_regions_send(struct derp_regions *r, uint16_t region, const struct key *to,
		      const void *data, size_t len)
{
	struct derp_region *g = region ? find(r, region) : NULL;
	int rc;

	if (!g || !derp_region_is_connected(g)) {
		struct derp_region *heard = heard_in(r, to);

		g = heard ? heard : region ? find_or_open(r, region) : NULL;
	}
	if (!g)
		return -ENETUNREACH;
	rc = derp_region_send(g, to, data, len);
	return rc ? rc : derp_region_id(g);
}

uint16_t derp_regions_heard(const struct derp_regions *r, const struct key *peer)
{
	const struct derp_region *g = heard_in(r, peer);

	return g ? derp_region_id(g) : 0;
}

/* ---- questions ---- */

bool derp_regions_connected(const struct derp_regions *r, uint16_t region)
{
	const struct derp_region *g = find(r, region);

	return g && derp_region_is_connected(g);
}

uint64_t derp_regions_last_frame_ns(const struct derp_regions *r, uint16_t region)
{
	const struct derp_region *g = find(r, region);

	return g ? derp_region_last_frame_ns(g) : 0;
}

void derp_regions_network_changed(struct derp_regions *r)
{
	for (size_t i = 0; i < r->count; i++)
		derp_region_probe(r->region[i]);
}

void derp_regions_counters(const struct derp_regions *r, struct derp_counters *out)
{
	*out = r->env.counters;
}

size_t derp_regions_list(const struct derp_regions *r, struct derp_region_info *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count && n < room; i++)
		n += derp_region_info(r->region[i], &out[n]);
	return n;
}

/* ---- begin and end ---- */

int derp_regions_open(const struct derp_regions_config *cfg, const struct derp_regions_events *ev,
		      void *arg, struct derp_regions **out)
{
	struct derp_regions *r;

	if (key_is_zero(cfg->node_private))
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ev = ev;
	r->arg = arg;
	r->env.dial = (struct derp_dial_env){.loop = cfg->loop, .tls = cfg->tls, .env = cfg->env};
	r->env.keys.private_key = *cfg->node_private;
	crypto_scalarmult_base(r->env.keys.public_key.bytes, r->env.keys.private_key.bytes);
	r->env.random = cfg->random;
	r->env.idle_ms = cfg->idle_ms ? cfg->idle_ms : IDLE_MS;
	if (cfg->tls)
		SSL_CTX_up_ref(cfg->tls);
	derp_routes_init(&r->routes, cfg->random);
	uv_timer_init(cfg->loop, &r->end);
	r->end.data = r;
	*out = r;
	return 0;
}

static void on_end(uv_handle_t *h)
{
	struct derp_regions *r = h->data;

	SSL_CTX_free(r->env.dial.tls);
	derp_routes_fini(&r->routes);
	key_wipe(&r->env.keys.private_key);
	free(r);
}

void derp_regions_close(struct derp_regions *r)
{
	if (!r || r->is_closed)
		return;
	r->is_closed = true;
	while (r->count)
		close_at(r, r->count - 1);
	uv_close((uv_handle_t *)&r->end, on_end);
}
