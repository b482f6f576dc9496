/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/mesh_netcheck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/node/mesh_netcheck_state.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define FULL_NS	      (300 * NS_PER_SEC)
#define LIGHT_MIN_NS  (20 * NS_PER_SEC)
#define LIGHT_SPAN_NS (6 * NS_PER_SEC) /* so that a mesh's nodes do not ask all at once */
#define NEVER	      UINT64_MAX

static void on_found(void *arg)
{
	struct mesh_netcheck *m = arg;

	if (m->is_waiting)
		mesh_netcheck_go_on(m, clock_now_ns());
}

int mesh_netcheck_open(uv_loop_t *loop, const struct mesh_netcheck_env *env,
		       const struct mesh_netcheck_events *ev, void *arg, struct mesh_netcheck **out)
{
	struct mesh_netcheck *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	if (relay_names_open(loop, on_found, m, &m->names)) {
		free(m);
		return -ENOMEM;
	}
	m->env = *env;
	m->ev = *ev;
	m->arg = arg;
	mesh_netcheck_engine_init(m);
	uv_timer_init(loop, &m->timer);
	m->timer.data = m;
	*out = m;
	return 0;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct mesh_netcheck *m = h->data;

	json_decref(m->netinfo);
	free(m);
}

void mesh_netcheck_close(struct mesh_netcheck *m)
{
	if (!m || m->is_closed)
		return;
	m->is_closed = true;
	relay_names_close(m->names);
	uv_close((uv_handle_t *)&m->timer, on_timer_closed);
}

static bool is_running(const struct mesh_netcheck *m)
{
	return m->is_waiting || m->engine.state != NETCHECK_IDLE;
}

static bool is_full(const struct mesh_netcheck *m)
{
	return m->is_waiting ? m->is_next_full : m->engine.is_full;
}

static bool can_begin(const struct mesh_netcheck *m)
{
	return m->map && m->map->region_count &&
	       ((m->interfaces.has_v4 && m->port4) || (m->interfaces.has_v6 && m->port6));
}

static void on_timer(uv_timer_t *t);

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* At 0: what the owner asked for is done from the loop, never inside of his call. */
void mesh_netcheck_arm(struct mesh_netcheck *m)
{
	uint64_t now_ns = clock_now_ns(), at_ns = netcheck_next_ns(&m->engine);

	if (m->is_closed)
		return;
	if (m->is_waiting)
		at_ns = earlier(at_ns, m->names_until_ns);
	if (can_begin(m) && m->is_outdated)
		at_ns = 0;
	if (can_begin(m) && !is_running(m)) {
		at_ns = earlier(at_ns, m->full_at_ns);
		if (m->is_active)
			at_ns = earlier(at_ns, m->light_at_ns);
		if (m->wants_full || m->wants_light)
			at_ns = 0;
	}
	if (m->is_list_due)
		at_ns = 0;
	if (at_ns == NEVER)
		uv_timer_stop(&m->timer);
	else
		uv_timer_start(&m->timer, on_timer,
			       at_ns > now_ns ? (at_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0,
			       0);
}

static void begin(struct mesh_netcheck *m, bool is_full, uint64_t now_ns)
{
	uint64_t draw;

	m->env.random->fill(m->env.random->ctx, &draw, sizeof(draw));
	if (is_full) {
		m->full_at_ns = now_ns + FULL_NS;
		m->wants_full = false;
	}
	m->light_at_ns = now_ns + LIGHT_MIN_NS + draw % LIGHT_SPAN_NS;
	m->wants_light = m->is_outdated = false;
	mesh_netcheck_begin(m, is_full, now_ns);
}

/* One step of a report, or the next one that is due. */
static void step(struct mesh_netcheck *m, uint64_t now_ns)
{
	if (m->is_outdated) {
		begin(m, true, now_ns);
	} else if (m->is_waiting) {
		if (now_ns >= m->names_until_ns)
			mesh_netcheck_go_on(m, now_ns);
	} else if (m->engine.state != NETCHECK_IDLE) {
		netcheck_on_timer(&m->engine, now_ns);
		mesh_netcheck_take_actions(m);
	} else if (m->wants_full || now_ns >= m->full_at_ns) {
		begin(m, true, now_ns);
	} else if (m->wants_light || (m->is_active && now_ns >= m->light_at_ns)) {
		begin(m, false, now_ns);
	}
}

/* The owner may set something at each event, so all is looked at anew. */
static void on_timer(uv_timer_t *t)
{
	struct mesh_netcheck *m = t->data;

	if (m->is_list_due)
		mesh_netcheck_update_endpoints(m, NULL);
	if (can_begin(m))
		mesh_netcheck_take_only_home(m);
	if (can_begin(m))
		step(m, clock_now_ns());
	mesh_netcheck_arm(m);
}

/* What runs is of no use any more. */
static void outdate(struct mesh_netcheck *m)
{
	mesh_netcheck_give_up(m);
	m->is_outdated = true;
	mesh_netcheck_arm(m);
}

void mesh_netcheck_set_map(struct mesh_netcheck *m, const struct derp_map *map)
{
	m->map = map;
	outdate(m);
}

void mesh_netcheck_set_home(struct mesh_netcheck *m, uint16_t region)
{
	m->home.home = region;
}

void mesh_netcheck_set_ports(struct mesh_netcheck *m, uint16_t port4, uint16_t port6, bool is_fixed)
{
	if (m->port4 == port4 && m->port6 == port6 && m->is_port_fixed == is_fixed)
		return;
	m->port4 = port4;
	m->port6 = port6;
	m->is_port_fixed = is_fixed;
	m->is_list_due = true;
	outdate(m);
}

void mesh_netcheck_set_configured(struct mesh_netcheck *m, const struct endpoint *e, size_t count)
{
	m->configured_count = count < ENDPOINT_LIST_MAX ? count : ENDPOINT_LIST_MAX;
	memcpy(m->configured, e, m->configured_count * sizeof(*e));
	m->is_list_due = true;
	mesh_netcheck_arm(m);
}

void mesh_netcheck_set_interfaces(struct mesh_netcheck *m, const struct mesh_interfaces_state *s)
{
	m->interfaces = *s;
	m->is_list_due = true;
	outdate(m);
}

void mesh_netcheck_set_active(struct mesh_netcheck *m, bool is_active)
{
	if (m->is_active == is_active)
		return;
	m->is_active = is_active;
	mesh_netcheck_arm(m);
}

void mesh_netcheck_run(struct mesh_netcheck *m)
{
	m->wants_full |= !(is_running(m) && is_full(m));
	mesh_netcheck_arm(m);
}

void mesh_netcheck_refresh(struct mesh_netcheck *m)
{
	m->wants_light |= !is_running(m);
	mesh_netcheck_arm(m);
}

int mesh_netcheck_on_stun(struct mesh_netcheck *m, const uint8_t *data, size_t len,
			  const struct endpoint *from)
{
	const struct netcheck_report *r = &m->engine.report;
	bool had_v4 = r->ipv4, had_v6 = r->ipv6;
	int rc = netcheck_on_stun(&m->engine, data, len, clock_now_ns());

	if (rc) {
		char text[ENDPOINT_STR_MAX];

		log_debug("netcheck.stun", "from=%s error=\"%s\"", endpoint_print(from, text),
			  stun_parse_text(rc));
		return rc;
	}
	m->answered_ns = clock_now_ns();
	/* Peers can use it now; the rest of the report may take seconds. */
	if (!m->is_done && (had_v4 != r->ipv4 || had_v6 != r->ipv6))
		mesh_netcheck_update_endpoints(m, r);
	mesh_netcheck_take_actions(m);
	return STUN_OK;
}

void mesh_netcheck_on_https(struct mesh_netcheck *m, uint16_t region, uint8_t family,
			    uint64_t latency_ns)
{
	netcheck_on_https(&m->engine, region, family, latency_ns, clock_now_ns());
	mesh_netcheck_take_actions(m);
}

const struct netcheck_report *mesh_netcheck_last(const struct mesh_netcheck *m)
{
	return m->has_report ? &m->report : NULL;
}

uint16_t mesh_netcheck_home(const struct mesh_netcheck *m)
{
	return m->home.home;
}

const struct endpoint_list *mesh_netcheck_endpoints(const struct mesh_netcheck *m)
{
	return &m->endpoints;
}

uint64_t mesh_netcheck_answered_ns(const struct mesh_netcheck *m)
{
	return m->answered_ns;
}
