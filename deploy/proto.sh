#!/usr/bin/env bash
# Generate the Python code of proto/ into controller/api/gen; --check fails when what stands there is stale.
set -euo pipefail
cd "$(dirname "$0")/.."
out=controller/api/gen
target=$out
[ "${1:-}" = --check ] && target=$(mktemp -d) && trap 'rm -rf "$target"' EXIT
mkdir -p "$target"
python=.venv/bin/python
include=$($python -c 'import google.api.annotations_pb2 as m, pathlib; print(pathlib.Path(m.__file__).parents[2])')
PATH=.venv/bin:$PATH $python -m grpc_tools.protoc -Iproto -I"$include" \
    --python_out="$target" --grpc_python_out="$target" --mypy_out="quiet:$target" \
    $(find proto -name '*.proto' | sort)
if [ "$target" != "$out" ]; then
    diff -rq -x __pycache__ -x __init__.py "$target" "$out" || { echo "generated code is stale: run 'make proto'" >&2; exit 1; }
fi
