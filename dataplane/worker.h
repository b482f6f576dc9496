/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread that moves packets, and all that it alone writes.
 *
 * It polls its sources while there is traffic and sleeps on their descriptors
 * when there is none. It takes no lock on a packet's way; what it shares with
 * other workers are the tables (read under RCU), the send counters of sessions,
 * the replay windows, and a flow's first packet.
 *
 * Beside each field: who writes it.  w = this worker, c = control thread at
 * start, before the worker runs.
 */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>

#include "dataplane/crypto/aead.h"
#include "dataplane/gather.h"
#include "dataplane/packet.h"
#include "dataplane/port/port.h"

struct dataplane;
struct staging;
struct rte_ring;

enum worker_stage {
	STAGE_RX_OUTSIDE,
	STAGE_RX_INSIDE,
	STAGE_CLASSIFY,
	STAGE_OPEN,
	STAGE_FILTER,
	STAGE_ROUTE,
	STAGE_MTU,
	STAGE_SEAL,
	STAGE_TX,
	STAGE_COUNT
};

/*
 * Counters of one worker: written by it, read by the control thread without
 * asking (relaxed; a reader may see two counters of different moments).
 */
#define WORKER_HISTOGRAM 40

struct worker_stats {
	uint64_t drop[DROP_REASON_COUNT];
	uint64_t stage_cycles[STAGE_COUNT];
	uint64_t stage_packets[STAGE_COUNT];
	uint64_t stage_batches[STAGE_COUNT];
	uint64_t rx_outside, rx_inside; /* packets */
	uint64_t tx_outside, tx_inside; /* packets */
	uint64_t tx_udp_calls, tx_tun_calls;
	uint64_t rx_udp_calls, rx_tun_calls;
	uint64_t keepalives_sent, keepalives_received;
	uint64_t raw_to_control, raw_from_control;
	uint64_t ecn_ce_marked;
	uint64_t mss_clamped;
	uint64_t busy_cycles, idle_cycles; /* TSC; idle = asleep or an empty round */
	uint64_t sleeps, naps, rounds;
	uint64_t batch_cycles_log2[WORKER_HISTOGRAM]; /* rx to the end of tx, [i]: 2^i to 2^(i+1) */
} __attribute__((aligned(64)));

#define WORKER_SOURCES_MAX (PORTS_MAX * PORT_SOURCES_MAX)

struct worker_source {
	struct port *port;
	unsigned index; /* the port's number of it */
	bool is_outside;
	bool is_polled;
	bool is_ready; /* w: there may be something to receive */
};

struct worker {
	struct dataplane *dp;		  /* c */
	unsigned id;			  /* c: 0 .. workers-1, also its RCU thread id */
	unsigned lcore;			  /* c */
	const struct aead_engine *engine; /* c */
	void *aead;			  /* c: context of the engine */
	int epoll_fd;			  /* c */
	int wake_fd;			  /* c: eventfd, written by the control thread */
	struct rte_ring *commands;	  /* control thread -> worker, struct worker_command */
	struct rte_ring *events;	  /* worker -> control thread, struct worker_event */
	unsigned source_count;		  /* c */
	struct worker_source sources[WORKER_SOURCES_MAX]; /* c, is_ready: w */
	/*
	 * What it sleeps on: its epoll descriptor, then polled sources. Those stand in
	 * no epoll set, where the kernel would call back for each frame sent or taken.
	 */
	bool has_fdless;      /* c: a polled source without a descriptor: naps, no sleep */
	bool is_always;	      /* c: a source wants to be polled for ever */
	unsigned sleep_count; /* c */
	struct pollfd sleep_fds[1 + WORKER_SOURCES_MAX]; /* c, revents: w */
	unsigned sleep_source[1 + WORKER_SOURCES_MAX];	 /* c: number of the source */
	struct staging *staging;			 /* w: packets that wait for a handshake */
	bool is_flush_wanted;	   /* w: a session began to send, look through the staging */
	uint64_t lane_since_ns;	   /* w: messages about lanes for causewayd are counted */
	uint32_t lane_count;	   /* w: since then */
	uint8_t *scratch;	   /* w: SCRATCH_BYTES to seal into, reset every batch */
	uint32_t scratch_used;	   /* w */
	struct batch batch;	   /* w */
	struct batch flush;	   /* w: for packets that leave staging, or are made here */
	struct gather gather;	   /* w */
	struct worker_stats stats; /* w */
};

#define WORKER_SCRATCH_BYTES (BATCH_MAX * (65535u + PACKET_HEADROOM + PACKET_TAILROOM + 1))

/*
 * epoll's user data: of a source its number, of the others one of these; the
 * packet channel's with its descriptor above, since by the time that its end is
 * seen there may be a new one.
 */
#define WORKER_EPOLL_WAKE	    0xffffffffu
#define WORKER_EPOLL_CHANNEL	    0xfffffffeu
#define WORKER_EPOLL_CHANNEL_OF(fd) ((uint64_t)(uint32_t)(fd) << 32 | WORKER_EPOLL_CHANNEL)

enum worker_command_type {
	WORKER_CMD_KEEPALIVE = 1, /* seal an empty packet for peer_id */
	WORKER_CMD_FLUSH,	  /* look through the staging for peers with a session */
	WORKER_CMD_DROP_STAGED,	  /* drop what waits for peer_id, PEER_NONE: all that waits */
	WORKER_CMD_STOP,
};

struct worker_command {
	uint32_t type;
	uint32_t peer_id;
};

/* 64 bytes; becomes a dpapi EVENT_* in api/event.c. */
struct worker_event {
	uint32_t type; /* DPAPI_EVENT_* */
	uint32_t peer_id;
	uint32_t local_index;
	uint32_t reserved;
	uint64_t time_ns;
	struct dpapi_path path;
	uint8_t pad[12];
};

static_assert(sizeof(struct worker_event) == 64, "worker_event");
static_assert(sizeof(struct worker_command) == 8, "worker_command");

/* Posts an event for the control thread; full: it is lost (senders repeat). Worker. */
void worker_post(struct worker *w, const struct worker_event *e);
/* Posts a command and wakes the worker. Control thread. 0 or -ENOBUFS. */
int worker_command(struct worker *w, const struct worker_command *c);
/* The worker's thread: runs until WORKER_CMD_STOP. arg is the struct worker. */
int worker_main(void *arg);

#endif
