//! The hash of the server's certificate that SCRAM binds a login to.
//!
//! [RFC 5929](https://www.rfc-editor.org/rfc/rfc5929#section-4.1): the hash function is that of the certificate's own
//! signature, but SHA-256 where that is MD5 or SHA-1. Signatures without a hash function of their own (Ed25519) have
//! no binding; Postgres has none for them either.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// RSASSA-PSS names its hash in its parameters.
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Signature algorithms and hash functions, by the hash to use.
const HASHES: [(&str, &Algorithm); 14] = [
    ("1.2.840.113549.1.1.4", &SHA256),  // md5WithRSAEncryption
    ("1.2.840.113549.1.1.5", &SHA256),  // sha1WithRSAEncryption
    ("1.2.840.10045.4.1", &SHA256),     // ecdsa-with-SHA1
    ("1.3.14.3.2.26", &SHA256),         // SHA-1
    ("1.2.840.113549.1.1.11", &SHA256), // sha256WithRSAEncryption
    ("1.2.840.113549.1.1.12", &SHA384), // sha384WithRSAEncryption
    ("1.2.840.113549.1.1.13", &SHA512), // sha512WithRSAEncryption
    ("1.2.840.10045.4.3.2", &SHA256),   // ecdsa-with-SHA256
    ("1.2.840.10045.4.3.3", &SHA384),   // ecdsa-with-SHA384
    ("1.2.840.10045.4.3.4", &SHA512),   // ecdsa-with-SHA512
    ("2.16.840.1.101.3.4.2.1", &SHA256),
    ("2.16.840.1.101.3.4.2.2", &SHA384),
    ("2.16.840.1.101.3.4.2.3", &SHA512),
    ("1.2.840.10040.4.3", &SHA256), // dsa-with-SHA1
];

pub(super) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let hash = signature_hash(&parsed.signature_algorithm)?;
    Some(digest(hash, certificate).as_ref().to_vec())
}

fn signature_hash(signature: &AlgorithmIdentifierOwned) -> Option<&'static Algorithm> {
    if signature.oid == RSA_PSS { pss_hash(signature) } else { by_oid(&signature.oid) }
}

fn by_oid(oid: &ObjectIdentifier) -> Option<&'static Algorithm> {
    let text = oid.to_string();
    HASHES.iter().find(|(known, _)| *known == text).map(|(_, hash)| *hash)
}

/// `hashAlgorithm [0]`, which is SHA-1 when absent.
fn pss_hash(signature: &AlgorithmIdentifierOwned) -> Option<&'static Algorithm> {
    use x509_cert::der::asn1::{AnyRef, ContextSpecific};
    use x509_cert::der::{Reader, SliceReader, TagNumber};
    let parameters = signature.parameters.as_ref()?.to_der().ok()?;
    let body = AnyRef::from_der(&parameters).ok()?;
    let mut reader = SliceReader::new(body.value()).ok()?;
    if reader.is_finished() {
        return Some(&SHA256);
    }
    let hash =
        ContextSpecific::<AlgorithmIdentifierOwned>::decode_explicit(&mut reader, TagNumber::N0);
    match hash.ok()? {
        Some(hash) => by_oid(&hash.value.oid),
        None => Some(&SHA256),
    }
}
