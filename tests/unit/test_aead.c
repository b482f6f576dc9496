/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that every AEAD engine, ipsec-mb under each instruction set that the CPU
 * has, computes what RFC 8439, recorded WireGuard messages and libsodium say;
 * touches no byte outside its buffers; and gives out nothing of a forged message.
 * Usage: test_aead rfc8439.json wireguard.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/crypto/aead_mb_set.h"
#include "lib/base/bug.h"
#include "lib/wire/wg.h"

#define LEN_MAX	    9000
#define BYTES_MAX   (LEN_MAX + AEAD_TAG_BYTES)
#define NONCE_BYTES 12

static const char *rfc_path, *wireguard_path;

/* What is tested: an engine with the way to make a context of it. */
struct subject {
	const char *name;
	const struct aead_engine *engine;
	void (*init)(IMB_MGR *mgr); /* ipsec-mb held to one instruction set, or NULL; mixed: AVX2 */
	uint64_t cpu_flags;	    /* that it needs */
};

static const struct subject subjects[] = {
	{"sodium", &aead_sodium, NULL, 0},
	{"ipsecmb", &aead_ipsecmb, NULL, IMB_CPUFLAGS_NO_AESNI},
	{"ipsecmb sse", &aead_ipsecmb, init_mb_mgr_sse, IMB_CPUFLAGS_SSE},
	{"ipsecmb avx", &aead_ipsecmb, init_mb_mgr_avx, IMB_CPUFLAGS_AVX},
	{"ipsecmb avx2", &aead_ipsecmb, init_mb_mgr_avx2, IMB_CPUFLAGS_AVX2},
	{"ipsecmb avx512", &aead_ipsecmb, init_mb_mgr_avx512, IMB_CPUFLAGS_AVX512},
	{"ref", &aead_ref, NULL, 0},
	{"mb-avx2", &aead_mb_avx2.engine, NULL, 0},
	{"mb-avx512", &aead_mb_avx512.engine, NULL, 0},
	{"mixed", &aead_mixed, NULL, 0},
	{"mixed avx2", &aead_mixed, init_mb_mgr_avx2, IMB_CPUFLAGS_AVX2},
};

typedef void subject_test(const struct aead_engine *e, void *ctx);

static void for_each_subject(subject_test *test)
{
	uint64_t cpu = imb_get_feature_flags();
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct subject *s = &subjects[i];
		void *ctx;

		if ((cpu & s->cpu_flags) != s->cpu_flags || !s->engine->is_supported())
			continue;
		print_message("    %s\n", s->name);
		ctx = s->init ? aead_ipsecmb_ctx_for(s->init) : s->engine->ctx_new();
		if (s->init && s->engine == &aead_mixed)
			ctx = aead_mixed_ctx_for(&aead_mb_avx2, ctx);
		assert_non_null(ctx);
		test(s->engine, ctx);
		s->engine->ctx_free(ctx);
		n++;
	}
	assert_true(n >= 1);
}

/* Deterministic, so that a failure comes again. */
static uint64_t random_state;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static void random_fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)random_u32();
}

static size_t hex_get(json_t *object, const char *name, uint8_t *out, size_t max)
{
	const char *text = json_string_value(json_object_get(object, name));
	size_t len = 0;

	assert_non_null(text);
	assert_int_equal(sodium_hex2bin(out, max, text, strlen(text), NULL, &len, NULL), 0);
	assert_int_equal(len * 2, strlen(text));
	return len;
}

static json_t *load(const char *path)
{
	json_error_t err;
	json_t *root = json_load_file(path, 0, &err);

	if (!root)
		fail_msg("%s:%d: %s", path, err.line, err.text);
	return root;
}

static void nonce_put(uint8_t nonce[NONCE_BYTES], uint64_t counter)
{
	memset(nonce, 0, 4);
	le64_put((wire_le64 *)(nonce + 4), counter);
}

static void oracle_seal(const struct aead_job *j, uint8_t *out)
{
	uint8_t nonce[NONCE_BYTES];

	nonce_put(nonce, j->counter);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, j->src, j->len, NULL, 0, NULL, nonce,
						  j->key);
}

/* libsodium, which the rest is compared with, reproduces the RFC. */
static void oracle_is_rfc8439(void **state)
{
	json_t *root = load(rfc_path), *v;
	uint8_t key[32], nonce[NONCE_BYTES], aad[64], text[512], want[512], tag[16], got[528];
	size_t i, len, aad_len;

	json_array_foreach(json_object_get(root, "chacha20"), i, v)
	{
		uint32_t counter = (uint32_t)json_integer_value(json_object_get(v, "counter"));

		assert_int_equal(hex_get(v, "key", key, sizeof(key)), 32);
		assert_int_equal(hex_get(v, "nonce", nonce, sizeof(nonce)), 12);
		len = hex_get(v, "plaintext", text, sizeof(text));
		assert_int_equal(hex_get(v, "ciphertext", want, sizeof(want)), len);
		crypto_stream_chacha20_ietf_xor_ic(got, text, len, nonce, counter, key);
		assert_memory_equal(got, want, len);
	}
	json_array_foreach(json_object_get(root, "poly1305"), i, v)
	{
		hex_get(v, "key", key, sizeof(key));
		len = hex_get(v, "text", text, sizeof(text));
		hex_get(v, "tag", tag, sizeof(tag));
		crypto_onetimeauth_poly1305(got, text, len, key);
		assert_memory_equal(got, tag, 16);
	}
	json_array_foreach(json_object_get(root, "aead"), i, v)
	{
		hex_get(v, "key", key, sizeof(key));
		hex_get(v, "nonce", nonce, sizeof(nonce));
		aad_len = hex_get(v, "aad", aad, sizeof(aad));
		len = hex_get(v, "plaintext", text, sizeof(text));
		hex_get(v, "ciphertext", want, sizeof(want));
		hex_get(v, "tag", tag, sizeof(tag));
		crypto_aead_chacha20poly1305_ietf_encrypt(got, NULL, text, len, aad, aad_len, NULL,
							  nonce, key);
		assert_memory_equal(got, want, len);
		assert_memory_equal(got + len, tag, 16);
		hex_get(v, "tag_without_aad", tag, sizeof(tag));
		crypto_aead_chacha20poly1305_ietf_encrypt(got, NULL, text, len, NULL, 0, NULL,
							  nonce, key);
		assert_memory_equal(got + len, tag, 16);
	}
	json_decref(root);
}

/* Those AEAD vectors whose nonce is a counter, through the engine. */
static void rfc_aead(const struct aead_engine *e, void *ctx)
{
	json_t *root = load(rfc_path), *v;
	uint8_t key[32], nonce[NONCE_BYTES], text[512], want[512], got[528];
	unsigned tried = 0;
	size_t i;

	json_array_foreach(json_object_get(root, "aead"), i, v)
	{
		struct aead_job j = {.key = key, .src = text, .dst = got};

		hex_get(v, "key", key, sizeof(key));
		hex_get(v, "nonce", nonce, sizeof(nonce));
		if (memcmp(nonce, "\0\0\0\0", 4) != 0)
			continue;
		j.counter = le64_get((const wire_le64 *)(nonce + 4));
		j.len = (uint32_t)hex_get(v, "plaintext", text, sizeof(text));
		hex_get(v, "ciphertext", want, sizeof(want));
		hex_get(v, "tag_without_aad", want + j.len, AEAD_TAG_BYTES);
		e->seal(ctx, &j, 1);
		assert_memory_equal(got, want, j.len + AEAD_TAG_BYTES);
		tried++;
	}
	assert_int_equal(tried, 1);
	json_decref(root);
}

static void engines_seal_rfc8439(void **state)
{
	for_each_subject(rfc_aead);
}

static void one_transport(const struct aead_engine *e, void *ctx, json_t *handshake, json_t *t)
{
	static uint8_t wire[2048], text[2048], out[2048];
	const char *way = json_string_value(json_object_get(t, "direction"));
	uint32_t padding = (uint32_t)json_integer_value(json_object_get(t, "padding"));
	size_t wire_len = hex_get(t, "wire", wire, sizeof(wire));
	size_t len = hex_get(t, "inner", text, sizeof(text));
	const struct wg_msg_data *m = (const struct wg_msg_data *)wire;
	uint8_t key[32];
	struct aead_job j = {.key = key, .counter = le64_get(&m->counter)};

	memset(text + len, 0, padding);
	j.len = (uint32_t)len + padding;
	assert_int_equal(wire_len, WG_DATA_HEADER_BYTES + j.len + AEAD_TAG_BYTES);
	assert_int_equal(j.counter, json_integer_value(json_object_get(t, "counter")));
	hex_get(handshake,
		strcmp(way, "initiator to responder") == 0 ? "key_initiator_to_responder"
							   : "key_responder_to_initiator",
		key, sizeof(key));

	j.src = text;
	j.dst = out;
	e->seal(ctx, &j, 1);
	assert_memory_equal(out, m->ciphertext, j.len + AEAD_TAG_BYTES);
	j.src = m->ciphertext;
	e->open(ctx, &j, 1);
	assert_int_equal(j.ok, 1);
	assert_memory_equal(out, text, j.len);
}

static void wireguard_transport(const struct aead_engine *e, void *ctx)
{
	json_t *root = load(wireguard_path), *handshake, *t;
	unsigned tried = 0;
	size_t i, k;

	json_array_foreach(json_object_get(root, "handshakes"), i, handshake)
	{
		json_array_foreach(json_object_get(handshake, "transport"), k, t)
		{
			one_transport(e, ctx, handshake, t);
			tried++;
		}
	}
	assert_true(tried >= 15);
	json_decref(root);
}

static void engines_reproduce_wireguard_messages(void **state)
{
	for_each_subject(wireguard_transport);
}

/*
 * One buffer a job that ends at an unmapped page, with a page before it that is
 * not mapped either.
 */
#define GUARD_SPAN (4 * 4096)

struct guarded {
	uint8_t *base;
};

static void guarded_map(struct guarded *g)
{
	g->base = mmap(NULL, GUARD_SPAN + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	assert_true(g->base != MAP_FAILED);
	assert_int_equal(mprotect(g->base, 4096, PROT_NONE), 0);
	assert_int_equal(mprotect(g->base + GUARD_SPAN, 4096, PROT_NONE), 0);
}

static uint8_t *guarded_tail(const struct guarded *g, size_t len)
{
	return g->base + GUARD_SPAN - len;
}

static void guarded_unmap(struct guarded *g)
{
	munmap(g->base, GUARD_SPAN + 4096);
}

static struct guarded plain[AEAD_BATCH_MAX], sealed[AEAD_BATCH_MAX];
static uint8_t keys[AEAD_BATCH_MAX][AEAD_KEY_BYTES];
static uint8_t want[AEAD_BATCH_MAX][BYTES_MAX], texts[AEAD_BATCH_MAX][LEN_MAX];

static uint32_t random_len(void)
{
	switch (random_u32() % 4) {
	case 0:
		return random_u32() % 80;
	case 1:
		return random_u32() % 600;
	case 2:
		return random_u32() % 1500;
	default:
		return random_u32() % (LEN_MAX + 1);
	}
}

static void random_seal(const struct aead_engine *e, void *ctx, struct aead_job *jobs, unsigned n,
			bool in_place)
{
	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];

		*j = (struct aead_job){.key = keys[random_u32() % AEAD_BATCH_MAX],
				       .counter = (uint64_t)random_u32() << 32 | random_u32(),
				       .len = random_len()};
		random_fill(texts[i], j->len);
		j->src = texts[i];
		oracle_seal(j, want[i]);
		/* In place the room for the tag is behind, apart the text itself ends the page. */
		j->dst = guarded_tail(&sealed[i], j->len + AEAD_TAG_BYTES);
		j->src = in_place ? j->dst : guarded_tail(&plain[i], j->len);
		memcpy((uint8_t *)j->src, texts[i], j->len);
		if (j->len == 0 && !in_place)
			j->src = NULL;
	}
	e->seal(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++)
		assert_memory_equal(jobs[i].dst, want[i], jobs[i].len + AEAD_TAG_BYTES);
}

/* Opens what random_seal left; about one in eight is forged. */
static void random_open(const struct aead_engine *e, void *ctx, struct aead_job *jobs, unsigned n,
			bool in_place)
{
	bool is_forged[AEAD_BATCH_MAX];

	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];
		uint8_t *box = j->dst;

		is_forged[i] = random_u32() % 8 == 0;
		if (is_forged[i])
			box[random_u32() % (j->len + AEAD_TAG_BYTES)] ^= 1 << random_u32() % 8;
		j->src = box;
		j->dst = in_place ? box : guarded_tail(&plain[i], j->len);
		j->ok = (uint8_t)random_u32();
		if (!in_place)
			memset(j->dst, 0xee, j->len);
	}
	e->open(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(jobs[i].ok, !is_forged[i]);
		if (is_forged[i])
			assert_true(sodium_is_zero(jobs[i].dst, jobs[i].len));
		else
			assert_memory_equal(jobs[i].dst, texts[i], jobs[i].len);
	}
}

static void random_batches(const struct aead_engine *e, void *ctx)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	random_state = 0x243f6a8885a308d3ull;
	random_fill(keys[0], sizeof(keys));
	for (unsigned i = 0; i < AEAD_BATCH_MAX; i++) {
		guarded_map(&plain[i]);
		guarded_map(&sealed[i]);
	}
	e->seal(ctx, jobs, 0);
	e->open(ctx, jobs, 0);
	for (unsigned round = 0; round < 160; round++) {
		unsigned n = round < AEAD_BATCH_MAX ? round + 1 : 1 + random_u32() % AEAD_BATCH_MAX;

		random_seal(e, ctx, jobs, n, round & 1);
		random_open(e, ctx, jobs, n, round & 2);
	}
	for (unsigned i = 0; i < AEAD_BATCH_MAX; i++) {
		guarded_unmap(&plain[i]);
		guarded_unmap(&sealed[i]);
	}
}

static void engines_agree_with_sodium_on_random_batches(void **state)
{
	for_each_subject(random_batches);
}

/* Bytes before dst and behind its end stay as they are. */
static void every_length(const struct aead_engine *e, void *ctx)
{
	static uint8_t out[64 + BYTES_MAX + 64];
	uint8_t *dst = out + 64;

	random_state = 0x13198a2e03707344ull;
	random_fill(keys[0], sizeof(keys));
	random_fill(texts[0], LEN_MAX);
	for (uint32_t len = 0; len <= LEN_MAX; len += len < 1600 ? 1 : 97) {
		struct aead_job j = {.key = keys[len % 64],
				     .counter = len,
				     .src = texts[0],
				     .dst = dst,
				     .len = len};

		memset(out, 0x5a, sizeof(out));
		oracle_seal(&j, want[0]);
		e->seal(ctx, &j, 1);
		assert_memory_equal(dst, want[0], len + AEAD_TAG_BYTES);
		for (unsigned i = 0; i < 64; i++)
			assert_true(out[i] == 0x5a && dst[len + AEAD_TAG_BYTES + i] == 0x5a);
		memset(out, 0x5a, sizeof(out));
		j.src = want[0];
		e->open(ctx, &j, 1);
		assert_int_equal(j.ok, 1);
		assert_memory_equal(dst, texts[0], len);
		for (unsigned i = 0; i < 64; i++)
			assert_true(out[i] == 0x5a && dst[len + i] == 0x5a);
	}
}

static void engines_keep_inside_their_buffers(void **state)
{
	for_each_subject(every_length);
}

/* A bit flipped in each byte of ciphertext and tag, one batch a length. */
static void forged_everywhere(const struct aead_engine *e, void *ctx)
{
	static const uint32_t lens[] = {0, 1, 16, 33, 64, 130, 256, 600};
	static uint8_t box[1024], out[1024];

	random_state = 0xa4093822299f31d0ull;
	random_fill(keys[0], sizeof(keys));
	random_fill(texts[0], 1024);
	for (unsigned k = 0; k < ARRAY_SIZE(lens); k++) {
		struct aead_job j = {.key = keys[k], .counter = k, .src = texts[0], .len = lens[k]};

		oracle_seal(&j, want[0]);
		for (uint32_t at = 0; at < lens[k] + AEAD_TAG_BYTES; at++) {
			memcpy(box, want[0], lens[k] + AEAD_TAG_BYTES);
			box[at] ^= (uint8_t)(1u << at % 8);
			memset(out, 0xee, sizeof(out));
			j.src = box;
			j.dst = at & 1 ? out : box;
			j.ok = 1;
			e->open(ctx, &j, 1);
			assert_int_equal(j.ok, 0);
			assert_true(sodium_is_zero(j.dst, lens[k]));
		}
		/* A wrong counter or key is a forgery too. */
		j.src = want[0];
		j.dst = out;
		j.counter ^= 1ull << 63;
		e->open(ctx, &j, 1);
		assert_int_equal(j.ok, 0);
		j.counter = k;
		j.key = keys[k + 1];
		e->open(ctx, &j, 1);
		assert_int_equal(j.ok, 0);
	}
}

/* Opens a full or part batch of which one tag has one bit flipped, all others being right. */
static void open_with_one_forged(const struct aead_engine *e, void *ctx, unsigned n,
				 const uint32_t *lens, unsigned at, unsigned bit)
{
	static uint8_t out[AEAD_BATCH_MAX][512];
	struct aead_job jobs[AEAD_BATCH_MAX];

	memset(out, 0xee, sizeof(out[0]) * n);
	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct aead_job){.key = keys[i],
					    .counter = i,
					    .src = want[i],
					    .dst = out[i],
					    .len = lens[i],
					    .ok = i == at};
	want[at][lens[at] + bit / 8] ^= (uint8_t)(1u << bit % 8);
	e->open(ctx, jobs, n);
	want[at][lens[at] + bit / 8] ^= (uint8_t)(1u << bit % 8);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(jobs[i].ok, i != at);
		if (i == at)
			assert_true(sodium_is_zero(out[i], lens[i]));
		else
			assert_memory_equal(out[i], texts[i], lens[i]);
		assert_int_equal(out[i][lens[i]], 0xee);
	}
}

/* In batches of each size, every position and every bit of the tag. */
static void one_forged_tag(const struct aead_engine *e, void *ctx)
{
	uint32_t lens[AEAD_BATCH_MAX];

	random_state = 0x3f84d5b5b5470917ull;
	random_fill(keys[0], sizeof(keys));
	for (unsigned i = 0; i < AEAD_BATCH_MAX; i++) {
		struct aead_job j = {.key = keys[i], .counter = i, .src = texts[i]};

		lens[i] = i % 3 ? 64 : i * 37 % 500;
		j.len = lens[i];
		random_fill(texts[i], j.len);
		oracle_seal(&j, want[i]);
	}
	for (unsigned n = 1; n <= AEAD_BATCH_MAX; n++)
		for (unsigned at = 0; at < n; at++)
			open_with_one_forged(e, ctx, n, lens, at, (n * 67 + at * 13) % 128);
	for (unsigned at = 0; at < 9; at++)
		for (unsigned bit = 0; bit < 128; bit++)
			open_with_one_forged(e, ctx, 9, lens, at, bit);
}

static void engines_refuse_one_forged_tag_anywhere(void **state)
{
	for_each_subject(one_forged_tag);
}

static void engines_refuse_a_flip_in_every_byte(void **state)
{
	for_each_subject(forged_everywhere);
}

/* An engine that goes wrong in one way, for the start-up check to find. */
static enum { GOOD, SEAL_LAST_BYTE, OPEN_ANYTHING, LEAVE_PLAINTEXT, WRITE_BEHIND } fault;

static void faulty_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	aead_sodium.seal(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		if (fault == SEAL_LAST_BYTE && jobs[i].len == 9000)
			jobs[i].dst[8999] ^= 1;
		if (fault == WRITE_BEHIND && jobs[i].len == 17)
			jobs[i].dst[17 + AEAD_TAG_BYTES] = 0;
	}
}

static void faulty_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	aead_sodium.open(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		if (fault == OPEN_ANYTHING)
			jobs[i].ok = 1;
		if (fault == LEAVE_PLAINTEXT && !jobs[i].ok && jobs[i].len)
			jobs[i].dst[jobs[i].len - 1] = 1;
	}
}

static bool always(void)
{
	return true;
}

static void *faulty_ctx_new(void)
{
	return aead_sodium.ctx_new();
}

static void faulty_ctx_free(void *ctx)
{
	aead_sodium.ctx_free(ctx);
}

static void self_test_finds_faults(void **state)
{
	static const struct aead_engine faulty = {"faulty",	   always,	faulty_ctx_new,
						  faulty_ctx_free, faulty_seal, faulty_open};

	fault = GOOD;
	assert_int_equal(aead_self_test(&faulty), 0);
	assert_int_equal(aead_kat_cross(&aead_sodium, &faulty), 0);
	for (fault = SEAL_LAST_BYTE; fault <= WRITE_BEHIND; fault++) {
		assert_true(aead_self_test(&faulty) > 0);
		assert_true(aead_kat_cross(&aead_sodium, &faulty) > 0);
	}
}

static void select_chooses_by_name_or_preference(void **state)
{
	const struct aead_engine *preferred = &aead_sodium;
	const char *why = NULL;

	if (aead_ipsecmb.is_supported())
		preferred = &aead_ipsecmb;
	if (aead_mixed.is_supported())
		preferred = &aead_mixed;
	assert_ptr_equal(aead_select(NULL, &why), preferred);
	assert_ptr_equal(aead_select("sodium", &why), &aead_sodium);
	assert_ptr_equal(aead_select("ref", &why), &aead_ref);
	if (aead_mb_best())
		assert_ptr_equal(aead_select("mb", &why), &aead_mb_best()->engine);
	else
		assert_null(aead_select("mb", &why));
	assert_null(aead_select("rot13", &why));
	assert_non_null(strstr(why, "unknown engine"));
	assert_null(aead_select("ipsec-mb", &why));
	assert_non_null(strstr(why, "the nearest is ipsecmb"));
	assert_non_null(strstr(why, "mb-avx512"));
	assert_non_null(strstr(why, aead_ref.name));
}

/* Each class goes where its samples were faster, and classes are in order. */
static void mixed_says_what_it_chose(void **state)
{
	struct aead_choice list[AEAD_CHOICES_MAX];
	uint32_t last = 0;
	unsigned n;
	void *ctx;

	if (!aead_mixed.is_supported())
		skip();
	ctx = aead_mixed.ctx_new();
	assert_non_null(ctx);
	n = aead_mixed.choices(ctx, list);
	assert_in_range(n, 5, AEAD_CHOICES_MAX);
	for (unsigned i = 0; i < n; i++) {
		const struct aead_choice *c = &list[i];

		assert_true(c->up_to > last);
		last = c->up_to;
		assert_string_equal(c->engines[0], aead_mb_best()->engine.name);
		assert_string_equal(c->engines[1], "ipsecmb");
		assert_true(c->many_ticks[c->many] <= c->many_ticks[!c->many]);
		assert_true(c->alone_ticks[c->alone] <= c->alone_ticks[!c->alone]);
		assert_true(c->many_ticks[c->many] > 0);
	}
	aead_mixed.ctx_free(ctx);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oracle_is_rfc8439),
		cmocka_unit_test(engines_seal_rfc8439),
		cmocka_unit_test(engines_reproduce_wireguard_messages),
		cmocka_unit_test(engines_agree_with_sodium_on_random_batches),
		cmocka_unit_test(engines_keep_inside_their_buffers),
		cmocka_unit_test(engines_refuse_a_flip_in_every_byte),
		cmocka_unit_test(engines_refuse_one_forged_tag_anywhere),
		cmocka_unit_test(self_test_finds_faults),
		cmocka_unit_test(select_chooses_by_name_or_preference),
		cmocka_unit_test(mixed_says_what_it_chose),
	};

	if (argc != 3 || sodium_init() < 0)
		return 2;
	rfc_path = argv[1];
	wireguard_path = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
