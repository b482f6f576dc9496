/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TUN device with one queue a worker: through it the kernel gives and takes
 * packets in the clear. Used by every kind of port.
 *
 * The device is not persistent: it goes with the process, and with it every
 * route through it (the fail-closed routes of causewayd stay). Address, link
 * state and routes are causewayd's.
 *
 * Control thread: open, close, show. Each worker uses its own queue only.
 *
 * A queue reads into an arena of its own, which every tun_rx() reuses:
 *
 *   half 0  | headroom packet tailroom | headroom packet tailroom | ... | landing 64 KB |
 *   half 1  the same
 *
 * A single packet stays where it was read; a super-packet is read to the landing
 * place behind what is used and its segments are copied on from there. One that
 * has more segments than the batch has room is continued by the next call, which
 * then works in the other half, so the bytes that are still to be split stay.
 */
#ifndef DATAPLANE_PORT_TUN_H
#define DATAPLANE_PORT_TUN_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/packet.h"
#include "dataplane/port/port.h"
#include "dataplane/port/tun_coalesce.h"
#include "dataplane/port/tun_split.h"
#include "lib/base/json_out.h"

#define TUN_MTU_DEFAULT 1420
#define TUN_MTU_MIN	576
/* Jumbo frames. A limit well below UDP's, so that an oversized datagram is seen as one. */
#define TUN_MTU_MAX 9216

struct tun_queue {
	int fd;
	uint8_t *arena;
	unsigned half; /* in use by the current batch */
	unsigned split_half;
	bool is_splitting;
	struct tun_split split;
	struct tun_runs runs;
} __attribute__((aligned(64)));

struct tun {
	char name[IF_NAMESIZE];
	unsigned ifindex;
	unsigned offloads; /* TUN_F_* that the kernel took */
	bool has_tso;	   /* both families */
	bool has_uso;
	bool is_steered; /* queues are chosen by ebpf/tun_steer.bpf.c */
	unsigned queue_count;
	struct tun_queue *queue; /* [queue_count] */
};

/*
 * Makes the device, queues as many as there are workers (at most
 * PORT_WORKERS_MAX). One that a process just ended has left is waited for.
 * 0, or a negative errno with a sentence in err (PORT_ERROR_TEXT).
 */
int tun_open(struct tun *t, const char *name, unsigned queues, unsigned mtu, char *err);
void tun_close(struct tun *t);
/* A name that the kernel would take as it is and that needs no quoting. */
bool tun_name_is_valid(const char *name);
/* DPAPI_FEATURE_TUN_*. */
uint32_t tun_features(const struct tun *t);
/* Adds "tun_device": {...} to an open object. */
void tun_show(const struct tun *t, struct json_out *js);

/*
 * port_ops.rx of an inside source. Worker. Returns what it added; a caller that
 * got any must ask again before it sleeps: a started super-packet does not make
 * the descriptor readable.
 */
unsigned tun_rx(struct tun *t, struct worker *w, struct batch *b);
/* The PACKET_OUT_TUN part of port_ops.tx for packets to this port. Worker. */
void tun_tx(struct tun *t, struct worker *w, struct batch *b, uint8_t port);

#endif
