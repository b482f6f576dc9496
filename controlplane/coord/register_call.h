/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One register request on its way: what it says, who waits for the answer, and the
 * answers there are. A call lives until it is answered or cancelled and no operation
 * of the store holds it. For register.c; the loop's thread only.
 */
#ifndef CONTROLPLANE_COORD_REGISTER_CALL_H
#define CONTROLPLANE_COORD_REGISTER_CALL_H

#include "controlplane/coord/node_report.h"
#include "controlplane/coord/register.h"

#define REGISTER_TOKEN_BYTES 16
#define REGISTER_TOKEN_MAX   (2 * REGISTER_TOKEN_BYTES + 1)

struct registrar {
	struct register_config cfg;
	struct register_call *calls;
};

struct register_call {
	struct registrar *reg; /* NULL: the registrar went */
	struct register_call *next, **prev;
	struct key machine;
	struct node_report report;
	register_answer_fn *answer; /* NULL: answered or cancelled */
	void *arg;
	int64_t expiry_ns;
	char token[REGISTER_TOKEN_MAX]; /* of the login that is waited for */
	bool is_ephemeral;
	bool is_in_store; /* an operation holds it */
};

/* Who the node is, or why it is not in. */
struct register_verdict {
	const struct picture_node *node; /* NULL: not in */
	const char *url, *error;
	bool is_expired;
};

/* Out of the registrar's list; freed by register_call_release. */
void register_call_unlink(struct register_call *c);
/* Frees it, unless somebody waits or an operation holds it. */
void register_call_release(struct register_call *c);

/* Each answers once, whoever still waits; the call stays until it is released. */
void register_answer(struct register_call *c, const struct register_verdict *v);
void register_answer_error(struct register_call *c, const char *error);
void register_answer_text(struct register_call *c, unsigned status, const char *body, size_t len);
/* What a node is told of the store's errno. A literal. */
const char *register_error_text(int err);

#endif
