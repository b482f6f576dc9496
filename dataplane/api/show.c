/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See show.h. Tables about traffic stand in show_stats.c, those about state here.
 */
#include "dataplane/api/show.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/api/addr_text.h"
#include "dataplane/api/dump.h"
#include "dataplane/api/show_stats.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/flow_build.h"
#include "dataplane/table/neigh_build.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/rule_build.h"
#include "dataplane/table/session_build.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/key.h"

#define READ(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* A table under way: rows until the limit. */
struct show {
	struct dataplane *dp;
	struct json_out *js;
	uint32_t limit, rows;
	uint64_t now_ns;
};

static bool is_full(struct show *s)
{
	return s->limit && s->rows >= s->limit;
}

static double age_s(uint64_t now_ns, uint64_t then_ns)
{
	return then_ns && now_ns > then_ns ? (double)(now_ns - then_ns) / 1e9 : 0;
}

static void show_ports(struct show *s)
{
	for (unsigned i = 0; i < s->dp->port_count; i++) {
		struct port *p = &s->dp->ports[i];

		json_out_object(s->js, NULL);
		json_out_u64(s->js, "port", i);
		json_out_string(s->js, "kind", p->ops->kind);
		json_out_string(s->js, "tun", p->tun_name);
		json_out_u64(s->js, "listen", p->listen_port);
		json_out_u64(s->js, "mtu_max", p->mtu_max);
		p->ops->show(p, s->js);
		json_out_end(s->js);
	}
}

/* Lanes that carry data now. */
static unsigned lanes_open(const struct peer *p, uint64_t now_ns)
{
	struct peer_lanes *lanes = peer_lanes_get(p);
	unsigned n = 0;

	for (unsigned i = 0; lanes && i < LANE_MAX; i++)
		n += READ(lanes->slot[i].use) && now_ns < READ(lanes->slot[i].until_ns);
	return n;
}

static int show_peer(struct peer *p, void *arg)
{
	struct show *s = arg;
	struct dpapi_peer_state st;
	char text[KEY_BASE64_MAX], ep[ADDR_TEXT_MAX];
	struct key key;

	if (is_full(s))
		return 1;
	s->rows++;
	dump_peer(p, &st);
	memcpy(key.bytes, p->public_key, sizeof(key.bytes));
	json_out_object(s->js, NULL);
	json_out_u64(s->js, "id", p->id);
	json_out_string(s->js, "public_key", key_print_base64(&key, text));
	json_out_string(s->js, "endpoint", addr_text_endpoint(&st.path.remote, ep));
	json_out_u64(s->js, "mtu", READ(p->mtu));
	json_out_u64(s->js, "rx_packets", st.rx_packets);
	json_out_u64(s->js, "tx_packets", st.tx_packets);
	json_out_u64(s->js, "rx_bytes", st.rx_bytes);
	json_out_u64(s->js, "tx_bytes", st.tx_bytes);
	json_out_u64(s->js, "sessions", p->session_count);
	json_out_u64(s->js, "lanes", lanes_open(p, s->now_ns));
	json_out_bool(s->js, "sends", peer_tx_session(p) != NULL);
	json_out_double(s->js, "last_rx_s", age_s(s->now_ns, st.last_rx_ns));
	json_out_double(s->js, "last_tx_s", age_s(s->now_ns, st.last_tx_ns));
	json_out_end(s->js);
	return 0;
}

static void show_peers(struct show *s)
{
	peer_walk(s->dp->peers, show_peer, s);
}

/* By what the lane of this session sends now; NULL: it sends nothing. */
static const struct lane_use *use_of(const struct peer *p, const struct session *se,
				     uint64_t now_ns)
{
	struct peer_lanes *lanes = peer_lanes_get(p);
	const struct lane_use *use;

	if (!se->lane || !lanes || now_ns >= READ(lanes->slot[se->lane - 1].until_ns))
		return NULL;
	use = READ(lanes->slot[se->lane - 1].use);
	return use && use->session == se ? use : NULL;
}

static void show_session(struct show *s, const struct peer *p, const struct session *se)
{
	const struct lane_use *use = use_of(p, se, s->now_ns);
	uint32_t flags = READ(se->flags);
	char text[16], ep[ADDR_TEXT_MAX];

	s->rows++;
	json_out_object(s->js, NULL);
	json_out_u64(s->js, "peer", p->id);
	snprintf(text, sizeof(text), "%08x", se->local_index);
	json_out_string(s->js, "local_index", text);
	snprintf(text, sizeof(text), "%08x", se->remote_index);
	json_out_string(s->js, "remote_index", text);
	json_out_u64(s->js, "lane", se->lane);
	json_out_string(s->js, "role", flags & SESSION_INITIATOR ? "initiator" : "responder");
	json_out_bool(s->js, "confirmed", flags & SESSION_CONFIRMED);
	json_out_bool(s->js, "current", use || peer_tx_session(p) == se);
	json_out_double(s->js, "age_s", age_s(s->now_ns, se->born_ns));
	json_out_u64(s->js, "send_counter", READ(se->send_counter));
	json_out_u64(s->js, "recv_counter", replay_last(&se->replay));
	if (use) {
		json_out_u64(s->js, "port_lane", use->path.lane);
		json_out_string(s->js, "endpoint", addr_text_endpoint(&use->path.remote, ep));
	}
	json_out_end(s->js);
}

static int show_peer_sessions(struct peer *p, void *arg)
{
	const struct peer_lanes *lanes = peer_lanes_get(p);
	struct show *s = arg;

	for (unsigned i = 0; i < p->session_count && !is_full(s); i++)
		show_session(s, p, p->sessions[i]);
	for (unsigned i = 0; lanes && i < lanes->session_count && !is_full(s); i++)
		show_session(s, p, lanes->sessions[i]);
	return is_full(s);
}

static void show_sessions(struct show *s)
{
	peer_walk(s->dp->peers, show_peer_sessions, s);
}

/* Opens the row of a route; false: enough rows. */
static bool begin_route(struct show *s, const struct fib_route *r)
{
	char text[ADDR_TEXT_MAX];

	if (is_full(s))
		return false;
	s->rows++;
	json_out_object(s->js, NULL);
	json_out_string(s->js, "prefix", addr_text_prefix(r->addr, r->family, r->len, text));
	return true;
}

static int show_mesh_route(const struct fib_route *r, void *arg)
{
	struct show *s = arg;

	if (!begin_route(s, r))
		return 1;
	json_out_string(s->js, "to", "peer");
	json_out_u64(s->js, "peer", r->id);
	json_out_end(s->js);
	return 0;
}

static void local_target(struct show *s, uint32_t id)
{
	char text[ADDR_TEXT_MAX];
	const struct nexthop *n;

	if (id == FIB_LOCAL_KERNEL) {
		json_out_string(s->js, "to", "kernel");
	} else if (id & FIB_LOCAL_CONNECTED_BIT) {
		json_out_string(s->js, "to", "interface");
		json_out_string(s->js, "interface",
				s->dp->ports[(uint8_t)(id >> 8) & (PORTS_MAX - 1)]
					.netdev[(uint8_t)id & (PORT_NETDEVS_MAX - 1)]
					.name);
	} else {
		n = neigh_get(s->dp->neigh, (uint16_t)(id - 1));
		json_out_string(s->js, "to", "gateway");
		json_out_string(s->js, "gateway", addr_text_ip(n->ip, n->family, text));
	}
}

static int show_local_route(const struct fib_route *r, void *arg)
{
	struct show *s = arg;

	if (!begin_route(s, r))
		return 1;
	local_target(s, r->id);
	json_out_end(s->js);
	return 0;
}

static void show_routes(struct show *s)
{
	fib_walk(s->dp->mesh, show_mesh_route, s);
	fib_walk(s->dp->local, show_local_route, s);
}

static void show_ranges(struct show *s, const char *key, const struct dpapi_range *r, uint32_t n,
			bool has_ports)
{
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX], text[2 * ADDR_TEXT_MAX + 16];

	json_out_array(s->js, key);
	for (uint32_t i = 0; i < n; i++) {
		addr_text_ip(r[i].first, r[i].family, first);
		addr_text_ip(r[i].last, r[i].family, last);
		if (has_ports)
			snprintf(text, sizeof(text), "%s-%s:%u-%u", first, last, r[i].port_first,
				 r[i].port_last);
		else
			snprintf(text, sizeof(text), "%s-%s", first, last);
		json_out_string(s->js, NULL, text);
	}
	json_out_end(s->js);
}

static int show_rule(uint32_t number, const struct dpapi_rule *r, const struct dpapi_range *ranges,
		     void *arg)
{
	struct show *s = arg;

	if (is_full(s))
		return 1;
	s->rows++;
	json_out_object(s->js, NULL);
	json_out_u64(s->js, "rule", number);
	show_ranges(s, "src", ranges + r->src_first, r->src_count, false);
	show_ranges(s, "dst", ranges + r->dst_first, r->dst_count, true);
	json_out_array(s->js, "proto");
	for (unsigned i = 0; i < sizeof(r->protos) && r->protos[i]; i++)
		json_out_u64(s->js, NULL, r->protos[i]);
	json_out_end(s->js);
	json_out_end(s->js);
	return 0;
}

static void show_rules(struct show *s)
{
	rule_walk(rule_current(s->dp->rules), show_rule, s);
}

static int show_flow(const struct flow_view *v, void *arg)
{
	struct show *s = arg;
	char text[ADDR_TEXT_MAX];

	if (is_full(s))
		return 1;
	s->rows++;
	json_out_object(s->js, NULL);
	json_out_u64(s->js, "proto", v->key.proto);
	json_out_string(s->js, "peer_addr", addr_text_ip(v->key.peer_addr, v->key.family, text));
	json_out_u64(s->js, "peer_port", v->key.peer_port);
	json_out_string(s->js, "local_addr", addr_text_ip(v->key.local_addr, v->key.family, text));
	json_out_u64(s->js, "local_port", v->key.local_port);
	json_out_u64(s->js, "peer", v->peer);
	json_out_u64(s->js, "packets_in", v->packets_in);
	json_out_u64(s->js, "packets_out", v->packets_out);
	json_out_u64(s->js, "bytes_in", v->bytes_in);
	json_out_u64(s->js, "bytes_out", v->bytes_out);
	json_out_double(s->js, "idle_s", (double)v->age_ns / 1e9);
	json_out_end(s->js);
	return 0;
}

static void show_flows(struct show *s)
{
	flow_walk(s->dp->flows, s->now_ns, show_flow, s);
}

static void show_workers(struct show *s)
{
	show_stats_workers(s->dp, s->js);
}

static void show_counters(struct show *s)
{
	show_stats_counters(s->dp, s->js);
}

static void show_latency(struct show *s)
{
	show_stats_latency(s->dp, s->js);
}

static const struct {
	const char *name;
	void (*fn)(struct show *s);
} tables[] = {
	{"ports", show_ports},	     {"workers", show_workers},	  {"peers", show_peers},
	{"sessions", show_sessions}, {"routes", show_routes},	  {"rules", show_rules},
	{"flows", show_flows},	     {"counters", show_counters}, {"latency", show_latency},
};

static const char *filter_word(const struct dataplane *dp)
{
	switch (rule_mode(rule_current(dp->rules))) {
	case DPAPI_FILTER_ALLOW_ALL:
		return "allow-all";
	case DPAPI_FILTER_RULES:
		return "rules";
	case DPAPI_FILTER_NONE:
		break;
	}
	return "none";
}

int show_table(struct dataplane *dp, const char *what, uint32_t limit, struct json_out *js)
{
	struct show s = {.dp = dp, .js = js, .limit = limit, .now_ns = clock_now_ns()};

	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		if (strcmp(tables[i].name, what) != 0)
			continue;
		json_out_object(js, NULL);
		if (strcmp(what, "rules") == 0)
			json_out_string(js, "filter", filter_word(dp));
		json_out_array(js, what);
		tables[i].fn(&s);
		json_out_end(js);
		json_out_end(js);
		return 0;
	}
	return -ENOENT;
}
