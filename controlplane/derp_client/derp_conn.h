/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to one relay, from the dial to the end:
 *
 *   DIALLING --> (UPGRADING --> AWAITING_KEY) --> GREETING --> OPEN --> CLOSED
 *                  "101"          ServerKey        ClientInfo   ServerInfo
 *
 * With a fast start (the relay's certificate told its key) the middle steps are left out. Packets
 * are sent from GREETING on, out of a queue that belongs to the owner and outlives the connection;
 * what gathers in one turn of the loop leaves as one record. 10 s until OPEN; then a relay that
 * says nothing for 75 s is asked, and left after 120 s. The loop's thread only.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_CONN_H
#define CONTROLPLANE_DERP_CLIENT_DERP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/derp_client/derp_dial.h"
#include "controlplane/derp_client/derp_hello.h"
#include "controlplane/derp_client/derp_sendq.h"
#include "controlplane/noise/wg_env.h"
#include "lib/wire/derp_frame.h"

#define DERP_CONN_WHY_MAX	256
#define DERP_CONN_HEALTH_MAX	256
#define DERP_CONN_PING_AFTER_MS 75000 /* KeepAlives come every 60 to 65 s */
#define DERP_CONN_SILENT_MS	120000
#define DERP_CONN_PROBE_MS	3000

struct derp_conn;

struct derp_conn_config {
	const struct derp_dial_env *env;    /* used during the call */
	const struct derp_hello_keys *keys; /* borrowed while the connection is there */
	const struct wg_random *random;	    /* borrowed */
	const struct derp_target *target;   /* copied */
	const char *ideal_node;		    /* the first of the region, where this is another */
	bool is_home;
	struct derp_sendq *queue; /* borrowed; its counters are ours, too */
};

/* The receiver may close the connection in any of them. */
struct derp_conn_events {
	void (*on_open)(void *arg);
	void (*on_packet)(void *arg, const struct key *from, const uint8_t *data, size_t len);
	void (*on_gone)(void *arg, const struct key *peer, enum derp_gone_reason reason);
	/* Told to those who watch a relay, which a node does not; NULL: nobody asks. */
	void (*on_present)(void *arg, const struct derp_present *p);
	/* Printable; "" = all is well. */
	void (*on_health)(void *arg, const char *text);
	/* The relay is about to restart: when to come back, and for how long to try. */
	void (*on_restarting)(void *arg, uint32_t reconnect_ms, uint32_t try_for_ms);
	/* The connection is gone. why: a sentence, printable. */
	void (*on_close)(void *arg, const char *why);
};

/* Nothing is told from inside. 0, or a negative errno with a sentence in why. */
int derp_conn_open(const struct derp_conn_config *cfg, const struct derp_conn_events *ev, void *arg,
		   struct derp_conn **out, char why[DERP_CONN_WHY_MAX]);
/* Nothing is told any more; memory goes when the loop has closed its handles. NULL is fine. */
void derp_conn_close(struct derp_conn *c);

bool derp_conn_is_open(const struct derp_conn *c);
/* Something was added to the queue. */
void derp_conn_kick(struct derp_conn *c);
void derp_conn_set_home(struct derp_conn *c, bool is_home);
/* A frame has to come within DERP_CONN_PROBE_MS, or the connection ends. */
void derp_conn_probe(struct derp_conn *c);
/* CLOCK_BOOTTIME of the last frame; 0 = none yet. */
uint64_t derp_conn_last_frame_ns(const struct derp_conn *c);

#endif
