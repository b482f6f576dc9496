/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/ways.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "controlplane/node/dp_path.h"
#include "controlplane/node/handshake.h"
#include "controlplane/node/packets.h"
#include "controlplane/node/ways_peer.h"
#include "lib/base/clock.h"
#include "lib/wire/disco.h"
#include "lib/wire/stun.h"
#include "lib/wire/wg.h"

static struct peer_ways **bucket_of(struct ways *w, const uint8_t *disco)
{
	uint64_t hash;

	/* Keyed: the coordinator names the keys. */
	crypto_shorthash((unsigned char *)&hash, disco, KEY_BYTES, w->hash_key);
	return &w->by_disco[hash % WAYS_BUCKETS];
}

struct peer_ways *ways_find(struct ways *w, const uint8_t disco[KEY_BYTES])
{
	struct peer_ways *pw = *bucket_of(w, disco);

	while (pw && memcmp(pw->node->disco.bytes, disco, KEY_BYTES) != 0)
		pw = pw->next;
	return pw;
}

void ways_insert(struct ways *w, struct peer_ways *pw)
{
	struct peer_ways **at = bucket_of(w, pw->node->disco.bytes);

	pw->next = *at;
	*at = pw;
}

void ways_remove(struct ways *w, struct peer_ways *pw)
{
	struct peer_ways **at = bucket_of(w, pw->node->disco.bytes);

	while (*at != pw)
		at = &(*at)->next;
	*at = pw->next;
}

static bool is_disco(const uint8_t *data, size_t len)
{
	return len >= DISCO_LOOKS_BYTES && memcmp(data, disco_magic, DISCO_MAGIC_BYTES) == 0;
}

static void receive_disco(struct ways *w, const uint8_t *data, size_t len,
			  const struct endpoint *from, uint16_t region, struct peer_ways *pw)
{
	struct path_peer *engine;

	if (!pw)
		pw = ways_find(w, data + DISCO_MAGIC_BYTES);
	engine = pw ? peer_ways_wake(pw) : NULL;
	if (!engine) {
		counters_add(&w->node->counters, CONTROL_UNKNOWN_DISCO);
		return;
	}
	if (path_peer_on_disco(engine, data, len, from, region, clock_now_ns()))
		counters_add(&w->node->counters, CONTROL_BAD_DISCO);
	peer_ways_settle(pw);
}

/* packets_other_fn */
static bool receive(void *arg, const uint8_t *data, size_t len, const struct dpapi_path *path)
{
	struct ways *w = arg;
	struct endpoint from = dp_path_endpoint(path);

	if (is_disco(data, len)) {
		receive_disco(w, data, len, &from, 0, NULL);
		return true;
	}
	if (!stun_is(data, len))
		return false;
	w->env.stun(w->env.ctx, data, len, &from);
	return true;
}

void ways_on_derp(struct node *n, uint16_t region, const struct key *from, const uint8_t *data,
		  size_t len)
{
	struct ways *w = n->ways;
	struct node_peer *p = node_peer_by_key(n, from->bytes);
	struct dpapi_path path = {.kind = DPAPI_PATH_CHANNEL};

	if (!p || !p->ways) {
		counters_add(&n->counters, CONTROL_UNKNOWN_DERP);
		return;
	}
	if (is_disco(data, len)) {
		receive_disco(w, data, len, NULL, region, p->ways);
		return;
	}
	if (peer_ways_wake(p->ways)) {
		path_peer_on_derp(p->ways->engine, region, clock_now_ns());
		peer_ways_settle(p->ways);
	}
	path.remote.port = region;
	path.vni = p->id;
	packets_receive(n->packets, data, len, &path);
}

/* packets_channel_fn: what leaves by a path of kind CHANNEL. */
static int send_by_channel(void *arg, uint32_t peer_id, const void *data, size_t len)
{
	struct ways *w = arg;
	struct node_peer *p = node_peer_by_id(w->node, peer_id);

	return p && p->ways ? peer_ways_send(p, data, len) : -EDESTADDRREQ;
}

int ways_open(struct node *n, const struct key *disco, const struct ways_env *env)
{
	struct ways *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->node = n;
	w->env = *env;
	w->self.disco_private = *disco;
	crypto_scalarmult_base(w->self.disco.bytes, disco->bytes);
	w->self.endpoints = w->endpoints;
	randombytes_buf(w->hash_key, sizeof(w->hash_key));
	n->ways = w;
	packets_on_other(n->packets, receive, w);
	packets_on_channel(n->packets, send_by_channel, w);
	return 0;
}

void ways_close(struct node *n)
{
	if (!n->ways)
		return;
	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			peer_ways_free(n->by_id[id]);
	packets_on_other(n->packets, NULL, NULL);
	packets_on_channel(n->packets, NULL, NULL);
	key_wipe(&n->ways->self.disco_private);
	free(n->ways);
	n->ways = NULL;
}

const struct key *ways_disco(const struct ways *w)
{
	return &w->self.disco;
}

void ways_set_map(struct node *n, const struct netmap *m, const struct key *self)
{
	n->ways->self.node = *self;
	for (uint32_t i = 0; i < m->peer_count; i++) {
		struct netmap_node *node = m->peers[i];
		struct node_peer *p = node_peer_by_key(n, node->key.bytes);

		if (!p || node->is_wireguard_only || (p->ways && p->ways->node == node))
			continue;
		if (peer_ways_set(p, node))
			counters_add(&n->counters, CONTROL_NO_ENDPOINT);
	}
}

void ways_set_endpoints(struct node *n, const struct endpoint *at, size_t count)
{
	struct ways *w = n->ways;
	uint64_t now_ns = clock_now_ns();

	w->self.endpoint_count = count < DISCO_BOX_ENDPOINTS_MAX ? count : DISCO_BOX_ENDPOINTS_MAX;
	memcpy(w->endpoints, at, w->self.endpoint_count * sizeof(*at));
	w->self.endpoints_ns = now_ns;
	for (uint32_t id = 1; id < n->id_room; id++) {
		struct node_peer *p = n->by_id[id];

		if (!p || !p->ways || !p->ways->engine)
			continue;
		path_peer_on_endpoints(p->ways->engine, now_ns);
		peer_ways_settle(p->ways);
	}
}

uint64_t ways_active_ns(const struct node *n)
{
	return n->ways->active_ns;
}

void ways_on_link_change(struct node *n)
{
	uint64_t now_ns = clock_now_ns();

	for (uint32_t id = 1; id < n->id_room; id++) {
		struct node_peer *p = n->by_id[id];

		if (!p || !p->ways || !p->ways->engine)
			continue;
		path_peer_on_link_change(p->ways->engine, now_ns);
		peer_ways_settle(p->ways);
	}
}

int ways_ping(struct node *n, const struct key *peer, mesh_pong_fn *cb, void *arg)
{
	struct node_peer *p = node_peer_by_key(n, peer->bytes);
	struct ways_ping *ping;

	if (!p)
		return -ENOENT;
	if (!p->ways || !peer_ways_wake(p->ways))
		return -EOPNOTSUPP;
	ping = calloc(1, sizeof(*ping));
	if (!ping)
		return -ENOMEM;
	*ping = (struct ways_ping){.next = p->ways->pings,
				   .cb = cb,
				   .arg = arg,
				   .until_ns = clock_now_ns() + 10 * NS_PER_SEC};
	p->ways->pings = ping;
	if (path_peer_ping(p->ways->engine, clock_now_ns())) {
		p->ways->pings = ping->next;
		free(ping);
		return -EOPNOTSUPP;
	}
	peer_ways_settle(p->ways);
	return 0;
}

void ways_ping_cancel(struct node *n, const void *arg)
{
	for (uint32_t id = 1; id < n->id_room; id++) {
		struct node_peer *p = n->by_id[id];
		struct ways_ping **at = p && p->ways ? &p->ways->pings : NULL;

		while (at && *at) {
			struct ways_ping *ping = *at;

			if (ping->arg != arg) {
				at = &ping->next;
				continue;
			}
			*at = ping->next;
			free(ping);
		}
	}
}
