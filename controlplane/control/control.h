/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's side of the control protocol: logging in, keeping the map stream open,
 * telling the coordinator what changed (docs/protocol/control.md, "The client's
 * side"). An engine without I/O: events and time in, actions out; keys' randomness
 * comes through wg_random. One thread; the caller owns the memory.
 *
 *                      login, start with a key
 *      NEEDS_LOGIN  -----------------------------> REGISTERING <----------+
 *          ^  ^                                    |  |   |  |            | back-off
 *          |  | key expired, logged out   AuthURL  |  |   |  +- failure --+
 *          |  +------------------- LOGGED_IN <-----|--+   |
 *          |                         ^   | success |      | NodeKeyExpired: new key, at once
 *          +-------- logout ---------|---+         v      +---> REGISTERING
 *                                    +------- FOLLOWING (the answer is held until the
 *                                     success            user is done at the URL)
 *
 * While a new key is being registered (force_reauth), the old one keeps its stream:
 * traffic goes on until the new one is accepted.
 */
#ifndef CONTROLPLANE_CONTROL_CONTROL_H
#define CONTROLPLANE_CONTROL_CONTROL_H

#include "controlplane/control/control_body.h"
#include "controlplane/noise/wg_env.h"

#define CONTROL_WATCHDOG_NS   120000000000ull /* a stream without any message is dead */
#define CONTROL_NEVER	      UINT64_MAX
#define CONTROL_ACTIONS_MAX   8
#define CONTROL_ENDPOINTS_MAX 64

enum control_login {
	CONTROL_LOGIN_IDLE,
	CONTROL_LOGIN_REGISTERING, /* a request is under way */
	CONTROL_LOGIN_FOLLOWING,   /* held by the coordinator until the user is done */
	CONTROL_LOGIN_WAITING,	   /* for the back-off; then as before the failure */
};

enum control_action_type {
	CONTROL_SEND_REGISTER, /* .body to /machine/register; one at a time */
	CONTROL_SEND_UPDATE,   /* .body to /machine/map, whose answer is empty */
	CONTROL_OPEN_STREAM,   /* .body to /machine/map, whose answer does not end */
	CONTROL_CANCEL,	       /* all requests under way, the stream among them */
	CONTROL_SAVE,	       /* the keys changed: to disk, before anything else is done */
	CONTROL_TELL_URL,      /* .text: show it to the user */
	CONTROL_TELL_ERROR,    /* .text: the login failed; it is tried again unless idle */
	CONTROL_TELL_LOGGED_IN,
	CONTROL_TELL_LOGGED_OUT,
};

struct control_action {
	enum control_action_type type;
	char *body;	  /* malloc'd, the receiver's to free */
	const char *text; /* valid until the next event */
};

struct control_keys {
	struct key node_private, node_public; /* zeros: not registered */
	uint8_t lock_public[32];
};

struct control {
	const struct wg_random *random;
	struct control_keys keys;
	struct key disco_public;
	json_t *hostinfo;
	struct control_endpoint endpoints[CONTROL_ENDPOINTS_MAX];
	uint32_t endpoint_count;

	bool is_logged_in;
	bool is_paused;
	bool is_ephemeral;
	bool is_key_expired; /* by the coordinator's word or the clock: the next login rotates */
	char *auth_key;	     /* of this login; sent again at each attempt */
	char text[CONTROL_TEXT_MAX];

	enum control_login login;
	struct key try_private, try_public; /* what is being registered */
	bool is_try_fresh;		    /* made for this login: it cannot have expired */
	bool is_logging_out;
	bool was_refused; /* the last failure was the coordinator's word on this login */
	char followup[CONTROL_URL_MAX]; /* "" = none */
	unsigned login_failures;
	uint64_t login_at_ns; /* WAITING */

	bool is_stream_open;
	unsigned stream_failures;
	uint64_t stream_at_ns;	 /* when to open it; NEVER: open, or not logged in */
	uint64_t watchdog_at_ns; /* of an open one */

	bool is_dirty; /* something to tell */
	bool is_update_under_way;
	unsigned update_failures;
	uint64_t update_at_ns;

	struct control_action actions[CONTROL_ACTIONS_MAX];
	unsigned action_first, action_count;
	bool is_out_of_memory; /* an action was lost: the caller drops the engine */
};

/* keys: from disk, zeros: none yet. lock_public must be set. Nothing happens before start. */
void control_init(struct control *c, const struct control_keys *keys, const struct key *disco,
		  const struct wg_random *random);
/* Wipes the keys. */
void control_fini(struct control *c);

/* Takes a reference. At least once before start. */
void control_set_hostinfo(struct control *c, json_t *hostinfo, uint64_t now_ns);
/* More than CONTROL_ENDPOINTS_MAX are cut. The same ones again tell nobody. */
void control_set_endpoints(struct control *c, const struct control_endpoint *e, uint32_t n,
			   uint64_t now_ns);

/* The process came up: with a key it registers that again, without one it waits for login. */
void control_start(struct control *c, uint64_t now_ns);
/*
 * auth_key NULL: by hand, at a URL. force: a new key even if the present one is good.
 * 0, or -ENOMEM.
 */
int control_log_in(struct control *c, const char *auth_key, bool force, uint64_t now_ns);
void control_log_out(struct control *c, uint64_t now_ns);
/* No interface is up, or the mesh is down: requests are cancelled; resume opens a new stream. */
void control_pause(struct control *c);
void control_resume(struct control *c, uint64_t now_ns);

/* An answer to SEND_REGISTER. retry_after_s: of a 429; 0: none. */
void control_on_registered(struct control *c, unsigned status, const char *body, size_t len,
			   unsigned retry_after_s, uint64_t now_ns);
/* There was none. */
void control_on_register_lost(struct control *c, const char *why, uint64_t now_ns);
/* The stream's answer began, or a message came; is_full: it was a whole map. */
void control_on_stream_alive(struct control *c, bool is_full, uint64_t now_ns);
void control_on_stream_ended(struct control *c, uint64_t now_ns);
/* SEND_UPDATE was answered with this status; 0: not at all. */
void control_on_updated(struct control *c, unsigned status, uint64_t now_ns);
/* The node's key is no longer good: no traffic, a login is needed. */
void control_on_key_expired(struct control *c);
void control_on_time(struct control *c, uint64_t now_ns);

/* When on_time wants to be called, or CONTROL_NEVER. */
uint64_t control_deadline(const struct control *c);
/* Takes the next action; false: there is none. Call until then after each event. */
bool control_next(struct control *c, struct control_action *out);

#endif
