/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to causewayd: HTTP/1.1 over its Unix socket. Blocking, bounded in
 * time and size.
 */
#ifndef CONTROLPLANE_CLI_LOCALAPI_CLIENT_H
#define CONTROLPLANE_CLI_LOCALAPI_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct localapi_answer {
	int status;
	char *body; /* zero-terminated; freed by localapi_answer_fini */
	size_t body_len;
};

/*
 * body: JSON, NULL: none. 0 with an answer of any status; -ENOENT, -ECONNREFUSED, -EACCES and the
 * like: not connected; -ETIMEDOUT, -EPIPE; -EBADMSG: what came is no HTTP; -EFBIG.
 */
int localapi_call(const char *socket_path, const char *method, const char *path, const char *body,
		  struct localapi_answer *answer);
/* The same, bounded by this time instead of 20 s. */
int localapi_call_within(const char *socket_path, const char *method, const char *path,
			 const char *body, uint64_t timeout_ns, struct localapi_answer *answer);
void localapi_answer_fini(struct localapi_answer *answer);

#endif
