//! A model of the server: what it sends for a course of transactions, and what that means.
//!
//! It keeps book of the descriptions that it has sent as `pgoutput.c` does: for the session, and for each streamed
//! transaction until that ends, until a part of it is aborted, or until the table changes. What a row means it knows
//! from the table itself, so a decoder that mixes up descriptions can't agree with it by chance.

use std::collections::HashSet;

use change::{CommitLsn, Lsn, ReplicaIdentity, TruncateOptions, Value};
use decode::pgoutput::encode::{Column, Image, Message};
use decode::pgoutput::{Protocol, Streaming};
use decode::{Begin, Commit, LogicalMessage, Part, Release};

use crate::receiver::{Said, spell_row, spell_table};

pub(crate) const TABLES: usize = 2;
pub(crate) const SLOTS: usize = 3;

/// What happens next. A slot is one of the large transactions that run side by side.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A transaction that is sent whole.
    Plain(Vec<Change>),
    /// The table is given another name and other columns.
    Alter(usize),
    /// A block of a large transaction, which begins here if the slot is free.
    Block(usize, Vec<Inner>),
    /// It goes back to the latest savepoint.
    RollBackTo(usize),
    /// It ends, by a commit or an abort.
    End(usize, bool),
}

/// What happens within a block.
#[derive(Clone, Debug)]
pub(crate) enum Inner {
    Change(Change),
    Savepoint,
    ReleaseSavepoint,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Of a row of this table, to this value.
    Row(usize, Kind, u8),
    Truncate(usize),
    Message(u8),
}

/// What happens to a row, and which image of the row before is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Insert,
    Update,
    UpdateKey,
    UpdateFull,
    Delete,
}

/// A message and what is to come of it.
pub(crate) type Line = (Vec<u8>, Vec<Said>);

#[derive(Default)]
struct Table {
    version: u32,
    sent: bool,
    sent_in: HashSet<u32>,
}

struct Running {
    xid: u32,
    started: bool,
    /// The savepoints, outermost first, each with the ids of the subtransactions that end with it.
    frames: Vec<Vec<u32>>,
    /// What is to come of it if it commits.
    kept: Vec<(u32, Said)>,
}

pub(crate) struct Server {
    protocol: Protocol,
    tables: [Table; TABLES],
    slots: [Option<Running>; SLOTS],
    next_xid: u32,
    lsn: u64,
    lines: Vec<Line>,
}

/// The whole session.
pub(crate) fn session(steps: &[Step], protocol: Protocol) -> Vec<Line> {
    let mut server = Server {
        protocol,
        tables: Default::default(),
        slots: Default::default(),
        next_xid: 700,
        lsn: 0x10_0000,
        lines: Vec::new(),
    };
    for step in steps {
        match step {
            Step::Plain(changes) => server.plain(changes),
            Step::Alter(table) => server.alter(*table),
            Step::Block(slot, inner) => server.block(*slot, inner),
            Step::RollBackTo(slot) => server.roll_back_to(*slot),
            Step::End(slot, commit) => server.end(*slot, *commit),
        }
    }
    server.lines
}

impl Server {
    fn xid(&mut self) -> u32 {
        self.next_xid += 1;
        self.next_xid
    }

    fn commit(&mut self) -> Commit {
        self.lsn += 64;
        let commit = CommitLsn(Lsn::new(self.lsn));
        Commit { commit, end: Lsn::new(self.lsn + 48), committed_at: i64::from(self.next_xid) }
    }

    fn send(&mut self, message: &Message<'_>, part: Option<Part>, said: Vec<Said>) {
        let mut bytes = Vec::new();
        message.write(part.map(|part| part.part), &mut bytes).unwrap();
        self.lines.push((bytes, said));
    }

    fn alter(&mut self, table: usize) {
        self.tables[table] = Table { version: self.tables[table].version + 1, ..Table::default() };
    }

    fn plain(&mut self, changes: &[Change]) {
        let (commit, xid) = (self.commit(), self.xid());
        let begin = Begin { commit: commit.commit, committed_at: commit.committed_at, xid };
        self.send(&Message::Begin(begin), None, vec![Said::Begin(begin)]);
        changes.iter().for_each(|change| drop(self.change(*change, None)));
        self.send(&Message::Commit(commit), None, vec![Said::Commit(commit)]);
    }

    fn block(&mut self, slot: usize, inner: &[Inner]) {
        let mut running = self.slots[slot].take().unwrap_or_else(|| {
            let xid = self.xid();
            Running { xid, started: false, frames: vec![vec![xid]], kept: Vec::new() }
        });
        let (transaction, first) = (running.xid, !running.started);
        running.started = true;
        self.send(&Message::StreamStart { transaction, first }, None, vec![Said::Nothing]);
        if first && transaction % 2 == 0 {
            let origin = Message::Origin { commit: Lsn::ZERO, name: "other" };
            self.send(&origin, None, vec![Said::Nothing]);
        }
        for step in inner {
            match step {
                Inner::Savepoint => running.frames.push(vec![self.xid()]),
                Inner::ReleaseSavepoint => {
                    if running.frames.len() > 1 {
                        let released = running.frames.pop().unwrap();
                        running.frames.last_mut().unwrap().extend(released);
                    }
                }
                Inner::Change(change) => {
                    let part = Part { transaction, part: running.frames.last().unwrap()[0] };
                    let said = self.change(*change, Some(part));
                    running.kept.extend(said.into_iter().map(|said| (part.part, said)));
                }
            }
        }
        self.send(&Message::StreamStop, None, vec![Said::Nothing]);
        self.slots[slot] = Some(running);
    }

    fn roll_back_to(&mut self, slot: usize) {
        let Some(mut running) = self.slots[slot].take() else { return };
        if running.frames.len() > 1 {
            let parts = running.frames.pop().unwrap();
            running.kept.retain(|(part, _)| !parts.contains(part));
            parts.iter().rev().for_each(|part| self.abort(running.xid, *part));
        }
        self.slots[slot] = Some(running);
    }

    fn abort(&mut self, transaction: u32, part: u32) {
        let part = Part { transaction, part };
        let parallel = self.protocol.streaming() == Streaming::Parallel;
        let at = parallel.then_some((Lsn::ZERO, -1));
        self.send(&Message::StreamAbort { part, at }, None, vec![Said::Abort(part)]);
        for table in &mut self.tables {
            table.sent_in.remove(&transaction);
        }
    }

    fn end(&mut self, slot: usize, commit: bool) {
        let Some(running) = self.slots[slot].take() else { return };
        if !commit {
            let parts = running.frames.concat();
            parts.iter().rev().for_each(|part| self.abort(running.xid, *part));
            return;
        }
        let (commit, xid) = (self.commit(), running.xid);
        let release = Release { transaction: xid, commit };
        let begin = Begin { commit: commit.commit, committed_at: commit.committed_at, xid };
        let mut said = vec![Said::Release(release), Said::Begin(begin)];
        said.extend(running.kept.into_iter().map(|(_, said)| said));
        said.push(Said::Commit(commit));
        self.send(&Message::StreamCommit(release), None, said);
        for table in &mut self.tables {
            table.sent |= table.sent_in.remove(&xid);
        }
    }

    /// Sends a change, as part of a streamed transaction or of one that is sent whole; answers what is to come of it
    /// and of the descriptions before it once it is committed.
    fn change(&mut self, change: Change, part: Option<Part>) -> Vec<Said> {
        let mut later = Vec::new();
        match change {
            Change::Message(byte) => {
                let (lsn, prefix, content) = (Lsn::new(self.lsn), "app", &[byte][..]);
                let message = LogicalMessage { transactional: true, lsn, prefix, content };
                let said = Said::Message(content.to_vec());
                self.tell(&Message::Logical(message), part, said, &mut later);
            }
            Change::Truncate(table) => {
                self.describe(table, part, &mut later);
                let (name, _) = shape(table, self.tables[table].version);
                let options = TruncateOptions::default();
                let message = Message::Truncate { oids: vec![oid(table)], options };
                let said = Said::Truncate(format!("public.{name}"));
                self.tell(&message, part, said, &mut later);
            }
            Change::Row(table, kind, value) => {
                self.describe(table, part, &mut later);
                let (name, columns) = shape(table, self.tables[table].version);
                let value = value.to_string();
                let (message, old, new) = row(oid(table), kind, columns.len(), value.as_bytes());
                let spelled = spell_table(&format!("public.{name}"), &columns);
                let said = Said::Row(spell_row(&spelled, &old, &new));
                self.tell(&message, part, said, &mut later);
            }
        }
        later
    }

    fn describe(&mut self, table: usize, part: Option<Part>, later: &mut Vec<Said>) {
        let described = &mut self.tables[table];
        let told = match part {
            Some(part) => !described.sent_in.insert(part.transaction),
            None => std::mem::replace(&mut described.sent, true),
        };
        if told {
            return;
        }
        let (name, columns) = shape(table, described.version);
        let ty = Message::Type { oid: 0x4_0000, schema: "public", name: "mood" };
        self.tell(&ty, part, Said::Nothing, later);
        let column = |name| Column { in_identity: true, name, type_oid: 25, type_modifier: -1 };
        let message = Message::Relation {
            oid: oid(table),
            schema: "public",
            name: &name,
            identity: ReplicaIdentity::Default,
            columns: columns.iter().map(|name| column(name)).collect(),
        };
        let said = Said::Relation(spell_table(&format!("public.{name}"), &columns));
        self.tell(&message, part, said, later);
    }

    fn tell(
        &mut self,
        message: &Message<'_>,
        part: Option<Part>,
        said: Said,
        later: &mut Vec<Said>,
    ) {
        match part {
            Some(hold) => {
                later.push(said);
                self.send(message, part, vec![Said::Hold(hold)]);
            }
            None => self.send(message, None, vec![said]),
        }
    }
}

/// A change of a row of `columns` columns, and its images as [`Said`] spells them.
fn row(oid: u32, kind: Kind, columns: usize, value: &[u8]) -> (Message<'_>, String, String) {
    let full = vec![Value::Text(value); columns];
    let mut key = vec![Value::Null; columns];
    key[0] = Value::Text(value);
    let kept = vec![Value::Unchanged; columns];
    let spell = |row: &[Value<'_>]| format!("{row:?}");
    let key_said = format!("key {key:?}");
    match kind {
        Kind::Insert => {
            let said = spell(&full);
            (Message::Insert { oid, new: full }, String::new(), said)
        }
        Kind::Update => {
            let said = spell(&kept);
            (Message::Update { oid, old: None, new: kept }, String::new(), said)
        }
        Kind::UpdateKey => {
            let said = spell(&full);
            (Message::Update { oid, old: Some(Image::Key(key)), new: full }, key_said, said)
        }
        Kind::UpdateFull => {
            let (old, new) = (format!("full {full:?}"), spell(&kept));
            (Message::Update { oid, old: Some(Image::Full(full)), new: kept }, old, new)
        }
        Kind::Delete => (Message::Delete { oid, old: Image::Key(key) }, key_said, String::new()),
    }
}

fn oid(table: usize) -> u32 {
    0x4000 + u32::try_from(table).unwrap()
}

/// The name and the columns of a table that was altered `version` times.
fn shape(table: usize, version: u32) -> (String, Vec<String>) {
    let columns = (0..=version % 3).map(|column| format!("c{column}v{version}"));
    (format!("t{table}v{version}"), columns.collect())
}
