/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif_load: source and sink around a causeway-dp whose devices are memif, on one core.
 *
 *   from --> device's inside   device's outside --> to      (seal)
 *   from --> device's outside  device's inside  --> to      (open)
 *
 * Without --to nothing comes back: the device's other side is net_null. It is the peer
 * as well, as xdp_load is: the session's keys are its own, it seals what is to be opened,
 * and looks into a sample of what returns. Each line "BYTES SECONDS" on standard input is
 * a load, answered by one JSON object. With a window no more than so many packets are
 * under way, else as many as the ring takes.
 *
 * --server: the rings are the device's, which with zero copy hands out its own memory;
 * the device comes when we listen. --plain: what comes back is what was sent.
 *
 * --bare BYTES does none of this, but prints the ticks of ipsec-mb's seal a packet.
 */
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/aead_engines.h"
#include "lib/base/clock.h"
#include "lib/base/sock.h"
#include "lib/wire/ether.h"
#include "lib/wire/udp_encap.h"
#include "lib/wire/wg.h"
#include "perf/dp_program.h"

#define LISTEN_PORT   41641
#define INNER_PORT    9
#define FLOWS	      16
#define BURST	      32u
#define DATA_HEADER   16
#define SAMPLE	      256 /* one packet in so many is looked into */
#define MTU	      1420
#define POOL_MBUFS    8191
#define LINK_NS	      (5 * NS_PER_SEC)
#define LOST_NS	      (20 * NS_PER_MS)
#define BARE_BATCHES  4001
#define BARE_STRIDE   2048
#define MEMORY_MB     "128"
#define INNER_FILL    0x5a
#define OUTER_AT      ETHER_HEADER_BYTES
#define SEALED_AT     (OUTER_AT + UDP_ENCAP_V4_BYTES)
#define INNER_PAYLOAD UDP_ENCAP_V4_BYTES

static_assert(sizeof(struct wg_msg_data) == DATA_HEADER, "header of a data message");

struct load {
	const char *from, *to, *dp_socket, *cpu, *rsize;
	bool is_open, is_server, is_plain;
	uint32_t window;
	uint8_t device_mac[6];
	const char *inner_src, *inner_dst, *outer_src, *outer_dst;

	uint16_t from_port, to_port;
	struct rte_mempool *pool;
	struct rte_mbuf *burst[BURST];
	uint8_t inner[BURST][BARE_STRIDE];
	uint32_t bytes, frame_bytes, returned_bytes;
	uint8_t send_key[AEAD_KEY_BYTES], recv_key[AEAD_KEY_BYTES];
	uint32_t local_index, device_index;
	uint64_t counter, sent, received, wrong, verified, lost, bursts, full;
	const struct aead_engine *engine;
	void *crypto;
};

static _Noreturn void give_up(const char *text)
{
	fprintf(stderr, "memif_load: %s\n", text);
	exit(1);
}

static struct endpoint endpoint_of(const char *text, uint16_t port)
{
	struct endpoint e = {.port = port};

	if (addr_parse(text, &e.addr))
		give_up(text);
	return e;
}

/* To 16 bytes, but never over the MTU. */
static uint32_t padded(uint32_t bytes)
{
	uint32_t full = (bytes + 15) / 16 * 16;

	return full < MTU ? full : MTU;
}

static void inner_packet(struct load *l, uint8_t *out, unsigned flow)
{
	struct endpoint src = endpoint_of(l->inner_src, (uint16_t)(1024 + flow));
	struct endpoint dst = endpoint_of(l->inner_dst, INNER_PORT);
	struct udp_encap e = {.src = &src, .dst = &dst, .dont_fragment = true};
	uint32_t payload = l->bytes - INNER_PAYLOAD;

	memset(out, 0, BARE_STRIDE);
	memset(out + INNER_PAYLOAD, INNER_FILL, payload);
	if (udp_encap_build(out, &e, UDP_ENCAP_FULL, out + INNER_PAYLOAD, payload) < 0)
		give_up("inner packet");
}

/* Headers stay; of a sealed frame the counter and the text are new each time. */
static void build_frames(struct load *l, uint32_t bytes)
{
	struct endpoint src = endpoint_of(l->outer_src, LISTEN_PORT);
	struct endpoint dst = endpoint_of(l->outer_dst, LISTEN_PORT);
	struct udp_encap e = {.src = &src, .dst = &dst, .dont_fragment = true};
	uint32_t message = DATA_HEADER + padded(bytes) + AEAD_TAG_BYTES;
	uint32_t plain = ETHER_HEADER_BYTES + bytes, sealed = SEALED_AT + message;
	struct ether_head eth = {0};

	l->bytes = bytes;
	l->frame_bytes = l->is_open ? sealed : plain;
	l->returned_bytes = l->is_open || l->is_plain ? plain : sealed;
	memcpy(eth.dst, l->device_mac, sizeof(eth.dst));
	eth.src[0] = 2;
	be16_put(&eth.type, ETHER_TYPE_IPV4);
	for (unsigned i = 0; i < BURST; i++) {
		uint8_t *frame = rte_pktmbuf_mtod(l->burst[i], uint8_t *);
		struct wg_msg_data *data = (struct wg_msg_data *)(frame + SEALED_AT);

		l->burst[i]->data_len = (uint16_t)l->frame_bytes;
		l->burst[i]->pkt_len = l->frame_bytes;
		inner_packet(l, l->inner[i], i % FLOWS);
		memcpy(frame, &eth, sizeof(eth));
		if (!l->is_open) {
			memcpy(frame + ETHER_HEADER_BYTES, l->inner[i], bytes);
			continue;
		}
		memset(data, 0, sizeof(*data));
		le32_put(&data->type, WG_MSG_DATA);
		le32_put(&data->receiver, l->device_index);
		if (udp_encap_build(frame + OUTER_AT, &e, UDP_ENCAP_NONE, NULL, message) < 0)
			give_up("outer packet");
	}
}

static void program(struct load *l)
{
	struct dpapi_addr remote =
		dp_program_addr(l->is_open ? l->outer_src : l->outer_dst, LISTEN_PORT);
	struct dp_program_session s = {.peer_id = 1};
	struct dp_program dp;

	randombytes_buf(l->send_key, sizeof(l->send_key));
	randombytes_buf(l->recv_key, sizeof(l->recv_key));
	l->device_index = randombytes_random();
	l->local_index = randombytes_random();
	s.local_index = l->device_index;
	s.remote_index = l->local_index;
	memcpy(s.send_key, l->recv_key, sizeof(s.send_key));
	memcpy(s.recv_key, l->send_key, sizeof(s.recv_key));
	dp_program_open(&dp, l->dp_socket);
	dp_program_peer(&dp, 1, &remote, 0, MTU);
	dp_program_route(&dp, 1, l->is_open ? l->inner_src : l->inner_dst);
	dp_program_session(&dp, &s);
	dp_program_allow_all(&dp);
	dp_program_barrier(&dp, 1);
	dp_program_close(&dp);
}

static uint16_t open_port(struct load *l, unsigned n)
{
	static const struct rte_eth_conf conf;
	char name[32];
	uint16_t port;

	snprintf(name, sizeof(name), "net_memif%u", n);
	if (rte_eth_dev_get_port_by_name(name, &port) || rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, 512, 0, NULL, l->pool) ||
	    rte_eth_tx_queue_setup(port, 0, 512, 0, NULL) || rte_eth_dev_start(port))
		give_up(name);
	return port;
}

static void wait_link(uint16_t port)
{
	uint64_t start = clock_now_ns();
	struct rte_eth_link link = {0};

	while (!link.link_status) {
		if (clock_now_ns() - start > LINK_NS)
			give_up("the device does not answer on memif");
		usleep(1000);
		if (rte_eth_link_get_nowait(port, &link))
			give_up("no state of the link");
	}
}

static void device_args(const struct load *l, unsigned n, const char *socket, char out[256])
{
	snprintf(out, 256, "net_memif%u,role=%s,socket-abstract=no,rsize=%s,socket=%s", n,
		 l->is_server ? "server" : "client", l->rsize, socket);
}

static void start_eal(struct load *l)
{
	char dev[2][256], prefix[32];
	char *argv[24] = {"memif_load",	   "-l",       (char *)l->cpu,	 "--no-huge", "-m",
			  MEMORY_MB,	   "--no-pci", "--no-telemetry", "--vdev",    dev[0],
			  "--file-prefix", prefix,     "--log-level",	 "error"};
	int n = 14;

	snprintf(prefix, sizeof(prefix), "memif_load.%d", getpid());
	device_args(l, 0, l->from, dev[0]);
	if (l->to) {
		device_args(l, 1, l->to, dev[1]);
		argv[n++] = "--vdev";
		argv[n++] = dev[1];
	}
	if (rte_eal_init(n, argv) < 0)
		give_up("EAL");
	l->pool = rte_pktmbuf_pool_create("load", POOL_MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!l->pool || rte_pktmbuf_alloc_bulk(l->pool, l->burst, BURST))
		give_up("no memory for packets");
	l->from_port = open_port(l, 0);
	if (l->to)
		l->to_port = open_port(l, 1);
}

static void wait_links(const struct load *l)
{
	wait_link(l->from_port);
	if (l->to)
		wait_link(l->to_port);
}

static void wait_device(const struct load *l)
{
	uint64_t start = clock_now_ns();
	int fd;

	while ((fd = sock_unix_connect(l->dp_socket, SOCK_SEQPACKET)) < 0) {
		if (clock_now_ns() - start > 2 * LINK_NS)
			give_up("no device");
		usleep(1000);
	}
	close(fd);
}

static void seal(struct load *l)
{
	struct aead_job jobs[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		uint8_t *frame = rte_pktmbuf_mtod(l->burst[i], uint8_t *);
		struct wg_msg_data *data = (struct wg_msg_data *)(frame + SEALED_AT);

		le64_put(&data->counter, l->counter);
		jobs[i] = (struct aead_job){
			.key = l->send_key,
			.counter = l->counter++,
			.src = l->inner[i],
			.dst = (uint8_t *)(data + 1),
			.len = padded(l->bytes),
		};
	}
	l->engine->seal(l->crypto, jobs, BURST);
}

/* Is it a packet that was put in, sealed for us with our key? */
static bool is_sealed_for_us(struct load *l, const uint8_t *frame)
{
	const struct wg_msg_data *data = (const struct wg_msg_data *)(frame + SEALED_AT);
	uint8_t inner[BARE_STRIDE];
	struct aead_job job = {
		.key = l->recv_key,
		.counter = le64_get(&data->counter),
		.src = (const uint8_t *)(data + 1),
		.dst = inner,
		.len = padded(l->bytes),
	};

	l->engine->open(l->crypto, &job, 1);
	/* A router has taken one from TTL, and the header checksum goes with it. */
	return job.ok && !memcmp(inner + 12, l->inner[0] + 12, 8) &&
	       !memcmp(inner + INNER_PAYLOAD, l->inner[0] + INNER_PAYLOAD,
		       l->bytes - INNER_PAYLOAD) &&
	       le32_get(&data->receiver) == l->local_index;
}

static bool is_right(struct load *l, const uint8_t *frame)
{
	const uint8_t *inner = frame + ETHER_HEADER_BYTES;

	if (!l->is_open && !l->is_plain)
		return is_sealed_for_us(l, frame);
	return !memcmp(inner + 12, l->inner[0] + 12, 8) &&
	       !memcmp(inner + INNER_PAYLOAD, l->inner[0] + INNER_PAYLOAD,
		       l->bytes - INNER_PAYLOAD);
}

static void take(struct load *l)
{
	struct rte_mbuf *m[2 * BURST];
	unsigned n;

	if (!l->to)
		return;
	n = rte_eth_rx_burst(l->to_port, 0, m, 2 * BURST);
	for (unsigned i = 0; i < n; i++) {
		/* The kernel behind the device talks too. */
		if (m[i]->pkt_len != l->returned_bytes)
			continue;
		if (l->received++ % SAMPLE == 0) {
			bool is_ok = is_right(l, rte_pktmbuf_mtod(m[i], const uint8_t *));

			l->verified += is_ok;
			l->wrong += !is_ok;
		}
	}
	if (n)
		rte_pktmbuf_free_bulk(m, n);
}

/*
 * The driver copies and frees: with one more reference each the packets stay ours.
 * Returns how many of the burst from `at` on were taken.
 */
static unsigned send_some(struct load *l, unsigned at)
{
	for (unsigned i = at; i < BURST; i++)
		rte_mbuf_refcnt_set(l->burst[i], 2);
	return rte_eth_tx_burst(l->from_port, 0, l->burst + at, (uint16_t)(BURST - at));
}

static bool has_room(struct load *l, uint64_t now, uint64_t last_ns)
{
	uint64_t under_way = l->sent - l->received - l->lost;

	if (!l->window || !l->to || under_way + BURST <= l->window)
		return true;
	if (now - last_ns > LOST_NS)
		l->lost += under_way;
	return false;
}

static void run(struct load *l, uint32_t bytes, double seconds)
{
	uint64_t start = clock_now_ns(), now = start, last_ns = start, end;
	unsigned at = BURST; /* of the burst, what the ring has not taken yet */

	l->sent = l->received = l->verified = l->wrong = l->lost = l->bursts = l->full = 0;
	build_frames(l, bytes);
	end = start + (uint64_t)(seconds * 1e9);
	while (now < end || at < BURST) {
		now = clock_now_ns();
		if (now > end + LINK_NS)
			give_up("the device takes nothing any more");
		take(l);
		if (at == BURST) {
			if (!has_room(l, now, last_ns))
				continue;
			if (l->is_open)
				seal(l);
			at = 0;
			l->bursts++;
			last_ns = now;
		}
		at += send_some(l, at);
		l->full += at < BURST;
		if (at == BURST)
			l->sent += BURST;
	}
	start = now - start;
	for (end = now + LOST_NS; now < end; now = clock_now_ns())
		take(l);
	printf("{\"bytes\": %u, \"seconds\": %.6f, \"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"verified\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"bursts\": %" PRIu64
	       ", \"full\": %" PRIu64 "}\n",
	       bytes, (double)start / 1e9, l->sent, l->received, l->verified, l->wrong, l->bursts,
	       l->full);
	fflush(stdout);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int bare(uint32_t bytes)
{
	static uint8_t text[BURST][BARE_STRIDE];
	static const uint8_t key[AEAD_KEY_BYTES] = {1};
	static uint64_t ticks[BARE_BATCHES];
	uint64_t counter = 0;
	void *ctx = aead_ipsecmb.is_supported() ? aead_ipsecmb.ctx_new() : NULL;

	if (!ctx)
		give_up("no ipsec-mb on this CPU");
	for (unsigned k = 0; k < BARE_BATCHES; k++) {
		struct aead_job jobs[BURST];

		for (unsigned i = 0; i < BURST; i++)
			jobs[i] = (struct aead_job){
				.key = key,
				.counter = counter++,
				.src = text[i],
				.dst = text[i],
				.len = padded(bytes),
			};
		ticks[k] = rte_rdtsc();
		aead_ipsecmb.seal(ctx, jobs, BURST);
		ticks[k] = rte_rdtsc() - ticks[k];
	}
	qsort(ticks, BARE_BATCHES, sizeof(*ticks), by_value);
	aead_ipsecmb.ctx_free(ctx);
	printf("%.2f\n", (double)ticks[BARE_BATCHES / 2] / BURST);
	return 0;
}

static const struct option options[] = {
	{"server", no_argument, NULL, 's'},	      {"plain", no_argument, NULL, 'P'},
	{"bare", required_argument, NULL, 'B'},	      {"from", required_argument, NULL, 'f'},
	{"to", required_argument, NULL, 't'},	      {"open", no_argument, NULL, 'n'},
	{"device-mac", required_argument, NULL, 'd'}, {"inner-src", required_argument, NULL, 'i'},
	{"inner-dst", required_argument, NULL, 'I'},  {"outer-src", required_argument, NULL, 'o'},
	{"outer-dst", required_argument, NULL, 'O'},  {"window", required_argument, NULL, 'w'},
	{"rsize", required_argument, NULL, 'r'},      {"cpu", required_argument, NULL, 'c'},
	{"dp-socket", required_argument, NULL, 'p'},  {0},
};

static void parse(struct load *l, int argc, char **argv)
{
	uint8_t *m = l->device_mac;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'B')
			exit(bare((uint32_t)strtoul(optarg, NULL, 10)));
		else if (c == 'f')
			l->from = optarg;
		else if (c == 't')
			l->to = optarg;
		else if (c == 'n')
			l->is_open = true;
		else if (c == 's')
			l->is_server = true;
		else if (c == 'P')
			l->is_plain = true;
		else if (c == 'd')
			sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3,
			       m + 4, m + 5);
		else if (c == 'i')
			l->inner_src = optarg;
		else if (c == 'I')
			l->inner_dst = optarg;
		else if (c == 'o')
			l->outer_src = optarg;
		else if (c == 'O')
			l->outer_dst = optarg;
		else if (c == 'w')
			l->window = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'r')
			l->rsize = optarg;
		else if (c == 'c')
			l->cpu = optarg;
		else if (c == 'p')
			l->dp_socket = optarg;
		else
			exit(2);
	}
	if (!l->from || !l->inner_src || !l->inner_dst || !l->outer_src || !l->outer_dst ||
	    !l->rsize || !l->cpu || (!l->dp_socket && !l->is_plain) ||
	    (l->window && l->window < BURST))
		give_up("an option is missing, or --window is less than a burst");
}

int main(int argc, char **argv)
{
	static struct load l;
	const char *why;
	char line[64];

	parse(&l, argc, argv);
	l.engine = aead_select(NULL, &why);
	if (!l.engine)
		give_up(why);
	l.crypto = l.engine->ctx_new();
	if (l.is_server) {
		start_eal(&l);
		if (!l.is_plain)
			wait_device(&l);
	}
	if (!l.is_plain)
		program(&l);
	if (!l.is_server)
		start_eal(&l);
	wait_links(&l);
	while (fgets(line, sizeof(line), stdin)) {
		uint32_t bytes;
		double seconds;

		if (sscanf(line, "%" SCNu32 " %lf", &bytes, &seconds) != 2 || bytes < 64 ||
		    bytes > MTU)
			give_up("a load is BYTES (64 to 1420) and SECONDS");
		run(&l, bytes, seconds);
	}
	return 0;
}
