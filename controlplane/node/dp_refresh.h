/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the counters of all peers in the picture up to date, for status: asks
 * the dataplane to SHOW "peers" and takes what it answers. Those who ask while an
 * answer is under way wait for the same one; a dataplane that does not answer
 * within a second stops nobody.
 */
#ifndef CONTROLPLANE_NODE_DP_REFRESH_H
#define CONTROLPLANE_NODE_DP_REFRESH_H

#include "controlplane/node/node.h"
#include "lib/dpapi/dpapi.h"

struct dp_refresh;

int dp_refresh_open(struct node *n, struct dp_refresh **out);
/* Calls back who waits. Frees when the loop has closed its handle. */
void dp_refresh_close(struct dp_refresh *r);
/* cb is called once; from inside, if there is no dataplane. */
void dp_refresh_start(struct dp_refresh *r, void (*cb)(void *arg), void *arg);
/* The last question was not answered within a second. */
bool dp_refresh_is_late(const struct dp_refresh *r);
/* A piece of the answer. */
void dp_refresh_reply(struct dp_refresh *r, const struct dpapi_show_reply *reply,
		      const uint8_t *body, size_t body_len);
/* There will be no answer: calls back who waits. */
void dp_refresh_cancel(struct dp_refresh *r);

#endif
