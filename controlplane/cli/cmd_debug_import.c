/* SPDX-License-Identifier: Apache-2.0 */
/* debug import FILE: a wg-quick file becomes a node.hujson on stdout and key files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/import.h"
#include "lib/base/fileio.h"
#include "lib/base/harden.h"
#include "lib/base/json_out.h"

#define WGQUICK_FILE_MAX ((size_t)16 << 20)

struct request {
	const char *file;
	const char *dir;
	bool force;
	bool allow_all;
};

static int parse_words(int argc, char **argv, struct request *req)
{
	*req = (struct request){.dir = CLI_STATE_DEFAULT};
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--force") == 0)
			req->force = true;
		else if (strcmp(argv[i], "--allow-all") == 0)
			req->allow_all = true;
		else if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
			req->dir = argv[++i];
		else if (argv[i][0] != '-' && req->file == NULL)
			req->file = argv[i];
		else
			return -EINVAL;
	}
	return req->file != NULL ? 0 : -EINVAL;
}

static int read_file(const struct cli *cli, const char *file, struct wgquick **wg)
{
	struct wgquick_error err;
	char *text;
	size_t len;
	int rc = file_read_all(file, WGQUICK_FILE_MAX, &text, &len);

	if (rc < 0)
		return cli_fail(cli, CLI_FAILED, "%s: %s", file, strerror(-rc));
	rc = wgquick_parse(text, len, wg, &err);
	explicit_bzero(text, len);
	free(text);
	if (rc == -EINVAL)
		return cli_fail(cli, CLI_FAILED, "%s:%u: %s", file, err.line, err.text);
	if (rc < 0)
		return cli_fail(cli, CLI_FAILED, "%s: %s", file, strerror(-rc));
	return CLI_OK;
}

/* The folder is made if it is missing, and named from the root in the configuration. */
static int write_keys(const struct cli *cli, const struct wgquick *wg, const struct request *req,
		      char dir[PATH_MAX])
{
	char failed[PATH_MAX];
	int rc;

	if ((mkdir(req->dir, 0700) < 0 && errno != EEXIST) || realpath(req->dir, dir) == NULL)
		return cli_fail(cli, CLI_FAILED, "%s: %s", req->dir, strerror(errno));
	rc = import_write_keys(wg, dir, req->force, failed);
	if (rc == -EEXIST)
		return cli_fail(cli, CLI_FAILED,
				"%s holds another key; nothing was written (--force replaces it)",
				failed);
	if (rc < 0)
		return cli_fail(cli, CLI_FAILED, "%s: %s", failed, strerror(-rc));
	return CLI_OK;
}

static void warn_of_filter(const struct request *req)
{
	if (req->allow_all)
		fprintf(stderr, "causeway: warning: the filter is \"allow-all\": peers reach "
				"everything behind this node\n");
	else
		fprintf(stderr,
			"causeway: warning: the configuration has no filter, so nothing will "
			"pass; give \"filter\" rules, or import with --allow-all\n");
}

static int print_json(const struct cli *cli, const struct wgquick *wg, const char *dir,
		      const char *config, bool allow_all)
{
	char path[PATH_MAX];
	struct json_out j;
	int code = CLI_OK;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_string(&j, "config", config);
	json_out_string(&j, "filter", allow_all ? "allow-all" : NULL);
	import_private_key_path(dir, path);
	json_out_string(&j, "private_key_file", path);
	json_out_array(&j, "preshared_key_files");
	for (size_t i = 0; i < wg->peer_count; i++) {
		if (!wg->peers[i].has_preshared_key)
			continue;
		import_preshared_key_path(dir, &wg->peers[i], path);
		json_out_string(&j, NULL, path);
	}
	json_out_end(&j);
	json_out_u64(&j, "listen_port", wg->listen_port);
	json_out_array(&j, "not_taken_over");
	for (size_t i = 0; i < wg->note_count; i++)
		json_out_string(&j, NULL, wg->notes[i].text);
	json_out_end(&j);
	json_out_end(&j);
	if (j.error == 0)
		printf("%s\n", j.text);
	else
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	json_out_fini(&j);
	return code;
}

static int print_config(const struct cli *cli, const struct wgquick *wg, const char *dir,
			const struct request *req)
{
	char *config = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&config, &len);
	int code = CLI_OK;

	if (out == NULL)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	import_print_config(wg, dir, req->file, req->allow_all, out);
	if (fclose(out) != 0)
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	else if (cli->json)
		code = print_json(cli, wg, dir, config, req->allow_all);
	else
		fputs(config, stdout);
	free(config);
	return code;
}

int cmd_debug_import(const struct cli *cli, int argc, char **argv)
{
	struct wgquick *wg = NULL;
	struct request req;
	char dir[PATH_MAX];
	int code;

	if (parse_words(argc, argv, &req) < 0)
		return cli_usage(cli, "debug");
	/* Keys pass through here. Where it cannot be had, that is no reason to refuse. */
	harden_no_dumps();
	code = read_file(cli, req.file, &wg);
	if (code != CLI_OK)
		return code;
	code = write_keys(cli, wg, &req, dir);
	if (code == CLI_OK)
		code = print_config(cli, wg, dir, &req);
	if (code == CLI_OK)
		warn_of_filter(&req);
	wgquick_free(wg);
	return code;
}
