# Sourced by the benchmarks that need servers and the connector: options, a place for the servers, and their end.
# shellcheck shell=bash disable=SC2034 # the scripts use what is set here
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Sets the variables of those names by --NAME N; one that is false, by --NAME.
options() { # NAME… -- ARGUMENT…
  local names=' ' name
  while [ "$1" != -- ]; do
    names+="$1 "
    shift
  done
  shift
  while [ $# -gt 0 ]; do
    name=${1#--}
    case $1 in
      --help | -h) sed -n '2,/^$/s/^# \{0,1\}//p' "$script"; exit 0 ;;
      --*) case $names in *" $name "*) ;; *) name='' ;; esac ;;
      *) name='' ;;
    esac
    [ -n "$name" ] || { echo "$0: unknown option $1 (see --help)" >&2; exit 2; }
    if [ "${!name}" = false ]; then
      declare -g "$name=true"
    else
      case ${2:-} in '' | *[!0-9]*) echo "$0: $1 needs a number" >&2; exit 2 ;; esac
      declare -g "$name=$2"
      shift
    fi
    shift
  done
}

# Sets binary, the connector.
build() {
  cargo build --locked --release --quiet
  binary=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/wal2es
}

# The path of a benchmark of Cargo.toml.
program() { # NAME
  cargo bench --locked --bench "$1" --no-run --message-format json 2>/dev/null |
    sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\([^\"]*\)\".*/\1/p"
}

data=$(mktemp -d)
connector=
end() {
  [ -z "$connector" ] || { kill "$connector" && wait "$connector"; } 2>/dev/null || true
  local server
  for server in "$data"/*/; do scripts/servers stop --data "$server" --mode immediate 2>/dev/null || true; done
  rm -rf "$data"
}
trap end EXIT

# Prints what scripts/servers does: port, url, pid.
start() { # KIND OPTION…
  start_as "$1" "$@"
}
start_as() { # NAME KIND OPTION…
  scripts/servers start "$2" --data "$data/$1" --with-pid $$ "${@:3}"
}
fact() { sed -n "s/^$1=//p"; }
# How clients name a Postgres on that port.
source_at() { echo "host=127.0.0.1 port=$1 user=wal2es_admin dbname=postgres"; }
sql() { scripts/servers psql --data "$data/postgres-18" -qAt -c "$1"; }
