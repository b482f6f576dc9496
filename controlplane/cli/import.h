/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `causeway debug import` makes of a wg-quick file: key files in a state
 * folder, and the text of a node.hujson that names them.
 */
#ifndef CONTROLPLANE_CLI_IMPORT_H
#define CONTROLPLANE_CLI_IMPORT_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "controlplane/cli/wgquick.h"

/* DIR/node.key, DIR/psk-NAME.key. */
void import_private_key_path(const char *dir, char path[PATH_MAX]);
void import_preshared_key_path(const char *dir, const struct wgquick_peer *peer,
			       char path[PATH_MAX]);

/*
 * Writes all key files, mode 0600. Without force nothing is written if one of them
 * is there with something else in it: -EEXIST. failed gets the path of an error.
 */
int import_write_keys(const struct wgquick *wg, const char *dir, bool force, char failed[PATH_MAX]);

/* source: the file's name, for the first comment. */
void import_print_config(const struct wgquick *wg, const char *dir, const char *source,
			 bool allow_all, FILE *out);

#endif
