/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UDP sockets of a port: per family a reuseport group on the listening port
 * with a socket for each worker and one for causewayd.
 *
 *                       +-- type 4 (data) -- receiver index --> worker 0 .. n-1
 *   datagram -> ebpf/reuseport.bpf.c
 *                       +-- all else ------------------------> control_fd
 *
 * Used by every kind of port. A host without IPv6 has the IPv4 group only.
 *
 * Sockets send without DF: inner packets up to the peer's MTU must get through
 * where the outer path is narrower than expected, so the outer packet is
 * fragmented there, as WireGuard does it. IPv4 leaves learned path MTUs out of
 * account (OMIT), since with DF off no genuine "fragmentation needed" comes back
 * and forged ones would only harm; in IPv6 only the sender fragments, so its
 * path MTU counts (DONT).
 *
 * Lane ports (docs/protocol/lanes.md) have one socket a family each and no program:
 * lane n's is received by worker (n - 1) modulo the workers.
 *
 * UDP_GRO is set on every member: the kernel's GRO looks a socket up without
 * asking the program, and takes what it finds for all.
 *
 * Control thread: open, close, show. Each worker uses its own sockets and state
 * only.
 */
#ifndef DATAPLANE_PORT_UDP_H
#define DATAPLANE_PORT_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/packet.h"
#include "dataplane/port/port.h"
#include "lib/base/json_out.h"
#include "lib/wire/lane.h"

struct reuseport;
struct udp_rx;
struct udp_tx;

enum udp_family { UDP_V4, UDP_V6, UDP_FAMILIES };

struct udp_group {
	uint16_t listen_port;
	unsigned worker_count;
	bool has_gso;
	bool has_gro;
	int rcvbuf_bytes; /* that the kernel granted */
	int sndbuf_bytes;
	int control_fd[UDP_FAMILIES]; /* -1 = none; causewayd gets a duplicate */
	int fd[UDP_FAMILIES][PORT_WORKERS_MAX];
	struct reuseport *program[UDP_FAMILIES];
	struct udp_rx *rx[UDP_FAMILIES][PORT_WORKERS_MAX];
	struct udp_tx *tx[PORT_WORKERS_MAX];
	unsigned lane_count;
	uint16_t lane_first; /* port of lane 1; the others' follow */
	int lane_fd[UDP_FAMILIES][LANE_MAX];
	struct udp_rx *lane_rx[UDP_FAMILIES][LANE_MAX];
};

/*
 * listen_port 0: any free one. 0, or a negative errno with a sentence in err
 * (PORT_ERROR_TEXT).
 */
int udp_open(struct udp_group *g, uint16_t listen_port, unsigned workers, char *err);
void udp_close(struct udp_group *g);
/* Opens up to so many lane ports: lane_count of them, 0 if there is no room for any. */
void udp_open_lanes(struct udp_group *g, unsigned lanes);
/* The sources of this worker's lanes into out; returns how many. */
unsigned udp_lane_sources(const struct udp_group *g, unsigned worker, struct port_source *out);
/* The port that lane's packets leave from and come to; lane 0: the listen port. */
static inline uint16_t udp_port_of(const struct udp_group *g, unsigned lane)
{
	return lane ? (uint16_t)(g->lane_first + lane - 1) : g->listen_port;
}
/* DPAPI_FEATURE_UDP_*. */
uint32_t udp_features(const struct udp_group *g);
/* Adds "udp": {...} to an open object. */
void udp_show(const struct udp_group *g, struct json_out *js);

/*
 * port_ops.rx of an outside source. Worker. Returns what it added; a caller that
 * got any must ask again before it sleeps: what was received but did not fit into
 * the batch does not make the descriptor readable.
 */
unsigned udp_rx(struct udp_group *g, enum udp_family family, struct worker *w, struct batch *b);
/* The same for number i of udp_lane_sources. */
unsigned udp_rx_lane(struct udp_group *g, unsigned i, struct worker *w, struct batch *b);
/* The PACKET_OUT_UDP part of port_ops.tx for packets to this port. Worker. */
void udp_tx(struct udp_group *g, struct worker *w, struct batch *b, uint8_t port);

/* Receives on fd; what comes gets vni_lane. Of udp_rx.c. */
unsigned udp_rx_from(struct udp_rx *rx, int fd, uint32_t vni_lane, struct worker *w,
		     struct batch *b);

/* Per-worker state, of udp_rx.c and udp_tx.c. NULL: no memory. */
struct udp_rx *udp_rx_new(void);
void udp_rx_free(struct udp_rx *rx);
struct udp_tx *udp_tx_new(void);
void udp_tx_free(struct udp_tx *tx);

#endif
