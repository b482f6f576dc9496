/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_http.h"

#include <errno.h>
#include <string.h>

#include "controlplane/net/http_reply.h"

int derp_http_add(struct derp_http *h, const uint8_t *data, size_t len, size_t *used)
{
	size_t before = h->len, n = len < sizeof(h->data) - before ? len : sizeof(h->data) - before;
	const char begin[] = "HTTP/1.", *blank;
	struct http_reply reply;
	size_t head_len;

	memcpy(h->data + before, data, n);
	h->len += n;
	*used = n;
	/* A server of another protocol may never send an empty line. */
	if (memcmp(h->data, begin, h->len < sizeof(begin) - 1 ? h->len : sizeof(begin) - 1) != 0)
		return -EBADMSG;
	blank = memmem(h->data, h->len, "\r\n\r\n", 4);
	if (!blank)
		return h->len < sizeof(h->data) ? 0 : -EMSGSIZE;
	head_len = (size_t)(blank - h->data) + 4;
	*used = head_len - before;
	h->len = head_len;
	/* No body is read: what follows is another protocol. */
	if (http_reply_parse(h->data, head_len, false, &reply) < 0 || reply.status <= 0)
		return -EBADMSG;
	return reply.status;
}

const char *derp_http_line(const struct derp_http *h, char *out, size_t room)
{
	size_t n = 0;

	while (n < h->len && n + 1 < room && h->data[n] != '\r' && h->data[n] != '\n') {
		unsigned char c = (unsigned char)h->data[n];

		out[n++] = c < ' ' || c > '~' ? '?' : (char)c;
	}
	out[n] = 0;
	return out;
}
