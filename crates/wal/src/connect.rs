//! Finding a server that takes us.
//!
//! The hosts are tried in order, and all addresses of each, because a name may have an IPv6 address that leads nowhere.
//! `connect_timeout` counts anew for each step: looking the name up, then for each address connecting, TLS, login and the
//! question for the session's settings together.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::time::timeout;

use crate::connection::Connection;
use crate::conninfo::{ConnInfo, Host};
use crate::error::{Error, Kind, Result};
use crate::login::pins::{self, Reader};
use crate::login::{self, Mode};
use crate::tls;
use crate::transport::Transport;
use crate::wire::Wire;

/// Where a host can be reached.
enum Address {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

pub(crate) async fn connect(info: &ConnInfo, mode: Mode, reader: Reader) -> Result<Connection> {
    let mut errors = Vec::new();
    for host in &info.hosts {
        let addresses = match in_time(info, host, addresses(host)).await {
            Ok(addresses) => addresses,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for address in addresses {
            match in_time(info, host, attempt(info, host, &address, mode, reader)).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.kind() == Kind::Transient => errors.push(error),
                Err(error) => return Err(error),
            }
        }
    }
    match (errors.pop(), errors.is_empty()) {
        (None, _) => Err(Error::settings("no host to connect to")),
        (Some(error), true) => Err(error),
        (Some(error), false) => {
            errors.push(error);
            Err(Error::AllHosts(errors))
        }
    }
}

async fn in_time<T>(
    info: &ConnInfo,
    host: &Host,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match info.connect_timeout {
        None => work.await,
        Some(limit) => timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(Error::ConnectTimeout { to: host.to_string(), after: limit })),
    }
}

async fn addresses(host: &Host) -> Result<Vec<Address>> {
    if let Some(path) = host.socket() {
        return Ok(vec![Address::Socket(path)]);
    }
    if let Some(addr) = host.addr {
        return Ok(vec![Address::Tcp(SocketAddr::new(addr, host.port))]);
    }
    let found =
        tokio::net::lookup_host((host.name.as_str(), host.port)).await.map_err(failed(host))?;
    let addresses: Vec<Address> = found.map(Address::Tcp).collect();
    if addresses.is_empty() {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(failed(host)(nothing));
    }
    Ok(addresses)
}

async fn attempt(
    info: &ConnInfo,
    host: &Host,
    address: &Address,
    mode: Mode,
    reader: Reader,
) -> Result<Connection> {
    let transport = match address {
        Address::Socket(path) => Transport::unix(path).await.map_err(failed(host))?,
        Address::Tcp(address) => {
            let stream = Transport::tcp(*address).await.map_err(failed(host))?;
            tls::secure(stream, info, host).await?
        }
    };
    let mut wire = Wire::new(transport);
    let session = login::login(&mut wire, info, host, mode).await.map_err(|error| match error {
        Error::Io { source, .. } => failed(host)(source),
        Error::Closed { .. } => failed(host)(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection during the login",
        )),
        other => other,
    })?;
    let mut connection = Connection { wire, session, busy: false };
    pins::check(&mut connection, reader).await?;
    Ok(connection)
}

fn failed(host: &Host) -> impl Fn(io::Error) -> Error {
    move |source| Error::Connect { to: host.to_string(), source }
}
