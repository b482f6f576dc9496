/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a map stream (docs/protocol/control.md, "Framing"): a length,
 * u32 little-endian, and so many bytes, which are one zstd frame of JSON text or,
 * if the request asked for no compression, the text itself. No I/O.
 *
 * The reader keeps one message at a time and refuses what would not fit: a frame
 * of a few kilobytes can stand for gigabytes.
 */
#ifndef CONTROLPLANE_TAILCFG_MAP_FRAME_H
#define CONTROLPLANE_TAILCFG_MAP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_FRAME_HEADER    4
#define MAP_FRAME_WIRE_MAX  (64u << 20)	 /* bytes of a frame, as they come */
#define MAP_FRAME_TEXT_MAX  (256u << 20) /* of the message in it */
#define MAP_FRAME_ERROR_MAX 128

struct map_frame_reader;

/* A message; text is valid during the call and not zero-terminated. Non-zero ends the feed. */
typedef int map_frame_fn(void *arg, const char *text, size_t len);

/* NULL: no memory. text_max: at most MAP_FRAME_TEXT_MAX. */
struct map_frame_reader *map_frame_reader_new(bool is_zstd, size_t text_max);
void map_frame_reader_free(struct map_frame_reader *r);
/*
 * Bytes in, cut anywhere. 0; what fn returned; -EBADMSG (length 0, no zstd frame,
 * or more behind it), -EFBIG, -ENOMEM with a sentence in err. After an error the
 * stream is done for.
 */
int map_frame_feed(struct map_frame_reader *r, const void *data, size_t len, map_frame_fn *fn,
		   void *arg, char err[MAP_FRAME_ERROR_MAX]);

/* What compressing needs, kept from frame to frame: a few MiB after a large one. */
struct map_frame_writer;

/* NULL: no memory. */
struct map_frame_writer *map_frame_writer_new(void);
void map_frame_writer_free(struct map_frame_writer *w);
/*
 * A frame to send: *out (malloc'd, *out_len bytes, header included), compressed unless
 * w is NULL. 0, -EFBIG or -ENOMEM.
 */
int map_frame_make(struct map_frame_writer *w, const char *text, size_t len, uint8_t **out,
		   size_t *out_len);

#endif
