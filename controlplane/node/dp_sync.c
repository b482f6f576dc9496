/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/dp_sync.h"

#include <errno.h>
#include <stdlib.h>

#include "controlplane/node/dp_dump.h"
#include "controlplane/node/dp_path.h"
#include "controlplane/node/dp_refresh.h"
#include "controlplane/node/packets.h"
#include "controlplane/node/peer_lanes.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define PORTS_MAX 64
#define PIECE_MAX 60000

struct dp_sync {
	struct node *node;
	uint64_t instance;     /* of the dataplane that has the picture; 0 = none yet */
	uint64_t new_instance; /* of the one that dumps */
	uint32_t session_slots;
	uint32_t workers;
	uint32_t generation;
	bool ready;
	struct dp_dump dump;
	struct dpapi_port ports[PORTS_MAX];
	uint32_t port_count;
};

bool dp_sync_is_ready(const struct node *n)
{
	return n->sync && n->sync->ready;
}

const struct dpapi_port *dp_sync_ports(const struct node *n, uint32_t *count)
{
	*count = n->sync->port_count;
	return n->sync->ports;
}

uint32_t dp_sync_mtu_max(const struct node *n)
{
	const struct dp_sync *s = n->sync;
	uint32_t mtu_max = 0;

	for (uint32_t i = 0; i < s->port_count; i++)
		if (!mtu_max || s->ports[i].mtu_max < mtu_max)
			mtu_max = s->ports[i].mtu_max;
	return mtu_max;
}

void dp_sync_send(struct node *n, void *msg, size_t len)
{
	struct dpapi_hdr *hdr = msg;

	if (!dp_sync_is_ready(n))
		return;
	hdr->generation = n->sync->generation;
	/* A connection that broke is noticed by the client itself. */
	dp_client_send(n->dp, msg, len);
}

int dp_sync_request(struct node *n, void *msg, size_t len, dp_client_ack_fn *cb, void *arg)
{
	struct dpapi_hdr *hdr = msg;

	if (!dp_sync_is_ready(n))
		return -ENOTCONN;
	hdr->generation = n->sync->generation;
	return dp_client_request(n->dp, msg, len, cb, arg);
}

void dp_sync_session_del(struct node *n, uint32_t local_index)
{
	struct dpapi_session_del msg = {.hdr = {.type = DPAPI_SESSION_DEL},
					.local_index = local_index};

	dp_sync_send(n, &msg, sizeof(msg));
}

void dp_sync_peer_ref(struct node *n, uint16_t type, uint32_t id)
{
	struct dpapi_peer_ref msg = {.hdr = {.type = type}, .id = id};

	dp_sync_send(n, &msg, sizeof(msg));
}

void dp_sync_peer_set(struct node_peer *p)
{
	struct dpapi_peer_set msg = {
		.hdr = {.type = DPAPI_PEER_SET},
		.id = p->id,
		.mtu = p->cfg->mtu,
		.flags = p->cfg->is_jailed ? DPAPI_PEER_JAILED : 0,
	};

	memcpy(msg.public_key, p->cfg->public_key.bytes, sizeof(msg.public_key));
	dp_sync_send(p->node, &msg, sizeof(msg));
}

void dp_sync_peer_del(struct node *n, uint32_t id)
{
	struct dpapi_peer_del msg = {.hdr = {.type = DPAPI_PEER_DEL}, .id = id};

	dp_sync_send(n, &msg, sizeof(msg));
}

void dp_sync_route(struct node *n, const struct prefix *prefix, uint32_t peer_id, bool remove)
{
	struct dpapi_route msg = {
		.hdr = {.type = remove ? DPAPI_ROUTE_DEL : DPAPI_ROUTE_SET},
		.family = prefix->addr.family,
		.prefix_len = prefix->len,
		.peer_id = peer_id,
	};

	memcpy(msg.addr, prefix->addr.bytes, sizeof(msg.addr));
	dp_sync_send(n, &msg, sizeof(msg));
}

void dp_sync_endpoint(struct node_peer *p)
{
	struct dpapi_endpoint_set msg = {
		.hdr = {.type = DPAPI_ENDPOINT_SET}, .peer_id = p->id, .path = p->path};

	if (p->path.kind != DPAPI_PATH_NONE)
		dp_sync_send(p->node, &msg, sizeof(msg));
}

void dp_sync_peer(struct node_peer *p)
{
	dp_sync_peer_set(p);
	for (uint32_t i = 0; i < p->cfg->allowed_count; i++)
		dp_sync_route(p->node, &p->cfg->allowed[i], p->id, false);
	dp_sync_endpoint(p);
}

void dp_sync_filter(struct node *n)
{
	const struct rule_list *f = &n->config->filter;
	size_t rules = f->rule_count * sizeof(*f->rules);
	size_t total = rules + f->range_count * sizeof(*f->ranges);
	struct {
		struct dpapi_rules msg;
		uint8_t piece[PIECE_MAX];
	} *out = calloc(1, sizeof(*out));
	uint8_t *body = malloc(total + 1);
	size_t at = 0;

	if (!out || !body) {
		log_error("filter.memory", "bytes=%zu", total);
		goto out;
	}
	if (rules)
		memcpy(body, f->rules, rules);
	if (total > rules)
		memcpy(body + rules, f->ranges, total - rules);
	do {
		size_t n_bytes = total - at < PIECE_MAX ? total - at : PIECE_MAX;

		out->msg = (struct dpapi_rules){
			.hdr = {.type = DPAPI_RULES},
			.mode = n->stopped ? DPAPI_FILTER_NONE : f->mode,
			.rule_count = f->rule_count,
			.range_count = f->range_count,
			.total_bytes = (uint32_t)total,
			.offset = (uint32_t)at,
			.piece_bytes = (uint32_t)n_bytes,
		};
		memcpy(out->piece, body + at, n_bytes);
		dp_sync_send(n, out, sizeof(out->msg) + n_bytes);
		at += n_bytes;
	} while (at < total);
out:
	free(out);
	free(body);
}

void dp_sync_local(struct node *n, const struct prefix *p, bool remove)
{
	struct dpapi_local msg = {.hdr = {.type = DPAPI_LOCAL_SET},
				  .family = p->addr.family,
				  .prefix_len = p->len,
				  .remove = remove};

	memcpy(msg.addr, p->addr.bytes, sizeof(msg.addr));
	dp_sync_send(n, &msg, sizeof(msg));
}

static void on_barrier(void *arg, int error, const char *text)
{
	struct node *n = arg;

	if (error && error != -ECONNRESET)
		log_error("dp.barrier", "generation=%u error=\"%s\"", n->sync->generation, text);
}

static void send_barrier(struct node *n, uint32_t flags)
{
	struct dpapi_barrier msg = {.hdr = {.type = DPAPI_BARRIER}, .flags = flags};

	dp_sync_request(n, &msg, sizeof(msg), on_barrier, n);
}

void dp_sync_begin(struct node *n)
{
	n->sync->generation++;
}

void dp_sync_end(struct node *n)
{
	send_barrier(n, 0);
}

/* Upserts of everything; the barrier sweeps what was not named. */
static void send_all(struct node *n)
{
	dp_sync_begin(n);
	dp_sync_filter(n);
	for (uint32_t i = 0; i < n->config->local_count; i++)
		dp_sync_local(n, &n->config->local[i], false);
	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			dp_sync_peer(n->by_id[id]);
	send_barrier(n, DPAPI_BARRIER_SWEEP);
	memset(n->counters.told, 0, sizeof(n->counters.told));
}

void dp_sync_counters(struct node *n)
{
	struct counters *c = &n->counters;

	if (!dp_sync_is_ready(n))
		return;
	for (int i = 0; i < COUNTER_COUNT; i++) {
		struct dpapi_counter msg = {
			.hdr = {.type = DPAPI_COUNTER},
			.value = c->value[i],
			.is_fault = (uint32_t)counter_infos[i].is_fault,
		};

		/* A fresh dataplane has none of them: zeros are told once, as +1 in told. */
		if (c->told[i] == c->value[i] + 1)
			continue;
		snprintf(msg.name, sizeof(msg.name), "%s", counter_infos[i].name);
		snprintf(msg.help, sizeof(msg.help), "%s", counter_infos[i].help);
		dp_sync_send(n, &msg, sizeof(msg));
		c->told[i] = c->value[i] + 1;
	}
}

static void on_hello(void *arg, const struct dpapi_hello_reply *r, const int *fds, unsigned nfds)
{
	struct dp_sync *s = ((struct node *)arg)->sync;
	int err = packets_set_fds(s->node->packets, fds, nfds);

	if (err)
		log_error("dp.sockets", "error=\"%s\"", strerror(-err));
	dp_dump_fini(&s->dump);
	s->ready = false;
	s->new_instance = r->instance;
	s->session_slots = r->session_slots;
	s->workers = r->workers;
	s->port_count = 0;
	if (r->controller_generation > s->generation)
		s->generation = r->controller_generation;
}

/* Each peer's persistent keepalive begins (or goes on) once there is a way to send. */
static void start_keepalives(struct node *n)
{
	for (uint32_t id = 1; id < n->id_room; id++) {
		struct node_peer *p = n->by_id[id];
		struct wg_peer_event ev = {.type = WG_EV_PERSISTENT_KEEPALIVE};

		if (!p)
			continue;
		ev.interval_ns = p->cfg->keepalive_s * NS_PER_SEC;
		peer_event(p, &ev);
	}
}

static void tell_restarted(struct node *n)
{
	struct wg_peer_event ev = {.type = WG_EV_DATAPLANE_RESTARTED};

	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			peer_event(n->by_id[id], &ev);
}

static int prepare_indices(struct dp_sync *s)
{
	struct node *n = s->node;
	int err = 0;

	if (!n->indices.slots || n->indices.mask + 1 != s->session_slots) {
		/* Another table size is another dataplane: no session of the old table lives. */
		index_table_fini(&n->indices);
		err = index_table_init(&n->indices, s->session_slots);
	}
	n->indices.workers = s->workers;
	return err;
}

static void on_dump_end(struct dp_sync *s)
{
	struct node *n = s->node;
	bool first = s->instance == 0;
	bool same = s->instance == s->new_instance;
	int err = prepare_indices(s);

	if (!err && first)
		err = dp_dump_take_ids(&s->dump, n);
	if (err) {
		log_error("dp.adopt", "error=\"%s\"", strerror(-err));
		return;
	}
	if (first)
		dp_dump_take_state(&s->dump, n);
	s->ready = true;
	s->instance = s->new_instance;
	node_link(n);
	dp_dump_drop_strangers(&s->dump, n);
	send_all(n);
	/* Zeros too, at once: what cannot be seen at zero cannot be watched. */
	dp_sync_counters(n);
	if (first)
		dp_dump_adopt(&s->dump, n);
	else if (same)
		dp_dump_reconcile(&s->dump, n);
	else
		tell_restarted(n);
	start_keepalives(n);
	log_info("dp.programmed", "peers=%u generation=%u %s", n->peer_count, s->generation,
		 first	? "adopted=1"
		 : same ? "same=1"
			: "restarted=1");
	dp_dump_fini(&s->dump);
	if (n->dataplane_cb)
		n->dataplane_cb(n->dataplane_arg);
}

/* One event for the engine of a peer. */
static void tell_peer(struct node *n, uint32_t peer_id, struct wg_peer_event ev)
{
	struct node_peer *p = node_peer_by_id(n, peer_id);

	if (p && !peer_event(p, &ev) && ev.type == WG_EV_CONFIRMED)
		log_info("peer.handshake", "peer=%s role=responder", p->cfg->name);
}

static void on_activity(struct node *n, const struct dpapi_event_activity *a)
{
	struct node_peer *p = node_peer_by_id(n, a->peer_id);

	if (p && a->tx_unanswered_ns)
		peer_ways_on_silence(p);
	tell_peer(n, a->peer_id,
		  (struct wg_peer_event){.type = WG_EV_TX_UNANSWERED,
					 .since_ns = a->tx_unanswered_ns});
	tell_peer(n, a->peer_id,
		  (struct wg_peer_event){.type = WG_EV_RX_UNANSWERED,
					 .since_ns = a->rx_unanswered_ns});
}

/* Static peers roam as WireGuard's do: an authenticated packet says where the peer is. */
static void on_roamed(struct node *n, const struct dpapi_event_roamed *r)
{
	struct node_peer *p = node_peer_by_id(n, r->peer_id);
	struct wg_peer_event ev = {.type = WG_EV_ROAMED};

	/* Where a peer with disco is, disco alone says. */
	if (!p || peer_has_ways(p) || r->path.kind != DPAPI_PATH_UDP)
		return;
	peer_set_path(p, &r->path);
	peer_event(p, &ev);
}

/* The dataplane has one event for both directions; the engine wants them apart. */
static void on_rekey(struct node *n, const struct dpapi_event *e)
{
	struct node_peer *p = node_peer_by_id(n, e->peer_id);
	struct wg_peer_event ev = {.type = WG_EV_REKEY_TX, .local_index = e->local_index};
	const struct wg_session *s;

	if (!p)
		return;
	/* Lanes are as old as their session. */
	ev.local_index = peer_lanes_base(p, e->local_index);
	s = &p->engine.sessions.current;
	if (s->local_index == ev.local_index &&
	    e->time_ns >= s->born_ns + (WG_REJECT_AFTER_TIME_S - WG_KEEPALIVE_TIMEOUT_S -
					WG_REKEY_TIMEOUT_S) *
					       NS_PER_SEC)
		ev.type = WG_EV_REKEY_RX;
	peer_event(p, &ev);
}

static void on_event(struct node *n, const struct dpapi_hdr *msg)
{
	const struct dpapi_event *e = (const struct dpapi_event *)msg;
	struct wg_peer_event ev = {.local_index = e->local_index};
	struct node_peer *p = node_peer_by_id(n, e->peer_id);

	if (msg->type == DPAPI_EVENT_LANE_TRAFFIC) {
		if (p)
			peer_lanes_traffic(p);
		return;
	}
	if (p && (msg->type == DPAPI_EVENT_HANDSHAKE || msg->type == DPAPI_EVENT_TRAFFIC))
		peer_ways_on_activity(p);
	switch (msg->type) {
	case DPAPI_EVENT_HANDSHAKE:
		ev.type = WG_EV_NEED_HANDSHAKE;
		break;
	case DPAPI_EVENT_CONFIRMED:
		ev.type = WG_EV_CONFIRMED;
		break;
	case DPAPI_EVENT_SESSION_GONE:
		ev.type = WG_EV_SESSION_GONE;
		break;
	case DPAPI_EVENT_TRAFFIC:
		ev.type = WG_EV_TRAFFIC;
		ev.since_ns = e->time_ns;
		break;
	default:
		return;
	}
	tell_peer(n, e->peer_id, ev);
}

static void on_message(void *arg, const struct dpapi_hdr *msg, const uint8_t *body, size_t body_len)
{
	struct node *n = arg;
	struct dp_sync *s = n->sync;
	int err = 0;

	switch (msg->type) {
	case DPAPI_PORT:
		if (s->port_count < PORTS_MAX)
			s->ports[s->port_count++] = *(const struct dpapi_port *)msg;
		packets_set_port(n->packets, (const struct dpapi_port *)msg);
		return;
	case DPAPI_PEER_STATE:
		err = dp_dump_add_peer(&s->dump, (const struct dpapi_peer_state *)msg);
		break;
	case DPAPI_SESSION_STATE:
		err = dp_dump_add_session(&s->dump, (const struct dpapi_session_state *)msg);
		break;
	case DPAPI_DUMP_END:
		on_dump_end(s);
		return;
	case DPAPI_SHOW_REPLY:
		dp_refresh_reply(n->refresh, (const struct dpapi_show_reply *)msg, body, body_len);
		return;
	default:
		break;
	}
	if (err)
		log_error("dp.dump", "error=\"%s\"", strerror(-err));
	/* Until the dump is whole, ids of events are not those of the picture. */
	if (!s->ready)
		return;
	if (msg->type == DPAPI_EVENT_ACTIVITY)
		on_activity(n, (const struct dpapi_event_activity *)msg);
	else if (msg->type == DPAPI_EVENT_ROAMED)
		on_roamed(n, (const struct dpapi_event_roamed *)msg);
	else if (msg->type == DPAPI_EVENT_REKEY)
		on_rekey(n, (const struct dpapi_event *)msg);
	else
		on_event(n, msg);
}

static void on_down(void *arg)
{
	struct node *n = arg;

	n->sync->ready = false;
	packets_drop_fds(n->packets);
	dp_dump_fini(&n->sync->dump);
	dp_refresh_cancel(n->refresh);
	if (n->dataplane_cb)
		n->dataplane_cb(n->dataplane_arg);
}

static const struct dp_client_ops ops = {
	.on_hello = on_hello,
	.on_message = on_message,
	.on_down = on_down,
};

int dp_sync_open(struct node *n, struct dp_sync **out)
{
	struct dp_sync *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->node = n;
	*out = s;
	err = dp_client_open(n->loop, n->opt.dp_socket, &ops, n, &n->dp);
	if (err) {
		free(s);
		*out = NULL;
		return err;
	}
	return 0;
}

void dp_sync_close(struct dp_sync *s)
{
	if (!s)
		return;
	dp_client_close(s->node->dp);
	s->node->dp = NULL;
	s->ready = false;
	dp_dump_fini(&s->dump);
	free(s);
}
