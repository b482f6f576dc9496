/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/sandbox.h"

#include <errno.h>
#include <linux/capability.h>

#include <cap-ng.h>
#include <seccomp.h>

#include "lib/base/bug.h"

static int drop_capabilities(void)
{
	static const unsigned kept[] = {CAP_NET_ADMIN, CAP_NET_BIND_SERVICE};
	bool has_pcap = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	bool has[ARRAY_SIZE(kept)];

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		has[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (has[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
	/* The bounding set is only for those to change who may. */
	return capng_apply(has_pcap ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

/*
 * A list of what is refused, not of what is allowed: libuv, libc and OpenSSL choose
 * their calls by version, and a control process killed by an update is worse.
 */
static int refuse_calls(void)
{
	static const int calls[] = {
		SCMP_SYS(execve),
		SCMP_SYS(execveat),
		SCMP_SYS(ptrace),
		SCMP_SYS(process_vm_readv),
		SCMP_SYS(process_vm_writev),
		SCMP_SYS(bpf),
		SCMP_SYS(perf_event_open),
		SCMP_SYS(mount),
		SCMP_SYS(umount2),
		SCMP_SYS(pivot_root),
		SCMP_SYS(chroot),
		SCMP_SYS(setns),
		SCMP_SYS(unshare),
		SCMP_SYS(init_module),
		SCMP_SYS(finit_module),
		SCMP_SYS(delete_module),
		SCMP_SYS(kexec_load),
		SCMP_SYS(kexec_file_load),
		SCMP_SYS(add_key),
		SCMP_SYS(request_key),
		SCMP_SYS(keyctl),
		SCMP_SYS(reboot),
		SCMP_SYS(swapon),
		SCMP_SYS(swapoff),
		SCMP_SYS(userfaultfd),
		SCMP_SYS(iopl),
		SCMP_SYS(ioperm),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(calls) && !rc; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}

int sandbox_enter(void)
{
	int rc = drop_capabilities();

	return rc ? rc : refuse_calls();
}
