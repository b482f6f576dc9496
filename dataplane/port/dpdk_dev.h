/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ethdev of a dpdk port: plugged in, asked what it can do, configured so, and
 * started. What it cannot do is done in software; nothing is assumed. Control thread.
 */
#ifndef DATAPLANE_PORT_DPDK_DEV_H
#define DATAPLANE_PORT_DPDK_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/dpdk_spec.h"
#include "lib/base/json_out.h"

struct rte_mempool;

struct dpdk_dev {
	char name[DPDK_SPEC_NAME_MAX];
	char driver[32];
	uint16_t ethdev; /* number in DPDK */
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t rx_queues, tx_queues;	   /* in use */
	uint16_t rx_rings, tx_rings;	   /* descriptors of a queue */
	uint64_t rx_offloads, tx_offloads; /* in use */
	uint64_t rss;			   /* hash functions in use, 0 = none */
	bool is_plugged, is_started;
	bool is_mtu_nominal; /* the driver names a smaller limit */
};

/*
 * At most rx_max and tx_max queues, each with `rings` descriptors if it has so many.
 * 0, or a negative errno with a sentence in err that names the device.
 */
int dpdk_dev_open(struct dpdk_dev *d, const struct dpdk_spec_device *spec, unsigned queues_max,
		  unsigned rings, uint16_t mtu, struct rte_mempool *pool, char *err);
void dpdk_dev_close(struct dpdk_dev *d);

/* Several workers may send on one queue at once. */
bool dpdk_dev_has_shared_tx(const struct dpdk_dev *d);
bool dpdk_dev_has_rx_ip_checksum(const struct dpdk_dev *d);
bool dpdk_dev_has_tx_udp_checksum(const struct dpdk_dev *d);

/* Its members, into an open object. */
void dpdk_dev_show(const struct dpdk_dev *d, struct json_out *js);

#endif
