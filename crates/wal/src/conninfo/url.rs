//! `postgresql://user:secret@db1,db2:5433/shop?sslmode=verify-full`: libpq's URLs.
//!
//! [The form](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS) is not that of RFC
//! 3986: there may be several hosts, any part may be missing, and a host may be a percent-encoded directory. So no
//! general URL parser is of use. Messages quote neither the user part nor the whole text: a password may be in them.

use crate::error::{Error, Result};

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

pub(super) fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// The parameters that the URL sets; a part that is missing or empty sets none.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let mut pairs = Vec::new();
    let mut set = |name: &str, value: String| {
        if !value.is_empty() {
            pairs.push((name.to_owned(), value));
        }
    };

    // The user part ends at the first @, unless a / comes before it.
    let rest = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => {
            let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
            set("user", decode(user, "user")?);
            set("password", decode(password, "password")?);
            &rest[at + 1..]
        }
        _ => rest,
    };

    let (hosts, rest) = rest.split_at(end_of_hosts(rest)?);
    let (names, ports) = parse_hosts(hosts)?;
    set("host", decode(&names, "host")?);
    set("port", decode(&ports, "port")?);

    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    set("dbname", decode(path.strip_prefix('/').unwrap_or_default(), "database")?);

    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::settings(format!("URL parameter {pair:?} has no \"=\"")));
        };
        let name = decode(name, "parameter name")?;
        if value.contains('=') {
            return Err(Error::settings(format!(
                "URL parameter {name:?} has a second \"=\": write it as %3D"
            )));
        }
        let value = decode(value, &name)?;
        match (name.as_str(), value.as_str()) {
            ("ssl", "true") => pairs.push(("sslmode".to_owned(), "require".to_owned())),
            _ => pairs.push((name, value)),
        }
    }
    Ok(pairs)
}

/// Where the list of hosts ends; a / or ? inside of brackets would be part of an address, which is wrong anyway.
fn end_of_hosts(text: &str) -> Result<usize> {
    let end = text.find(['/', '?']).unwrap_or(text.len());
    if text[..end].contains('@') {
        return Err(Error::settings(
            "the URL has more than one \"@\" before the database: write one in a user name or password as %40",
        ));
    }
    Ok(end)
}

/// `a:1,[::1]:2,c` as the two lists `a,::1,c` and `1,2,`.
fn parse_hosts(text: &str) -> Result<(String, String)> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (name, port) = if let Some(rest) = part.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or_else(|| {
                Error::settings(format!("URL host {part:?}: the bracket is never closed"))
            })?;
            match rest.strip_prefix(':') {
                Some(port) => (address, port),
                None if rest.is_empty() => (address, ""),
                None => {
                    return Err(Error::settings(format!(
                        "URL host {part:?}: only :port may follow the bracket"
                    )));
                }
            }
        } else {
            part.split_once(':').unwrap_or((part, ""))
        };
        names.push(name);
        ports.push(port);
    }
    let has_port = ports.iter().any(|port| !port.is_empty());
    Ok((names.join(","), if has_port { ports.join(",") } else { String::new() }))
}

/// Replaces `%40` by `@` and so on. `what` names the part, because its text may be secret.
fn decode(text: &str, what: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let byte = part
            .get(..2)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|&byte| byte != 0);
        let Some(byte) = byte else {
            return Err(Error::settings(format!(
                "URL {what}: \"%\" must be followed by two hexadecimal digits, not 00 (a % itself is %25)"
            )));
        };
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| Error::settings(format!("URL {what} is not UTF-8")))
}
