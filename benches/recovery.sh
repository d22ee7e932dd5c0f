#!/usr/bin/env bash
# benches/recovery.sh [--rows N] [--runs N]
#
# How fast the connector is itself again after a fault: while a server is away, rows are written, and when it is back the
# time is taken to the first write and until all is searchable. Beside it the same number of rows with nothing wrong but a
# connector that was not running. With a real Postgres and OpenSearch.
#
#   --rows N   rows that are written during each fault (200000)
#   --runs N   how often (3)

# shellcheck source=benches/servers.sh
. "$(dirname "$0")/servers.sh"
rows=200000 runs=3
options rows runs -- "$@"

build
begin_postgres() { start postgres-18 --set shared_buffers=512MB --set max_wal_size=8GB; }
port=$(begin_postgres | fact port)
facts=$(start opensearch --heap 2g)
target=$(fact url <<<"$facts") node=$(fact pid <<<"$facts")
now() { echo $(($(date +%s%N) / 1000000)); }
where=(--source "$(source_at "$port")" --target "$target" --table public.item)
begin() {
  "$binary" run "${where[@]}" 2>>"$data/connector.log" &
  connector=$!
}
all_there() { until "$binary" wait --timeout 300s "${where[@]}" >>"$data/wait.log" 2>&1; do sleep 0.05; done; }
written() { curl -s "$target/item/_stats/indexing" | sed -n 's/^.*"_all".*"primaries":{"indexing":{"index_total":\([0-9]*\).*/\1/p'; }
# Transactions of a thousand rows.
write() {
  sql "DO \$\$ BEGIN FOR i IN 1..$((rows / 1000)) LOOP
         INSERT INTO item (name, price, made, note) SELECT 'item ' || n, n / 100.0, now(), repeat('some words of ' || n || ' ', 6)
         FROM generate_series(1, 1000) n; COMMIT; END LOOP; END \$\$"
}
# Since BEGAN, in milliseconds: to the first write beyond those BEFORE, and until all is there.
recover() { # NAME BEGAN BEFORE
  until [ "$(written)" -gt "$3" ] 2>/dev/null; do sleep 0.01; done
  local first=$(($(now) - $2))
  all_there
  local took=$(($(now) - $2))
  echo "$1: first write after $first ms, all after $took ms, $((rows * 1000 / took)) rows/s"
}

sql "CREATE TABLE item (id bigserial PRIMARY KEY, name text, price numeric(10,2), made timestamptz, note text)"
write # what the servers have to warm up with
begin
all_there
for ((run = 1; run <= runs; run++)); do
  kill "$connector" && wait "$connector" || true
  write
  before=$(written) began=$(now)
  begin
  recover "no fault, the connector started" "$began" "$before"

  kill -STOP "$node"
  write
  kill -CONT "$node"
  began=$(now)
  recover "the search server stood still" "$began" "$(written)"

  kill -STOP "$connector"
  write
  scripts/servers stop --data "$data/postgres-18" --mode immediate
  kill -CONT "$connector"
  before=$(written)
  begin_postgres >/dev/null
  began=$(now)
  recover "Postgres crashed" "$began" "$before"
done
