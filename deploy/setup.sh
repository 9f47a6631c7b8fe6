#!/usr/bin/env bash
# Set up a Debian 12 machine: setup.sh VENV DEBIAN-PACKAGE…   What is already there is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1; shift

missing=()
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "setup needs root once, to install: ${missing[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    # PostgreSQL comes without a cluster of its own: tests make theirs. Whoever has one keeps it.
    clusters=/etc/postgresql-common/createcluster.d
    mkdir -p "$clusters"
    echo "create_main_cluster = false" >"$clusters/corridor-setup.conf"
    trap 'rm -f "$clusters/corridor-setup.conf"' EXIT
    # Services stay off: the lab starts its own switches in its own namespaces.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

python=$(command -v python3.11 || command -v python3)
[ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
[ -n "$(ls controller/api/gen/corridor/v1/*_pb2.py 2>/dev/null)" ] || PATH="$venv/bin:$PATH" deploy/proto.sh
"$venv/bin/python" -m controller.core.warm  # compiles the path kernels, once
mkdir -p "$venv/libexec"
for program in fibre sequenced_udp; do
    gcc -O2 -Wall -Wextra -o "$venv/libexec/$program" "topologies/$program.c"
done
