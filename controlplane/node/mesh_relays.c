/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/derp_client/derp_latency.h"
#include "controlplane/dns/dns_server.h"
#include "controlplane/node/dp_path.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/link_plan.h"
#include "controlplane/node/mesh_interfaces.h"
#include "controlplane/node/mesh_netcheck.h"
#include "controlplane/node/mesh_parts.h"
#include "controlplane/node/packets.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define ACTIVE_NS      (45 * NS_PER_SEC)
#define ACTIVE_LOOK_MS 5000

/* ---- DERP ---- */

static void on_derp_packet(void *arg, uint16_t region, const struct key *from, const uint8_t *data,
			   size_t len)
{
	struct mesh *m = arg;

	ways_on_derp(m->node, region, from, data, len);
}

static void on_derp_state(void *arg, uint16_t region, bool is_connected, const char *why)
{
	struct mesh *m = arg;

	if (is_connected || !why[0])
		log_info("derp.state", "region=%u connected=%d", region, is_connected);
	else
		log_warn("derp.state", "region=%u connected=0 error=\"%s\"", region, why);
	if (region == m->home)
		mesh_tell(m, MESH_DID_HEALTH);
}

static void on_derp_health(void *arg, uint16_t region, const char *text)
{
	if (text[0])
		log_warn("derp.health", "region=%u says=\"%s\"", region, text);
	mesh_tell(arg, MESH_DID_HEALTH);
}

static const struct derp_regions_events derp_events = {
	.on_packet = on_derp_packet, .on_state = on_derp_state, .on_health = on_derp_health};

static int derp_send(void *ctx, uint16_t region, const struct key *to, const void *data, size_t len)
{
	struct mesh *m = ctx;
	int rc = m->derp ? derp_regions_send(m->derp, region, to, data, len) : -ENETUNREACH;

	return rc < 0 ? rc : 0;
}

static void close_derp(struct mesh *m)
{
	derp_regions_close(m->derp);
	m->derp = NULL;
}

/* Relays know a node by its node key: with another key come other connections. */
static void follow_key(struct mesh *m)
{
	const struct key *private = mesh_control_node_key(m->control);
	struct derp_regions_config cfg = {.loop = m->node->loop,
					  .tls = m->tls,
					  .node_private = private,
					  .random = &node_random,
					  .env = getenv};
	struct key public;
	int rc;

	crypto_scalarmult_base(public.bytes, private->bytes);
	if (m->derp && key_equal(&public, &m->derp_key))
		return;
	close_derp(m);
	m->derp_key = public;
	rc = derp_regions_open(&cfg, &derp_events, m, &m->derp);
	if (rc) {
		log_error("derp.open", "error=\"%s\"", strerror(-rc));
		m->derp = NULL;
		return;
	}
	derp_regions_set_map(m->derp, m->derp_map);
	derp_regions_set_home(m->derp, m->home);
}

static void set_map(struct mesh *m, json_t *json)
{
	struct derp_map *old = m->derp_map, *map;
	struct json_in in = {0};

	if (old && json && json_equal(old->json, json))
		return;
	if (derp_map_parse(json, &map, &in)) {
		log_error("derp.map", "error=\"%s\"", in.error);
		return;
	}
	m->derp_map = map;
	if (m->derp)
		derp_regions_set_map(m->derp, map);
	mesh_netcheck_set_map(m->netcheck, map);
	derp_map_free(old);
}

/*
 * Where peers look for us, by the coordinator's last word: after a start without it they could not
 * be told of another home, and a look at the network takes seconds where there is no UDP.
 */
static void take_known_home(struct mesh *m, const struct netmap *map)
{
	const struct derp_map_region *r = derp_map_region(m->derp_map, map->self->home_derp);

	if (m->home || !r)
		return;
	log_info("derp.home", "region=%u source=picture", r->id);
	m->home = r->id;
	mesh_netcheck_set_home(m->netcheck, r->id);
	if (m->derp)
		derp_regions_set_home(m->derp, r->id);
}

void mesh_relays_apply(struct mesh *m, const struct netmap *map)
{
	if (!map) {
		close_derp(m);
		mesh_netcheck_set_active(m->netcheck, false);
		return;
	}
	follow_key(m);
	set_map(m, map->derp);
	take_known_home(m, map);
}

/* ---- netcheck ---- */

static int send_stun(void *ctx, const struct endpoint *to, const void *data, size_t len)
{
	struct mesh *m = ctx;
	struct dpapi_path path = dp_path_direct(to, 0);

	return packets_send(m->node->packets, &path, data, len);
}

/* A region that is asked over HTTPS how far it is. */
struct mesh_asked {
	struct mesh *mesh;
	struct mesh_asked *next;
	struct derp_latency *latency;
};

static void forget_asked(struct mesh_asked *q)
{
	struct mesh_asked **at = &q->mesh->asked;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	free(q);
}

static void on_latency(void *arg, uint16_t region, uint64_t latency_ns,
		       const struct endpoint *remote, const char *why)
{
	struct mesh_asked *q = arg;
	struct mesh *m = q->mesh;

	forget_asked(q);
	if (why[0])
		log_info("netcheck.https", "region=%u error=\"%s\"", region, why);
	mesh_netcheck_on_https(m->netcheck, region, latency_ns ? remote->addr.family : 0,
			       latency_ns);
}

static void ask_https(void *ctx, const struct derp_map_region *region)
{
	struct mesh *m = ctx;
	const struct derp_dial_env env = {.loop = m->node->loop, .tls = m->tls, .env = getenv};
	struct mesh_asked *q = calloc(1, sizeof(*q));
	char why[DERP_DIAL_WHY_MAX];

	if (!q)
		return; /* as if there were no answer */
	q->mesh = m;
	q->next = m->asked;
	m->asked = q;
	if (derp_latency_start(&env, region, on_latency, q, &q->latency, why)) {
		log_info("netcheck.https", "region=%u error=\"%s\"", region->id, why);
		forget_asked(q);
	}
}

static uint64_t last_frame_ns(void *ctx, uint16_t region)
{
	struct mesh *m = ctx;

	return m->derp ? derp_regions_last_frame_ns(m->derp, region) : 0;
}

static bool is_heard(void *ctx)
{
	struct mesh *m = ctx;

	return m->is_connected;
}

void mesh_relays_tell_endpoints(struct mesh *m)
{
	const struct endpoint_list *list = mesh_netcheck_endpoints(m->netcheck);
	struct control_endpoint told[ENDPOINT_LIST_MAX];

	for (size_t i = 0; i < list->count; i++)
		told[i] = (struct control_endpoint){
			.endpoint = list->at[i].at,
			.type = (enum control_endpoint_type)list->at[i].type};
	mesh_control_set_endpoints(m->control, told, (uint32_t)list->count);
}

static void on_endpoints(void *arg, const struct endpoint_list *list)
{
	struct mesh *m = arg;

	(void)list;
	if (m->control)
		mesh_relays_tell_endpoints(m);
}

static void on_home(void *arg, uint16_t region)
{
	struct mesh *m = arg;

	log_info("derp.home", "region=%u", region);
	m->home = region;
	if (m->derp)
		derp_regions_set_home(m->derp, region);
	mesh_tell(m, MESH_DID_NETCHECK);
}

static void on_netinfo(void *arg, json_t *netinfo)
{
	struct mesh *m = arg;
	json_t *hostinfo;

	json_decref(m->net_info);
	m->net_info = json_incref(netinfo);
	hostinfo = m->control ? mesh_hostinfo(m) : NULL;
	if (hostinfo)
		mesh_control_set_hostinfo(m->control, hostinfo);
	json_decref(hostinfo);
}

/* Whatever was found: who waits for fresh endpoints goes on. */
static void on_report(void *arg, const struct netcheck_report *report)
{
	struct mesh *m = arg;
	const struct endpoint_list *list = mesh_netcheck_endpoints(m->netcheck);
	struct endpoint at[ENDPOINT_LIST_MAX];

	(void)report;
	for (size_t i = 0; i < list->count; i++)
		at[i] = list->at[i].at;
	ways_set_endpoints(m->node, at, list->count);
	mesh_tell(m, MESH_DID_NETCHECK);
}

static const struct mesh_netcheck_events netcheck_events = {.on_endpoints = on_endpoints,
							    .on_home = on_home,
							    .on_netinfo = on_netinfo,
							    .on_report = on_report};

const struct netcheck_report *mesh_netcheck_report(const struct mesh *m)
{
	return m->netcheck ? mesh_netcheck_last(m->netcheck) : NULL;
}

int mesh_netcheck_start(struct mesh *m)
{
	if (!m->netcheck)
		return -EOPNOTSUPP;
	mesh_netcheck_run(m->netcheck);
	return 0;
}

/* ---- what the ways want ---- */

static void on_stun(void *ctx, const uint8_t *data, size_t len, const struct endpoint *from)
{
	struct mesh *m = ctx;

	if (mesh_netcheck_on_stun(m->netcheck, data, len, from))
		counters_add(&m->node->counters, CONTROL_BAD_STUN);
}

static void need_endpoints(void *ctx)
{
	mesh_netcheck_refresh(((struct mesh *)ctx)->netcheck);
}

static void on_ways_changed(void *ctx)
{
	mesh_tell(ctx, MESH_DID_PATHS);
}

/* ---- this machine ---- */

static bool is_own_interface(void *arg, uint32_t ifindex, const char *name)
{
	struct mesh *m = arg;
	uint32_t count;
	const struct dpapi_port *ports = dp_sync_ports(m->node, &count);

	(void)name;
	for (uint32_t i = 0; i < count; i++)
		if (ports[i].tun_ifindex == ifindex)
			return true;
	return false;
}

static void on_interfaces(void *arg, const struct mesh_interfaces_state *old,
			  const struct mesh_interfaces_state *now)
{
	struct mesh *m = arg;

	(void)old;
	log_info("mesh.link", "addresses=%zu v4=%d v6=%d", now->count, now->has_v4, now->has_v6);
	mesh_netcheck_set_interfaces(m->netcheck, now);
	if (m->derp)
		derp_regions_network_changed(m->derp);
	ways_on_link_change(m->node);
}

static const struct mesh_interfaces_events interfaces_events = {.is_own = is_own_interface,
								.on_change = on_interfaces};

/* node_dataplane_fn: its sockets, and so their ports, are there or gone. */
static void on_dataplane(void *arg)
{
	struct mesh *m = arg;
	uint32_t count;
	const struct dpapi_port *ports = dp_sync_ports(m->node, &count);

	mesh_interfaces_look(m->interfaces);
	dns_server_set_tunnel(m->dns,
			      dp_sync_is_ready(m->node) && count ? ports[0].tun_ifindex : 0);
	if (!dp_sync_is_ready(m->node) || !count)
		return;
	mesh_netcheck_set_ports(m->netcheck, ports[0].udp_fd_v4 ? ports[0].listen_port : 0,
				ports[0].udp_fd_v6 ? ports[0].listen_port : 0, true);
}

static void on_look(uv_timer_t *t)
{
	struct mesh *m = t->data;
	uint64_t at_ns = ways_active_ns(m->node);

	mesh_netcheck_set_active(m->netcheck, at_ns && clock_now_ns() - at_ns < ACTIVE_NS);
}

int mesh_relays_open(struct mesh *m)
{
	const struct mesh_netcheck_env env = {.ctx = m,
					      .send = send_stun,
					      .https = ask_https,
					      .last_frame_ns = last_frame_ns,
					      .is_heard = is_heard,
					      .random = &node_random};
	const struct ways_env ways = {.ctx = m,
				      .derp_send = derp_send,
				      .stun = on_stun,
				      .need_endpoints = need_endpoints,
				      .changed = on_ways_changed};
	int rc = ways_open(m->node, &m->disco, &ways);

	if (!rc)
		rc = mesh_netcheck_open(m->node->loop, &env, &netcheck_events, m, &m->netcheck);
	if (!rc)
		rc = mesh_interfaces_open(m->node->loop, LINK_FWMARK, &interfaces_events, m,
					  &m->interfaces);
	if (rc)
		return rc;
	mesh_netcheck_set_interfaces(m->netcheck, mesh_interfaces_state(m->interfaces));
	node_watch_dataplane(m->node, on_dataplane, m);
	uv_timer_start(&m->look, on_look, ACTIVE_LOOK_MS, ACTIVE_LOOK_MS);
	return 0;
}

void mesh_relays_close(struct mesh *m)
{
	node_watch_dataplane(m->node, NULL, NULL);
	uv_timer_stop(&m->look);
	mesh_interfaces_close(m->interfaces);
	mesh_netcheck_close(m->netcheck);
	while (m->asked) {
		derp_latency_cancel(m->asked->latency);
		forget_asked(m->asked);
	}
	close_derp(m);
	derp_map_free(m->derp_map);
	ways_close(m->node);
}
