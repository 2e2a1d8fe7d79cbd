#!/usr/bin/env bash
# From a fresh checkout to a trained network and its pictures: an environment with
# what the quickstart needs, then tools/quickstart.py with the same arguments.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/tools/setup_env.sh" quickstart
exec "${MMLOGO_VENV:-$root/.venv}/bin/python" "$root/tools/quickstart.py" "$@"
