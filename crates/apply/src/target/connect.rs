//! One connection to one node: TCP, TLS by rustls, the HTTP/1.1 handshake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A node of the cluster.
#[derive(Debug)]
pub(super) struct Node {
    /// As given, for messages and the `Host` header: `host:port`.
    pub(super) authority: String,
    host: String,
    port: u16,
    tls: bool,
}

impl Node {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::config(
                format!("target.url {url:?} {why}"),
                "write it as http://host:9200 or https://host:9200",
            )
        };
        let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("is neither http nor https")),
        };
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(bad("has a path, which is not supported yet"));
        }
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("carries a login: use target.username and target.password"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(9200);
        Ok(Node { authority: format!("{}:{port}", authority.host()), host, port, tls })
    }

    /// True when a login would travel unprotected to another machine.
    pub(super) fn is_open_and_remote(&self) -> bool {
        let loopback = self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !self.tls && !loopback
    }

    /// Connects; the returned sender is ready for its first request.
    pub(super) async fn connect(
        &self,
        tls: &TlsConnector,
    ) -> Result<SendRequest<Full<Bytes>>, std::io::Error> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect_now(tls)).await.unwrap_or_else(|_| {
            let text = format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
        })
    }

    async fn connect_now(
        &self,
        tls: &TlsConnector,
    ) -> Result<SendRequest<Full<Bytes>>, std::io::Error> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        if self.tls {
            let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
            self.handshake(tls.connect(name, tcp).await?).await
        } else {
            self.handshake(tcp).await
        }
    }

    async fn handshake(
        &self,
        io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, std::io::Error> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(std::io::Error::other)?;
        let authority = self.authority.clone();
        // Ends with the connection, whose sender lies in the pool.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(node = %authority, %error, "connection to the target ended");
            }
        });
        Ok(sender)
    }
}

/// The server's certificate was looked at and not accepted.
pub(super) fn is_untrusted(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// TLS that trusts the certificate authority in `ca_file`, or those of the machine.
pub(super) fn tls(ca_file: Option<&Path>, needed: bool) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let remedy = "target.ca_file must name a PEM file with the authority's certificate";
        let bad = |why: String| Error::config(format!("{}: {why}", path.display()), remedy);
        for certificate in
            CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("no certificate in it".to_owned()));
        }
    } else if needed {
        let found = rustls_native_certs::load_native_certs();
        let (_, unusable) = roots.add_parsable_certificates(found.certs);
        if unusable > 0 {
            tracing::debug!(unusable, "certificates of the machine that can't be used");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config(format!("TLS: {error}"), "report this"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_can_be_used() {
        let node = Node::parse("https://es.example").unwrap();
        assert_eq!((node.authority.as_str(), node.tls), ("es.example:9200", true));
        let node = Node::parse("http://[::1]:9201/").unwrap();
        assert_eq!((node.authority.as_str(), node.host.as_str()), ("[::1]:9201", "::1"));
        assert!(!node.is_open_and_remote());
        assert!(Node::parse("http://es.example").unwrap().is_open_and_remote());
    }

    #[test]
    fn urls_that_can_not_name_the_reason() {
        for (url, why) in [
            ("es:9200", "neither http nor https"),
            ("ftp://es", "neither"),
            ("http://u:p@es", "login"),
            ("http://es/prefix", "path"),
        ] {
            let error = Node::parse(url).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.kind(), crate::Kind::Config);
        }
    }
}
