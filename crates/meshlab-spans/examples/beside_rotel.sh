#!/bin/sh
# Spans a second of CPU time of this crate's receiver and of rotel, an OTLP receiver from PyPI that
# decodes and drops them: the same load, in turns, and the ratio of each turn.
#
#     crates/meshlab-spans/examples/beside_rotel.sh [ROUNDS [SECONDS]]
#
# Needs python3 with venv, and the network for `pip install rotel`. INGEST is a built `ingest`, where
# it should not be built here; ROTEL an unpacked `rotel-agent`.
set -eu
rounds=${1:-3} seconds=${2:-5} version=0.0.1a15
cd "$(dirname "$0")/../../.."
ingest=${INGEST:-target/release/examples/ingest}
[ -n "${INGEST:-}" ] || cargo build --release -q -p meshlab-spans --example ingest
place=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill "$agent" 2>/dev/null; rm -rf "$place"' EXIT INT TERM
rotel=${ROTEL:-}
if [ -z "$rotel" ]; then
  python3 -m venv "$place/venv"
  "$place/venv/bin/pip" install -q "rotel==$version"
  rotel=$(find "$place/venv" -name rotel-agent -type f)
fi
"$rotel" start --exporter blackhole --otlp-http-endpoint 127.0.0.1:24318 \
  --otlp-grpc-endpoint 127.0.0.1:24317 > "$place/rotel.log" 2>&1 &
agent=$!
waited=0
until grep -q ':5EFE .* 0A ' /proc/net/tcp; do # 24318, listening
  kill -0 "$agent" 2>/dev/null && [ "$waited" -lt 100 ] ||
    { echo "rotel does not listen:" >&2; cat "$place/rotel.log" >&2; exit 1; }
  waited=$((waited + 1)) && sleep 0.1
done
# Thousand spans a second of CPU, from the line of a round.
rate() { sed -n 's/.* \([0-9]*\) k a second of CPU.*/\1/p' | head -n 1; }
round=1
while [ "$round" -le "$rounds" ]; do
  full=$("$ingest" --seconds "$seconds" --rounds 1 | rate)
  plain=$("$ingest" --seconds "$seconds" --rounds 1 --selectors 0 | rate)
  other=$("$ingest" --seconds "$seconds" --rounds 1 --to 127.0.0.1:24318 --pid "$agent" | rate)
  echo "$round: with 100 selectors $full k, without $plain k, rotel $other k a second of CPU: ratio" \
    "$(awk "BEGIN { printf \"%.2f and %.2f\", $full / $other, $plain / $other }")"
  round=$((round + 1))
done
