/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"

#define FAILS_MAX 1000

enum state { IDLE, PAUSED, DIALLING, OPEN, CLOSED };

struct derp_region {
	struct derp_region_env *env;
	const struct derp_region_events *ev;
	void *arg;
	uint16_t id;
	enum state state;
	bool is_home;
	uint32_t generation;
	struct derp_conn *conn; /* DIALLING, OPEN */
	struct derp_sendq queue;
	uv_timer_t timer;      /* PAUSED: its end; OPEN, not home: until it is idle */
	uint64_t used_ns;      /* last packet, to it or from it */
	uint64_t since_ns;     /* the state that the owner knows of */
	uint64_t last_ns;      /* the last frame of connections before */
	unsigned fails;	       /* rounds in a row */
	uint64_t back_ms;      /* the relay restarts: how long it wants to be left alone */
	uint64_t try_until_ns; /* and until when it is tried often; 0: it does not restart */
	bool is_connected;     /* as the owner knows */
	char why[DERP_REGION_WHY_MAX];	     /* the last failure */
	char health[DERP_REGION_HEALTH_MAX]; /* as the relay says */
	size_t at, count;		     /* which relay is tried */
	struct derp_target target[];
};

uint64_t derp_region_pause_ms(unsigned fails, uint32_t random)
{
	uint64_t n = fails < FAILS_MAX ? fails : FAILS_MAX, ms = n * n * 10;

	if (ms > DERP_REGION_PAUSE_MAX_MS)
		ms = DERP_REGION_PAUSE_MAX_MS;
	return ms / 2 + (ms * random >> 32);
}

static uint32_t random32(const struct derp_region *g)
{
	uint32_t r;

	g->env->random->fill(g->env->random->ctx, &r, sizeof(r));
	return r;
}

static uint64_t idle_ms(const struct derp_region *g)
{
	return (clock_now_ns() - g->used_ns) / NS_PER_MS;
}

static bool is_wanted(const struct derp_region *g)
{
	return g->is_home || idle_ms(g) < g->env->idle_ms;
}

/* The last thing that is done: the receiver may close the region. */
static void tell(struct derp_region *g, bool is_connected, const char *why)
{
	bool is_news = g->is_connected != is_connected || (*why && strcmp(why, g->why) != 0);

	if (g->is_connected != is_connected)
		g->since_ns = clock_now_ns();
	g->is_connected = is_connected;
	snprintf(g->why, sizeof(g->why), "%s", why);
	if (is_news)
		g->ev->on_state(g->arg, g, is_connected, g->why);
}

/* ---- when there is a connection ---- */

static void on_timer(uv_timer_t *t);

static void pause_for(struct derp_region *g, uint64_t ms)
{
	g->state = PAUSED;
	uv_timer_start(&g->timer, on_timer, ms, 0);
}

static void rest(struct derp_region *g, const char *why)
{
	g->state = IDLE;
	g->fails = 0;
	uv_timer_stop(&g->timer);
	derp_sendq_clear(&g->queue);
	tell(g, false, why);
}

/* All relays failed, or the connection broke. */
static void retry(struct derp_region *g, const char *why)
{
	uint64_t ms;

	if (!is_wanted(g)) {
		rest(g, why);
		return;
	}
	g->fails++;
	ms = derp_region_pause_ms(g->fails, random32(g));
	/* All clients of a relay that restarts come back: not at once, if there is but this one. */
	if (g->count == 1 && clock_now_ns() < g->try_until_ns) {
		ms = g->back_ms + (g->back_ms * random32(g) >> 33);
		g->back_ms = DERP_REGION_RESTART_MS;
	}
	pause_for(g, ms);
	tell(g, false, why);
}

static const struct derp_conn_events conn_events;

/* The next relay of the round that can be dialled. */
static void try_next(struct derp_region *g)
{
	char why[DERP_CONN_WHY_MAX] = "";

	for (; g->at < g->count; g->at++) {
		struct derp_conn_config cfg = {.env = &g->env->dial,
					       .keys = &g->env->keys,
					       .random = g->env->random,
					       .target = &g->target[g->at],
					       .ideal_node = g->at ? g->target[0].name : NULL,
					       .is_home = g->is_home,
					       .queue = &g->queue};

		g->state = DIALLING;
		if (derp_conn_open(&cfg, &conn_events, g, &g->conn, why) == 0)
			return;
		g->env->counters.connect_fails++;
	}
	retry(g, why);
}

static void watch_idle(struct derp_region *g)
{
	uint64_t idle = idle_ms(g);

	if (g->is_home)
		uv_timer_stop(&g->timer);
	else
		uv_timer_start(&g->timer, on_timer,
			       idle < g->env->idle_ms ? g->env->idle_ms - idle : 0, 0);
}

static void drop_conn(struct derp_region *g)
{
	if (!g->conn)
		return;
	if (derp_conn_last_frame_ns(g->conn))
		g->last_ns = derp_conn_last_frame_ns(g->conn);
	derp_conn_close(g->conn);
	g->conn = NULL;
}

static void on_timer(uv_timer_t *t)
{
	struct derp_region *g = t->data;

	if (g->state == PAUSED) {
		g->at = 0;
		try_next(g);
	} else if (is_wanted(g)) {
		watch_idle(g);
	} else {
		drop_conn(g);
		rest(g, "");
	}
}

/* Somebody needs it. */
static void wake(struct derp_region *g)
{
	if (g->state == IDLE)
		pause_for(g, 0);
}

/* ---- what the connection says ---- */

static void on_open(void *arg)
{
	struct derp_region *g = arg;

	g->state = OPEN;
	g->generation++;
	g->try_until_ns = 0;
	g->env->counters.connects++;
	watch_idle(g);
	tell(g, true, "");
}

static void on_packet(void *arg, const struct key *from, const uint8_t *data, size_t len)
{
	struct derp_region *g = arg;

	g->used_ns = clock_now_ns();
	g->ev->on_packet(g->arg, g, from, data, len);
}

static void on_gone(void *arg, const struct key *peer, enum derp_gone_reason reason)
{
	struct derp_region *g = arg;

	g->ev->on_gone(g->arg, g, peer, reason);
}

static void on_health(void *arg, const char *text)
{
	struct derp_region *g = arg;

	if (strcmp(text, g->health) == 0)
		return;
	snprintf(g->health, sizeof(g->health), "%s", text);
	g->ev->on_health(g->arg, g, g->health);
}

static void on_restarting(void *arg, uint32_t reconnect_ms, uint32_t try_for_ms)
{
	struct derp_region *g = arg;
	uint64_t for_ms =
		try_for_ms < DERP_REGION_TRY_FOR_MAX_MS ? try_for_ms : DERP_REGION_TRY_FOR_MAX_MS;

	g->back_ms =
		reconnect_ms < DERP_REGION_BACK_MAX_MS ? reconnect_ms : DERP_REGION_BACK_MAX_MS;
	g->try_until_ns = clock_now_ns() + (g->back_ms + for_ms) * NS_PER_MS;
}

static void on_close(void *arg, const char *why)
{
	struct derp_region *g = arg;
	char text[DERP_REGION_WHY_MAX];

	snprintf(text, sizeof(text), "%s%s%.220s", g->target[g->at].name,
		 g->target[g->at].name[0] ? ": " : "", why);
	drop_conn(g);
	if (g->state == DIALLING) {
		g->env->counters.connect_fails++;
		g->at++;
		if (g->at < g->count)
			try_next(g);
		else
			retry(g, text);
		return;
	}
	g->env->counters.breaks++;
	if (clock_now_ns() - g->since_ns >= DERP_REGION_STABLE_MS * NS_PER_MS)
		g->fails = 0;
	/* What it said of itself is over with it. */
	on_health(g, "");
	if (g->state == OPEN)
		retry(g, text);
}

static const struct derp_conn_events conn_events = {.on_open = on_open,
						    .on_packet = on_packet,
						    .on_gone = on_gone,
						    .on_health = on_health,
						    .on_restarting = on_restarting,
						    .on_close = on_close};

/* ---- for derp_regions ---- */

struct derp_region *derp_region_open(struct derp_region_env *env, const struct derp_map_region *m,
				     const struct derp_region_events *ev, void *arg)
{
	struct derp_region *g = calloc(1, sizeof(*g) + m->node_count * sizeof(g->target[0]));

	if (!g)
		return NULL;
	for (size_t i = 0; i < m->node_count; i++)
		if (!m->node[i].is_stun_only &&
		    derp_target_init(&g->target[g->count], &m->node[i], !env->dial.tls) == 0)
			g->count++;
	if (!g->count) {
		free(g);
		return NULL;
	}
	g->env = env;
	g->ev = ev;
	g->arg = arg;
	g->id = m->id;
	g->since_ns = g->used_ns = clock_now_ns();
	derp_sendq_init(&g->queue, &env->counters);
	uv_timer_init(env->dial.loop, &g->timer);
	g->timer.data = g;
	return g;
}

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void derp_region_close(struct derp_region *g)
{
	if (g->state == CLOSED)
		return;
	g->state = CLOSED;
	drop_conn(g);
	derp_sendq_clear(&g->queue);
	uv_close((uv_handle_t *)&g->timer, on_timer_closed);
}

uint16_t derp_region_id(const struct derp_region *g)
{
	return g->id;
}

bool derp_region_is(const struct derp_region *g, const struct derp_map_region *m)
{
	struct derp_target t;
	size_t n = 0;

	for (size_t i = 0; i < m->node_count; i++) {
		if (m->node[i].is_stun_only || derp_target_init(&t, &m->node[i], !g->env->dial.tls))
			continue;
		if (n == g->count || !derp_target_equal(&t, &g->target[n]))
			return false;
		n++;
	}
	return n == g->count && m->id == g->id;
}

void derp_region_set_home(struct derp_region *g, bool is_home)
{
	if (g->is_home == is_home)
		return;
	g->is_home = is_home;
	g->used_ns = clock_now_ns(); /* an old home may be needed a while yet */
	if (g->conn)
		derp_conn_set_home(g->conn, is_home);
	if (g->state == OPEN)
		watch_idle(g);
	if (is_home)
		wake(g);
}

int derp_region_send(struct derp_region *g, const struct key *to, const void *data, size_t len)
{
	uint64_t now_ns = clock_now_ns();
	int rc = derp_sendq_add(&g->queue, to, data, len, now_ns);

	if (rc)
		return rc;
	g->used_ns = now_ns;
	if (g->conn)
		derp_conn_kick(g->conn);
	wake(g);
	return 0;
}

bool derp_region_is_connected(const struct derp_region *g)
{
	return g->state == OPEN;
}

uint32_t derp_region_generation(const struct derp_region *g)
{
	return g->generation;
}

uint64_t derp_region_last_frame_ns(const struct derp_region *g)
{
	uint64_t ns = g->conn ? derp_conn_last_frame_ns(g->conn) : 0;

	return ns ? ns : g->last_ns;
}

void derp_region_probe(struct derp_region *g)
{
	g->fails = 0;
	if (g->state == OPEN)
		derp_conn_probe(g->conn);
	else if (g->state == PAUSED)
		pause_for(g, 0);
}

bool derp_region_info(const struct derp_region *g, struct derp_region_info *out)
{
	bool has_relay = g->state == DIALLING || g->state == OPEN;

	*out = (struct derp_region_info){.region = g->id,
					 .is_home = g->is_home,
					 .is_connected = g->state == OPEN,
					 .since_ns = g->since_ns,
					 .queued_bytes = derp_sendq_bytes(&g->queue)};
	snprintf(out->node, sizeof(out->node), "%s", has_relay ? g->target[g->at].name : "");
	snprintf(out->health, sizeof(out->health), "%s", g->health);
	snprintf(out->last_error, sizeof(out->last_error), "%s", g->why);
	return g->state != IDLE;
}
