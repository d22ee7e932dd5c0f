#!/usr/bin/env bash
# benches/outbox.sh [--writers N] [--seconds N] [--rounds N] [--delay N]
#
# What capturing changes costs those who write, side by side: inserts alone, with the trigger queue, with a row trigger that
# copies into another table, and with a slot. With real servers: Postgres with wal_level = replica, and with logical for the slot.
#
#   --writers N   sessions that write at once (4)
#   --seconds N   for each measurement (4)
#   --rounds N    of all of them (5)
#   --delay N     microseconds that each commit takes longer (0): a disk that has to be waited for (commit_delay)

# shellcheck source=benches/servers.sh
. "$(dirname "$0")/servers.sh"
writers=4 seconds=4 rounds=5 delay=0
options writers seconds rounds delay -- "$@"

postgres() { source_at "$(start_as "$1" postgres-18 --set wal_level="$1" --set max_wal_size=4GB --set commit_delay="$delay" --set commit_siblings=0 | fact port)"; }
replica=$(postgres replica)
logical=$(postgres logical)
cargo bench --locked --quiet --bench outbox -- "$replica" "$logical" "$writers" "$seconds" "$rounds"
