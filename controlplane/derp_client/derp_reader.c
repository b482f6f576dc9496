/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wire/derp_frame.h"

/* A buffer up to this size is kept for the next frame. */
#define KEEP_BYTES  65536
#define FIRST_BYTES 4096

static enum derp_verdict judge(struct derp_reader *r, const struct derp_header *h,
			       char why[DERP_READER_WHY_MAX])
{
	enum derp_verdict v;

	if (r->wants_key) {
		if (h->type == DERP_SERVER_KEY && h->len >= DERP_MAGIC_BYTES + DERP_KEY_BYTES &&
		    h->len <= DERP_SERVER_KEY_MAX)
			return DERP_TAKE;
		snprintf(why, DERP_READER_WHY_MAX,
			 "the relay began with type 0x%02x of %u bytes, not with ServerKey",
			 h->type, h->len);
		return DERP_CLOSE;
	}
	v = derp_client_verdict(h);
	if (v == DERP_CLOSE)
		snprintf(why, DERP_READER_WHY_MAX, "a frame of type 0x%02x with %u bytes", h->type,
			 h->len);
	return v;
}

static int hold(struct derp_reader *r, const uint8_t *data, size_t n)
{
	if (r->held_len + n > r->room) {
		size_t room = r->room ? r->room : FIRST_BYTES;
		uint8_t *grown;

		while (room < r->held_len + n)
			room *= 2;
		grown = realloc(r->held, room);
		if (!grown)
			return -ENOMEM;
		r->held = grown;
		r->room = room;
	}
	memcpy(r->held + r->held_len, data, n);
	r->held_len += n;
	return 0;
}

static void forget(struct derp_reader *r)
{
	r->held_len = 0;
	if (r->room > KEEP_BYTES)
		derp_reader_fini(r);
}

/* A whole frame. */
static int give(struct derp_reader *r, const uint8_t *frame, size_t len, derp_frame_fn *fn,
		void *arg)
{
	r->wants_key = false;
	return fn(arg, frame[0], frame + DERP_HEADER_BYTES, len - DERP_HEADER_BYTES) ? 0
										     : -ECANCELED;
}

/* The frame at `at`, with its whole header, has a type or length that is not taken: 1, or an error.
 */
static int pass_over(struct derp_reader *r, const uint8_t *at, char why[DERP_READER_WHY_MAX])
{
	struct derp_header h = derp_header_get(at);
	enum derp_verdict verdict = judge(r, &h, why);

	if (verdict == DERP_CLOSE)
		return -EBADMSG;
	if (verdict == DERP_TAKE)
		return 0;
	r->to_skip = DERP_HEADER_BYTES + (size_t)h.len - r->held_len;
	/* Who knew the relay's key before it was said has no use for it. */
	r->passed_over += h.type != DERP_SERVER_KEY;
	forget(r);
	return 1;
}

static size_t frame_bytes(const uint8_t *at)
{
	return DERP_HEADER_BYTES + (size_t)derp_header_get(at).len;
}

/* Takes n bytes at most into what is held; returns how many, or -ENOMEM. */
static long take(struct derp_reader *r, const uint8_t *data, size_t len, size_t n)
{
	int rc;

	if (n > len)
		n = len;
	rc = hold(r, data, n);
	return rc ? rc : (long)n;
}

/* A frame that began in an earlier piece. Bytes used, or a negative errno. */
static long go_on(struct derp_reader *r, const uint8_t *data, size_t len, derp_frame_fn *fn,
		  void *arg, char why[DERP_READER_WHY_MAX])
{
	long used = 0, n;
	int rc;

	if (r->held_len < DERP_HEADER_BYTES) {
		used = take(r, data, len, DERP_HEADER_BYTES - r->held_len);
		if (used < 0 || r->held_len < DERP_HEADER_BYTES)
			return used;
		rc = pass_over(r, r->held, why);
		if (rc)
			return rc < 0 ? rc : used;
	}
	n = take(r, data + used, len - (size_t)used, frame_bytes(r->held) - r->held_len);
	if (n < 0)
		return n;
	if (r->held_len < frame_bytes(r->held))
		return used + n;
	rc = give(r, r->held, r->held_len, fn, arg);
	forget(r);
	return rc ? rc : used + n;
}

/* A frame that begins here. */
static long begin(struct derp_reader *r, const uint8_t *data, size_t len, derp_frame_fn *fn,
		  void *arg, char why[DERP_READER_WHY_MAX])
{
	size_t whole;
	int rc;

	if (len < DERP_HEADER_BYTES)
		return take(r, data, len, len);
	rc = pass_over(r, data, why);
	if (rc)
		return rc < 0 ? rc : 0;
	whole = frame_bytes(data);
	if (whole > len)
		return take(r, data, len, len);
	rc = give(r, data, whole, fn, arg);
	return rc ? rc : (long)whole;
}

int derp_reader_feed(struct derp_reader *r, const uint8_t *data, size_t len, derp_frame_fn *fn,
		     void *arg, char why[DERP_READER_WHY_MAX])
{
	while (len) {
		size_t skipped = r->to_skip < len ? r->to_skip : len;
		long used = (long)skipped;

		if (skipped)
			r->to_skip -= skipped;
		else
			used = r->held_len ? go_on(r, data, len, fn, arg, why)
					   : begin(r, data, len, fn, arg, why);
		if (used == -ENOMEM)
			snprintf(why, DERP_READER_WHY_MAX, "no memory");
		if (used < 0)
			return (int)used;
		data += used;
		len -= (size_t)used;
	}
	return 0;
}

void derp_reader_fini(struct derp_reader *r)
{
	free(r->held);
	r->held = NULL;
	r->held_len = r->room = 0;
}
