/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/register_call.h"

#include <errno.h>
#include <stdlib.h>

#include "controlplane/coord/map_node.h"

/* ---- calls ---- */

void register_call_unlink(struct register_call *c)
{
	if (!c->prev)
		return;
	if (c->next)
		c->next->prev = c->prev;
	*c->prev = c->next;
	c->prev = NULL;
}

void register_call_release(struct register_call *c)
{
	if (c->answer || c->is_in_store)
		return;
	register_call_unlink(c);
	node_report_fini(&c->report);
	free(c);
}

void registrar_cancel(struct register_call *c)
{
	c->answer = NULL;
	register_call_release(c);
}

void register_answer_text(struct register_call *c, unsigned status, const char *body, size_t len)
{
	register_answer_fn *answer = c->answer;

	c->answer = NULL;
	if (answer)
		answer(c->arg, status, body, len);
}

/* ---- answers ---- */

static void put_user(struct json_out *j, const struct picture *p, const struct register_verdict *v)
{
	int64_t id = v->node ? map_node_user(v->node) : 0;
	const struct store_user *u = picture_user(p, id);
	const char *name = u ? u->name : id == MAP_NODE_TAGGED_USER ? "tagged-devices" : "";

	json_out_object(j, "User");
	json_out_i64(j, "ID", id);
	json_out_string(j, "DisplayName", name);
	json_out_end(j);
	json_out_object(j, "Login");
	json_out_i64(j, "ID", id);
	json_out_string(j, "Provider", v->node ? "causeway" : "");
	json_out_string(j, "LoginName", name);
	json_out_string(j, "DisplayName", name);
	json_out_end(j);
}

void register_answer(struct register_call *c, const struct register_verdict *v)
{
	struct json_out j;

	json_out_init(&j);
	json_out_object(&j, NULL);
	put_user(&j, c->reg->cfg.picture, v);
	json_out_bool(&j, "MachineAuthorized", v->node && !v->is_expired);
	json_out_bool(&j, "NodeKeyExpired", v->is_expired);
	json_out_string(&j, "AuthURL", v->url ? v->url : "");
	json_out_string(&j, "Error", v->error ? v->error : "");
	json_out_end(&j);
	if (j.error)
		register_answer_text(c, 500, "{}", 2);
	else
		register_answer_text(c, 200, j.text, j.len);
	json_out_fini(&j);
}

void register_answer_error(struct register_call *c, const char *error)
{
	register_answer(c, &(struct register_verdict){.error = error});
}

const char *register_error_text(int err)
{
	switch (err) {
	case -ENOKEY:
		return "invalid key: unknown auth key";
	case -EKEYEXPIRED:
		return "invalid key: it has expired";
	case -EKEYREVOKED:
		return "invalid key: it was used before";
	case -EADDRINUSE:
		return "the node key belongs to another machine";
	case -EPERM:
		return "requested tags are invalid or not permitted";
	case -ENOSPC:
		return "no address is left";
	default:
		return "the coordinator cannot write: try again";
	}
}
