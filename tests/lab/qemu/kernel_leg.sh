#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Shows that two gateways on `kernel` ports carry ping, UDP and TCP between
# their sites' hosts, IPv4 and IPv6. Runs in the guest of boot.sh; any shell with
# ip, ping, socat and wg will do.
#
#   host-a ------- gw-a ------------- gw-b ------- host-b
#   10.1.0.10  .1      203.0.113.1  .2      .1  10.2.0.10
#   fd01::10   ::1     (41641)              ::1  fd02::10

dir=/run/leg
pids=
mkdir -p $dir

cleanup() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null
	done
	for ns in host-a gw-a gw-b host-b; do
		ip netns del "$ns" 2>/dev/null
	done
}
trap cleanup EXIT

die() {
	for side in a b; do
		echo "--- $side: causeway-dp, causewayd"
		tail -n 25 $dir/$side.dp.log $dir/$side.d.log 2>/dev/null
		ip -n gw-$side route show table all 2>/dev/null | grep cw0
	done
	echo "kernel leg: $*"
	exit 1
}

link() { # ns interface address4 address6, ns interface address4 address6
	ip link add "$2" netns "$1" type veth peer name "$6" netns "$5" || die "veth $2"
	for end in "$1 $2 $3 $4" "$5 $6 $7 $8"; do
		set -- $end
		ip -n "$1" link set "$2" up
		ip -n "$1" addr add "$3" dev "$2"
		[ "$4" = - ] || ip -n "$1" addr add "$4" dev "$2" nodad
	done
}

for ns in host-a gw-a gw-b host-b; do
	ip netns add $ns || die "namespace $ns"
	ip -n $ns link set lo up
done
for ns in gw-a gw-b; do
	ip netns exec $ns sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
done
link host-a eth0 10.1.0.10/24 fd01::10/64 gw-a lan0 10.1.0.1/24 fd01::1/64
link host-b eth0 10.2.0.10/24 fd02::10/64 gw-b lan0 10.2.0.1/24 fd02::1/64
link gw-a wan0 203.0.113.1/24 - gw-b wan0 203.0.113.2/24 -
ip -n host-a route add default via 10.1.0.1
ip -n host-b route add default via 10.2.0.1
ip -n host-a -6 route add default via fd01::1
ip -n host-b -6 route add default via fd02::1

umask 077
for side in a b; do
	mkdir -p $dir/$side
	wg genkey >$dir/$side/node.key || die "keys"
done

gateway() { # side, other side, the other's endpoint and prefixes
	cat >$dir/$1/node.hujson <<-END
	{
		"private_key_file": "node.key",
		"filter": "allow-all",
		"peers": [{"name": "$2", "public_key": "$(wg pubkey <$dir/$2/node.key)",
			"endpoint": "$3", "allowed_ips": ["$4", "$5"]}]
	}
	END
	ip netns exec gw-$1 causeway-dp --socket $dir/$1.dp --no-huge --workers 1 \
		--port kernel:tun=cw0,listen=41641 >$dir/$1.dp.log 2>&1 &
	pids="$pids $!"
	ip netns exec gw-$1 causewayd --state $dir/$1 --socket $dir/$1.sock --dp-socket $dir/$1.dp \
		--config $dir/$1/node.hujson >$dir/$1.d.log 2>&1 &
	pids="$pids $!"
}
gateway a b 203.0.113.2:41641 10.2.0.0/24 fd02::/64
gateway b a 203.0.113.1:41641 10.1.0.0/24 fd01::/64

# Emulated CPUs start slowly: the first answer may take its time.
i=0
until ip netns exec host-a ping -c 1 -W 1 10.2.0.10 >/dev/null 2>&1; do
	i=$((i + 1))
	[ $i -lt 90 ] || die "no ping within 90 s"
	sleep 1
done
ip netns exec host-a ping -c 5 -i 0.3 -W 5 10.2.0.10 >$dir/ping || die "ping 4"
ip netns exec host-b ping -c 5 -i 0.3 -W 5 fd01::10 >$dir/ping || die "ping 6"
ip netns exec host-a ping -c 3 -i 0.3 -W 5 -s 1300 10.2.0.10 >$dir/ping || die "ping 1300"

head -c 2000000 /dev/urandom >$dir/sent

transfer() { # name, listening address, connecting address
	rm -f $dir/received
	ip netns exec host-b timeout 60 socat -u "$2" OPEN:$dir/received,creat,trunc &
	pid=$!
	sleep 1
	ip netns exec host-a timeout 60 socat -u OPEN:$dir/sent "$3" || die "$1: send"
	wait $pid
	cmp -s $dir/sent $dir/received || die "$1: not what was sent"
}
transfer "TCP 4" TCP4-LISTEN:5001 TCP4:10.2.0.10:5001
transfer "TCP 6" TCP6-LISTEN:5002 "TCP6:[fd02::10]:5002"

# UDP one way, without a flood: every datagram arrives.
ip netns exec host-a timeout 30 socat -u UDP4-RECV:5003 OPEN:$dir/datagrams,creat,trunc &
pid=$!
sleep 1
i=0
while [ $i -lt 20 ]; do
	printf 'datagram %02d\n' $i | ip netns exec host-b socat -u - UDP4-SENDTO:10.1.0.10:5003
	i=$((i + 1))
done
sleep 2
kill $pid
[ "$(grep -c datagram $dir/datagrams)" = 20 ] || die "UDP: $(wc -l <$dir/datagrams) of 20"

echo "ping, TCP and UDP between two gateways on kernel ports"
