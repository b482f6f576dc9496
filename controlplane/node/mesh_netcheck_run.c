/* SPDX-License-Identifier: Apache-2.0 */
/* A report as it is made: whom to ask, what is sent, what could not be. */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/node/mesh_netcheck_state.h"
#include "lib/base/clock.h"

#define NAMES_NS (2 * NS_PER_SEC) /* a report waits for names that nobody knows yet */

static_assert(DERP_MAP_REGIONS_MAX <= HOME_REGIONS_MAX, "a region has its latency");
static_assert(DERP_MAP_NODES_MAX <= 32, "a node has its bit");

/* Where a node listens for STUN in a family; false: nowhere, or its name is not known. */
static bool stun_endpoint(const struct mesh_netcheck *m, const struct derp_map_node *node,
			  bool is_v6, struct endpoint *out)
{
	const struct derp_map_addr *a = is_v6 ? &node->ipv6 : &node->ipv4;
	uint8_t family = is_v6 ? AF_INET6 : AF_INET;

	if (node->stun_port == DERP_MAP_STUN_OFF)
		return false;
	out->port = (uint16_t)node->stun_port;
	out->addr = node->stun_ip.family ? node->stun_ip : a->addr;
	if (!node->stun_ip.family && a->use == DERP_MAP_BY_NAME &&
	    !relay_names_get(m->names, node->host_name, family, &out->addr))
		return false;
	return out->addr.family == family;
}

static void send_request(struct mesh_netcheck *m, const struct netcheck_action *a)
{
	const struct derp_map_region *r = derp_map_region(m->map, a->region);
	bool *can_send = a->is_v6 ? &m->can_send_v6 : &m->can_send_v4;
	struct endpoint to;
	int rc = -ENETUNREACH;

	if (r && a->node < r->node_count && stun_endpoint(m, &r->node[a->node], a->is_v6, &to))
		rc = m->env.send(m->env.ctx, &to, a->request, sizeof(a->request));
	switch (rc) {
	case 0:
	case -EPERM: /* a firewall's word: as good as lost on the way */
		*can_send = true;
		break;
	case -EAGAIN:
	case -ENOBUFS:
		break; /* lost; the next try may leave */
	default:
		m->unsent[m->unsent_count++] = *a;
	}
}

static void act(void *ctx, const struct netcheck_action *a)
{
	struct mesh_netcheck *m = ctx;
	const struct derp_map_region *r = derp_map_region(m->map, a->region);

	switch (a->type) {
	case NETCHECK_SEND:
		send_request(m, a);
		break;
	case NETCHECK_HTTPS:
		if (r && derp_map_relays(r) && !r->is_avoided)
			m->env.https(m->env.ctx, r);
		else
			m->untimed[m->untimed_count++] = a->region;
		break;
	case NETCHECK_DONE:
		m->is_done = true;
		break;
	}
}

static void fill(void *ctx, void *buf, size_t len)
{
	const struct mesh_netcheck *m = ctx;

	m->env.random->fill(m->env.random->ctx, buf, len);
}

void mesh_netcheck_engine_init(struct mesh_netcheck *m)
{
	m->engine_env = (struct netcheck_env){m, fill, act};
}

void mesh_netcheck_take_actions(struct mesh_netcheck *m)
{
	while (m->unsent_count || m->untimed_count) {
		for (; m->unsent_count; m->unsent_count--) {
			const struct netcheck_action *a = &m->unsent[m->unsent_count - 1];

			netcheck_on_unsent(&m->engine, a->region, a->node, a->is_v6);
		}
		for (; m->untimed_count; m->untimed_count--)
			netcheck_on_https(&m->engine, m->untimed[m->untimed_count - 1], 0, 0,
					  clock_now_ns());
		netcheck_on_timer(&m->engine, clock_now_ns());
	}
	if (m->is_done) {
		m->is_done = false;
		mesh_netcheck_finish(m);
	}
	mesh_netcheck_arm(m);
}

static bool has_os_v6(void)
{
	const struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

/* A region with bits for the nodes that can be asked; false: it is left out. */
static bool ask_region(const struct mesh_netcheck *m, const struct derp_map_region *r, bool is_full,
		       struct netcheck_region *out)
{
	struct endpoint e;

	if (r->is_no_home || !r->node_count || (r->is_avoided && !is_full && r->id != m->home.home))
		return false;
	*out = (struct netcheck_region){.id = r->id, .node_count = (uint8_t)r->node_count};
	for (size_t i = 0; i < r->node_count; i++) {
		out->nodes_v4 |= (uint32_t)stun_endpoint(m, &r->node[i], false, &e) << i;
		out->nodes_v6 |= (uint32_t)stun_endpoint(m, &r->node[i], true, &e) << i;
	}
	return true;
}

static bool has_latency(const struct netcheck_report *r)
{
	for (size_t i = 0; i < r->region_count; i++) {
		if (r->region[i].any_ns)
			return true;
	}
	return false;
}

void mesh_netcheck_go_on(struct mesh_netcheck *m, uint64_t now_ns)
{
	struct netcheck_region region[HOME_REGIONS_MAX];
	struct netcheck_ask ask = {
		.region = region,
		.last = m->is_next_full || !has_latency(&m->report) ? NULL : &m->report,
		.home = m->home.home,
		.has_v4 = m->interfaces.has_v4 && m->port4,
		.has_v6 = m->interfaces.has_v6 && m->port6,
	};

	for (size_t i = 0; i < m->map->region_count; i++)
		ask.count += ask_region(m, &m->map->region[i], m->is_next_full, &region[ask.count]);
	m->is_waiting = false;
	m->can_send_v4 = m->can_send_v6 = false;
	netcheck_start(&m->engine, &m->engine_env, &ask, now_ns);
	m->engine.report.has_os_v6 = has_os_v6();
	netcheck_on_timer(&m->engine, now_ns);
	mesh_netcheck_take_actions(m);
}

static void want_names(struct mesh_netcheck *m)
{
	relay_names_begin(m->names);
	for (size_t i = 0; i < m->map->region_count; i++) {
		const struct derp_map_region *r = &m->map->region[i];

		for (size_t k = 0; k < r->node_count; k++) {
			const struct derp_map_node *n = &r->node[k];

			if (n->stun_port != DERP_MAP_STUN_OFF && !n->stun_ip.family &&
			    (n->ipv4.use == DERP_MAP_BY_NAME || n->ipv6.use == DERP_MAP_BY_NAME))
				relay_names_want(m->names, n->host_name);
		}
	}
	relay_names_end(m->names);
}

void mesh_netcheck_give_up(struct mesh_netcheck *m)
{
	m->is_waiting = false;
	m->engine.state = NETCHECK_IDLE;
}

void mesh_netcheck_begin(struct mesh_netcheck *m, bool is_full, uint64_t now_ns)
{
	mesh_netcheck_give_up(m);
	m->is_waiting = true;
	m->is_next_full = is_full;
	m->names_until_ns = now_ns + NAMES_NS;
	want_names(m);
	if (!relay_names_is_waiting(m->names))
		mesh_netcheck_go_on(m, now_ns);
}
