//! Who may ask for what.
//!
//! On loopback whoever is on this machine may; but a page that somebody else serves must not read it through a browser, by
//! a name of its own that resolves to this machine. So the request must name this machine as `localhost` or by its address.
//! Beyond loopback a token is needed, except for what supervisors and Prometheus ask for.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{AUTHORIZATION, HOST};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::Http;
use crate::failure::Failure;

/// What anybody may ask for.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// A shorter token could be guessed.
const SHORTEST: usize = 16;

/// Who may ask.
pub(super) struct Access {
    /// Listens on loopback only.
    loopback: bool,
    /// The digest of the token: what is compared is then of one length, whatever is sent.
    token: Option<[u8; 32]>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

impl Access {
    /// # Errors
    /// There is no token where one is needed, or it can't be read.
    pub(super) fn new(config: &Http, addresses: &[SocketAddr]) -> Result<Self, Failure> {
        let loopback = addresses.iter().all(|address| address.ip().is_loopback());
        let token = config.token_file.as_deref().map(read_token).transpose()?;
        if !loopback && token.is_none() {
            let listen = config.listen.as_deref().unwrap_or_default();
            return Err(Failure::config(
                format!(
                    "http.listen: {listen} can be reached from other machines, and there is no http.token_file"
                ),
                "listen on 127.0.0.1, or put a token into a file and name it as http.token_file",
            ));
        }
        Ok(Access { loopback, token })
    }

    /// # Errors
    /// It may not.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        let refuse = |status, why| Err(Refused { status, why });
        if *method != Method::GET && *method != Method::HEAD {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        }
        if self.loopback && !names_this_machine(uri, headers) {
            return refuse(
                StatusCode::FORBIDDEN,
                "the request must name this machine as localhost or 127.0.0.1",
            );
        }
        match &self.token {
            Some(token) if !OPEN.contains(&uri.path()) && !has_token(headers, token) => {
                refuse(StatusCode::UNAUTHORIZED, "send the token: Authorization: Bearer …")
            }
            _ => Ok(()),
        }
    }
}

fn read_token(path: &str) -> Result<[u8; 32], Failure> {
    let bad = |why: String| {
        Failure::config(
            format!("http.token_file: {path}: {why}"),
            "put a long random token into it, such as the output of `openssl rand -hex 32`",
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    match text.trim() {
        token if token.len() < SHORTEST => Err(bad(format!("fewer than {SHORTEST} bytes"))),
        token => Ok(Sha256::digest(token).into()),
    }
}

fn has_token(headers: &HeaderMap, token: &[u8; 32]) -> bool {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.split_once(' '));
    let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    sent.is_some_and(|(_, sent)| {
        let sent: [u8; 32] = Sha256::digest(sent.trim()).into();
        sent.ct_eq(token).into()
    })
}

/// Every name that the request gives to this machine is one of its own.
fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let of_uri = uri.authority().is_none_or(|authority| is_loopback(authority.host()));
    let authority =
        host.to_str().ok().and_then(|host| host.parse::<hyper::http::uri::Authority>().ok());
    of_uri && authority.is_some_and(|authority| is_loopback(authority.host()))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, method: &Method, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let uri = uri.parse().unwrap();
        access.check(method, &uri, &map).map_or_else(|refused| refused.status.as_u16(), |()| 200)
    }

    #[test]
    fn on_loopback_the_host_must_be_this_machine() {
        let access = Access { loopback: true, token: None };
        for (expected, host) in [
            (200, "localhost:8084"),
            (200, "127.0.0.1"),
            (200, "[::1]:8084"),
            (200, "LOCALHOST"),
            (403, "evil.example:8084"),
            (403, "localhost.evil.example"),
            (403, "evil.example@localhost.example"),
            (403, "10.0.0.1"),
            (403, ""),
        ] {
            assert_eq!(
                check(&access, &Method::GET, "/status", &[("host", host)]),
                expected,
                "{host}"
            );
            assert_eq!(
                check(&access, &Method::GET, "/livez", &[("host", host)]),
                expected,
                "{host}"
            );
        }
        assert_eq!(check(&access, &Method::GET, "/", &[]), 403);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(check(&access, &Method::GET, "/", &twice), 403);
        let uri = "http://evil.example/status";
        assert_eq!(check(&access, &Method::GET, uri, &[("host", "localhost")]), 403);
        assert_eq!(check(&access, &Method::POST, "/livez", &[("host", "localhost")]), 405);
        assert_eq!(check(&access, &Method::HEAD, "/livez", &[("host", "localhost")]), 200);
    }

    #[test]
    fn beyond_loopback_the_token_is_needed() {
        let token = Some(Sha256::digest("0123456789abcdef").into());
        let access = Access { loopback: false, token };
        let of = |path, authorization: &str| {
            check(
                &access,
                &Method::GET,
                path,
                &[("host", "a.example"), ("authorization", authorization)],
            )
        };
        for path in ["/", "/status", "/livez/", "/wait", "/nothing"] {
            assert_eq!(of(path, "Bearer 0123456789abcdef"), 200, "{path}");
            assert_eq!(of(path, "bearer 0123456789abcdef"), 200, "{path}");
            for wrong in [
                "Bearer 0123456789abcdeF",
                "Bearer 0123456789abcde",
                "Bearer ",
                "Basic 0123456789abcdef",
                "0123456789abcdef",
            ] {
                assert_eq!(of(path, wrong), 401, "{path} {wrong}");
            }
            assert_eq!(check(&access, &Method::GET, path, &[]), 401, "{path}");
        }
        for path in OPEN {
            assert_eq!(of(path, "nothing"), 200, "{path}");
        }
    }

    #[test]
    fn what_can_be_reached_needs_a_token() {
        let open = |listen: &str| {
            let config = Http { listen: Some(listen.into()), ..Http::default() };
            Access::new(&config, &[listen.parse().unwrap()]).map(|access| access.loopback)
        };
        assert!(open("127.0.0.1:1").unwrap() && open("[::1]:1").unwrap());
        for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let failure = open(listen).unwrap_err();
            assert_eq!(failure.consequence, crate::failure::Consequence::Config);
            assert!(failure.to_string().contains("http.token_file"), "{failure}");
        }
    }
}
