/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses under which a peer may be reached, and who named each: the netmap, the peer by
 * call-me-maybe, or a ping that came from there. One that nobody names any more is dropped. Part of
 * struct path_peer; its rules on threads and memory hold.
 */
#ifndef CONTROLPLANE_PATH_PATH_CANDIDATE_H
#define CONTROLPLANE_PATH_PATH_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/wire/disco.h"

#define PATH_CANDIDATES_MAX 100
/* One learnt from a ping lives so long after the last one. */
#define PATH_PING_LEARNT_NS (45 * NS_PER_SEC)

enum path_source {
	PATH_FROM_NETMAP = 1,
	PATH_FROM_CALL = 2,
	PATH_FROM_PING = 4,
};

/* Times are 0 for never. */
struct path_candidate {
	struct endpoint at;
	uint8_t sources; /* enum path_source, or'ed */
	uint8_t heard_tx[DISCO_TX_ID_BYTES];
	uint64_t heard_ns;   /* last ping from there */
	uint64_t pinged_ns;  /* last ping to there */
	uint64_t backed_ns;  /* last ping to there because of one from there */
	uint64_t ponged_ns;  /* last pong to a ping to there */
	uint64_t latency_ns; /* of that pong */
};

struct path_candidates {
	size_t count;
	struct path_candidate at[PATH_CANDIDATES_MAX];
};

/* NULL if there is none. The pointer holds until the next call that takes out. */
struct path_candidate *path_candidate_find(struct path_candidates *c, const struct endpoint *e);
/*
 * Finds or adds. In a full table the one that was learnt from a ping longest ago, of those that
 * never answered, makes room; NULL if none can.
 */
struct path_candidate *path_candidate_add(struct path_candidates *c, const struct endpoint *e,
					  enum path_source source);
/* source names none any more, until it is added again. */
void path_candidate_forget_source(struct path_candidates *c, enum path_source source);
/* Drops what nobody names: after forget_source and the adds that follow it. */
void path_candidate_sweep(struct path_candidates *c, uint64_t now_ns);

#endif
