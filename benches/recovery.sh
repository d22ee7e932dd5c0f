#!/usr/bin/env bash
# benches/recovery.sh [--rows N] [--runs N]
#
# How fast the connector is itself again after a fault: while a server is away, rows are written, and when it is back the
# time is taken to the first write and until all is searchable. Beside it the same number of rows with nothing wrong but a
# connector that was not running. With a real Postgres and OpenSearch.
#
#   --rows N   rows that are written during each fault (200000)
#   --runs N   how often (3)
set -euo pipefail
cd "$(dirname "$0")/.."

rows=200000 runs=3
while [ $# -gt 0 ]; do
  case $1 in
    --rows) rows=$2; shift ;;
    --runs) runs=$2; shift ;;
    --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "benches/recovery.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
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
begin_postgres() { start postgres-18 --set shared_buffers=512MB --set max_wal_size=8GB; }
port=$(begin_postgres | sed -n 's/^port=//p')
facts=$(start opensearch --heap 2g)
target=$(sed -n 's/^url=//p' <<<"$facts") node=$(sed -n 's/^pid=//p' <<<"$facts")
sql() { scripts/servers psql --data "$data/postgres-18" -qAt -c "$1"; }
now() { echo $(($(date +%s%N) / 1000000)); }
where=(--source "host=127.0.0.1 port=$port user=wal2es_admin dbname=postgres" --target "$target" --table public.item)
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
