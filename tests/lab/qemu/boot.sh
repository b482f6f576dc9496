#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows that the eBPF programs load and steer, that both kinds of port work, and
# that two gateways on `kernel` ports carry traffic, on Debian 12's own kernel
# (6.1): boots it in qemu with an initramfs of this machine's programs. Nothing is
# installed on the host; the kernel's package is kept in the cache folder.
#
#   boot.sh BUILD_DIR        exit 0 = passed, 1 = failed, 77 = skipped (says why)
#
# CAUSEWAY_CACHE          cache folder (/var/cache/causeway)
# CAUSEWAY_BOOT_TIMEOUT   seconds for the whole guest (420)
# CAUSEWAY_KERNEL_PACKAGE meta package of the kernel (linux-image-cloud-amd64)

set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${1:?usage: boot.sh BUILD_DIR}
cache=${CAUSEWAY_CACHE:-/var/cache/causeway}
limit=${CAUSEWAY_BOOT_TIMEOUT:-420}
package=${CAUSEWAY_KERNEL_PACKAGE:-linux-image-cloud-amd64}

# What the guest runs beside our own programs, and the modules it needs.
tools="ip ping tc socat wg"
modules="kernel/drivers/net/veth.ko kernel/drivers/net/tun.ko kernel/drivers/net/dummy.ko"

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "failed: $*"; exit 1; }

work=$(mktemp -d) || fail "no temporary folder"
qemu_pid=
cleanup() {
	[ -n "$qemu_pid" ] && kill -9 "$qemu_pid" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

for tool in qemu-system-x86_64 cpio busybox dash dpkg-deb apt-get; do
	command -v "$tool" >/dev/null || skip "$tool is missing"
done
[ -x "$build/tests/ebpf/ebpf_test" ] || fail "$build/tests/ebpf/ebpf_test is not built"

# The newest package that apt knows, else the newest in the cache.
fetch_kernel() {
	local name dir
	mkdir -p "$cache/kernel" || return 1
	name=$(apt-cache depends "$package" 2>/dev/null |
		sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
	if [ -n "$name" ] && [ ! -d "$cache/kernel/$name" ]; then
		dir=$(mktemp -d "$cache/kernel/.new.XXXXXX") || return 1
		if (cd "$dir" && timeout 120 apt-get download "$name" >/dev/null 2>&1 &&
			mkdir root && dpkg-deb -x ./*.deb root && rm ./*.deb); then
			mv -T "$dir/root" "$cache/kernel/$name" 2>/dev/null
		fi
		rm -rf "$dir"
	fi
	if [ -z "$name" ] || [ ! -d "$cache/kernel/$name" ]; then
		name=$(cd "$cache/kernel" && find . -maxdepth 1 -name 'linux-image-*' -printf '%f\n' |
			sort -V | tail -n 1)
	fi
	[ -n "$name" ] || return 1
	kernel_dir=$cache/kernel/$name
	vmlinuz=$(echo "$kernel_dir"/boot/vmlinuz-*)
	version=${vmlinuz##*/vmlinuz-}
	[ -r "$vmlinuz" ]
}

fetch_kernel || skip "no kernel package $package (offline?)"

root=$work/root
mkdir -p "$root"/{bin,dev,etc,lib,lib64,modules,proc,run/netns,sys,tmp,var/lib,var/run,usr/lib}

# A program and the libraries it is linked with, at the places its loader looks.
add_program() {
	local lib
	cp -L "$1" "$root/bin/$2" || return 1
	strip --strip-debug "$root/bin/$2" 2>/dev/null
	for lib in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do # none: it is static
		[ -e "$root$lib" ] && continue
		mkdir -p "$root${lib%/*}" && cp -L "$lib" "$root$lib" || return 1
	done
}

add_program "$(command -v busybox)" busybox || fail "busybox"
# Not busybox' shell, which takes its own applets before the programs in PATH.
add_program "$(command -v dash)" sh || fail "dash"
add_program "$build/tests/ebpf/ebpf_test" ebpf_test || fail "ebpf_test"
# Whole ports, where their tests are built: TUN, UDP and AF_XDP of that kernel.
for port in kernel xdp; do
	if [ -x "$build/tests/unit/test_port_$port" ]; then
		add_program "$build/tests/unit/test_port_$port" "test_port_$port" || fail "test_port_$port"
	fi
done
for tool in $tools; do
	if path=$(command -v "$tool"); then
		add_program "$path" "$tool"
	fi
done
# DPDK opens its memory pool driver by itself, at the place it was built for.
for plugin in /usr/lib/*/dpdk/pmds-*/librte_mempool_ring.so*; do
	[ -e "$plugin" ] && mkdir -p "$root${plugin%/*}" && cp -L "$plugin" "$root$plugin"
done
for module in $modules; do
	cp "$kernel_dir/lib/modules/$version/$module" "$root/modules/" || fail "module $module"
done
cp "$here/init.sh" "$root/init" && chmod 755 "$root/init" || fail "init"
cp "$here/kernel_leg.sh" "$root/kernel_leg.sh" || fail "kernel_leg.sh"

leg=0
if [ -x "$build/bin/causeway-dp" ] && [ -x "$build/bin/causewayd" ]; then
	add_program "$build/bin/causeway-dp" causeway-dp || fail "causeway-dp"
	add_program "$build/bin/causewayd" causewayd || fail "causewayd"
	[ -x "$build/bin/causeway" ] && add_program "$build/bin/causeway" causeway
	leg=1
fi
echo "$leg" >"$root/etc/leg"

(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs.gz" ||
	fail "initramfs"

echo "booting $version (at most $limit s)"
timeout -k 5 "$limit" qemu-system-x86_64 \
	-machine q35,accel=tcg -cpu max -smp 2 -m 1536 -nodefaults -no-user-config \
	-display none -serial stdio -no-reboot \
	-kernel "$vmlinuz" -initrd "$work/initramfs.gz" \
	-append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null >"$work/console" 2>&1 &
qemu_pid=$!
wait "$qemu_pid"
status=$?
qemu_pid=

tr -d '\r' <"$work/console" | sed -n 's/^.*GUEST: //p'
[ "$status" -eq 124 ] && echo "guest did not end within $limit s"
if tr -d '\r' <"$work/console" | grep -q '^.*GUEST: all passed$'; then
	exit 0
fi
echo "--- end of the guest's console"
tail -n 60 "$work/console"
fail "guest on $version"
