#!/usr/bin/env bash
# benches/verify.sh [--rows N] [--wrong N] [--runs N]
#
# How fast `wal2es verify` compares a table with its index, and how much memory it takes: with a real Postgres and
# OpenSearch and a connector that runs beside it, at rest.
#
#   --rows N    rows of the table (1000000)
#   --wrong N   so many documents are not what their rows are (0)
#   --runs N    how often (3)

# shellcheck source=benches/servers.sh
. "$(dirname "$0")/servers.sh"
rows=1000000 wrong=0 runs=3
options rows wrong runs -- "$@"

build
port=$(start postgres-18 --set shared_buffers=512MB --set max_wal_size=8GB | fact port)
target=$(start opensearch --heap 2g | fact url)
sql "CREATE TABLE item (id bigint PRIMARY KEY, name text, price numeric(10,2), made timestamptz, note text)"
sql "INSERT INTO item SELECT n, 'item ' || n, n / 100.0, now(), repeat('some words of ' || n || ' ', 6)
     FROM generate_series(1, $rows) n"
sql "VACUUM ANALYZE item"

where=(--source "$(source_at "$port")" --target "$target" --table public.item)
"$binary" run "${where[@]}" 2>"$data/connector.log" &
connector=$!
until "$binary" wait --timeout 300s "${where[@]}" >"$data/wait.log" 2>&1; do sleep 1; done

bulk() { curl -sf -H 'content-type: application/x-ndjson' --data-binary @- "$target/item/_bulk?filter_path=errors" | grep -q '"errors":false'; }
if [ "$wrong" -gt 0 ]; then
  # That of the copy, which all have.
  version=$(curl -sf "$target/item/_doc/1" | sed -n 's/.*"_version":\([0-9]*\).*/\1/p')
  for ((from = 1; from <= wrong; from += 10000)); do
    for ((id = from; id < from + 10000 && id <= wrong; id++)); do
      printf '{"index":{"_id":"%d","version":%s,"version_type":"external_gte"}}\n{"id":%d,"name":"wrong"}\n' "$id" "$version" "$id"
    done | bulk
  done
  curl -sf -X POST "$target/item/_refresh" >/dev/null
fi

for ((run = 1; run <= runs; run++)); do
  before=$(date +%s%N)
  "$binary" verify "${where[@]}" >"$data/verify.out" 2>"$data/verify.log" &
  pid=$!
  most=0
  while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    most=$now
    sleep 0.02
  done
  wait "$pid" || [ "$wrong" -gt 0 ] || { cat "$data/verify.log" >&2; exit 1; }
  took=$((($(date +%s%N) - before) / 1000000))
  echo "$rows rows in $took ms: $((rows * 1000 / took)) rows/s, at most $((most / 1024)) MB resident"
  [ "$wrong" = 0 ] || grep -m 2 -E 'differ|more' "$data/verify.out" | cut -c 1-200
done
