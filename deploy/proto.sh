#!/usr/bin/env bash
# Generate the Python code of proto/: the public contract into controller/api/gen, the line card's into
# controller/linecard/gen. --check fails when what stands there is stale.
set -euo pipefail
cd "$(dirname "$0")/.."
out=.
[ "${1:-}" = --check ] && out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT
api=controller/api/gen
linecard=controller/linecard/gen
mkdir -p "$out/$api" "$out/$linecard"
python=.venv/bin/python
include=$($python -c 'import google.api.annotations_pb2 as m, pathlib; print(pathlib.Path(m.__file__).parents[2])')
generate() { # OUTPUT-ROOT PROTOC-ARGUMENT…
    PATH=.venv/bin:$PATH $python -m grpc_tools.protoc -I"$include" \
        --python_out="$1" --grpc_python_out="$1" --mypy_out="quiet:$1" "${@:2}"
}
generate "$out/$api" -Iproto --mypy_grpc_out="quiet:$out/$api" \
    $(find proto -path proto/corridor/linecard -prune -o -name '*.proto' -print | sort)
# protoc imports from the proto root; the code is imported as a part of the controller's package.
find "$out/$api" -name '*_pb2*.py*' ! -path '*__pycache__*' \
    -exec sed -i -E "s/^(from|import) corridor\./\1 ${api//\//.}.corridor./" {} +
# Mapped to the package that the code is imported as: drivers and the line card may not import the API's package.
generate "$out" -I$linecard=proto/corridor/linecard/v1 $linecard/line_card.proto
[ "$out" = . ] && exit
for generated in $api $linecard; do
    diff -rq -x __pycache__ -x __init__.py "$out/$generated" "$generated" ||
        { echo "generated code is stale: run 'make proto'" >&2; exit 1; }
done
