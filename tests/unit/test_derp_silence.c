/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that a relay which says nothing is asked, that one which answers is kept, and that one
 * which does not is left: with the times of derp_conn.h divided by 250.
 */
#include <sodium.h>
#include <string.h>

#include "controlplane/derp_client/derp_conn.h"

#undef DERP_CONN_PING_AFTER_MS
#undef DERP_CONN_SILENT_MS
#define DERP_CONN_PING_AFTER_MS 300
#define DERP_CONN_SILENT_MS	480

#include "controlplane/derp_client/derp_conn.c"
#include "tests/unit/derp_world.h"

/* Where the relay heard a Ping, or NULL. */
static const uint8_t *ping(const struct world *w)
{
	struct derp_header h;

	for (size_t at = 0; at + DERP_HEADER_BYTES + DERP_PING_BYTES <= w->heard_len;
	     at += DERP_HEADER_BYTES + h.len) {
		h = derp_header_get(w->heard + at);
		if (h.type == DERP_PING)
			return w->heard + at + DERP_HEADER_BYTES;
	}
	return NULL;
}

static uint64_t ms_since(uint64_t start)
{
	return (uv_hrtime() - start) / 1000000;
}

static void left(void **state)
{
	struct world w;
	uint64_t start;

	world_open(&w);
	world_connect(&w);
	start = uv_hrtime();
	RUN_UNTIL(&w, ping(&w));
	assert_in_range(ms_since(start), 250, 420);
	RUN_UNTIL(&w, w.closed);
	assert_in_range(ms_since(start), 440, 1500);
	assert_non_null(strstr(w.why, "was silent for 0 s and answers no ping"));
	/* And tried anew. */
	RUN_UNTIL(&w, w.opened == 2);
	world_close(&w);
}

static void kept(void **state)
{
	uint8_t pong[DERP_HEADER_BYTES + DERP_PING_BYTES];
	struct world w;

	world_open(&w);
	world_connect(&w);
	for (unsigned i = 0; i < 4; i++) {
		RUN_UNTIL(&w, ping(&w));
		derp_header_put(pong, DERP_PONG, DERP_PING_BYTES);
		memcpy(pong + DERP_HEADER_BYTES, ping(&w), DERP_PING_BYTES);
		w.heard_len = 0;
		net_stream_write(w.peer, pong, sizeof(pong));
	}
	assert_int_equal(w.closed, 0);
	world_close(&w);
}

/* What comes by itself makes asking needless. */
static void not_asked(void **state)
{
	uint8_t alive[DERP_HEADER_BYTES];
	struct world w;

	world_open(&w);
	world_connect(&w);
	derp_header_put(alive, DERP_KEEP_ALIVE, 0);
	for (unsigned i = 0; i < 10; i++) {
		world_run_ms(&w, 100);
		net_stream_write(w.peer, alive, sizeof(alive));
		assert_null(ping(&w));
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(left),
		cmocka_unit_test(kept),
		cmocka_unit_test(not_asked),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
