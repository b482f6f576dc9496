/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, as RFC 3629 has it: no overlong forms, no surrogates, up to U+10FFFF. */
#ifndef LIB_BASE_UTF8_H
#define LIB_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX 4

/* Bytes of the character that text begins with, 0 if it is none. */
size_t utf8_char_len(const char *text, size_t len);
/* Writes a code point (not a surrogate) to buf, UTF8_MAX bytes; bytes written. */
size_t utf8_put(uint32_t code_point, char *buf);

#endif
