/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controller messages -> tables. Every message is an idempotent upsert; a
 * refused one changes nothing. Control thread.
 */
#ifndef DATAPLANE_API_APPLY_H
#define DATAPLANE_API_APPLY_H

#include "dataplane/dataplane.h"

/*
 * data..len is a whole message of a controller (not HELLO, not SHOW). 0, or a
 * negative errno with a sentence in text (DPAPI_ERROR_TEXT bytes).
 */
int apply_message(struct dataplane *dp, const void *data, size_t len, char *text);

#endif
