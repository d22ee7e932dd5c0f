# shellcheck shell=bash disable=SC2034,SC2154
# Elasticsearch: 8 is Elastic's distribution for integration tests, 9 is laid out here from the server's libraries. What
# Maven Central lacks of them is compiled from elasticsearch/*.java.

ELASTICSEARCH_8=8.19.21
ELASTICSEARCH_9=9.5.3
# of the names and SHA-256 of all jars of version 9, in order
ELASTICSEARCH_9_JARS=c477b965e9df01b3594dce91783099b2978c47a00953176f3c11a98bf6ba60d0
# bcrypt of $PASSWORD
# shellcheck disable=SC2016
PASSWORD_HASH='$2a$10$12Vrgp.QGC8fYQjEjNbkuuuJaqOaHZ4lfceEoKjW4cpahFo5RdJlC'

# a directory of the cache for the version and the sources compiled into it
elasticsearch_home() {
  local version=ELASTICSEARCH_$1
  echo "elasticsearch-${!version}-$(cat "$LIB"/elasticsearch/* | sha256sum | head -c 8)"
}

install_elasticsearch() { # 8|9
  elasticsearch_java "$1" >/dev/null
  provide "$(elasticsearch_home "$1")" "fetch_elasticsearch_$1"
}

elasticsearch_java() { # the server wants the modules of a full JDK, not of a JRE
  local version=17
  [ "$1" = 8 ] || version=21
  find_java $version jdk.compiler jdk.attach jdk.jdi jdk.jlink && return
  [ "$1" = 8 ] || die "elasticsearch-9 needs a full JDK of version 21 or newer: install one below /usr/lib/jvm or set JAVA_HOME"
  apt_install "elasticsearch-8 needs a full JDK of version 17 or newer" default-jdk-headless
  find_java $version jdk.compiler jdk.attach jdk.jdi jdk.jlink || die "no full JDK of version 17 or newer: install one and set JAVA_HOME"
}

fetch_elasticsearch_8() {
  mvn_zip org.elasticsearch.distribution.integ-test-zip:elasticsearch:$ELASTICSEARCH_8 \
    215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a .
  rmdir out
  mv elasticsearch-$ELASTICSEARCH_8 out
  compile_elasticsearch 8 17 $ELASTICSEARCH_8
}

fetch_elasticsearch_9() {
  local sum netty=out/modules/transport-netty4 arch zstd java
  mvn_run -f "$LIB/elasticsearch/pom.xml" "$MAVEN_COPY:copy-dependencies" "-DoutputDirectory=$PWD/jars" ||
    die "Maven could not fetch Elasticsearch $ELASTICSEARCH_9"
  sum=$(cd jars && LC_ALL=C sha256sum -- *.jar | sha256sum)
  [ "${sum%% *}" = $ELASTICSEARCH_9_JARS ] || die "the jars of Elasticsearch $ELASTICSEARCH_9 are not those that were pinned"
  mkdir -p out/lib/{entitlement-bridge,entitlement-agent,tools/ansi-console} $netty
  mv jars/elasticsearch-entitlement-bridge-*.jar out/lib/entitlement-bridge/
  mv jars/{netty-*,transport-netty4-*,elasticsearch-ssl-config-*}.jar $netty/
  mv jars/*.jar out/lib/
  unzip_to module $netty/transport-netty4-$ELASTICSEARCH_9.jar
  mv module/META-INF/es-plugins/transport-netty4/* $netty/
  compile_elasticsearch 9 21 $ELASTICSEARCH_9
  java=$(elasticsearch_java 9)
  compile_java "$java" 21 agent EntitlementAgent
  compile_java "$java" 21 console AnsiConsoleLoader
  printf '%s\n' "Agent-Class: wal2es.EntitlementAgent" "Can-Retransform-Classes: true" >agent.mf
  "$java/bin/jar" --create --file out/lib/entitlement-agent/agent.jar --manifest agent.mf -C agent .
  "$java/bin/jar" --create --file out/lib/tools/ansi-console/console.jar -C console .
  # native access, and with it best_compression, wants a libzstd where 8 brings its own
  case $(uname -m) in aarch64) arch=linux-aarch64 ;; *) arch=linux-x64 ;; esac
  zstd=$( (ldconfig -p 2>/dev/null || /sbin/ldconfig -p) | sed -n 's/.*libzstd\.so\.1 .*=> //p' | head -n 1)
  if [ -n "$zstd" ]; then
    mkdir -p out/lib/platform/$arch
    cp -L "$zstd" out/lib/platform/$arch/libzstd.so
  else
    say "no libzstd.so.1 (Debian: libzstd1): indices with best_compression will fail"
  fi
}

compile_java() { # JAVA_HOME RELEASE OUT SOURCE...
  local sources=() source
  for source in "${@:4}"; do sources+=("$LIB/elasticsearch/$source.java"); done
  "$1/bin/javac" --release "$2" -nowarn -cp "out/lib/*" -d "$3" "${sources[@]}" >&2 || die "javac failed"
}

compile_elasticsearch() { # 8|9 JAVA_RELEASE VERSION: the launcher and the plugin
  local java plugin=out/plugins/root
  java=$(elasticsearch_java "$1")
  compile_java "$java" "$2" out/launch Launch
  compile_java "$java" "$2" root RootHandler "RootPlugin$1"
  mkdir -p $plugin
  "$java/bin/jar" --create --file $plugin/root.jar -C root .
  printf '%s\n' name=root "description=GET /" version="$3" elasticsearch.version="$3" java.version="$2" \
    "classname=wal2es.RootPlugin$1" >$plugin/plugin-descriptor.properties
}

launch_elasticsearch() { # 8|9
  local home java options native=org.elasticsearch.nativeaccess,org.apache.lucene.core settings=()
  home=$cache/$(elasticsearch_home "$1")
  java=$(elasticsearch_java "$1")
  case $1$secure in
    80) settings=(xpack.security.enabled=false) ;;
    81)
      settings=(xpack.security.enabled=true)
      echo "$ADMIN:$PASSWORD_HASH" >"$data/config/users"
      echo "superuser:$ADMIN" >"$data/config/users_roles"
      ;;
    90) native=org.elasticsearch.foreign,org.elasticsearch.foreign.adapter,$native ;;
  esac
  options=("-Dwal2es.data=$data" "-Xms$heap" "-Xmx$heap" "${JVM_OPTIONS[@]}" -XX:+ExitOnOutOfMemoryError
    -Des.networkaddress.cache.ttl=60 -Des.networkaddress.cache.negative.ttl=10
    -Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false "-Des.path.home=$home" -Des.distribution.type=zip -Des.java.type=JAVA_HOME
    "-Djava.io.tmpdir=$data/tmp" "-XX:ErrorFile=$data/logs/hs_err_%p.log" -XX:+EnableDynamicAgentLoading -Djdk.attach.allowAttachSelf=true
    "--patch-module=java.base=$(echo "$home"/lib/entitlement-bridge/*.jar)"
    "--add-exports=java.base/org.elasticsearch.entitlement.bridge=org.elasticsearch.entitlement,java.logging,java.net.http,java.naming,jdk.net,jdk.zipfs,jdk.management.agent"
    --add-opens=org.elasticsearch.server/org.elasticsearch.bootstrap=ALL-UNNAMED
    "--module-path=$home/lib" "--add-modules=jdk.net,jdk.management.agent,ALL-MODULE-PATH")
  if java_fits "$java" 21; then options+=("--enable-native-access=$native,ALL-UNNAMED"); fi
  if java_fits "$java" 21 jdk.incubator.vector; then options+=(--add-modules=jdk.incubator.vector); fi
  if java_fits "$java" 23; then options+=(-Djava.locale.providers=CLDR); else options+=("-Djava.locale.providers=SPI,COMPAT"); fi
  leave_root "$home"
  LIBFFI_TMPDIR=$data/tmp spawn ${as_user[@]+"${as_user[@]}"} "$java/bin/java" "${options[@]}" -cp "$home/launch" wal2es.Launch "$data/config" "$data/logs" \
    "path.home=$home" "path.data=$data/data" "path.logs=$data/logs" cluster.name=wal2es node.name=node network.host=127.0.0.1 \
    "http.port=$port" transport.port=0 discovery.type=single-node cluster.routing.allocation.disk.threshold_enabled=false \
    ${settings[@]+"${settings[@]}"} ${sets[@]+"${sets[@]}"}
}

# Elasticsearch refuses root: as root it gets another uid in a user namespace, which leaves its files root's, or else nobody.
leave_root() {
  is_root || return 0
  if unshare --user --map-user=1000 --map-group=1000 true 2>/dev/null; then
    as_user=(unshare --user --map-user=1000 --map-group=1000)
  else
    become nobody
    must_reach "$data" "$1"
    give_away "$data"
  fi
}
