//! The connections, and the log of all that was sent over them.

use std::collections::BTreeMap;
use std::io::Write as _;

use ::postgres::Client;

use super::kinds;
use crate::support::postgres::Database;

/// How many transactions can be open at once, besides prepared ones. Each session has its lane of keys.
pub const SESSIONS: usize = 3;

const SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET lock_timeout = '30s'; \
                        SET client_min_messages = 'error'";

/// Sends, logs and counts. One statement is sent after another, so the same calls have the same effects.
#[derive(Default)]
pub struct Sessions {
    clients: Vec<Client>,
    log: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Sessions {
    pub fn connect(&mut self, database: &Database) {
        for at in 0..SESSIONS {
            self.clients.push(database.session());
            self.run(at, kinds::SETTINGS, SETTINGS);
        }
    }

    /// Sends SQL that must succeed.
    pub fn run(&mut self, session: usize, kind: &'static str, sql: &str) {
        self.note(session, kind, sql);
        if let Err(error) = self.clients[session].batch_execute(sql) {
            panic!("session {session}, {kind}: {error:?}\n{sql}");
        }
    }

    /// Sends SQL that must fail for this reason: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    pub fn fail(&mut self, session: usize, kind: &'static str, sql: &str, code: &str) {
        self.note(session, kind, sql);
        let failed = self.clients[session].batch_execute(sql).expect_err(sql);
        assert_eq!(failed.code().map(|code| code.code()), Some(code), "{sql}");
    }

    /// `COPY … FROM STDIN` with these lines.
    pub fn copy(&mut self, session: usize, kind: &'static str, sql: &str, lines: &str) {
        self.note(session, kind, &format!("{sql}\n{lines}"));
        let mut copy = || -> Result<u64, Box<dyn std::error::Error>> {
            let mut writer = self.clients[session].copy_in(sql)?;
            writer.write_all(lines.as_bytes())?;
            Ok(writer.finish()?)
        };
        if let Err(error) = copy() {
            panic!("session {session}, {kind}: {error:?}\n{sql}\n{lines}");
        }
    }

    /// One text that the server answers; not logged.
    pub fn ask(&mut self, sql: &str) -> String {
        let row = self.clients[0].query_one(sql, &[]);
        row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// Whether the server takes a statement; not logged.
    pub fn can(&mut self, sql: &str) -> bool {
        self.clients[0].batch_execute(sql).is_ok()
    }

    /// Everything that was sent, with the number of its session.
    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// How often each kind of statement was sent.
    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    fn note(&mut self, session: usize, kind: &'static str, sql: &str) {
        self.log.push(format!("{session}: {sql}"));
        *self.counts.entry(kind).or_default() += 1;
    }
}
