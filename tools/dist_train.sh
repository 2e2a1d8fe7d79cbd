#!/usr/bin/env bash
# Train on N processes of this machine: tools/dist_train.sh CONFIG N [tools/train.py's arguments]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG NUMBER_OF_PROCESSES [arguments of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
PROCESSES=$2
shift 2
exec "${PYTHON:-python}" "$(dirname "$0")/processes.py" "$PROCESSES" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
