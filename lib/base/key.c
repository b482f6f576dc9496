/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/bug.h"
#include "lib/base/fileio.h"
#include "lib/base/log.h"

/* A key and some white space; a longer file is not a key file. */
#define KEY_FILE_MAX 128

/* Hands over what was parsed, if it was a key, and leaves nothing behind. */
static int take(struct key *parsed, bool is_key, struct key *out)
{
	if (is_key)
		*out = *parsed;
	key_wipe(parsed);
	return is_key ? 0 : -EINVAL;
}

int key_parse_base64(const char *text, struct key *out)
{
	struct key k;
	const char *end;
	size_t len;
	bool is_key = strnlen(text, KEY_BASE64_LEN + 1) == KEY_BASE64_LEN &&
		      sodium_base642bin(k.bytes, sizeof(k.bytes), text, KEY_BASE64_LEN, NULL, &len,
					&end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
		      len == KEY_BYTES && *end == '\0';

	return take(&k, is_key, out);
}

int key_parse_hex(const char *text, struct key *out)
{
	struct key k;
	const char *end;
	size_t len;
	bool is_key = strnlen(text, KEY_HEX_LEN + 1) == KEY_HEX_LEN &&
		      sodium_hex2bin(k.bytes, sizeof(k.bytes), text, KEY_HEX_LEN, NULL, &len,
				     &end) == 0 &&
		      len == KEY_BYTES && *end == '\0';

	return take(&k, is_key, out);
}

const char *key_print_base64(const struct key *k, char *buf)
{
	return sodium_bin2base64(buf, KEY_BASE64_MAX, k->bytes, KEY_BYTES,
				 sodium_base64_VARIANT_ORIGINAL);
}

const char *key_print_hex(const struct key *k, char *buf)
{
	return sodium_bin2hex(buf, KEY_HEX_MAX, k->bytes, KEY_BYTES);
}

bool key_is_zero(const struct key *k)
{
	return sodium_is_zero(k->bytes, KEY_BYTES) == 1;
}

bool key_is_low_order(const struct key *k)
{
	/* Of order 1, 2, 4 and 8, here and on the twist, and what is these modulo 2^255 - 19. */
	static const struct key points[] = {
		{{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}},
		{{0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}},
		{{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
		  0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
		  0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}},
		{{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
		  0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
		  0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57}},
		{{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}},
		{{0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}},
		{{0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}},
	};
	struct key masked = *k;

	masked.bytes[KEY_BYTES - 1] &= 0x7f; /* X25519 ignores the highest bit */
	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		if (memcmp(masked.bytes, points[i].bytes, KEY_BYTES) == 0)
			return true;
	return false;
}

bool key_equal(const struct key *a, const struct key *b)
{
	return sodium_memcmp(a->bytes, b->bytes, KEY_BYTES) == 0;
}

void key_wipe(struct key *k)
{
	sodium_memzero(k->bytes, KEY_BYTES);
}

/* Length of text without the white space behind it. */
static size_t trimmed_len(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL && text[len - 1] != '\0')
		len--;
	return len;
}

int key_read_file(const char *path, struct key *out)
{
	char text[KEY_FILE_MAX + 1];
	struct stat st;
	ssize_t n;
	int err;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && (st.st_mode & 077) != 0)
		log_warn("key.file_mode", "path=\"%s\" mode=%04o hint=\"chmod 600\"", path,
			 st.st_mode & 07777);
	n = read(fd, text, KEY_FILE_MAX);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err == 0) {
		text[trimmed_len(text, (size_t)n)] = '\0';
		err = key_parse_base64(text, out);
	}
	sodium_memzero(text, sizeof(text));
	return err;
}

int key_write_file(const char *path, const struct key *k)
{
	char text[KEY_BASE64_MAX];
	int err;

	key_print_base64(k, text);
	text[KEY_BASE64_LEN] = '\n';
	err = file_write_atomic(path, text, KEY_BASE64_LEN + 1, 0600);
	sodium_memzero(text, sizeof(text));
	return err;
}
