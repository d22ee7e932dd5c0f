#!/usr/bin/env bash
# benches/verify.sh [--rows N] [--runs N]
#
# How fast `wal2es verify` compares a table with its index, and how much memory it takes: with a real Postgres and
# OpenSearch and a connector that runs beside it, at rest.
#
#   --rows N   rows of the table (1000000)
#   --runs N   how often (3)
set -euo pipefail
cd "$(dirname "$0")/.."

rows=1000000 runs=3
while [ $# -gt 0 ]; do
  case $1 in
    --rows) rows=$2; shift ;;
    --runs) runs=$2; shift ;;
    --help | -h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "benches/verify.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

cargo build --locked --release --quiet
binary=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/wal2es

data=$(mktemp -d)
connector=
end() {
  [ -z "$connector" ] || { kill "$connector" && wait "$connector"; } 2>/dev/null || true
  local server
  for server in "$data"/*/; do scripts/servers stop --data "$server" --mode immediate 2>/dev/null || true; done
  rm -rf "$data"
}
trap end EXIT
start() { # KIND OPTION…
  scripts/servers start "$1" --data "$data/$1" --with-pid $$ "${@:2}"
}
port=$(start postgres-18 --set shared_buffers=512MB --set max_wal_size=8GB | sed -n 's/^port=//p')
target=$(start opensearch --heap 2g | sed -n 's/^url=//p')
sql() { scripts/servers psql --data "$data/postgres-18" -qAt -c "$1"; }
sql "CREATE TABLE item (id bigint PRIMARY KEY, name text, price numeric(10,2), made timestamptz, note text)"
sql "INSERT INTO item SELECT n, 'item ' || n, n / 100.0, now(), repeat('some words of ' || n || ' ', 6)
     FROM generate_series(1, $rows) n"
sql "VACUUM ANALYZE item"

where=(--source "host=127.0.0.1 port=$port user=wal2es_admin dbname=postgres" --target "$target" --table public.item)
"$binary" run "${where[@]}" 2>"$data/connector.log" &
connector=$!
until "$binary" wait --timeout 300s "${where[@]}" >"$data/wait.log" 2>&1; do sleep 1; done

for ((run = 1; run <= runs; run++)); do
  before=$(date +%s%N)
  "$binary" verify "${where[@]}" >"$data/verify.out" 2>"$data/verify.log" &
  pid=$!
  most=0
  while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    most=$now
    sleep 0.02
  done
  wait "$pid" || { cat "$data/verify.log" >&2; exit 1; }
  took=$((($(date +%s%N) - before) / 1000000))
  echo "$rows rows in $took ms: $((rows * 1000 / took)) rows/s, at most $((most / 1024)) MB resident"
done
