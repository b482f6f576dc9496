/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits what a TUN queue delivers into packets as they go on a wire.
 *
 * The kernel hands out TCP and UDP super-packets of up to 64 KB and single
 * packets whose checksum is not finished. Neither lengths nor offsets of the
 * virtio-net header are believed: the packet's own headers are parsed, and the
 * two must agree. (hdr_len is the length of the skb's linear part and says
 * nothing about headers.)
 *
 *   super-packet   IP TCP aaaaaaaabbbbbbbbccc         gso_size 8
 *   segments       IP TCP aaaaaaaa    id    seq       CWR kept, FIN PSH cleared
 *                  IP TCP bbbbbbbb    id+1  seq+8     CWR FIN PSH cleared
 *                  IP TCP ccc         id+2  seq+16    CWR cleared, FIN PSH kept
 *
 * Pure functions on bytes; a struct tun_split is a cursor that may rest between
 * two batches as long as the super-packet's bytes stay where they are.
 */
#ifndef DATAPLANE_PORT_TUN_SPLIT_H
#define DATAPLANE_PORT_TUN_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/port/tun_headers.h"
#include "dataplane/port/tun_vnet.h"

enum tun_split_kind {
	TUN_SPLIT_SINGLE, /* one packet, complete where it is */
	TUN_SPLIT_SUPER,  /* take segments with tun_split_next() */
};

struct tun_split {
	const uint8_t *packet;
	struct tun_headers h;
	uint32_t payload_bytes; /* of the super-packet */
	uint32_t done_bytes;	/* of it, already in segments */
	uint32_t index;		/* of the next segment */
	uint16_t gso_size;	/* payload of every segment but the last */
};

/*
 * Reads the header and the packet. SINGLE: a checksum left to hardware has been
 * finished in place. SUPER: s is ready. -EBADMSG: cannot be split.
 */
int tun_split_open(struct tun_split *s, const struct virtio_net_hdr *vnet, uint8_t *packet,
		   size_t len);

/* Bytes that the next segment takes; 0 = no more. */
static inline uint32_t tun_split_room(const struct tun_split *s)
{
	uint32_t left = s->payload_bytes - s->done_bytes;

	if (!left)
		return 0;
	return s->h.payload + (left < s->gso_size ? left : s->gso_size);
}

/* Writes the next segment, tun_split_room() bytes, to out and returns its length. */
uint32_t tun_split_next(struct tun_split *s, uint8_t *out);

#endif
