/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/control/hostinfo.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define OS_RELEASE "/etc/os-release"

/* The value of a line KEY=value or KEY="value"; false: there is none. */
static bool os_release(const char *key, char *out, size_t room)
{
	FILE *f = fopen(OS_RELEASE, "re");
	size_t n = strlen(key);
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *value = line + n + 1;

		if (strncmp(line, key, n) != 0 || line[n] != '=')
			continue;
		value += *value == '"';
		value[strcspn(value, "\"\n")] = 0;
		snprintf(out, room, "%s", value);
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

static void set(json_t *object, const char *key, const char *value)
{
	if (value[0])
		json_object_set_new(object, key, json_string(value));
}

static json_t *prefix_texts(const struct prefix *p, uint32_t count)
{
	json_t *list = json_array();
	char text[PREFIX_STR_MAX];

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(prefix_print(&p[i], text)));
	return list;
}

json_t *hostinfo_new(const struct prefs_view *prefs)
{
	char hostname[256] = "", text[128] = "";
	struct utsname u = {0};
	json_t *h = json_object();

	if (!h)
		return NULL;
	uname(&u);
	gethostname(hostname, sizeof(hostname) - 1);
	set(h, "OS", "linux");
	set(h, "OSVersion", u.release);
	set(h, "Hostname", prefs->hostname[0] ? prefs->hostname : hostname);
	set(h, "IPNVersion", CAUSEWAY_VERSION "-causeway");
	set(h, "Machine", u.machine);
	set(h, "GoArch", strcmp(u.machine, "x86_64") == 0 ? "amd64" : u.machine);
	if (os_release("ID", text, sizeof(text)))
		set(h, "Distro", text);
	if (os_release("VERSION_ID", text, sizeof(text)))
		set(h, "DistroVersion", text);
	if (os_release("VERSION_CODENAME", text, sizeof(text)))
		set(h, "DistroCodeName", text);
	json_object_set_new(h, "NoLogsNoSupport", json_true());
	if (prefs->shields_up)
		json_object_set_new(h, "ShieldsUp", json_true());
	if (prefs->route_count)
		json_object_set_new(h, "RoutableIPs",
				    prefix_texts(prefs->routes, prefs->route_count));
	if (json_array_size(prefs->tags))
		json_object_set(h, "RequestTags", (json_t *)prefs->tags);
	return h;
}

json_t *hostinfo_with_netinfo(const json_t *hostinfo, json_t *netinfo)
{
	json_t *h = json_copy((json_t *)hostinfo);

	if (h && netinfo)
		json_object_set(h, "NetInfo", netinfo);
	else if (h)
		json_object_del(h, "NetInfo");
	return h;
}
