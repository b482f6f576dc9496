/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns the packets of a batch that go into a TUN queue into runs: segments of
 * one TCP or UDP flow that the kernel takes in one write as a super-packet.
 *
 *   batch   A1 B1 A2 B2 a3 A4        (a3 is shorter: it ends its run)
 *   runs    A1 A2 a3 | B1 B2 | A4    written in this order
 *
 * Several runs are open at a time, so interleaved flows coalesce. A flow has one
 * open run at most, and what cannot join closes it, so the order inside a flow
 * stays what it was.
 *
 * A super-packet tells the kernel to trust its checksum. So the IP header's and
 * the segment's own checksum are verified before a segment joins; a wrong one
 * leaves alone and unflagged, for the kernel to find.
 *
 * Joined are segments that tun_split would make of one super-packet: same
 * addresses, ports, TOS, TTL and DF, no options or fragments in IP, IPv4 id
 * rising by one (any with DF, where it means nothing: RFC 6864); TCP with ACK or
 * ACK+PSH (PSH ends the run), same acknowledgement, window and options, next
 * sequence number; UDP with a checksum. All of the first one's size, a shorter
 * one ends the run.
 *
 * The first packet's headers of a run are rewritten in place. No state outlives
 * a batch.
 */
#ifndef DATAPLANE_PORT_TUN_COALESCE_H
#define DATAPLANE_PORT_TUN_COALESCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/packet.h"
#include "dataplane/port/tun_vnet.h"

#define TUN_RUN_IOVECS (BATCH_MAX + 1)

struct tun_run {
	struct virtio_net_hdr vnet; /* zero for a packet alone */
	uint16_t payload;	    /* offset of the transport's payload in every packet */
	uint8_t first;		    /* index in the batch */
	uint8_t last;
	uint8_t count;
};

struct tun_runs {
	unsigned count;
	struct tun_run run[BATCH_MAX];
	uint8_t next[BATCH_MAX]; /* batch index of the next packet of the same run */
};

/*
 * Packets with out == PACKET_OUT_TUN, port_out == port and drop == 0. with_tcp
 * and with_udp say which super-packets the device takes.
 */
void tun_coalesce_batch(struct tun_runs *runs, struct batch *b, uint8_t port, bool with_tcp,
			bool with_udp);

/* What to write for one run; iov[TUN_RUN_IOVECS]. Returns how many are used. */
unsigned tun_coalesce_iovec(struct tun_runs *runs, const struct batch *b, unsigned index,
			    struct iovec *iov);

#endif
