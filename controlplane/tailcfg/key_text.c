/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/tailcfg/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int key_text_parse(const char *text, const char *prefix, struct key *out)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? key_parse_hex(text + n, out) : -EINVAL;
}

const char *key_text_print(const struct key *k, const char *prefix, char *buf)
{
	char hex[KEY_HEX_MAX];

	snprintf(buf, KEY_TEXT_MAX, "%.15s%s", prefix, key_print_hex(k, hex));
	return buf;
}
