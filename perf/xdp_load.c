/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xdp_load: source and sink around a device with two interfaces, on one core.
 *
 *   from --> device's inside   device's outside --> to      (seal, forward)
 *   from --> device's outside  device's inside  --> to      (open)
 *
 * It is the peer as well: it programs the dataplane with a session whose keys it
 * holds, seals what it sends to be opened, and opens a sample of what was sealed.
 * Offers as much as the device takes; prints one JSON object.
 */
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/crypto/aead.h"
#include "lib/base/clock.h"
#include "lib/wire/ether.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"
#include "lib/wire/udp_encap.h"
#include "lib/wire/wg.h"
#include "perf/dp_program.h"
#include "perf/xsk.h"

#define FRAMES	    (4 * XSK_RING)
#define LISTEN_PORT 41641
#define INNER_PORT  9
#define FLOWS	    16
#define DATA_HEADER 16
#define SAMPLE	    1024 /* one sealed packet in so many is opened */
#define WARM_NS	    (300 * NS_PER_MS)

static_assert(sizeof(struct wg_msg_data) == DATA_HEADER, "header of a data message");

enum mode { MODE_SEAL, MODE_OPEN, MODE_FORWARD };

struct load {
	enum mode mode;
	const char *from, *to, *dp_socket;
	uint8_t device_mac[6];
	const char *inner_src, *inner_dst, *outer_src, *outer_dst;
	uint32_t bytes; /* of the inner packet */
	double seconds;

	uint8_t frame[FLOWS][XSK_FRAME_BYTES];
	uint32_t frame_bytes, inner_at;
	uint8_t send_key[AEAD_KEY_BYTES], recv_key[AEAD_KEY_BYTES];
	uint32_t local_index, device_index;
	uint64_t counter, sent, received, verified, wrong;
	const struct aead_engine *engine;
	void *crypto;
};

static _Noreturn void give_up(const char *text)
{
	fprintf(stderr, "xdp_load: %s\n", text);
	exit(1);
}

static struct endpoint endpoint_of(const char *text, uint16_t port)
{
	struct endpoint e = {.port = port};

	if (addr_parse(text, &e.addr))
		give_up(text);
	return e;
}

static uint32_t padded(uint32_t bytes)
{
	return (bytes + 15) / 16 * 16;
}

static void inner_packet(struct load *l, uint8_t *out, unsigned flow)
{
	struct endpoint src = endpoint_of(l->inner_src, (uint16_t)(1024 + flow));
	struct endpoint dst = endpoint_of(l->inner_dst, INNER_PORT);
	struct udp_encap e = {.src = &src, .dst = &dst, .dont_fragment = true};
	uint32_t payload = l->bytes - UDP_ENCAP_V4_BYTES;

	memset(out + UDP_ENCAP_V4_BYTES, 0x5a, payload);
	if (udp_encap_build(out, &e, UDP_ENCAP_FULL, out + UDP_ENCAP_V4_BYTES, payload) < 0)
		give_up("inner packet");
}

/* Templates: all but counter and ciphertext stays the same. */
static void build_frames(struct load *l)
{
	struct endpoint src = endpoint_of(l->outer_src, LISTEN_PORT);
	struct endpoint dst = endpoint_of(l->outer_dst, LISTEN_PORT);
	struct udp_encap e = {.src = &src, .dst = &dst, .dont_fragment = true};
	uint32_t message = DATA_HEADER + padded(l->bytes) + AEAD_TAG_BYTES;
	struct ether_head eth = {0};

	memcpy(eth.dst, l->device_mac, sizeof(eth.dst));
	eth.src[0] = 2;
	be16_put(&eth.type, ETHER_TYPE_IPV4);
	l->inner_at = ETHER_HEADER_BYTES;
	l->frame_bytes = ETHER_HEADER_BYTES + l->bytes;
	if (l->mode == MODE_OPEN) {
		l->inner_at += UDP_ENCAP_V4_BYTES + DATA_HEADER;
		l->frame_bytes = ETHER_HEADER_BYTES + UDP_ENCAP_V4_BYTES + message;
	}
	for (unsigned i = 0; i < FLOWS; i++) {
		struct wg_msg_data *data;

		memcpy(l->frame[i], &eth, sizeof(eth));
		if (l->mode == MODE_OPEN) {
			data = (struct wg_msg_data *)(l->frame[i] + ETHER_HEADER_BYTES +
						      UDP_ENCAP_V4_BYTES);
			le32_put(&data->type, WG_MSG_DATA);
			le32_put(&data->receiver, l->device_index);
			udp_encap_build(l->frame[i] + ETHER_HEADER_BYTES, &e, UDP_ENCAP_NONE, NULL,
					message);
		}
		inner_packet(l, l->frame[i] + l->inner_at, i);
	}
}

static void program(struct load *l)
{
	struct dpapi_addr remote = dp_program_addr(l->outer_src, LISTEN_PORT);
	struct dp_program_session s = {.peer_id = 1};
	struct dp_program dp;

	if (l->mode == MODE_SEAL)
		remote = dp_program_addr(l->outer_dst, LISTEN_PORT);
	randombytes_buf(l->send_key, sizeof(l->send_key));
	randombytes_buf(l->recv_key, sizeof(l->recv_key));
	l->device_index = randombytes_random();
	l->local_index = randombytes_random();
	s.local_index = l->device_index;
	s.remote_index = l->local_index;
	memcpy(s.send_key, l->recv_key, sizeof(s.send_key));
	memcpy(s.recv_key, l->send_key, sizeof(s.recv_key));
	dp_program_open(&dp, l->dp_socket);
	dp_program_peer(&dp, 1, &remote, 0, 1420);
	dp_program_route(&dp, 1, l->mode == MODE_SEAL ? l->inner_dst : l->inner_src);
	dp_program_session(&dp, &s);
	dp_program_allow_all(&dp);
	dp_program_barrier(&dp, 1);
	dp_program_close(&dp);
}

static void seal(struct load *l, uint8_t *const *frames, unsigned n)
{
	struct aead_job jobs[XSK_BATCH];

	for (unsigned i = 0; i < n; i++) {
		struct wg_msg_data *data =
			(struct wg_msg_data *)(frames[i] + l->inner_at - DATA_HEADER);
		uint8_t *inner = frames[i] + l->inner_at;

		le64_put(&data->counter, l->counter);
		jobs[i] = (struct aead_job){
			.key = l->send_key,
			.counter = l->counter++,
			.src = inner,
			.dst = inner,
			.len = padded(l->bytes),
		};
	}
	l->engine->seal(l->crypto, jobs, n);
}

static void send_some(struct load *l, struct xsk_end *from)
{
	struct xsk_area *a = from->area;
	uint8_t *frames[XSK_BATCH];
	uint64_t addr[XSK_BATCH];
	unsigned n = 0;

	while (n < XSK_BATCH && a->free_count > XSK_RING &&
	       (addr[n] = xsk_frame(a)) != UINT64_MAX) {
		frames[n] = xsk_data(a, addr[n]);
		memcpy(frames[n], l->frame[n % FLOWS], l->frame_bytes);
		n++;
	}
	if (l->mode == MODE_OPEN)
		seal(l, frames, n);
	for (unsigned i = 0; i < n; i++) {
		if (xsk_tx(from, addr[i], l->frame_bytes))
			l->sent++;
		else
			xsk_frame_free(a, addr[i]);
	}
	xsk_tx_end(from);
}

/* Is it the packet that was put in, sealed for us with our key? */
static bool is_sealed_for_us(struct load *l, const uint8_t *frame, uint32_t bytes)
{
	const struct wg_msg_data *data =
		(const struct wg_msg_data *)(frame + ETHER_HEADER_BYTES + UDP_ENCAP_V4_BYTES);
	uint8_t inner[XSK_FRAME_BYTES];
	struct aead_job job = {
		.key = l->recv_key,
		.counter = le64_get(&data->counter),
		.src = (const uint8_t *)(data + 1),
		.dst = inner,
		.len = bytes - ETHER_HEADER_BYTES - UDP_ENCAP_V4_BYTES - DATA_HEADER -
		       AEAD_TAG_BYTES,
	};

	l->engine->open(l->crypto, &job, 1);
	/* A router has taken one from TTL, and the header checksum goes with it. */
	return job.ok && !memcmp(inner + 12, l->frame[0] + l->inner_at + 12, 8) &&
	       le32_get(&data->receiver) == l->local_index;
}

static void take(struct load *l, struct xsk_end *to)
{
	uint32_t sealed_bytes = ETHER_HEADER_BYTES + UDP_ENCAP_V4_BYTES + DATA_HEADER +
				padded(l->bytes) + AEAD_TAG_BYTES;
	uint32_t want = l->mode == MODE_SEAL   ? sealed_bytes
			: l->mode == MODE_OPEN ? ETHER_HEADER_BYTES + l->bytes
					       : l->frame_bytes;
	struct xdp_desc d[XSK_BATCH];
	unsigned n;

	while ((n = xsk_rx(to, d, XSK_BATCH))) {
		for (unsigned i = 0; i < n; i++) {
			const uint8_t *frame = xsk_data(to->area, d[i].addr);

			/* The kernel talks too: IPv6 neighbours, multicast. */
			if (d[i].len == want) {
				if (l->mode == MODE_SEAL && l->received % SAMPLE == 0) {
					bool is_ok = is_sealed_for_us(l, frame, d[i].len);

					l->verified += is_ok;
					l->wrong += !is_ok;
				} else if (l->mode == MODE_OPEN && l->received % SAMPLE == 0) {
					bool is_ok = !memcmp(frame + ETHER_HEADER_BYTES + 12,
							     l->frame[0] + l->inner_at + 12, 8);

					l->verified += is_ok;
					l->wrong += !is_ok;
				}
				l->received++;
			}
			xsk_frame_free(to->area, d[i].addr);
		}
	}
}

static void run(struct load *l)
{
	static struct xsk_area area;
	static struct xsk_end from, to;
	uint64_t now = 0, start, from_ns = 0, received0 = 0, sent0 = 0;

	xsk_area_open(&area, FRAMES);
	xsk_end_open(&from, &area, l->from, false);
	xsk_end_open(&to, &area, l->to, true);
	start = clock_now_ns();
	do {
		send_some(l, &from);
		take(l, &to);
		now = clock_now_ns();
		if (!from_ns && now - start >= WARM_NS) {
			from_ns = now;
			received0 = l->received;
			sent0 = l->sent;
		}
	} while (!from_ns || (double)(now - from_ns) < l->seconds * 1e9);
	printf("{\"seconds\": %.6f, \"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"verified\": %" PRIu64 ", \"wrong\": %" PRIu64 "}\n",
	       (double)(now - from_ns) / 1e9, l->sent - sent0, l->received - received0, l->verified,
	       l->wrong);
	xsk_end_close(&to);
	xsk_end_close(&from);
}

static const struct option options[] = {
	{"mode", required_argument, NULL, 'm'},	     {"from", required_argument, NULL, 'f'},
	{"to", required_argument, NULL, 't'},	     {"device-mac", required_argument, NULL, 'd'},
	{"inner-src", required_argument, NULL, 'i'}, {"inner-dst", required_argument, NULL, 'I'},
	{"outer-src", required_argument, NULL, 'o'}, {"outer-dst", required_argument, NULL, 'O'},
	{"bytes", required_argument, NULL, 'b'},     {"seconds", required_argument, NULL, 's'},
	{"dp-socket", required_argument, NULL, 'p'}, {0},
};

int main(int argc, char **argv)
{
	static struct load l = {.bytes = 64, .seconds = 1};
	uint8_t *m = l.device_mac;
	const char *why;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'm')
			l.mode = !strcmp(optarg, "open")   ? MODE_OPEN
				 : !strcmp(optarg, "seal") ? MODE_SEAL
							   : MODE_FORWARD;
		else if (c == 'f')
			l.from = optarg;
		else if (c == 't')
			l.to = optarg;
		else if (c == 'd')
			sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3,
			       m + 4, m + 5);
		else if (c == 'i')
			l.inner_src = optarg;
		else if (c == 'I')
			l.inner_dst = optarg;
		else if (c == 'o')
			l.outer_src = optarg;
		else if (c == 'O')
			l.outer_dst = optarg;
		else if (c == 'b')
			l.bytes = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 's')
			l.seconds = strtod(optarg, NULL);
		else if (c == 'p')
			l.dp_socket = optarg;
		else
			return 2;
	}
	if (!l.from || !l.to || !l.inner_src || !l.inner_dst || !l.outer_src || !l.outer_dst ||
	    l.bytes < 64 || l.bytes > 1500)
		give_up("an option is missing, or --bytes is not 64 to 1500");
	l.engine = aead_select(NULL, &why);
	if (!l.engine)
		give_up(why);
	l.crypto = l.engine->ctx_new();
	if (l.dp_socket)
		program(&l);
	build_frames(&l);
	run(&l);
	return 0;
}
