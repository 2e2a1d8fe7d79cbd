#!/usr/bin/env bash
# Train with Slurm: GPUS=8 tools/slurm_train.sh [--requeue] PARTITION JOB_NAME CONFIG WORK_DIR [tools/train.py's arguments]
#
# With --requeue a training that a signal has interrupted (exit code 75) starts again and goes
# on from its newest checkpoint: inside a batch job by `scontrol requeue`, else by another
# srun. To be told before the time is up: sbatch --signal=USR1@120, or SRUN_ARGS='--signal=USR1@120'.
set -euo pipefail

REQUEUE=
if [ "${1:-}" = --requeue ]; then
    REQUEUE=yes
    shift
fi
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] $0 [--requeue] PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
WORK_DIR=$4
shift 4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
# SRUN_ARGS holds several words
# shellcheck disable=SC2206
COMMAND=(srun -p "$PARTITION" --job-name="$JOB_NAME" --gres=gpu:"$GPUS_PER_NODE"
    --ntasks="$GPUS" --ntasks-per-node="$GPUS_PER_NODE"
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-}
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$CONFIG"
    --work-dir "$WORK_DIR" --launcher slurm)
if [ -z "$REQUEUE" ]; then
    exec "${COMMAND[@]}" "$@"
fi

# Ctrl-C and scancel end the training for good. srun hears them, too, and saves.
STOPPED=
trap 'STOPPED=yes' INT TERM
while true; do
    CODE=0
    "${COMMAND[@]}" --resume auto "$@" || CODE=$?
    if [ "$CODE" != 75 ] || [ -n "$STOPPED" ]; then
        exit "$CODE"
    fi
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        echo "interrupted: job $SLURM_JOB_ID is queued again" >&2
        scontrol requeue "$SLURM_JOB_ID"
        exit "$CODE"
    fi
    echo 'interrupted: starting again from the newest checkpoint' >&2
done
