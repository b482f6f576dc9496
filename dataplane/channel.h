/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet channel to causewayd: a SOCK_SEQPACKET pair, one packet a message
 * (lib/dpapi/dpapi.h, struct dpapi_chan_hdr). Any worker sends; worker 0 alone
 * receives. Bounded by the socket's buffer: full means drop and count, both ways.
 */
#ifndef DATAPLANE_CHANNEL_H
#define DATAPLANE_CHANNEL_H

#include "dataplane/worker.h"

/* A new pair: our end into *ours, causewayd's into *theirs. Control thread. */
int channel_open(int *ours, int *theirs);

/* Sends the batch's packets with out == PACKET_OUT_CHANNEL. */
void channel_tx(struct worker *w, struct batch *b);

/*
 * Receives one message into b: a sealed one as PACKET_DATA (then *is_outside), an
 * inner one as PACKET_INNER or PACKET_LANE for a peer. Its bytes are valid until the next call.
 * Returns how many packets; 0 = nothing there.
 */
unsigned channel_rx(struct worker *w, struct batch *b, bool *is_outside);

#endif
