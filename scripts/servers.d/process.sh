# shellcheck shell=bash disable=SC2034,SC2154
# Processes and ports: who runs, who watches, and how a server ends.

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the kernel's ephemeral ports, so that no client connection sits on it when the server restarts.
pick_port() {
  local p try
  for try in {1..100}; do
    p=$((15000 + RANDOM % 17000))
    if port_free "$p"; then echo "$p"; return; fi
  done
  die "no free port after $try tries"
}

stat_fields() { # PID: state, parent, … as /proc/PID/stat lists them after the command name
  local line
  read -r line 2>/dev/null <"/proc/$1/stat" || return 0
  echo "${line##*) }"
} 2>/dev/null

birth() { # start time of a process that is no zombie; with the pid it names one process for good
  local fields
  read -ra fields < <(stat_fields "$1") || true
  case ${fields[0]:-Z} in Z | X) ;; *) echo "${fields[19]}" ;; esac
}

children_of() {
  local dir fields
  for dir in /proc/[0-9]*; do
    read -ra fields < <(stat_fields "${dir#/proc/}") || true
    [ "${fields[1]:-}" != "$1" ] || echo "${dir#/proc/}"
  done
}

server_pid() { # of the server on $data, if it runs; a pid that another process got since does not count
  local pid='' file=$data/pid
  case $kind in postgres-*) file=$data/pg/postmaster.pid ;; esac
  { read -r pid <"$file"; } 2>/dev/null || true
  [ -n "$pid" ] || return 0
  if { tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -e "$data/pg" -e "-Dwal2es.data=$data"; } 2>/dev/null; then echo "$pid"; fi
}

running() { # a process of many threads whose first has ended is a zombie and still holds its ports
  [ -n "$(birth "$1")" ] || [ "$(echo "/proc/$1/task"/*/stat | wc -w)" -gt 1 ]
}

wait_gone() { # PID SECONDS
  local i
  for ((i = 0; i < $2 * 20; i++)); do
    running "$1" || return 0
    sleep 0.05
  done
  ! running "$1"
}

kill_all() { # SIGKILL for the server and, at the same moment, its children
  local pid=$1 kids kid
  kill -STOP "$pid" 2>/dev/null || return 0
  mapfile -t kids < <(children_of "$pid")
  kill -KILL "$pid" ${kids[@]+"${kids[@]}"} 2>/dev/null || true
  for kid in "$pid" ${kids[@]+"${kids[@]}"}; do wait_gone "$kid" 30 || die "process $kid outlives SIGKILL"; done
  # a postmaster that nobody has reaped yet would count as the running owner of its lock files
  rm -f "$data/pg/postmaster.pid"
}

end_server() { # PID fast|immediate|kill
  local pid=$1 signal=TERM i
  case $2-$kind in
    fast-postgres-*) signal=INT ;;
    immediate-postgres-*) signal=QUIT ;;
    fast-*) ;;
    *) signal=KILL ;;
  esac
  if [ $signal = KILL ]; then
    kill_all "$pid"
  else
    kill -$signal "$pid" 2>/dev/null || true
    wait_gone "$pid" 60 || { say "$kind (pid $pid) did not stop within 60 s: killing it"; kill_all "$pid"; }
  fi
  for ((i = 0; i < 100; i++)); do
    if port_free "$port"; then break; fi
    sleep 0.05
  done
  rm -rf "$data/pid" ${socket_dir:+"$socket_dir"}
}

# Sees process $1 (born at $2) and the server; started before the server, so that nothing slips through in between.
watch_from_here() {
  setsid "$SELF" _watch "$data" "$1" "$2" $$ "$(birth $$)" </dev/null >/dev/null 2>&1 &
}

watch() { # DATA OWNER BORN STARTER BORN
  local owner=$2 owner_born=$3 starter=$4 starter_born=$5 pid='' server=''
  data=$1
  while :; do
    if [ -z "$pid" ]; then
      open_data
      pid=$(server_pid)
      [ -z "$pid" ] || server=$(birth "$pid")
    fi
    if [ -z "$pid" ]; then
      [ "$(birth "$starter")" = "$starter_born" ] || return 0
      # before the starter is done, lest DIR be gone by then
      sleep 0.05
      continue
    elif [ "$(birth "$pid")" != "$server" ]; then
      return 0
    elif [ "$(birth "$owner")" != "$owner_born" ]; then
      end_server "$pid" immediate
      return 0
    fi
    sleep 0.5
  done
}

# As root, fills as_user with what runs a command as user $1.
as_user=()

become() {
  is_root || return 0
  need setpriv util-linux
  as_user=(setpriv "--reuid=$(id -u "$1")" "--regid=$(id -g "$1")" --clear-groups)
  chmod o+x "$data"
}

must_reach() { # PATH...: as the user of become
  local path
  for path in "$@"; do
    "${as_user[@]}" test -x "$path" ||
      die "user $("${as_user[@]}" id -un) can't reach $path: give its parents o+x, or choose another place (--data, WAL2ES_CACHE)"
  done
}

give_away() { # PATH...: to the user of become
  if is_root; then chown -R "$("${as_user[@]}" id -u):$("${as_user[@]}" id -g)" "$@"; fi
}
