/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to the relay, from accept to close:
 *
 *   TLS -> HTTP --upgrade--> INFO --ClientInfo--> (ASKED -->) UP ...
 *             \--other path--> LAST (closed once the answer is written)
 *
 * Owned by one worker, whose thread alone calls these. client_close may be called at
 * any point; the memory goes at the end of the worker's turn.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_H
#define CONTROLPLANE_DERP_CLIENT_H

#include "controlplane/derp/worker.h"

enum client_state {
	CLIENT_TLS,
	CLIENT_HTTP,
	CLIENT_INFO,
	CLIENT_ASKED, /* the coordinator, whether it is one of its nodes */
	CLIENT_UP,
	CLIENT_LAST,
};

#define SET_UP_NS (10 * NS_PER_SEC) /* each of: TLS and request; ClientInfo */

struct hello;

struct client {
	struct worker *worker;
	struct record record;
	uint64_t id;
	uint32_t slot;
	uint8_t state; /* enum client_state */
	bool is_dead, is_dirty, is_ready, is_mesh, is_watcher;
	bool turn_disco;     /* whose turn it is to be written */
	uint8_t gone_tokens; /* of PeerGone(not here) */
	struct queue control, disco, data;
	struct client *next_dirty, *next_ready, *next_dead;
	struct hello *asked; /* while ASKED */
	uint8_t *carry;	     /* the start of something that has not come whole */
	uint32_t carry_len;
	struct entry *entry; /* of its key, once UP */
	struct flow *flows;  /* sources that it got packets from */
	struct entry *last_to;
	uint64_t last_epoch; /* last_to holds while the directory's is this */
	uint8_t last_from[DERP_KEY_BYTES];
	uint64_t deadline_ns; /* 0 = none */
	uint64_t keepalive_ns, blocked_ns, gone_ns, busy_ns;
	size_t blocked_bytes;	       /* that the socket did not take */
	uint64_t resume_ns, tokens_ns; /* receive limit */
	int64_t tokens;
	struct endpoint from;
};

/* Client B got packets of key A: it hears when A has left. */
struct flow {
	struct flow *next; /* in the bucket */
	struct entry *source;
	struct client *to;
	struct flow *source_next, **source_prev;
	struct flow *to_next, **to_prev;
};

/* Takes fd over. */
void client_accept(struct worker *w, int fd, const struct endpoint *from);
void client_close(struct client *c);
/* Reads up to RECORD_IN_BYTES; what is left is read in the next turn. */
void client_read(struct client *c);
void client_write(struct client *c);
/* Limits of time, keep-alives; about once a second. */
void client_sweep(struct client *c);
/* Room in the control queue, to be filled at once; NULL: no memory, or too much waits. */
uint8_t *client_control(struct client *c, size_t len);
void client_mark_dirty(struct client *c);
/* Packets pass: its TLS buffers stay for a while. */
void client_mark_busy(struct client *c);

/* client_join.c: the handshake. Bytes taken, or -EPROTO; 0, or a negative errno. */
long client_take_info(struct client *c, const uint8_t *data, size_t len);
int client_send_server_key(struct client *c);
void client_set_keepalive(struct client *c);
/* Of the admission. */
void client_on_answer(struct client *c, bool is_allowed);
/* Reads on what came behind a ClientInfo. */
void client_go_on(struct client *c);

/* frames.c: the frames of a client that is UP. Bytes taken, or -EPROTO. */
long frames_take(struct client *c, const uint8_t *data, size_t len);
/* Enters and leaves the directories of all workers. 0, or -ENOMEM. */
int frames_join(struct client *c, const uint8_t key[DERP_KEY_BYTES], uint8_t flags);
void frames_leave(struct client *c);
/* What other workers say. */
void frames_on_message(struct worker *w, const struct message *m, const uint8_t *data);

/* http_answer.c: answers a request; the state is INFO or LAST behind it. */
struct http_request;
void http_answer(struct client *c, const struct http_request *req, long parsed);

#endif
