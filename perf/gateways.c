/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateways: two gateways back to back on one core, for a load on two vhost-user sockets.
 *
 *   left.sock --> 1 seals --> net_ring0 --> 2 opens --> right.sock
 *   left.sock <-- 1 opens <-- net_ring1 <-- 2 seals <-- right.sock
 *
 * causeway-dp's worker, its dpdk port and its tables; but there are two sets of
 * tables, and which of them a batch meets goes by the device that it came from. The
 * rings give back what is sent into them, so each stands for a cable between the two.
 * No kernel has a part in it: what the mirror would tell is told once, here.
 *
 * LAN 1 is 10.1.0.0/16 with the host 10.1.0.2 behind `left`, LAN 2 is 10.2.0.0/16 behind
 * `right`; gateways answer to the MAC addresses that are printed, in a JSON object, when
 * all is ready. SIGTERM ends it with another object of what was counted. Main sleeps.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
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
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define LISTEN_PORT   41641
#define PEER_ID	      1
#define PEER_MTU      1420
#define INDEX_OF(n)   (0x1000u + (n)) /* of gateway n's session */
#define SESSION_NS    (7200 * NS_PER_SEC)
#define SESSION_SLOTS 1024
#define FLOWS	      131072
#define POOL_MBUFS    16384
#define POOL_CACHE    256
#define RING_SIZE     4096
#define WORKER_LCORE  1

/* Devices of the port in the order of its specification. */
enum { WAN_1_TO_2, WAN_2_TO_1, LAN_1, LAN_2, DEVICES };

struct gateway {
	struct dataplane dp;
	unsigned number; /* 1, 2 */
	unsigned wan, lan;
	uint64_t rx_packets;
};

static struct gateway gateways[2];
/* By the port's netdev: whose tables its packets meet. */
static struct gateway *const owner[DEVICES] = {
	[WAN_1_TO_2] = &gateways[1],
	[WAN_2_TO_1] = &gateways[0],
	[LAN_1] = &gateways[0],
	[LAN_2] = &gateways[1],
};
static struct gateway *source_owner[PORT_SOURCES_MAX];
static const struct port_ops *real_ops;
static struct port_ops ops;
static uint8_t keys[2][AEAD_KEY_BYTES]; /* sends: gateway 1, gateway 2 */

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "gateways: %s\n", what);
	exit(1);
}

static void *need(void *p)
{
	if (!p)
		give_up("no memory");
	return p;
}

static unsigned rx(struct port *p, struct worker *w, unsigned source, struct batch *b)
{
	struct gateway *g = source_owner[source];
	unsigned n;

	w->dp = &g->dp;
	n = real_ops->rx(&g->dp.ports[0], w, source, b);
	g->rx_packets += b->n;
	return n;
}

/* ---- what causewayd would say ---- */

static void apply(struct gateway *g, void *msg, size_t len)
{
	char text[DPAPI_ERROR_TEXT] = "";
	struct dpapi_hdr *hdr = msg;

	hdr->len = (uint32_t)len;
	hdr->generation = 1;
	if (apply_message(&g->dp, msg, len, text) < 0)
		give_up(text);
}

static void set_peer(struct gateway *g)
{
	unsigned other = 3 - g->number;
	struct dpapi_peer_set set = {.hdr.type = DPAPI_PEER_SET, .id = PEER_ID, .mtu = PEER_MTU};
	struct dpapi_endpoint_set where = {
		.hdr.type = DPAPI_ENDPOINT_SET,
		.peer_id = PEER_ID,
		.path = {.kind = DPAPI_PATH_UDP,
			 .remote = {.family = AF_INET,
				    .port = LISTEN_PORT,
				    .bytes = {203, 0, 113, (uint8_t)other}}},
	};
	struct dpapi_session_set s = {
		.hdr.type = DPAPI_SESSION_SET,
		.peer_id = PEER_ID,
		.local_index = INDEX_OF(g->number),
		.remote_index = INDEX_OF(other),
		.flags = DPAPI_SESSION_INITIATOR | DPAPI_SESSION_CONFIRMED,
		.born_ns = clock_now_ns(),
	};
	struct dpapi_route r = {
		.hdr.type = DPAPI_ROUTE_SET,
		.family = AF_INET,
		.prefix_len = 16,
		.peer_id = PEER_ID,
		.addr = {10, (uint8_t)other},
	};
	struct dpapi_rules allow = {.hdr.type = DPAPI_RULES, .mode = DPAPI_FILTER_ALLOW_ALL};

	s.expire_ns = s.born_ns + SESSION_NS;
	memcpy(s.send_key, keys[g->number - 1], sizeof(s.send_key));
	memcpy(s.recv_key, keys[other - 1], sizeof(s.recv_key));
	set.public_key[0] = (uint8_t)other;
	set.public_key[DPAPI_KEY_BYTES - 1] = 0x40;
	apply(g, &set, sizeof(set));
	apply(g, &where, sizeof(where));
	apply(g, &s, sizeof(s));
	apply(g, &r, sizeof(r));
	apply(g, &allow, sizeof(allow));
	sodium_memzero(&s, sizeof(s));
}

/* ---- what the mirror would say ---- */

/* All of net..len in `table` goes to the neighbour at ip. */
static void set_next_hop(struct gateway *g, struct fib *table, const uint8_t *net, unsigned len,
			 unsigned netdev, const uint8_t *own, const uint8_t *ip, const uint8_t *mac)
{
	int number;

	neigh_source_set(g->dp.neigh, 0, (uint8_t)netdev, AF_INET,
			 g->dp.ports[0].netdev[netdev].mac, own);
	number = neigh_set(g->dp.neigh, 0, (uint8_t)netdev, AF_INET, ip, mac);
	if (number < 0 || fib_set(table, net, AF_INET, len, FIB_LOCAL_NEXTHOP(number), 1) < 0)
		give_up("next hop");
}

static void set_surroundings(struct gateway *g)
{
	uint8_t n = (uint8_t)g->number, other = (uint8_t)(3 - n);
	uint8_t own[16] = {203, 0, 113, n}, peer[16] = {203, 0, 113, other};
	uint8_t lan[16] = {10, n}, lan_own[16] = {10, n, 0, 1}, host[16] = {10, n, 0, 2};
	uint8_t host_mac[6] = {2, 0, 0, 0, 0, n};

	/* The ring gives the frame back: its MAC address is at both ends. */
	set_next_hop(g, g->dp.outer, peer, 32, g->wan, own, peer,
		     g->dp.ports[0].netdev[g->wan].mac);
	set_next_hop(g, g->dp.local, lan, 16, g->lan, lan_own, host, host_mac);
}

/* ---- what main.c would do ---- */

static void tables_new(struct dataplane *dp, struct rte_rcu_qsbr *qsbr)
{
	dp->worker_count = 1;
	dp->channel_fd = -1;
	dp->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	dp->is_pinned = true;
	dp->qsbr = qsbr;
	dp->mesh = need(fib_new());
	dp->local = need(fib_new());
	dp->outer = need(fib_new());
	dp->sessions = need(session_table_new(SESSION_SLOTS));
	dp->peers = need(peer_table_new(dp->sessions));
	dp->flows = need(flow_table_new(FLOWS));
	dp->rules = need(rule_table_new());
	dp->neigh = need(neigh_table_new(NEIGH_CAPACITY_DEFAULT));
}

static void add_sources(struct worker *w)
{
	struct port_source list[PORT_SOURCES_MAX];
	struct port *p = &w->dp->ports[0];
	unsigned n = p->ops->sources(p, 0, list), device = 0;

	w->sleep_fds[0] = (struct pollfd){.fd = w->epoll_fd, .events = POLLIN};
	w->sleep_count = 1;
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

		/* Only queues are polled, and each device has one. Of the others nothing comes. */
		source_owner[i] = list[i].is_polled ? owner[device++ % DEVICES] : &gateways[0];
		w->has_fdless |= list[i].fd < 0;
		w->is_always |= list[i].is_always;
		if (list[i].is_polled) {
			w->sleep_fds[w->sleep_count] =
				(struct pollfd){.fd = list[i].fd, .events = POLLIN};
			w->sleep_source[w->sleep_count++] = i;
		} else if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, list[i].fd, &ev) < 0) {
			give_up("source");
		}
		w->sources[w->source_count++] = (struct worker_source){
			.port = p,
			.index = i,
			.is_outside = list[i].is_outside,
			.is_polled = list[i].is_polled,
		};
	}
	if (device != DEVICES)
		give_up("not one queue a device");
}

static struct worker *worker_new(struct dataplane *dp, const struct aead_engine *engine)
{
	struct worker *w = need(aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63));
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = WORKER_EPOLL_WAKE};

	memset(w, 0, sizeof(*w));
	w->dp = dp;
	w->lcore = WORKER_LCORE;
	w->engine = engine;
	w->aead = need(engine->ctx_new());
	w->staging = need(staging_new(dp->mtu_max));
	w->scratch = mmap(NULL, WORKER_SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->commands =
		need(rte_ring_create_elem("commands", sizeof(struct worker_command), RING_SIZE,
					  SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
	w->events = need(rte_ring_create_elem("events", sizeof(struct worker_event), RING_SIZE,
					      SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
	if (w->scratch == MAP_FAILED || w->epoll_fd < 0 || w->wake_fd < 0 ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0)
		give_up("worker");
	add_sources(w);
	return w;
}

static void eal_start(const char *cores, const char *prefix, const char *memory)
{
	char *args[] = {
		(char *)"gateways",
		(char *)"--lcores",
		(char *)cores,
		(char *)"--file-prefix",
		(char *)prefix,
		(char *)"-m",
		(char *)memory,
		(char *)"--no-pci",
		(char *)"--in-memory",
		(char *)"--single-file-segments",
		(char *)"--no-telemetry",
		(char *)"--iova-mode=va",
		(char *)"--log-level=4",
	};

	if (rte_eal_init((int)(sizeof(args) / sizeof(args[0])), args) < 0)
		give_up("DPDK does not start: are there free hugepages (vm.nr_hugepages)?");
}

static void open_port(const char *left, const char *right, unsigned rings)
{
	struct port_env env = {.workers = 1};
	char spec[1024], err[PORT_ERROR_TEXT];
	struct port p;

	env.pool = need(rte_pktmbuf_pool_create("packets", POOL_MBUFS, POOL_CACHE, 0,
						RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY));
	env.mbuf_data_bytes = RTE_MBUF_DEFAULT_BUF_SIZE;
	snprintf(spec, sizeof(spec),
		 "dpdk:wan=net_ring0+net_ring1,lan=net_vhost0;iface=%s+net_vhost1;iface=%s,"
		 "listen=%d,tun=cw0,rings=%u,poll=always,accept=any",
		 left, right, LISTEN_PORT, rings);
	if (port_open(&p, 0, spec, &env, err) < 0)
		give_up(err);
	if (p.netdev_count != DEVICES)
		give_up("not the devices that were asked for");
	real_ops = p.ops;
	ops = *p.ops;
	ops.rx = rx;
	p.ops = &ops;
	for (unsigned i = 0; i < 2; i++) {
		struct gateway *g = &gateways[i];

		g->number = i + 1;
		g->wan = i ? WAN_2_TO_1 : WAN_1_TO_2;
		g->lan = i ? LAN_2 : LAN_1;
		g->dp.ports[0] = p;
		g->dp.port_count = 1;
		g->dp.mtu_max = p.mtu_max;
	}
}

static void print_ready(const struct aead_engine *engine)
{
	const struct port_netdev *d = gateways[0].dp.ports[0].netdev;
	char left[RTE_ETHER_ADDR_FMT_SIZE], right[RTE_ETHER_ADDR_FMT_SIZE];

	rte_ether_format_addr(left, sizeof(left), (const struct rte_ether_addr *)d[LAN_1].mac);
	rte_ether_format_addr(right, sizeof(right), (const struct rte_ether_addr *)d[LAN_2].mac);
	printf("{\"ready\": true, \"engine\": \"%s\", \"left_mac\": \"%s\", \"right_mac\": "
	       "\"%s\"}\n",
	       engine->name, left, right);
	fflush(stdout);
}

static void print_counts(const struct worker *w)
{
	struct port *p = &gateways[0].dp.ports[0];
	struct port_counter list[PORT_COUNTERS_MAX];
	unsigned n = real_ops->counters ? real_ops->counters(p, list) : 0;

	printf("{\"gateway1\": %" PRIu64 ", \"gateway2\": %" PRIu64 ", \"busy_cycles\": %" PRIu64
	       ", \"idle_cycles\": %" PRIu64 ", \"drops\": {",
	       gateways[0].rx_packets, gateways[1].rx_packets, w->stats.busy_cycles,
	       w->stats.idle_cycles);
	for (unsigned i = 0, any = 0; i < DROP_REASON_COUNT; i++)
		if (w->stats.drop[i])
			printf("%s\"%s\": %" PRIu64, any++ ? ", " : "",
			       drop_name((enum drop_reason)i), w->stats.drop[i]);
	printf("}, \"port\": {");
	for (unsigned i = 0; i < n; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", list[i].name, list[i].value);
	printf("}}\n");
}

static const struct option options[] = {
	{"left", required_argument, NULL, 'l'},	  {"right", required_argument, NULL, 'r'},
	{"core", required_argument, NULL, 'c'},	  {"main-core", required_argument, NULL, 'm'},
	{"prefix", required_argument, NULL, 'p'}, {"engine", required_argument, NULL, 'e'},
	{"rings", required_argument, NULL, 'q'},  {0},
};

int main(int argc, char **argv)
{
	const char *left = NULL, *right = NULL, *engine_name = NULL, *why = NULL;
	const char *prefix = "causeway-gateways", *core = "1", *main_core = "0";
	struct worker_command stop = {.type = WORKER_CMD_STOP};
	const struct aead_engine *engine;
	unsigned rings = 1024;
	struct rte_rcu_qsbr *qsbr;
	struct worker *w;
	char cores[64];
	sigset_t set;
	int c, sig;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l')
			left = optarg;
		else if (c == 'r')
			right = optarg;
		else if (c == 'c')
			core = optarg;
		else if (c == 'm')
			main_core = optarg;
		else if (c == 'p')
			prefix = optarg;
		else if (c == 'e')
			engine_name = optarg;
		else if (c == 'q')
			rings = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (!left || !right)
		give_up("--left SOCKET --right SOCKET [--core N] [--main-core N] [--prefix NAME] "
			"[--engine NAME] [--rings N]");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	log_init("gateways", LOG_WARN);
	if (sodium_init() < 0)
		give_up("libsodium does not start");
	engine = aead_select(engine_name, &why);
	if (!engine)
		give_up(why);
	snprintf(cores, sizeof(cores), "0@%s,%d@%s", main_core, WORKER_LCORE, core);
	eal_start(cores, prefix, "256");
	open_port(left, right, rings);
	qsbr = need(aligned_alloc(64, (rte_rcu_qsbr_get_memsize(1) + 63) & ~(size_t)63));
	if (rte_rcu_qsbr_init(qsbr, 1))
		give_up("RCU");
	retire_init(qsbr);
	randombytes_buf(keys, sizeof(keys));
	for (unsigned i = 0; i < 2; i++)
		tables_new(&gateways[i].dp, qsbr);
	w = worker_new(&gateways[0].dp, engine);
	for (unsigned i = 0; i < 2; i++) {
		gateways[i].dp.workers[0] = w;
		set_surroundings(&gateways[i]);
		set_peer(&gateways[i]);
	}
	rte_eal_remote_launch(worker_main, w, WORKER_LCORE);
	print_ready(engine);
	sigwait(&set, &sig);
	worker_command(w, &stop);
	rte_eal_mp_wait_lcore();
	print_counts(w);
	port_close(&gateways[0].dp.ports[0]);
	sodium_memzero(keys, sizeof(keys));
	return 0;
}
