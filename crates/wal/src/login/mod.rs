//! From a byte stream to a session: the startup message, the password exchange, the session's settings.
//!
//! [The exchange](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP). The settings that
//! a session must have are in [`pins`]; they are sent as startup parameters.

pub(crate) mod pins;
mod scram;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use postgres_protocol::authentication;
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use postgres_protocol::message::frontend;

use crate::conninfo::{ChannelBinding, ConnInfo, Host};
use crate::error::{Error, Result};
use crate::sqlstate;
use crate::tls;
use crate::wire::{Wire, server_error};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// SQL.
    Ordinary,
    /// Replication commands on one database, and SQL besides (`replication=database`).
    Replication,
}

/// What the server told at login.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) process_id: i32,
    /// Whoever has it can cancel our queries.
    pub(crate) secret_key: i32,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("parameters", &self.parameters)
            .field("process_id", &self.process_id)
            .finish_non_exhaustive()
    }
}

/// Logs in on a fresh connection.
pub(crate) async fn login(
    wire: &mut Wire,
    info: &ConnInfo,
    host: &Host,
    mode: Mode,
) -> Result<Session> {
    let login = Login { info, host, mode };
    login.send_startup(wire)?;
    wire.flush().await?;
    login.authenticate(wire).await?;
    let session = login.read_session(wire).await?;
    pins::check_reported(&session.parameters)?;
    wire.allow_large_messages();
    Ok(session)
}

pub(crate) struct Login<'a> {
    info: &'a ConnInfo,
    host: &'a Host,
    mode: Mode,
}

impl Login<'_> {
    fn send_startup(&self, wire: &mut Wire) -> Result<()> {
        let info = self.info;
        let mut parameters = vec![
            ("user", info.user.as_str()),
            ("database", &info.dbname),
            ("application_name", &info.application_name),
        ];
        if self.mode == Mode::Replication {
            parameters.push(("replication", "database"));
        }
        parameters.extend(info.options.as_deref().map(|options| ("options", options)));
        for (name, value) in pins::startup() {
            parameters.push((name, value));
        }
        frontend::startup_message(parameters, wire.output()).map_err(|_| {
            Error::settings("user, database, application_name or options contain a NUL byte")
        })
    }

    async fn authenticate(&self, wire: &mut Wire) -> Result<()> {
        let bound = match wire.message().await? {
            Message::AuthenticationOk => {
                self.demand_binding(false)?;
                return Ok(());
            }
            Message::AuthenticationCleartextPassword => {
                self.demand_binding(false)?;
                if !wire.transport().is_private() {
                    return Err(self.refused(
                        "the server asks for the password in clear text, and the connection has no TLS: use \
                         sslmode=require or better, or scram-sha-256 in pg_hba.conf",
                    ));
                }
                let password = self.password()?;
                self.send_password(wire, password.as_bytes()).await?;
                false
            }
            Message::AuthenticationMd5Password(body) => {
                self.demand_binding(false)?;
                let password = self.password()?;
                let hash = authentication::md5_hash(
                    self.info.user.as_bytes(),
                    password.as_bytes(),
                    body.salt(),
                );
                self.send_password(wire, hash.as_bytes()).await?;
                false
            }
            Message::AuthenticationSasl(body) => {
                let password = self.password()?;
                let end_point = tls::end_point(wire.transport());
                scram::exchange(self, wire, &body, &password, end_point).await?
            }
            Message::ErrorResponse(body) => return Err(self.rejected(&body)),
            Message::AuthenticationGss
            | Message::AuthenticationSspi
            | Message::AuthenticationKerberosV5
            | Message::AuthenticationScmCredential => {
                return Err(self.refused(
                    "the server asks for a kind of login that wal2es does not have (GSSAPI, SSPI or Kerberos): use \
                     scram-sha-256 in pg_hba.conf",
                ));
            }
            _ => return Err(unexpected(wire, "in answer to the startup message")),
        };
        match wire.message().await? {
            Message::AuthenticationOk => self.demand_binding(bound),
            Message::ErrorResponse(body) => Err(self.rejected(&body)),
            _ => Err(unexpected(wire, "instead of the outcome of the login")),
        }
    }

    async fn send_password(&self, wire: &mut Wire, password: &[u8]) -> Result<()> {
        frontend::password_message(password, wire.output())
            .map_err(|_| Error::settings("the password contains a NUL byte"))?;
        wire.flush().await
    }

    async fn read_session(&self, wire: &mut Wire) -> Result<Session> {
        let mut session = Session::default();
        loop {
            match wire.message().await? {
                Message::ParameterStatus(body) => {
                    if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                        session.parameters.insert(name.to_owned(), value.to_owned());
                    }
                }
                Message::BackendKeyData(body) => {
                    session.process_id = body.process_id();
                    session.secret_key = body.secret_key();
                }
                Message::ReadyForQuery(_) => return Ok(session),
                Message::ErrorResponse(body) => return Err(self.rejected(&body)),
                _ => return Err(unexpected(wire, "while the session was starting")),
            }
        }
    }

    fn password(&self) -> Result<String> {
        let found = self.info.password_for(self.host).map(|(password, _)| password);
        found.ok_or_else(|| {
            self.refused(&format!(
                "the server asks for a password, and there is none in {}",
                self.info.password_places()
            ))
        })
    }

    fn demand_binding(&self, bound: bool) -> Result<()> {
        if self.info.channel_binding == ChannelBinding::Require && !bound {
            return Err(self.refused(
                "channel_binding=require, but the server did not ask for SCRAM over TLS with channel binding",
            ));
        }
        Ok(())
    }

    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        self.info.channel_binding
    }

    /// Who logs in where.
    fn target(&self) -> String {
        format!("{}@{}/{}", self.info.user, self.host, self.info.dbname)
    }

    pub(crate) fn refused(&self, what: &str) -> Error {
        Error::Login { to: self.target(), what: what.to_owned() }
    }

    pub(crate) fn rejected(&self, body: &ErrorResponseBody) -> Error {
        server_error(body, &format!("login at {}", self.target())).advise(|code| {
            match (code, self.info.password_for(self.host)) {
                ("28P01", Some((_, source))) => format!("the password came from {source}"),
                _ => sqlstate::login_remedy(code, self.mode == Mode::Replication).to_owned(),
            }
        })
    }
}

pub(crate) fn unexpected(wire: &Wire, place: &str) -> Error {
    Error::protocol(
        wire.position(),
        format!("the message before this byte is out of place {place}"),
    )
}
