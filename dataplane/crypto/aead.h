/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20-Poly1305 (RFC 8439) over a batch of jobs: any keys, any lengths,
 * source and destination apart or the same. WireGuard's use: no additional
 * data, nonce = 4 zero bytes and the counter as u64 little-endian.
 *
 * An engine is a row in a table; aead_select chooses one once at start, after
 * every engine that this CPU can run has passed its known answers.
 * An engine context belongs to one worker; calls on different contexts may run
 * at the same time.
 */
#ifndef DATAPLANE_CRYPTO_AEAD_H
#define DATAPLANE_CRYPTO_AEAD_H

#include <stdbool.h>
#include <stdint.h>

#define AEAD_KEY_BYTES 32
#define AEAD_TAG_BYTES 16
#define AEAD_BATCH_MAX 64

struct aead_job {
	const uint8_t *key; /* 32 bytes */
	uint64_t counter;   /* host order */
	const uint8_t *src; /* seal: plaintext; open: ciphertext and tag */
	uint8_t *dst;	    /* seal: ciphertext and tag; open: plaintext. == src, or no overlap */
	uint32_t len;	    /* plaintext bytes, without the tag, 0 allowed */
	uint8_t ok;	    /* open, written by the engine: 1 = the tag was right */
};

#define AEAD_CHOICES_MAX 8
#define AEAD_CHOICE_OF	 2

/* Which of two engines takes messages of one size class, and what it was measured by. */
struct aead_choice {
	uint32_t up_to; /* bytes, the last class has all that are longer as well */
	const char *engines[AEAD_CHOICE_OF];
	/* Ticks of the time stamp counter that sealing a message takes. */
	uint32_t many_ticks[AEAD_CHOICE_OF];  /* one of a batch of like ones */
	uint32_t alone_ticks[AEAD_CHOICE_OF]; /* alone in its batch */
	/* Index of the engine that is used. */
	uint8_t many, alone;
};

struct aead_engine {
	const char *name;
	/* Can this CPU run it? */
	bool (*is_supported)(void);
	/* A context for one worker, or NULL (out of memory). */
	void *(*ctx_new)(void);
	void (*ctx_free)(void *ctx);
	/* n <= AEAD_BATCH_MAX. Writes len + 16 bytes at each dst. */
	void (*seal)(void *ctx, struct aead_job *jobs, unsigned n);
	/*
	 * n <= AEAD_BATCH_MAX. Writes ok and len bytes at each dst; where the tag
	 * is wrong, dst is left all zero. Tags are compared in constant time.
	 */
	void (*open)(void *ctx, struct aead_job *jobs, unsigned n);
	/*
	 * What this context gives to which engine, the shortest messages first; returns how many
	 * classes there are. NULL: the engine computes all itself. Any thread.
	 */
	unsigned (*choices)(const void *ctx, struct aead_choice out[AEAD_CHOICES_MAX]);
};

/* NULL-terminated, the preferred first. */
extern const struct aead_engine *const aead_engines[];

/*
 * The engine to use: the one named, or with name == NULL the preferred one of
 * those that this CPU runs. Runs the known answers of RFC 8439 and the cross
 * check of every supported engine first (a few milliseconds).
 * NULL: *why says what is wrong ("unknown engine", the nearest name, "CPU lacks ...", "engine X
 * fails known answer N"). Control thread, once at start.
 */
const struct aead_engine *aead_select(const char *name, const char **why);

/* One engine's known answers alone; 0, or the 1-based number of the failing case. */
int aead_self_test(const struct aead_engine *e);

#endif
