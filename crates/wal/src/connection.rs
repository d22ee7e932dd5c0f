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
use crate::login::pins::Reader;
use crate::login::{Mode, Session, unexpected};
use crate::wire::{Wire, server_error, shorten};

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
    /// Texts are UTF-8, but from a database in SQL_ASCII they come as they are stored: look before you trust them.
    ///
    /// # Errors
    /// That of the server, or [`Error::AllHosts`] if several were tried.
    pub async fn connect(info: &ConnInfo, mode: Mode) -> Result<Self> {
        connect::connect(info, mode, Reader::Bytes).await
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
                        return Err(Error::TooLarge { doing: shorten(sql), limit: MOST_ROWS });
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

    /// Waits for a [notification](https://www.postgresql.org/docs/current/sql-notify.html), after `LISTEN`, on a connection that
    /// is used for nothing else. May be dropped.
    ///
    /// # Errors
    /// The connection fails, or the server ends it.
    pub async fn notified(&mut self) -> Result<()> {
        loop {
            match self.wire.message().await? {
                Message::NotificationResponse(_) => return Ok(()),
                Message::ParameterStatus(body) => self.note_parameter(&body),
                Message::ErrorResponse(body) => return Err(server_error(&body, "LISTEN")),
                _ => return Err(unexpected(&self.wire, "while listening")),
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
    use tokio::net::UnixStream;

    use super::*;
    use crate::testing::{Server, error_response, frame, pair};

    fn connection() -> (Connection, Server<UnixStream>) {
        let (wire, server) = pair();
        (Connection { wire, session: Session::default(), busy: false }, server)
    }

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

    #[tokio::test]
    async fn the_rows_of_the_last_statement_that_had_any() {
        let (mut connection, mut server) = connection();
        let mut answer = frame(b'T', b"\0\0");
        answer.extend(frame(b'D', b"\0\x01\0\0\0\x01a"));
        answer.extend(frame(b'C', b"SELECT 1\0"));
        answer.extend(frame(b'T', b"\0\0"));
        answer.extend(frame(b'D', b"\0\x02\0\0\0\x02bc\xFF\xFF\xFF\xFF"));
        answer.extend(frame(b'D', b"\0\x01\0\0\0\0"));
        answer.extend(frame(b'C', b"SELECT 2\0"));
        answer.extend(frame(b'N', b"SNOTICE\0C00000\0Mhm\0\0"));
        answer.extend(frame(b'S', b"TimeZone\0UTC\0"));
        answer.extend(frame(b'C', b"SET\0"));
        answer.extend(frame(b'Z', b"I"));
        server.send(&answer).await;
        let rows = connection.simple_query("x").await.unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(rows, [vec![text("bc"), None], vec![text("")]]);
        assert_eq!(server.read().await, (b'Q', b"x\0".to_vec()));
        assert_eq!(connection.parameter("TimeZone"), Some("UTC"));
    }

    #[tokio::test]
    async fn an_error_leaves_the_connection_usable() {
        let (mut connection, mut server) = connection();
        let mut answer = error_response("42P01", "no such table");
        answer.extend(frame(b'Z', b"I"));
        answer.extend(frame(b'I', b""));
        answer.extend(frame(b'Z', b"I"));
        server.send(&answer).await;
        let error = connection.simple_query("select").await.unwrap_err();
        assert_eq!(error.to_string(), "select: ERROR 42P01: no such table");
        assert_eq!(connection.simple_query("").await.unwrap(), Vec::<TextRow>::new());
    }

    #[tokio::test]
    async fn a_command_that_was_abandoned() {
        let (mut connection, mut server) = connection();
        server.send(&frame(b'T', b"\0\0")).await;
        let cut = timeout(Duration::from_millis(20), connection.simple_query("a")).await;
        assert!(cut.is_err());
        let error = connection.simple_query("b").await.unwrap_err();
        assert!(matches!(error, Error::Abandoned), "{error}");
        assert!(connection.copy_out("copy").await.is_err());
    }

    #[tokio::test]
    async fn an_answer_without_end() {
        let (mut connection, mut server) = connection();
        let mut row = vec![0, 1, 0, 0x10, 0, 0];
        row.resize(row.len() + (1 << 20), b'x');
        let row = frame(b'D', &row);
        let feed = async {
            for _ in 0..64 {
                server.send(&row).await;
            }
        };
        let (answer, ()) = tokio::join!(connection.simple_query("endless"), feed);
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }

    #[tokio::test]
    async fn rows_that_lie_about_themselves() {
        for row in [&b""[..], b"\0\x02\0\0\0\0", b"\0\x01\0\0\0\x09a", b"\0\x01\0\0\0\x01\xFF"] {
            let (mut connection, mut server) = connection();
            server.send(&frame(b'D', row)).await;
            let error = connection.simple_query("x").await.unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }), "{row:?}: {error}");
        }
    }
}
