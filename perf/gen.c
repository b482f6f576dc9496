/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>
#include <rte_ring_elem.h>
#include <sodium.h>

#include "dataplane/api/apply.h"
#include "dataplane/staging.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/flow_build.h"
#include "dataplane/table/neigh_build.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/rule_build.h"
#include "dataplane/table/session_build.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/wire/ip_sum.h"
#include "lib/wire/udp_encap.h"
#include "lib/wire/wg.h"

/* An odd number of cache lines: heads of packets do not compete for the same sets. */
#define STRIDE	     (37 * 64)
#define ROOM	     (PACKET_HEADROOM + 64)
#define ORDER_MAX    (1u << 18)
#define SESSION_NS   (7200 * NS_PER_SEC)
#define LAN_HOSTS    64u
#define LAN_FIRST    2u
#define RING_SIZE    4096
#define MTU_MAX	     1500
#define INDEX_OF(id) ((uint32_t)(id)*2654435761u) /* random in all bits, unique */

const struct gen_load gen_loads[] = {
	{"64", {64}},
	{"512", {512}},
	{"1420", {1420}},
	{"imix", {64, 64, 576, 64, 64, 1420, 64, 576, 64, 576, 64, 576}},
};
const unsigned gen_load_count = ARRAY_SIZE(gen_loads);

struct gen_peer {
	uint32_t device_index, own_index;
	uint8_t to_device[AEAD_KEY_BYTES], from_device[AEAD_KEY_BYTES];
	_Atomic uint64_t counter;
};

/* Where a packet goes: an address, and whose it is. */
struct gen_dst {
	uint32_t ip; /* host order */
	uint32_t peer;
};

typedef void make_batch(struct gen *g, struct worker *w, const struct gen_load *l);

/* A batch that waits: its metadata as rx would give it. */
struct gen_queued {
	struct packet pkts[BATCH_MAX];
};

struct gen_worker {
	struct worker *worker;
	uint8_t *buffers;
	unsigned next_buffer, next_dst, next_len;
	struct dpapi_addr remote[BATCH_MAX * GEN_DEPTH_MAX]; /* outer sources, a buffer each */
	struct gen_queued *queue;			     /* [depth], where it is more than 1 */
	unsigned queue_at, queued;
	const struct gen_load *queue_load;
	make_batch *queue_make;
	struct gen_count count;
	void *crypto; /* the peers' */
	uint8_t *check;
};

struct gen {
	struct gen_config config;
	struct dataplane dp;
	struct gen_peer *peers; /* [lane * peers + 1..], see session_of */
	struct gen_dst *order;
	unsigned order_count;
	uint32_t *route_ip; /* first address of IPv4 route i, network bits only */
	uint8_t *route_len;
	const struct aead_engine *engine;
	bool is_checking;
	unsigned buffer_count;
	struct gen_worker worker[PORT_WORKERS_MAX];
};

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "gen: %s\n", what);
	exit(1);
}

static void *need(void *p)
{
	if (!p)
		give_up("no memory");
	return p;
}

/* A generator of its own, so that runs are alike: xorshift64*. */
static uint64_t draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* ---- the port ---- */

static unsigned no_sources(struct port *p, unsigned worker, struct port_source *out)
{
	return 0;
}

static unsigned no_rx(struct port *p, struct worker *w, unsigned source, struct batch *b)
{
	return 0;
}

static struct gen_peer *session_of(const struct gen *g, uint32_t id, unsigned lane)
{
	return &g->peers[lane * g->config.peers + id];
}

static unsigned session_count(const struct gen *g)
{
	return (1 + g->config.lanes) * g->config.peers;
}

/* Is what leaves what was put in? Sealed: it opens with the peer's key. */
static bool is_right(struct gen *g, struct gen_worker *gw, const struct packet *p)
{
	const struct wg_msg_data *h = (const struct wg_msg_data *)p->data;
	const uint8_t *inner = p->data;
	uint32_t len = p->len;
	struct aead_job job;

	if (p->out == PACKET_OUT_UDP) {
		const struct gen_peer *peer = NULL;

		for (unsigned i = 1; i <= session_count(g) && !peer; i++)
			if (g->peers[i].own_index == le32_get(&h->receiver))
				peer = &g->peers[i];
		if (!peer)
			return false;
		job = (struct aead_job){
			.key = peer->from_device,
			.counter = le64_get(&h->counter),
			.src = p->data + WG_DATA_HEADER_BYTES,
			.dst = gw->check,
			.len = len - WG_DATA_MIN_BYTES,
		};
		g->engine->open(gw->crypto, &job, 1);
		if (!job.ok)
			return false;
		inner = gw->check;
		len = job.len;
	}
	return len >= UDP_ENCAP_V4_BYTES && inner[0] == 0x45 &&
	       ip_checksum_v4_ok((const struct ip_v4_header *)inner) &&
	       inner[len > 40 ? 40 : UDP_ENCAP_V4_BYTES] == 0x5a;
}

static void count_tx(struct port *p, struct worker *w, struct batch *b)
{
	struct gen *g = p->priv;
	struct gen_worker *gw = &g->worker[w->id];

	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *pkt = &b->pkts[i];

		if (pkt->drop != DROP_NONE || pkt->port_out != p->index)
			continue;
		gw->count.sent++;
		if (g->is_checking)
			gw->count.wrong += !is_right(g, gw, pkt);
	}
}

static const struct port_ops gen_ops = {
	.kind = "gen",
	.id = DPAPI_PORT_DPDK,
	.sources = no_sources,
	.rx = no_rx,
	.tx = count_tx,
};

/* ---- tables ---- */

void gen_apply(struct gen *g, void *msg, size_t len)
{
	char text[DPAPI_ERROR_TEXT] = "";
	struct dpapi_hdr *hdr = msg;

	hdr->len = (uint32_t)len;
	hdr->generation = 1;
	if (apply_message(&g->dp, msg, len, text) < 0)
		give_up(text);
}

static void tables_new(struct gen *g)
{
	struct dataplane *dp = &g->dp;
	size_t size = rte_rcu_qsbr_get_memsize(dp->worker_count);
	uint32_t slots = 1024;

	while (slots < 4 * g->config.peers)
		slots *= 2;
	dp->qsbr = need(aligned_alloc(64, (size + 63) & ~(size_t)63));
	if (rte_rcu_qsbr_init(dp->qsbr, dp->worker_count))
		give_up("RCU");
	retire_init(dp->qsbr);
	dp->mesh = need(fib_new());
	dp->local = need(fib_new());
	dp->outer = need(fib_new());
	dp->sessions = need(session_table_new(slots));
	dp->peers = need(peer_table_new(dp->sessions));
	dp->flows = need(flow_table_new(131072 * dp->worker_count));
	dp->rules = need(rule_table_new());
	dp->neigh = need(neigh_table_new(NEIGH_CAPACITY_DEFAULT));
}

static struct rte_ring *ring_new(unsigned elem_bytes)
{
	ssize_t bytes = rte_ring_get_memsize_elem(elem_bytes, RING_SIZE);
	struct rte_ring *ring = need(aligned_alloc(128, ((size_t)bytes + 127) & ~(size_t)127));

	if (rte_ring_init(ring, "gen", RING_SIZE, RING_F_SP_ENQ | RING_F_SC_DEQ))
		give_up("ring");
	return ring;
}

static struct worker *worker_new(struct gen *g, unsigned id)
{
	struct worker *w = need(aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63));

	memset(w, 0, sizeof(*w));
	w->dp = &g->dp;
	w->id = id;
	w->engine = g->engine;
	w->aead = need(g->engine->ctx_new());
	w->staging = need(staging_new(g->dp.mtu_max));
	w->scratch = mmap(NULL, WORKER_SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->scratch == MAP_FAILED)
		give_up("scratch");
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->commands = ring_new(sizeof(struct worker_command));
	w->events = ring_new(sizeof(struct worker_event));
	rte_rcu_qsbr_thread_register(g->dp.qsbr, id);
	rte_rcu_qsbr_thread_online(g->dp.qsbr, id);
	return w;
}

static void ip4_put(uint8_t *out, uint32_t ip)
{
	be32_put((wire_be32 *)out, ip);
}

static uint32_t peer_ip(uint32_t id)
{
	return 10u << 24 | id;
}

static void route_set(struct gen *g, const uint8_t *addr, int family, uint8_t len, uint32_t peer)
{
	struct dpapi_route r = {
		.hdr.type = DPAPI_ROUTE_SET,
		.family = (uint16_t)family,
		.prefix_len = len,
		.peer_id = peer,
	};

	memcpy(r.addr, addr, sizeof(r.addr));
	gen_apply(g, &r, sizeof(r));
}

/* What a worker is told of each new session: nobody runs yet, and nothing waits. */
static void drop_commands(struct gen *g)
{
	struct worker_command c;

	for (unsigned i = 0; i < g->config.workers; i++)
		while (rte_ring_dequeue_elem(g->dp.workers[i]->commands, &c, sizeof(c)) == 0)
			;
}

/* A session of the peer in this lane; its keys are the peer's, too. */
static struct dpapi_session_set add_session(struct gen *g, uint32_t id, unsigned lane)
{
	struct gen_peer *peer = session_of(g, id, lane);
	uint32_t index = INDEX_OF(lane * g->config.peers + id);
	struct dpapi_session_set s = {
		.hdr.type = DPAPI_SESSION_SET,
		.peer_id = id,
		.local_index = index,
		.remote_index = ~index,
		.flags = DPAPI_SESSION_INITIATOR | DPAPI_SESSION_CONFIRMED,
		.born_ns = clock_now_ns(),
		.lane = (uint8_t)lane,
	};

	s.expire_ns = s.born_ns + SESSION_NS;
	randombytes_buf(s.send_key, sizeof(s.send_key));
	randombytes_buf(s.recv_key, sizeof(s.recv_key));
	gen_apply(g, &s, sizeof(s));
	drop_commands(g);
	peer->device_index = s.local_index;
	peer->own_index = s.remote_index;
	memcpy(peer->to_device, s.recv_key, sizeof(peer->to_device));
	memcpy(peer->from_device, s.send_key, sizeof(peer->from_device));
	return s;
}

static void add_lane(struct gen *g, uint32_t id, unsigned lane, const struct dpapi_path *path)
{
	struct dpapi_session_set s = add_session(g, id, lane);
	struct dpapi_lane_set use = {
		.hdr.type = DPAPI_LANE_SET,
		.peer_id = id,
		.local_index = s.local_index,
		.until_ns = s.expire_ns,
		.path = *path,
		.lane = (uint8_t)lane,
	};

	use.path.lane = (uint8_t)lane;
	gen_apply(g, &use, sizeof(use));
}

static void add_peer(struct gen *g, uint32_t id)
{
	struct dpapi_peer_set set = {.hdr.type = DPAPI_PEER_SET, .id = id, .mtu = 1420};
	struct dpapi_endpoint_set where = {
		.hdr.type = DPAPI_ENDPOINT_SET,
		.peer_id = id,
		.path = {.kind = DPAPI_PATH_UDP, .remote = {.family = AF_INET, .port = 41641}},
	};
	uint8_t addr[16] = {0};

	memcpy(set.public_key, &id, sizeof(id));
	set.public_key[DPAPI_KEY_BYTES - 1] = 0x40;
	ip4_put(where.path.remote.bytes, 203u << 24 | id);
	ip4_put(addr, peer_ip(id));
	gen_apply(g, &set, sizeof(set));
	gen_apply(g, &where, sizeof(where));
	add_session(g, id, 0);
	for (unsigned lane = 1; lane <= g->config.lanes; lane++)
		add_lane(g, id, lane, &where.path);
	route_set(g, addr, AF_INET, 32, id);
}

/*
 * Lengths as in an internet table of today: three fifths are /24, the others mostly
 * /16 to /23, a few shorter. Peers' own addresses are left alone.
 */
static uint8_t length_like_bgp(uint64_t r)
{
	static const struct {
		uint8_t len;
		uint8_t share; /* of 200 */
	} mix[] = {{24, 120}, {23, 19}, {22, 22}, {21, 10}, {20, 10}, {19, 6},
		   {18, 4},   {17, 2},	{16, 4},  {15, 1},  {14, 1},  {12, 1}};
	unsigned at = (unsigned)(r % 200);

	for (unsigned i = 0; i < ARRAY_SIZE(mix); i++) {
		if (at < mix[i].share)
			return mix[i].len;
		at -= mix[i].share;
	}
	return 24;
}

static void add_routes4(struct gen *g, uint64_t *state)
{
	unsigned n = g->config.routes4;

	g->route_ip = need(calloc(n + 1, sizeof(*g->route_ip)));
	g->route_len = need(calloc(n + 1, sizeof(*g->route_len)));
	for (unsigned i = 0; i < n; i++) {
		uint64_t r = draw(state);
		uint8_t len = length_like_bgp(r >> 40);
		uint32_t ip = (uint32_t)r & (~0u << (32 - len));

		/* 11.0.0.0 to 191.255.255.255: clear of peers, LAN, remotes. */
		ip = (ip & 0x00ffffff) | (11 + (ip >> 24) % 181) << 24;
		g->route_ip[i] = ip & (~0u << (32 - len));
		g->route_len[i] = len;
		gen_route(g, i, 1 + (uint32_t)(draw(state) % g->config.peers));
	}
}

static void add_routes6(struct gen *g, uint64_t *state)
{
	for (unsigned i = 0; i < g->config.routes6; i++) {
		uint64_t r = draw(state);
		uint8_t addr[16] = {0x20 | ((r >> 60) & 1), 0}, len = 32 + (uint8_t)(r % 17);

		memcpy(addr + 1, &r, 7);
		for (unsigned bit = len; bit < 64; bit++)
			addr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
		route_set(g, addr, AF_INET6, len, 1 + (uint32_t)(draw(state) % g->config.peers));
	}
}

void gen_route(struct gen *g, unsigned i, uint32_t peer)
{
	uint8_t addr[16] = {0};

	ip4_put(addr, g->route_ip[i]);
	route_set(g, addr, AF_INET, g->route_len[i], peer);
}

static void add_lan(struct gen *g)
{
	static const uint8_t net[16] = {192, 168, 7, 0};
	uint8_t mac[6] = {2, 0, 0, 0, 0, 0}, own[16] = {192, 168, 7, 1}, ip[16] = {192, 168, 7};
	struct dpapi_rules allow = {.hdr.type = DPAPI_RULES, .mode = DPAPI_FILTER_ALLOW_ALL};

	fib_set(g->dp.local, net, AF_INET, 24, FIB_LOCAL_CONNECTED(0, 0), 1);
	neigh_source_set(g->dp.neigh, 0, 0, AF_INET, mac, own);
	for (unsigned i = 0; i < LAN_HOSTS; i++) {
		ip[3] = (uint8_t)(LAN_FIRST + i);
		mac[5] = ip[3];
		neigh_set(g->dp.neigh, 0, 0, AF_INET, ip, mac);
	}
	gen_apply(g, &allow, sizeof(allow));
}

/*
 * The order of destinations: all peers' addresses, or, where routes lead to all peers,
 * addresses of routes at random.
 */
static void draw_order(struct gen *g, uint64_t *state)
{
	unsigned n = g->config.is_random ? ORDER_MAX : g->config.peers;

	g->order = need(calloc(n, sizeof(*g->order)));
	g->order_count = n;
	for (unsigned i = 0; i < n; i++) {
		uint32_t id = 1 + i;

		if (g->config.is_random)
			id = 1 + (uint32_t)(draw(state) % g->config.peers);
		g->order[i] = (struct gen_dst){.ip = peer_ip(id), .peer = id};
		if (g->config.is_random && g->config.routes4 >= g->config.peers) {
			unsigned k = (unsigned)(draw(state) % g->config.routes4);

			g->order[i].ip = g->route_ip[k] |
					 (uint32_t)(draw(state) &
						    (((uint64_t)1 << (32 - g->route_len[k])) - 1));
		}
	}
}

static void worker_init(struct gen *g, unsigned i)
{
	struct gen_worker *gw = &g->worker[i];
	size_t bytes = (size_t)g->buffer_count * STRIDE;

	gw->worker = g->dp.workers[i];
	gw->buffers = need(aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095));
	memset(gw->buffers, 0, bytes);
	if (g->config.depth > 1)
		gw->queue = need(calloc(g->config.depth, sizeof(*gw->queue)));
	gw->crypto = need(g->engine->ctx_new());
	gw->check = need(malloc(STRIDE));
	/* Workers begin at different places: they do not meet at one peer. */
	gw->next_dst = i * (g->order_count / g->config.workers);
	for (unsigned k = 0; k < ARRAY_SIZE(gw->remote); k++)
		gw->remote[k] = (struct dpapi_addr){.family = AF_INET, .port = 41641};
}

struct gen *gen_new(const struct gen_config *c)
{
	struct gen *g = need(aligned_alloc(64, (sizeof(*g) + 63) & ~(size_t)63));
	uint64_t state = 0x9e3779b97f4a7c15ull;
	const char *why;

	memset(g, 0, sizeof(*g));
	g->config = *c;
	g->engine = aead_select(c->engine, &why);
	if (!g->engine)
		give_up(why);
	g->dp.worker_count = c->workers;
	g->dp.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->dp.channel_fd = -1;
	g->dp.mtu_max = MTU_MAX;
	g->dp.port_count = 1;
	g->dp.ports[0] = (struct port){
		.ops = &gen_ops,
		.tun_name = "gen0",
		.listen_port = 41641,
		.lanes = (uint16_t)c->lanes,
		.mtu_max = MTU_MAX,
		.control_fd_v4 = -1,
		.control_fd_v6 = -1,
		.netdev_count = 1,
		.netdev = {{.name = "lan0", .mtu = MTU_MAX, .is_lan = true}},
		.priv = g,
	};
	tables_new(g);
	/* A session that is installed tells the workers. */
	for (unsigned i = 0; i < c->workers; i++)
		g->dp.workers[i] = worker_new(g, i);
	g->peers = need(calloc(session_count(g) + 1, sizeof(*g->peers)));
	for (uint32_t id = 1; id <= c->peers; id++)
		add_peer(g, id);
	add_routes4(g, &state);
	add_routes6(g, &state);
	add_lan(g);
	draw_order(g, &state);
	if (!c->depth)
		g->config.depth = 1;
	if (g->config.depth > GEN_DEPTH_MAX)
		give_up("depth");
	g->buffer_count = g->config.depth * BATCH_MAX;
	for (unsigned i = 0; i < c->workers; i++)
		worker_init(g, i);
	return g;
}

void gen_free(struct gen *g)
{
	struct dataplane *dp = &g->dp;

	for (unsigned i = 0; i < dp->worker_count; i++) {
		struct gen_worker *gw = &g->worker[i];
		struct worker *w = gw->worker;

		rte_rcu_qsbr_thread_offline(dp->qsbr, i);
		rte_rcu_qsbr_thread_unregister(dp->qsbr, i);
		g->engine->ctx_free(gw->crypto);
		w->engine->ctx_free(w->aead);
		staging_free(w->staging);
		munmap(w->scratch, WORKER_SCRATCH_BYTES);
		close(w->wake_fd);
		free(w->commands);
		free(w->events);
		free(w);
		free(gw->buffers);
		free(gw->queue);
		free(gw->check);
	}
	peer_table_free(dp->peers);
	retire_drain();
	session_table_free(dp->sessions);
	fib_free(dp->mesh);
	fib_free(dp->local);
	fib_free(dp->outer);
	flow_table_free(dp->flows);
	rule_table_free(dp->rules);
	neigh_table_free(dp->neigh);
	retire_fini();
	free(dp->qsbr);
	free(g->peers);
	free(g->order);
	free(g->route_ip);
	free(g->route_len);
	free(g);
}

struct worker *gen_worker(struct gen *g, unsigned n)
{
	return g->worker[n].worker;
}

struct dataplane *gen_dataplane(struct gen *g)
{
	return &g->dp;
}

void gen_check(struct gen *g, bool is_on)
{
	g->is_checking = is_on;
}

struct gen_count gen_counted(const struct gen *g, const struct worker *w)
{
	return g->worker[w->id].count;
}

/* ---- packets ---- */

static uint8_t *next_buffer(struct gen *g, struct gen_worker *gw)
{
	uint8_t *at = gw->buffers + (size_t)gw->next_buffer * STRIDE;

	gw->next_buffer = gw->next_buffer + 1 == g->buffer_count ? 0 : gw->next_buffer + 1;
	return at + ROOM;
}

static uint32_t next_len(struct gen_worker *gw, const struct gen_load *l)
{
	uint32_t len = l->lens[gw->next_len];

	gw->next_len++;
	if (gw->next_len == ARRAY_SIZE(l->lens) || !l->lens[gw->next_len])
		gw->next_len = 0;
	return len;
}

static struct gen_dst next_dst(struct gen *g, struct gen_worker *gw)
{
	struct gen_dst d = g->order[gw->next_dst];

	gw->next_dst = gw->next_dst + 1 == g->order_count ? 0 : gw->next_dst + 1;
	return d;
}

/* Messages of a peer come to one worker: its address and port have one hash. */
static struct gen_dst next_source(struct gen *g, struct gen_worker *gw, unsigned worker)
{
	struct gen_dst d = next_dst(g, gw);

	while (g->config.peers > 1 && d.peer % g->config.workers != worker)
		d = next_dst(g, gw);
	return d;
}

static uint32_t lan_ip(unsigned i)
{
	return 192u << 24 | 168u << 16 | 7u << 8 | (LAN_FIRST + i % LAN_HOSTS);
}

static void inner_packet(uint8_t *out, uint32_t len, uint32_t src, uint32_t dst)
{
	struct ip_v4_header *ip = (struct ip_v4_header *)out;
	struct ip_udp_header *udp = (struct ip_udp_header *)(ip + 1);

	*ip = (struct ip_v4_header){.version_ihl = 0x45, .ttl = 64, .protocol = IP_PROTO_UDP};
	be16_put(&ip->total_len, (uint16_t)len);
	ip4_put(ip->src, src);
	ip4_put(ip->dst, dst);
	ip_checksum_v4_set(ip);
	be16_put(&udp->src_port, 1024);
	be16_put(&udp->dst_port, 9);
	be16_put(&udp->len, (uint16_t)(len - IP_V4_HEADER_BYTES));
	be16_put(&udp->checksum, 0);
	memset(udp + 1, 0x5a, len - UDP_ENCAP_V4_BYTES);
}

static struct packet *add(struct worker *w, uint8_t *data, uint32_t len)
{
	struct packet *p = batch_add(&w->batch);

	p->data = data;
	p->len = (uint16_t)len;
	p->headroom = PACKET_HEADROOM;
	p->tailroom = 255;
	return p;
}

static void begin(struct worker *w)
{
	w->batch.n = 0;
	w->batch.port_in = 0;
	w->batch.now_ns = clock_now_ns();
	w->scratch_used = 0;
}

static void make_inside(struct gen *g, struct worker *w, const struct gen_load *l)
{
	struct gen_worker *gw = &g->worker[w->id];

	begin(w);
	gw->next_len = 0;
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		uint8_t *data = next_buffer(g, gw);
		uint32_t len = next_len(gw, l);
		struct packet *p;

		inner_packet(data, len, lan_ip(i), next_dst(g, gw).ip);
		p = add(w, data, len);
		p->kind = PACKET_INNER;
		p->flags = PACKET_FROM_LAN;
	}
}

/* Sealed by peers: headers, counters, and the engine's work as they would do it. */
static void sealed(struct gen *g, struct worker *w, const struct gen_load *l, bool is_hub,
		   struct aead_job *jobs)
{
	struct gen_worker *gw = &g->worker[w->id];
	unsigned lane = g->config.lanes ? 1 + w->id % g->config.lanes : 0;

	begin(w);
	gw->next_len = 0;
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		struct dpapi_addr *remote = &gw->remote[gw->next_buffer];
		struct wg_msg_data *h = (struct wg_msg_data *)next_buffer(g, gw);
		uint8_t *inner = (uint8_t *)(h + 1);
		struct gen_dst from = next_source(g, gw, w->id);
		struct gen_peer *peer = session_of(g, from.peer, lane);
		uint32_t len = next_len(gw, l);
		uint32_t dst = is_hub ? next_dst(g, gw).ip : lan_ip(i);
		uint32_t whole = len + wg_padding(len, 1420);
		struct packet *p;

		inner_packet(inner, len, peer_ip(from.peer), dst);
		memset(inner + len, 0, whole - len);
		le32_put(&h->type, WG_MSG_DATA);
		le32_put(&h->receiver, peer->device_index);
		jobs[i] = (struct aead_job){
			.key = peer->to_device,
			.counter =
				atomic_fetch_add_explicit(&peer->counter, 1, memory_order_relaxed),
			.src = inner,
			.dst = inner,
			.len = whole,
		};
		le64_put(&h->counter, jobs[i].counter);
		p = add(w, (uint8_t *)h, whole + WG_DATA_MIN_BYTES);
		p->kind = PACKET_DATA;
		p->flags = PACKET_FROM_OUTSIDE;
		/* Where the peer's path leads: nobody has roamed. */
		ip4_put(remote->bytes, 203u << 24 | from.peer);
		p->remote = remote;
	}
	g->engine->seal(gw->crypto, jobs, BATCH_MAX);
}

static void make_outside(struct gen *g, struct worker *w, const struct gen_load *l)
{
	struct aead_job jobs[BATCH_MAX];

	sealed(g, w, l, false, jobs);
}

static void make_hub(struct gen *g, struct worker *w, const struct gen_load *l)
{
	struct aead_job jobs[BATCH_MAX];

	sealed(g, w, l, true, jobs);
}

/* Of a standing queue all is made, then all taken, in order; what is of another kind is lost. */
static void give(struct gen *g, struct worker *w, const struct gen_load *l, make_batch *make)
{
	struct gen_worker *gw = &g->worker[w->id];

	if (!gw->queue) {
		make(g, w, l);
		return;
	}
	if (gw->queue_at == gw->queued || gw->queue_load != l || gw->queue_make != make) {
		for (unsigned i = 0; i < g->config.depth; i++) {
			make(g, w, l);
			memcpy(gw->queue[i].pkts, w->batch.pkts, sizeof(gw->queue[i].pkts));
		}
		gw->queue_at = 0;
		gw->queued = g->config.depth;
		gw->queue_load = l;
		gw->queue_make = make;
	}
	begin(w);
	memcpy(w->batch.pkts, gw->queue[gw->queue_at++].pkts, sizeof(w->batch.pkts));
	w->batch.n = BATCH_MAX;
}

void gen_inside(struct gen *g, struct worker *w, const struct gen_load *l)
{
	give(g, w, l, make_inside);
}

void gen_outside(struct gen *g, struct worker *w, const struct gen_load *l)
{
	give(g, w, l, make_outside);
}

void gen_hub(struct gen *g, struct worker *w, const struct gen_load *l)
{
	give(g, w, l, make_hub);
}

void gen_jobs(struct gen *g, struct worker *w, const struct gen_load *l, bool is_open,
	      struct aead_job *jobs)
{
	/* Into the same buffers. */
	g->worker[w->id].queue_load = NULL;
	sealed(g, w, l, false, jobs);
	/* What was sealed in place is a text like any other. */
	for (unsigned i = 0; !is_open && i < BATCH_MAX; i++)
		jobs[i].counter += BATCH_MAX;
}
