//! Whether the server's certificate is one that we accept.
//!
//! rustls does the work; two habits of Postgres users that OpenSSL bears with and rustls does not are seen to here. A
//! certificate that signed itself is often its own `sslrootcert`: it is accepted if it stands in that file byte for
//! byte and is within its time. A certificate without alternative names is often made for its common name: that is
//! compared, as [libpq does](https://www.postgresql.org/docs/current/libpq-ssl.html#LIBQ-SSL-CERTIFICATES).

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use x509_cert::der::{Decode, Encode};

/// Whom we trust.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    /// The certificates of the file, whole: one of them may be the server's own.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// The `sslmode` semantics as rustls asks for them. In every mode the server has to prove that it has the key of the
/// certificate it shows, on which channel binding rests; the modes differ in which certificates they take.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None: any certificate will do.
    roots: Option<Roots>,
    check_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        roots: Option<Roots>,
        check_name: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        Verifier { roots, check_name, algorithms: provider.signature_verification_algorithms }
    }

    fn verify_chain(
        &self,
        roots: &Roots,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if roots.certificates.iter().any(|root| root == certificate) {
            return verify_time(certificate, now);
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots.store,
            intermediates,
            now,
            algorithms,
        )
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            self.verify_chain(roots, certificate, intermediates, now)?;
            if self.check_name {
                verify_name(certificate, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    /// By the bare key, because rustls refuses to look at certificates of X.509 version 1, which `openssl x509 -req`
    /// makes unless told otherwise.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = parse(certificate)?.tbs_certificate.subject_public_key_info.to_der();
        let key = SubjectPublicKeyInfoDer::from(key.map_err(|_| CertificateError::BadEncoding)?);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn verify_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = parse(certificate)?.tbs_certificate.validity;
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn verify_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    match common_name_without_alternatives(&parse(certificate)?) {
        Some(common) if matches_common_name(&common, name) => Ok(()),
        Some(_) => Err(CertificateError::NotValidForName.into()),
        None => verify_server_name(&ParsedCertificate::try_from(certificate)?, name),
    }
}

/// The subject's common name, if the certificate has no alternative names that would take its place.
fn common_name_without_alternatives(certificate: &Certificate) -> Option<String> {
    let body = &certificate.tbs_certificate;
    if body.extensions.iter().flatten().any(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME)
    {
        return None;
    }
    let mut attributes = body.subject.0.iter().flat_map(|part| part.0.iter());
    let value = &attributes.find(|attribute| attribute.oid == COMMON_NAME)?.value;
    let text =
        value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned()).or_else(|_| {
            value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())
        });
    text.ok()
}

/// Case does not count, and `*.` stands for one label.
fn matches_common_name(common: &str, name: &ServerName<'_>) -> bool {
    let name = name.to_str();
    match common.strip_prefix("*.") {
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => common.eq_ignore_ascii_case(&name),
    }
}

/// What to change about a certificate that was refused.
pub(super) fn advice(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::UnknownIssuer => {
            ": point sslrootcert to the authority that signed the server's certificate"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ": connect by a name that the certificate has, or use sslmode=verify-ca"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ": the server needs a new certificate (or a clock is wrong)"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ": a clock is wrong"
        }
        _ => {
            ": the server needs a certificate of X.509 version 3 that is no authority's own, or is itself in sslrootcert"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names() {
        let matches = |common, name: &'static str| {
            matches_common_name(common, &ServerName::try_from(name).unwrap())
        };
        assert!(matches("db.example.com", "DB.example.com"));
        assert!(matches("*.example.com", "db.example.com"));
        assert!(!matches("*.example.com", "a.db.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("db", "db.example.com"));
        assert!(matches("10.0.0.1", "10.0.0.1"));
    }
}
