//! Which certificates pass in which mode, and what they bind a login to.
//!
//! The certificates are of 2026 and last a hundred years. All but the self-signed ones are signed by `ca.pem`;
//! `named.pem` is for `db.test`, `*.cluster.test` and 127.0.0.1, with another common name; `common_name.pem` has
//! nothing but its common name, `db.test`; `version1.pem` is what `openssl x509 -req` makes by itself.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};

use super::verify::Verifier;
use super::{binding, roots_of_file};

fn path(name: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", name].iter().collect()
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path(name)).unwrap()
}

/// Seconds after 1970: in 2030.
const THEN: u64 = 1_900_000_000;

fn verify(
    roots: Option<&str>,
    check_name: bool,
    shown: &str,
    name: &str,
    now: u64,
) -> Result<(), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = roots.map(|file| roots_of_file(&path(file)).unwrap());
    let verifier = Verifier::new(roots, check_name, &provider);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    verifier.verify_server_cert(&certificate(shown), &[], &name, &[], now).map(drop)
}

fn refusal(roots: &str, check_name: bool, shown: &str, name: &str, now: u64) -> CertificateError {
    match verify(Some(roots), check_name, shown, name, now) {
        Err(Error::InvalidCertificate(reason)) => reason,
        other => panic!("{shown} for {name}: {other:?}"),
    }
}

#[test]
fn without_verification_everything_passes() {
    for shown in ["named.pem", "self_signed.pem", "version1.pem", "ed25519.pem", "rsa_sha1.pem"] {
        verify(None, false, shown, "elsewhere.test", 0).unwrap();
    }
}

#[test]
fn verify_ca_looks_at_the_chain_only() {
    verify(Some("ca.pem"), false, "named.pem", "elsewhere.test", THEN).unwrap();
    verify(Some("ca.pem"), false, "common_name.pem", "elsewhere.test", THEN).unwrap();
    let reason = refusal("ed25519.pem", false, "named.pem", "db.test", THEN);
    assert_eq!(reason, CertificateError::UnknownIssuer);
    let reason = refusal("ca.pem", false, "named.pem", "db.test", THEN * 4);
    assert!(matches!(reason, CertificateError::ExpiredContext { .. }), "{reason:?}");
    let reason = refusal("ca.pem", false, "named.pem", "db.test", 0);
    assert!(matches!(reason, CertificateError::NotValidYetContext { .. }), "{reason:?}");
}

#[test]
fn verify_full_looks_at_the_name_too() {
    for name in ["db.test", "DB.TEST", "a.cluster.test", "127.0.0.1"] {
        verify(Some("ca.pem"), true, "named.pem", name, THEN).unwrap();
    }
    for name in ["other.test", "a.b.cluster.test", "cluster.test", "127.0.0.2"] {
        let reason = refusal("ca.pem", true, "named.pem", name, THEN);
        assert!(
            matches!(reason, CertificateError::NotValidForNameContext { .. }),
            "{name}: {reason:?}"
        );
    }
}

#[test]
fn the_common_name_counts_if_there_are_no_others() {
    verify(Some("ca.pem"), true, "common_name.pem", "db.test", THEN).unwrap();
    let reason = refusal("ca.pem", true, "common_name.pem", "other.test", THEN);
    assert_eq!(reason, CertificateError::NotValidForName);
}

#[test]
fn a_certificate_may_be_its_own_root() {
    for shown in ["self_signed.pem", "ed25519.pem", "rsa_pss.pem"] {
        verify(Some(shown), true, shown, "db.test", THEN).unwrap();
        let reason = refusal(shown, true, shown, "other.test", THEN);
        assert_eq!(reason, CertificateError::NotValidForName);
        assert_eq!(refusal(shown, false, shown, "db.test", THEN * 4), CertificateError::Expired);
        assert_eq!(refusal(shown, false, shown, "db.test", 0), CertificateError::NotValidYet);
    }
    verify(Some("ca.pem"), false, "self_signed.pem", "db.test", THEN).unwrap_err();
}

#[test]
fn version_1_can_be_used_but_not_verified() {
    verify(Some("ca.pem"), false, "version1.pem", "db.test", THEN).unwrap_err();
}

#[test]
fn root_files_that_are_none() {
    for file in ["missing.pem", "../Cargo.toml"] {
        let error = roots_of_file(&path(file)).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
        assert_eq!(error.kind(), crate::Kind::Config);
    }
}

/// The digests are what `openssl dgst` gives for the certificate.
#[test]
fn the_end_point_is_hashed_as_the_certificate_was() {
    for (file, size, start) in [
        ("named.pem", 48, "85c8435042ccdc8b"),
        ("self_signed.pem", 64, "3ff7d1e932347b44"),
        ("version1.pem", 32, "e7f924f2e2469ab3"),
        ("rsa_pss.pem", 48, "199c67f648e089eb"),
        ("rsa_sha1.pem", 32, "32ce39fecd92dbb6"),
    ] {
        let hash = binding::end_point(&certificate(file)).unwrap();
        assert_eq!(hash.len(), size, "{file}");
        let text: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, start, "{file}");
    }
    assert_eq!(binding::end_point(&certificate("ed25519.pem")), None);
    assert_eq!(binding::end_point(&CertificateDer::from(vec![0x30, 0x03, 1])), None);
}
