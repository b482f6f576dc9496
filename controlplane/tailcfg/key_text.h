/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as the control protocol writes them: a prefix that names the kind and 64
 * hexadecimal digits (docs/protocol/control.md, "Text forms and JSON"). Any thread.
 */
#ifndef CONTROLPLANE_TAILCFG_KEY_TEXT_H
#define CONTROLPLANE_TAILCFG_KEY_TEXT_H

#include "lib/base/key.h"

#define KEY_TEXT_NODE	   "nodekey:"
#define KEY_TEXT_MACHINE   "mkey:"
#define KEY_TEXT_DISCO	   "discokey:"
#define KEY_TEXT_CHALLENGE "chalpub:"
#define KEY_TEXT_PRIVATE   "privkey:"
#define KEY_TEXT_MAX	   (16 + KEY_HEX_MAX)

/* Digits of either case. 0, or -EINVAL with out untouched. */
int key_text_parse(const char *text, const char *prefix, struct key *out);
/* Lower case. Returns buf, which holds KEY_TEXT_MAX bytes; prefix: one of the above. */
const char *key_text_print(const struct key *k, const char *prefix, char *buf);

#endif
