/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch-ipn-bus: a stream of what changes, one watcher a connection. What a watcher
 * was last told of peers it keeps by reference, so that a picture costs it only what
 * is new.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/localapi/ipn_notify.h"
#include "controlplane/localapi/ipn_prefs.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/localapi_status.h"
#include "controlplane/node/mesh.h"
#include "controlplane/node/peer.h"
#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/time_text.h"
#include "lib/base/clock.h"

#define ENGINE_MS 2000

struct watcher {
	struct mesh_listener listener;
	uv_timer_t engine; /* runs with IPN_WATCH_ENGINE */
	struct api_conn *c;
	uint64_t mask;
	struct ipn_nodes told;
	bool has_map;
};

static void on_timer_closed(uv_handle_t *h)
{
	struct watcher *w = h->data;

	ipn_nodes_fini(&w->told);
	free(w);
}

static void on_gone(void *arg)
{
	struct watcher *w = arg;

	mesh_unlisten(w->c->mesh, &w->listener);
	uv_close((uv_handle_t *)&w->engine, on_timer_closed);
}

static struct ipn_notify nothing(void)
{
	return (struct ipn_notify){.version = CAUSEWAY_VERSION, .state = IPN_NO_STATE_NEWS};
}

static void tell(struct watcher *w, const struct ipn_notify *n)
{
	size_t len = 0;
	char *text = ipn_notify_line(n, &len);

	api_stream_send(w->c, text, len);
}

static void tell_prefs(struct watcher *w)
{
	struct ipn_notify n = nothing();
	json_t *prefs = ipn_prefs_shown(mesh_prefs(w->c->mesh), mesh_map(w->c->mesh));

	n.prefs = prefs;
	tell(w, &n);
	json_decref(prefs);
}

static void tell_peers(struct watcher *w, const struct netmap *m)
{
	struct ipn_notify n = nothing();
	json_t *changed, *removed;

	ipn_peer_changes(&w->told, m, &changed, &removed);
	n.peers_changed = changed;
	n.peers_removed = removed;
	n.user_profiles = json_array_size(changed) ? m->users : NULL;
	if (json_array_size(changed) || json_array_size(removed))
		tell(w, &n);
	json_decref(changed);
	json_decref(removed);
}

static bool wants_whole_maps(const struct watcher *w)
{
	return w->mask & IPN_INITIAL_NETMAP &&
	       !(w->mask & (IPN_NO_NETMAP | IPN_PEER_CHANGES | IPN_PEER_PATCHES));
}

static void tell_map(struct watcher *w)
{
	const struct netmap *m = mesh_map(w->c->mesh);
	struct ipn_notify n = nothing();
	json_t *whole = NULL;
	bool is_first = m && !w->has_map;

	w->has_map = m != NULL;
	if (!m) {
		ipn_nodes_fini(&w->told);
		return;
	}
	/* Who is logged in is a part of the settings. */
	if (is_first)
		tell_prefs(w);
	if (w->mask & (IPN_PEER_CHANGES | IPN_PEER_PATCHES))
		tell_peers(w, m);
	if (w->told.self != m->self)
		n.self_change = m->self->raw;
	if (wants_whole_maps(w))
		whole = ipn_netmap(m, mesh_is_from_cache(w->c->mesh));
	n.netmap = whole;
	if (n.self_change || whole)
		tell(w, &n);
	json_decref(whole);
	ipn_nodes_take(&w->told, m);
}

static void tell_health(struct watcher *w)
{
	struct ipn_notify n = nothing();
	json_t *sentences = mesh_health(w->c->mesh), *health = ipn_health(sentences);

	n.health = health;
	tell(w, &n);
	json_decref(health);
	json_decref(sentences);
}

/* In the order in which a stock daemon tells of a login. */
static void on_change(struct mesh_listener *l, uint32_t what)
{
	struct watcher *w = (struct watcher *)l;
	struct mesh *m = w->c->mesh;
	struct ipn_notify n = nothing();

	if (w->c->closed)
		return;
	if (what & MESH_DID_PREFS)
		tell_prefs(w);
	n.browse_to_url = what & MESH_DID_URL && mesh_auth_url(m)[0] ? mesh_auth_url(m) : NULL;
	n.error = what & MESH_DID_ERROR && mesh_error(m)[0] ? mesh_error(m) : NULL;
	n.login_finished = what & MESH_DID_LOGIN;
	if (n.browse_to_url || n.error || n.login_finished)
		tell(w, &n);
	if (what & MESH_DID_NETMAP)
		tell_map(w);
	if (what & MESH_DID_STATE) {
		n = nothing();
		n.state = (int)mesh_state(m);
		tell(w, &n);
	}
	if (what & MESH_DID_HEALTH)
		tell_health(w);
}

static json_t *live_peer(const struct node_peer *p, const char *key)
{
	uint64_t at = peer_last_handshake_ns(p), now = clock_now_ns();
	char text[TIME_TEXT_MAX];

	time_text_print(at ? (int64_t)(clock_wall_ns() - (now - at)) : 0, text);
	return json_pack("{s:s, s:I, s:I, s:s}", "NodeKey", key, "TxBytes", (json_int_t)p->tx_bytes,
			 "RxBytes", (json_int_t)p->rx_bytes, "LastHandshake", text);
}

static void on_engine(uv_timer_t *t)
{
	struct watcher *w = t->data;
	const struct node *node = w->c->node;
	struct ipn_notify n = nothing();
	json_t *live = json_object(), *engine;
	json_int_t rx = 0, tx = 0;
	char key[KEY_TEXT_MAX];

	for (uint32_t id = 1; id < node->id_room; id++) {
		const struct node_peer *p = node->by_id[id];

		if (!p)
			continue;
		rx += (json_int_t)p->rx_bytes;
		tx += (json_int_t)p->tx_bytes;
		key_text_print(&p->cfg->public_key, KEY_TEXT_NODE, key);
		if (peer_last_handshake_ns(p))
			json_object_set_new(live, key, live_peer(p, key));
	}
	engine = json_pack("{s:I, s:I, s:i, s:i, s:o}", "RBytes", rx, "WBytes", tx, "NumLive",
			   (int)json_object_size(live), "LiveDERPs", 0, "LivePeers", live);
	n.engine = engine;
	tell(w, &n);
	json_decref(engine);
}

/* What the watcher asked to hear at first, in one message. */
static void tell_initial(struct watcher *w)
{
	static const uint64_t any = IPN_INITIAL_STATE | IPN_INITIAL_PREFS | IPN_INITIAL_NETMAP |
				    IPN_INITIAL_HEALTH | IPN_INITIAL_STATUS;
	struct mesh *m = w->c->mesh;
	const struct netmap *map = mesh_map(m);
	json_t *prefs = ipn_prefs_shown(mesh_prefs(m), map), *sentences = mesh_health(m);
	json_t *health = ipn_health(sentences);
	json_t *whole = map ? ipn_netmap(map, mesh_is_from_cache(m)) : NULL;
	json_t *status = localapi_status(m, true);
	struct ipn_notify n = nothing();
	char session[17];
	uint8_t id[8];

	randombytes_buf(id, sizeof(id));
	sodium_bin2hex(session, sizeof(session), id, sizeof(id));
	if (w->mask & IPN_INITIAL_STATE) {
		n.session_id = session;
		n.state = (int)mesh_state(m);
		n.browse_to_url = mesh_auth_url(m)[0] ? mesh_auth_url(m) : NULL;
	}
	n.prefs = w->mask & IPN_INITIAL_PREFS ? prefs : NULL;
	n.netmap = w->mask & IPN_INITIAL_NETMAP ? whole : NULL;
	n.health = w->mask & IPN_INITIAL_HEALTH ? health : NULL;
	n.initial_status = w->mask & IPN_INITIAL_STATUS ? status : NULL;
	if (w->mask & any)
		tell(w, &n);
	json_decref(prefs);
	json_decref(sentences);
	json_decref(health);
	json_decref(whole);
	json_decref(status);
}

static bool parse_mask(const struct http_request *req, uint64_t *out)
{
	char text[24], *end;

	*out = 0;
	if (!http_query_get(req, "mask", text, sizeof(text)) || !text[0])
		return true;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

void api_get_bus(struct api_conn *c, const struct http_request *req)
{
	const struct netmap *m = mesh_map(c->mesh);
	struct watcher *w;
	uint64_t mask;

	if (!parse_mask(req, &mask)) {
		api_text(c, 400, "bad mask");
		return;
	}
	if (ipn_watch_problem(mask)) {
		api_text(c, 400, ipn_watch_problem(mask));
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		api_done(c, -ENOMEM);
		return;
	}
	w->c = c;
	w->mask = mask;
	w->listener.on_change = on_change;
	w->has_map = m != NULL;
	if (m)
		ipn_nodes_take(&w->told, m);
	uv_timer_init(c->node->loop, &w->engine);
	w->engine.data = w;
	if (mask & IPN_WATCH_ENGINE)
		uv_timer_start(&w->engine, on_engine, 0, ENGINE_MS);
	mesh_listen(c->mesh, &w->listener);
	api_hold(c, on_gone, w);
	/* At once: the command line waits for the head before it begins. */
	api_stream_begin(c, "application/json");
	tell_initial(w);
}
