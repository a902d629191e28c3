#!/usr/bin/env bash
# Fails a build whose recording is not localized well enough: ci_gate.sh MAP BAG TRUTH.tum
# Names after --require are those of summary.json; `latency_ms.` stands before those of latency.json.
set -euo pipefail
map=$1 bag=$2 truth=$3
deviloc map check "$map"
deviloc evaluate-bag "$bag" --map "$map" --ground-truth "$truth" --output evaluation \
    --require 'wrong_fixes<=0' \
    --require 'recall.5cm_5deg>=0.95' \
    --require 'latency_ms.p95<=500'
