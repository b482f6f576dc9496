/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/derp_world.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 10000
#define QUIET_MS 300

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

/* ---- the relay ---- */

static void say(struct world *w, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		size_t n = w->piece && w->piece < len ? w->piece : len;

		net_stream_write(w->peer, at, n);
		at += n;
		len -= n;
	}
}

static void on_request(struct world *w)
{
	static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
	uint8_t frame[DERP_HEADER_BYTES + DERP_MAGIC_BYTES + DERP_KEY_BYTES];

	if (w->answer) {
		say(w, w->answer, w->answer_len);
		return;
	}
	say(w, upgrade, sizeof(upgrade) - 1);
	if (w->key_frame) {
		say(w, w->key_frame, w->key_len);
		return;
	}
	derp_header_put(frame, DERP_SERVER_KEY, sizeof(frame) - DERP_HEADER_BYTES);
	derp_server_key_put(frame + DERP_HEADER_BYTES, w->id.public_key.bytes);
	say(w, frame, sizeof(frame));
}

static void on_client_info(struct world *w, const uint8_t *body, size_t len)
{
	uint8_t info[HELLO_SERVER_INFO_MAX];
	struct hello hello;
	size_t n;

	assert_int_equal(hello_open(&w->id, NULL, body, len, &hello), 0);
	w->is_greeted = true;
	n = hello_answer(&w->id, hello.key, info);
	if (w->bad_info)
		info[n - 1] ^= 1;
	if (!w->no_info)
		say(w, info, n);
	say(w, w->frames, w->frames_len);
}

/* The request and ClientInfo are taken off the front; what follows is kept for the test. */
static void relay_data(void *arg, uint8_t *data, size_t len)
{
	struct world *w = arg;
	const uint8_t *end;
	size_t used = 0;

	w->heard_total += len;
	if (len > sizeof(w->heard) - w->heard_len)
		len = sizeof(w->heard) - w->heard_len;
	memcpy(w->heard + w->heard_len, data, len);
	w->heard_len += len;
	if (w->is_greeted)
		return;
	if (w->heard[0] == 'G') {
		end = memmem(w->heard, w->heard_len, "\r\n\r\n", 4);
		if (!end)
			return;
		used = (size_t)(end - w->heard) + 4;
		on_request(w);
	} else if (w->heard_len >= DERP_HEADER_BYTES) {
		used = DERP_HEADER_BYTES + derp_header_get(w->heard).len;
		assert_int_equal(w->heard[0], DERP_CLIENT_INFO);
		if (w->heard_len < used)
			return;
		on_client_info(w, w->heard + DERP_HEADER_BYTES, used - DERP_HEADER_BYTES);
	}
	w->heard_len -= used;
	memmove(w->heard, w->heard + used, w->heard_len);
}

static void relay_open(void *arg)
{
}

static void relay_close(void *arg, int err, const char *why)
{
	struct world *w = arg;

	w->peer = NULL;
}

static const struct net_stream_events relay_events = {
	.on_open = relay_open, .on_data = relay_data, .on_close = relay_close};

static void on_connection(uv_stream_t *listener, int status)
{
	struct world *w = listener->data;

	net_stream_close(w->peer, false);
	w->peer = NULL;
	w->accepted++;
	w->heard_len = 0;
	w->is_greeted = false;
	net_stream_accept(listener, NULL, LIMIT_MS, 0, &relay_events, w, &w->peer);
	if (w->is_deaf)
		net_stream_pause(w->peer, true);
}

/* ---- the client ---- */

static void on_packet(void *arg, uint16_t region, const struct key *from, const uint8_t *data,
		      size_t len)
{
	struct world *w = arg;

	assert_int_equal(region, WORLD_REGION);
	w->packets++;
	w->from = *from;
	w->last_len = len;
	memcpy(w->last, data, len < sizeof(w->last) ? len : sizeof(w->last));
	if (w->close_in_packet) {
		derp_regions_close(w->regions);
		w->regions = NULL;
	}
}

static void on_gone(void *arg, uint16_t region, const struct key *peer,
		    enum derp_gone_reason reason)
{
	struct world *w = arg;

	w->gone++;
	w->from = *peer;
	w->reason = reason;
}

static void on_state(void *arg, uint16_t region, bool is_connected, const char *why)
{
	struct world *w = arg;

	assert_int_equal(derp_regions_connected(w->regions, region), is_connected);
	if (is_connected)
		w->opened++;
	else
		w->closed++;
	snprintf(w->why, sizeof(w->why), "%s", why);
	if (w->close_in_state) {
		derp_regions_close(w->regions);
		w->regions = NULL;
	}
}

static void on_health(void *arg, uint16_t region, const char *text)
{
	struct world *w = arg;

	snprintf(w->health, sizeof(w->health), "%s", text);
}

static const struct derp_regions_events client_events = {.on_packet = on_packet,
							 .on_peer_gone = on_gone,
							 .on_state = on_state,
							 .on_health = on_health};

static void on_limit(uv_timer_t *t)
{
	struct world *w = t->data;

	w->is_late = true;
}

void world_open(struct world *w)
{
	struct sockaddr_in here = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct derp_regions_config cfg = {.loop = &w->loop, .random = &source};
	struct key private_key;
	struct json_in in = {0};
	int len = sizeof(here);
	json_t *json;

	*w = (struct world){0};
	crypto_box_keypair(w->id.public_key.bytes, w->id.private_key.bytes);
	crypto_box_keypair(w->node.bytes, private_key.bytes);
	uv_loop_init(&w->loop);
	uv_timer_init(&w->loop, &w->limit);
	uv_tcp_init(&w->loop, &w->listener);
	w->limit.data = w->listener.data = w;
	assert_int_equal(uv_tcp_bind(&w->listener, (struct sockaddr *)&here, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&w->listener, 8, on_connection), 0);
	uv_tcp_getsockname(&w->listener, (struct sockaddr *)&here, &len);
	w->port = ntohs(here.sin_port);
	json = json_pack("{s:{s:{s:i,s:[{s:s,s:i,s:s,s:i}]}}}", "Regions", "900", "RegionID",
			 WORLD_REGION, "Nodes", "Name", "900a", "RegionID", WORLD_REGION,
			 "HostName", "127.0.0.1", "DERPPort", w->port);
	assert_int_equal(derp_map_parse(json, &w->map, &in), 0);
	json_decref(json);
	cfg.node_private = &private_key;
	assert_int_equal(derp_regions_open(&cfg, &client_events, w, &w->regions), 0);
	derp_regions_set_map(w->regions, w->map);
}

void world_connect(struct world *w)
{
	derp_regions_set_home(w->regions, WORLD_REGION);
	RUN_UNTIL(w, w->opened == 1);
}

void world_close(struct world *w)
{
	derp_regions_close(w->regions);
	net_stream_close(w->peer, false);
	uv_close((uv_handle_t *)&w->listener, NULL);
	uv_close((uv_handle_t *)&w->limit, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	derp_map_free(w->map);
	/* Nothing is left behind. */
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

bool world_turn(struct world *w)
{
	uv_timer_start(&w->limit, on_limit, LIMIT_MS, 0);
	uv_run(&w->loop, UV_RUN_ONCE);
	return !w->is_late;
}

void world_run_ms(struct world *w, uint64_t ms)
{
	uv_timer_start(&w->limit, on_limit, ms, 0);
	while (!w->is_late)
		uv_run(&w->loop, UV_RUN_ONCE);
	w->is_late = false;
}

void world_settle(struct world *w)
{
	size_t before;

	do {
		before = w->heard_total;
		world_run_ms(w, QUIET_MS);
	} while (w->heard_total != before);
}

bool world_heard(const struct world *w, uint8_t type, const void *body, size_t len)
{
	struct derp_header h;

	if (!w->is_greeted)
		return false;
	for (size_t at = 0; at + DERP_HEADER_BYTES <= w->heard_len;
	     at += DERP_HEADER_BYTES + h.len) {
		h = derp_header_get(w->heard + at);
		if (at + DERP_HEADER_BYTES + h.len <= w->heard_len && h.type == type &&
		    h.len == len && memcmp(w->heard + at + DERP_HEADER_BYTES, body, len) == 0)
			return true;
	}
	return false;
}
