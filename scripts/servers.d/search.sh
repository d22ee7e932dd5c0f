# shellcheck shell=bash disable=SC2034,SC2154
# What OpenSearch and Elasticsearch have in common. Both write to DIR/data, DIR/log and DIR/logs and read DIR/config.

PASSWORD=wal2es-password

launch_search() {
  need curl curl
  mkdir -p "$data"/{config,data,logs,tmp}
  : >>"$data/log"
  local before
  before=$(wc -l <"$data/log")
  remember
  configure_log
  ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
  unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS
  case $kind in
    opensearch) launch_opensearch ;;
    elasticsearch-*) launch_elasticsearch "${kind#*-}" ;;
  esac
  wait_search "$!" "$before"
}

spawn() { # COMMAND...: in a session of its own; it keeps the pid that the shell sees
  (cd "$data" && exec setsid "$@") </dev/null >>"$data/log" 2>&1 &
  echo $! >"$data/pid"
  disown $!
}

search_scheme() { if [ "$kind$secure" = opensearch1 ]; then echo https; else echo http; fi; }

search_login() {
  case $kind$secure in
    opensearch1) echo admin:admin ;;
    elasticsearch-*1) echo "$ADMIN:$PASSWORD" ;;
  esac
}

wait_search() { # PID, LINES that the log had before
  local login curl=(curl -sf -o /dev/null --noproxy '*' --max-time 6) i
  login=$(search_login)
  [ -z "$login" ] || curl+=(-u "$login")
  [ "$(search_scheme)" = http ] || curl+=(--cacert "$data/tls/ca.pem")
  for ((i = 0; i < 1200; i++)); do
    if "${curl[@]}" "$(search_scheme)://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=5s"; then return; fi
    if ! running "$1"; then
      tail -n "+$(($2 + 1))" "$data/log" | grep -vE '^[[:space:]]+at |\[INFO ' | tail -n 8 >&2
      die "$kind ended while it started, see $data/log"
    fi
    sleep 0.2
  done
  end_server "$1" immediate
  die "$kind is not ready in time, see $data/log"
}

describe_search() {
  local login
  login=$(search_login)
  printf '%s\n' "url=$(search_scheme)://127.0.0.1:$port" "port=$port" "pid=$(server_pid)"
  [ -z "$login" ] || printf '%s\n' "username=${login%%:*}" "password=${login#*:}"
  [ "$(search_scheme)" = http ] || printf '%s\n' "ca=$data/tls/ca.pem" "other_ca=$data/tls/other-ca.pem"
}

configure_log() { # not on standard output, which Elasticsearch drops once it has started
  cat >"$data/config/log4j2.properties" <<LOG4J
status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = $data/log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] [%node_name]%marker %m%n
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
LOG4J
}

# JVM options that the launchers of both give, without log files and pre-touched memory.
JVM_OPTIONS=(-XX:+UseG1GC -Xss1m -Djava.awt.headless=true -Dfile.encoding=UTF-8 -XX:-OmitStackTraceInFastThrow
  -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0
  -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true
  -Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1)
