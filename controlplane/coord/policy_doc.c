/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/policy_doc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/base/fileio.h"
#include "lib/base/log.h"

static void log_message(const char *path, const struct policy_message *m)
{
	if (m->is_warning)
		log_warn("policy.file", "at=%s:%u:%u warning=\"%s\"", path, m->line, m->column,
			 m->text);
	else
		log_error("policy.file", "at=%s:%u:%u error=\"%s\"", path, m->line, m->column,
			  m->text);
}

int policy_doc_load(const char *path, char **out)
{
	struct policy_report report = {0};
	struct policy *p = NULL;
	size_t len;
	int rc = file_read_all(path, POLICY_DOC_MAX, out, &len);

	if (rc) {
		log_error("policy.file", "path=%s error=\"%s\"", path, strerror(-rc));
		return rc;
	}
	rc = policy_parse(*out, len, &p, &report);
	for (uint32_t i = 0; i < report.count; i++)
		log_message(path, &report.messages[i]);
	policy_report_fini(&report);
	policy_free(p);
	if (rc) {
		free(*out);
		*out = NULL;
	}
	return rc;
}

static void put_lines(FILE *to, const struct policy_report *r, const char *file)
{
	for (uint32_t i = 0; i < r->count; i++)
		fprintf(to, "%s:%u:%u: %s%s\n", file, r->messages[i].line, r->messages[i].column,
			r->messages[i].is_warning ? "warning: " : "", r->messages[i].text);
}

int policy_doc_check(const struct policy_live *live, const char *file, const char *text,
		     char **messages)
{
	struct policy_report report, tested = {0};
	struct policy *p = NULL;
	size_t len;
	FILE *to = open_memstream(messages, &len);
	int rc = to ? policy_parse(text, strlen(text), &p, &report) : -ENOMEM;

	if (!to)
		return rc;
	if (!rc)
		rc = policy_live_run_tests(live, p, &tested);
	put_lines(to, &report, file);
	put_lines(to, &tested, file);
	policy_report_fini(&report);
	policy_report_fini(&tested);
	policy_free(p);
	return fclose(to) ? -ENOMEM : rc;
}
