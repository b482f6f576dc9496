/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where packets end: drops are counted, buffers go back. Worker. */
#include <rte_mbuf.h>

#include "dataplane/worker.h"

void packet_finish(struct worker *w, struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop != DROP_NONE)
			w->stats.drop[p->drop]++;
		if (p->mbuf) {
			rte_pktmbuf_free(p->mbuf);
			p->mbuf = NULL;
		}
	}
	b->n = 0;
}
