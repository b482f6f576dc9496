/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to causewayd whose answer does not end: lines of JSON as they come
 * (watch-ipn-bus). Blocking, bounded by the caller's time.
 */
#ifndef CONTROLPLANE_CLI_LOCALAPI_STREAM_H
#define CONTROLPLANE_CLI_LOCALAPI_STREAM_H

#include <jansson.h>
#include <stdint.h>

#define LOCALAPI_NEVER UINT64_MAX

struct localapi_stream;

/*
 * Returns when the answer has begun. 0; as localapi_call; -EACCES: it was not 200.
 * until_ns (clock_now_ns): -ETIMEDOUT then.
 */
int localapi_stream_open(const char *socket_path, const char *path, uint64_t until_ns,
			 struct localapi_stream **out);
/*
 * The next message, the caller's: 0; -ETIMEDOUT; -EPIPE: the daemon ended it;
 * -EBADMSG, -EFBIG, -ENOMEM.
 */
int localapi_stream_next(struct localapi_stream *s, uint64_t until_ns, json_t **out);
void localapi_stream_close(struct localapi_stream *s);

#endif
