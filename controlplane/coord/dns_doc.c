/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/dns_doc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/base/addr.h"
#include "lib/base/json_out.h"

/* RFC 1035 section 2.3.4. */
#define NAME_MAX_BYTES	253
#define LABEL_MAX_BYTES 63
/* Each node gets all of it with its first map. */
#define RESOLVERS_MAX 16
#define ROUTES_MAX    256
#define DOMAINS_MAX   64
#define RECORDS_MAX   2048

static const char *const keys[] = {
	"magic_dns", "resolvers", "fallback_resolvers", "routes", "domains", "extra_records", NULL,
};
static const char *const record_keys[] = {"name", "type", "value", NULL};

/* ---- values ---- */

bool dns_doc_is_name(const char *text)
{
	size_t label = 0, len = strlen(text);

	if (!len || len > NAME_MAX_BYTES)
		return false;
	for (const char *c = text; *c; c++) {
		bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
				 (*c >= '0' && *c <= '9') || *c == '_';

		if (*c == '.' ? !label || c[-1] == '-' : !is_letter && (*c != '-' || !label))
			return false;
		label = *c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX_BYTES)
			return false;
	}
	return label && text[len - 1] != '-';
}

/* An address, an address with a port, or the URL of DNS over HTTPS. */
static bool is_resolver(const char *text)
{
	struct ip_addr addr;
	struct endpoint at;

	if (strncmp(text, "https://", 8) == 0)
		return text[8] && text[8] != '/' && !strpbrk(text, " \"<>\\^`{|}#");
	return addr_parse(text, &addr) == 0 || (endpoint_parse(text, &at) == 0 && at.port);
}

static int at_most(const struct hujson_value *v, uint32_t max, struct hujson_error *err)
{
	return v->count > max ? hujson_error_at(err, v, "more than %u entries", max) : 0;
}

/* An error at the key of a member. */
static int key_error(struct hujson_error *err, const struct hujson_value *v, const char *what)
{
	hujson_error_at(err, v, "\"%s\" %s", v->key, what);
	err->line = v->key_place.line;
	err->column = v->key_place.column;
	return -EINVAL;
}

/* ---- members ---- */

/* The elements, each as {"Addr": ...}; nothing for a member that is not there. */
static int put_resolvers(struct json_out *j, const char *name, const struct hujson_value *list,
			 struct hujson_error *err)
{
	int rc = list ? hujson_array(list, err) : 0;

	if (!list || rc)
		return rc;
	rc = at_most(list, RESOLVERS_MAX, err);
	json_out_array(j, name);
	for (const struct hujson_value *v = list->first; v && !rc; v = v->next) {
		const char *text;

		rc = hujson_string(v, &text, err);
		if (!rc && !is_resolver(text))
			rc = hujson_error_at(
				err, v, "\"%s\" is no address, address:port or https:// URL", text);
		if (rc)
			break;
		json_out_object(j, NULL);
		json_out_string(j, "Addr", text);
		json_out_end(j);
	}
	json_out_end(j);
	return rc;
}

static int put_routes(struct json_out *j, const struct hujson_value *routes, const char *domain,
		      bool is_magic, struct hujson_error *err)
{
	int rc = routes ? hujson_object(routes, err) : 0;

	if (!rc && routes)
		rc = at_most(routes, ROUTES_MAX, err);
	json_out_object(j, "Routes");
	if (is_magic) {
		/* No resolvers: the node answers these names itself. */
		json_out_array(j, domain);
		json_out_end(j);
	}
	for (const struct hujson_value *v = routes ? routes->first : NULL; v && !rc; v = v->next) {
		if (!dns_doc_is_name(v->key) || strlen(v->key) != v->key_len)
			rc = key_error(err, v, "is no domain");
		else if (strcasecmp(v->key, domain) == 0)
			rc = key_error(err, v, "is the mesh's own domain");
		else
			rc = put_resolvers(j, v->key, v, err);
	}
	json_out_end(j);
	return rc;
}

static int put_domains(struct json_out *j, const struct hujson_value *list, const char *domain,
		       bool is_magic, struct hujson_error *err)
{
	int rc = list ? hujson_array(list, err) : 0;

	if (!rc && list)
		rc = at_most(list, DOMAINS_MAX, err);
	json_out_array(j, "Domains");
	/* First: clients take it for the mesh's. */
	if (is_magic)
		json_out_string(j, NULL, domain);
	for (const struct hujson_value *v = list ? list->first : NULL; v && !rc; v = v->next) {
		const char *text;

		rc = hujson_string(v, &text, err);
		if (!rc && !dns_doc_is_name(text))
			rc = hujson_error_at(err, v, "\"%s\" is no domain", text);
		if (!rc && strcasecmp(text, domain) != 0)
			json_out_string(j, NULL, text);
	}
	json_out_end(j);
	return rc;
}

static int record_text(const struct hujson_value *record, const char *key, const char **out,
		       struct hujson_error *err)
{
	const struct hujson_value *v = hujson_get(record, key);

	return v ? hujson_string(v, out, err)
		 : hujson_error_at(err, record, "a record needs \"%s\"", key);
}

static int put_record(struct json_out *j, const struct hujson_value *record,
		      struct hujson_error *err)
{
	const struct hujson_value *type = hujson_get(record, "type");
	const char *name, *value, *wanted = NULL, *found;
	struct ip_addr addr;
	int rc = hujson_object(record, err);

	if (!rc)
		rc = hujson_check_keys(record, record_keys, err);
	if (!rc)
		rc = record_text(record, "name", &name, err);
	if (!rc && !dns_doc_is_name(name))
		rc = hujson_error_at(err, hujson_get(record, "name"), "\"%s\" is no name", name);
	if (!rc && type)
		rc = hujson_string(type, &wanted, err);
	if (!rc && wanted && strcmp(wanted, "A") != 0 && strcmp(wanted, "AAAA") != 0)
		rc = hujson_error_at(err, type, "\"%s\": only A and AAAA are served", wanted);
	if (!rc)
		rc = record_text(record, "value", &value, err);
	if (rc)
		return rc;
	if (addr_parse(value, &addr))
		return hujson_error_at(err, hujson_get(record, "value"), "\"%s\" is no address",
				       value);
	found = addr.family == AF_INET ? "A" : "AAAA";
	if (wanted && strcmp(wanted, found) != 0)
		return hujson_error_at(err, hujson_get(record, "value"),
				       "\"%s\" is no address for a record of type %s", value,
				       wanted);
	json_out_object(j, NULL);
	json_out_string(j, "Name", name);
	json_out_string(j, "Type", found);
	json_out_string(j, "Value", value);
	json_out_end(j);
	return 0;
}

static int put_records(struct json_out *j, const struct hujson_value *list,
		       struct hujson_error *err)
{
	int rc = list ? hujson_array(list, err) : 0;

	if (!list || rc)
		return rc;
	rc = at_most(list, RECORDS_MAX, err);
	json_out_array(j, "ExtraRecords");
	for (const struct hujson_value *v = list->first; v && !rc; v = v->next)
		rc = put_record(j, v, err);
	json_out_end(j);
	return rc;
}

/* ---- the whole ---- */

static int put_config(struct json_out *j, const struct hujson_value *root, const char *domain,
		      struct hujson_error *err)
{
	const struct hujson_value *magic = hujson_get(root, "magic_dns");
	bool is_magic = true;
	int rc = hujson_object(root, err);

	if (!rc)
		rc = hujson_check_keys(root, keys, err);
	if (!rc && magic)
		rc = hujson_bool(magic, &is_magic, err);
	if (rc)
		return rc;
	json_out_object(j, NULL);
	rc = put_resolvers(j, "Resolvers", hujson_get(root, "resolvers"), err);
	if (!rc)
		rc = put_resolvers(j, "FallbackResolvers", hujson_get(root, "fallback_resolvers"),
				   err);
	if (!rc)
		rc = put_routes(j, hujson_get(root, "routes"), domain, is_magic, err);
	if (!rc)
		rc = put_domains(j, hujson_get(root, "domains"), domain, is_magic, err);
	if (!rc)
		rc = put_records(j, hujson_get(root, "extra_records"), err);
	json_out_bool(j, "Proxied", is_magic);
	json_out_end(j);
	return rc ? rc : j->error;
}

int dns_doc_compile(const struct hujson_value *root, const char *domain, char **out,
		    struct hujson_error *err)
{
	struct json_out j;
	int rc;

	json_out_init(&j);
	rc = put_config(&j, root, domain, err);
	if (rc)
		json_out_fini(&j);
	else
		*out = j.text;
	return rc;
}

int dns_doc_read(const char *text, size_t len, const char *domain, char **out,
		 struct hujson_error *err)
{
	struct hujson *doc;
	int rc = hujson_parse(text, len, &doc, err);

	if (rc)
		return rc;
	rc = dns_doc_compile(doc->root, domain, out, err);
	hujson_free(doc);
	return rc;
}
