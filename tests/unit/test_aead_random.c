/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that every AEAD engine seals and opens random batches as libsodium does: 1 to 64
 * messages of 0 to 9,000 bytes, mixed keys, source and destination apart or the same,
 * some forged; and that no byte beside a destination changes.
 *
 * Usage: test_aead_random BATCHES [SEED [FIRST]]
 * A batch follows from the seed and its number alone, so that a failing one comes again with
 * the seed, FIRST = its number and one batch. Of each kind of batch the smaller are
 * the more frequent: a batch has 15 messages and 3 KB in the mean, so that 10^7 take
 * minutes, and all lengths to 9,000 occur.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dataplane/crypto/aead_engines.h"
#include "lib/base/bug.h"

#define LEN_MAX	    9000
#define NONCE_BYTES 12
#define KEYS	    256
#define POOL_BYTES  (1 << 20)
/* Around each destination; what is drawn at random moves it against the cache lines. */
#define GAP_BYTES  48
#define GAP_FILL   0xa5
#define SLOT_BYTES (LEN_MAX + AEAD_TAG_BYTES + 64 + GAP_BYTES)
/* Engines that are slow, or not ours, take every eighth batch. */
#define SELDOM 8

struct subject {
	const char *name;
	const struct aead_engine *engine;
	void *ctx;
	bool is_seldom;
	uint64_t batches;
};

static struct subject subjects[12];
static unsigned n_subjects;

/* Keys and texts; read-only while engines run. */
static uint8_t *pool;

struct message {
	struct aead_job job; /* of sealing: src in the pool, dst where it is written apart */
	size_t at;	     /* of dst in an arena */
	bool is_in_place, is_forged;
	uint32_t flip; /* the bit that forging flips */
};

struct batch {
	struct message m[AEAD_BATCH_MAX];
	unsigned n;
	size_t bytes; /* of an arena that are in use */
};

static uint8_t sealed[AEAD_BATCH_MAX * SLOT_BYTES]; /* right, by libsodium */
static uint8_t forged[AEAD_BATCH_MAX * SLOT_BYTES]; /* the same with bits flipped */
static uint8_t opened[AEAD_BATCH_MAX * SLOT_BYTES]; /* what opening that must leave */
static uint8_t work[AEAD_BATCH_MAX * SLOT_BYTES];   /* what an engine writes */

/* splitmix64: any state gives a good sequence, also one that is a small number. */
static uint64_t random_state;

static uint64_t random_u64(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint32_t random_below(uint32_t n)
{
	return (uint32_t)((random_u64() >> 32) * n >> 32);
}

static unsigned random_count(void)
{
	switch (random_below(8)) {
	case 0:
		return 1 + random_below(64);
	case 1:
		return 8 * (1 + random_below(8)) - random_below(2);
	case 2:
	case 3:
		return 1 + random_below(32);
	default:
		return 1 + random_below(8);
	}
}

/* The longest message of a batch. */
static uint32_t random_longest(void)
{
	uint32_t x = random_below(1000);

	if (x < 2)
		return LEN_MAX;
	if (x < 20)
		return 3000;
	if (x < 120)
		return 1500;
	return x < 400 ? 600 : 160;
}

/* Lengths of a batch: all alike, as bulk traffic has them, or each its own; many of 16 n. */
static uint32_t random_len(uint32_t longest, uint32_t alike, bool is_alike)
{
	uint32_t len = is_alike ? alike : random_below(longest + 1);

	return random_below(4) == 0 ? len & ~15u : len;
}

static void batch_init(struct batch *b, uint64_t seed, uint64_t number)
{
	uint32_t longest, alike, n_keys;
	bool is_alike, has_forged;

	random_state = seed;
	random_state = random_u64() ^ number * 0xd1342543de82ef95ull;
	longest = random_longest();
	alike = random_below(longest + 1);
	is_alike = random_below(3) == 0;
	has_forged = random_below(2) == 0;
	n_keys = random_below(2) ? KEYS : 1 + random_below(3);
	b->n = random_count();
	b->bytes = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct message *m = &b->m[i];
		uint32_t len = random_len(longest, alike, is_alike);

		*m = (struct message){
			.job = {.key = pool + AEAD_KEY_BYTES * random_below(n_keys),
				.counter = random_u64() >> random_below(64),
				.src = pool + random_below(POOL_BYTES - LEN_MAX),
				.len = len},
			.at = b->bytes + GAP_BYTES + random_below(64),
			.is_in_place = random_below(2),
			.is_forged = has_forged && random_below(8) == 0,
		};
		/* Half of the flips hit the tag. */
		m->flip = 8 * (random_below(2) ? len : 0);
		m->flip += random_below(8 * (len + AEAD_TAG_BYTES) - m->flip);
		b->bytes = m->at + len + AEAD_TAG_BYTES;
	}
	b->bytes += GAP_BYTES;
}

/* The arenas as they must be. */
static void batch_expect(const struct batch *b)
{
	memset(sealed, GAP_FILL, b->bytes);
	memset(opened, GAP_FILL, b->bytes);
	for (unsigned i = 0; i < b->n; i++) {
		const struct aead_job *j = &b->m[i].job;
		uint8_t nonce[NONCE_BYTES] = {0};

		for (int k = 0; k < 8; k++)
			nonce[4 + k] = (uint8_t)(j->counter >> (8 * k));
		crypto_aead_chacha20poly1305_ietf_encrypt(sealed + b->m[i].at, NULL, j->src, j->len,
							  NULL, 0, NULL, nonce, j->key);
	}
	memcpy(forged, sealed, b->bytes);
	for (unsigned i = 0; i < b->n; i++) {
		const struct message *m = &b->m[i];

		if (m->is_forged)
			forged[m->at + m->flip / 8] ^= (uint8_t)(1u << m->flip % 8);
		/* In place the tag stays behind the text. */
		if (m->is_in_place)
			memcpy(opened + m->at, forged + m->at, m->job.len + AEAD_TAG_BYTES);
		if (m->is_forged)
			memset(opened + m->at, 0, m->job.len);
		else
			memcpy(opened + m->at, m->job.src, m->job.len);
	}
}

static bool seals_right(struct subject *s, const struct batch *b)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	memset(work, GAP_FILL, b->bytes);
	for (unsigned i = 0; i < b->n; i++) {
		const struct message *m = &b->m[i];

		jobs[i] = m->job;
		jobs[i].dst = work + m->at;
		if (m->is_in_place) {
			memcpy(jobs[i].dst, m->job.src, m->job.len);
			jobs[i].src = jobs[i].dst;
		}
	}
	s->engine->seal(s->ctx, jobs, b->n);
	return memcmp(work, sealed, b->bytes) == 0;
}

static bool opens_right(struct subject *s, const struct batch *b)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	memset(work, GAP_FILL, b->bytes);
	for (unsigned i = 0; i < b->n; i++) {
		const struct message *m = &b->m[i];

		jobs[i] = m->job;
		jobs[i].ok = m->is_forged;
		jobs[i].dst = work + m->at;
		jobs[i].src = forged + m->at;
		if (m->is_in_place) {
			memcpy(jobs[i].dst, jobs[i].src, m->job.len + AEAD_TAG_BYTES);
			jobs[i].src = jobs[i].dst;
		}
	}
	s->engine->open(s->ctx, jobs, b->n);
	for (unsigned i = 0; i < b->n; i++)
		if (jobs[i].ok != !b->m[i].is_forged)
			return false;
	return memcmp(work, opened, b->bytes) == 0;
}

static void add(const char *name, const struct aead_engine *e, void *ctx, bool is_seldom)
{
	if (!ctx)
		fprintf(stderr, "no context of %s\n", name);
	BUG_ON(n_subjects >= ARRAY_SIZE(subjects) || !ctx);
	subjects[n_subjects++] = (struct subject){name, e, ctx, is_seldom, 0};
}

static void add_subjects(void)
{
	const struct aead_mb *const sets[] = {&aead_mb_avx512, &aead_mb_avx2};
	uint64_t cpu = imb_get_feature_flags();

	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
		if (sets[i]->engine.is_supported())
			add(sets[i]->engine.name, &sets[i]->engine, sets[i]->engine.ctx_new(),
			    false);
	if (aead_mixed.is_supported())
		add("mixed", &aead_mixed, aead_mixed.ctx_new(), false);
	if (aead_mixed.is_supported() && aead_mb_avx2.engine.is_supported())
		add("mixed-avx2", &aead_mixed,
		    aead_mixed_ctx_for(&aead_mb_avx2, aead_ipsecmb.ctx_new()), true);
	if (aead_ipsecmb.is_supported())
		add("ipsecmb", &aead_ipsecmb, aead_ipsecmb.ctx_new(), true);
	if (cpu & IMB_CPUFLAGS_AVX2)
		add("ipsecmb-avx2", &aead_ipsecmb, aead_ipsecmb_ctx_for(init_mb_mgr_avx2), true);
	add("ref", &aead_ref, aead_ref.ctx_new(), true);
	add("sodium", &aead_sodium, aead_sodium.ctx_new(), true);
}

static int run(uint64_t batches, uint64_t seed, uint64_t first)
{
	static struct batch b;
	uint64_t messages = 0;

	for (uint64_t number = first; number < first + batches; number++) {
		batch_init(&b, seed, number);
		batch_expect(&b);
		messages += b.n;
		for (unsigned i = 0; i < n_subjects; i++) {
			struct subject *s = &subjects[i];
			bool is_sealed;

			if (s->is_seldom && number % SELDOM && batches > 1)
				continue;
			is_sealed = seals_right(s, &b);
			if (!is_sealed || !opens_right(s, &b)) {
				printf("FAIL %s %ss batch %llu of seed %llu wrong (%u messages)\n",
				       s->name, is_sealed ? "open" : "seal",
				       (unsigned long long)number, (unsigned long long)seed, b.n);
				return 1;
			}
			s->batches++;
		}
	}
	for (unsigned i = 0; i < n_subjects; i++)
		printf("%s: %llu batches sealed and opened as libsodium does\n", subjects[i].name,
		       (unsigned long long)subjects[i].batches);
	printf("ok random-batches %llu batches of seed %llu from %llu, %llu messages\n",
	       (unsigned long long)batches, (unsigned long long)seed, (unsigned long long)first,
	       (unsigned long long)messages);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t batches = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	int rc;

	if (!batches || sodium_init() < 0) {
		fprintf(stderr, "usage: test_aead_random BATCHES [SEED [FIRST]]\n");
		return 2;
	}
	pool = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pool == MAP_FAILED)
		return 2;
	random_state = 1;
	for (size_t i = 0; i < POOL_BYTES; i += 8) {
		uint64_t x = random_u64();

		memcpy(pool + i, &x, 8);
	}
	if (mprotect(pool, POOL_BYTES, PROT_READ) != 0)
		return 2;
	add_subjects();
	rc = run(batches, argc > 2 ? strtoull(argv[2], NULL, 0) : 1,
		 argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	for (unsigned i = 0; i < n_subjects; i++)
		subjects[i].engine->ctx_free(subjects[i].ctx);
	munmap(pool, POOL_BYTES);
	return rc;
}
