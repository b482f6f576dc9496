/* SPDX-License-Identifier: Apache-2.0 */
/* See bpf_log.h. */
#include "dataplane/port/bpf_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include "lib/base/log.h"

#define TEXT_MAX 4096 /* of a verifier's log the beginning */

/*
 * Callers report what failed in a sentence of their own; this is the detail
 * behind it, and names its library. A text may have several lines.
 */
static void log_text(bool is_warning, const char *format, va_list args)
{
	char text[TEXT_MAX], *rest = text;

	vsnprintf(text, sizeof(text), format, args);
	while (rest && *rest) {
		char *line = strsep(&rest, "\n");

		if (!*line)
			continue;
		if (is_warning)
			log_warn("bpf", "text=\"%s\"", line);
		else
			log_debug("bpf", "text=\"%s\"", line);
	}
}

static int on_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	log_text(level == LIBBPF_WARN, format, args);
	return 0;
}

static int on_libxdp(enum libxdp_print_level level, const char *format, va_list args)
{
	log_text(level == LIBXDP_WARN, format, args);
	return 0;
}

void bpf_log_init(void)
{
	libbpf_set_print(on_libbpf);
	libxdp_set_print(on_libxdp);
}
