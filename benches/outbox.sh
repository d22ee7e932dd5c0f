#!/usr/bin/env bash
# benches/outbox.sh [--writers N] [--seconds N] [--rounds N]
#
# What capturing changes costs those who write, side by side: inserts alone, with the trigger queue, with a row trigger that
# copies into another table, and with a slot. With real servers: Postgres with wal_level = replica, and with logical for the slot.
#
#   --writers N   sessions that write at once (4)
#   --seconds N   for each measurement (4)
#   --rounds N    of all of them (5)
# shellcheck source=benches/servers.sh
. "$(dirname "$0")/servers.sh"
writers=4 seconds=4 rounds=5
options writers seconds rounds -- "$@"

postgres() { source_at "$(start_as "$1" postgres-18 --set wal_level="$1" --set max_wal_size=4GB | fact port)"; }
replica=$(postgres replica)
logical=$(postgres logical)
cargo bench --locked --quiet --bench outbox -- "$replica" "$logical" "$writers" "$seconds" "$rounds"
