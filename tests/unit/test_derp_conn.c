/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that connections to relays take all frames in whatever pieces they come, answer what is to
 * be answered, and that a relay which lies, floods, hangs or stops reading costs the connection
 * and a clear sentence, never memory; that owners may close from inside of any event.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/bug.h"
#include "tests/unit/derp_world.h"

static size_t put(uint8_t *out, uint8_t type, const void *body, size_t len)
{
	derp_header_put(out, type, (uint32_t)len);
	if (len)
		memcpy(out + DERP_HEADER_BYTES, body, len);
	return DERP_HEADER_BYTES + len;
}

/* Everything that a relay may say, byte by byte and at once. */
static void all_frames(void **state)
{
	static const uint8_t ping[8] = {1, 2, 3, 4, 5, 6, 7, 8}, home[1] = {1};
	uint8_t out[1024], packet[60], gone[33];
	struct derp_counters c;
	struct world w;

	memset(packet, 7, sizeof(packet));
	memset(gone, 9, sizeof(gone));
	gone[32] = DERP_GONE_NOT_HERE;
	for (size_t piece = 0; piece < 8; piece++) {
		size_t n = 0;

		world_open(&w);
		w.piece = piece;
		n += put(out + n, DERP_KEEP_ALIVE, NULL, 0);
		n += put(out + n, DERP_PING, ping, 8);
		n += put(out + n, 0x55, packet, 20); /* of a later version */
		n += put(out + n, DERP_PEER_PRESENT, packet, 40);
		n += put(out + n, DERP_PEER_GONE, packet, 31); /* too short */
		n += put(out + n, DERP_HEALTH, "same \x1b[1mkey\xff", 13);
		n += put(out + n, DERP_RECV_PACKET, packet, 60);
		n += put(out + n, DERP_RECV_PACKET, packet, 32); /* an empty packet */
		n += put(out + n, DERP_PEER_GONE, gone, 33);
		n += put(out + n, DERP_PEER_GONE, gone, 32); /* of an old relay */
		w.frames = out;
		w.frames_len = n;
		world_connect(&w);
		RUN_UNTIL(&w, w.gone == 2);
		assert_int_equal(w.packets, 2);
		assert_int_equal(w.last_len, 0);
		assert_int_equal(w.reason, DERP_GONE_DISCONNECTED);
		assert_string_equal(w.health, "same ?[1mkey?");
		RUN_UNTIL(&w, world_heard(&w, DERP_PONG, ping, 8));
		assert_true(world_heard(&w, DERP_NOTE_PREFERRED, home, 1));
		derp_regions_counters(w.regions, &c);
		assert_int_equal(c.bad_frames, 2);
		assert_int_equal(c.rx_packets, 2);
		assert_int_equal(c.rx_bytes, 28);
		assert_int_equal(w.closed, 0);
		world_close(&w);
	}
}

/* A longer packet than any, in pieces. */
static void large_packet(void **state)
{
	static uint8_t out[DERP_HEADER_BYTES + DERP_CLIENT_MAX];
	struct world w;

	world_open(&w);
	w.piece = 1000;
	derp_header_put(out, DERP_RECV_PACKET, DERP_CLIENT_MAX);
	w.frames = out;
	w.frames_len = sizeof(out);
	world_connect(&w);
	RUN_UNTIL(&w, w.packets == 1);
	assert_int_equal(w.last_len, DERP_CLIENT_MAX - DERP_KEY_BYTES);
	world_close(&w);
}

/* Each ends the connection, says what was wrong, and nothing else happened. */
static void liars(void **state)
{
	static const uint8_t zero_key[] = {1,	0,   0,	   0,	 40,   'D',  'E',
					   'R', 'P', 0xf0, 0x9f, 0x94, 0x91, [44] = 0};
	static const uint8_t no_magic[45] = {1, 0, 0, 0, 40};
	static const uint8_t other_type[] = {6, 0, 0, 0, 0};
	static const uint8_t long_key[] = {1, 0, 0, 16, 0};
	static const uint8_t too_long[] = {5, 0, 0x10, 0, 1};
	static const uint8_t long_unknown[] = {0x99, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t short_info[] = {3, 0, 0, 0, 23};
	static const uint8_t long_info[] = {3, 0, 0x11, 0, 0};
	static const struct {
		const char *answer;
		const uint8_t *key, *frames;
		size_t key_len, frames_len;
		bool bad_info;
		const char *why;
	} row[] = {
		{.answer = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno!",
		 .why = "does not speak DERP: HTTP/1.1 426 Upgrade Required"},
		{.answer = "HTTP/1.1 200 OK\r\n\r\n",
		 .why = "does not speak DERP: HTTP/1.1 200 OK"},
		{.answer = "SSH-2.0-OpenSSH\r\n", .why = "does not speak DERP: no HTTP answer"},
		{.answer = "\x16\x03\x01", .why = "does not speak DERP: no HTTP answer"},
		{.key = zero_key, .key_len = 45, .why = "the relay's key cannot be one"},
		{.key = no_magic, .key_len = 45, .why = "is no ServerKey"},
		{.key = other_type, .key_len = 5, .why = "began with type 0x06 of 0 bytes"},
		{.key = long_key, .key_len = 5, .why = "began with type 0x01 of 4096 bytes"},
		{.bad_info = true, .why = "did not prove that it has its key"},
		{.frames = too_long, .frames_len = 5, .why = "type 0x05 with 1048577 bytes"},
		{.frames = long_unknown, .frames_len = 5, .why = "type 0x99 with 4294967295"},
		{.frames = short_info, .frames_len = 5, .why = "type 0x03 with 23 bytes"},
		{.frames = long_info, .frames_len = 5, .why = "type 0x03 with 1114112 bytes"},
	};
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		world_open(&w);
		w.answer = row[i].answer;
		w.answer_len = row[i].answer ? strlen(row[i].answer) : 0;
		w.key_frame = row[i].key;
		w.key_len = row[i].key_len;
		w.bad_info = row[i].bad_info;
		w.frames = row[i].frames;
		w.frames_len = row[i].frames_len;
		derp_regions_set_home(w.regions, WORLD_REGION);
		RUN_UNTIL(&w, w.closed == 1);
		if (!strstr(w.why, row[i].why))
			fail_msg("%s, not %s", w.why, row[i].why);
		assert_int_equal(strncmp(w.why, "900a: ", 6), 0);
		assert_int_equal(w.packets, 0);
		/* It is tried again, each time later. */
		RUN_UNTIL(&w, w.accepted >= 4);
		world_close(&w);
	}
}

/* Frames that end in the midst, and connections that end without a word. */
static void cut_short(void **state)
{
	static const uint8_t half[] = {5, 0, 0, 1, 0, 1, 2, 3};
	struct world w;

	world_open(&w);
	w.frames = half;
	w.frames_len = sizeof(half);
	world_connect(&w);
	net_stream_close(w.peer, false);
	w.peer = NULL;
	RUN_UNTIL(&w, w.closed == 1);
	assert_non_null(strstr(w.why, "closed by the other side"));
	assert_int_equal(w.packets, 0);
	/* The half frame is forgotten: the next connection begins with a frame. */
	RUN_UNTIL(&w, w.opened == 2);
	world_close(&w);
}

/* What is sent before there is a connection leaves with it, in order, as one write. */
static void sent_before(void **state)
{
	struct key to = {.bytes = {5}};
	struct derp_counters c;
	struct world w;
	uint8_t body[33];

	world_open(&w);
	memcpy(body, to.bytes, 32);
	for (uint8_t i = 0; i < 100; i++)
		assert_int_equal(derp_regions_send(w.regions, WORLD_REGION, &to, &i, 1),
				 WORLD_REGION);
	RUN_UNTIL(&w, w.opened == 1);
	for (body[32] = 0; body[32] < 100; body[32]++)
		RUN_UNTIL(&w, world_heard(&w, DERP_SEND_PACKET, body, sizeof(body)));
	derp_regions_counters(w.regions, &c);
	assert_int_equal(c.tx_packets, 100);
	assert_int_equal(c.tx_bytes, 100);
	/* It is not the home, so nobody told that it is. */
	body[0] = 1;
	assert_false(world_heard(&w, DERP_NOTE_PREFERRED, body, 1));
	derp_regions_set_home(w.regions, WORLD_REGION);
	RUN_UNTIL(&w, world_heard(&w, DERP_NOTE_PREFERRED, body, 1));
	derp_regions_set_home(w.regions, 0);
	body[0] = 0;
	RUN_UNTIL(&w, world_heard(&w, DERP_NOTE_PREFERRED, body, 1));
	assert_int_equal(derp_regions_send(w.regions, 0, &to, body, 1), -ENETUNREACH);
	assert_int_equal(derp_regions_send(w.regions, 7, &to, body, 1), -ENETUNREACH);
	world_close(&w);
}

/* Pings without end from a relay that reads nothing: answers are not kept for it. */
static void ping_flood(void **state)
{
	static uint8_t out[13 * 1000000];
	struct key key = {.bytes = {3}};
	uint8_t packet[33] = {3};
	struct world w;
	size_t n = 0;

	for (uint64_t i = 0; i < 999000; i++)
		n += put(out + n, DERP_PING, &i, sizeof(i));
	n += put(out + n, DERP_RECV_PACKET, packet, 33);
	world_open(&w);
	w.frames = out;
	w.frames_len = n;
	derp_regions_set_home(w.regions, WORLD_REGION);
	RUN_UNTIL(&w, w.is_greeted);
	net_stream_pause(w.peer, true);
	RUN_UNTIL(&w, w.packets == 1);
	assert_int_equal(derp_regions_heard(w.regions, &key), WORLD_REGION);
	assert_int_equal(w.closed, 0);
	/* Answered is what found room on the way, not 13 MB. */
	net_stream_pause(w.peer, false);
	world_settle(&w);
	assert_in_range(w.heard_total, 1, 6 << 20);
	world_close(&w);
}

/* Owners may go from inside of what they are told. */
static void closed_from_inside(void **state)
{
	uint8_t out[2 * (DERP_HEADER_BYTES + 40)], packet[40] = {0};
	struct world w;

	for (unsigned step = 0; step < 4; step++) {
		world_open(&w);
		put(out, DERP_RECV_PACKET, packet, 40);
		put(out + sizeof(out) / 2, DERP_RECV_PACKET, packet, 40);
		w.frames = out;
		w.frames_len = sizeof(out);
		w.piece = step & 1 ? 10 : 0;
		w.close_in_packet = step < 2;
		w.close_in_state = step >= 2;
		derp_regions_set_home(w.regions, WORLD_REGION);
		RUN_UNTIL(&w, !w.regions);
		assert_int_equal(w.packets, step < 2);
		world_close(&w);
	}
	/* And with a failure. */
	world_open(&w);
	w.answer = "no";
	w.answer_len = 2;
	w.close_in_state = true;
	derp_regions_set_home(w.regions, WORLD_REGION);
	RUN_UNTIL(&w, !w.regions);
	world_close(&w);
	/* Before anything came. */
	world_open(&w);
	derp_regions_set_home(w.regions, WORLD_REGION);
	world_close(&w);
}

/* A relay that says it restarts is tried when it said, not before. */
static void told_to_wait(void **state)
{
	uint8_t out[DERP_HEADER_BYTES + 8], body[8];
	struct world w;
	uint64_t start;

	world_open(&w);
	derp_restarting_put(body, 700, 5000);
	put(out, DERP_RESTARTING, body, 8);
	w.frames = out;
	w.frames_len = sizeof(out);
	world_connect(&w);
	for (int i = 0; i < 5; i++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
	start = uv_hrtime();
	net_stream_close(w.peer, false);
	w.peer = NULL;
	RUN_UNTIL(&w, w.opened == 2);
	assert_in_range((uv_hrtime() - start) / 1000000, 690, 3000);
	world_close(&w);
}

/* It never ends the handshake: 10 s, and the step that it was. */
static void hangs(void **state)
{
	struct world w;

	world_open(&w);
	w.no_info = true;
	derp_regions_set_home(w.regions, WORLD_REGION);
	/* More than a turn's limit of this world. */
	while (!w.closed) {
		w.is_late = false;
		world_turn(&w);
	}
	assert_string_equal(w.why, "900a: ServerInfo took more than 10 s");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_frames),
		cmocka_unit_test(large_packet),
		cmocka_unit_test(liars),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(sent_before),
		cmocka_unit_test(ping_flood),
		cmocka_unit_test(closed_from_inside),
		cmocka_unit_test(told_to_wait),
		cmocka_unit_test(hangs),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
