/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/net/http_reply.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct head {
	int status;
	bool chunked;
	bool has_length;
	size_t length;
};

/* The number that text begins with, in base 10 or 16; digits taken, 0 = none or too large. */
static size_t parse_number(const char *text, size_t len, unsigned base, size_t *out)
{
	size_t value = 0;
	size_t n = 0;

	for (; n < len; n++) {
		char c = text[n];
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (base == 16 && (c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (unsigned)((c | 0x20) - 'a') + 10;
		else
			break;
		if (value > (SIZE_MAX - digit) / base)
			return 0;
		value = value * base + digit;
	}
	*out = value;
	return n;
}

static bool name_is(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n && strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* The value of a header: without the white space around it. */
static const char *value_of(const char *line, size_t *len)
{
	const char *value = (const char *)memchr(line, ':', *len) + 1;
	const char *end = line + *len;

	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*len = (size_t)(end - value);
	return value;
}

static int parse_header(const char *line, size_t len, struct head *head)
{
	const char *value;

	if (memchr(line, ':', len) == NULL)
		return -EBADMSG;
	if (name_is(line, len, "content-length")) {
		value = value_of(line, &len);
		if (len == 0 || parse_number(value, len, 10, &head->length) != len)
			return -EBADMSG;
		head->has_length = true;
	} else if (name_is(line, len, "transfer-encoding")) {
		value = value_of(line, &len);
		if (len != strlen("chunked") || strncasecmp(value, "chunked", len) != 0)
			return -EBADMSG;
		head->chunked = true;
	}
	return 0;
}

static int parse_status_line(const char *line, size_t len, struct head *head)
{
	size_t status;

	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
	    parse_number(line + 9, 3, 10, &status) != 3 || (len > 12 && line[12] != ' '))
		return -EBADMSG;
	head->status = (int)status;
	return 0;
}

/* The head ends at head_len, with an empty line. */
static int parse_head(const char *data, size_t head_len, struct head *head)
{
	size_t at = 0;

	memset(head, 0, sizeof(*head));
	/* The last two bytes are the empty line. */
	while (at + 2 < head_len) {
		size_t len = 0;
		int err;

		/* Found before the end: head_len was cut behind a line's end. */
		while (data[at + len] != '\r' || data[at + len + 1] != '\n')
			len++;
		err = at == 0 ? parse_status_line(data, len, head)
			      : parse_header(data + at, len, head);
		if (err < 0)
			return err;
		at += len + 2;
	}
	return 0;
}

/*
 * Walks the chunks; with join they are moved together at body. 1 = whole, 0 =
 * more is needed, -EBADMSG.
 */
static int walk_chunks(char *body, size_t len, bool join, size_t *joined)
{
	size_t at = 0;
	size_t total = 0;

	for (;;) {
		const char *eol = memmem(body + at, len - at, "\r\n", 2);
		size_t size, digits;

		if (eol == NULL)
			return len - at > 64 ? -EBADMSG : 0;
		digits = parse_number(body + at, (size_t)(eol - body) - at, 16, &size);
		/* Behind the size may stand an extension; we know none and skip it. */
		if (digits == 0 || (body[at + digits] != '\r' && body[at + digits] != ';' &&
				    body[at + digits] != ' '))
			return -EBADMSG;
		at = (size_t)(eol - body) + 2;
		/* The last chunk; a trailer section is of no use to us. */
		if (size == 0)
			break;
		if (size > len - at || len - at - size < 2)
			return 0;
		if (memcmp(body + at + size, "\r\n", 2) != 0)
			return -EBADMSG;
		if (join)
			memmove(body + total, body + at, size);
		total += size;
		at += size + 2;
	}
	*joined = total;
	return 1;
}

int http_reply_parse(char *data, size_t len, bool at_end, struct http_reply *reply)
{
	const char *blank = memmem(data, len, "\r\n\r\n", 4);
	struct head head;
	size_t head_len, rest;
	int rc;

	if (blank == NULL)
		return at_end ? -EBADMSG : 0;
	head_len = (size_t)(blank - data) + 4;
	rc = parse_head(data, head_len, &head);
	if (rc < 0)
		return rc;
	rest = len - head_len;
	reply->status = head.status;
	reply->body = data + head_len;
	reply->body_len = rest;
	if (head.chunked) {
		rc = walk_chunks(reply->body, rest, false, &reply->body_len);
		if (rc == 1)
			rc = walk_chunks(reply->body, rest, true, &reply->body_len);
	} else if (head.has_length) {
		rc = rest >= head.length;
		reply->body_len = head.length;
	} else {
		rc = at_end;
	}
	return rc == 0 && at_end ? -EBADMSG : rc;
}
