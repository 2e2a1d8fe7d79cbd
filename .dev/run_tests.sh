#!/usr/bin/env bash
# Every check and the whole test suite, in the project's own environment.
#   .dev/run_tests.sh [arguments of pytest]     e.g. .dev/run_tests.sh -m 'not slow'
# MMLOGO_DATA=DIR adds the tests on real data (DIR/cifar10/train/<class>/*.jpg).
set -euo pipefail
cd "$(dirname "$0")/.."

bash tools/setup_env.sh tests quickstart detection
. "${MMLOGO_VENV:-.venv}/bin/activate"
# one thread a process: sums in one order, and no two tests fighting for a core
export OMP_NUM_THREADS=1

step() {
    echo "== $*"
    "$@"
}
step ruff check .
step ruff format --check .
step mypy
step lint-imports
step codespell mmlogo configs tools tests docs README.md CHANGELOG.md CONTRIBUTING.md
step python -m pytest "$@"
