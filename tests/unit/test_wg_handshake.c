/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that recorded handshakes come out byte for byte, and that a wrong byte anywhere is refused
 * without a trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>

#include "controlplane/noise/blake2s.h"
#include "controlplane/noise/wg_cookie.h"
#include "controlplane/noise/wg_handshake.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

static json_t *vectors;

static void get_hex(const json_t *object, const char *name, void *out, size_t len)
{
	const char *hex = json_string_value(json_object_get(object, name));
	size_t n;

	assert_non_null(hex);
	assert_int_equal(sodium_hex2bin(out, len, hex, strlen(hex), NULL, &n, NULL), 0);
	assert_int_equal(n, len);
}

static uint32_t get_u32(const json_t *object, const char *name)
{
	return (uint32_t)json_integer_value(json_object_get(object, name));
}

static void assert_hex(const json_t *object, const char *name, const void *have, size_t len)
{
	uint8_t want[256];

	assert_true(len <= sizeof(want));
	get_hex(object, name, want, len);
	assert_memory_equal(have, want, len);
}

/* Both ends of one recorded handshake, and what was sent. */
struct pair {
	struct wg_identity i, r;
	struct wg_remote i_remote, r_remote;
	uint8_t i_ephemeral[32], r_ephemeral[32];
	uint8_t timestamp[WG_TIMESTAMP_BYTES];
	uint32_t i_index, r_index;
	struct wg_msg_initiation initiation;
	struct wg_msg_response response;
};

static void pair_load(struct pair *p, const json_t *v)
{
	uint8_t key[32];
	uint8_t psk[32];

	get_hex(v, "preshared_key", psk, 32);
	get_hex(v, "initiator_static_private", key, 32);
	assert_int_equal(wg_identity_init(&p->i, key), 0);
	get_hex(v, "responder_static_private", key, 32);
	assert_int_equal(wg_identity_init(&p->r, key), 0);
	assert_int_equal(wg_remote_init(&p->i_remote, &p->i, p->r.public_key, psk), 0);
	assert_int_equal(wg_remote_init(&p->r_remote, &p->r, p->i.public_key, psk), 0);
	get_hex(v, "initiator_ephemeral_private", p->i_ephemeral, 32);
	get_hex(v, "responder_ephemeral_private", p->r_ephemeral, 32);
	get_hex(v, "timestamp_tai64n", p->timestamp, WG_TIMESTAMP_BYTES);
	get_hex(v, "initiation", &p->initiation, sizeof(p->initiation));
	get_hex(v, "response", &p->response, sizeof(p->response));
	p->i_index = get_u32(v, "initiator_index");
	p->r_index = get_u32(v, "responder_index");
}

static void check_identities(const struct pair *p, const json_t *v)
{
	assert_hex(v, "initiator_static_public", p->i.public_key, 32);
	assert_hex(v, "responder_static_public", p->r.public_key, 32);
	/* the recording names these keys by who uses them, we by whose public key is in them */
	assert_hex(v, "initiator_mac1_key", p->i_remote.mac1_key, 32);
	assert_hex(v, "initiator_mac1_key", p->r.mac1_key, 32);
	assert_hex(v, "responder_mac1_key", p->r_remote.mac1_key, 32);
	assert_hex(v, "responder_mac1_key", p->i.mac1_key, 32);
	assert_hex(v, "initiator_cookie_key", p->i_remote.cookie_key, 32);
	assert_hex(v, "initiator_cookie_key", p->r.cookie_key, 32);
	assert_hex(v, "responder_cookie_key", p->r_remote.cookie_key, 32);
	assert_hex(v, "responder_cookie_key", p->i.cookie_key, 32);
	assert_hex(v, "static_static_shared", p->i_remote.static_shared, 32);
	assert_hex(v, "static_static_shared", p->r_remote.static_shared, 32);
}

static void check_transport(const json_t *v, const struct wg_keypair_keys *i,
			    const struct wg_keypair_keys *r)
{
	const json_t *t;
	size_t n;

	json_array_foreach(json_object_get(v, "transport"), n, t)
	{
		bool forth = strcmp(json_string_value(json_object_get(t, "direction")),
				    "initiator to responder") == 0;
		const char *hex = json_string_value(json_object_get(t, "wire"));
		uint8_t wire[2048], plain[2048], nonce[12] = {0};
		size_t len;

		assert_int_equal(
			sodium_hex2bin(wire, sizeof(wire), hex, strlen(hex), NULL, &len, NULL), 0);
		memcpy(nonce + 4, wire + 8, 8);
		assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
					 plain, NULL, NULL, wire + 16, len - 16, NULL, 0, nonce,
					 forth ? r->recv : i->recv),
				 0);
		assert_memory_equal(forth ? i->send : r->send, forth ? r->recv : i->recv, 32);
	}
}

static void replay_one(const json_t *v)
{
	struct pair p;
	struct wg_handshake hi, hr;
	struct wg_initiation_in in;
	struct wg_msg_initiation initiation;
	struct wg_msg_response response;
	struct wg_keypair_keys ki, kr;
	struct wg_cookie_jar jar_i = {0}, jar_r = {0};

	pair_load(&p, v);
	check_identities(&p, v);
	assert_int_equal(wg_initiation_create(&hi, &p.i, &p.i_remote, p.i_ephemeral, p.timestamp,
					      p.i_index, &initiation),
			 0);
	assert_hex(v, "chain_key_after_initiation", hi.chain, 32);
	assert_hex(v, "hash_after_initiation", hi.hash, 32);
	wg_cookie_macs(&jar_i, &p.i_remote, &initiation, sizeof(initiation), 1);
	assert_memory_equal(&initiation, &p.initiation, sizeof(initiation));

	assert_true(wg_cookie_mac1_verify(&p.r, &p.initiation, sizeof(p.initiation)));
	assert_int_equal(wg_initiation_open(&in, &p.r, &p.initiation), 0);
	assert_memory_equal(in.remote_static, p.i.public_key, 32);
	assert_int_equal(wg_initiation_finish(&hr, &p.r_remote, &in), 0);
	assert_memory_equal(p.r_remote.last_accepted, p.timestamp, WG_TIMESTAMP_BYTES);
	assert_int_equal(wg_response_create(&hr, &p.r_remote, p.r_ephemeral, p.r_index, &response),
			 0);
	wg_cookie_macs(&jar_r, &p.r_remote, &response, sizeof(response), 1);
	assert_memory_equal(&response, &p.response, sizeof(response));

	assert_true(wg_cookie_mac1_verify(&p.i, &p.response, sizeof(p.response)));
	assert_int_equal(wg_response_consume(&hi, &p.i, &p.i_remote, &p.response), 0);
	assert_int_equal(hi.remote_index, p.r_index);
	assert_int_equal(hr.remote_index, p.i_index);
	assert_memory_equal(hi.chain, hr.chain, 32);
	assert_hex(v, "chain_key_final", hi.chain, 32);
	assert_hex(v, "hash_final", hi.hash, 32);
	assert_hex(v, "hash_final", hr.hash, 32);

	wg_handshake_keys(&hi, true, &ki);
	wg_handshake_keys(&hr, false, &kr);
	assert_true(sodium_is_zero((uint8_t *)&hi, sizeof(hi)));
	assert_hex(v, "key_initiator_to_responder", ki.send, 32);
	assert_hex(v, "key_responder_to_initiator", ki.recv, 32);
	check_transport(v, &ki, &kr);
}

static void recorded_handshakes(void **state)
{
	const json_t *v;
	size_t n;

	json_array_foreach(json_object_get(vectors, "handshakes"), n, v)
	{
		replay_one(v);
	}
	assert_int_equal(n, 3);
}

static void kdf(void **state)
{
	const json_t *v;
	size_t n;

	json_array_foreach(json_object_get(vectors, "kdf"), n, v)
	{
		const char *hex = json_string_value(json_object_get(v, "input"));
		uint8_t chain[32], input[64], t1[32], t2[32], t3[32];
		size_t len;

		get_hex(v, "chain_key", chain, 32);
		assert_int_equal(
			sodium_hex2bin(input, sizeof(input), hex, strlen(hex), NULL, &len, NULL),
			0);
		blake2s_kdf(t1, t2, t3, chain, input, len);
		assert_hex(v, "t1", t1, 32);
		assert_hex(v, "t2", t2, 32);
		if (json_object_get(v, "t3"))
			assert_hex(v, "t3", t3, 32);
		blake2s_kdf(t1, NULL, NULL, chain, input, len);
		assert_hex(v, "t1", t1, 32);
	}
	assert_true(n >= 2);
}

static void load_psk_pair(struct pair *p)
{
	pair_load(p, json_array_get(json_object_get(vectors, "handshakes"), 1));
}

/* What a responder says to an initiation, mac1 set aside; the remote must stay as it was. */
static int respond(struct pair *p, const struct wg_msg_initiation *msg, struct wg_handshake *hr)
{
	struct wg_initiation_in in;
	int err = wg_initiation_open(&in, &p->r, msg);

	if (err)
		return err;
	if (memcmp(in.remote_static, p->r_remote.public_key, 32) != 0)
		return -ENOENT;
	return wg_initiation_finish(hr, &p->r_remote, &in);
}

static void flipped_bits_of_an_initiation(void **state)
{
	struct pair p;
	struct wg_remote before;
	struct wg_handshake hr, hr_before;
	uint8_t *bytes = (uint8_t *)&p.initiation;

	load_psk_pair(&p);
	before = p.r_remote;
	memset(&hr, 0xa5, sizeof(hr));
	hr_before = hr;
	for (size_t bit = 0; bit < 8 * sizeof(p.initiation); bit++) {
		size_t at = bit / 8;
		bool is_mac = at >= offsetof(struct wg_msg_initiation, mac1);
		bool is_crypto = at >= offsetof(struct wg_msg_initiation, ephemeral) && !is_mac;

		bytes[at] ^= (uint8_t)(1 << bit % 8);
		/* mac1 covers all before it, and is itself; mac2 is checked under load only */
		if (at < offsetof(struct wg_msg_initiation, mac2))
			assert_false(
				wg_cookie_mac1_verify(&p.r, &p.initiation, sizeof(p.initiation)));
		/* the top bit of a point is ignored by X25519, but is part of the hash */
		if (is_crypto)
			assert_int_equal(respond(&p, &p.initiation, &hr), -EBADMSG);
		bytes[at] ^= (uint8_t)(1 << bit % 8);
		assert_memory_equal(&p.r_remote, &before, sizeof(before));
		assert_memory_equal(&hr, &hr_before, sizeof(hr));
	}
	assert_int_equal(respond(&p, &p.initiation, &hr), 0); /* undamaged it passes */
}

static void flipped_bits_of_a_response(void **state)
{
	struct pair p;
	struct wg_handshake hi, before;
	struct wg_msg_initiation msg;
	uint8_t *bytes = (uint8_t *)&p.response;

	load_psk_pair(&p);
	assert_int_equal(wg_initiation_create(&hi, &p.i, &p.i_remote, p.i_ephemeral, p.timestamp,
					      p.i_index, &msg),
			 0);
	before = hi;
	for (size_t bit = 0; bit < 8 * sizeof(p.response); bit++) {
		size_t at = bit / 8;

		bytes[at] ^= (uint8_t)(1 << bit % 8);
		if (at < offsetof(struct wg_msg_response, mac2))
			assert_false(wg_cookie_mac1_verify(&p.i, &p.response, sizeof(p.response)));
		if (at >= offsetof(struct wg_msg_response, ephemeral) &&
		    at < offsetof(struct wg_msg_response, mac1))
			assert_int_equal(wg_response_consume(&hi, &p.i, &p.i_remote, &p.response),
					 -EBADMSG);
		bytes[at] ^= (uint8_t)(1 << bit % 8);
		assert_memory_equal(&hi, &before, sizeof(hi));
	}
	assert_int_equal(wg_response_consume(&hi, &p.i, &p.i_remote, &p.response), 0);
}

static void wrong_keys(void **state)
{
	uint8_t other_private[32] = {1, 2, 3};
	uint8_t other_psk[32] = {9};
	struct pair p;
	struct wg_identity other;
	struct wg_initiation_in in;
	struct wg_handshake hi, hr;
	struct wg_msg_initiation initiation;
	struct wg_msg_response response;

	load_psk_pair(&p);
	assert_int_equal(wg_identity_init(&other, other_private), 0);
	/* not for us */
	assert_false(wg_cookie_mac1_verify(&other, &p.initiation, sizeof(p.initiation)));
	assert_int_equal(wg_initiation_open(&in, &other, &p.initiation), -EBADMSG);
	/* the peer's key is claimed without having it: DH(static, static) differs */
	struct wg_remote liar = p.r_remote;
	liar.static_shared[0] ^= 1;
	assert_int_equal(wg_initiation_open(&in, &p.r, &p.initiation), 0);
	assert_int_equal(wg_initiation_finish(&hr, &liar, &in), -EBADMSG);
	/* another preshared key: the initiation passes, the response does not */
	assert_int_equal(wg_initiation_create(&hi, &p.i, &p.i_remote, p.i_ephemeral, p.timestamp,
					      p.i_index, &initiation),
			 0);
	assert_int_equal(wg_initiation_finish(&hr, &p.r_remote, &in), 0);
	memcpy(p.r_remote.preshared_key, other_psk, 32);
	assert_int_equal(wg_response_create(&hr, &p.r_remote, p.r_ephemeral, p.r_index, &response),
			 0);
	assert_int_equal(wg_response_consume(&hi, &p.i, &p.i_remote, &response), -EBADMSG);
}

static void replayed_timestamps(void **state)
{
	struct pair p;
	struct wg_handshake hr;

	load_psk_pair(&p);
	assert_int_equal(respond(&p, &p.initiation, &hr), 0);
	assert_int_equal(respond(&p, &p.initiation, &hr), -ESTALE);
	memcpy(p.r_remote.last_accepted, p.timestamp, WG_TIMESTAMP_BYTES);
	p.r_remote.last_accepted[11]++;
	assert_int_equal(respond(&p, &p.initiation, &hr), -ESTALE);
	p.r_remote.last_accepted[7]--;
	assert_int_equal(respond(&p, &p.initiation, &hr), 0);
}

static void low_order_points(void **state)
{
	uint8_t zero[32] = {0};
	uint8_t one[32] = {1};
	struct pair p;
	struct wg_remote remote;
	struct wg_initiation_in in;
	struct wg_handshake hi;
	struct wg_msg_initiation msg;

	load_psk_pair(&p);
	assert_int_equal(wg_remote_init(&remote, &p.i, zero, NULL), -EKEYREJECTED);
	assert_int_equal(wg_remote_init(&remote, &p.i, one, NULL), -EKEYREJECTED);
	memcpy(p.initiation.ephemeral, one, 32);
	assert_int_equal(wg_initiation_open(&in, &p.r, &p.initiation), -EKEYREJECTED);
	assert_int_equal(wg_initiation_create(&hi, &p.i, &p.i_remote, p.i_ephemeral, p.timestamp,
					      p.i_index, &msg),
			 0);
	memcpy(p.response.ephemeral, zero, 32);
	assert_int_equal(wg_response_consume(&hi, &p.i, &p.i_remote, &p.response), -EKEYREJECTED);
}

static void timestamps_rise(void **state)
{
	uint8_t last[WG_TIMESTAMP_BYTES] = {0};
	uint8_t before[WG_TIMESTAMP_BYTES];
	const uint64_t wall = 1700000000 * NS_PER_SEC + 999999999;
	static const uint8_t want[] = {0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a, 0x3b, 0, 0, 0};

	wg_tai64n_next(last, wall);
	assert_memory_equal(last, want, sizeof(want));
	/* a clock that stands, and one that goes back */
	for (int i = 0; i < 1000; i++) {
		memcpy(before, last, sizeof(last));
		wg_tai64n_next(last, i < 500 ? wall : wall - (uint64_t)i * NS_PER_SEC);
		assert_true(memcmp(last, before, sizeof(last)) > 0);
		assert_int_equal(last[9] | last[10] | last[11], 0);
		assert_true(last[8] <= 0x3b);
	}
	wg_tai64n_next(last, wall + 3600 * NS_PER_SEC);
	assert_int_equal(last[7], 0x1a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_handshakes),
		cmocka_unit_test(kdf),
		cmocka_unit_test(flipped_bits_of_an_initiation),
		cmocka_unit_test(flipped_bits_of_a_response),
		cmocka_unit_test(wrong_keys),
		cmocka_unit_test(replayed_timestamps),
		cmocka_unit_test(low_order_points),
		cmocka_unit_test(timestamps_rise),
	};
	int failed;

	vectors = argc == 2 ? json_load_file(argv[1], 0, NULL) : NULL;
	if (!vectors || sodium_init() < 0) {
		fprintf(stderr, "usage: test_wg_handshake VECTORS.json\n");
		return 2;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(vectors);
	return failed;
}
