#!/usr/bin/env bash
# benches/outbox.sh [--writers N] [--seconds N] [--rounds N]
#
# What capturing changes costs those who write, side by side: inserts alone, with the trigger queue, with a row trigger that
# copies into another table, and with a slot. With real servers: Postgres with wal_level = replica, and with logical for the slot.
#
#   --writers N   sessions that write at once (4)
#   --seconds N   for each measurement (4)
#   --rounds N    of all of them (5)
set -euo pipefail
cd "$(dirname "$0")/.."

writers=4 seconds=4 rounds=5
while [ $# -gt 0 ]; do
  case $1 in
    --writers | --seconds | --rounds)
      case ${2:-} in '' | *[!0-9]*) echo "benches/outbox.sh: $1 needs a number" >&2; exit 2 ;; esac
      declare "${1#--}=$2"
      shift
      ;;
    --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "benches/outbox.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

data=$(mktemp -d)
end() {
  local server
  for server in "$data"/*/; do scripts/servers stop --data "$server" --mode immediate 2>/dev/null || true; done
  rm -rf "$data"
}
trap end EXIT
start() { # NAME WAL_LEVEL
  local port
  port=$(scripts/servers start postgres-18 --data "$data/$1" --with-pid $$ --set wal_level="$2" --set max_wal_size=4GB | sed -n 's/^port=//p')
  echo "host=127.0.0.1 port=$port user=wal2es_admin dbname=postgres"
}
replica=$(start replica replica)
logical=$(start logical logical)
cargo bench --locked --quiet --bench outbox -- "$replica" "$logical" "$writers" "$seconds" "$rounds"
