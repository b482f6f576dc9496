/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The completion is written out of the table of verbs, so that it cannot lag
 * behind. configs/completion/causeway.bash is its output, kept for packages; a
 * test compares the two.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "lib/base/json_out.h"

static void print_head(FILE *out)
{
	fprintf(out, "# SPDX-License-Identifier: Apache-2.0\n"
		     "# Completion of causeway for bash, printed by `causeway completion bash`.\n"
		     "_causeway()\n"
		     "{\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
		     "\tlocal verb= sub= words= i\n"
		     "\n"
		     "\tcase $prev in\n"
		     "\t--socket | --dp-socket | --state)\n"
		     "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		     "\t\treturn\n"
		     "\t\t;;\n"
		     "\tesac\n"
		     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		     "\t\tcase ${COMP_WORDS[i]} in\n"
		     "\t\t--socket | --dp-socket | --state | --limit) ((i++)) ;;\n"
		     "\t\t-*) ;;\n"
		     "\t\t*)\n"
		     "\t\t\tif [[ -z $verb ]]; then\n"
		     "\t\t\t\tverb=${COMP_WORDS[i]}\n"
		     "\t\t\telif [[ -z $sub ]]; then\n"
		     "\t\t\t\tsub=${COMP_WORDS[i]}\n"
		     "\t\t\tfi\n"
		     "\t\t\t;;\n"
		     "\t\tesac\n"
		     "\tdone\n"
		     "\tcase $verb,$sub in\n");
}

static void print_verbs(FILE *out)
{
	fprintf(out, "\t,*) words=\"");
	for (unsigned i = 0; i < cli_verb_count; i++)
		fprintf(out, "%s%s", i > 0 ? " " : "", cli_verbs[i].name);
	fprintf(out, "\" ;;\n");
	for (unsigned i = 0; i < cli_verb_count; i++) {
		const struct cli_verb *v = &cli_verbs[i];

		if (v->sub == NULL) {
			if (v->words[0] != '\0')
				fprintf(out, "\t%s,*) words=\"%s\" ;;\n", v->name, v->words);
			continue;
		}
		fprintf(out, "\t%s,) words=\"%s\" ;;\n", v->name, v->sub);
		if (v->words[0] != '\0')
			fprintf(out, "\t%s,%.*s) words=\"%s\" ;;\n", v->name,
				(int)strcspn(v->sub, " "), v->sub, v->words);
	}
	fprintf(out,
		"\tesac\n"
		"\tmapfile -t COMPREPLY < <(compgen -W \"$words %s\" -- \"$cur\")\n"
		"\tif [[ $verb,$sub == @(debug,import|coord,policy) && $cur != -* ]]; then\n"
		"\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		"\tfi\n"
		"}\n"
		"complete -o filenames -F _causeway causeway\n",
		cli_global_options);
}

static int completion_json(const struct cli *cli, const char *text)
{
	struct json_out j;
	int code = CLI_OK;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_string(&j, "shell", "bash");
	json_out_string(&j, "text", text);
	json_out_end(&j);
	if (j.error == 0)
		printf("%s\n", j.text);
	else
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	json_out_fini(&j);
	return code;
}

int cmd_completion(const struct cli *cli, int argc, char **argv)
{
	char *text = NULL;
	size_t len = 0;
	int code = CLI_OK;
	FILE *out;

	if (argc != 2 || strcmp(argv[1], "bash") != 0)
		return cli_usage(cli, "completion");
	out = open_memstream(&text, &len);
	if (out == NULL)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	print_head(out);
	print_verbs(out);
	if (fclose(out) != 0)
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	else if (cli->json)
		code = completion_json(cli, text);
	else
		fputs(text, stdout);
	free(text);
	return code;
}
