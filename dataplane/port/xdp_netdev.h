/* SPDX-License-Identifier: Apache-2.0 */
/* What the xdp port asks of an interface before it takes it. Control thread. */
#ifndef DATAPLANE_PORT_XDP_NETDEV_H
#define DATAPLANE_PORT_XDP_NETDEV_H

#include "dataplane/port/port.h"

/* Queues in use, each way at least one. */
struct xdp_netdev_queues {
	unsigned rx, tx;
};

/* Fills index, MAC and MTU of d by its name, and *queues. 0, or a negative errno with err. */
int xdp_netdev_probe(struct port_netdev *d, struct xdp_netdev_queues *queues, char *err);

#endif
