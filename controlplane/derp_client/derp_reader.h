/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a relay -> frames, each whole and judged (derp_client_verdict). What came in one piece
 * is handed on where it lies; only the rest of a frame that is not whole yet is kept, and grows
 * with what came, not with what was announced. Pure; one thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_READER_H
#define CONTROLPLANE_DERP_CLIENT_DERP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DERP_READER_WHY_MAX 128

/* Begins zeroed. */
struct derp_reader {
	bool wants_key; /* the next frame has to be ServerKey */
	uint8_t *held;	/* a frame's beginning, its header first */
	size_t held_len, room;
	size_t to_skip;	      /* bytes of a body that nobody wants */
	uint64_t passed_over; /* frames of types that nobody knows, or too short for theirs */
};

/* body is valid during the call. False: no more frames, the reader is not used any further. */
typedef bool derp_frame_fn(void *arg, uint8_t type, const uint8_t *body, size_t len);

/*
 * 0; -ECANCELED: fn said so; -EBADMSG, -ENOMEM: the connection has to be closed, with a sentence.
 * fn may not free the reader.
 */
int derp_reader_feed(struct derp_reader *r, const uint8_t *data, size_t len, derp_frame_fn *fn,
		     void *arg, char why[DERP_READER_WHY_MAX]);
void derp_reader_fini(struct derp_reader *r);

#endif
