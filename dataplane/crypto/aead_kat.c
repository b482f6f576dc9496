/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks an engine must pass before a packet is trusted to it.
 *
 * Known answers have WireGuard's shape (no additional data, nonce = 4 zero bytes
 * and a counter). Case 1 is the message of RFC 8439 A.5, whose nonce has that
 * shape: key, nonce, text and ciphertext are the RFC's, the tag is that of the
 * message without its additional data. The other cases are patterns of many
 * lengths, their sealed bytes given as BLAKE2b-128; tests/vectors/crypto/
 * aead_kat.py computes them from the text of the RFC and shares no code with
 * any engine.
 *
 * Control thread, at start.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "dataplane/crypto/aead_engines.h"
#include "lib/base/bug.h"

/* Bytes kept untouched between two buffers, to catch a write beyond the tag. */
#define GAP_BYTES    32
#define GAP_FILL     0xa5
#define DIGEST_BYTES 16
#define LEN_MAX	     9000

static const char rfc_text[] =
	"Internet-Drafts are draft documents valid for a maximum of six months and may be updated, "
	"replaced, or obsoleted by other documents at any time. It is inappropriate to use "
	"Internet-Drafts as reference material or to cite them other than as /\xe2\x80\x9cwork in "
	"progress./\xe2\x80\x9d";

static const uint8_t rfc_key[AEAD_KEY_BYTES] = {
	0x1c, 0x92, 0x40, 0xa5, 0xeb, 0x55, 0xd3, 0x8a, 0xf3, 0x33, 0x88,
	0x86, 0x04, 0xf6, 0xb5, 0xf0, 0x47, 0x39, 0x17, 0xc1, 0x40, 0x2b,
	0x80, 0x09, 0x9d, 0xca, 0x5c, 0xbc, 0x20, 0x70, 0x75, 0xc0,
};

#define RFC_COUNTER 0x0807060504030201ull

static const uint8_t rfc_sealed[] = {
	0x64, 0xa0, 0x86, 0x15, 0x75, 0x86, 0x1a, 0xf4, 0x60, 0xf0, 0x62, 0xc7, 0x9b, 0xe6, 0x43,
	0xbd, 0x5e, 0x80, 0x5c, 0xfd, 0x34, 0x5c, 0xf3, 0x89, 0xf1, 0x08, 0x67, 0x0a, 0xc7, 0x6c,
	0x8c, 0xb2, 0x4c, 0x6c, 0xfc, 0x18, 0x75, 0x5d, 0x43, 0xee, 0xa0, 0x9e, 0xe9, 0x4e, 0x38,
	0x2d, 0x26, 0xb0, 0xbd, 0xb7, 0xb7, 0x3c, 0x32, 0x1b, 0x01, 0x00, 0xd4, 0xf0, 0x3b, 0x7f,
	0x35, 0x58, 0x94, 0xcf, 0x33, 0x2f, 0x83, 0x0e, 0x71, 0x0b, 0x97, 0xce, 0x98, 0xc8, 0xa8,
	0x4a, 0xbd, 0x0b, 0x94, 0x81, 0x14, 0xad, 0x17, 0x6e, 0x00, 0x8d, 0x33, 0xbd, 0x60, 0xf9,
	0x82, 0xb1, 0xff, 0x37, 0xc8, 0x55, 0x97, 0x97, 0xa0, 0x6e, 0xf4, 0xf0, 0xef, 0x61, 0xc1,
	0x86, 0x32, 0x4e, 0x2b, 0x35, 0x06, 0x38, 0x36, 0x06, 0x90, 0x7b, 0x6a, 0x7c, 0x02, 0xb0,
	0xf9, 0xf6, 0x15, 0x7b, 0x53, 0xc8, 0x67, 0xe4, 0xb9, 0x16, 0x6c, 0x76, 0x7b, 0x80, 0x4d,
	0x46, 0xa5, 0x9b, 0x52, 0x16, 0xcd, 0xe7, 0xa4, 0xe9, 0x90, 0x40, 0xc5, 0xa4, 0x04, 0x33,
	0x22, 0x5e, 0xe2, 0x82, 0xa1, 0xb0, 0xa0, 0x6c, 0x52, 0x3e, 0xaf, 0x45, 0x34, 0xd7, 0xf8,
	0x3f, 0xa1, 0x15, 0x5b, 0x00, 0x47, 0x71, 0x8c, 0xbc, 0x54, 0x6a, 0x0d, 0x07, 0x2b, 0x04,
	0xb3, 0x56, 0x4e, 0xea, 0x1b, 0x42, 0x22, 0x73, 0xf5, 0x48, 0x27, 0x1a, 0x0b, 0xb2, 0x31,
	0x60, 0x53, 0xfa, 0x76, 0x99, 0x19, 0x55, 0xeb, 0xd6, 0x31, 0x59, 0x43, 0x4e, 0xce, 0xbb,
	0x4e, 0x46, 0x6d, 0xae, 0x5a, 0x10, 0x73, 0xa6, 0x72, 0x76, 0x27, 0x09, 0x7a, 0x10, 0x49,
	0xe6, 0x17, 0xd9, 0x1d, 0x36, 0x10, 0x94, 0xfa, 0x68, 0xf0, 0xff, 0x77, 0x98, 0x71, 0x30,
	0x30, 0x5b, 0xea, 0xba, 0x2e, 0xda, 0x04, 0xdf, 0x99, 0x7b, 0x71, 0x4d, 0x6c, 0x6f, 0x2c,
	0x29, 0xa6, 0xad, 0x5c, 0xb4, 0x02, 0x2b, 0x02, 0x70, 0x9b, 0x6e, 0x35, 0x70, 0xb1, 0xac,
	0xaa, 0xf1, 0xf2, 0x4f, 0x2a, 0x64, 0x4f, 0x01, 0xac, 0xd1, 0x2b,
};

static_assert(sizeof(rfc_sealed) == sizeof(rfc_text) - 1 + AEAD_TAG_BYTES, "RFC 8439 A.5");

/* Rows printed by aead_kat.py: plaintext length, BLAKE2b-128 of ciphertext and tag. */
/* clang-format off */
static const struct {
	uint32_t len;
	const char *digest;
} known_answers[] = {
	{0, "bed8883dedb0579a5efbff3c48fb2a0b"},
	{1, "5385150c756d32c52e72dd3abf29e0af"},
	{15, "78d62e08fd4c704b78361f10d7f79196"},
	{16, "1de0ec076e8912a68756381efa381224"},
	{17, "c8d6e05a78804fe6ac9cde7bf3731533"},
	{31, "d59d889d659c313b7782f7549cbe7047"},
	{32, "28cdec43648b23da20ff06739180c258"},
	{33, "acca4c5c0b1d2ba82faa09e7578ef453"},
	{63, "e39cd315ff14c740e65b341a243eb0ed"},
	{64, "5282d75d483128f462a13465ac4454f1"},
	{65, "6ea3bddc29c495383f71090f0f416bdd"},
	{80, "60db1220bea06f5f71a21c632063dd13"},
	{96, "e206b99985bccd5969855356b1e59656"},
	{127, "72ecd543a346d881731d7a813d5de72d"},
	{128, "51d4cb875ebbd540800deaa288caf09d"},
	{129, "ecc0160515af53fc8d6b4ebbc9135746"},
	{191, "eec2d19a7ac956deaebca8426dee8e45"},
	{192, "6251ef6d3435a88aed0d436db77395b8"},
	{193, "102407caa7dfdbe7f91f1e452754fbb8"},
	{255, "e96e6dcb5355989ae36f1df674169c6a"},
	{256, "28e7f7e529256257dcd3546c25fb0438"},
	{257, "c7fbcd46962f893c5ed01bd5f8e90e6e"},
	{300, "48c2ba6002fc24ff2a64875471bab0df"},
	{320, "35c6ae11d65ee6d81ced10d25b405eb6"},
	{448, "3b93a96c08b130846db5f23fb3a65fa0"},
	{511, "dca1f2a939ce57fe0cb9caa925553520"},
	{512, "0c6fddf0126f1b3bd2a77d857e25e668"},
	{513, "6c6886b3eaae3d0f80474dfe929be9d8"},
	{768, "1d245b6ad9eb7c22ffc7d5b5bcd7fa29"},
	{1023, "d4c4f0f9bf5361ed5e9b5dd171fe23b9"},
	{1024, "25cc0d7e52c18819f5b7b4ffc9958c74"},
	{1025, "634aeae5be60e68e200abcb6b11110ab"},
	{1280, "25e5045ef120115730cd10134defae99"},
	{1420, "bd8b30c704fa9ffc6db2a3dde8b6fdb7"},
	{1424, "970a12a8646865d92469d5f336a6a279"},
	{4096, "116e4c19225a7e1464c96fe668104cb6"},
	{9000, "46ddf746434172688a2cab1a4ea185fb"},
};
/* clang-format on */

/* One message of the self test: three buffers with gaps behind them. */
struct message {
	uint8_t key[AEAD_KEY_BYTES];
	uint64_t counter;
	uint32_t len;
	uint8_t *text;
	uint8_t *sealed;
	uint8_t *work;
};

#define CASES (1 + ARRAY_SIZE(known_answers))
static_assert(CASES <= AEAD_BATCH_MAX, "all known answers are one batch");

static uint8_t *carve(uint8_t **next, uint32_t len)
{
	uint8_t *p = *next;

	memset(p + len, GAP_FILL, GAP_BYTES);
	*next += len + GAP_BYTES;
	return p;
}

static bool gap_is_whole(const uint8_t *end)
{
	for (int i = 0; i < GAP_BYTES; i++)
		if (end[i] != GAP_FILL)
			return false;
	return true;
}

static size_t message_bytes(uint32_t len)
{
	return 3 * ((size_t)len + AEAD_TAG_BYTES + GAP_BYTES);
}

static void message_init(struct message *m, uint32_t len, uint8_t **next)
{
	m->len = len;
	m->text = carve(next, len + AEAD_TAG_BYTES);
	m->sealed = carve(next, len + AEAD_TAG_BYTES);
	m->work = carve(next, len + AEAD_TAG_BYTES);
}

/* The patterns of aead_kat.py. */
static void message_fill(struct message *m)
{
	uint32_t n = m->len;

	for (uint32_t i = 0; i < AEAD_KEY_BYTES; i++)
		m->key[i] = (uint8_t)(n * 31 + i * 7 + 3);
	m->counter = ((uint64_t)n + 1) * 0x9e3779b97f4a7c15ull;
	for (uint32_t i = 0; i < n; i++)
		m->text[i] = (uint8_t)(i * 13 + (i >> 8) * 5 + n);
}

static struct aead_job message_job(const struct message *m, const uint8_t *src, uint8_t *dst)
{
	return (struct aead_job){
		.key = m->key,
		.counter = m->counter,
		.src = src,
		.dst = dst,
		.len = m->len,
	};
}

static bool is_known_answer(const struct message *m, unsigned which)
{
	uint8_t digest[DIGEST_BYTES];
	char text[2 * DIGEST_BYTES + 1];

	if (which == 0)
		return memcmp(m->sealed, rfc_sealed, sizeof(rfc_sealed)) == 0;
	crypto_generichash(digest, sizeof(digest), m->sealed, m->len + AEAD_TAG_BYTES, NULL, 0);
	sodium_bin2hex(text, sizeof(text), digest, sizeof(digest));
	return strcmp(text, known_answers[which - 1].digest) == 0;
}

static bool is_zero(const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* Flips one bit of the sealed message, another place each time. */
static void forge(uint8_t *sealed, uint32_t len, unsigned salt)
{
	sealed[(salt * 37u) % (len + AEAD_TAG_BYTES)] ^= (uint8_t)(1u << (salt % 8));
}

static bool opened_right(const struct message *m, const struct aead_job *j, bool is_forged)
{
	if (!gap_is_whole(m->work + m->len + AEAD_TAG_BYTES))
		return false;
	if (is_forged)
		return !j->ok && is_zero(j->dst, m->len);
	return j->ok && memcmp(j->dst, m->text, m->len) == 0;
}

/* Sealed apart (into m->sealed) and in place (in m->work): the same bytes. */
static int seal_both_ways(const struct aead_engine *e, void *ctx, struct message *m, unsigned n)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	for (unsigned i = 0; i < n; i++)
		jobs[i] = message_job(&m[i], m[i].text, m[i].sealed);
	e->seal(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		memcpy(m[i].work, m[i].text, m[i].len);
		jobs[i] = message_job(&m[i], m[i].work, m[i].work);
	}
	e->seal(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		uint32_t bytes = m[i].len + AEAD_TAG_BYTES;

		if (memcmp(m[i].sealed, m[i].work, bytes) != 0 ||
		    !gap_is_whole(m[i].sealed + bytes) || !gap_is_whole(m[i].work + bytes))
			return (int)i + 1;
	}
	return 0;
}

/*
 * Opens what m->sealed holds, in place and apart by turns; forged_mod != 0: of
 * every forged_mod messages one has a bit flipped.
 */
static int open_both_ways(const struct aead_engine *e, void *ctx, struct message *m, unsigned n,
			  unsigned forged_mod, unsigned salt)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	for (unsigned i = 0; i < n; i++) {
		bool is_forged = forged_mod && i % forged_mod == 0;
		bool is_in_place = (i + salt) & 1;

		if (is_forged)
			forge(m[i].sealed, m[i].len, i + salt);
		if (is_in_place)
			memcpy(m[i].work, m[i].sealed, m[i].len + AEAD_TAG_BYTES);
		jobs[i] = message_job(&m[i], is_in_place ? m[i].work : m[i].sealed, m[i].work);
		jobs[i].ok = is_forged; /* must be overwritten */
	}
	e->open(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		bool is_forged = forged_mod && i % forged_mod == 0;

		if (is_forged)
			forge(m[i].sealed, m[i].len, i + salt);
		if (!opened_right(&m[i], &jobs[i], is_forged))
			return (int)i + 1;
	}
	return 0;
}

static int known_answers_run(const struct aead_engine *e, void *ctx, struct message *m)
{
	int rc = seal_both_ways(e, ctx, m, CASES);

	if (rc)
		return rc;
	for (unsigned i = 0; i < CASES; i++)
		if (!is_known_answer(&m[i], i))
			return (int)i + 1;
	rc = open_both_ways(e, ctx, m, CASES, 0, 0);
	if (!rc)
		rc = open_both_ways(e, ctx, m, CASES, 0, 1);
	if (!rc)
		rc = open_both_ways(e, ctx, m, CASES, 2, 0);
	if (!rc)
		rc = open_both_ways(e, ctx, m, CASES, 1, 1);
	return rc;
}

int aead_self_test(const struct aead_engine *e)
{
	struct message m[CASES];
	size_t bytes = message_bytes(sizeof(rfc_text) - 1);
	uint8_t *memory, *next;
	void *ctx;
	int rc = -ENOMEM;

	for (unsigned i = 0; i < ARRAY_SIZE(known_answers); i++)
		bytes += message_bytes(known_answers[i].len);
	memory = malloc(bytes);
	if (!memory)
		return -ENOMEM;
	ctx = e->ctx_new();
	if (!ctx)
		goto no_ctx;

	next = memory;
	message_init(&m[0], sizeof(rfc_text) - 1, &next);
	memcpy(m[0].key, rfc_key, sizeof(rfc_key));
	memcpy(m[0].text, rfc_text, sizeof(rfc_text) - 1);
	m[0].counter = RFC_COUNTER;
	for (unsigned i = 1; i < CASES; i++) {
		message_init(&m[i], known_answers[i - 1].len, &next);
		message_fill(&m[i]);
	}
	rc = known_answers_run(e, ctx, m);
	e->ctx_free(ctx);
no_ctx:
	free(memory);
	return rc;
}

/* Lengths of the cross check, in order; batches have 1 to 64 of them. */
static const uint32_t cross_long[] = {1420, 300, 9000, 1279, 1280, 1281, 8999, 512, 1024, 2048};
#define CROSS_SHORT    301
#define CROSS_MESSAGES (CROSS_SHORT + ARRAY_SIZE(cross_long))

static uint32_t cross_len(unsigned k)
{
	/* The long ones stand between the short ones, so that batches are mixed. */
	if (k % 31 == 30 && k / 31 < ARRAY_SIZE(cross_long))
		return cross_long[k / 31];
	if (k / 31 < ARRAY_SIZE(cross_long))
		return k - k / 31;
	return k - ARRAY_SIZE(cross_long);
}

static int cross_batch(const struct aead_engine *a, void *ctx_a, const struct aead_engine *b,
		       void *ctx_b, struct message *m, unsigned n)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	if (seal_both_ways(a, ctx_a, m, n))
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++)
		jobs[i] = message_job(&m[i], m[i].text, m[i].work);
	b->seal(ctx_b, jobs, n);
	for (unsigned i = 0; i < n; i++)
		if (memcmp(m[i].work, m[i].sealed, m[i].len + AEAD_TAG_BYTES) != 0)
			return -EBADMSG;
	if (open_both_ways(a, ctx_a, m, n, 0, n) || open_both_ways(b, ctx_b, m, n, 0, n) ||
	    open_both_ways(b, ctx_b, m, n, 0, n + 1) || open_both_ways(b, ctx_b, m, n, 3, n) ||
	    seal_both_ways(b, ctx_b, m, n))
		return -EBADMSG;
	return 0;
}

static int cross_run(const struct aead_engine *a, void *ctx_a, const struct aead_engine *b,
		     void *ctx_b, uint8_t *memory)
{
	struct message m[AEAD_BATCH_MAX];
	unsigned done = 0;

	for (int batch = 1; done < CROSS_MESSAGES; batch++) {
		unsigned n = batch == 1 ? 1 : 1 + (unsigned)batch * 29 % AEAD_BATCH_MAX;
		uint8_t *next = memory;

		if (n > CROSS_MESSAGES - done)
			n = CROSS_MESSAGES - done;
		for (unsigned i = 0; i < n; i++) {
			message_init(&m[i], cross_len(done + i), &next);
			message_fill(&m[i]);
		}
		if (cross_batch(a, ctx_a, b, ctx_b, m, n))
			return batch;
		done += n;
	}
	return 0;
}

int aead_kat_cross(const struct aead_engine *a, const struct aead_engine *b)
{
	uint8_t *memory = malloc(AEAD_BATCH_MAX * message_bytes(LEN_MAX));
	void *ctx_a = a->ctx_new();
	void *ctx_b = b->ctx_new();
	int rc = -ENOMEM;

	if (memory && ctx_a && ctx_b)
		rc = cross_run(a, ctx_a, b, ctx_b, memory);
	if (ctx_b)
		b->ctx_free(ctx_b);
	if (ctx_a)
		a->ctx_free(ctx_a);
	free(memory);
	return rc;
}
