/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DERP map in which this relay stands alone, as `causeway coord derp set` takes it
 * (docs/protocol/derp.md, "The map"). Any thread.
 */
#ifndef CONTROLPLANE_DERP_MAP_TEXT_H
#define CONTROLPLANE_DERP_MAP_TEXT_H

#include "controlplane/derp/identity.h"
#include "controlplane/derp/options.h"

/* The first region that is not the reference's own. */
#define MAP_TEXT_REGION 900

/*
 * JSON and a newline, the caller's to free; NULL with a sentence in why (a literal). pin:
 * of a self-signed certificate, hexadecimal; NULL or "": it is checked by name.
 */
char *map_text(const struct options *o, const char *pin, const char **why);

#endif
