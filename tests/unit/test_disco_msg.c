/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that disco messages are encoded and decoded as the recorded ones, all nine
 * types and the edge cases of the reference's parser, byte for byte.
 * Usage: test_disco_msg disco.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "lib/wire/disco.h"
#include "tests/unit/vector_json.h"

static json_t *vectors;

static const struct {
	const char *name;
	uint8_t type;
} types[] = {
	{"ping", DISCO_PING},
	{"pong", DISCO_PONG},
	{"call_me_maybe", DISCO_CALL_ME_MAYBE},
	{"bind_udp_relay_endpoint", DISCO_BIND},
	{"bind_udp_relay_endpoint_challenge", DISCO_BIND_CHALLENGE},
	{"bind_udp_relay_endpoint_answer", DISCO_BIND_ANSWER},
	{"call_me_maybe_via", DISCO_CALL_ME_MAYBE_VIA},
	{"allocate_udp_relay_endpoint_request", DISCO_ALLOCATE_REQUEST},
	{"allocate_udp_relay_endpoint_response", DISCO_ALLOCATE_RESPONSE},
};

#define LIST_MAX 16

static struct endpoint list[LIST_MAX];

static struct disco_addrs addrs_of(const json_t *texts)
{
	struct disco_addrs a = {.endpoints = list, .count = json_array_size(texts)};

	assert_true(a.count <= LIST_MAX);
	for (size_t i = 0; i < a.count; i++)
		list[i] = vector_endpoint(json_string_value(json_array_get(texts, i)));
	return a;
}

static void key_of(const json_t *pair, size_t i, uint8_t out[DISCO_KEY_BYTES])
{
	json_t *wrap = json_object();

	json_object_set(wrap, "key", json_array_get(pair, i));
	vector_fixed(wrap, "key", out, DISCO_KEY_BYTES);
	json_decref(wrap);
}

static uint64_t number(const json_t *f, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(f, key));
}

static void relay_of(const json_t *f, struct disco_relay *r)
{
	vector_fixed(f, "server_disco", r->server, sizeof(r->server));
	key_of(json_object_get(f, "client_disco"), 0, r->client[0]);
	key_of(json_object_get(f, "client_disco"), 1, r->client[1]);
	r->lamport_id = strtoull(vector_text(f, "lamport_id"), NULL, 10);
	r->vni = (uint32_t)number(f, "vni");
	r->bind_lifetime_ns = (int64_t)number(f, "bind_lifetime_ns");
	r->steady_lifetime_ns = (int64_t)number(f, "steady_state_lifetime_ns");
	r->addrs = addrs_of(json_object_get(f, "addr_ports"));
}

/* What the vector says in words, as a message. */
static struct disco_msg message_of(const json_t *f)
{
	struct disco_msg m = {0};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, vector_text(f, "type")))
			m.type = types[i].type;
	switch ((enum disco_type)m.type) {
	case DISCO_PING:
		vector_fixed(f, "tx_id", m.ping.tx_id, sizeof(m.ping.tx_id));
		m.ping.has_node_key =
			vector_fixed(f, "node_key", m.ping.node_key, sizeof(m.ping.node_key));
		m.ping.padding = number(f, "padding");
		break;
	case DISCO_PONG:
		vector_fixed(f, "tx_id", m.pong.tx_id, sizeof(m.pong.tx_id));
		m.pong.src = vector_endpoint(vector_text(f, "src"));
		break;
	case DISCO_CALL_ME_MAYBE:
		m.call = addrs_of(json_object_get(f, "my_number"));
		break;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		m.bind.vni = (uint32_t)number(f, "vni");
		m.bind.generation = (uint32_t)number(f, "generation");
		vector_fixed(f, "remote_key", m.bind.remote, sizeof(m.bind.remote));
		vector_fixed(f, "challenge", m.bind.challenge, sizeof(m.bind.challenge));
		break;
	case DISCO_CALL_ME_MAYBE_VIA:
		relay_of(f, &m.via);
		break;
	case DISCO_ALLOCATE_REQUEST:
		key_of(json_object_get(f, "client_disco"), 0, m.request.client[0]);
		key_of(json_object_get(f, "client_disco"), 1, m.request.client[1]);
		m.request.generation = (uint32_t)number(f, "generation");
		break;
	case DISCO_ALLOCATE_RESPONSE:
		m.response.generation = (uint32_t)number(f, "generation");
		relay_of(f, &m.response.relay);
		break;
	default:
		fail_msg("type %s", vector_text(f, "type"));
	}
	return m;
}

static void assert_same_addrs(const struct disco_addrs *a, const struct disco_addrs *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		struct endpoint x = disco_addr_at(a, i), y = disco_addr_at(b, i);

		assert_true(endpoint_equal(&x, &y));
	}
}

static void assert_same_relay(const struct disco_relay *a, const struct disco_relay *b)
{
	assert_memory_equal(a->server, b->server, sizeof(a->server));
	assert_memory_equal(a->client, b->client, sizeof(a->client));
	assert_int_equal(a->lamport_id, b->lamport_id);
	assert_int_equal(a->vni, b->vni);
	assert_int_equal(a->bind_lifetime_ns, b->bind_lifetime_ns);
	assert_int_equal(a->steady_lifetime_ns, b->steady_lifetime_ns);
	assert_same_addrs(&a->addrs, &b->addrs);
}

static void assert_same(const struct disco_msg *a, const struct disco_msg *b)
{
	assert_int_equal(a->type, b->type);
	switch ((enum disco_type)a->type) {
	case DISCO_PING:
		assert_memory_equal(&a->ping, &b->ping, sizeof(a->ping));
		break;
	case DISCO_PONG:
		assert_memory_equal(a->pong.tx_id, b->pong.tx_id, sizeof(a->pong.tx_id));
		assert_true(endpoint_equal(&a->pong.src, &b->pong.src));
		break;
	case DISCO_CALL_ME_MAYBE:
		assert_same_addrs(&a->call, &b->call);
		break;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		assert_memory_equal(&a->bind, &b->bind, sizeof(a->bind));
		break;
	case DISCO_CALL_ME_MAYBE_VIA:
		assert_same_relay(&a->via, &b->via);
		break;
	case DISCO_ALLOCATE_REQUEST:
		assert_memory_equal(&a->request, &b->request, sizeof(a->request));
		break;
	case DISCO_ALLOCATE_RESPONSE:
		assert_int_equal(a->response.generation, b->response.generation);
		assert_same_relay(&a->response.relay, &b->response.relay);
		break;
	}
}

static void messages_are_as_recorded(void **state)
{
	json_t *v;
	size_t i;

	assert_true(json_array_size(json_object_get(vectors, "messages")) >= 16);
	json_array_foreach(json_object_get(vectors, "messages"), i, v)
	{
		struct disco_msg m = message_of(json_object_get(v, "fields")), got;
		uint8_t out[2048], *plain;
		size_t len;

		plain = vector_bytes(v, "plaintext", &len);
		assert_int_equal(disco_plain_bytes(&m), len);
		assert_int_equal(disco_encode(out, &m), len);
		assert_memory_equal(out, plain, len);
		assert_int_equal(disco_decode(plain, len, &got), 0);
		assert_same(&m, &got);
		free(plain);
	}
}

static void envelopes_are_as_recorded(void **state)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(vectors, "messages"), i, v)
	{
		size_t len, plain_len;
		uint8_t *packet = vector_bytes(v, "packet", &len), nonce[DISCO_NONCE_BYTES];
		const struct disco_envelope *e = (const struct disco_envelope *)packet;

		free(vector_bytes(v, "plaintext", &plain_len));
		vector_fixed(v, "nonce", nonce, sizeof(nonce));
		assert_true(disco_looks_like(packet, len));
		assert_false(disco_looks_like(packet, DISCO_LOOKS_BYTES - 1));
		assert_int_equal(len, DISCO_ENVELOPE_BYTES + DISCO_TAG_BYTES + plain_len);
		assert_memory_equal(e->nonce, nonce, sizeof(nonce));
		packet[0] ^= 1;
		assert_false(disco_looks_like(packet, len));
		free(packet);
	}
}

static void edge_cases_are_as_recorded(void **state)
{
	json_t *v;
	size_t i;

	assert_true(json_array_size(json_object_get(vectors, "parse_edge_cases")) >= 20);
	json_array_foreach(json_object_get(vectors, "parse_edge_cases"), i, v)
	{
		const char *error = vector_text(v, "error");
		struct disco_msg got, want;
		size_t len;
		uint8_t *plain = vector_bytes(v, "plaintext", &len);
		int rc = disco_decode(plain, len, &got);

		if (error) {
			assert_int_equal(rc, strstr(error, "unknown") ? -ENOTSUP : -EBADMSG);
		} else {
			assert_int_equal(rc, 0);
			want = message_of(json_object_get(v, "fields"));
			assert_same(&want, &got);
		}
		free(plain);
	}
}

/* No length of any type makes the decoder read behind the plaintext. */
static void every_length_is_safe(void **state)
{
	for (unsigned type = 0; type < 12; type++)
		for (size_t len = 0; len < 300; len++) {
			uint8_t *plain = calloc(1, len ? len : 1);
			struct disco_msg got;

			if (len)
				plain[0] = (uint8_t)type;
			if (!disco_decode(plain, len, &got)) {
				uint8_t out[512];

				assert_int_equal(disco_encode(out, &got), disco_plain_bytes(&got));
			}
			free(plain);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_as_recorded),
		cmocka_unit_test(envelopes_are_as_recorded),
		cmocka_unit_test(edge_cases_are_as_recorded),
		cmocka_unit_test(every_length_is_safe),
	};
	int rc;

	BUG_ON(argc != 2);
	vectors = vector_load(argv[1]);
	rc = cmocka_run_group_tests_name("disco_msg", tests, NULL, NULL);
	json_decref(vectors);
	return rc;
}
