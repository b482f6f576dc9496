/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causewayd's side of the outer UDP sockets and of the packet channel. The
 * sockets are members of the dataplane's reuseport groups and come with its
 * hello; they get all that is not type 4. With UDP_GRO on, one receive may be
 * several datagrams of a flow glued together, and only the first was looked at by
 * the steering program: each is split off here, and a type 4 among them goes to
 * the dataplane over the channel, as the dataplane sends us (RAW) what was glued
 * behind data. The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_PACKETS_H
#define CONTROLPLANE_NODE_PACKETS_H

#include <stdbool.h>
#include <uv.h>

#include "controlplane/node/counters.h"
#include "lib/dpapi/dpapi.h"

struct packets;

/* A datagram that is a handshake message of its right length; type: enum wg_msg_type. */
typedef void packets_handshake_fn(void *arg, int type, const uint8_t *data, size_t len,
				  const struct dpapi_path *from);

/* A message about lanes that was opened on the peer's session with that index. */
typedef void packets_lane_fn(void *arg, uint32_t peer_id, uint32_t local_index,
			     const struct dpapi_path *from, const uint8_t *data, size_t len);

/* A datagram of a socket. True: it was no WireGuard message, and is dealt with. */
typedef bool packets_other_fn(void *arg, const uint8_t *data, size_t len,
			      const struct dpapi_path *from);

/* What is to leave by a path of kind CHANNEL. 0, or a negative errno. */
typedef int packets_channel_fn(void *arg, uint32_t peer_id, const void *data, size_t len);

int packets_open(uv_loop_t *loop, struct counters *counters, packets_handshake_fn *cb, void *arg,
		 struct packets **out);
void packets_on_lane(struct packets *p, packets_lane_fn *cb, void *arg);
/* cb NULL: as before. */
void packets_on_other(struct packets *p, packets_other_fn *cb, void *arg);
void packets_on_channel(struct packets *p, packets_channel_fn *cb, void *arg);
/* A WireGuard message that came by DERP; from: kind CHANNEL. */
void packets_receive(struct packets *p, const uint8_t *data, size_t len,
		     const struct dpapi_path *from);
void packets_close(struct packets *p);
/* Takes the descriptors of a hello: udp sockets, then the channel. Drops earlier ones. */
int packets_set_fds(struct packets *p, const int *fds, unsigned nfds);
/* Says which sockets belong to a port; after packets_set_fds. */
void packets_set_port(struct packets *p, const struct dpapi_port *port);
/* The dataplane is gone: its sockets are of no use any more. */
void packets_drop_fds(struct packets *p);
/* Reads all sockets now, once; for a caller that wants to know what waits. */
void packets_poll(struct packets *p);
/*
 * One datagram from the port's socket of the right family; by a path of kind CHANNEL,
 * whose vni is the peer's id, what packets_on_channel set. 0, or a negative errno.
 */
int packets_send(struct packets *p, const struct dpapi_path *to, const void *data, size_t len);
/* A message about lanes, to be sealed on that session. */
void packets_send_lane(struct packets *p, uint32_t peer_id, uint32_t local_index,
		       const struct dpapi_path *to, const uint8_t *data, size_t len);

#endif
