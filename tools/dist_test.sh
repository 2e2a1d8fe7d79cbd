#!/usr/bin/env bash
# Evaluate on N processes of this machine: tools/dist_test.sh CONFIG CHECKPOINT N [tools/test.py's arguments]
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT NUMBER_OF_PROCESSES [arguments of tools/test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
PROCESSES=$3
shift 3
exec "${PYTHON:-python}" "$(dirname "$0")/processes.py" "$PROCESSES" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
