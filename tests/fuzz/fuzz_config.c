/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.hujson from any bytes: refused with a reason or made into a configuration
 * that the diff and the kernel's plan can take. No file is opened.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "controlplane/node/config_diff.h"
#include "controlplane/node/link_plan.h"
#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct node_config *cfg, *empty;
	struct config_diff d;
	struct link_plan plan;

	if (config_parse((const char *)data, size, NULL, NULL, &cfg, err)) {
		if (!err[0])
			abort();
		return 0;
	}
	if (config_parse("{}", 2, NULL, NULL, &empty, err))
		abort();
	if (config_diff_make(empty, cfg, &d) || d.count != cfg->peer_count)
		abort();
	config_diff_fini(&d);
	if (link_plan_make(cfg, 7, 0, &plan))
		abort();
	for (uint32_t i = 1; i < plan.route_count; i++)
		if (link_plan_route_cmp(&plan.routes[i - 1], &plan.routes[i]) >= 0)
			abort();
	link_plan_fini(&plan);
	config_free(empty);
	config_free(cfg);
	return 0;
}
