/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exception port: a TAP device that stands for an ethdev in the kernel. What the
 * dataplane does not handle itself goes into it, and what the kernel sends on it
 * leaves by the ethdev: ARP, neighbours, addresses, routes, handshakes, the host's
 * own traffic.
 *
 *    ethdev -- worker -- TAP -- kernel
 *
 * A TAP that is there already (ip tuntap add NAME mode tap) is taken and stays, with
 * its addresses; else one is made that goes with the process.
 *
 * Control thread: open, close. Any worker writes; one worker, which the port
 * chooses, reads.
 */
#ifndef DATAPLANE_PORT_EXCEPTION_H
#define DATAPLANE_PORT_EXCEPTION_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

struct exception {
	int fd; /* -1 = closed; readable: the kernel has frames to send */
	char name[IF_NAMESIZE];
	unsigned ifindex;
};

/* Up, with the ethdev's MAC address and MTU. 0, or a negative errno with a sentence in err. */
int exception_open(struct exception *e, const char *name, const uint8_t mac[6], unsigned mtu,
		   char *err);
void exception_close(struct exception *e);

/* The frame to the kernel. False: the kernel did not take it. The caller keeps its bytes. */
bool exception_write(const struct exception *e, const void *frame, uint32_t len);
/* At most max frames from the kernel, each in an mbuf of pool. */
unsigned exception_read(const struct exception *e, struct rte_mempool *pool, struct rte_mbuf **out,
			unsigned max);

#endif
