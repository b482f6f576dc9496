/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size of a TUN queue's arena (drawing in tun.h). Internal to the TUN code.
 *
 * A half takes 64 packets of a jumbo MTU and the landing place; with larger ones
 * a batch just ends sooner. Only what is used is ever touched.
 */
#ifndef DATAPLANE_PORT_TUN_ARENA_H
#define DATAPLANE_PORT_TUN_ARENA_H

#include "dataplane/packet.h"

/* A read that is too small would cut a super-packet without a word. */
#define TUN_LANDING_BYTES    65600u
#define TUN_ARENA_HALF_BYTES (1u << 20)

static_assert(PACKET_HEADROOM <= UINT8_MAX && PACKET_TAILROOM <= UINT8_MAX, "room fits a byte");

#endif
