/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/peer_lanes.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "controlplane/node/dp_path.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/packets.h"
#include "controlplane/noise/wg_lanes.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* ---- what the engine asks for ---- */

static uint32_t index_alloc(void *owner, uint8_t lane)
{
	struct node_peer *p = owner;

	return index_table_alloc(&p->node->indices, p->id, lane);
}

static void index_free(void *owner, uint32_t index)
{
	struct node_peer *p = owner;

	index_table_free(&p->node->indices, index);
}

static struct dpapi_path path_of(const struct node_peer *p, const struct wg_lane_pair *pair)
{
	struct dpapi_path path =
		pair->is_home ? p->path : dp_path_direct(&pair->remote, p->path.local_port);

	path.lane = pair->port;
	return path;
}

static void send_message(void *owner, uint32_t local_index, const struct wg_lane_pair *pair,
			 const uint8_t *data, size_t len)
{
	struct node_peer *p = owner;
	struct dpapi_path path = path_of(p, pair);

	if (path.kind == DPAPI_PATH_UDP)
		packets_send_lane(p->node->packets, p->id, local_index, &path, data, len);
}

/* A session on its way into the dataplane: the peer may be gone when the answer comes. */
struct installing {
	struct node *node;
	uint32_t peer_id;
	uint32_t local_index;
};

static void on_installed(void *arg, int error, const char *text)
{
	struct installing w = *(struct installing *)arg;
	struct node_peer *p = node_peer_by_id(w.node, w.peer_id);

	(void)text;
	free(arg);
	/* Whether it was installed before the connection broke is told by the next dump. */
	if (error == -ECONNRESET)
		return;
	if (error)
		counters_add(&w.node->counters, CONTROL_INSTALL_REFUSED);
	if (!p || !p->lanes || index_table_owner(&w.node->indices, w.local_index) != w.peer_id)
		return;
	wg_lanes_installed(p->lanes, w.local_index, error == 0, clock_now_ns());
	peer_schedule(p);
}

static void install(void *owner, const struct wg_lane_install *in)
{
	struct node_peer *p = owner;
	struct dpapi_session_set msg = {
		.hdr = {.type = DPAPI_SESSION_SET},
		.peer_id = p->id,
		.local_index = in->local_index,
		.remote_index = in->remote_index,
		.flags = DPAPI_SESSION_CONFIRMED | (in->is_initiator ? DPAPI_SESSION_INITIATOR : 0),
		.born_ns = in->born_ns,
		.expire_ns = in->expire_ns,
		.rekey_tx_ns = in->rekey_tx_ns,
		.rekey_rx_ns = in->rekey_rx_ns,
		.lane = in->lane,
	};
	struct installing *w = malloc(sizeof(*w));

	if (!w)
		return;
	*w = (struct installing){p->node, p->id, in->local_index};
	memcpy(msg.send_key, in->keys.send, sizeof(msg.send_key));
	memcpy(msg.recv_key, in->keys.recv, sizeof(msg.recv_key));
	if (dp_sync_request(p->node, &msg, sizeof(msg), on_installed, w))
		free(w);
	sodium_memzero(&msg, sizeof(msg));
}

static void remove_session(void *owner, uint32_t local_index)
{
	struct node_peer *p = owner;

	dp_sync_session_del(p->node, local_index);
}

static void use(void *owner, uint8_t lane, uint32_t local_index, const struct wg_lane_pair *pair,
		uint64_t until_ns)
{
	struct node_peer *p = owner;
	struct dpapi_lane_set msg = {
		.hdr = {.type = DPAPI_LANE_SET},
		.peer_id = p->id,
		.local_index = local_index,
		.until_ns = until_ns,
		.path = path_of(p, pair),
		.lane = lane,
	};

	dp_sync_send(p->node, &msg, sizeof(msg));
}

static const struct wg_lanes_ops ops = {
	.index_alloc = index_alloc,
	.index_free = index_free,
	.send = send_message,
	.install = install,
	.remove = remove_session,
	.use = use,
};

/* ---- what happens to a peer ---- */

/* As many as the peer's port has, and the configuration allows. */
static uint8_t offer_of(const struct node_peer *p)
{
	uint32_t count;
	const struct dpapi_port *ports = dp_sync_ports(p->node, &count);
	uint32_t lanes = p->path.local_port < count ? ports[p->path.local_port].lanes : 0;

	if (lanes > p->node->config->lanes)
		lanes = p->node->config->lanes;
	return (uint8_t)(lanes < LANE_MAX ? lanes : LANE_MAX);
}

static bool prepare(struct node_peer *p)
{
	uint8_t offer = offer_of(p);

	if (!p->lanes && offer) {
		p->lanes = malloc(sizeof(*p->lanes));
		if (p->lanes)
			wg_lanes_init(p->lanes, &node_random, &ops, p, offer);
	}
	if (p->lanes)
		p->lanes->offer = offer;
	return p->lanes && offer;
}

void peer_lanes_derived(struct node_peer *p, const struct wg_peer_install *in)
{
	if (prepare(p))
		wg_lanes_derived(p->lanes, in, clock_now_ns());
}

void peer_lanes_sync(struct node_peer *p)
{
	if (p->lanes)
		wg_lanes_sync(p->lanes, &p->engine.sessions, clock_now_ns());
}

void peer_lanes_tick(struct node_peer *p)
{
	if (p->lanes)
		wg_lanes_tick(p->lanes, clock_now_ns());
}

uint64_t peer_lanes_deadline(const struct node_peer *p)
{
	return p->lanes ? wg_lanes_next_deadline(p->lanes) : UINT64_MAX;
}

void peer_lanes_reset(struct node_peer *p)
{
	if (p->lanes)
		wg_lanes_reset(p->lanes);
}

void peer_lanes_free(struct node_peer *p)
{
	if (!p->lanes)
		return;
	wg_lanes_fini(p->lanes);
	free(p->lanes);
	p->lanes = NULL;
}

void peer_lanes_traffic(struct node_peer *p)
{
	if (!p->lanes)
		return;
	wg_lanes_traffic(p->lanes, clock_now_ns());
	peer_schedule(p);
}

uint32_t peer_lanes_base(const struct node_peer *p, uint32_t local_index)
{
	uint32_t base = p->lanes ? wg_lanes_base_of(p->lanes, local_index) : 0;

	return base ? base : local_index;
}

static const struct wg_session *born_then(const struct wg_sessions *s, uint64_t born_ns)
{
	const struct wg_session *all[] = {&s->current, &s->next, &s->previous};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->state != WG_SESSION_NONE && all[i]->born_ns == born_ns)
			return all[i];
	return NULL;
}

bool peer_lanes_adopt(struct node_peer *p, const struct dpapi_session_state *st)
{
	const struct wg_session *base = born_then(&p->engine.sessions, st->born_ns);
	struct index_table *t = &p->node->indices;

	if (!base || !prepare(p))
		return false;
	if (index_table_owner(t, st->local_index) == p->id) {
		/* Only the acknowledgement was lost. */
		wg_lanes_installed(p->lanes, st->local_index, true, clock_now_ns());
	} else if (index_table_claim(t, st->local_index, p->id)) {
		return false;
	} else if (wg_lanes_adopt(p->lanes, base, st->lane, st->local_index, st->remote_index,
				  clock_now_ns())) {
		index_table_free(t, st->local_index);
		return false;
	}
	peer_lanes_sync(p);
	peer_schedule(p);
	return true;
}

void peer_lanes_receive(void *arg, uint32_t peer_id, uint32_t local_index,
			const struct dpapi_path *from, const uint8_t *data, size_t len)
{
	struct node_peer *p = node_peer_by_id(arg, peer_id);
	struct wg_lane_pair pair = {.port = from->lane, .remote = dp_path_endpoint(from)};

	/* Lanes are the port's by which the peer is reached. */
	if (!p || !p->lanes || from->local_port != p->path.local_port)
		return;
	if (wg_lanes_message(p->lanes, local_index, &pair, data, len, clock_now_ns()))
		counters_add(&p->node->counters, CONTROL_BAD_LANE);
	peer_schedule(p);
}
