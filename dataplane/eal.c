/* SPDX-License-Identifier: Apache-2.0 */
/* See eal.h. */
#include "dataplane/eal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#define EAL_ARGS_MAX 24
#define EAL_LCORES   (PORT_WORKERS_MAX * 16)
#define POOL_CACHE   256

static long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long v = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%ld", &v) != 1)
		v = 0;
	fclose(f);
	return v;
}

/* Any free page of any size? EAL says no more than "cannot get hugepage information". */
static bool has_free_hugepages(void)
{
	static const char dir[] = "/sys/kernel/mm/hugepages";
	DIR *d = opendir(dir);
	bool found = false;

	for (struct dirent *e; d && (e = readdir(d)) && !found;) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s/free_hugepages", dir, e->d_name);
		if (e->d_name[0] != '.')
			found = read_number(path) > 0;
	}
	if (d)
		closedir(d);
	return found;
}

/* "0@1,1@2" pinned, or "0@(0-3),1@(0-3)" floating over every core. */
static void lcore_list(const struct options *o, char *text, size_t size)
{
	size_t at = 0;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	for (unsigned i = 0; i <= o->workers && at < size; i++) {
		const char *comma = i ? "," : "";

		if (o->cpus)
			at += (size_t)snprintf(text + at, size - at, "%s%u@%u", comma, i,
					       o->cpu_list[i]);
		else
			at += (size_t)snprintf(text + at, size - at, "%s%u@(0-%ld)", comma, i,
					       cpus - 1);
	}
}

int eal_start(const struct options *o, struct dataplane *dp)
{
	char lcores[EAL_LCORES], memory[16];
	char *args[EAL_ARGS_MAX];
	int n = 0;

	dp->no_huge = o->no_huge;
	dp->is_pinned = o->cpus != NULL;
	if (!dp->no_huge && !has_free_hugepages()) {
		log_warn("eal.memory", "hugepages=none fallback=no-huge");
		dp->no_huge = true;
	}
	lcore_list(o, lcores, sizeof(lcores));
	snprintf(memory, sizeof(memory), "%u", o->memory_mb);
	args[n++] = (char *)"causeway-dp";
	args[n++] = (char *)"--no-pci";
	args[n++] = (char *)"--no-telemetry";
	args[n++] = (char *)"--iova-mode=va";
	args[n++] = (char *)"--log-level=lib.eal:error";
	args[n++] = (char *)"--log-level=user1:error";
	args[n++] = (char *)"--lcores";
	args[n++] = lcores;
	if (dp->no_huge) {
		/* 22.11 takes --in-memory with hugepages only; this leaves no files either. */
		args[n++] = (char *)"--no-shconf";
		args[n++] = (char *)"--no-huge";
		args[n++] = (char *)"-m";
		args[n++] = memory;
	} else {
		args[n++] = (char *)"--in-memory";
		/* Devices that share memory pass its descriptors, and may pass but a few. */
		args[n++] = (char *)"--single-file-segments";
	}
	if (rte_eal_init(n, args) < 0) {
		log_error("eal.start", "error=\"%s\"", rte_strerror(rte_errno));
		return -rte_errno;
	}
	log_info("eal.start", "dpdk=\"%s\" hugepages=%s lcores=%s", rte_version(),
		 dp->no_huge ? "no" : "yes", lcores);
	return 0;
}

struct rte_mempool *eal_pool_new(unsigned mbufs, uint16_t *data_bytes)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"packets", mbufs, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	if (!pool) {
		log_error("eal.pool", "mbufs=%u error=\"%s\" hint=\"more --memory\"", mbufs,
			  rte_strerror(rte_errno));
		return NULL;
	}
	*data_bytes = RTE_MBUF_DEFAULT_BUF_SIZE;
	return pool;
}
