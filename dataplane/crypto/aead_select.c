/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of engines and the choice of one, on the control thread at start.
 * A supported engine that fails a check is a reason not to start at all, even
 * when another was asked for: the machine computes wrong, or the build is.
 */
#include <errno.h>

#include "dataplane/crypto/aead_engines.h"

const struct aead_engine *const aead_engines[] = {
	&aead_mixed, &aead_ipsecmb, &aead_mb, &aead_sodium, NULL,
};

/* What *why points to; written by the one control thread. */
static char why_text[96];

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

const struct aead_engine *aead_select(const char *name, const char **why)
{
	const struct aead_engine *chosen = NULL;
	bool is_known = false;

	for (const struct aead_engine *const *e = aead_engines; *e; e++) {
		bool is_asked = name && strcmp(name, (*e)->name) == 0;

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
		snprintf(why_text, sizeof(why_text), "unknown engine \"%.32s\"", name);
	else
		snprintf(why_text, sizeof(why_text), "CPU lacks what engine %.32s needs",
			 name ? name : "any");
	return refuse(why);
}
