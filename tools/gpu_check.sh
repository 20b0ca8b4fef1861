#!/usr/bin/env bash
# On a machine with a GPU: does what holds on a processor hold there, and how fast is it?
#
#   tools/gpu_check.sh --out gpu.json      # some five minutes; --help for the rest
#
# PYTHON is any Python that has torch, transformers and what biasloop needs; nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH="$PWD/src:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 \
    exec "${PYTHON:-python3}" tools/gpu_check.py "$@"
