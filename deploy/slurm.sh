#!/usr/bin/env bash
# SLURM: one search over the nodes of an allocation, Ray started and stopped by `ray symmetric-run`
# (Ray 2.52 or newer). Whoever reaches Ray's ports runs programs as you, so every request carries the
# token of this job, which lies in a file that only you may read, in the folder of `sbatch`.
#   sbatch deploy/slurm.sh --budget 1.3G --data FOLDER --trials 200
# A second `sbatch` of the same lines with `resume RUN` goes on after the time limit.
#SBATCH --job-name=vit-frontier
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=4
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
set -euo pipefail

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(head -n 1 <<<"$nodes")
port=${RAY_PORT:-6379}

export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN_PATH=$(mktemp "$PWD/.ray-token-XXXXXXXX")  # mode 0600
export RAY_AUTH_TOKEN_PATH
export BEGUN=$RAY_AUTH_TOKEN_PATH-used
trap 'rm -f "$RAY_AUTH_TOKEN_PATH" "$BEGUN"' EXIT
export RAY_raylet_start_wait_time_s=240 RAY_agent_register_timeout_ms=240000  # a busy node is slow
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"

srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run \
    --address "$head:$port" \
    --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" \
    -- bash -c 'touch "$BEGUN"; exec python -m search "$@" --address auto' search "$@"

# `ray symmetric-run` ends with 0 where Ray did not start.
[ -e "$BEGUN" ] || { echo "Error: Ray did not start, see above" >&2; exit 1; }
