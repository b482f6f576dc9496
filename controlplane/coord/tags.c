/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/tags.h"

#include <jansson.h>
#include <string.h>

struct question {
	const struct policy_live *policy;
	int64_t id;
	const json_t *has; /* tags of the node already */
};

/* Of each tag. */
static bool all_are(const char *tags, bool (*is)(const struct question *q, const char *tag),
		    const struct question *q)
{
	json_t *list = json_loads(tags, 0, NULL);
	bool ok = json_is_array(list);
	const json_t *tag;
	size_t i;

	json_array_foreach(list, i, tag) ok &= json_is_string(tag) && is(q, json_string_value(tag));
	json_decref(list);
	return ok;
}

static bool is_defined(const struct question *q, const char *tag)
{
	return policy_live_has_tag(q->policy, tag);
}

static bool is_of_user(const struct question *q, const char *tag)
{
	return policy_live_may_tag(q->policy, q->id, tag);
}

static bool is_for_node(const struct question *q, const char *tag)
{
	const json_t *own;
	size_t i;

	json_array_foreach(q->has, i, own) if (json_is_string(own) && strcmp(json_string_value(own),
									     tag) == 0) return true;
	return policy_live_may_retag(q->policy, q->id, tag);
}

bool tags_are_defined(const struct policy_live *policy, const char *tags)
{
	return all_are(tags, is_defined, &(struct question){.policy = policy});
}

bool tags_are_of_user(const struct policy_live *policy, int64_t user_id, const char *tags)
{
	return all_are(tags, is_of_user, &(struct question){.policy = policy, .id = user_id});
}

bool tags_are_for_node(const struct policy_live *policy, const struct picture_node *n,
		       const char *tags)
{
	struct question q = {policy, n->row->id, json_loads(n->row->tags, 0, NULL)};
	bool ok = all_are(tags, is_for_node, &q);

	json_decref((json_t *)q.has);
	return ok;
}

char *tags_owners(const struct policy_live *policy, const struct picture *p, const char *tags)
{
	json_t *list = json_array();
	char *text;

	for (size_t i = 0; i < p->users.room; i++) {
		const struct store_user *u = p->users.at[i];

		if (u && tags_are_of_user(policy, u->id, tags))
			json_array_append_new(list, json_integer(u->id));
	}
	text = list ? json_dumps(list, JSON_COMPACT) : NULL;
	json_decref(list);
	return text;
}
