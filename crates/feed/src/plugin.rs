//! The output plugins of the server, behind one face.

use change::Lsn;
use decode::pgoutput::{self, Protocol};
use decode::{Begin, Commit, DecodeError, Event, Release, test_decoding};

/// Who writes the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// The server's own, made for logical replication.
    PgOutput,
    /// The text plugin of the contrib modules.
    TestDecoding,
}

impl Plugin {
    /// By the name that `pg_replication_slots` has.
    pub fn named(name: &str) -> Option<Plugin> {
        [Plugin::PgOutput, Plugin::TestDecoding].into_iter().find(|plugin| plugin.name() == name)
    }

    /// The name that `pg_replication_slots` has.
    pub fn name(self) -> &'static str {
        match self {
            Plugin::PgOutput => "pgoutput",
            Plugin::TestDecoding => "test_decoding",
        }
    }
}

/// The decoder of one session.
pub(crate) enum Decoder {
    PgOutput(pgoutput::Decoder),
    TestDecoding(test_decoding::Decoder),
}

impl Decoder {
    pub(crate) fn pgoutput(protocol: Protocol) -> Self {
        Decoder::PgOutput(pgoutput::Decoder::new(protocol))
    }

    pub(crate) fn test_decoding() -> Self {
        Decoder::TestDecoding(test_decoding::Decoder::new())
    }

    #[inline]
    pub(crate) fn decode<'s>(
        &'s mut self,
        lsn: Lsn,
        message: &'s [u8],
    ) -> Result<Event<'s>, DecodeError> {
        match self {
            Decoder::PgOutput(decoder) => decoder.decode(message),
            Decoder::TestDecoding(decoder) => decoder.decode(lsn, message),
        }
    }

    pub(crate) fn begin_release(&mut self, release: &Release) -> Result<Begin, DecodeError> {
        match self {
            Decoder::PgOutput(decoder) => decoder.begin_release(release),
            Decoder::TestDecoding(decoder) => decoder.begin_release(release),
        }
    }

    #[inline]
    pub(crate) fn replay<'s>(&'s mut self, message: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        match self {
            Decoder::PgOutput(decoder) => decoder.replay(message),
            Decoder::TestDecoding(decoder) => decoder.replay(message),
        }
    }

    pub(crate) fn end_release(&mut self) -> Result<Commit, DecodeError> {
        match self {
            Decoder::PgOutput(decoder) => decoder.end_release(),
            Decoder::TestDecoding(decoder) => decoder.end_release(),
        }
    }
}
