/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a coordinator whether a client may use the relay, as derper's --verify-client-url
 * does: POST {"NodePublic":"nodekey:…","Source":"IP"}, and 200 with {"Allow":true} admits.
 * A thread with a loop of its own; workers never wait for it.
 *
 *   worker -- admission_ask --> list -> one connection a question -> on_answer
 *
 * At most ASKS_MAX questions are under way, the others wait in order. One that has no
 * answer after 5 s, or whose coordinator cannot be reached, is answered by is_fail_open.
 */
#ifndef CONTROLPLANE_DERP_ADMISSION_H
#define CONTROLPLANE_DERP_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/key.h"

#define ADMISSION_ERROR_MAX 256

struct admission;

struct admission_config {
	const char *url; /* http://host[:port]/path, or https with the system's authorities */
	bool is_fail_open;
	/* On the thread of the admission. */
	void (*on_answer)(void *arg, uint64_t id, bool is_allowed);
	void *arg;
};

struct admission_question {
	uint64_t id; /* given back */
	struct key key;
	struct ip_addr from;
};

/* Copies. 0, or a negative errno with a sentence in err. */
int admission_start(const struct admission_config *cfg, struct admission **out,
		    char err[ADMISSION_ERROR_MAX]);
/* Questions without an answer get none. NULL is fine. */
void admission_stop(struct admission *a);
/* Any thread. False: too many wait, or no memory. */
bool admission_ask(struct admission *a, const struct admission_question *q);

#endif
