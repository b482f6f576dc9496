/* SPDX-License-Identifier: Apache-2.0 */
/* See dump.h. */
#include "dataplane/api/dump.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/table/peer.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/session.h"
#include "dataplane/table/session_build.h"

struct dump {
	dump_fn *fn;
	void *ctx;
	uint32_t peers, sessions;
};

#define READ(field) atomic_load_explicit(&(field), memory_order_relaxed)

void dump_hello(const struct dataplane *dp, struct dpapi_hello_reply *r)
{
	*r = (struct dpapi_hello_reply){
		.hdr.type = DPAPI_HELLO_REPLY,
		.version = DPAPI_VERSION,
		.pid = (uint32_t)getpid(),
		.instance = dp->instance,
		.session_slots = session_table_slots(dp->sessions),
		.port_count = (uint16_t)dp->port_count,
		.workers = dp->worker_count,
		.controller_generation = dp->controller_generation,
	};
	snprintf(r->engine, sizeof(r->engine), "%s", dp->workers[0]->engine->name);
}

void dump_ports(const struct dataplane *dp, dump_fn *fn, void *ctx)
{
	uint32_t fd = 0;

	for (unsigned i = 0; i < dp->port_count; i++) {
		const struct port *p = &dp->ports[i];
		struct dpapi_port m = {
			.hdr.type = DPAPI_PORT,
			.index = (uint16_t)i,
			.kind = (uint16_t)p->ops->id,
			.listen_port = p->listen_port,
			.mtu_max = p->mtu_max,
			.tun_ifindex = p->tun_ifindex,
			.features = p->features,
			.lanes = p->lanes,
		};

		m.udp_fd_v4 = p->control_fd_v4 >= 0 ? ++fd : 0;
		m.udp_fd_v6 = p->control_fd_v6 >= 0 ? ++fd : 0;
		snprintf(m.tun, sizeof(m.tun), "%s", p->tun_name);
		fn(ctx, &m, sizeof(m));
	}
}

void dump_peer(const struct peer *p, struct dpapi_peer_state *out)
{
	const struct peer_path *path = peer_path_get(p);

	*out = (struct dpapi_peer_state){
		.hdr = {.type = DPAPI_PEER_STATE, .generation = p->generation},
		.id = p->id,
		.flags = READ(p->flags),
		.rx_bytes = READ(p->rx_bytes),
		.tx_bytes = READ(p->tx_bytes),
		.rx_packets = READ(p->rx_packets),
		.tx_packets = READ(p->tx_packets),
		.last_rx_ns = READ(p->last_rx_ns),
		.last_tx_ns = READ(p->last_tx_ns),
	};
	memcpy(out->public_key, p->public_key, sizeof(out->public_key));
	if (path)
		out->path = path->path;
}

static void dump_session(struct dump *d, const struct peer *p, const struct session *s)
{
	struct dpapi_session_state m = {
		.hdr.type = DPAPI_SESSION_STATE,
		.peer_id = p->id,
		.local_index = s->local_index,
		.remote_index = s->remote_index,
		.flags = READ(s->flags) & (DPAPI_SESSION_INITIATOR | DPAPI_SESSION_CONFIRMED),
		.born_ns = s->born_ns,
		.expire_ns = s->expire_ns,
		.rekey_tx_ns = s->rekey_tx_ns,
		.rekey_rx_ns = s->rekey_rx_ns,
		.send_counter = READ(s->send_counter),
		.recv_counter = replay_last(&s->replay),
		.lane = s->lane,
		.is_current = peer_tx_session(p) == s,
	};

	d->sessions++;
	d->fn(d->ctx, &m, sizeof(m));
}

static int dump_one(struct peer *p, void *arg)
{
	const struct peer_lanes *lanes = peer_lanes_get(p);
	struct dump *d = arg;
	struct dpapi_peer_state m;

	dump_peer(p, &m);
	/* A new controller has been told of no silence yet. */
	p->activity_tx_told_ns = 0;
	p->activity_rx_told_ns = 0;
	d->peers++;
	d->fn(d->ctx, &m, sizeof(m));
	for (unsigned i = 0; i < p->session_count; i++)
		dump_session(d, p, p->sessions[i]);
	for (unsigned i = 0; lanes && i < lanes->session_count; i++)
		dump_session(d, p, lanes->sessions[i]);
	return 0;
}

void dump_state(struct dataplane *dp, dump_fn *fn, void *ctx)
{
	struct dump d = {.fn = fn, .ctx = ctx};
	struct dpapi_dump_end end = {.hdr.type = DPAPI_DUMP_END};

	peer_walk(dp->peers, dump_one, &d);
	end.peers = d.peers;
	end.sessions = d.sessions;
	fn(ctx, &end, sizeof(end));
}
