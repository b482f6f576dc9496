/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that two WireGuard engines keep a session through hours of simulated time: rekeys without a
 * gap, loss of every kind, crossings, restarts, floods. */
#include "tests/sim/wg_world.h"

#include "lib/base/bug.h"

#include <errno.h>
#include <sodium.h>

static bool is_paired(const struct world *w)
{
	const struct wg_session *a = &w->node[0].peer.sessions.current;
	const struct wg_session *b = &w->node[1].peer.sessions.current;

	return a->state == WG_SESSION_CONFIRMED && b->state == WG_SESSION_CONFIRMED &&
	       a->local_index == b->remote_index && b->local_index == a->remote_index &&
	       a->is_initiator != b->is_initiator;
}

static uint64_t data_sent(const struct world *w)
{
	return w->node[0].sent[WG_MSG_DATA] + w->node[1].sent[WG_MSG_DATA];
}

static uint64_t data_received(const struct world *w)
{
	return w->node[0].data_received + w->node[1].data_received;
}

static uint64_t initiations(const struct world *w)
{
	return w->node[0].sent[WG_MSG_INITIATION] + w->node[1].sent[WG_MSG_INITIATION];
}

static void check_no_loss(struct world *w)
{
	w->node[0].app_interval_ns = w->node[1].app_interval_ns = 0;
	world_run(w, SEC);
	CHECK(w->node[0].data_lost == 0 && w->node[1].data_lost == 0);
	CHECK(w->node[0].staged == 0 && w->node[1].staged == 0);
	CHECK(data_sent(w) == data_received(w));
}

static void first_packet(struct world *w)
{
	world_app_send(w, 0);
	world_run(w, 100 * NS_PER_MS);
	CHECK(is_paired(w));
	CHECK(w->node[1].data_received == 1);
	CHECK(initiations(w) == 1 && w->node[1].sent[WG_MSG_RESPONSE] == 1);
	CHECK(w->node[0].keepalives == 1); /* the confirmation */
	CHECK(wg_peer_is_usable(&w->node[0].peer, w->now_ns));
}

/* Three hours, both sides sending: one rekey every 120 s by the initiator, nothing lost. */
static void rekey_without_gap(struct world *w)
{
	first_packet(w);
	w->node[0].app_interval_ns = 150 * NS_PER_MS;
	w->node[1].app_interval_ns = 170 * NS_PER_MS;
	world_run(w, 3 * 3600 * SEC);
	CHECK(w->node[0].sent[WG_MSG_INITIATION] >= 88 && w->node[0].sent[WG_MSG_INITIATION] <= 91);
	CHECK(w->node[1].sent[WG_MSG_INITIATION] == 0);
	check_no_loss(w);
}

/* Only the responder sends: the initiator renews at 165 s, by what it receives. */
static void rekey_by_receiving(struct world *w)
{
	first_packet(w);
	w->node[1].app_interval_ns = 100 * NS_PER_MS;
	world_run(w, 60 * SEC);
	/* its keepalives are sends too, and those renew after 120 s */
	world_run(w, 3600 * SEC);
	CHECK(w->node[0].sent[WG_MSG_INITIATION] >= 25);
	CHECK(w->node[1].sent[WG_MSG_INITIATION] == 0);
	check_no_loss(w);
}

static void both_at_once(struct world *w)
{
	world_app_send(w, 0);
	world_app_send(w, 1);
	world_run(w, 10 * NS_PER_MS);
	CHECK(w->node[0].sent[WG_MSG_INITIATION] == 1 && w->node[1].sent[WG_MSG_INITIATION] == 1);
	world_run(w, 500 * NS_PER_MS);
	/* both handshakes are answered, both sides come to send on the winner's */
	CHECK(w->node[0].sent[WG_MSG_RESPONSE] == 1 && w->node[1].sent[WG_MSG_RESPONSE] == 1);
	CHECK(is_paired(w));
	CHECK(w->node[0].peer.sessions.current.is_initiator);
	CHECK(w->node[0].data_received == 1 && w->node[1].data_received == 1);
	w->node[0].app_interval_ns = 10 * NS_PER_MS;
	w->node[1].app_interval_ns = 10 * NS_PER_MS;
	world_run(w, 1000 * SEC);
	CHECK(initiations(w) == 2 + 8);
	check_no_loss(w);
}

/* Crossings again and again, over traffic: each side is asked to renew at random times. */
static void crossing_renewals(struct world *w)
{
	first_packet(w);
	w->node[0].app_interval_ns = 3 * NS_PER_MS;
	w->node[1].app_interval_ns = 3 * NS_PER_MS;
	for (int i = 0; i < 100; i++) {
		uint32_t r;

		w->random.fill(w->random.ctx, &r, sizeof(r));
		world_run(w, 5 * SEC + r % 1000 * NS_PER_MS);
		world_event(w, r >> 31, (struct wg_peer_event){.type = WG_EV_RENEW});
		world_run(w, r % 80 * NS_PER_MS);
		world_event(w, !(r >> 31), (struct wg_peer_event){.type = WG_EV_RENEW});
	}
	world_run(w, 10 * SEC);
	check_no_loss(w);
	CHECK(is_paired(w));
}

static bool lose_first_of_type(struct world *w, uint32_t from, enum wg_msg_type type)
{
	if (type != w->argument)
		return false;
	w->argument = 0;
	return true;
}

static void one_lost(struct world *w, enum wg_msg_type type)
{
	w->lose = lose_first_of_type;
	w->argument = type;
	world_app_send(w, 0);
	world_run(w, 4900 * NS_PER_MS);
	if (type != WG_MSG_DATA)
		CHECK(data_received(w) == 0);
	world_run(w, 600 * NS_PER_MS); /* 5 s and the jitter and the trip */
	if (type != WG_MSG_DATA) {
		CHECK(initiations(w) == 2);
		CHECK(is_paired(w) && data_received(w) == 1);
		CHECK(w->node[0].shortest_spacing_ns >= 5 * SEC);
		CHECK(w->node[0].shortest_spacing_ns <= 5 * SEC + 333 * NS_PER_MS);
	} else {
		/* the staged packet is lost, the keepalive behind it confirms */
		CHECK(initiations(w) == 1 && is_paired(w));
	}
}

static void initiation_lost(struct world *w)
{
	one_lost(w, WG_MSG_INITIATION);
}

static void response_lost(struct world *w)
{
	one_lost(w, WG_MSG_RESPONSE);
}

static void first_data_lost(struct world *w)
{
	one_lost(w, WG_MSG_DATA);
}

static bool lose_a_third(struct world *w, uint32_t from, enum wg_msg_type type)
{
	uint8_t r;

	w->random.fill(w->random.ctx, &r, 1);
	return type != WG_MSG_DATA && r < 85;
}

/* A third of all handshake messages lost: the session never ends under traffic. */
static void lossy_hours(struct world *w)
{
	world_app_send(w, 0);
	world_run(w, 60 * SEC);
	CHECK(is_paired(w));
	w->lose = lose_a_third;
	w->node[0].app_interval_ns = 100 * NS_PER_MS;
	w->node[1].app_interval_ns = 130 * NS_PER_MS;
	world_run(w, 3600 * SEC);
	w->lose = NULL;
	world_run(w, 10 * SEC);
	check_no_loss(w);
	CHECK(w->node[0].shortest_spacing_ns >= 5 * SEC);
}

static bool lose_all(struct world *w, uint32_t from, enum wg_msg_type type)
{
	return true;
}

static void gives_up_after_twenty(struct world *w)
{
	w->lose = lose_all;
	world_app_send(w, 0);
	world_run(w, 99 * SEC);
	CHECK(w->node[0].staged == 1 && w->node[0].staged_dropped == 0);
	world_run(w, 8 * SEC);
	CHECK(w->node[0].sent[WG_MSG_INITIATION] == 20);
	CHECK(w->node[0].staged == 0 && w->node[0].staged_dropped == 1);
	CHECK(w->node[0].peer.initiator == WG_INITIATOR_IDLE);
	world_run(w, 539 * SEC - 6 * SEC);
	CHECK(w->node[0].zeroed == 0);
	world_run(w, 20 * SEC);
	CHECK(w->node[0].zeroed == 1);
	CHECK(w->node[0].sent[WG_MSG_INITIATION] == 20);
	CHECK(wg_peer_next_deadline(&w->node[0].peer) == WG_PEER_NEVER);
	/* a new packet begins anew */
	w->lose = NULL;
	world_app_send(w, 0);
	world_run(w, SEC);
	CHECK(is_paired(w));
}

/* Data one way is answered by one keepalive after 10 s; silence both ways by none. */
static void passive_keepalive(struct world *w)
{
	first_packet(w);
	world_run(w, 60 * SEC);
	/* the first packet was data: one answer */
	CHECK(w->node[1].keepalives == 1);
	world_app_send(w, 0);
	world_run(w, 9900 * NS_PER_MS);
	CHECK(w->node[1].keepalives == 1);
	world_run(w, 300 * NS_PER_MS);
	CHECK(w->node[1].keepalives == 2);
	/* an answer of its own makes it needless */
	world_app_send(w, 0);
	world_run(w, 5 * SEC);
	world_app_send(w, 1);
	world_run(w, 60 * SEC);
	CHECK(w->node[1].keepalives == 2);
	CHECK(w->node[0].keepalives == 2); /* confirmation, and the answer to node 1's data */
	CHECK(initiations(w) == 1);
}

/* Data with no sign of life for 15 s: a new handshake. */
static void silent_peer(struct world *w)
{
	first_packet(w);
	world_run(w, 30 * SEC);
	w->lose = lose_all;
	world_app_send(w, 0);
	world_run(w, 14900 * NS_PER_MS);
	CHECK(initiations(w) == 1);
	world_run(w, 500 * NS_PER_MS);
	CHECK(initiations(w) == 2);
	w->lose = NULL;
	world_run(w, 6 * SEC);
	CHECK(initiations(w) == 3 && is_paired(w));
}

static bool lose_confirmation(struct world *w, uint32_t from, enum wg_msg_type type)
{
	return type == WG_MSG_DATA && from == 0;
}

/* Until the initiator's first packet arrives the responder stages. */
static void responder_waits_for_confirmation(struct world *w)
{
	w->lose = lose_confirmation;
	world_app_send(w, 0);
	world_run(w, SEC);
	CHECK(w->node[1].peer.sessions.next.state == WG_SESSION_UNCONFIRMED);
	world_app_send(w, 1);
	world_run(w, SEC);
	CHECK(w->node[1].sent[WG_MSG_DATA] == 0 && w->node[1].staged == 1);
	CHECK(w->node[1].sent[WG_MSG_INITIATION] == 0); /* spaced from its response */
	w->lose = NULL;
	world_app_send(w, 0);
	world_run(w, SEC);
	CHECK(w->node[1].sent[WG_MSG_DATA] == 1 && w->node[0].data_received == 1);
	world_run(w, 10 * SEC);
	CHECK(w->node[1].sent[WG_MSG_INITIATION] == 0); /* the deferred one was called off */
}

static void second_initiation_drops_the_first_next(struct world *w)
{
	uint32_t first;

	w->lose = lose_confirmation;
	world_app_send(w, 0);
	world_run(w, SEC);
	first = w->node[1].peer.sessions.next.local_index;
	world_run(w, 5 * SEC);
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_RENEW});
	world_run(w, SEC);
	CHECK(w->node[1].peer.sessions.next.state == WG_SESSION_UNCONFIRMED);
	CHECK(w->node[1].peer.sessions.next.local_index != first);
	CHECK(w->node[1].live_count == 1);
	CHECK(wg_sessions_find(&w->node[1].peer.sessions, first) == NULL);
}

/* causewayd dies at the worst age; packets flow, then it adopts and renews. */
static void control_restart(struct world *w)
{
	for (uint32_t who = 0; who < 2; who++) {
		w->node[0].app_interval_ns = 20 * NS_PER_MS;
		w->node[1].app_interval_ns = 20 * NS_PER_MS;
		world_run(w, 105 * SEC);
		world_ctl_kill(w, who);
		world_run(w, 60 * SEC);
		CHECK(w->node[0].data_lost == 0 && w->node[1].data_lost == 0);
		CHECK(w->node[0].staged == 0 && w->node[1].staged == 0);
		world_ctl_start(w, who);
		world_run(w, 600 * SEC);
	}
	check_no_loss(w);
	CHECK(is_paired(w));
}

static void control_restart_keeps_replay_protection(struct world *w)
{
	uint8_t recorded[sizeof(struct wg_msg_initiation)];

	first_packet(w);
	memcpy(recorded, w->last_initiation[0], sizeof(recorded));
	world_run(w, 10 * SEC);
	world_ctl_kill(w, 1);
	world_ctl_start(w, 1);
	world_deliver(w, 1, recorded, sizeof(recorded));
	CHECK(w->node[1].last_error == -ESTALE);
	world_run(w, SEC);
	CHECK(w->node[1].sent[WG_MSG_RESPONSE] == 1 && is_paired(w));
}

/* The spacing is waived once: traffic is back at once, not after 5 s. */
static void dataplane_restart(struct world *w)
{
	uint64_t before;

	for (uint32_t who = 0; who < 2; who++) {
		world_run(w, 10 * SEC);
		world_app_send(w, 0);
		world_run(w, SEC); /* the last handshake message may be a second old */
		before = w->node[who].sent[WG_MSG_INITIATION];
		world_dp_kill(w, who);
		world_run(w, 100 * NS_PER_MS);
		world_dp_start(w, who);
		CHECK(w->node[who].sent[WG_MSG_INITIATION] == before + 1);
		world_run(w, 200 * NS_PER_MS);
		CHECK(is_paired(w));
		before = data_received(w);
		world_app_send(w, 0);
		world_app_send(w, 1);
		world_run(w, 200 * NS_PER_MS);
		CHECK(data_received(w) == before + 2);
		/* once: the next one is spaced */
		before = w->node[who].sent[WG_MSG_INITIATION];
		world_event(w, who, (struct wg_peer_event){.type = WG_EV_RENEW});
		CHECK(w->node[who].sent[WG_MSG_INITIATION] == before);
		world_run(w, 5 * SEC);
		CHECK(w->node[who].sent[WG_MSG_INITIATION] == before + 1);
	}
}

/* A dataplane that dies between install and acknowledgement takes nothing with it. */
static void dataplane_dies_while_installing(struct world *w)
{
	for (uint64_t at_us = 0; at_us < 45000; at_us += 97) {
		world_app_send(w, 0);
		world_run(w, at_us * NS_PER_US);
		world_dp_kill(w, at_us % 2);
		world_run(w, 3 * NS_PER_MS);
		world_dp_start(w, at_us % 2);
		world_run(w, 12 * SEC);
		world_app_send(w, 0);
		world_app_send(w, 1);
		world_run(w, SEC);
		CHECK(is_paired(w));
		world_run(w, 200 * SEC);
	}
}

static void session_refused(struct world *w)
{
	first_packet(w);
	world_run(w, 10 * SEC);
	/* the dataplane loses what it has, and says so */
	world_event(w, 0,
		    (struct wg_peer_event){.type = WG_EV_SESSION_GONE,
					   .local_index =
						   w->node[0].peer.sessions.current.local_index});
	CHECK(initiations(w) == 2); /* without waiting for the next packet */
	world_run(w, SEC);
	CHECK(is_paired(w));
}

static void cookies_under_load(struct world *w)
{
	w->node[1].under_load = true;
	world_app_send(w, 0);
	world_run(w, 4900 * NS_PER_MS);
	CHECK(w->node[1].sent[WG_MSG_COOKIE] == 1 && w->node[1].sent[WG_MSG_RESPONSE] == 0);
	CHECK(w->node[0].peer.jar.has_cookie);
	world_run(w, SEC);
	CHECK(w->node[1].mac2_seen == 1 && is_paired(w));
	/* a responder answers a loaded initiator the same way */
	w->node[1].under_load = false;
	w->node[0].under_load = true;
	world_run(w, 10 * SEC);
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_RENEW});
	world_run(w, SEC);
	CHECK(w->node[0].sent[WG_MSG_COOKIE] == 1);
	CHECK(w->node[1].peer.jar.has_cookie);
	world_run(w, 6 * SEC);
	CHECK(w->node[0].mac2_seen == 1 && is_paired(w));
	CHECK(w->node[0].peer.sessions.current.born_ns + 7 * SEC > w->now_ns);
}

static void replay_is_refused(struct world *w)
{
	uint8_t first[sizeof(struct wg_msg_initiation)];

	first_packet(w);
	memcpy(first, w->last_initiation[0], sizeof(first));
	world_run(w, SEC);
	world_deliver(w, 1, first, sizeof(first));
	CHECK(w->node[1].last_error == -ESTALE);
	world_run(w, 10 * SEC);
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_RENEW});
	world_run(w, SEC);
	world_deliver(w, 1, first, sizeof(first));
	CHECK(w->node[1].last_error == -ESTALE);
	CHECK(w->node[1].sent[WG_MSG_RESPONSE] == 2);
	/* faster than one in 20 ms */
	world_run(w, 10 * SEC);
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_RENEW});
	world_run(w, 20 * NS_PER_MS + 1);
	world_deliver(w, 1, w->last_initiation[0], sizeof(first));
	CHECK(w->node[1].last_error == -EBUSY);
	/* a clock set back does not make our own initiations stale */
	w->node[0].wall_skew_ns = -1000 * (int64_t)SEC;
	world_run(w, 10 * SEC);
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_RENEW});
	world_run(w, SEC);
	CHECK(w->node[1].last_error == 0 && w->node[1].sent[WG_MSG_RESPONSE] == 4);
}

static void persistent_keepalive(struct world *w)
{
	uint64_t keepalives;

	world_event(w, 0,
		    (struct wg_peer_event){.type = WG_EV_PERSISTENT_KEEPALIVE,
					   .interval_ns = 25 * SEC});
	world_run(w, SEC); /* at once, without a packet */
	CHECK(is_paired(w));
	keepalives = w->node[0].keepalives;
	world_run(w, 100 * SEC);
	CHECK(w->node[0].keepalives == keepalives + 4);
	/* traffic takes its place */
	keepalives = w->node[0].keepalives;
	w->node[0].app_interval_ns = 5 * SEC;
	w->node[1].app_interval_ns = 5 * SEC;
	world_run(w, 10 * SEC);
	keepalives = w->node[0].keepalives;
	world_run(w, 80 * SEC);
	CHECK(w->node[0].keepalives <= keepalives + 1); /* a rekey's confirmation */
	w->node[0].app_interval_ns = w->node[1].app_interval_ns = 0;
	/* it keeps a session for ever, and off means off */
	world_run(w, 3600 * SEC);
	CHECK(wg_peer_is_usable(&w->node[0].peer, w->now_ns));
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_PERSISTENT_KEEPALIVE});
	world_run(w, 15 * SEC);
	keepalives = w->node[0].keepalives;
	world_run(w, 800 * SEC);
	CHECK(w->node[0].keepalives == keepalives);
	CHECK(w->node[0].zeroed == 1);
}

/* Idle: expired sessions go after 180 s, all else after 540 s. */
static void idle_peer_forgets(struct world *w)
{
	first_packet(w);
	world_run(w, 179 * SEC);
	CHECK(w->node[0].live_count == 1 && w->node[1].live_count == 1);
	world_run(w, 2 * SEC);
	CHECK(w->node[0].live_count == 0 && w->node[1].live_count == 0);
	CHECK(w->node[0].zeroed == 0);
	world_run(w, 360 * SEC);
	CHECK(w->node[0].zeroed == 1 && w->node[1].zeroed == 1);
	CHECK(wg_peer_next_deadline(&w->node[0].peer) == WG_PEER_NEVER);
	CHECK(initiations(w) == 1);
	world_app_send(w, 1);
	world_run(w, SEC);
	CHECK(is_paired(w));
}

static void roaming_hastens_the_retry(struct world *w)
{
	first_packet(w);
	world_run(w, 10 * SEC);
	w->lose = lose_all;
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_RENEW});
	world_run(w, SEC);
	w->lose = NULL;
	world_event(w, 0, (struct wg_peer_event){.type = WG_EV_ROAMED});
	CHECK(wg_peer_next_deadline(&w->node[0].peer) == w->now_ns + 4 * SEC);
}

/* Everything at random, all invariants on: loss, restarts, renewals, clocks. */
static void random_life(struct world *w)
{
	w->node[0].app_interval_ns = 400 * NS_PER_MS;
	w->node[1].app_interval_ns = 300 * NS_PER_MS;
	for (int i = 0; i < 150; i++) {
		uint32_t r;

		w->random.fill(w->random.ctx, &r, sizeof(r));
		w->lose = r & 1 ? lose_a_third : NULL;
		if (r >> 8 & 1)
			w->lose = lose_all;
		world_run(w, (r >> 16) % 9000 * 10 * NS_PER_MS);
		if (r >> 9 & 1) {
			world_dp_kill(w, r >> 10 & 1);
			world_run(w, (r >> 11 & 7) * SEC);
			world_dp_start(w, r >> 10 & 1);
		} else if (r >> 14 & 1) {
			world_ctl_kill(w, r >> 10 & 1);
			world_run(w, (r >> 11 & 7) * 20 * SEC);
			world_ctl_start(w, r >> 10 & 1);
		}
		w->node[r >> 15 & 1].under_load = r >> 1 & 1;
		w->lose = NULL;
		world_run(w, 30 * SEC);
		for (int n = 0; n < 2; n++)
			CHECK(wg_peer_is_usable(&w->node[n].peer, w->now_ns));
		CHECK(w->node[0].staged == 0 && w->node[1].staged == 0);
	}
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(struct world *w);
	} scenarios[] = {
#define SCENARIO(f) {#f, f}
		SCENARIO(first_packet),
		SCENARIO(rekey_without_gap),
		SCENARIO(rekey_by_receiving),
		SCENARIO(both_at_once),
		SCENARIO(crossing_renewals),
		SCENARIO(initiation_lost),
		SCENARIO(response_lost),
		SCENARIO(first_data_lost),
		SCENARIO(lossy_hours),
		SCENARIO(gives_up_after_twenty),
		SCENARIO(passive_keepalive),
		SCENARIO(silent_peer),
		SCENARIO(responder_waits_for_confirmation),
		SCENARIO(second_initiation_drops_the_first_next),
		SCENARIO(control_restart),
		SCENARIO(control_restart_keeps_replay_protection),
		SCENARIO(dataplane_restart),
		SCENARIO(dataplane_dies_while_installing),
		SCENARIO(session_refused),
		SCENARIO(cookies_under_load),
		SCENARIO(replay_is_refused),
		SCENARIO(persistent_keepalive),
		SCENARIO(idle_peer_forgets),
		SCENARIO(roaming_hastens_the_retry),
		SCENARIO(random_life),
	};

	CHECK(sodium_init() >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		for (uint64_t seed = 1; seed <= 3; seed++) {
			struct world w;

			printf("%s seed %llu\n", scenarios[i].name, (unsigned long long)seed);
			fflush(stdout);
			world_init(&w, seed);
			scenarios[i].run(&w);
			world_fini(&w);
		}
	}
	return 0;
}
