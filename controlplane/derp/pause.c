/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/pause.h"

bool pause_wanted(struct pause *p, uint64_t idle_ns, uint64_t busy_ns, uint64_t reads,
		  uint64_t frames)
{
	uint64_t all;

	p->idle_ns += idle_ns;
	p->busy_ns += busy_ns;
	p->reads += reads;
	p->frames += frames;
	all = p->idle_ns + p->busy_ns;
	if (all < PAUSE_LOOK_NS)
		return p->is_on;
	if (p->is_on)
		p->is_on = p->busy_ns * 5 >= all && p->frames <= p->reads * PAUSE_FRAMES_OFF;
	else
		p->is_on = p->busy_ns * 2 > all && p->frames < p->reads * PAUSE_FRAMES_ON;
	*p = (struct pause){.is_on = p->is_on};
	return p->is_on;
}
