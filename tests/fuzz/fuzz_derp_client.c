/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds what the DERP client reads of a relay or a proxy: the head of an answer, frames in two
 * pieces and whole (the same has to be seen), a ServerInfo sealed for us, and proxies' URLs.
 */
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/derp_client/derp_hello.h"
#include "controlplane/derp_client/derp_http.h"
#include "controlplane/derp_client/derp_proxy.h"
#include "controlplane/derp_client/derp_reader.h"
#include "lib/base/bug.h"
#include "lib/wire/derp_frame.h"

#define TEXT_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t frames, bytes;
	uint64_t sum;
};

static bool on_frame(void *arg, uint8_t type, const uint8_t *body, size_t len)
{
	struct seen *s = arg;

	s->frames++;
	s->bytes += DERP_HEADER_BYTES + len;
	s->sum = s->sum * 31 + type + len;
	for (size_t i = 0; i < len; i++)
		s->sum = s->sum * 31 + body[i];
	return true;
}

static void frames(const uint8_t *data, size_t size, bool wants_key)
{
	struct derp_reader one = {.wants_key = wants_key}, two = one;
	struct seen a = {0}, b = {0};
	char why[DERP_READER_WHY_MAX];
	size_t cut = size ? data[0] % size : 0;
	int rc = derp_reader_feed(&one, data, size, on_frame, &a, why), again;

	again = derp_reader_feed(&two, data, cut, on_frame, &b, why);
	if (!again)
		again = derp_reader_feed(&two, data + cut, size - cut, on_frame, &b, why);
	BUG_ON(rc != again || a.frames != b.frames || a.sum != b.sum);
	BUG_ON(one.passed_over != two.passed_over || one.to_skip != two.to_skip);
	BUG_ON(a.bytes > size || one.held_len > size);
	derp_reader_fini(&one);
	derp_reader_fini(&two);
}

static void head(const uint8_t *data, size_t size)
{
	struct derp_http *one = calloc(1, sizeof(*one)), *two = calloc(1, sizeof(*two));
	size_t used = 0, used_first = 0, cut = size / 2;
	char line[80];
	int rc, again;

	BUG_ON(!one || !two);
	rc = derp_http_add(one, data, size, &used);
	again = derp_http_add(two, data, cut, &used_first);
	if (again == 0) {
		again = derp_http_add(two, data + cut, size - cut, &used_first);
		used_first += cut;
	}
	BUG_ON(rc != again || used > size || (rc > 0 && used != used_first));
	BUG_ON(strlen(derp_http_line(one, line, sizeof(line))) >= sizeof(line));
	free(one);
	free(two);
}

/* Behind a box that opens, or as the box itself. */
static void info(const uint8_t *data, size_t size)
{
	static struct derp_hello_keys node;
	static struct key relay_private, relay;
	char why[DERP_HELLO_WHY_MAX];
	uint8_t body[DERP_NONCE_BYTES + DERP_TAG_BYTES + TEXT_MAX] = {0};
	struct derp_server_info out;

	if (key_is_zero(&relay)) {
		crypto_box_keypair(node.public_key.bytes, node.private_key.bytes);
		crypto_box_keypair(relay.bytes, relay_private.bytes);
	}
	BUG_ON(derp_hello_get(&node, &relay, data, size, &out, why) == 0);
	if (size > TEXT_MAX)
		return;
	BUG_ON(crypto_box_easy(body + DERP_NONCE_BYTES, data, size, body, node.public_key.bytes,
			       relay_private.bytes));
	derp_hello_get(&node, &relay, body, DERP_NONCE_BYTES + DERP_TAG_BYTES + size, &out, why);
}

static char text[TEXT_MAX];

static char *env(const char *name)
{
	return strcmp(name, "ALL_PROXY") == 0 ? NULL : text;
}

static void proxy(const uint8_t *data, size_t size)
{
	char why[DERP_PROXY_WHY_MAX];
	struct derp_proxy p;

	if (size >= sizeof(text))
		return;
	memcpy(text, data, size);
	text[size] = 0;
	if (derp_proxy_find(env, "relay.example", 443, &p, why) == 1)
		BUG_ON(!p.port || !p.host[0] || strlen(p.host) >= sizeof(p.host));
	derp_proxy_find(env, "192.0.2.1", 443, &p, why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	frames(data, size, false);
	frames(data, size, true);
	head(data, size);
	info(data, size);
	proxy(data, size);
	return 0;
}
