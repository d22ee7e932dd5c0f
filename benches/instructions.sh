#!/usr/bin/env bash
# benches/instructions.sh
#
# Instructions per row, counted by callgrind: the same on every run and every machine with the same compiler, so a change can be
# compared with the numbers in README.md. The difference of two runs leaves out what does not belong to rows.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "benches/instructions.sh: valgrind is missing (Debian: apt-get install valgrind)" >&2; exit 1; }

program=$(cargo bench --locked --bench instructions --no-run --message-format json 2>/dev/null |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')
count() { # stage, thousands of rows
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 | sed -n 's/.*Collected : //p'
}
for stage in pgoutput pgoutput-bulk test_decoding test_decoding-bulk; do
  few=$(count "$stage" 10) many=$(count "$stage" 30)
  printf '%-20s %6d instructions a row\n' "$stage" $(((many - few) / 20000))
done
