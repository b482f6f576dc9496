/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of 32 bytes: private, public and preshared ones. Text is base64 as
 * WireGuard's tools print it (44 characters, the last one '=') or lower-case
 * hexadecimal (64). Parsing takes a time that does not depend on the key.
 * Any thread. Who holds a secret key wipes it with key_wipe.
 */
#ifndef LIB_BASE_KEY_H
#define LIB_BASE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_BYTES      32
#define KEY_BASE64_LEN 44
#define KEY_BASE64_MAX 45 /* with the closing zero */
#define KEY_HEX_LEN    64
#define KEY_HEX_MAX    65

struct key {
	uint8_t bytes[KEY_BYTES];
};

/* The whole text must be the key. 0, or -EINVAL with out untouched. */
int key_parse_base64(const char *text, struct key *out);
int key_parse_hex(const char *text, struct key *out);
/* Return buf, which holds at least KEY_BASE64_MAX or KEY_HEX_MAX bytes. */
const char *key_print_base64(const struct key *k, char *buf);
const char *key_print_hex(const struct key *k, char *buf);

bool key_is_zero(const struct key *k);
/* A point of Curve25519 with which every shared secret is zero: no public key. */
bool key_is_low_order(const struct key *k);
bool key_equal(const struct key *a, const struct key *b);
void key_wipe(struct key *k);

/*
 * A file with one key in base64 and at most white space behind it. Warns in the
 * log if others than the owner may read it. 0, or a negative errno (-EINVAL:
 * it holds no key).
 */
int key_read_file(const char *path, struct key *out);
/* Writes the key in base64 and a newline, mode 0600, atomically. */
int key_write_file(const char *path, const struct key *k);

#endif
