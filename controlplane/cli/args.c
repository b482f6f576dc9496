/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/nearest.h"

#define NAMES_MAX 64

static const struct arg *find(const struct arg *args, const char *name, size_t len)
{
	for (; args->name; args++)
		if (strlen(args->name) == len && memcmp(args->name, name, len) == 0)
			return args;
	return NULL;
}

static int unknown(const struct arg *args, const char *name, size_t len, char err[ARGS_ERROR_MAX])
{
	const char *names[NAMES_MAX] = {NULL};
	const char *nearest;

	for (unsigned i = 0; args[i].name && i + 1 < NAMES_MAX; i++)
		names[i] = args[i].name;
	nearest = nearest_name(name, len, names);
	snprintf(err, ARGS_ERROR_MAX, "no option --%.*s%s%s%s", (int)len, name,
		 nearest ? " (is --" : "", nearest ? nearest : "", nearest ? " meant?)" : "");
	return -1;
}

static bool is_boolean(const char *text)
{
	return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

/* How many words it takes: 1 or 2, or -1. */
static int take_one(const struct arg *args, char **argv, char err[ARGS_ERROR_MAX])
{
	const char *name = argv[0] + (argv[0][1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct arg *a = find(args, name, len);

	if (!a)
		return unknown(args, name, len, err);
	if (*a->value) {
		snprintf(err, ARGS_ERROR_MAX, "--%s is given twice", a->name);
		return -1;
	}
	if (a->is_switch) {
		*a->value = equals ? equals + 1 : "true";
		if (is_boolean(*a->value))
			return 1;
		snprintf(err, ARGS_ERROR_MAX, "--%s is true or false, not \"%s\"", a->name,
			 equals + 1);
		return -1;
	}
	*a->value = equals ? equals + 1 : argv[1];
	if (*a->value)
		return equals ? 1 : 2;
	snprintf(err, ARGS_ERROR_MAX, "--%s wants a value", a->name);
	return -1;
}

int args_take(const struct arg *args, int argc, char **argv, char err[ARGS_ERROR_MAX])
{
	int kept = 1;

	for (int i = 1; i < argc;) {
		int n;

		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[kept++] = argv[i++];
			continue;
		}
		n = take_one(args, argv + i, err);
		if (n < 0)
			return -1;
		i += n;
	}
	argv[kept] = NULL;
	return kept - 1;
}

bool args_is_on(const char *value, bool otherwise)
{
	return value ? strcmp(value, "true") == 0 : otherwise;
}

bool args_duration(const char *text, unsigned long long *ns)
{
	static const struct {
		const char *name;
		unsigned long long ns;
	} units[] = {{"ms", NS_PER_MS}, {"us", NS_PER_US},	{"ns", 1},
		     {"s", NS_PER_SEC}, {"m", 60 * NS_PER_SEC}, {"h", 3600 * NS_PER_SEC}};
	unsigned long long sum = 0;

	if (strcmp(text, "0") == 0) {
		*ns = 0;
		return true;
	}
	if (!text[0])
		return false;
	while (*text) {
		char *end;
		double number = strtod(text, &end);
		unsigned i = 0;

		if (end == text || !(number >= 0 && number < 1e9))
			return false;
		while (i < 6 && strncmp(end, units[i].name, strlen(units[i].name)) != 0)
			i++;
		if (i == 6)
			return false;
		sum += (unsigned long long)(number * (double)units[i].ns);
		text = end + strlen(units[i].name);
	}
	*ns = sum;
	return true;
}
