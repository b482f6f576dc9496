/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "controlplane/policy/policy_file.h"
#include "controlplane/policy/policy_internet.h"

enum { NOT_BEGUN, UNDER_WAY, DONE };

static void read_set(struct reading *r, struct ipset *s);

/* An address, a prefix, a host name, the internet or another set. */
static bool operand(struct reading *r, const char *text, struct hujson_place at, struct ip_set *out)
{
	struct selector s;

	if (strcmp(text, "autogroup:internet") == 0) {
		policy_internet(out);
		return true;
	}
	if (!selector_parse(r, text, at, USE_SRC, &s))
		return false;
	if (s.kind == SELECT_PREFIX) {
		ip_set_add_prefix(out, &s.prefix);
		return true;
	}
	if (s.kind == SELECT_IPSET) {
		struct ipset *other = &r->p->ipsets[s.index];

		if (other->state == UNDER_WAY) {
			policy_complain(r, at, "%.60s contains itself", other->name);
			return false;
		}
		read_set(r, other);
		ip_set_add_all(out, &other->set);
		return true;
	}
	policy_complain(r, at, "\"%.60s\": sets hold addresses, host names and other sets only",
			text);
	return false;
}

/* "add X", "remove X"; X alone where the set only adds. */
static void apply(struct reading *r, const char *text, struct hujson_place at, struct ip_set *set)
{
	struct ip_set what = {0};
	bool removes = false;

	while (isspace((unsigned char)*text))
		text++;
	if (strncmp(text, "add ", 4) == 0) {
		text += 4;
	} else if (strncmp(text, "remove ", 7) == 0) {
		text += 7;
		removes = true;
	}
	while (isspace((unsigned char)*text))
		text++;
	if (operand(r, text, at, &what)) {
		ip_set_close(&what);
		if (removes)
			ip_set_remove(set, &what);
		else
			ip_set_add_all(set, &what);
		ip_set_close(set);
	}
	r->no_memory |= what.no_memory || set->no_memory;
	ip_set_fini(&what);
}

static void read_set(struct reading *r, struct ipset *s)
{
	struct hujson_error e;

	if (s->state != NOT_BEGUN)
		return;
	s->state = UNDER_WAY;
	for (const struct hujson_value *v = s->value->first; v; v = v->next) {
		const char *text;

		if (hujson_string(v, &text, &e))
			policy_complain(r, v->place, "%s", e.text);
		else
			apply(r, text, v->place, &s->set);
	}
	s->state = DONE;
}

void policy_read_ipsets(struct reading *r, const struct hujson_value *object)
{
	struct policy *p = r->p;
	struct hujson_error e;

	if (!object)
		return;
	if (hujson_object(object, &e)) {
		policy_complain(r, object->place, "%s", e.text);
		return;
	}
	p->ipsets = policy_alloc(r, object->count, sizeof(*p->ipsets));
	for (const struct hujson_value *v = object->first; v && p->ipsets; v = v->next) {
		if (strncmp(v->key, "ipset:", 6) != 0 || !v->key[6])
			policy_complain(r, v->key_place,
					"\"%.60s\" is no set, as in \"ipset:name\"", v->key);
		else if (hujson_array(v, &e))
			policy_complain(r, v->place, "%s", e.text);
		else
			p->ipsets[p->ipset_count++] = (struct ipset){.name = v->key, .value = v};
	}
	for (uint32_t i = 0; i < p->ipset_count; i++)
		read_set(r, &p->ipsets[i]);
}
