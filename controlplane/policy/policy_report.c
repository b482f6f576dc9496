/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_file.h"

#define MESSAGES_MAX 200 /* nobody reads more */

static struct policy_message *add(struct reading *r, struct hujson_place at)
{
	struct policy_report *rep = r->report;
	uint32_t at_index = rep->count;
	struct policy_message *m;

	if (rep->count == MESSAGES_MAX)
		return NULL;
	if (rep->count == rep->room) {
		uint32_t room = rep->room ? 2 * rep->room : 8;

		m = realloc(rep->messages, room * sizeof(*m));
		if (!m) {
			r->no_memory = true;
			return NULL;
		}
		rep->messages = m;
		rep->room = room;
	}
	/* By place: most come in order. */
	while (at_index && (rep->messages[at_index - 1].line > at.line ||
			    (rep->messages[at_index - 1].line == at.line &&
			     rep->messages[at_index - 1].column > at.column)))
		at_index--;
	m = &rep->messages[at_index];
	memmove(m + 1, m, (rep->count - at_index) * sizeof(*m));
	*m = (struct policy_message){.line = at.line, .column = at.column};
	rep->count++;
	return m;
}

static void say(struct reading *r, struct hujson_place at, bool is_warning, const char *fmt,
		va_list ap)
{
	struct policy_message *m = add(r, at);

	r->report->errors += !is_warning;
	if (!m)
		return;
	m->is_warning = is_warning;
	vsnprintf(m->text, sizeof(m->text), fmt, ap);
	for (char *c = m->text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
}

void policy_complain(struct reading *r, struct hujson_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(r, at, false, fmt, ap);
	va_end(ap);
}

void policy_warn(struct reading *r, struct hujson_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(r, at, true, fmt, ap);
	va_end(ap);
}

void policy_report_fini(struct policy_report *r)
{
	free(r->messages);
	*r = (struct policy_report){0};
}
