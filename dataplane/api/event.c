/* SPDX-License-Identifier: Apache-2.0 */
/* See event.h. */
#include "dataplane/api/event.h"

#include <rte_ring_elem.h>

#include "dataplane/table/peer.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/session.h"

/*
 * Few peers are looked at in every sweep. Of very many a part: all of them within
 * SWEEP_TURNS sweeps, or an idle gateway with 100,000 peers would spend a third of
 * a core on it. Two seconds more are no harm: times are told, not counted from the
 * telling, and packets look at the end of their session themselves.
 */
#define SWEEP_TURNS	20
#define SWEEP_PEERS_MIN 4096u

struct sweep {
	struct server *server;
	uint64_t now_ns;
};

static void pass_on(struct server *s, const struct worker_event *e)
{
	struct dpapi_event m = {.hdr.type = (uint16_t)e->type,
				.peer_id = e->peer_id,
				.local_index = e->local_index,
				.time_ns = e->time_ns};
	struct dpapi_event_roamed roamed = {.hdr.type = DPAPI_EVENT_ROAMED,
					    .peer_id = e->peer_id,
					    .local_index = e->local_index,
					    .time_ns = e->time_ns,
					    .path = e->path};

	if (e->type == DPAPI_EVENT_ROAMED)
		server_to_controller(s, &roamed, sizeof(roamed));
	else
		server_to_controller(s, &m, sizeof(m));
}

static void flush_staged(struct dataplane *dp)
{
	struct worker_command c = {.type = WORKER_CMD_FLUSH};

	/* A session sends now: packets may wait for it at every worker. */
	for (unsigned i = 0; i < dp->worker_count; i++)
		worker_command(dp->workers[i], &c);
}

/* True: not told yet. The sweep may have been first. */
static bool claim_confirmed(struct dataplane *dp, const struct worker_event *e)
{
	struct session *s = session_find(dp->sessions, e->local_index);

	if (s && s->is_confirm_told)
		return false;
	if (s)
		s->is_confirm_told = true;
	return true;
}

void event_drain(struct server *s)
{
	struct dataplane *dp = server_dataplane(s);
	struct worker_event e;
	bool is_confirmed = false;

	for (unsigned i = 0; i < dp->worker_count; i++) {
		while (rte_ring_dequeue_elem(dp->workers[i]->events, &e, sizeof(e)) == 0) {
			if (e.type == DPAPI_EVENT_CONFIRMED) {
				is_confirmed = true;
				if (!claim_confirmed(dp, &e))
					continue;
			}
			pass_on(s, &e);
		}
	}
	if (is_confirmed)
		flush_staged(dp);
}

/* A silence is told of once, and once more when it ended. */
static uint64_t to_tell(uint64_t since_ns, uint64_t now_ns)
{
	return since_ns && now_ns > since_ns && now_ns - since_ns >= EVENT_UNANSWERED_NS ? since_ns
											 : 0;
}

static void tell_activity(struct peer *p, const struct sweep *sw)
{
	uint64_t tx = to_tell(atomic_load_explicit(&p->tx_unanswered_ns, memory_order_relaxed),
			      sw->now_ns);
	uint64_t rx = to_tell(atomic_load_explicit(&p->rx_unanswered_ns, memory_order_relaxed),
			      sw->now_ns);
	struct dpapi_event_activity m = {.hdr.type = DPAPI_EVENT_ACTIVITY,
					 .peer_id = p->id,
					 .tx_unanswered_ns = tx,
					 .rx_unanswered_ns = rx};

	if (tx == p->activity_tx_told_ns && rx == p->activity_rx_told_ns)
		return;
	p->activity_tx_told_ns = tx;
	p->activity_rx_told_ns = rx;
	server_to_controller(sw->server, &m, sizeof(m));
}

static void session_gone(const struct session *s, void *arg)
{
	const struct sweep *sw = arg;
	struct dpapi_event m = {.hdr.type = DPAPI_EVENT_SESSION_GONE,
				.peer_id = s->peer->id,
				.local_index = s->local_index,
				.time_ns = sw->now_ns};

	server_to_controller(sw->server, &m, sizeof(m));
}

/* This event is raised once: one that a full ring has lost is found here. */
static void tell_confirmed(struct peer *p, const struct sweep *sw)
{
	for (unsigned i = 0; i < p->session_count; i++) {
		struct session *s = p->sessions[i];
		struct worker_event e = {.type = DPAPI_EVENT_CONFIRMED,
					 .peer_id = p->id,
					 .local_index = s->local_index,
					 .time_ns = sw->now_ns};

		if (s->is_confirm_told || !session_is_confirmed(s))
			continue;
		s->is_confirm_told = true;
		pass_on(sw->server, &e);
		flush_staged(server_dataplane(sw->server));
	}
}

void event_sweep(struct server *s, uint64_t now_ns)
{
	struct dataplane *dp = server_dataplane(s);
	struct sweep sw = {s, now_ns};
	static uint32_t next; /* the control thread's, of the one table */
	uint32_t end = peer_id_end(dp->peers);
	uint32_t n = end / SWEEP_TURNS > SWEEP_PEERS_MIN ? end / SWEEP_TURNS : SWEEP_PEERS_MIN;

	for (n = n < end ? n : end; n > 0; n--) {
		struct peer *p;

		next = next + 1 < end ? next + 1 : 0;
		p = peer_get(dp->peers, next);
		if (!p)
			continue;
		tell_confirmed(p, &sw);
		/* Nobody to tell: what is unanswered is told to the next controller, afresh. */
		if (server_has_controller(s))
			tell_activity(p, &sw);
		peer_sessions_expire(dp->peers, p, now_ns, session_gone, &sw);
	}
}
