/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/peer.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "controlplane/node/dp_client.h"
#include "controlplane/node/dp_path.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/packets.h"
#include "controlplane/node/peer_lanes.h"
#include "controlplane/node/timestamps.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

static uint32_t index_alloc(void *ctx, uint32_t peer_id)
{
	return index_table_alloc(ctx, peer_id, 0);
}

static void index_free(void *ctx, uint32_t index)
{
	index_table_free(ctx, index);
}

struct node_peer *peer_new(struct node *n, const struct config_peer *cfg, uint32_t id, int *err)
{
	struct wg_peer_config wc = {
		.id = id,
		.self = &n->identity,
		.random = &node_random,
		.indices = &n->wg_indices,
		.preshared_key = key_is_zero(&cfg->preshared_key) ? NULL : cfg->preshared_key.bytes,
	};
	struct node_peer *p = calloc(1, sizeof(*p));

	n->wg_indices =
		(struct wg_indices){.ctx = &n->indices, .alloc = index_alloc, .free = index_free};
	*err = -ENOMEM;
	if (!p)
		return NULL;
	memcpy(wc.public_key, cfg->public_key.bytes, sizeof(wc.public_key));
	timestamps_get(n->timestamps, cfg->public_key.bytes, wc.last_accepted);
	timestamps_get(n->timestamps, n->identity.public_key, wc.last_sent);
	*err = wg_peer_init(&p->engine, &wc);
	if (*err) {
		free(p);
		return NULL;
	}
	p->node = n;
	p->cfg = cfg;
	p->id = id;
	p->path = dp_path_direct(&cfg->endpoint, 0);
	return p;
}

void peer_free(struct node_peer *p)
{
	if (!p)
		return;
	deadline_set(&p->node->deadlines, &p->deadline, DEADLINE_NEVER);
	peer_lanes_free(p);
	peer_ways_free(p);
	wg_peer_fini(&p->engine);
	free(p);
}

void peer_set_path(struct node_peer *p, const struct dpapi_path *path)
{
	char text[ENDPOINT_STR_MAX] = "none";
	struct endpoint ep = dp_path_endpoint(path);

	if (dp_path_equal(&p->path, path))
		return;
	p->path = *path;
	if (path->kind == DPAPI_PATH_CHANNEL)
		snprintf(text, sizeof(text), "derp-%u", path->remote.port);
	else if (path->kind != DPAPI_PATH_NONE)
		endpoint_print(&ep, text);
	log_info("peer.endpoint", "peer=%s endpoint=%s", p->cfg->name, text);
	dp_sync_endpoint(p);
}

uint64_t peer_last_handshake_ns(const struct node_peer *p)
{
	const struct wg_session *s = &p->engine.sessions.current;

	/* One that was adopted was completed when its keys were made. */
	if (s->state != WG_SESSION_NONE && s->born_ns > p->engine.last_complete_ns)
		return s->born_ns;
	return p->engine.last_complete_ns;
}

static void send_message(struct node_peer *p, const void *msg, size_t len)
{
	struct node *n = p->node;
	int err = p->ways ? peer_ways_send(p, msg, len)
			  : packets_send(n->packets, &p->path, msg, len);

	if (err == -EDESTADDRREQ)
		counters_add(&n->counters, CONTROL_NO_ENDPOINT);
	/* Not connected: the dataplane is away, and all is done again when it is back. */
	else if (err && err != -ENOTCONN)
		counters_add(&n->counters, CONTROL_SEND_FAILED);
	log_debug("handshake.sent", "peer=%s type=%u error=%d", p->cfg->name, *(const uint8_t *)msg,
		  err);
}

/* Our timestamps are one sequence for all peers, so that one record on disk is enough. */
static void keep_own_timestamp(struct node_peer *p)
{
	struct node *n = p->node;
	uint8_t kept[WG_TIMESTAMP_BYTES];

	/* The greatest of all: with a clock that was set back, peers differ. */
	timestamps_get(n->timestamps, n->identity.public_key, kept);
	if (memcmp(p->engine.remote.last_sent, kept, sizeof(kept)) <= 0)
		return;
	if (timestamps_put(n->timestamps, n->identity.public_key, p->engine.remote.last_sent))
		counters_add(&n->counters, CONTROL_DISK);
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
	struct wg_peer_event ev = {.type = WG_EV_INSTALLED, .local_index = w.local_index};
	struct node_peer *p = node_peer_by_id(w.node, w.peer_id);

	(void)text;
	free(arg);
	/* Whether it was installed before the connection broke is told by the next dump. */
	if (error == -ECONNRESET)
		return;
	if (error) {
		ev.type = WG_EV_SESSION_GONE;
		counters_add(&w.node->counters, CONTROL_INSTALL_REFUSED);
	}
	if (p && index_table_owner(&w.node->indices, w.local_index) == w.peer_id)
		peer_event(p, &ev);
}

static void install(struct node_peer *p, const struct wg_peer_install *in)
{
	struct dpapi_session_set msg = {
		.hdr = {.type = DPAPI_SESSION_SET},
		.peer_id = p->id,
		.local_index = in->local_index,
		.remote_index = in->remote_index,
		.flags = (in->is_initiator ? DPAPI_SESSION_INITIATOR : 0) |
			 (in->is_confirmed ? DPAPI_SESSION_CONFIRMED : 0),
		.born_ns = in->born_ns,
		.expire_ns = in->expire_ns,
		.rekey_tx_ns = in->rekey_tx_ns,
		.rekey_rx_ns = in->rekey_rx_ns,
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

static void carry_out(struct node_peer *p, const struct wg_peer_action *a)
{
	struct node *n = p->node;

	switch (a->type) {
	case WG_ACT_SEND_INITIATION:
		keep_own_timestamp(p);
		send_message(p, &a->initiation, sizeof(a->initiation));
		return;
	case WG_ACT_SEND_RESPONSE:
		send_message(p, &a->response, sizeof(a->response));
		return;
	case WG_ACT_INSTALL_SESSION:
		peer_lanes_derived(p, &a->install);
		install(p, &a->install);
		log_debug("handshake.session", "peer=%s initiator=%d", p->cfg->name,
			  a->install.is_initiator);
		return;
	case WG_ACT_DELETE_SESSION:
		dp_sync_session_del(n, a->local_index);
		return;
	case WG_ACT_SEND_KEEPALIVE:
		dp_sync_peer_ref(n, DPAPI_SEND_KEEPALIVE, p->id);
		return;
	case WG_ACT_DROP_STAGED:
		dp_sync_peer_ref(n, DPAPI_DROP_STAGED, p->id);
		return;
	case WG_ACT_ZERO_KEYS:
		return; /* a configured peer stays */
	}
}

int peer_event(struct node_peer *p, const struct wg_peer_event *ev)
{
	struct wg_time now = {.now_ns = clock_now_ns(), .wall_ns = clock_wall_ns()};
	struct wg_peer_actions actions;
	int err;

	if (ev->type == WG_EV_DATAPLANE_RESTARTED)
		peer_lanes_reset(p);
	err = wg_peer_handle(&p->engine, ev, &now, &actions);

	for (uint32_t i = 0; i < actions.count; i++)
		carry_out(p, &actions.action[i]);
	wg_peer_actions_wipe(&actions);
	peer_lanes_sync(p);
	if (ev->type == WG_EV_TICK) {
		peer_lanes_tick(p);
		peer_ways_tick(p);
	}
	peer_schedule(p);
	return err;
}

void peer_schedule(struct node_peer *p)
{
	uint64_t at_ns = wg_peer_next_deadline(&p->engine), lanes_ns = peer_lanes_deadline(p);
	uint64_t ways_ns = peer_ways_deadline(p);

	if (lanes_ns < at_ns)
		at_ns = lanes_ns;
	deadline_set(&p->node->deadlines, &p->deadline, at_ns < ways_ns ? at_ns : ways_ns);
	node_schedule(p->node);
}
