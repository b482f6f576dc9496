/* SPDX-License-Identifier: Apache-2.0 */
/* The load that derp_load puts on a relay: pairs of clients and what they measure. One thread. */
#ifndef PERF_DERP_PAIRS_H
#define PERF_DERP_PAIRS_H

#include "perf/derp_conn.h"
#include "tests/lab/histogram.h"

#define BURST	 24 /* frames that a busy sender writes at once */
#define SIZE_MIN 16 /* when and which */

struct pair {
	struct derp_conn sender, receiver;
	struct load *load;
	uint64_t sent, received; /* frames */
	uint64_t first_counted;	 /* of closed loop: those before are given up */
	uint64_t last_ns;
	uint32_t on_way;
	bool is_blocked;
};

struct load {
	struct endpoint to;
	bool is_tls, is_single;
	unsigned pairs, size, window, quiet;
	int server;
	double rate, seconds, warm;
	SSL_CTX *tls;
	int epoll_fd;
	struct pair *pair;
	uint64_t now_ns, from_ns, until_ns;
	uint64_t received, refused, in_window;
	unsigned next; /* pair, of an open loop */
	bool did_something;
	struct histogram ages;
	uint8_t frame[DERP_HEADER_BYTES + DERP_KEY_BYTES + DERP_PACKET_MAX];
};

struct result {
	uint64_t cpu_ns, busy_ns, window_ns, sent, offered;
};

/* Says so and ends the process; rc: 0 or a negative errno. */
_Noreturn void give_up(const char *what, int rc);
/* Connects all pairs of l. */
void derp_pairs_connect(struct load *l);
/* Warms up, measures, and waits for what is still on the way. */
struct result derp_pairs_run(struct load *l);

#endif
