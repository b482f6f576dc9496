/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/utf8.h"

/* Smallest code point that a sequence of this many bytes may stand for. */
static const uint32_t smallest[UTF8_MAX + 1] = {0, 0, 0x80, 0x800, 0x10000};

size_t utf8_char_len(const char *text, size_t len)
{
	uint32_t code_point;
	unsigned char lead;
	size_t need;

	if (len == 0)
		return 0;
	lead = (unsigned char)text[0];
	if (lead < 0x80)
		return 1;
	if (lead < 0xc0 || lead > 0xf7)
		return 0;
	need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (len < need)
		return 0;
	code_point = lead & (0x7fu >> need);
	for (size_t i = 1; i < need; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
		code_point = code_point << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (code_point < smallest[need] || code_point > 0x10ffff ||
	    (code_point >= 0xd800 && code_point <= 0xdfff))
		return 0;
	return need;
}

size_t utf8_put(uint32_t code_point, char *buf)
{
	if (code_point < 0x80) {
		buf[0] = (char)code_point;
		return 1;
	}
	if (code_point < 0x800) {
		buf[0] = (char)(0xc0 | code_point >> 6);
		buf[1] = (char)(0x80 | (code_point & 0x3f));
		return 2;
	}
	if (code_point < 0x10000) {
		buf[0] = (char)(0xe0 | code_point >> 12);
		buf[1] = (char)(0x80 | (code_point >> 6 & 0x3f));
		buf[2] = (char)(0x80 | (code_point & 0x3f));
		return 3;
	}
	buf[0] = (char)(0xf0 | code_point >> 18);
	buf[1] = (char)(0x80 | (code_point >> 12 & 0x3f));
	buf[2] = (char)(0x80 | (code_point >> 6 & 0x3f));
	buf[3] = (char)(0x80 | (code_point & 0x3f));
	return 4;
}
