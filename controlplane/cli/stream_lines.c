/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/stream_lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More than any size that is taken. */
#define DIGITS_MAX 16

static int grow(char **buf, size_t *room, size_t need)
{
	size_t want = *room ? *room : 4096;
	char *p;

	while (want < need)
		want *= 2;
	if (want > STREAM_LINES_MAX)
		return -EFBIG;
	p = want == *room ? *buf : realloc(*buf, want);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*room = want;
	return 0;
}

int stream_lines_reserve(struct stream_lines *s, size_t len, char **at)
{
	int rc = grow(&s->raw, &s->raw_room, s->raw_len + len + 1);

	if (!rc)
		*at = s->raw + s->raw_len;
	return rc;
}

void stream_lines_came(struct stream_lines *s, size_t len)
{
	s->raw_len += len;
	s->raw[s->raw_len] = 0;
}

void stream_lines_drop(struct stream_lines *s, size_t len)
{
	memmove(s->raw, s->raw + len, s->raw_len - len + 1);
	s->raw_len -= len;
}

/* Moves one whole chunk into the line. 1: done; 0: it has not come whole. */
static int take_chunk(struct stream_lines *s)
{
	char *end = s->raw_len ? memmem(s->raw, s->raw_len, "\r\n", 2) : NULL, *digits;
	unsigned long size;
	size_t head;
	int rc;

	/* strtoul would pass over blanks and signs. */
	if (s->raw_len && !isxdigit((unsigned char)s->raw[0]))
		return -EBADMSG;
	if (end ? end - s->raw > DIGITS_MAX : s->raw_len > DIGITS_MAX + 1)
		return -EBADMSG;
	if (!end)
		return 0;
	size = strtoul(s->raw, &digits, 16);
	if (digits == s->raw || digits != end || size > STREAM_LINES_MAX)
		return -EBADMSG;
	if (!size)
		return -EPIPE;
	head = (size_t)(end - s->raw) + 2;
	if (s->raw_len < head + size + 2)
		return 0;
	if (memcmp(s->raw + head + size, "\r\n", 2) != 0)
		return -EBADMSG;
	rc = grow(&s->line, &s->line_room, s->line_len + size);
	if (rc)
		return rc;
	memcpy(s->line + s->line_len, s->raw + head, size);
	s->line_len += size;
	stream_lines_drop(s, head + size + 2);
	return 1;
}

static int take_line(struct stream_lines *s, json_t **out)
{
	char *end = s->line_len ? memchr(s->line, '\n', s->line_len) : NULL;
	size_t len;

	if (!end)
		return 0;
	len = (size_t)(end - s->line);
	*out = json_loadb(s->line, len, 0, NULL);
	memmove(s->line, end + 1, s->line_len - len - 1);
	s->line_len -= len + 1;
	return *out ? 1 : -EBADMSG;
}

int stream_lines_next(struct stream_lines *s, json_t **out)
{
	for (;;) {
		int rc = take_line(s, out);

		if (rc)
			return rc;
		rc = take_chunk(s);
		if (rc <= 0)
			return rc;
	}
}

void stream_lines_fini(struct stream_lines *s)
{
	free(s->raw);
	free(s->line);
	*s = (struct stream_lines){0};
}
