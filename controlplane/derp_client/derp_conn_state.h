/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's inside, for the files that share it: derp_conn.c and derp_conn_frames.c. */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_CONN_STATE_H
#define CONTROLPLANE_DERP_CLIENT_DERP_CONN_STATE_H

#include "controlplane/derp_client/derp_conn.h"
#include "controlplane/derp_client/derp_http.h"
#include "controlplane/derp_client/derp_reader.h"

/* Bytes that wait below us; above, packets wait in the queue, where the oldest can go. */
#define DERP_CONN_STREAM_MAX 65536

enum derp_conn_state {
	DERP_CONN_DIALLING,
	DERP_CONN_UPGRADING,
	DERP_CONN_AWAITING_KEY,
	DERP_CONN_GREETING,
	DERP_CONN_OPEN,
	DERP_CONN_CLOSED
};

struct derp_conn {
	enum derp_conn_state state;
	const struct derp_hello_keys *keys;
	const struct wg_random *random;
	struct derp_target target;
	char ideal_node[DERP_TARGET_NAME_MAX];
	bool is_home, told_home; /* what the relay was told last */
	struct derp_sendq *queue;
	const struct derp_conn_events *ev;
	void *arg;
	struct derp_dial *dial;	   /* while DERP_CONN_DIALLING */
	struct net_stream *stream; /* from then on */
	struct derp_http *answer;  /* while DERP_CONN_UPGRADING */
	struct derp_reader reader;
	struct key server;
	uint64_t last_frame_ns;
	bool is_asked;	  /* our ping is on its way */
	bool has_drained; /* what waited for the connection is sent */
	uv_timer_t timer;
	uv_prepare_t flush; /* active: something waits */
	unsigned handles;
};

/* Frames from the relay, in pieces. */
void derp_conn_frames(struct derp_conn *c, const uint8_t *data, size_t len);
/* Ends it and tells why, once. */
void derp_conn_fail(struct derp_conn *c, const char *why);
/* At most DERP_PING_BYTES of body, not through the queue. */
void derp_conn_send(struct derp_conn *c, enum derp_type type, const void *body, size_t len);
/* Something came. */
void derp_conn_heard(struct derp_conn *c);
/* ServerInfo came: from now on the watchdog is about silence. */
void derp_conn_opened(struct derp_conn *c);
/*
 * The relay's key is known: ClientInfo goes out behind the len bytes of out, in which it has to
 * find DERP_HELLO_MAX more.
 */
void derp_conn_greet(struct derp_conn *c, uint8_t *out, size_t len);

#endif
