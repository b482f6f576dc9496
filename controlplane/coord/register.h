/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /machine/register (docs/protocol/control.md, "Register"): who comes in, by an
 * auth key or by hand, who is known already, who comes with a new key, who goes.
 * Decisions read the picture; what is decided goes to the store, whose constraints
 * have the last word, and the answer is given when it is committed and the picture
 * has it. A login by hand waits for the picture to show its node.
 *
 * No transport here: bytes in, an answer out, now or later. The loop's thread only.
 */
#ifndef CONTROLPLANE_COORD_REGISTER_H
#define CONTROLPLANE_COORD_REGISTER_H

#include "controlplane/coord/visibility.h"

struct register_config {
	const struct picture *picture;
	struct visibility *visibility;
	struct store *store;
	const char *url;	 /* what clients are shown begins with it; no '/' at its end */
	int64_t key_life_ns;	 /* of node keys that a user's login brought; 0: for ever */
	int64_t (*now_ns)(void); /* since 1970 */
};

struct registrar;
struct register_call;

/* body: JSON, a literal or valid during the call. */
typedef void register_answer_fn(void *arg, unsigned status, const char *body, size_t len);

struct registrar *registrar_new(const struct register_config *cfg); /* NULL: no memory */
/* Calls that wait are forgotten, not answered. */
void registrar_free(struct registrar *r);
/*
 * One request of a proven machine key. Answers once, perhaps inside of this call (then
 * NULL is returned), unless it is cancelled before.
 */
struct register_call *registrar_request(struct registrar *r, const struct key *machine,
					const char *body, size_t len, register_answer_fn *answer,
					void *arg);
void registrar_cancel(struct register_call *c);
/* Of the picture. */
void registrar_node_changed(struct registrar *r, int64_t node_id);
void registrar_login_gone(struct registrar *r, const struct store_login *l);
/* Logins that nobody admitted for an hour are dropped; call it now and then. */
void registrar_prune(struct registrar *r);

#endif
