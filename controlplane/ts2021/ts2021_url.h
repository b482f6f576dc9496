/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coordinator's URL, and where that means to dial (docs/protocol/ts2021.md,
 * "Which URL"). Pure.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_URL_H
#define CONTROLPLANE_TS2021_TS2021_URL_H

#include <stdbool.h>
#include <stdint.h>

#define TS2021_HOST_MAX 256

struct ts2021_url {
	bool is_https;
	char host[TS2021_HOST_MAX];	      /* without brackets */
	uint16_t port;			      /* as written or the scheme's */
	char authority[TS2021_HOST_MAX + 10]; /* host, and port where one was written */
	uint16_t plain_port;		      /* where the upgrade is tried without TLS */
	uint16_t tls_port;		      /* and with; 0: nowhere */
};

/* "http://host[:port][/...]" or https; 0, or -EINVAL. */
int ts2021_url_parse(const char *text, struct ts2021_url *out);

#endif
