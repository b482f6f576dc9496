/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a UDP payload is. The kernel's reuseport program has sorted already, but
 * it sees only the first datagram of what GRO glued together: here every one is
 * looked at, and every outer length is checked, once.
 */
#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"
#include "lib/wire/wg.h"

void classify_burst(struct worker *w, struct batch *b)
{
	uint32_t oversize = w->dp->mtu_max + WG_DATA_MIN_BYTES + WG_PADDING;

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];
		int type;

		if (p->drop != DROP_NONE)
			continue;
		type = wg_msg_classify(p->data, p->len);
		if (type == WG_MSG_DATA) {
			if (p->len > oversize)
				packet_drop(p, DROP_CLASSIFY_OVERSIZE);
			continue;
		}
		/* A short type 4 is refused here; whatever is no type 4 is causewayd's to judge. */
		if (type == WG_PARSE_RUNT && p->len >= 4) {
			packet_drop(p, DROP_CLASSIFY_RUNT);
			continue;
		}
		p->kind = PACKET_OTHER;
		p->out = PACKET_OUT_CHANNEL;
		p->port_out = p->port_in;
	}
}
