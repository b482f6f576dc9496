/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dataplane on the bench: tables, workers without threads of their own, and
 * one port of kind "fake" that keeps what it is given to send and receives what
 * a test has prepared. Nothing of EAL is started: rings and RCU live in plain
 * memory.
 *
 * Tables are changed by dpapi messages, as causewayd does it. Time stands still
 * at now_ns until the test moves it. Packets lie in memory of exactly the size
 * that they and their room need, so that AddressSanitizer sees a byte too many.
 */
#ifndef TESTS_UNIT_DP_RIG_H
#define TESTS_UNIT_DP_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "dataplane/packet.h"
#include "lib/dpapi/dpapi.h"

#define RIG_WORKERS_MAX 4
#define RIG_SENT_MAX	4096 /* a worker */
#define RIG_FED_MAX	256
#define RIG_EVENTS_MAX	4096
#define RIG_STEER_MAX	16384
#define RIG_MTU_MAX	9000
#define RIG_NOW_NS	(1000ull * 1000000000ull)
#define RIG_SECOND	1000000000ull

/* What the fake port was given to send; bytes are a copy. */
struct rig_sent {
	struct packet meta;
	struct dpapi_addr remote;
	uint8_t *bytes;
};

struct rig_fed {
	uint8_t *bytes;
	uint16_t len;
};

/* State of the fake port of one worker. */
struct rig_port {
	unsigned sent_count;
	bool is_counting_only; /* threads: no copies */
	struct rig_sent sent[RIG_SENT_MAX];
	int fed_fd; /* eventfd, readable while something is fed */
	unsigned fed_count, fed_next;
	struct rig_fed fed[RIG_FED_MAX];
	unsigned memory_count; /* of the batch under way */
	uint8_t *memory[4 * BATCH_MAX];
};

struct rig_steer {
	uint8_t addr[16];
	int family;
	uint8_t len;
	uint16_t mtu;
};

struct dp_rig {
	struct dataplane dp;
	uint64_t now_ns;
	char text[DPAPI_ERROR_TEXT]; /* of the last refusal */
	struct dpapi_addr remote;    /* where outside packets come from, unless told */
	struct rig_port port[RIG_WORKERS_MAX];
	unsigned event_count;
	struct worker_event events[RIG_EVENTS_MAX];
	unsigned steer_count;
	struct rig_steer steer[RIG_STEER_MAX];
};

/*
 * Tables of rigs that are made from here on: such as are looked ahead in, or such as are not.
 * Before: many sessions and few routes.
 */
void dp_rig_tables(bool is_large);
/* On the heap: it is large. Peers, routes, sessions: none; filter: allow all. */
struct dp_rig *dp_rig_new(unsigned workers);
void dp_rig_free(struct dp_rig *r);

/* Any message with its type set; len is put in. As apply_message, text in r->text. */
int dp_rig_apply(struct dp_rig *r, void *msg, size_t len);

/* These must succeed. */
void dp_rig_peer(struct dp_rig *r, uint32_t id, uint16_t mtu, uint32_t flags);
void dp_rig_path(struct dp_rig *r, uint32_t id, const char *endpoint);
void dp_rig_route(struct dp_rig *r, const char *prefix, uint32_t id);
/* Of dataplane.local, as netlink/mirror.c would add it. */
void dp_rig_kernel_route(struct dp_rig *r, const char *prefix, uint32_t fib_id);
/* Of the filter. */
void dp_rig_local(struct dp_rig *r, const char *prefix);
void dp_rig_filter(struct dp_rig *r, enum dpapi_filter_mode mode);
/* Keys and the remote index follow from the local one. Lasts 180 s from now. */
struct dpapi_session_set dp_rig_session_msg(const struct dp_rig *r, uint32_t peer, uint32_t index,
					    uint32_t flags);
struct dpapi_session_set dp_rig_session(struct dp_rig *r, uint32_t peer, uint32_t index,
					uint32_t flags);
/* Peer, path 192.0.2.<id>:51820, and a confirmed session. */
struct dpapi_session_set dp_rig_ready_peer(struct dp_rig *r, uint32_t id, uint16_t mtu,
					   const char *prefix);

struct dpapi_addr dp_rig_addr(const char *endpoint);

/* The worker's batch, empty, at now_ns. What the last one held is freed. */
struct batch *dp_rig_batch(struct dp_rig *r, unsigned worker);
/* Adds a packet with this room around it. */
struct packet *dp_rig_add(struct dp_rig *r, struct batch *b, const void *data, size_t len,
			  unsigned headroom, unsigned tailroom);
struct packet *dp_rig_add_inside(struct dp_rig *r, struct batch *b, const void *data, size_t len);
struct packet *dp_rig_add_outside(struct dp_rig *r, struct batch *b, const void *data, size_t len);

/*
 * What the other end of a session does, by libsodium alone. seal: writes a type
 * 4 message to out, returns its length. open: the plaintext's length, or -1.
 */
size_t dp_rig_seal(const struct dpapi_session_set *s, uint64_t counter, const void *plain,
		   size_t len, uint8_t *out);
int dp_rig_open(const struct dpapi_session_set *s, const uint8_t *message, size_t len,
		uint64_t *counter, uint8_t *out);

/* An inside packet for worker_main: the fake port's rx of this worker gives it. */
void dp_rig_feed(struct dp_rig *r, unsigned worker, const void *data, size_t len);

void dp_rig_sent_clear(struct dp_rig *r);
/* Takes what the workers posted into r->events; how many are of this type. Clears before. */
void dp_rig_drain(struct dp_rig *r);
unsigned dp_rig_events(const struct dp_rig *r, uint32_t type);
uint64_t dp_rig_dropped(const struct dp_rig *r, enum drop_reason reason);

#endif
