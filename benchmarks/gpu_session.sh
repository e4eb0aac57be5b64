#!/bin/bash
# What a GPU has to tell of this project, in at most 9.5 minutes: correctness, speed, recipe, packing, faults.
# From a checkout's root, on a machine with a GPU, torch and timm (no Ray, Optuna, fvcore):
#   CIFAR=cifar10/train bash benchmarks/gpu_session.sh
# Every part has a process and a time limit of its own, every figure is a line of $OUT/gpu.jsonl as it comes.
# REHEARSE=1 runs everything tiny on a CPU; PARTS="speed recipe" chooses.
set -u
SESSION=$(cd "$(dirname "$0")" && pwd)/gpu/session.py
export OUT=${OUT:-/tmp/gpu-session} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} XDG_CACHE_HOME=$OUT/cache
mkdir -p "$OUT"
LIMIT=${LIMIT:-560}
PY=${PY:-python3}
SMALL=()
[ -n "${REHEARSE:-}" ] && SMALL=(--rehearse)
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader 2>/dev/null
FAILED=0

part() { # name, seconds at most, command...
  local name=$1 limit=$2 left=$((LIMIT - SECONDS)) rc; shift 2
  case " ${PARTS:-$name} " in *" $name "*) ;; *) return ;; esac
  if [ $left -lt 15 ]; then echo "== $name: no time left"; FAILED=1; return; fi
  # A rehearsal is about whether it runs, on whatever machine: all of it has LIMIT.
  if [ $limit -gt $left ] || [ -n "${REHEARSE:-}" ]; then limit=$left; fi
  echo "== $name at $SECONDS s, at most $limit s"
  timeout -k 5 "$limit" "$@" 2>&1 | grep --line-buffered -v -e '^$' | tee -a "$OUT/session.log"
  rc=${PIPESTATUS[0]}
  [ "$rc" -ne 0 ] && FAILED=1
  echo "== $name: rc $rc, $SECONDS s"
}
S=("$PY" "$SESSION")
part probe    60 "${S[@]}" probe "${SMALL[@]}"
part correct  80 "${S[@]}" correct "${SMALL[@]}"
# The project's own tests that need a GPU. The one whose capture fails on purpose runs alone, last: what comes
# after it in its process has no memory allocator that recovers.
if [ -z "${REHEARSE:-}" ]; then
  part tests  75 "$PY" -m pytest -p no:cacheprovider tests/trainers/test_proxy.py tests/trainers/device/test_streaming.py \
    -k "(gpu or cuda_graph or stream or moved or resident) and not cannot_be_captured"
fi
part speed   140 "${S[@]}" speed "${SMALL[@]}"
part recipe  100 "${S[@]}" recipe "${SMALL[@]}"
part timm     50 "${S[@]}" timm "${SMALL[@]}"
part packing 130 "${S[@]}" packing "${SMALL[@]}"
part faults   60 "${S[@]}" faults "${SMALL[@]}"
if [ -z "${REHEARSE:-}" ]; then
  part tests-capture 30 "$PY" -m pytest -p no:cacheprovider tests/trainers/test_proxy.py -k cannot_be_captured
fi
echo "== all: $SECONDS s"
[ -f "$OUT/gpu.jsonl" ] && wc -l "$OUT/gpu.jsonl"
exit $FAILED
