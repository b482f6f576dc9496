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

#include "dataplane/port/dpdk_log.h"
#include "dataplane/port/dpdk_spec.h"

#define EAL_ARGS_MAX (24 + 2 * EAL_PCI_MAX)
#define EAL_PCI_MAX  16
#define EAL_PCI_TEXT (DPDK_SPEC_NAME_MAX + DPDK_SPEC_ARGS_MAX)
#define EAL_LCORES   (PORT_WORKERS_MAX * 16)
#define POOL_CACHE   256
#define POOL_MBUFS   16384
/* Of large ones there are fewer: the usual --memory holds them. */
#define POOL_LARGE_BYTES 4096
#define POOL_MBUFS_LARGE 8192

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

/*
 * NICs that a port names; all others are none of our business. Returns how many. The
 * port itself complains of what is wrong with its arguments.
 */
static unsigned list_pci(const struct options *o, char out[][EAL_PCI_TEXT])
{
	static const char kind[] = "dpdk:";
	unsigned n = 0;

	for (unsigned i = 0; i < o->port_count; i++) {
		struct dpdk_spec s;
		char err[PORT_ERROR_TEXT];

		if (strncmp(o->ports[i], kind, strlen(kind)) ||
		    dpdk_spec_parse(o->ports[i] + strlen(kind), &s, err))
			continue;
		for (unsigned k = 0; k < s.device_count && n < EAL_PCI_MAX; k++) {
			if (s.device[k].is_pci)
				snprintf(out[n++], EAL_PCI_TEXT, "%s%s%s", s.device[k].name,
					 s.device[k].args[0] ? "," : "", s.device[k].args);
		}
	}
	return n;
}

int eal_start(const struct options *o, struct dataplane *dp)
{
	char lcores[EAL_LCORES], memory[16], pci[EAL_PCI_MAX][EAL_PCI_TEXT];
	unsigned pci_count = list_pci(o, pci);
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
	if (!pci_count)
		args[n++] = (char *)"--no-pci";
	for (unsigned i = 0; i < pci_count; i++) {
		args[n++] = (char *)"-a";
		args[n++] = pci[i];
	}
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
	dpdk_log_init();
	if (rte_eal_init(n, args) < 0) {
		log_error("eal.start", "error=\"%s\"", rte_strerror(rte_errno));
		return -rte_errno;
	}
	log_info("eal.start", "dpdk=\"%s\" hugepages=%s lcores=%s", rte_version(),
		 dp->no_huge ? "no" : "yes", lcores);
	return 0;
}

struct rte_mempool *eal_pool(uint32_t data_bytes)
{
	uint32_t room = RTE_ALIGN_CEIL(data_bytes, RTE_CACHE_LINE_SIZE);
	struct rte_mempool *pool;
	unsigned mbufs = POOL_MBUFS;
	char name[RTE_MEMPOOL_NAMESIZE];

	if (room <= RTE_MBUF_DEFAULT_BUF_SIZE)
		room = RTE_MBUF_DEFAULT_BUF_SIZE;
	else if (room > POOL_LARGE_BYTES)
		mbufs = POOL_MBUFS_LARGE;
	snprintf(name, sizeof(name), "packets%u", room);
	pool = rte_mempool_lookup(name);
	if (pool)
		return pool;
	pool = rte_pktmbuf_pool_create(name, mbufs, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY);
	if (!pool)
		log_error("eal.pool", "mbufs=%u bytes=%u error=\"%s\" hint=\"more --memory\"",
			  mbufs, room, rte_strerror(rte_errno));
	return pool;
}
