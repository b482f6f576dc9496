/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/dns/resolv_conf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "controlplane/dns/dns_names.h"
#include "lib/base/fileio.h"

#define FILE_MAX  (64u << 10)
#define DNS_PORT  53
#define KEYWORD	  "nameserver"
#define BLANKS	  " \t"
#define WORD_ENDS " \t\r\n"

/* line: behind "nameserver", with the blanks. */
static void add_server(struct resolv_conf *r, const char *line)
{
	size_t blanks = strspn(line, BLANKS), len = strcspn(line + blanks, WORD_ENDS);
	char text[ADDR_STR_MAX];
	struct ip_addr a;

	if (!blanks || len >= sizeof(text) || r->count == RESOLV_CONF_MAX)
		return;
	memcpy(text, line + blanks, len);
	text[len] = 0;
	if (addr_parse(text, &a) || dns_is_service(&a))
		return;
	r->at[r->count++] = (struct endpoint){.addr = a, .port = DNS_PORT};
}

void resolv_conf_parse(struct resolv_conf *r, const char *text)
{
	r->count = 0;
	while (*text) {
		if (strncmp(text, KEYWORD, sizeof(KEYWORD) - 1) == 0)
			add_server(r, text + sizeof(KEYWORD) - 1);
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
}

void resolv_conf_refresh(struct resolv_conf *r)
{
	struct stat st;
	char *text;
	size_t len;

	if (stat(r->path, &st)) {
		r->count = 0;
		r->inode = 0;
		return;
	}
	if (st.st_ino == r->inode && st.st_mtim.tv_sec == r->changed.tv_sec &&
	    st.st_mtim.tv_nsec == r->changed.tv_nsec)
		return;
	r->count = 0;
	if (file_read_all(r->path, FILE_MAX, &text, &len))
		return;
	resolv_conf_parse(r, text);
	free(text);
	r->inode = st.st_ino;
	r->changed = st.st_mtim;
}
