/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the control protocol's handshake and records are those recorded from
 * the reference, byte for byte and in both roles, and that nothing else opens.
 * Usage: test_noise_ik noise.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "controlplane/noise/noise_ik.h"
#include "tests/unit/vector_json.h"

static json_t *vectors;

/* Gives the recorded ephemeral key. */
static void fill(void *ctx, void *buf, size_t len)
{
	assert_int_equal(len, NOISE_KEY_BYTES);
	memcpy(buf, ctx, len);
}

struct pair {
	struct noise_ik_stream client, server;
	uint8_t initiation[NOISE_IK_INITIATION_BYTES], response[NOISE_IK_RESPONSE_BYTES];
	uint8_t server_private[32], server_public[32], machine_private[32], machine_public[32];
	uint8_t client_ephemeral[32], server_ephemeral[32];
	uint16_t version;
};

static struct wg_random from(uint8_t *key)
{
	return (struct wg_random){.ctx = key, .fill = fill};
}

static void load(const json_t *h, struct pair *p)
{
	vector_fixed(h, "server_static_private", p->server_private, 32);
	vector_fixed(h, "server_static_public", p->server_public, 32);
	vector_fixed(h, "machine_private", p->machine_private, 32);
	vector_fixed(h, "machine_public", p->machine_public, 32);
	vector_fixed(h, "client_ephemeral_private", p->client_ephemeral, 32);
	vector_fixed(h, "server_ephemeral_private", p->server_ephemeral, 32);
	p->version = (uint16_t)json_integer_value(json_object_get(h, "protocol_version"));
}

static int respond(struct pair *p, const uint8_t *initiation, size_t len, const char **error)
{
	struct wg_random random = from(p->server_ephemeral);
	uint8_t machine[32] = {0};
	uint16_t version = 0;
	int rc = noise_ik_respond(p->server_private, initiation, len, &random, &version, machine,
				  p->response, &p->server, error);

	if (!rc) {
		assert_int_equal(version, p->version);
		assert_memory_equal(machine, p->machine_public, 32);
	}
	return rc;
}

static void shake(struct pair *p)
{
	struct wg_random random = from(p->client_ephemeral);
	struct noise_ik_client c;
	const char *error;

	assert_int_equal(noise_ik_initiate(&c, p->version, p->machine_private, p->server_public,
					   &random, p->initiation),
			 0);
	assert_int_equal(respond(p, p->initiation, sizeof(p->initiation), &error), 0);
	assert_int_equal(noise_ik_finish(&c, p->response, &p->client), 0);
}

static void same_bytes(const json_t *h, const char *key, const uint8_t *got, size_t n)
{
	size_t len;
	uint8_t *want = vector_bytes(h, key, &len);

	assert_int_equal(len, n);
	assert_memory_equal(want, got, n);
	free(want);
}

static void write_and_read(const json_t *w, struct pair *p)
{
	bool up = strcmp(vector_text(w, "dir"), "c2s") == 0;
	struct noise_ik_cipher *tx = up ? &p->client.tx : &p->server.tx;
	struct noise_ik_cipher *rx = up ? &p->server.rx : &p->client.rx;
	size_t plain_len, wire_len, at = 0, done = 0;
	uint8_t *plain = vector_bytes(w, "plaintext", &plain_len);
	uint8_t *wire = vector_bytes(w, "wire", &wire_len), record[NOISE_IK_RECORD_MAX];

	while (done < plain_len) {
		size_t n = plain_len - done < NOISE_IK_PLAIN_MAX ? plain_len - done
								 : NOISE_IK_PLAIN_MAX;
		int sealed = noise_ik_seal(tx, plain + done, n, record);
		uint8_t *opened;
		size_t opened_len;

		assert_true(sealed > 0 && at + (size_t)sealed <= wire_len);
		assert_memory_equal(record, wire + at, (size_t)sealed);
		/* A part of a record is no record yet. */
		for (size_t cut = 0; cut < (size_t)sealed; cut++)
			assert_int_equal(noise_ik_open(rx, record, cut, &opened, &opened_len), 0);
		assert_int_equal(noise_ik_open(rx, record, (size_t)sealed, &opened, &opened_len),
				 sealed);
		assert_int_equal(opened_len, n);
		assert_memory_equal(opened, plain + done, n);
		at += (size_t)sealed;
		done += n;
	}
	assert_int_equal(at, wire_len);
	free(plain);
	free(wire);
}

static void recorded_handshakes(void **state)
{
	const json_t *h, *w;
	size_t i, k;

	json_array_foreach(json_object_get(vectors, "handshakes"), i, h)
	{
		struct pair p;

		load(h, &p);
		shake(&p);
		same_bytes(h, "initiation", p.initiation, sizeof(p.initiation));
		same_bytes(h, "response", p.response, sizeof(p.response));
		same_bytes(h, "handshake_hash", p.client.hash, 32);
		same_bytes(h, "handshake_hash", p.server.hash, 32);
		same_bytes(h, "key_client_to_server", p.client.tx.key, 32);
		same_bytes(h, "key_client_to_server", p.server.rx.key, 32);
		same_bytes(h, "key_server_to_client", p.client.rx.key, 32);
		json_array_foreach(json_object_get(h, "writes"), k, w) write_and_read(w, &p);
		assert_true(k > 0);
	}
	assert_int_equal(i, 2);
}

static void every_bit_of_the_handshake_counts(void **state)
{
	struct pair p;
	struct noise_ik_client c;
	struct wg_random random = from(p.client_ephemeral);
	struct noise_ik_stream stream;
	const char *error;

	load(json_array_get(json_object_get(vectors, "handshakes"), 0), &p);
	shake(&p);
	for (unsigned bit = 0; bit < 8 * NOISE_IK_INITIATION_BYTES; bit++) {
		uint8_t bad[NOISE_IK_INITIATION_BYTES];
		int rc;

		memcpy(bad, p.initiation, sizeof(bad));
		bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		rc = respond(&p, bad, sizeof(bad), &error);
		assert_int_equal(rc, bit / 8 >= 2 && bit / 8 < 5 ? -EPROTO : -EBADMSG);
		assert_true((rc == -EPROTO) == (error != NULL));
	}
	assert_int_equal(respond(&p, p.initiation, sizeof(p.initiation), &error), 0);
	for (unsigned bit = 0; bit < 8 * NOISE_IK_RESPONSE_BYTES; bit++) {
		uint8_t bad[NOISE_IK_RESPONSE_BYTES];

		memcpy(bad, p.response, sizeof(bad));
		bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_equal(noise_ik_initiate(&c, p.version, p.machine_private,
						   p.server_public, &random, p.initiation),
				 0);
		/* X25519 ignores the highest bit of a key, the transcript does not. */
		assert_int_equal(noise_ik_finish(&c, bad, &stream), -EBADMSG);
	}
}

static void recorded_errors(void **state)
{
	uint8_t message[NOISE_IK_ERROR_MAX];
	const char *error;
	const json_t *e;
	struct pair p;
	size_t i, found = 0;

	load(json_array_get(json_object_get(vectors, "handshakes"), 0), &p);
	shake(&p);
	assert_int_equal(respond(&p, p.initiation, NOISE_IK_INITIATION_BYTES - 1, &error), -EPROTO);
	json_array_foreach(json_object_get(vectors, "errors"), i, e)
	{
		if (strcmp(vector_text(e, "name"), "initiation of 100 bytes") != 0)
			continue;
		same_bytes(e, "server_answer", message, noise_ik_error(error, message));
		found++;
	}
	assert_int_equal(found, 1);
}

static void another_key_opens_nothing(void **state)
{
	struct pair p;
	const char *error;

	load(json_array_get(json_object_get(vectors, "handshakes"), 0), &p);
	shake(&p);
	p.server_private[5] ^= 1;
	assert_int_equal(respond(&p, p.initiation, sizeof(p.initiation), &error), -EBADMSG);
	memset(p.server_public, 0, 32);
	{
		struct wg_random random = from(p.client_ephemeral);
		struct noise_ik_client c;

		assert_int_equal(noise_ik_initiate(&c, 142, p.machine_private, p.server_public,
						   &random, p.initiation),
				 -EKEYREJECTED);
	}
}

static void records_in_order_or_not_at_all(void **state)
{
	uint8_t a[64], b[64], *plain;
	uint8_t wide[] = {4, 0x0f, 0xfe}, other[] = {2}, tiny[] = {4, 0, 15};
	struct pair p;
	size_t n;
	int len;

	load(json_array_get(json_object_get(vectors, "handshakes"), 0), &p);
	shake(&p);
	len = noise_ik_seal(&p.client.tx, "one", 3, a);
	noise_ik_seal(&p.client.tx, "two", 3, b);
	assert_int_equal(noise_ik_open(&p.server.rx, b, (size_t)len, &plain, &n), -EBADMSG);
	/* After that even the right one does not open. */
	assert_int_equal(noise_ik_open(&p.server.rx, a, (size_t)len, &plain, &n), -EBADMSG);
	shake(&p);
	len = noise_ik_seal(&p.client.tx, NULL, 0, a);
	assert_int_equal(noise_ik_open(&p.server.rx, a, (size_t)len, &plain, &n), len);
	assert_int_equal(n, 0);
	/* The same record again. */
	noise_ik_seal(&p.client.tx, "x", 1, a);
	memcpy(b, a, sizeof(b));
	assert_true(noise_ik_open(&p.server.rx, a, 20, &plain, &n) > 0);
	assert_int_equal(noise_ik_open(&p.server.rx, b, 20, &plain, &n), -EBADMSG);
	shake(&p);
	assert_int_equal(noise_ik_open(&p.server.rx, wide, sizeof(wide), &plain, &n), -EPROTO);
	shake(&p);
	assert_int_equal(noise_ik_open(&p.server.rx, other, sizeof(other), &plain, &n), -EPROTO);
	shake(&p);
	assert_int_equal(noise_ik_open(&p.server.rx, tiny, sizeof(tiny), &plain, &n), -EPROTO);
	shake(&p);
	p.client.tx.counter = UINT64_MAX - 1;
	assert_int_equal(noise_ik_seal(&p.client.tx, "x", 1, a), -EOVERFLOW);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_handshakes),
		cmocka_unit_test(every_bit_of_the_handshake_counts),
		cmocka_unit_test(recorded_errors),
		cmocka_unit_test(another_key_opens_nothing),
		cmocka_unit_test(records_in_order_or_not_at_all),
	};

	if (argc != 2)
		return 2;
	vectors = vector_load(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
