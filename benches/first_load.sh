#!/usr/bin/env bash
# benches/first_load.sh [--rows N] [--runs N] [--sink]
#
# A whole first load by the real binary, from its start to its end, with a real Postgres:
#   into a sink that only reads;
#   into OpenSearch, beside what OpenSearch takes at most: the same requests, sent by clients that do nothing else.
#
#   --rows N   rows of the table (2000000)
#   --runs N   how often (3)
#   --sink     not into OpenSearch

# shellcheck source=benches/servers.sh
. "$(dirname "$0")/servers.sh"
rows=2000000 runs=3 sink=false
options rows runs sink -- "$@"

build
postgres=$(source_at "$(start postgres-18 --set shared_buffers=512MB --set max_wal_size=8GB | fact port)")
target=()
$sink || target=("$(start opensearch --heap 2g | sed -n 's/^url=http:\/\///p')")
"$(program first_load)" "$binary" "$postgres" "$rows" "$runs" ${target[@]+"${target[@]}"}
