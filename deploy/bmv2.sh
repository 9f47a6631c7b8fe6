#!/usr/bin/env bash
# Get BMv2 from a public image: bmv2.sh [IMAGE [PREFIX]], else p4lang/behavioral-model:latest and /usr/local.
# Docker (or DOCKER=podman) is needed for this alone. simple_switch_grpc is copied with the libraries it is linked to,
# the C library's loader among them: whatever distribution the image is of, it runs here as a process like any other,
# in the network namespace where the lab starts it.
set -euo pipefail
image=${1:-p4lang/behavioral-model:latest}
prefix=${2:-/usr/local}
docker=${DOCKER:-docker}

complain() { echo "bmv2.sh: $1" >&2; exit 1; }
command -v "$docker" >/dev/null || complain "$docker is not on the path"
mkdir -p "$prefix/bin" "$prefix/lib"
prefix=$(cd "$prefix" && pwd)
command=$prefix/bin/simple_switch_grpc
[ ! -e "$command" ] || grep -qs "$prefix/lib/bmv2/" "$command" || complain "$command is there already, and not from here"
copied=$(mktemp -d "$prefix/lib/bmv2.XXXXXX")
trap 'rm -rf "$copied"' EXIT

# Links are followed and directories left out: one directory holds it all.
"$docker" run --rm --entrypoint sh "$image" -ec '
    switch=$(command -v simple_switch_grpc)
    ldd "$switch" | grep -o "/[^ ]*" | tar -c -f - -h -P --transform "s|.*/||" -T - "$switch"
' | tar -x -f - -C "$copied" || complain "no simple_switch_grpc out of $image"
loader=$(cd "$copied" && echo ld-linux*.so.*)
"$copied/$loader" --library-path "$copied" "$copied/simple_switch_grpc" --version >/dev/null ||
    complain "simple_switch_grpc of $image does not run on this machine"

chmod 755 "$copied"
rm -rf "$prefix/lib/bmv2"
mv "$copied" "$prefix/lib/bmv2"
cat >"$command" <<END
#!/bin/sh
exec "$prefix/lib/bmv2/$loader" --library-path "$prefix/lib/bmv2" "$prefix/lib/bmv2/simple_switch_grpc" "\$@"
END
chmod 755 "$command"
echo "$command $("$command" --version)"
