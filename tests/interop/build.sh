#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the foreign implementations that interop tests and comparisons run against into
# a cache outside the tree, one file a version, and says by name what could not be built.
#
#   build.sh [NAME…]     build what is missing (all, or the named ones); exit 1 if any failed
#   build.sh --path NAME print the path a built program has
#
# Names: wireguard-go boringtun-cli tailscaled tailscale control derper derpclient coordload
#        netcheck ts2021
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${CAUSEWAY_CACHE:-/var/cache/causeway}
PATH=$PATH:/usr/local/go/bin:$HOME/.cargo/bin
boringtun=0.7.1

version() {
	sed -n "s|^\(require\)\{0,1\}[[:space:]]*$1 \(v[^ ]*\).*|\2|p" "$here/go.mod" | head -n 1
}

path_of() {
	case $1 in
	wireguard-go) echo "$cache/bin/wireguard-go-$(version golang.zx2c4.com/wireguard)" ;;
	boringtun-cli) echo "$cache/bin/boringtun-cli-$boringtun" ;;
	tailscaled | tailscale | derper) echo "$cache/bin/$1-$(version tailscale.com)" ;;
	control | derpclient | netcheck) echo "$cache/bin/$1-$(version tailscale.com)-$(
		cksum <"$here/$1/main.go" | cut -d ' ' -f 1)" ;;
	ts2021) echo "$cache/bin/$1-$(version tailscale.com)-$(
		cat "$here"/ts2021/*.go | cksum | cut -d ' ' -f 1)" ;;
	coordload) echo "$cache/bin/$1-$(version tailscale.com)-$(
		cat "$here"/../../perf/coord/*.go | cksum | cut -d ' ' -f 1)" ;;
	*) return 1 ;;
	esac
}

go_build() {
	command -v go >/dev/null || { echo "no go" >&2; return 1; }
	(cd "$here" && nice -n 19 go build -buildvcs=false -o "$2.tmp$$" "$1") && mv "$2.tmp$$" "$2"
}

build_one() {
	case $1 in
	wireguard-go) go_build golang.zx2c4.com/wireguard "$2" ;;
	tailscaled | tailscale | derper) go_build "tailscale.com/cmd/$1" "$2" ;;
	control | derpclient | netcheck | ts2021) go_build "./$1" "$2" ;;
	coordload) # files of another folder, built with the versions of this one
		(cd "$here" && nice -n 19 go build -buildvcs=false -o "$2.tmp$$" ../../perf/coord/*.go) &&
			mv "$2.tmp$$" "$2"
		;;
	boringtun-cli)
		command -v cargo >/dev/null || { echo "no cargo" >&2; return 1; }
		nice -n 19 cargo install --quiet --locked --root "$cache/boringtun-$boringtun" \
			--version "$boringtun" boringtun-cli &&
			cp "$cache/boringtun-$boringtun/bin/boringtun-cli" "$2.tmp$$" &&
			mv "$2.tmp$$" "$2"
		;;
	esac
}

if [ "${1:-}" = --path ]; then
	path_of "${2:-}"
	exit
fi

[ $# -gt 0 ] || set -- wireguard-go boringtun-cli tailscaled tailscale control derper derpclient \
	netcheck ts2021 coordload
mkdir -p "$cache/bin" || exit 1
failed=
for name; do
	out=$(path_of "$name") || { echo "no foreign program named $name" >&2; exit 2; }
	if [ -x "$out" ]; then
		echo "have  $name  $out"
	elif build_one "$name" "$out" >"$cache/build-$name.log" 2>&1; then
		echo "built $name  $out"
	else
		echo "FAILED $name: $(tail -n 1 "$cache/build-$name.log") (log: $cache/build-$name.log)"
		failed="$failed $name"
	fi
done
[ -z "$failed" ] || { echo "could not build:$failed" >&2; exit 1; }
