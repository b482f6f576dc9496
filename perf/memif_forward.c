/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif_forward: the floor under a device on memif. Receives bursts of up to 64 from one
 * memif, looks at their Ethernet headers, and sends them to another (or to net_null): what
 * the driver costs before any router or cipher does its work.
 *
 *   memif_forward CPU VDEV_IN VDEV_OUT
 *
 * A line on standard input is answered with {"packets", "ticks"} since the last one; ticks
 * are those of turns in which something came.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define BURST	   64
#define POOL_MBUFS 16383
#define POLL_TURNS 4096 /* between two looks at standard input */

static _Noreturn void give_up(const char *text)
{
	fprintf(stderr, "memif_forward: %s\n", text);
	exit(1);
}

static void open_port(uint16_t port, struct rte_mempool *pool)
{
	static const struct rte_eth_conf conf;

	if (rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, 512, 0, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, 512, 0, NULL) || rte_eth_dev_start(port))
		give_up("a device does not start");
}

static void swap_addresses(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ether_addr dst = eth->dst_addr;

	eth->dst_addr = eth->src_addr;
	eth->src_addr = dst;
}

/* One turn; packets that were received. */
static unsigned turn(void)
{
	struct rte_mbuf *m[BURST];
	unsigned n = rte_eth_rx_burst(0, 0, m, BURST), sent;

	if (!n)
		return 0;
	for (unsigned i = 0; i < n; i++)
		swap_addresses(m[i]);
	sent = rte_eth_tx_burst(1, 0, m, (uint16_t)n);
	if (sent < n)
		rte_pktmbuf_free_bulk(m + sent, n - sent);
	return n;
}

int main(int argc, char **argv)
{
	char prefix[32];
	char *eal[] = {argv[0],
		       "-l",
		       argc > 1 ? argv[1] : "",
		       "--in-memory",
		       "--single-file-segments",
		       "--no-pci",
		       "--no-telemetry",
		       "--vdev",
		       argc > 2 ? argv[2] : "",
		       "--vdev",
		       argc > 3 ? argv[3] : "",
		       "--file-prefix",
		       prefix,
		       "--log-level",
		       "error",
		       NULL};
	struct rte_mempool *pool;
	uint64_t packets = 0, ticks = 0;

	if (argc != 4)
		give_up("usage: memif_forward CPU VDEV_IN VDEV_OUT");
	snprintf(prefix, sizeof(prefix), "memif_forward.%d", getpid());
	if (rte_eal_init(15, eal) < 0)
		give_up("EAL");
	pool = rte_pktmbuf_pool_create("forward", POOL_MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!pool)
		give_up("no memory for packets");
	open_port(0, pool);
	open_port(1, pool);
	fcntl(0, F_SETFL, O_NONBLOCK);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		char line[16];
		ssize_t got;

		for (unsigned i = 0; i < POLL_TURNS; i++) {
			uint64_t from = rte_rdtsc();
			unsigned n = turn();

			packets += n;
			ticks += n ? rte_rdtsc() - from : 0;
		}
		got = read(0, line, sizeof(line));
		if (got == 0)
			return 0;
		if (got > 0) {
			printf("{\"packets\": %" PRIu64 ", \"ticks\": %" PRIu64 "}\n", packets,
			       ticks);
			fflush(stdout);
			packets = ticks = 0;
		}
	}
}
