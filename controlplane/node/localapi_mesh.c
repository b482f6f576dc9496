/* SPDX-License-Identifier: Apache-2.0 */
/* What the LocalAPI tells of the mesh: who is who, relays, ways to a peer, the network. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/localapi/ipn_netcheck.h"
#include "controlplane/localapi/ipn_notify.h"
#include "controlplane/localapi/ipn_path.h"
#include "controlplane/localapi/ipn_whois.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/mesh.h"
#include "lib/base/clock.h"

/* A report takes 5 s at most, and may have to begin after another. */
#define NETCHECK_WAIT_MS 11000

void api_get_whois(struct api_conn *c, const struct http_request *req)
{
	const struct netmap *m = mesh_map(c->mesh);
	const struct netmap_node *n;
	struct ipn_who who;
	char text[128];

	if (!http_query_get(req, "addr", text, sizeof(text)) || !text[0]) {
		api_text(c, 400, "missing 'addr' parameter");
		return;
	}
	if (ipn_who_parse(text, &who)) {
		api_text(c, 400,
			 who.is_key ? "invalid nodekey in 'addr' parameter"
				    : "invalid 'addr' parameter");
		return;
	}
	n = m ? ipn_who_find(m, &who) : NULL;
	if (n)
		api_json(c, 200, ipn_whois(m, n), true);
	else
		api_text(c, 404, "no match for IP:port");
}

void api_get_derp_map(struct api_conn *c, const struct http_request *req)
{
	const struct netmap *m = mesh_map(c->mesh);

	(void)req;
	api_json(c, 200, m && m->derp ? json_incref(m->derp) : json_null(), true);
}

static const char *region_code(const void *arg, uint16_t region)
{
	return mesh_region_code(arg, region);
}

void api_get_path(struct api_conn *c, const struct http_request *req)
{
	const struct netmap_node *n;
	const struct path_peer *p;
	struct ip_addr ip;
	char text[64];

	if (!http_query_get(req, "ip", text, sizeof(text)) || addr_parse(text, &ip)) {
		api_text(c, 400, "invalid IP");
		return;
	}
	n = mesh_whois(c->mesh, &ip);
	p = n ? mesh_path_peer(c->mesh, &n->key) : NULL;
	if (p)
		api_json(c, 200, ipn_path(p, n->name, region_code, c->mesh, clock_now_ns()), true);
	else
		api_text(c, 404, n ? "no ways are looked for to that node" : "no matching peer");
}

/* Waits for the report that is on its way, but not for ever: without sockets none comes. */
struct netcheck_wait {
	struct mesh_listener listener;
	uv_timer_t timer;
	struct api_conn *c;
};

static void answer_netcheck(struct api_conn *c)
{
	const struct netcheck_report *r = mesh_netcheck_report(c->mesh);
	const struct netmap *m = mesh_map(c->mesh);
	uint64_t ago = clock_now_ns() - r->ended_ns;

	api_json(c, 200,
		 ipn_netcheck(r, (int64_t)(clock_wall_ns() - ago),
			      m ? (uint16_t)m->self->home_derp : 0,
			      access("/proc/net/if_inet6", F_OK) == 0),
		 true);
}

static void on_wait_closed(uv_handle_t *h)
{
	free(h->data);
}

static void stop_waiting(void *arg)
{
	struct netcheck_wait *w = arg;

	mesh_unlisten(w->c->mesh, &w->listener);
	uv_close((uv_handle_t *)&w->timer, on_wait_closed);
}

static void on_netcheck(struct mesh_listener *l, uint32_t what)
{
	struct netcheck_wait *w = (struct netcheck_wait *)l;
	struct api_conn *c = w->c;

	if (!(what & MESH_DID_NETCHECK) || !mesh_netcheck_report(c->mesh))
		return;
	api_release(c);
	stop_waiting(w);
	answer_netcheck(c);
}

static void on_no_netcheck(uv_timer_t *t)
{
	struct netcheck_wait *w = t->data;
	struct api_conn *c = w->c;

	api_release(c);
	stop_waiting(w);
	api_text(c, 503,
		 "the network could not be measured: does causeway-dp run, and is there a "
		 "map with relays?");
}

void api_get_netcheck(struct api_conn *c, const struct http_request *req)
{
	struct netcheck_wait *w = calloc(1, sizeof(*w));
	int rc;

	(void)req;
	rc = w ? mesh_netcheck_start(c->mesh) : -ENOMEM;
	if (rc) {
		free(w);
		api_done(c, rc);
		return;
	}
	w->listener.on_change = on_netcheck;
	w->c = c;
	uv_timer_init(c->node->loop, &w->timer);
	w->timer.data = w;
	uv_timer_start(&w->timer, on_no_netcheck, NETCHECK_WAIT_MS, 0);
	mesh_listen(c->mesh, &w->listener);
	api_hold(c, stop_waiting, w);
}

void api_post_debug(struct api_conn *c, const struct http_request *req)
{
	const struct netmap *m = mesh_map(c->mesh);
	char action[64] = "", text[128];

	http_query_get(req, "action", action, sizeof(action));
	if (!action[0]) {
		api_text(c, 400, "missing parameter 'action'");
	} else if (strcmp(action, "current-netmap") == 0 && !m) {
		api_text(c, 400, "no netmap");
	} else if (strcmp(action, "current-netmap") == 0) {
		api_json(c, 200, ipn_netmap(m, mesh_is_from_cache(c->mesh)), false);
	} else if (strcmp(action, "restun") == 0 || strcmp(action, "rebind") == 0) {
		mesh_netcheck_start(c->mesh);
		api_text(c, 200, "done");
	} else {
		snprintf(text, sizeof(text), "unknown action \"%s\"", action);
		api_text(c, 400, text);
	}
}
