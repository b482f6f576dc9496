/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking controller of a causeway-dp, for benchmarks: what causewayd says over
 * dpapi (docs/dpapi.md), without handshakes. One thread; on any refusal the program
 * ends with the dataplane's reason, as a benchmark has no other use for it.
 */
#ifndef PERF_DP_PROGRAM_H
#define PERF_DP_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/dpapi/dpapi.h"

struct dp_program {
	int fd;
	uint32_t generation;
	uint32_t seq;
	uint32_t session_slots; /* power of two, of the dataplane */
	uint32_t workers;
	uint16_t port_count;
	struct dpapi_port port[8];
};

/* One transport session of a peer, as this side of the dataplane has it. */
struct dp_program_session {
	uint32_t peer_id;
	uint32_t local_index; /* unique in its low bits, see session_slots */
	uint32_t remote_index;
	uint8_t send_key[DPAPI_KEY_BYTES];
	uint8_t recv_key[DPAPI_KEY_BYTES];
};

/* Connects, says hello as controller, reads the dump. */
void dp_program_open(struct dp_program *p, const char *socket_path);
void dp_program_close(struct dp_program *p);

/* Sends msg (type set; the rest of the header is filled in here); takes answers meanwhile. */
void dp_program_send(struct dp_program *p, void *msg, size_t len);
/* Waits until all that was sent is applied; sweep: removes what was not named since open. */
void dp_program_barrier(struct dp_program *p, int sweep);

/* A peer with MTU 1420 whose packets go to remote, by dataplane port number local_port. */
void dp_program_peer(struct dp_program *p, uint32_t id, const struct dpapi_addr *remote,
		     uint16_t local_port, uint16_t mtu);
/* prefix as text, "10.2.0.0/16". */
void dp_program_route(struct dp_program *p, uint32_t peer_id, const char *prefix);
/* Confirmed, never expires within the benchmark (2 h), no rekey asked for. */
void dp_program_session(struct dp_program *p, const struct dp_program_session *s);
void dp_program_allow_all(struct dp_program *p);

/* "203.0.113.2" and a port. Ends the program if the text is none. */
struct dpapi_addr dp_program_addr(const char *text, uint16_t port);

#endif
