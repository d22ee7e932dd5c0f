//! Where a server is and how to log in: libpq's connection strings, environment variables and password file.
//!
//! People paste what `psql` accepts, so what is read here means what it means
//! [to libpq](https://www.postgresql.org/docs/current/libpq-connect.html). The differences are few and on the safe
//! side: a parameter that we don't know or can't honour is refused by name instead of being ignored; `sslmode=allow`
//! is taken for `prefer`; a root certificate is looked for only where `sslrootcert` points (`verify-*` without it
//! uses the system's); `connect_timeout` is 10 s unless given. A password is never shown by `Debug` or `Display`.

mod key_value;
mod passfile;
mod url;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// The parameters that we understand, and the environment variables that stand in for them.
const PARAMETERS: [(&str, Option<&str>); 17] = [
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("port", Some("PGPORT")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("passfile", Some("PGPASSFILE")),
    ("dbname", Some("PGDATABASE")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("application_name", Some("PGAPPNAME")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("options", Some("PGOPTIONS")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("gssencmode", None),
    ("sslnegotiation", None),
    ("client_encoding", None),
];

/// Where libpq looks for a socket when no host is given: Debian's and Red Hat's place, then upstream's.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much TLS protects, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS without verification if the server offers it, else none.
    Prefer,
    /// TLS without verification: no protection from somebody in the middle.
    Require,
    /// TLS, and the certificate was signed by a trusted authority.
    VerifyCa,
    /// As [`SslMode::VerifyCa`], and it was made for this host name.
    VerifyFull,
}

/// Whether the password exchange has to be tied to the TLS connection that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If both sides can.
    Prefer,
    /// Else the login is refused. Only SCRAM over TLS can do it.
    Require,
}

/// Which authorities `verify-ca` and `verify-full` trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// Those of the operating system.
    System,
    /// Those in this PEM file.
    File(PathBuf),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name, an address, or the directory of a socket if it begins with `/`; empty if only `hostaddr` was given.
    pub name: String,
    /// The address to connect to instead of looking `name` up.
    pub addr: Option<IpAddr>,
    /// The TCP port, or the number in the socket's file name.
    pub port: u16,
}

impl Host {
    /// The path of the unix socket, if it is one.
    pub fn socket(&self) -> Option<PathBuf> {
        (self.addr.is_none() && self.name.starts_with('/'))
            .then(|| Path::new(&self.name).join(format!(".s.PGSQL.{}", self.port)))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.socket() {
            return write!(f, "{}", path.display());
        }
        match self.addr {
            Some(addr) if self.name.is_empty() => write!(f, "{addr}:{}", self.port),
            Some(addr) => write!(f, "{} ({addr}):{}", self.name, self.port),
            None => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// Where a password came from, to be named when the server does not like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The connection string itself.
    ConnInfo,
    /// `PGPASSWORD`.
    Environment,
    /// This password file.
    File(PathBuf),
}

impl fmt::Display for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordSource::ConnInfo => f.write_str("the connection string"),
            PasswordSource::Environment => f.write_str("PGPASSWORD"),
            PasswordSource::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Everything that is needed to connect and log in.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnInfo {
    /// The servers to try, in this order; never empty.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// The database; `user` unless given.
    pub dbname: String,
    /// How much TLS protects.
    pub sslmode: SslMode,
    /// Whom the verifying modes trust; none given means the system's authorities.
    pub sslrootcert: Option<RootCert>,
    /// Whether the login has to be tied to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// Shown in `pg_stat_activity`; `wal2es` unless given.
    pub application_name: String,
    /// For each host: connecting, TLS and login together. None: wait for ever.
    pub connect_timeout: Option<Duration>,
    /// Command-line options for the server process, such as `-c work_mem=64MB`. The session settings that this crate
    /// pins win over them.
    pub options: Option<String>,
    passfile: Option<PathBuf>,
    password: Option<(String, PasswordSource)>,
}

impl ConnInfo {
    /// Reads a connection string with this process's environment.
    ///
    /// # Errors
    /// [`Error::Settings`] names the parameter that can't be used.
    pub fn from_process(text: &str) -> Result<Self> {
        Self::parse(text, &|name| std::env::var(name).ok())
    }

    /// Reads a URL (`postgres://` or `postgresql://`) or `key=value` text; what it leaves out is taken from the
    /// environment variables that `env` gives.
    ///
    /// # Errors
    /// [`Error::Settings`] names the parameter that can't be used.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Settings::read(text, env)?.build(env)
    }

    /// The password for one of the hosts and where it came from; the password file is read at this moment.
    pub(crate) fn password_for(&self, host: &Host) -> Option<(String, PasswordSource)> {
        if self.password.is_some() {
            return self.password.clone();
        }
        let path = self.passfile.as_ref()?;
        let asked = passfile::Asked {
            host: &passfile_host(host),
            port: &host.port.to_string(),
            dbname: &self.dbname,
            user: &self.user,
        };
        let password = passfile::look_up(path, &asked)?;
        Some((password, PasswordSource::File(path.clone())))
    }

    /// The places where a password was looked for, for an error message.
    pub(crate) fn password_places(&self) -> String {
        let file = self.passfile.as_ref().map(|path| format!(" and {}", path.display()));
        format!("the connection string, PGPASSWORD{}", file.unwrap_or_default())
    }
}

/// `user@host:port/database`, for messages.
impl fmt::Display for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (i, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.dbname)
    }
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.password.as_ref().map(|(_, source)| source);
        f.debug_struct("ConnInfo")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("dbname", &self.dbname)
            .field("password_from", &source)
            .field("passfile", &self.passfile)
            .field("sslmode", &self.sslmode)
            .field("sslrootcert", &self.sslrootcert)
            .field("channel_binding", &self.channel_binding)
            .field("application_name", &self.application_name)
            .field("connect_timeout", &self.connect_timeout)
            .field("options", &self.options)
            .finish()
    }
}

/// The raw values, by parameter.
struct Settings {
    values: Vec<(&'static str, String)>,
    password_from: PasswordSource,
}

impl Settings {
    fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let pairs = if url::is_url(text) { url::parse(text)? } else { key_value::parse(text)? };
        let mut settings = Settings { values: Vec::new(), password_from: PasswordSource::ConnInfo };
        for (name, value) in pairs {
            let Some((known, _)) = PARAMETERS.iter().find(|(known, _)| *known == name) else {
                return Err(Error::settings(format!(
                    "wal2es does not have the connection parameter {name:?}; it has {}",
                    PARAMETERS.map(|(known, _)| known).join(", ")
                )));
            };
            settings.values.retain(|(other, _)| other != known);
            settings.values.push((known, value));
        }
        for (name, variable) in PARAMETERS {
            if settings.raw(name).is_none()
                && let Some(value) = variable.and_then(env)
            {
                if name == "password" {
                    settings.password_from = PasswordSource::Environment;
                }
                settings.values.push((name, value));
            }
        }
        Ok(settings)
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The value, where an empty one means "the default" as in libpq.
    fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    fn build(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<ConnInfo> {
        let user = match self.get("user") {
            Some(user) => user.to_owned(),
            None => system_user().ok_or_else(|| {
                Error::settings(
                    "no user given (user=…, PGUSER), and the system's could not be found",
                )
            })?,
        };
        let (sslmode, sslrootcert) = self.ssl()?;
        self.refuse_unsupported()?;
        Ok(ConnInfo {
            hosts: self.hosts()?,
            dbname: self.get("dbname").unwrap_or(&user).to_owned(),
            user,
            sslmode,
            sslrootcert,
            channel_binding: match self.get("channel_binding") {
                None | Some("prefer") => ChannelBinding::Prefer,
                Some("disable") => ChannelBinding::Disable,
                Some("require") => ChannelBinding::Require,
                Some(other) => {
                    return Err(bad("channel_binding", other, "disable, prefer, require"));
                }
            },
            application_name: self.get("application_name").unwrap_or("wal2es").to_owned(),
            connect_timeout: self.connect_timeout()?,
            options: self.get("options").map(str::to_owned),
            passfile: match self.get("passfile") {
                Some(path) => Some(path.into()),
                None => env("HOME").map(|home| Path::new(&home).join(".pgpass")),
            },
            password: self
                .get("password")
                .map(|password| (password.to_owned(), self.password_from.clone())),
        })
    }

    fn ssl(&self) -> Result<(SslMode, Option<RootCert>)> {
        let given = match self.get("sslmode") {
            None => None,
            Some("disable") => Some(SslMode::Disable),
            Some("allow" | "prefer") => Some(SslMode::Prefer),
            Some("require") => Some(SslMode::Require),
            Some("verify-ca") => Some(SslMode::VerifyCa),
            Some("verify-full") => Some(SslMode::VerifyFull),
            Some(other) => {
                return Err(bad(
                    "sslmode",
                    other,
                    "disable, allow, prefer, require, verify-ca, verify-full",
                ));
            }
        };
        match (self.get("sslrootcert"), given) {
            (Some("system"), None | Some(SslMode::VerifyFull)) => {
                Ok((SslMode::VerifyFull, Some(RootCert::System)))
            }
            (Some("system"), Some(_)) => Err(Error::settings(
                "sslrootcert=system needs sslmode=verify-full: anybody can get a certificate from a public authority",
            )),
            (Some(path), given) => {
                let mode = match given {
                    Some(SslMode::Require) => SslMode::VerifyCa,
                    other => other.unwrap_or(SslMode::Prefer),
                };
                Ok((mode, Some(RootCert::File(path.into()))))
            }
            (None, given) => Ok((given.unwrap_or(SslMode::Prefer), None)),
        }
    }

    fn connect_timeout(&self) -> Result<Option<Duration>> {
        let Some(text) = self.get("connect_timeout") else { return Ok(Some(DEFAULT_TIMEOUT)) };
        let seconds: i32 = text
            .trim()
            .parse()
            .map_err(|_| bad("connect_timeout", text, "whole seconds; 0 waits for ever"))?;
        Ok(u64::try_from(seconds).ok().filter(|&s| s > 0).map(Duration::from_secs))
    }

    fn hosts(&self) -> Result<Vec<Host>> {
        let names = split(self.get("host"));
        let addrs = split(self.get("hostaddr"));
        let ports = split(self.get("port"));
        let count = names.len().max(addrs.len());
        if !names.is_empty() && !addrs.is_empty() && names.len() != addrs.len() {
            return Err(Error::settings(format!(
                "host names {} servers and hostaddr {}",
                names.len(),
                addrs.len()
            )));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(Error::settings(format!(
                "port has {} values for {count} hosts: give one for all, or one for each",
                ports.len()
            )));
        }
        let port = |i: usize| {
            let text = ports.get(i).or(ports.first()).copied().unwrap_or_default();
            if text.is_empty() {
                return Ok(DEFAULT_PORT);
            }
            match text.trim().parse() {
                Ok(0) | Err(_) => Err(bad("port", text, "1 to 65535")),
                Ok(port) => Ok(port),
            }
        };
        let mut hosts = Vec::new();
        for i in 0..count.max(1) {
            let port = port(i)?;
            let addr = match addrs.get(i).copied().unwrap_or_default() {
                "" => None,
                text => {
                    Some(text.parse().map_err(|_| bad("hostaddr", text, "a numeric IP address"))?)
                }
            };
            match names.get(i).copied().unwrap_or_default() {
                "" if addr.is_none() => hosts.extend(SOCKET_DIRECTORIES.map(|directory| Host {
                    name: directory.to_owned(),
                    addr,
                    port,
                })),
                name if name.starts_with('@') => {
                    return Err(bad("host", name, "a name, an address or a directory"));
                }
                name => hosts.push(Host { name: name.to_owned(), addr, port }),
            }
        }
        Ok(hosts)
    }

    /// Parameters whose harmless values are accepted, so that strings which spell out the default work.
    fn refuse_unsupported(&self) -> Result<()> {
        let only = |name, allowed: &[&str]| match self.get(name) {
            Some(value) if !allowed.contains(&value) => Err(Error::settings(format!(
                "{name}={value} is not supported; leave it out or set {name}={}",
                allowed.join(" or ")
            ))),
            _ => Ok(()),
        };
        only("target_session_attrs", &["any"])?;
        only("gssencmode", &["disable", "prefer"])?;
        only("sslnegotiation", &["postgres"])?;
        only("client_encoding", &["UTF8", "utf8", "auto"])
    }
}

fn bad(name: &str, value: &str, allowed: &str) -> Error {
    Error::settings(format!("{name}={value:?} is not one of: {allowed}"))
}

fn split(list: Option<&str>) -> Vec<&str> {
    list.map(|list| list.split(',').collect()).unwrap_or_default()
}

/// What libpq compares with the first field of the password file.
fn passfile_host(host: &Host) -> String {
    let is_default_socket = SOCKET_DIRECTORIES.contains(&host.name.as_str());
    match host.addr {
        Some(addr) if host.name.is_empty() => addr.to_string(),
        None if is_default_socket => "localhost".to_owned(),
        _ => host.name.clone(),
    }
}

fn system_user() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.name)
}

impl FromStr for ConnInfo {
    type Err = Error;

    /// As [`ConnInfo::parse`], without any environment.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, &|_| None)
    }
}

#[cfg(test)]
mod tests;
