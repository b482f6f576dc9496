/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/json_out.h"

void import_private_key_path(const char *dir, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/node.key", dir);
}

void import_preshared_key_path(const char *dir, const struct wgquick_peer *peer,
			       char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/psk-%s.key", dir, peer->name);
}

/* 0: not there, or the same key. */
static int may_write(const char *path, const struct key *key)
{
	struct stat st;
	struct key old;
	int err;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	err = key_read_file(path, &old);
	if (err == 0 && !key_equal(&old, key))
		err = -EEXIST;
	key_wipe(&old);
	return err == -EINVAL ? -EEXIST : err;
}

int import_write_keys(const struct wgquick *wg, const char *dir, bool force, char failed[PATH_MAX])
{
	int err;

	import_private_key_path(dir, failed);
	err = force ? 0 : may_write(failed, &wg->private_key);
	for (size_t i = 0; !force && err == 0 && i < wg->peer_count; i++) {
		if (!wg->peers[i].has_preshared_key)
			continue;
		import_preshared_key_path(dir, &wg->peers[i], failed);
		err = may_write(failed, &wg->peers[i].preshared_key);
	}
	if (err < 0)
		return err;
	import_private_key_path(dir, failed);
	err = key_write_file(failed, &wg->private_key);
	for (size_t i = 0; err == 0 && i < wg->peer_count; i++) {
		if (!wg->peers[i].has_preshared_key)
			continue;
		import_preshared_key_path(dir, &wg->peers[i], failed);
		err = key_write_file(failed, &wg->peers[i].preshared_key);
	}
	return err;
}

/* A string as JSON has it; paths may hold anything. */
static void put_string(FILE *out, const char *text)
{
	struct json_out j;

	json_out_init(&j);
	json_out_string(&j, NULL, text);
	fputs(j.error == 0 ? j.text : "\"\"", out);
	json_out_fini(&j);
}

static void put_comment_text(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		fputc((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f ? '?' : *text,
		      out);
}

static void put_head(const struct wgquick *wg, const char *source, FILE *out)
{
	fputs("// node.hujson, made from the wg-quick file ", out);
	put_comment_text(out, source);
	fputs(".\n", out);
	if (wg->listen_port != 0)
		fprintf(out,
			"// ListenPort = %u belongs to causeway-dp: --port "
			"kernel:tun=cw0,listen=%u\n",
			wg->listen_port, wg->listen_port);
	for (size_t i = 0; i < wg->note_count; i++) {
		fprintf(out, "// Not taken over, line %u: ", wg->notes[i].line);
		put_comment_text(out, wg->notes[i].text);
		fputc('\n', out);
	}
}

static void put_addresses(const struct wgquick *wg, FILE *out)
{
	char addr[ADDR_STR_MAX];

	fputs("\t\"addresses\": [", out);
	for (size_t i = 0; i < wg->address_count; i++)
		fprintf(out, "%s\"%s/%u\"", i > 0 ? ", " : "",
			addr_print(&wg->addresses[i].addr, addr), wg->addresses[i].prefix_len);
	fputs("],\n", out);
}

static void put_filter(bool allow_all, FILE *out)
{
	if (allow_all) {
		fputs("\t\"filter\": \"allow-all\",\n", out);
		return;
	}
	fputs("\t// A wg-quick file has no packet filter, and without one nothing passes here.\n"
	      "\t// Give rules, or take the next line in (debug import --allow-all does):\n"
	      "\t// \"filter\": \"allow-all\",\n",
	      out);
}

static void put_peer(const struct wgquick_peer *p, const char *dir, FILE *out)
{
	char key[KEY_BASE64_MAX], endpoint[ENDPOINT_STR_MAX], prefix[PREFIX_STR_MAX];
	char path[PATH_MAX];

	fprintf(out, "\t\t{\n\t\t\t\"name\": \"%s\",\n\t\t\t\"public_key\": \"%s\",\n", p->name,
		key_print_base64(&p->public_key, key));
	if (p->has_preshared_key) {
		import_preshared_key_path(dir, p, path);
		fputs("\t\t\t\"preshared_key_file\": ", out);
		put_string(out, path);
		fputs(",\n", out);
	}
	if (p->endpoint.addr.family != 0)
		fprintf(out, "\t\t\t\"endpoint\": \"%s\",\n",
			endpoint_print(&p->endpoint, endpoint));
	fputs("\t\t\t\"allowed_ips\": [", out);
	for (size_t i = 0; i < p->allowed_count; i++)
		fprintf(out, "%s\"%s\"", i > 0 ? ", " : "", prefix_print(&p->allowed[i], prefix));
	fputs("],\n", out);
	if (p->keepalive_s != 0)
		fprintf(out, "\t\t\t\"persistent_keepalive\": %u,\n", p->keepalive_s);
	fputs("\t\t},\n", out);
}

void import_print_config(const struct wgquick *wg, const char *dir, const char *source,
			 bool allow_all, FILE *out)
{
	char path[PATH_MAX];

	put_head(wg, source, out);
	import_private_key_path(dir, path);
	fputs("{\n\t\"private_key_file\": ", out);
	put_string(out, path);
	fputs(",\n", out);
	put_addresses(wg, out);
	if (wg->mtu != 0)
		fprintf(out, "\t\"mtu\": %u,\n", wg->mtu);
	put_filter(allow_all, out);
	fputs("\t\"peers\": [\n", out);
	for (size_t i = 0; i < wg->peer_count; i++)
		put_peer(&wg->peers[i], dir, out);
	fputs("\t],\n}\n", out);
}
