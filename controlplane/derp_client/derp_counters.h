/* SPDX-License-Identifier: Apache-2.0 */
/* What happened on all connections to relays, those that are over included. */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_COUNTERS_H
#define CONTROLPLANE_DERP_CLIENT_DERP_COUNTERS_H

#include <stdint.h>

struct derp_counters {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes; /* bytes: of the packets alone */
	uint64_t drop_queue;				     /* the queue was full: the oldest */
	uint64_t drop_age;				     /* waited too long */
	uint64_t drop_rate;				     /* above what the relay grants */
	uint64_t drop_closed;	/* waited for a region that was closed */
	uint64_t connects;	/* that succeeded */
	uint64_t connect_fails; /* tries of one relay */
	uint64_t breaks;	/* of connections that were open */
	uint64_t bad_frames;	/* passed over, or for which a connection was closed */
};

#endif
