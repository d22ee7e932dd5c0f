#!/usr/bin/env bash
# benches/queue.sh [--rows N] [--runs N] [--commits N]
#
# How fast entries of the trigger queue are taken, and how long a commit takes to its document: with a real Postgres that
# could not decode its log (wal_level = replica), into a sink that only reads, and into OpenSearch.
#
#   --rows N      rows that are changed for each run into the sink (200000)
#   --runs N      how often (3)
#   --commits N   that are followed into OpenSearch, each way (200)

# shellcheck source=benches/servers.sh
. "$(dirname "$0")/servers.sh"
rows=200000 runs=3 commits=200
options rows runs commits -- "$@"

build
postgres=$(source_at "$(start postgres-18 --set wal_level=replica --set shared_buffers=512MB --set max_wal_size=8GB | fact port)")
target=$(start opensearch --heap 2g | sed -n 's/^url=http:\/\///p')
"$(program queue)" "$binary" "$postgres" "$target" "$rows" "$runs" "$commits"
