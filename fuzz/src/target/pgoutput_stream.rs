//! A session of pgoutput: the first byte chooses the protocol, [`frames`] of messages follow. What the decoder says to
//! keep is kept in a list, as the spool does, and read again when it is released.
//!
//! A row has as many columns as its relation; commits come in rising order; transactions begin and end in turn; and a
//! message that the decoder takes is one that can be written again.

use std::collections::HashMap;

use change::{Lsn, Row, RowChange, RowOp};
use decode::pgoutput::{Decoder, Protocol, Streaming};
use decode::{Begin, Commit, DecodeError, Event, Relation, Release};

use super::{Target, pgoutput_message};
use crate::frames;

/// See the module.
pub static TARGET: Target =
    Target { name: "pgoutput_stream", rounds: 6_000, run, mutate: crate::framed };

/// What there is, in the order of the first byte.
pub const PROTOCOLS: [(u8, Streaming); 8] = [
    (1, Streaming::Off),
    (2, Streaming::Off),
    (2, Streaming::On),
    (3, Streaming::Off),
    (3, Streaming::On),
    (4, Streaming::Off),
    (4, Streaming::On),
    (4, Streaming::Parallel),
];

fn run(data: &[u8]) -> bool {
    let Some((&first, rest)) = data.split_first() else { return false };
    let chosen = PROTOCOLS.get(usize::from(first) % PROTOCOLS.len());
    let Some(&(version, streaming)) = chosen else { return false };
    let Some(protocol) = Protocol::new(version, streaming) else { return false };
    let mut session = Session {
        decoder: Decoder::new(protocol),
        parallel: streaming == Streaming::Parallel,
        kept: HashMap::new(),
        seen: Seen::default(),
    };
    frames::split(rest).iter().all(|message| session.take(message).is_ok())
}

struct Session<'m> {
    decoder: Decoder,
    parallel: bool,
    /// For each transaction its parts and their messages.
    kept: HashMap<u32, Vec<(u32, &'m [u8])>>,
    seen: Seen,
}

impl<'m> Session<'m> {
    fn take(&mut self, message: &'m [u8]) -> Result<(), DecodeError> {
        match self.decoder.decode(message)? {
            Event::Hold(part) => {
                self.kept.entry(part.transaction).or_default().push((part.part, message));
            }
            Event::Abort(part) if part.is_whole() => {
                self.kept.remove(&part.transaction);
            }
            Event::Abort(part) => {
                if let Some(kept) = self.kept.get_mut(&part.transaction) {
                    kept.retain(|(of, _)| *of != part.part);
                }
            }
            Event::Release(release) => self.release(&release)?,
            event => {
                self.seen.step(&event);
                assert!(pgoutput_message::check(message, false, self.parallel));
            }
        }
        Ok(())
    }

    fn release(&mut self, release: &Release) -> Result<(), DecodeError> {
        assert!(self.decoder.in_transaction());
        let begin = self.decoder.begin_release(release)?;
        self.seen.begin(&begin);
        for (_, message) in self.kept.remove(&release.transaction).unwrap_or_default() {
            let event = self.decoder.replay(message)?;
            let held = matches!(event, Event::Hold(_) | Event::Abort(_) | Event::Release(_));
            assert!(!held, "{event:?} of a message that was kept already");
            self.seen.step(&event);
            assert!(pgoutput_message::check(message, true, self.parallel));
        }
        let commit = self.decoder.end_release()?;
        assert_eq!(commit, release.commit);
        self.seen.commit(&commit);
        assert!(!self.decoder.in_transaction());
        Ok(())
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    open: Option<Begin>,
    last: Option<Lsn>,
}

impl Seen {
    fn step(&mut self, event: &Event<'_>) {
        match event {
            Event::Begin(begin) => self.begin(begin),
            Event::Commit(commit) => self.commit(commit),
            Event::Row(op, relation) => {
                assert!(self.open.is_some(), "a row outside of a transaction");
                row(op, relation);
            }
            Event::Truncate(_) => assert!(self.open.is_some()),
            _ => {}
        }
    }

    fn begin(&mut self, begin: &Begin) {
        assert!(self.open.is_none(), "a transaction within another one");
        assert!(
            self.last.is_none_or(|last| last < begin.commit.0),
            "{begin:?} after {:?}",
            self.last
        );
        self.open = Some(*begin);
    }

    fn commit(&mut self, commit: &Commit) {
        let begin = self.open.take();
        assert_eq!(begin.map(|begin| begin.commit), Some(commit.commit));
        assert!(commit.end > commit.commit.0);
        self.last = Some(commit.commit.0);
    }
}

fn row(op: &RowOp<'_>, relation: &Relation) {
    assert_eq!(op.relation, relation.number);
    let fits = |row: &Row<'_>| assert_eq!(row.len(), relation.columns.len(), "{relation:?}");
    match &op.change {
        RowChange::Insert { new } => fits(new),
        RowChange::Update { old, new } => {
            old.row().iter().for_each(fits);
            fits(new);
        }
        RowChange::Delete { old } => {
            assert!(old.row().is_some(), "a delete of nothing");
            old.row().iter().for_each(fits);
        }
    }
}
