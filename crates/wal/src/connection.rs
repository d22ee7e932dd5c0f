//! A session: connecting, simple queries, and the doors to [`CopyOut`] and [`Replication`](crate::Replication).

use std::time::Duration;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio::time::timeout;

use crate::connect;
use crate::conninfo::ConnInfo;
use crate::copy_out::CopyOut;
use crate::error::{Error, Result};
use crate::login::{Mode, Session, unexpected};
use crate::wire::{Wire, server_error};

/// What [`Connection::simple_query`] holds in memory at most, in bytes of values.
const MOST_ROWS: usize = 64 * 1024 * 1024;

/// One row of an answer: each column's text, or none for NULL.
pub type TextRow = Vec<Option<String>>;

/// A session with a server.
///
/// One command runs at a time. If the future of a command is dropped before its end, the rest of the answer is still
/// on its way: later commands fail with [`Error::Abandoned`], and the thing to do is to drop the connection, which
/// closes it. Dropping is always safe.
#[derive(Debug)]
pub struct Connection {
    pub(crate) wire: Wire,
    pub(crate) session: Session,
    /// A command was sent, and its ReadyForQuery was not read yet.
    pub(crate) busy: bool,
}

impl Connection {
    /// Connects to the first of the hosts that takes us, trying each of a host's addresses. One that can't be reached,
    /// or is starting or full, is passed over; one that refuses the login ends the search.
    ///
    /// # Errors
    /// That of the server, or [`Error::AllHosts`] if several were tried.
    pub async fn connect(info: &ConnInfo, mode: Mode) -> Result<Self> {
        connect::connect(info, mode).await
    }

    /// A parameter that the server reported at login, such as `server_version` or `server_encoding`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.session.parameters.get(name).map(String::as_str)
    }

    /// The version in the form of `server_version_num`: 150018 for 15.18; 0 if the server reported none.
    pub fn server_version(&self) -> u32 {
        version_number(self.parameter("server_version").unwrap_or_default())
    }

    /// The process on the server's side, as in `pg_stat_activity`.
    pub fn process_id(&self) -> i32 {
        self.session.process_id
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.wire.transport().is_tls()
    }

    /// Runs one or more statements and returns the rows of the last one that had any.
    ///
    /// # Errors
    /// [`Error::Server`] with the first error, after which the connection can be used again; [`Error::TooLarge`] if the
    /// rows have more than 64 MiB.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<TextRow>> {
        self.start(sql).await?;
        let mut rows = Vec::new();
        let mut size = 0;
        let mut failure = None;
        loop {
            match self.wire.message().await? {
                Message::RowDescription(_) => {
                    rows.clear();
                    size = 0;
                }
                Message::DataRow(row) => {
                    size += row.buffer().len() + size_of::<TextRow>();
                    if size > MOST_ROWS {
                        return Err(Error::TooLarge { doing: sql.to_owned(), limit: MOST_ROWS });
                    }
                    rows.push(text_row(&row, self.wire.position())?);
                }
                Message::ErrorResponse(body) => {
                    failure.get_or_insert_with(|| server_error(&body, sql));
                }
                Message::ReadyForQuery(_) => {
                    self.busy = false;
                    return failure.map_or(Ok(rows), Err);
                }
                Message::ParameterStatus(body) => self.note_parameter(&body),
                Message::CommandComplete(_)
                | Message::EmptyQueryResponse
                | Message::NotificationResponse(_) => {}
                _ => return Err(unexpected(&self.wire, "in the answer to a query")),
            }
        }
    }

    /// Starts `COPY … TO STDOUT` and gives the rows as they come.
    ///
    /// # Errors
    /// [`Error::Server`] if the server refuses the statement.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>> {
        CopyOut::start(self, sql).await
    }

    /// Says good-bye and closes the connection, waiting at most a second.
    pub async fn terminate(mut self) {
        frontend::terminate(self.wire.output());
        let _ = timeout(Duration::from_secs(1), self.wire.flush()).await;
    }

    /// Sends a query; until its end this connection is busy.
    pub(crate) async fn start(&mut self, sql: &str) -> Result<()> {
        if self.busy {
            return Err(Error::Abandoned);
        }
        frontend::query(sql, self.wire.output()).map_err(|_| Error::Name {
            what: "SQL text",
            name: sql.to_owned(),
            why: "must not contain a NUL byte",
        })?;
        self.busy = true;
        self.wire.flush().await
    }

    /// Reads on to the end of a command that has failed.
    pub(crate) async fn finish_failed(&mut self) -> Result<()> {
        loop {
            if let Message::ReadyForQuery(_) = self.wire.message().await? {
                self.busy = false;
                return Ok(());
            }
        }
    }

    pub(crate) fn note_parameter(
        &mut self,
        body: &postgres_protocol::message::backend::ParameterStatusBody,
    ) {
        if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
            self.session.parameters.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn text_row(row: &DataRowBody, position: u64) -> Result<TextRow> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::protocol(position, format!("DataRow before this byte: {error}"))
    };
    let mut columns = Vec::new();
    let mut ranges = row.ranges();
    while let Some(range) = ranges.next().map_err(|error| wrong(&error))? {
        columns.push(match range {
            None => None,
            Some(range) => {
                let bytes = row.buffer().get(range).ok_or_else(|| wrong(&"value out of bounds"))?;
                Some(String::from_utf8(bytes.to_vec()).map_err(|error| wrong(&error))?)
            }
        });
    }
    Ok(columns)
}

/// `15.18 (Debian …)`, `18beta1`, `14.2` to 150018, 180000, 140002.
fn version_number(text: &str) -> u32 {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse::<u32>().unwrap_or_default());
    let major = numbers.next().unwrap_or_default();
    let is_release = text.bytes().find(|b| !b.is_ascii_digit()) == Some(b'.');
    let minor = if is_release { numbers.next().unwrap_or_default() } else { 0 };
    major.saturating_mul(10_000).saturating_add(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, number) in [
            ("15.18 (Debian 15.18-0+deb12u1)", 150_018),
            ("18beta1", 180_000),
            ("19devel", 190_000),
            ("14.2", 140_002),
            ("", 0),
        ] {
            assert_eq!(version_number(text), number, "{text}");
        }
    }
}
