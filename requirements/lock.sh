#!/usr/bin/env bash
# Writes the lock files from pyproject.toml. Run it after changing a dependency; needs `uv` on PATH.
# torch is pinned in pyproject.toml and installed by name, not by hash: its CPU and CUDA builds
# differ in hash and dependencies, and which one fits is the machine's affair.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile -q --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 "$@"; }
compile pyproject.toml --extra cpu --extra openvino -o requirements/runtime.lock
compile pyproject.toml --extra cpu --extra openvino --extra dev -c requirements/runtime.lock -o requirements/dev.lock
sed -n 's/^train = \[\(.*\)\]/\1/p' pyproject.toml | tr ',' '\n' | tr -d '" ' | grep -v '^torch' > requirements/.train.in
compile requirements/.train.in -c requirements/dev.lock -o requirements/train.lock
rm requirements/.train.in
compile requirements/import.in --override requirements/import.overrides -o requirements/import.lock
# Programs that the benchmarks compare with; they get an environment of their own.
compile requirements/peers.in -o requirements/peers.lock
compile requirements/registration.in --override requirements/registration.overrides -o requirements/registration.lock
compile requirements/parity.in --override requirements/parity.overrides -o requirements/parity.lock
compile requirements/brain.in --override requirements/brain.overrides -o requirements/brain.lock
