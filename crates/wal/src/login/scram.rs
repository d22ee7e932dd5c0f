//! SCRAM-SHA-256, with channel binding where both sides can.
//!
//! [SASL in Postgres](https://www.postgresql.org/docs/current/sasl-authentication.html). The primitives are
//! `postgres-protocol`'s; ours are the choice of the mechanism and the bound on the work that a server can make us do.

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use crate::conninfo::ChannelBinding;
use crate::error::Result;
use crate::wire::Wire;

use super::{Login, unexpected};

/// What `postgres-protocol` is willing to compute (24 times Postgres' default of 4096; `scram_iterations` there).
const MOST_ITERATIONS: u64 = 100_000;

/// Proves to the server that we know the password, and has it prove the same. True if the exchange was bound to the
/// TLS connection whose end point is given.
pub(super) async fn exchange(
    login: &Login<'_>,
    wire: &mut Wire,
    offer: &AuthenticationSaslBody,
    password: &str,
    end_point: Option<Vec<u8>>,
) -> Result<bool> {
    let (mechanism, binding) = choose(login, offer, end_point)?;
    let bound = mechanism == SCRAM_SHA_256_PLUS;
    let failed = |error: std::io::Error| login.refused(&format!("SCRAM: {error}"));

    let mut scram = ScramSha256::new(password.as_bytes(), binding);
    frontend::sasl_initial_response(mechanism, scram.message(), wire.output()).map_err(failed)?;
    wire.flush().await?;

    match wire.message().await? {
        Message::AuthenticationSaslContinue(body) => {
            check_iterations(body.data()).map_err(|what| login.refused(&what))?;
            scram.update(body.data()).map_err(failed)?;
        }
        Message::ErrorResponse(body) => return Err(login.rejected(&body)),
        _ => return Err(unexpected(wire, "in the SCRAM exchange")),
    }
    frontend::sasl_response(scram.message(), wire.output()).map_err(failed)?;
    wire.flush().await?;

    match wire.message().await? {
        Message::AuthenticationSaslFinal(body) => scram.finish(body.data()).map_err(|_| {
            login.refused("the server could not prove that it knows the password's verifier: is it the right server?")
        })?,
        Message::ErrorResponse(body) => return Err(login.rejected(&body)),
        _ => return Err(unexpected(wire, "at the end of the SCRAM exchange")),
    }
    Ok(bound)
}

fn choose(
    login: &Login<'_>,
    offer: &AuthenticationSaslBody,
    end_point: Option<Vec<u8>>,
) -> Result<(&'static str, sasl::ChannelBinding)> {
    let (mut plain, mut plus) = (false, false);
    let mut offered = offer.mechanisms();
    while let Ok(Some(mechanism)) = offered.next() {
        plain |= mechanism == SCRAM_SHA_256;
        plus |= mechanism == SCRAM_SHA_256_PLUS;
    }
    let wanted = login.channel_binding();
    match end_point {
        Some(hash) if plus && wanted != ChannelBinding::Disable => {
            Ok((SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash)))
        }
        _ if wanted == ChannelBinding::Require => Err(login.refused(
            "channel_binding=require needs TLS (sslmode), a server that offers SCRAM-SHA-256-PLUS, and a certificate \
             whose signature names a hash",
        )),
        // "y" tells the server that we could have, so that it notices if somebody hid its offer from us.
        Some(_) if plain && wanted == ChannelBinding::Prefer => {
            Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested()))
        }
        _ if plain => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
        _ => Err(login.refused("the server offers no SASL mechanism that wal2es has (SCRAM-SHA-256)")),
    }
}

/// `r=…,s=…,i=4096`: the server's first message says how many rounds of hashing we are to do.
fn check_iterations(message: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(message);
    let count = text.split(',').find_map(|attribute| attribute.strip_prefix("i="));
    match count.map(str::parse::<u64>) {
        Some(Ok(count)) if count <= MOST_ITERATIONS => Ok(()),
        Some(Ok(count)) => Err(format!(
            "the server asks for {count} SCRAM iterations; at most {MOST_ITERATIONS} are done (scram_iterations there)"
        )),
        _ => Err("the server's first SCRAM message has no iteration count".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_bounded() {
        assert_eq!(check_iterations(b"r=abc,s=c2FsdA==,i=4096"), Ok(()));
        assert_eq!(check_iterations(b"r=abc,s=c2FsdA==,i=100000"), Ok(()));
        for text in
            ["i=100001", "i=4294967295", "i=99999999999999999999", "i=-1", "i=", "r=i=5", ""]
        {
            assert!(check_iterations(text.as_bytes()).is_err(), "{text}");
        }
    }
}
