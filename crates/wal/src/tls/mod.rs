//! TLS as libpq's [`sslmode`](https://www.postgresql.org/docs/current/libpq-ssl.html) means it, by rustls.
//!
//! | mode | encrypted | chain verified | host name verified |
//! |---|---|---|---|
//! | `disable` | no | | |
//! | `prefer` | if the server offers it | no | no |
//! | `require` | yes | no | no |
//! | `verify-ca` | yes | yes | no |
//! | `verify-full` | yes | yes | yes |
//!
//! `prefer` goes on without TLS only when the server says that it has none; a handshake that fails is an error and
//! never a reason to send the password in the clear. A name is sent to the server (SNI) only if it is one, not for an
//! address.
//!
//! The cryptography is ring's, which builds without a C++ tool chain. What it lacks beside OpenSSL: keys on the curve
//! P-521, and in the verifying modes ECDSA signatures with SHA-512.

mod binding;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::conninfo::{ConnInfo, Host, RootCert, SslMode};
use crate::error::{Error, Result};
use crate::transport::{TLS_READ_BUFFER, Transport};
use verify::Verifier;

/// What the server certificate binds a login to
/// ([`tls-server-end-point`](https://www.rfc-editor.org/rfc/rfc5929#section-4)); none if its signature names no hash.
pub(crate) fn end_point(transport: &Transport) -> Option<Vec<u8>> {
    let Transport::Tls(stream) = transport else { return None };
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    binding::end_point(certificate)
}

/// Asks the server for TLS and starts it, as the mode demands.
pub(crate) async fn secure(stream: TcpStream, info: &ConnInfo, host: &Host) -> Result<Transport> {
    if info.sslmode == SslMode::Disable {
        return Ok(Transport::Tcp(stream));
    }
    let config = config(info)?;
    let (offered, stream) =
        request(stream).await.map_err(|source| Error::Connect { to: host.to_string(), source })?;
    match offered {
        b'S' => handshake(stream, config, host).await,
        b'N' if info.sslmode == SslMode::Prefer => {
            let plain = Transport::Tcp(stream);
            if !plain.is_private() {
                tracing::warn!(%host, "the server has no TLS; going on without (sslmode=prefer)");
            }
            Ok(plain)
        }
        b'N' => Err(Error::Tls {
            to: host.to_string(),
            what: "the server has none: set ssl = on there, or sslmode=disable here if the network is safe"
                .to_owned(),
            settings: true,
        }),
        // An error; its text came over an open network before any proof of who sent it, and is not read.
        b'E' => Err(Error::Connect {
            to: host.to_string(),
            source: std::io::Error::other("the server answered the request for TLS with an error"),
        }),
        other => Err(Error::Tls {
            to: host.to_string(),
            what: format!("the answer to the request for it was 0x{other:02x}: is there a Postgres at this address?"),
            settings: true,
        }),
    }
}

/// Exactly one byte is read: whatever somebody slipped in behind it goes into the handshake and breaks it.
async fn request(mut stream: TcpStream) -> std::io::Result<(u8, TcpStream)> {
    let mut message = BytesMut::new();
    frontend::ssl_request(&mut message);
    stream.write_all(&message).await?;
    let answer = stream.read_u8().await?;
    Ok((answer, stream))
}

async fn handshake(stream: TcpStream, config: ClientConfig, host: &Host) -> Result<Transport> {
    let name = server_name(host)?;
    let stream = BufReader::with_capacity(TLS_READ_BUFFER, stream);
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
        Err(error) => Err(handshake_error(&error, host)),
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>> {
    if let (true, Some(addr)) = (host.name.is_empty(), host.addr) {
        return Ok(ServerName::from(addr));
    }
    // A trailing dot only says that the name is complete.
    let name = host.name.strip_suffix('.').unwrap_or(&host.name);
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::settings(format!("host {name:?} is neither a DNS name nor an IP address"))
    })
}

fn handshake_error(error: &std::io::Error, host: &Host) -> Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (what, settings) = match tls {
        Some(error @ rustls::Error::InvalidCertificate(reason)) => {
            let told = match reason {
                rustls::CertificateError::Other(inner) => {
                    format!("invalid peer certificate: {inner}")
                }
                _ => error.to_string(),
            };
            (format!("{told}{}", verify::advice(reason)), true)
        }
        Some(error @ rustls::Error::AlertReceived(_)) => {
            (format!("the server broke the handshake off: {error}"), true)
        }
        Some(error) => (error.to_string(), true),
        None => (format!("the handshake failed: {error}"), false),
    };
    Error::Tls { to: host.to_string(), what, settings }
}

fn config(info: &ConnInfo) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match info.sslmode {
        SslMode::VerifyCa | SslMode::VerifyFull => Some(roots(info.sslrootcert.as_ref())?),
        SslMode::Disable | SslMode::Prefer | SslMode::Require => None,
    };
    let verifier = Verifier::new(roots, info.sslmode == SslMode::VerifyFull, &provider);
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::settings(format!("TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn roots(source: Option<&RootCert>) -> Result<verify::Roots> {
    match source {
        Some(RootCert::File(path)) => roots_of_file(path),
        Some(RootCert::System) | None => {
            let found = rustls_native_certs::load_native_certs();
            let mut store = RootCertStore::empty();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(Error::settings(format!(
                    "the system has no trusted certificates{}: install ca-certificates, or name a file by sslrootcert",
                    found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default()
                )));
            }
            Ok(verify::Roots { store, certificates: Vec::new() })
        }
    }
}

fn roots_of_file(path: &Path) -> Result<verify::Roots> {
    let wrong = |what: String| Error::settings(format!("sslrootcert {}: {what}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("has no certificate in PEM form".to_owned()));
    }
    Ok(verify::Roots { store, certificates })
}
