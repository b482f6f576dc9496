/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/dpdk_log.h"

#include <stdio.h>
#include <string.h>

#include <rte_log.h>

#include "lib/base/log.h"

#define TEXT_MAX 160

static _Thread_local char first[TEXT_MAX];

/* One call of the library is one write: the stream has no buffer. */
static ssize_t on_write(void *cookie, const char *text, size_t size)
{
	char copy[TEXT_MAX];
	size_t len = size < sizeof(copy) ? size : sizeof(copy) - 1;
	int level = rte_log_cur_msg_loglevel();

	memcpy(copy, text, len);
	while (len && (copy[len - 1] == '\n' || copy[len - 1] == ' '))
		len--;
	copy[len] = '\0';
	for (char *c = copy; *c; c++) {
		if (*c == '"' || *c == '\n')
			*c = '\'';
	}
	if (!len)
		return (ssize_t)size;
	/* The first complaint is the cause, the others follow from it. */
	if (level > 0 && level <= (int)RTE_LOG_ERR && !first[0])
		memcpy(first, copy, len + 1);
	if (level > 0 && level <= (int)RTE_LOG_WARNING)
		log_warn("dpdk", "text=\"%s\"", copy);
	else
		log_debug("dpdk", "text=\"%s\"", copy);
	return (ssize_t)size;
}

void dpdk_log_init(void)
{
	static FILE *stream;

	if (stream)
		return;
	stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = on_write});
	if (!stream)
		return; /* it prints to stderr, then */
	setvbuf(stream, NULL, _IONBF, 0);
	rte_openlog_stream(stream);
}

void dpdk_log_clear(void)
{
	first[0] = '\0';
}

const char *dpdk_log_first(void)
{
	return first;
}
