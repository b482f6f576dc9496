/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dataplane on the bench, and the packets that go through it: real tables and
 * workers, programmed by dpapi messages, and one port of kind "gen" whose packets
 * are made beforehand and whose tx only counts. So what is measured is the pipeline:
 * no system call, no ring.
 *
 *   peers      id 1 to n; peer k has 10.x.y.z/32 with x.y.z = k, and one session
 *   routes     more prefixes in the mix of lengths of an internet table, to peers at random
 *   LAN        192.168.7.0/24, behind one resolved neighbour each: 192.168.7.2 to .65
 *
 * A packet of the inside is IPv4/UDP from a LAN host to a peer (or into one of its
 * routes), one of the outside is sealed by the peer for a LAN host, with a counter
 * that rises. Which peer: in turn, or in an order that was drawn at random.
 *
 * One thread makes it; then each worker is one thread's. Errors end the program.
 */
#ifndef PERF_GEN_H
#define PERF_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dataplane.h"

/* Batches that wait in a standing queue: the full ring of 2,048 packets. */
#define GEN_DEPTH_MAX 32u

struct gen_load {
	const char *name;
	uint32_t lens[12]; /* bytes of inner packets in turn, to the first 0 */
};

/* 64, 512, 1420, imix. */
extern const struct gen_load gen_loads[];
extern const unsigned gen_load_count;

struct gen_config {
	unsigned workers;
	unsigned peers;
	unsigned routes4, routes6; /* besides the peers' own */
	unsigned lanes;		   /* of each peer, worker n having lane 1 + n; needs few peers */
	bool is_random;		   /* order of destinations */
	unsigned depth;		   /* batches that are made before the first of them is taken */
	const char *engine;	   /* NULL: the preferred one */
};

struct gen;

/* Of the traffic so far. */
struct gen_count {
	uint64_t sent;	/* taken by tx */
	uint64_t wrong; /* of those looked at, not what was put in */
};

struct gen *gen_new(const struct gen_config *c);
void gen_free(struct gen *g);
struct worker *gen_worker(struct gen *g, unsigned n);
struct dataplane *gen_dataplane(struct gen *g);

/* Fills the worker's batch with BATCH_MAX packets, ready for pipeline_inside/_outside. */
void gen_inside(struct gen *g, struct worker *w, const struct gen_load *l);
void gen_outside(struct gen *g, struct worker *w, const struct gen_load *l);
/* From one peer to another: a hub. */
void gen_hub(struct gen *g, struct worker *w, const struct gen_load *l);

/* The jobs of a whole batch as open (or seal) would have them, for an engine alone: made anew. */
void gen_jobs(struct gen *g, struct worker *w, const struct gen_load *l, bool is_open,
	      struct aead_job *jobs);

/* From here on every packet that leaves is opened, or compared, and counted. */
void gen_check(struct gen *g, bool is_on);
struct gen_count gen_counted(const struct gen *g, const struct worker *w);

/* Any message with its type set. */
void gen_apply(struct gen *g, void *msg, size_t len);
/* One of the routes, for changing it: route i goes to peer. */
void gen_route(struct gen *g, unsigned i, uint32_t peer);

#endif
