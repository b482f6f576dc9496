/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to causeway-dp: connects (and again, every 100 ms, for as long
 * as it takes), says HELLO as controller, and carries messages both ways. What
 * they mean is the owner's business (dp_sync.c). The loop's thread only.
 *
 *   DOWN --connect, HELLO--> GREETING --HELLO_REPLY--> DUMPING --DUMP_END--> READY
 *     ^                         |                         |                    |
 *     +-------------------------+----- closed by dp ------+--------------------+
 */
#ifndef CONTROLPLANE_NODE_DP_CLIENT_H
#define CONTROLPLANE_NODE_DP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "lib/dpapi/dpapi.h"

enum dp_client_state { DP_CLIENT_DOWN, DP_CLIENT_GREETING, DP_CLIENT_DUMPING, DP_CLIENT_READY };

struct dp_client;

struct dp_client_ops {
	/* The owner takes the descriptors. */
	void (*on_hello)(void *arg, const struct dpapi_hello_reply *reply, const int *fds,
			 unsigned nfds);
	/*
	 * PORT, PEER_STATE, SESSION_STATE, DUMP_END, SHOW_REPLY, EVENT_*: decoded and
	 * zero-filled to this program's struct, body behind the struct.
	 */
	void (*on_message)(void *arg, const struct dpapi_hdr *msg, const uint8_t *body,
			   size_t body_len);
	/* The connection is lost. Pending requests were answered with -ECONNRESET before. */
	void (*on_down)(void *arg);
};

/* error: 0 or a negative errno; the text is the dataplane's reason. */
typedef void dp_client_ack_fn(void *arg, int error, const char *text);

int dp_client_open(uv_loop_t *loop, const char *socket_path, const struct dp_client_ops *ops,
		   void *arg, struct dp_client **out);
/* Answers what is pending with -ECONNRESET, then no callbacks any more; freed when the loop has
 * closed its handles. */
void dp_client_close(struct dp_client *c);
enum dp_client_state dp_client_state(const struct dp_client *c);

/*
 * Sends, or queues if the socket is full. msg begins with a struct dpapi_hdr
 * with type and generation; the rest of the header is filled in here.
 * -ENOTCONN before the dataplane said hello. A refusal is logged.
 */
int dp_client_send(struct dp_client *c, void *msg, size_t len);
/* The same, and cb is called once with the answer (never from inside this call). */
int dp_client_request(struct dp_client *c, void *msg, size_t len, dp_client_ack_fn *cb, void *arg);

#endif
