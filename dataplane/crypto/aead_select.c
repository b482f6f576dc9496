/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of engines and the choice of one, on the control thread at start.
 * A supported engine that fails a check is a reason not to start at all, even
 * when another was asked for: the machine computes wrong, or the build is.
 */
#include <errno.h>

#include "dataplane/crypto/aead_engines.h"
#include "lib/base/bug.h"
#include "lib/base/nearest.h"

const struct aead_engine *const aead_engines[] = {
	&aead_mixed, &aead_ipsecmb, &aead_mb_avx512.engine, &aead_mb_avx2.engine, &aead_sodium,
	&aead_ref,   NULL,
};

/* Widest vectors first. */
static const struct aead_mb *const mb_sets[] = {&aead_mb_avx512, &aead_mb_avx2};

const struct aead_mb *aead_mb_best(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mb_sets); i++)
		if (mb_sets[i]->engine.is_supported())
			return mb_sets[i];
	return NULL;
}

/* "mb" is the multi-buffer engine of this machine's best instruction set. */
static bool is_name_of(const char *name, const struct aead_engine *e)
{
	const struct aead_mb *best = aead_mb_best();

	if (strcmp(name, "mb") == 0)
		return e == &(best ? best : &aead_mb_avx2)->engine;
	return strcmp(name, e->name) == 0;
}

/* What *why points to; written by the one control thread. */
static char why_text[192];

static const struct aead_engine *refuse(const char **why)
{
	if (why)
		*why = why_text;
	return NULL;
}

static bool engine_passes(const struct aead_engine *e)
{
	int rc = aead_self_test(e);

	if (rc > 0)
		snprintf(why_text, sizeof(why_text), "engine %s fails known answer %d", e->name,
			 rc);
	else if (rc < 0)
		snprintf(why_text, sizeof(why_text), "engine %s: no context or memory", e->name);
	if (rc)
		return false;
	if (e == &aead_sodium)
		return true;
	rc = aead_kat_cross(&aead_sodium, e);
	if (rc)
		snprintf(why_text, sizeof(why_text), "engine %s disagrees with %s in batch %d",
			 e->name, aead_sodium.name, rc);
	return rc == 0;
}

#define ENGINES_MAX 16

/* Names the one that may have been meant, and all others. */
static void why_unknown(const char *name)
{
	const char *names[ENGINES_MAX + 2] = {"mb"};
	unsigned n = 1;
	int at;

	for (const struct aead_engine *const *e = aead_engines; *e; e++) {
		BUG_ON(n > ENGINES_MAX);
		names[n++] = (*e)->name;
	}
	at = snprintf(why_text, sizeof(why_text), "unknown engine %.32s; ", name);
	if (nearest_name(name, strlen(name), names))
		at += snprintf(why_text + at, sizeof(why_text) - (size_t)at, "the nearest is %s, ",
			       nearest_name(name, strlen(name), names));
	at += snprintf(why_text + at, sizeof(why_text) - (size_t)at, "all are");
	for (unsigned i = 0; i < n && (size_t)at < sizeof(why_text); i++)
		at += snprintf(why_text + at, sizeof(why_text) - (size_t)at, " %s", names[i]);
}

#define MIXED_FORCED "mixed:"

const struct aead_engine *aead_select(const char *name, const char **why)
{
	const struct aead_engine *chosen = NULL;
	bool is_known = false;

	if (name && strncmp(name, MIXED_FORCED, strlen(MIXED_FORCED)) == 0) {
		if (aead_mixed_force(name + strlen(MIXED_FORCED), why_text, sizeof(why_text)))
			return refuse(why);
		name = aead_mixed.name;
	}

	for (const struct aead_engine *const *e = aead_engines; *e; e++) {
		bool is_asked = name && is_name_of(name, *e);

		is_known |= is_asked;
		if (!(*e)->is_supported())
			continue;
		if (!engine_passes(*e))
			return refuse(why);
		if (is_asked || (!name && !chosen))
			chosen = *e;
	}
	if (chosen)
		return chosen;
	if (name && !is_known)
		why_unknown(name);
	else
		snprintf(why_text, sizeof(why_text), "CPU lacks what engine %.32s needs",
			 name ? name : "any");
	return refuse(why);
}
