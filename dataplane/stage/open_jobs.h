/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine is given of a batch that is to be opened; of stage/open.c. */
#ifndef DATAPLANE_STAGE_OPEN_JOBS_H
#define DATAPLANE_STAGE_OPEN_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/worker.h"

struct session;

struct open_batch {
	struct session *session[BATCH_MAX]; /* by job */
	struct aead_job job[BATCH_MAX];
	uint8_t packet_of[BATCH_MAX]; /* by job */
	unsigned jobs;
	bool is_ahead; /* tables are fetched ahead of their use: they outgrow the caches */
};

/*
 * A job for each packet that is PACKET_DATA, of a session that may receive; others
 * get their drop reason. Worker.
 */
void open_jobs_make(const struct worker *w, struct batch *b, struct open_batch *o);

#endif
