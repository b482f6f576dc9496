/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STUN beside the relay: a thread of its own answers binding requests of mesh nodes with
 * the address that they came from, a batch with one system call each way. Nothing else
 * gets an answer, and an answer is one datagram of at most 44 bytes for one of 40.
 */
#ifndef CONTROLPLANE_DERP_STUN_SERVER_H
#define CONTROLPLANE_DERP_STUN_SERVER_H

#include <stdint.h>

#include "lib/base/addr.h"

struct stun_server;

/* 0, or a negative errno with *bad the endpoint that could not be had. */
int stun_server_start(const struct endpoint *listens, unsigned count, struct stun_server **out,
		      unsigned *bad);
/* NULL is fine. */
void stun_server_stop(struct stun_server *s);

#endif
