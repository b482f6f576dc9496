/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay that does what a test wants, in plain TCP, and our client of it, on one loop: what the
 * relay says to the request, behind ClientInfo, and how it cuts it; what it heard.
 */
#ifndef TESTS_UNIT_DERP_WORLD_H
#define TESTS_UNIT_DERP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/derp/hello.h"
#include "controlplane/derp_client/derp_map.h"
#include "controlplane/derp_client/derp_regions.h"
#include "controlplane/net/net_stream.h"

#define WORLD_REGION 900
#define WORLD_HEARD  65536

struct world {
	uv_loop_t loop;
	uv_timer_t limit;
	bool is_late;

	/* The relay. */
	uv_tcp_t listener;
	uint16_t port;
	struct identity id;
	struct net_stream *peer; /* the connection, the last one */
	unsigned accepted;
	bool is_greeted, is_deaf;
	const char *answer; /* NULL: 101 */
	size_t answer_len;
	const uint8_t *key_frame; /* NULL: the right one */
	size_t key_len;
	const uint8_t *frames; /* behind ServerInfo */
	size_t frames_len;
	bool no_info, bad_info; /* no ServerInfo, or one that does not open */
	size_t piece;		/* bytes a write; 0: all */
	uint8_t heard[WORLD_HEARD];
	size_t heard_len, heard_total; /* that is kept; all of it */

	/* The client. */
	struct derp_regions *regions;
	struct derp_map *map;
	struct key node;
	unsigned opened, closed, packets, gone;
	char why[DERP_REGION_WHY_MAX], health[DERP_REGION_HEALTH_MAX];
	struct key from;
	uint8_t last[128]; /* the last packet */
	size_t last_len;
	enum derp_gone_reason reason;
	bool close_in_packet, close_in_state;
};

void world_open(struct world *w);
/* The region is the home. */
void world_connect(struct world *w);
void world_close(struct world *w);
/* One turn; false after 10 s. */
bool world_turn(struct world *w);
void world_run_ms(struct world *w, uint64_t ms);
/* Until the relay heard nothing for 300 ms. */
void world_settle(struct world *w);
/* Does a frame of this type and body stand in what the relay heard behind ClientInfo? */
bool world_heard(const struct world *w, uint8_t type, const void *body, size_t len);

#define RUN_UNTIL(w, cond)                                                                         \
	do {                                                                                       \
		while (!(cond))                                                                    \
			assert_true(world_turn(w));                                                \
	} while (0)

#endif
