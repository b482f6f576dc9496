#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# First process of the guest of boot.sh: runs the tests, says what came out in
# lines that begin with "GUEST: ", and powers off.

/bin/busybox --install -s /tmp 2>/dev/null
export PATH=/bin:/tmp

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/netns /dev/net /dev/shm
mount -t tmpfs shm /dev/shm

failed=0
say() { echo "GUEST: $*"; }
run() {
	name=$1
	shift
	if "$@" >/run/output 2>&1; then
		say "passed $name: $(tail -n 1 /run/output)"
	else
		say "failed $name (exit $?)"
		tail -n 80 /run/output
		failed=1
	fi
}

for module in /modules/*.ko; do
	insmod "$module" || say "module $module did not load"
done
ip link set lo up
say "kernel $(uname -r)"

run ebpf timeout 120 /bin/ebpf_test
for port in kernel xdp; do
	[ -x /bin/test_port_$port ] && run port_$port timeout 90 /bin/test_port_$port
done
if [ "$(cat /etc/leg)" = 1 ]; then
	run kernel_leg timeout 240 /bin/sh /kernel_leg.sh
else
	say "left out kernel_leg: causeway-dp and causewayd are not built"
fi
[ "$failed" = 0 ] && say "all passed"
poweroff -f
