#!/bin/sh
# Compiles the pipeline and records which sources it was compiled from (p4/corridor.sha256: `sha256sum -c` from the
# repository's root). Paths are relative on purpose: the compiler writes them into the JSON.
set -eu
cd "$(dirname "$0")/.."
p4c-bm2-ss --arch v1model --p4runtime-files p4/corridor.p4info.txtpb -o p4/corridor.json p4/corridor.p4
{
	echo "# p4c-bm2-ss $(p4c-bm2-ss --version 2>&1 | sed -n 's/^Version \([^ ]*\).*/\1/p')"
	sha256sum p4/*.p4
} >p4/corridor.sha256
