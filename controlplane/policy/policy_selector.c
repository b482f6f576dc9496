/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_file.h"
#include "lib/base/bug.h"
#include "lib/base/nearest.h"

static const struct {
	const char *name;
	enum autogroup autogroup;
	uint32_t role, uses;
} autogroups[] = {
	{"member", AUTO_MEMBER, 0, USE_SRC | USE_DST | USE_OWNER | USE_TARGET | USE_TEST},
	{"tagged", AUTO_TAGGED, 0, USE_SRC | USE_DST | USE_TARGET | USE_TEST},
	{"self", AUTO_SELF, 0, USE_DST | USE_TEST},
	{"internet", AUTO_INTERNET, 0, USE_DST},
	{"danger-all", AUTO_DANGER_ALL, 0, USE_SRC},
	{"shared", AUTO_SHARED, 0, USE_SRC},
	{"owner", AUTO_ROLE, POLICY_OWNER, USE_SRC | USE_DST | USE_OWNER | USE_TARGET},
	{"admin", AUTO_ROLE, POLICY_ADMIN, USE_SRC | USE_DST | USE_OWNER | USE_TARGET},
	{"it-admin", AUTO_ROLE, POLICY_IT_ADMIN, USE_SRC | USE_DST | USE_OWNER | USE_TARGET},
	{"network-admin", AUTO_ROLE, POLICY_NETWORK_ADMIN,
	 USE_SRC | USE_DST | USE_OWNER | USE_TARGET},
	{"billing-admin", AUTO_ROLE, POLICY_BILLING_ADMIN,
	 USE_SRC | USE_DST | USE_OWNER | USE_TARGET},
	{"auditor", AUTO_ROLE, POLICY_AUDITOR, USE_SRC | USE_DST | USE_OWNER | USE_TARGET},
};

static const char *place_name(enum selector_use use)
{
	switch (use) {
	case USE_SRC:
		return "a source";
	case USE_DST:
		return "a destination";
	case USE_OWNER:
		return "an owner or approver";
	case USE_TARGET:
		return "a target";
	case USE_TEST:
		return "a test";
	default:
		return "a via";
	}
}

/* The text without white space around it; NULL: no memory. */
static const char *trim(struct reading *r, const char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	return text[len] ? policy_text(r, text, len) : text;
}

static bool wrong_place(struct reading *r, struct hujson_place at, const char *text,
			enum selector_use use)
{
	policy_complain(r, at, "\"%.80s\" cannot be %s", text, place_name(use));
	return false;
}

/* ": the nearest is X" as a text of its own, or "". */
static const char *hint(const char *name, const char *const *names, char buf[96])
{
	const char *near = nearest_name(name, strlen(name), names);

	buf[0] = 0;
	if (near)
		snprintf(buf, 96, ", the nearest is %.60s", near);
	return buf;
}

static bool parse_autogroup(struct reading *r, const char *text, struct hujson_place at,
			    enum selector_use use, struct selector *out)
{
	const char *names[ARRAY_SIZE(autogroups) + 1] = {NULL};
	const char *name = strchr(text, ':') + 1;
	char near[96];

	for (size_t i = 0; i < ARRAY_SIZE(autogroups); i++) {
		names[i] = autogroups[i].name;
		if (strcmp(name, autogroups[i].name) != 0)
			continue;
		if (!(autogroups[i].uses & use))
			return wrong_place(r, at, text, use);
		out->kind = SELECT_AUTO;
		out->autogroup = autogroups[i].autogroup;
		out->role = autogroups[i].role;
		if (out->autogroup == AUTO_SHARED)
			policy_warn(r, at,
				    "nobody is in autogroup:shared: nodes are not shared here");
		return true;
	}
	policy_complain(r, at, "there is no \"%.80s\"%s", text, hint(name, names, near));
	return false;
}

static bool parse_group(struct reading *r, const char *text, struct hujson_place at,
			struct selector *out)
{
	const struct policy *p = r->p;
	const char **names;
	char near[96];

	for (uint32_t i = 0; i < p->group_count; i++)
		if (strcmp(text, p->groups[i].name) == 0) {
			out->kind = SELECT_GROUP;
			out->index = i;
			return true;
		}
	names = calloc(p->group_count + 1, sizeof(*names));
	for (uint32_t i = 0; names && i < p->group_count; i++)
		names[i] = p->groups[i].name;
	policy_complain(r, at, "\"%.80s\" is not defined in \"groups\"%s", text,
			names ? hint(text, names, near) : "");
	free(names);
	return false;
}

static bool parse_tag(struct reading *r, const char *text, struct hujson_place at,
		      struct selector *out)
{
	const struct policy *p = r->p;
	const char **names;
	char near[96];

	out->kind = SELECT_TAG;
	for (uint32_t i = 0; i < p->tag_count; i++)
		if (strcmp(text, p->tags[i].tag) == 0)
			return true;
	names = calloc(p->tag_count + 1, sizeof(*names));
	for (uint32_t i = 0; names && i < p->tag_count; i++)
		names[i] = p->tags[i].tag;
	policy_complain(r, at, "\"%.80s\" is not defined in \"tagOwners\"%s", text,
			names ? hint(text, names, near) : "");
	free(names);
	return false;
}

static bool parse_ipset(struct reading *r, const char *text, struct hujson_place at,
			struct selector *out)
{
	for (uint32_t i = 0; i < r->p->ipset_count; i++)
		if (strcmp(text, r->p->ipsets[i].name) == 0) {
			out->kind = SELECT_IPSET;
			out->index = i;
			return true;
		}
	policy_complain(r, at, "\"%.80s\" is not defined in \"ipsets\"", text);
	return false;
}

static bool parse_host(struct reading *r, const char *text, struct hujson_place at,
		       struct selector *out)
{
	const struct policy *p = r->p;
	const char **names;
	char near[96];

	for (uint32_t i = 0; i < p->host_count; i++)
		if (strcmp(text, p->hosts[i].name) == 0) {
			out->kind = SELECT_PREFIX;
			out->prefix = p->hosts[i].prefix;
			out->is_host_name = true;
			return true;
		}
	names = calloc(p->host_count + 1, sizeof(*names));
	for (uint32_t i = 0; names && i < p->host_count; i++)
		names[i] = p->hosts[i].name;
	policy_complain(r, at, "\"%.80s\" is no address, and not defined in \"hosts\"%s", text,
			names ? hint(text, names, near) : "");
	free(names);
	return false;
}

/* Digits, dots, colons, slash: meant as an address. */
static bool looks_like_address(const char *text)
{
	bool has_colon = strchr(text, ':') != NULL;

	for (const char *c = text; *c; c++)
		if (!(isdigit((unsigned char)*c) || strchr("./:", *c) ||
		      (has_colon && isxdigit((unsigned char)*c))))
			return false;
	return *text && (strchr(text, '.') || has_colon);
}

static bool parse_address(struct reading *r, const char *text, struct hujson_place at,
			  struct selector *out)
{
	struct prefix masked;
	char buf[PREFIX_STR_MAX];

	out->kind = SELECT_PREFIX;
	if (prefix_parse(text, false, &out->prefix) == 0)
		return true;
	if (prefix_parse(text, true, &masked) == 0)
		policy_complain(r, at, "\"%.80s\" has bits behind its length: write %s", text,
				prefix_print(&masked, buf));
	else
		policy_complain(r, at, "\"%.80s\" is no address or prefix", text);
	return false;
}

static bool parse_login(struct reading *r, const char *text, struct selector *out)
{
	out->kind = SELECT_LOGIN;
	/* Users without a mail address are written with an @ behind them. */
	if (text[strlen(text) - 1] == '@')
		out->text = policy_text(r, text, strlen(text) - 1);
	return out->text != NULL;
}

static bool by_form(struct reading *r, const char *text, struct hujson_place at,
		    enum selector_use use, struct selector *out)
{
	struct prefix unused;

	if (looks_like_address(text) || prefix_parse(text, true, &unused) == 0) {
		if (use == USE_OWNER || use == USE_VIA)
			return wrong_place(r, at, text, use);
		return parse_address(r, text, at, out);
	}
	if (strcmp(text, "*") == 0) {
		out->kind = SELECT_ALL;
		return use & (USE_SRC | USE_DST | USE_TARGET) ? true
							      : wrong_place(r, at, text, use);
	}
	if (strncmp(text, "user:*@", 7) == 0) {
		out->kind = SELECT_DOMAIN;
		out->text = text + 7;
		return use & (USE_SRC | USE_DST) ? true : wrong_place(r, at, text, use);
	}
	if (strncmp(text, "tag:", 4) == 0)
		return parse_tag(r, text, at, out);
	if (use == USE_VIA)
		return wrong_place(r, at, text, use);
	if (strchr(text, '@'))
		return parse_login(r, text, out);
	if (strncmp(text, "group:", 6) == 0)
		return parse_group(r, text, at, out);
	if (strncmp(text, "autogroup:", 10) == 0)
		return parse_autogroup(r, text, at, use, out);
	if (strncmp(text, "ipset:", 6) == 0)
		return use & (USE_SRC | USE_DST) ? parse_ipset(r, text, at, out)
						 : wrong_place(r, at, text, use);
	if (strncmp(text, "svc:", 4) == 0) {
		policy_complain(r, at, "\"%.80s\": services are not served here", text);
		return false;
	}
	if (use == USE_OWNER)
		return wrong_place(r, at, text, use);
	if (strchr(text, ':')) {
		policy_complain(r, at, "\"%.80s\" is no selector", text);
		return false;
	}
	return parse_host(r, text, at, out);
}

bool selector_parse(struct reading *r, const char *text, struct hujson_place at,
		    enum selector_use use, struct selector *out)
{
	*out = (struct selector){.place = at};
	text = trim(r, text);
	if (!text)
		return false;
	if (!text[0]) {
		policy_complain(r, at, "an empty selector");
		return false;
	}
	out->text = text;
	return by_form(r, text, at, use, out);
}

void selectors_parse(struct reading *r, const struct hujson_value *list, enum selector_use use,
		     struct selectors *out)
{
	struct hujson_error e;

	if (!list)
		return;
	if (hujson_array(list, &e)) {
		policy_complain(r, list->place, "%s", e.text);
		return;
	}
	out->list = policy_alloc(r, list->count + 1, sizeof(*out->list));
	for (const struct hujson_value *v = list->first; v && out->list; v = v->next) {
		const char *text;

		if (hujson_string(v, &text, &e))
			policy_complain(r, v->place, "%s", e.text);
		else if (selector_parse(r, text, v->place, use, &out->list[out->count]))
			out->count++;
	}
}
