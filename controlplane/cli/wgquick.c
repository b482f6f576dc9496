/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/wgquick.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/bug.h"

/* Longer than any line that makes sense, and than many AllowedIPs in one. */
#define LINE_MAX_BYTES 65536

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct reader {
	struct wgquick *wg;
	struct wgquick_error *err;
	enum section section;
	bool seen_interface;
	unsigned line;
	char name[WGQUICK_NAME_MAX]; /* from a comment just before, "" = none */
	bool is_fresh_peer;	     /* nothing but comments since [Peer] */
};

static int __attribute__((format(printf, 2, 3))) refuse(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	r->err->line = r->line;
	va_start(ap, fmt);
	vsnprintf(r->err->text, sizeof(r->err->text), fmt, ap);
	va_end(ap);
	for (char *c = r->err->text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return -EINVAL;
}

/* One more element behind the count there are; NULL without memory. */
static void *grow(void **array, size_t count, size_t size)
{
	void *bigger;

	/* Powers of two: the arrays have no field for their room. */
	if ((count & (count - 1)) == 0) {
		bigger = calloc(count > 0 ? 2 * count : 1, size);
		if (bigger == NULL)
			return NULL;
		if (count > 0) {
			memcpy(bigger, *array, count * size);
			explicit_bzero(*array, count * size);
		}
		free(*array);
		*array = bigger;
	}
	return (char *)*array + count * size;
}

static char *trim(char *text)
{
	size_t len;

	while (*text == ' ' || *text == '\t' || *text == '\r')
		text++;
	len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

static int parse_u16(struct reader *r, const char *key, const char *value, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end != '\0' || n > UINT16_MAX)
		return refuse(r, "%s must be a number from 0 to 65535, found \"%.32s\"", key,
			      value);
	*out = (unsigned)n;
	return 0;
}

static int note(struct reader *r, const char *key, const char *value)
{
	struct wgquick_note *n =
		grow((void **)&r->wg->notes, r->wg->note_count, sizeof(*r->wg->notes));

	if (n == NULL)
		return -ENOMEM;
	n->line = r->line;
	snprintf(n->text, sizeof(n->text), "%s = %s", key, value);
	/* Only ASCII: it becomes a comment in a file that must be UTF-8. */
	for (char *c = n->text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	}
	r->wg->note_count++;
	return 0;
}

static int parse_key(struct reader *r, const char *key, const char *value, bool *has,
		     struct key *out)
{
	if (*has)
		return refuse(r, "%s is given twice", key);
	/* The value is not shown: it may be a secret with one wrong letter. */
	if (key_parse_base64(value, out) < 0)
		return refuse(r, "%s is no key: 44 characters of base64 are", key);
	*has = true;
	return 0;
}

static int add_address(struct reader *r, const char *value)
{
	struct wgquick *wg = r->wg;
	const char *slash = strchr(value, '/');
	struct wgquick_address *a;
	char bare[ADDR_STR_MAX];
	struct prefix p;
	struct ip_addr addr;
	int len = slash != NULL ? (int)(slash - value) : (int)strlen(value);

	if ((size_t)len >= sizeof(bare) || prefix_parse(value, true, &p) < 0)
		return refuse(r, "Address \"%.64s\" is no address with a prefix length", value);
	snprintf(bare, sizeof(bare), "%.*s", len, value);
	BUG_ON(addr_parse(bare, &addr) < 0);
	a = grow((void **)&wg->addresses, wg->address_count, sizeof(*wg->addresses));
	if (a == NULL)
		return -ENOMEM;
	a->addr = addr;
	a->prefix_len = p.len;
	wg->address_count++;
	return 0;
}

static int add_allowed(struct reader *r, const char *value)
{
	struct wgquick_peer *peer = &r->wg->peers[r->wg->peer_count - 1];
	struct prefix *slot;
	struct prefix p;

	if (prefix_parse(value, true, &p) < 0)
		return refuse(r, "AllowedIPs: \"%.64s\" is no prefix", value);
	for (size_t i = 0; i < r->wg->peer_count; i++) {
		const struct wgquick_peer *other = &r->wg->peers[i];

		for (size_t k = 0; k < other->allowed_count; k++) {
			if (!prefix_equal(&other->allowed[k], &p))
				continue;
			/* wg would move it to the later peer without a word. */
			if (other != peer)
				return refuse(r, "AllowedIPs: %.64s belongs to the peer of line %u",
					      value, other->line);
			return 0;
		}
	}
	slot = grow((void **)&peer->allowed, peer->allowed_count, sizeof(*peer->allowed));
	if (slot == NULL)
		return -ENOMEM;
	*slot = p;
	peer->allowed_count++;
	return 0;
}

/* "a, b": each to add; an empty list is one. */
static int for_each(struct reader *r, char *list, int (*add)(struct reader *, const char *))
{
	char *item;

	if (*list == '\0')
		return 0;
	while ((item = strsep(&list, ",")) != NULL) {
		int err = add(r, trim(item));

		if (err < 0)
			return err;
	}
	return 0;
}

static int on_interface(struct reader *r, const char *key, char *value)
{
	/* What wg-quick does and causewayd or causeway-dp do not, or elsewhere. */
	static const char *const noted[] = {"DNS",   "Table",  "FwMark",  "SaveConfig",
					    "PreUp", "PostUp", "PreDown", "PostDown"};

	if (strcasecmp(key, "PrivateKey") == 0)
		return parse_key(r, key, value, &r->wg->has_private_key, &r->wg->private_key);
	if (strcasecmp(key, "Address") == 0)
		return for_each(r, value, add_address);
	if (strcasecmp(key, "ListenPort") == 0)
		return parse_u16(r, key, value, &r->wg->listen_port);
	if (strcasecmp(key, "MTU") == 0) {
		int err = parse_u16(r, key, value, &r->wg->mtu);

		/* Below, IPv4 and IPv6 cannot work (RFC 791, RFC 8200); above, no port goes. */
		if (err == 0 && (r->wg->mtu < 576 || r->wg->mtu > 9000))
			err = refuse(r, "MTU must be from 576 to 9000, found %u", r->wg->mtu);
		return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(noted); i++) {
		if (strcasecmp(key, noted[i]) == 0)
			return note(r, noted[i], value);
	}
	return refuse(r, "[Interface] has no setting \"%.32s\"", key);
}

static int on_public_key(struct reader *r, const char *key, const char *value)
{
	struct wgquick_peer *peer = &r->wg->peers[r->wg->peer_count - 1];
	int err = parse_key(r, key, value, &peer->has_public_key, &peer->public_key);

	for (const struct wgquick_peer *p = r->wg->peers; err == 0 && p < peer; p++) {
		if (key_equal(&p->public_key, &peer->public_key))
			err = refuse(r, "the peer of line %u has this PublicKey", p->line);
	}
	return err;
}

static int on_peer(struct reader *r, const char *key, char *value)
{
	struct wgquick_peer *peer = &r->wg->peers[r->wg->peer_count - 1];

	if (strcasecmp(key, "PublicKey") == 0)
		return on_public_key(r, key, value);
	if (strcasecmp(key, "PresharedKey") == 0)
		return parse_key(r, key, value, &peer->has_preshared_key, &peer->preshared_key);
	if (strcasecmp(key, "AllowedIPs") == 0)
		return for_each(r, value, add_allowed);
	if (strcasecmp(key, "PersistentKeepalive") == 0) {
		if (strcasecmp(value, "off") != 0)
			return parse_u16(r, key, value, &peer->keepalive_s);
		peer->keepalive_s = 0;
		return 0;
	}
	if (strcasecmp(key, "Endpoint") != 0)
		return refuse(r, "[Peer] has no setting \"%.32s\"", key);
	if (endpoint_parse(value, &peer->endpoint) < 0)
		return refuse(r,
			      "Endpoint \"%.64s\" is no address and port (1.2.3.4:51820, "
			      "[2001:db8::1]:51820); host names are not resolved",
			      value);
	return 0;
}

static bool is_name(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "._-");

	/* No dot in front: the name becomes part of a file's name. */
	return len > 0 && len < WGQUICK_NAME_MAX && text[len] == '\0' && text[0] != '.';
}

static void on_comment(struct reader *r, char *text)
{
	struct wgquick_peer *peer =
		r->wg->peer_count > 0 ? &r->wg->peers[r->wg->peer_count - 1] : NULL;

	text = trim(text);
	if (strncasecmp(text, "name", 4) == 0) {
		char *rest = trim(text + 4);

		if (*rest == '=' || *rest == ':')
			text = trim(rest + 1);
	}
	r->name[0] = '\0';
	if (!is_name(text))
		return;
	if (r->is_fresh_peer && peer->name[0] == '\0')
		snprintf(peer->name, sizeof(peer->name), "%s", text);
	else
		snprintf(r->name, sizeof(r->name), "%s", text);
}

static int begin_peer(struct reader *r)
{
	struct wgquick_peer *peer =
		grow((void **)&r->wg->peers, r->wg->peer_count, sizeof(*r->wg->peers));

	if (peer == NULL)
		return -ENOMEM;
	peer->line = r->line;
	memcpy(peer->name, r->name, sizeof(peer->name));
	r->wg->peer_count++;
	r->section = SECTION_PEER;
	r->is_fresh_peer = true;
	return 0;
}

static int on_section(struct reader *r, const char *line)
{
	int err = 0;

	if (strcasecmp(line, "[Interface]") == 0) {
		if (r->seen_interface)
			return refuse(r, "a second [Interface]");
		r->seen_interface = true;
		r->section = SECTION_INTERFACE;
		r->is_fresh_peer = false;
	} else if (strcasecmp(line, "[Peer]") == 0) {
		err = begin_peer(r);
	} else {
		return refuse(r, "no section \"%.32s\": [Interface] and [Peer] are", line);
	}
	r->name[0] = '\0';
	return err;
}

static int on_setting(struct reader *r, char *line)
{
	char *value = strchr(line, '=');
	char *key = line;

	r->name[0] = '\0';
	r->is_fresh_peer = false;
	if (value == NULL)
		return refuse(r, "expected \"key = value\" or a section, found \"%.32s\"", line);
	*value++ = '\0';
	key = trim(key);
	value = trim(value);
	switch (r->section) {
	case SECTION_NONE:
		return refuse(r, "\"%.32s\" stands before any section", key);
	case SECTION_INTERFACE:
		return on_interface(r, key, value);
	case SECTION_PEER:
		return on_peer(r, key, value);
	}
	return -EINVAL;
}

static int on_line(struct reader *r, char *line)
{
	char *comment = strchr(line, '#');

	if (comment != NULL)
		*comment++ = '\0';
	line = trim(line);
	if (*line == '[')
		return on_section(r, line);
	if (*line != '\0')
		return on_setting(r, line);
	if (comment != NULL)
		on_comment(r, comment);
	else
		r->name[0] = '\0';
	return 0;
}

/* By one of the first count peers, peer i itself aside. */
static bool name_is_taken(const struct wgquick *wg, size_t count, size_t i)
{
	for (size_t k = 0; k < count; k++) {
		if (k != i && strcmp(wg->peers[k].name, wg->peers[i].name) == 0)
			return true;
	}
	return false;
}

/* Names come to be unique: the first of a name keeps it, others are numbered. */
static void finish_names(struct wgquick *wg)
{
	for (size_t i = 0; i < wg->peer_count; i++) {
		char *name = wg->peers[i].name;
		size_t n = i + 1;

		if (name[0] != '\0' && !name_is_taken(wg, i, i))
			continue;
		do {
			snprintf(name, WGQUICK_NAME_MAX, "peer%zu", n++);
		} while (name_is_taken(wg, wg->peer_count, i));
	}
}

static int check_whole(struct reader *r)
{
	if (!r->wg->has_private_key)
		return refuse(r, "no PrivateKey in [Interface]");
	for (size_t i = 0; i < r->wg->peer_count; i++) {
		if (r->wg->peers[i].has_public_key)
			continue;
		r->line = r->wg->peers[i].line;
		return refuse(r, "this [Peer] has no PublicKey");
	}
	for (size_t i = 0; i < r->wg->peer_count; i++) {
		struct wgquick_peer *p = &r->wg->peers[i];

		/* wg takes a key of zeros for none. */
		p->has_preshared_key &= !key_is_zero(&p->preshared_key);
	}
	finish_names(r->wg);
	return 0;
}

static int read_lines(struct reader *r, const char *text, size_t len)
{
	char *line = malloc(LINE_MAX_BYTES + 1);
	size_t at = 0;
	int err = 0;

	if (line == NULL)
		return -ENOMEM;
	while (at < len && err == 0) {
		const char *eol = memchr(text + at, '\n', len - at);
		size_t n = eol != NULL ? (size_t)(eol - text) - at : len - at;

		r->line++;
		if (n > LINE_MAX_BYTES) {
			err = refuse(r, "line is longer than %d bytes", LINE_MAX_BYTES);
		} else if (memchr(text + at, '\0', n) != NULL) {
			err = refuse(r, "line holds a zero byte");
		} else {
			memcpy(line, text + at, n);
			line[n] = '\0';
			err = on_line(r, line);
		}
		at += n + 1;
	}
	explicit_bzero(line, LINE_MAX_BYTES);
	free(line);
	return err;
}

int wgquick_parse(const char *text, size_t len, struct wgquick **out, struct wgquick_error *err)
{
	struct reader r = {.err = err};
	int rc;

	memset(err, 0, sizeof(*err));
	r.wg = calloc(1, sizeof(*r.wg));
	if (r.wg == NULL)
		return -ENOMEM;
	rc = read_lines(&r, text, len);
	if (rc == 0)
		rc = check_whole(&r);
	if (rc < 0) {
		wgquick_free(r.wg);
		return rc;
	}
	*out = r.wg;
	return 0;
}

void wgquick_free(struct wgquick *wg)
{
	if (wg == NULL)
		return;
	for (size_t i = 0; i < wg->peer_count; i++) {
		key_wipe(&wg->peers[i].preshared_key);
		free(wg->peers[i].allowed);
	}
	key_wipe(&wg->private_key);
	free(wg->addresses);
	free(wg->notes);
	free(wg->peers);
	free(wg);
}
