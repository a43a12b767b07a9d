#!/usr/bin/env bash
# Runs every step on real data: 9 speakers say two vowels, 7 to 29 timesteps of 12 cepstra each.
# usage: demo.sh FOLDER, whose data and run are made anew
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: demo.sh FOLDER}
rm -rf "$out/vowels" "$out/run"
mkdir -p "$out"

say() { printf '\n$ %s\n' "$*"; "$@"; }

say padless preprocess "$here/train.csv" --output "$out/vowels" \
    --label-column speaker --splits train=0.8,validation=0.2
say padless plan "$out/vowels"
say padless train "$out/vowels" --run "$out/run" --replicas 2
say padless embed "$out/run" "$out/vowels" --output "$out/embeddings.parquet"
say padless score "$out/run" "$here/test.csv" --label-column speaker --output "$out/scores.parquet"
say padless report "$out/run" --picture "$out/report.png"
