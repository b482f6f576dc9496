/* SPDX-License-Identifier: Apache-2.0 */
/* The policy as a file that somebody wrote: read, looked at, and what is wrong with it said. */
#ifndef CONTROLPLANE_COORD_POLICY_DOC_H
#define CONTROLPLANE_COORD_POLICY_DOC_H

#include "controlplane/policy/policy_live.h"

/* As much as one request of the administrator's socket can bring, and a good deal more. */
#define POLICY_DOC_MAX (1u << 20)

/*
 * 0 with *out malloc'd; -EINVAL or of reading: each error is in the log, with
 * file:line:column.
 */
int policy_doc_load(const char *path, char **out);

/*
 * Whether text may be set: it can be read, and its tests hold among the nodes of live.
 * 0, -EINVAL or -ENOMEM. *messages (malloc'd; NULL: no memory): a line
 * "file:line:column: text" for each error or warning, or nothing.
 */
int policy_doc_check(const struct policy_live *live, const char *file, const char *text,
		     char **messages);

#endif
