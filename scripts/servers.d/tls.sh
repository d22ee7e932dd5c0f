# shellcheck shell=bash disable=SC2034,SC2154
# Test certificates in DIR/tls: ca.pem, server.crt and .key for localhost and 127.0.0.1, wrong-host.crt and .key of the
# same CA for another name, other-ca.pem of a CA that signed none of them.

make_tls() {
  [ ! -d "$data/tls" ] || return 0
  need openssl openssl
  rm -rf "$data/tls.new"
  mkdir "$data/tls.new"
  (
    cd "$data/tls.new"
    make_ca ca
    make_ca other-ca
    make_cert server DNS:localhost,IP:127.0.0.1
    make_cert wrong-host DNS:wrong.example
    rm -f ./*.csr ./*.cnf other-ca.key
  ) 2>"$data/tls.log" || { cat "$data/tls.log" >&2; die "openssl could not make the test certificates"; }
  rm -f "$data/tls.log"
  mv "$data/tls.new" "$data/tls"
}

make_ca() {
  printf '%s\n' '[req]' distinguished_name=dn x509_extensions=ca '[dn]' '[ca]' basicConstraints=critical,CA:TRUE \
    keyUsage=critical,keyCertSign,cRLSign subjectKeyIdentifier=hash >ca.cnf
  openssl req -x509 -config ca.cnf -newkey rsa:2048 -nodes -days 3650 -subj "/CN=wal2es test $1" -keyout "$1.key" -out "$1.pem"
}

make_cert() { # NAME SUBJECT_ALT_NAMES
  printf '%s\n' basicConstraints=CA:FALSE "subjectAltName=$2" extendedKeyUsage=serverAuth,clientAuth >cert.cnf
  openssl req -config ca.cnf -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile cert.cnf -out "$1.crt"
}
