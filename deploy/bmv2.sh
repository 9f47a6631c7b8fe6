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
there() { [ -e "$1" ] || [ -L "$1" ]; }
command -v "$docker" >/dev/null || complain "$docker is not on the path"
mkdir -p "$prefix/bin" "$prefix/lib"
prefix=$(cd "$prefix" && pwd)
command=$prefix/bin/simple_switch_grpc
home=$prefix/lib/bmv2
mark=.from-bmv2.sh  # stands in a directory that this script has filled, and may replace
! there "$command" || grep -qsF "$home/" "$command" || complain "$command is there already, and not from here"
! there "$home" || [ -f "$home/$mark" ] || complain "$home is there already, and not from here"

# All is made beside its place. What stood there before goes when the new stands, or comes back.
work=$(mktemp -d "$home.XXXXXX")
leave() {
    there "$home" || ! there "$work/old" || mv "$work/old" "$home"
    rm -rf "$work" "${wrapper:-$work}"
}
trap leave EXIT
copied=$work/new
mkdir "$copied"

# Links are followed and directories left out: one directory holds it all.
"$docker" run --rm --entrypoint sh "$image" -ec '
    switch=$(command -v simple_switch_grpc)
    ldd "$switch" | grep -o "/[^ ]*" | tar -c -f - -h -P --transform "s|.*/||" -T - "$switch"
' | tar -x -f - -C "$copied" || complain "no simple_switch_grpc out of $image"
loader=$(cd "$copied" && echo ld-linux*.so.*)
"$copied/$loader" --library-path "$copied" "$copied/simple_switch_grpc" --version >/dev/null ||
    complain "simple_switch_grpc of $image does not run on this machine"

echo "$image" >"$copied/$mark"
wrapper=$(mktemp "$command.XXXXXX")
cat >"$wrapper" <<END
#!/bin/sh
exec "$home/$loader" --library-path "$home" "$home/simple_switch_grpc" "\$@"
END
chmod 755 "$copied" "$wrapper"
! there "$home" || mv "$home" "$work/old"
mv "$copied" "$home"
mv "$wrapper" "$command"
echo "$command $("$command" --version)"
