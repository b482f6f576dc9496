/* SPDX-License-Identifier: Apache-2.0 */
/* "k=v,k=v": the arguments of a port, before its kind looks at them. */
#include <errno.h>
#include <string.h>

#include "dataplane/port/port.h"

#define SPEC_MAX 4096

int port_spec_parse(const char *spec, int (*set)(void *ctx, const char *key, const char *value),
		    void *ctx, char *err)
{
	char copy[SPEC_MAX];
	char *rest = copy;
	char *pair;

	if (strlen(spec) >= sizeof(copy)) {
		snprintf(err, PORT_ERROR_TEXT, "port arguments longer than %u characters",
			 SPEC_MAX - 1);
		return -E2BIG;
	}
	memcpy(copy, spec, strlen(spec) + 1);
	while ((pair = strsep(&rest, ","))) {
		char *equals = strchr(pair, '=');
		int rc;

		if (!*pair && pair == copy && !rest)
			return 0; /* no arguments at all */
		if (!equals || equals == pair) {
			snprintf(err, PORT_ERROR_TEXT, "port argument '%.64s': not key=value",
				 pair);
			return -EINVAL;
		}
		*equals = '\0';
		rc = set(ctx, pair, equals + 1);
		if (rc < 0)
			return rc;
	}
	return 0;
}
