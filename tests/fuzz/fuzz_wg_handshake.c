/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that no handshake message, forged or damaged, crashes an engine or changes a peer. */
#include "controlplane/noise/wg_peer.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

#include <sodium.h>

/*
 * Input: one byte says what is done, the rest is a message or a list of
 * (offset, xor) pairs laid over a valid one.
 */
enum { OP_RAW = 0, OP_INITIATION = 1, OP_RESPONSE = 2, OP_COOKIE = 3, OP_COUNT = 4 };

static uint32_t next_index = 1;

static void fill(void *ctx, void *buf, size_t len)
{
	memset(buf, 0x5a, len);
}

static uint32_t alloc_index(void *ctx, uint32_t peer_id)
{
	return next_index++;
}

static void free_index(void *ctx, uint32_t index)
{
}

static const struct wg_random random_source = {NULL, fill};
static const struct wg_indices indices = {NULL, alloc_index, free_index};
static const struct wg_time start = {1000 * NS_PER_SEC, 1700000000ull * NS_PER_SEC};

static struct wg_identity a_id, b_id;
static struct wg_peer a_peer, b_peer; /* a has just sent its initiation, b has answered */
static struct wg_msg_initiation initiation;
static struct wg_msg_response response;
static struct wg_msg_cookie cookie;

static void make_peer(struct wg_peer *peer, const struct wg_identity *self,
		      const struct wg_identity *other)
{
	struct wg_peer_config config = {
		.id = 1, .self = self, .random = &random_source, .indices = &indices};

	memcpy(config.public_key, other->public_key, WG_KEY_BYTES);
	BUG_ON(wg_peer_init(peer, &config) != 0);
}

static void setup(void)
{
	static const uint8_t a_key[WG_KEY_BYTES] = {1}, b_key[WG_KEY_BYTES] = {2};
	struct endpoint source = {.addr = {AF_INET, {192, 0, 2, 1}}, .port = 1};
	struct wg_cookie_checker checker = {0};
	struct wg_peer_event event = {.type = WG_EV_NEED_HANDSHAKE};
	struct wg_peer_actions actions;
	struct wg_initiation_in in;
	struct wg_peer answering;

	BUG_ON(sodium_init() < 0);
	BUG_ON(wg_identity_init(&a_id, a_key) != 0 || wg_identity_init(&b_id, b_key) != 0);
	make_peer(&a_peer, &a_id, &b_id);
	make_peer(&b_peer, &b_id, &a_id);
	BUG_ON(wg_peer_handle(&a_peer, &event, &start, &actions) != 0 || actions.count != 1);
	initiation = actions.action[0].initiation;
	wg_cookie_reply(&checker, &b_id, &random_source, &initiation, sizeof(initiation), &source,
			start.now_ns, &cookie);

	answering = b_peer;
	BUG_ON(wg_initiation_open(&in, &b_id, &initiation) != 0);
	event = (struct wg_peer_event){.type = WG_EV_INITIATION, .initiation = &in};
	BUG_ON(wg_peer_handle(&answering, &event, &start, &actions) != 0);
	event = (struct wg_peer_event){.type = WG_EV_INSTALLED,
				       .local_index = actions.action[0].install.local_index};
	BUG_ON(wg_peer_handle(&answering, &event, &start, &actions) != 0 || actions.count != 1);
	response = actions.action[0].response;
}

/* Hands msg to a copy of the peer that would get it. A refusal must change nothing. */
static void deliver(const void *msg, bool is_genuine)
{
	struct wg_peer_actions actions;
	struct wg_initiation_in in;
	struct wg_peer_event event = {0};
	struct wg_peer peer;
	const struct wg_peer *from = &a_peer;
	int err;

	switch ((enum wg_msg_type) * (const uint8_t *)msg) {
	case WG_MSG_INITIATION:
		from = &b_peer;
		wg_cookie_mac1_verify(&b_id, msg, sizeof(struct wg_msg_initiation));
		err = wg_initiation_open(&in, &b_id, msg);
		BUG_ON(is_genuine && err);
		if (err || memcmp(in.remote_static, b_peer.remote.public_key, WG_KEY_BYTES) != 0)
			return;
		event = (struct wg_peer_event){.type = WG_EV_INITIATION, .initiation = &in};
		break;
	case WG_MSG_RESPONSE:
		wg_cookie_mac1_verify(&a_id, msg, sizeof(struct wg_msg_response));
		event = (struct wg_peer_event){.type = WG_EV_RESPONSE, .response = msg};
		break;
	case WG_MSG_COOKIE:
		event = (struct wg_peer_event){.type = WG_EV_COOKIE, .cookie = msg};
		break;
	case WG_MSG_DATA:
		return;
	}
	peer = *from;
	err = wg_peer_handle(&peer, &event, &start, &actions);
	BUG_ON(is_genuine && err);
	BUG_ON(err && (actions.count || memcmp(&peer, from, sizeof(peer)) != 0));
	/* what is inside the AEADs cannot be changed by one who has no key */
	BUG_ON(!err && event.type == WG_EV_COOKIE &&
	       memcmp((const uint8_t *)msg + 8, (const uint8_t *)&cookie + 8, sizeof(cookie) - 8) !=
		       0);
	wg_peer_actions_wipe(&actions);
}

static void mutate_and_deliver(const void *valid, size_t len, const uint8_t *data, size_t size)
{
	uint8_t msg[sizeof(struct wg_msg_initiation)];
	bool is_genuine;

	memcpy(msg, valid, len);
	for (size_t i = 0; i + 1 < size; i += 2) {
		size_t at = 4 + data[i] % (len - 4);

		msg[at] ^= data[i + 1];
	}
	is_genuine = memcmp(msg, valid, len) == 0;
	deliver(msg, is_genuine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t lens[] = {0, sizeof(initiation), sizeof(response), sizeof(cookie)};
	static bool is_ready;

	if (!is_ready)
		setup();
	is_ready = true;
	if (size < 2)
		return 0;
	switch (data[0] % OP_COUNT) {
	case OP_RAW:
		/* lengths are checked at the door, by wg_msg_classify() */
		if (data[1] >= WG_MSG_INITIATION && data[1] <= WG_MSG_COOKIE &&
		    size - 1 == lens[data[1]])
			deliver(data + 1, false);
		break;
	case OP_INITIATION:
		mutate_and_deliver(&initiation, sizeof(initiation), data + 1, size - 1);
		break;
	case OP_RESPONSE:
		mutate_and_deliver(&response, sizeof(response), data + 1, size - 1);
		break;
	case OP_COOKIE:
		mutate_and_deliver(&cookie, sizeof(cookie), data + 1, size - 1);
		break;
	}
	return 0;
}
