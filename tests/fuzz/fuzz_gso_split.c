/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a virtio-net header and a packet to the TUN split; what comes out goes
 * through coalesce, whose every run must split into the same number of packets.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/tun_coalesce.h"
#include "dataplane/port/tun_split.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct batch batch;
static struct tun_runs runs;

/* Each segment in an allocation of its own length, so that ASan sees any overrun. */
static void add_segment(uint8_t *bytes, uint32_t len)
{
	struct packet *p = batch_add(&batch);

	p->data = bytes;
	p->len = (uint16_t)len;
	p->out = PACKET_OUT_TUN;
	p->port_out = 0;
}

static void check_run(unsigned r)
{
	struct iovec iov[TUN_RUN_IOVECS];
	unsigned n = tun_coalesce_iovec(&runs, &batch, r, iov), segments = 0;
	uint8_t *flat = malloc(TUN_PACKET_MAX), *out = malloc(TUN_PACKET_MAX);
	struct virtio_net_hdr vnet;
	struct tun_split s;
	size_t len = 0;

	BUG_ON(!flat || !out);
	memcpy(&vnet, iov[0].iov_base, sizeof(vnet));
	for (unsigned i = 1; i < n; i++) {
		BUG_ON(len + iov[i].iov_len > TUN_PACKET_MAX);
		memcpy(flat + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	if (runs.run[r].count > 1) {
		BUG_ON(tun_split_open(&s, &vnet, flat, len) != TUN_SPLIT_SUPER);
		while (tun_split_next(&s, out))
			segments++;
		BUG_ON(segments != runs.run[r].count);
	}
	free(flat);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_hdr vnet;
	struct tun_split s;
	uint8_t *packet;
	uint32_t room;
	int kind;

	if (size <= sizeof(vnet) || size - sizeof(vnet) > TUN_PACKET_MAX)
		return 0;
	memcpy(&vnet, data, sizeof(vnet));
	size -= sizeof(vnet);
	packet = malloc(size);
	BUG_ON(!packet);
	memcpy(packet, data + sizeof(vnet), size);
	kind = tun_split_open(&s, &vnet, packet, size);
	batch.n = 0;
	while (kind == TUN_SPLIT_SUPER && batch.n < BATCH_MAX && (room = tun_split_room(&s))) {
		uint8_t *bytes = malloc(room);

		BUG_ON(!bytes || tun_split_next(&s, bytes) != room);
		add_segment(bytes, room);
	}
	/* A packet alone is what coalesce gets from any peer. */
	if (kind == TUN_SPLIT_SINGLE)
		add_segment(packet, (uint32_t)size);
	tun_coalesce_batch(&runs, &batch, 0, true, true);
	for (unsigned r = 0; r < runs.count; r++)
		check_run(r);
	for (unsigned i = 0; i < batch.n; i++) {
		if (batch.pkts[i].data != packet)
			free(batch.pkts[i].data);
	}
	free(packet);
	return 0;
}
