#!/usr/bin/env bash
# benches/first_load.sh [--rows N] [--runs N] [--sink | --search]
#
# A whole first load by the real binary, from its start to its end, with a real Postgres:
#   into a sink that only reads;
#   into OpenSearch, beside what OpenSearch takes at most: the same requests, sent by clients that do nothing else.
#
#   --rows N   rows of the table (2000000)
#   --runs N   how often (3)
#   --sink     not into OpenSearch
#   --search   into OpenSearch, and once into the sink
set -euo pipefail
cd "$(dirname "$0")/.."

rows=2000000 runs=3 search=true
while [ $# -gt 0 ]; do
  case $1 in
    --rows) rows=$2; shift ;;
    --runs) runs=$2; shift ;;
    --sink) search=false ;;
    --search) search=true ;;
    --help | -h) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "benches/first_load.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

cargo build --locked --release --quiet
binary=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/wal2es
program=$(cargo bench --locked --bench first_load --no-run --message-format json 2>/dev/null |
  sed -n 's/.*"name":"first_load".*"executable":"\([^"]*\)".*/\1/p')

data=$(mktemp -d)
end() {
  local server
  for server in "$data"/*/; do scripts/servers stop --data "$server" --mode immediate 2>/dev/null || true; done
  rm -rf "$data"
}
trap end EXIT
start() { # KIND OPTION…
  scripts/servers start "$1" --data "$data/$1" --with-pid $$ "${@:2}"
}
port=$(start postgres-18 --set shared_buffers=512MB --set max_wal_size=8GB | sed -n 's/^port=//p')
target=()
if $search; then target=("$(start opensearch --heap 2g | sed -n 's/^url=http:\/\///p')"); fi
"$program" "$binary" "host=127.0.0.1 port=$port user=wal2es_admin dbname=postgres" "$rows" "$runs" "${target[@]}"
