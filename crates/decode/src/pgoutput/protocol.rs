//! Which version of the protocol is spoken, and whether transactions are sent while they still run.

/// Whether the server may send a transaction before it knows that it commits:
/// [`streaming`](https://www.postgresql.org/docs/current/protocol-logical-replication.html#PROTOCOL-LOGICAL-REPLICATION-PARAMS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// Each transaction comes whole, once it is committed.
    Off,
    /// Large transactions come in blocks while they run; from version 2.
    On,
    /// As [`Streaming::On`], and an abort tells where and when; from version 4.
    Parallel,
}

/// What was agreed with the server for one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    version: u8,
    streaming: Streaming,
}

impl Protocol {
    /// `version`, 1 to 4, with `streaming`; `None` where the version does not have it.
    pub const fn new(version: u8, streaming: Streaming) -> Option<Self> {
        let since = match streaming {
            Streaming::Off => 1,
            Streaming::On => 2,
            Streaming::Parallel => 4,
        };
        if version >= since && version <= 4 { Some(Protocol { version, streaming }) } else { None }
    }

    /// The most that a server can do: version 2 from 14, 3 from 15, 4 from 16, and 1 without streaming before.
    ///
    /// `server_version_num` is the server's
    /// [setting of that name](https://www.postgresql.org/docs/current/runtime-config-preset.html), such as 160004.
    pub fn negotiate(server_version_num: u32, streaming: bool) -> Self {
        let version = match server_version_num / 10_000 {
            0..14 => 1,
            14 => 2,
            15 => 3,
            16.. => 4,
        };
        let streaming = match version {
            2 | 3 if streaming => Streaming::On,
            4 if streaming => Streaming::Parallel,
            _ => Streaming::Off,
        };
        Protocol { version, streaming }
    }

    /// 1 to 4.
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Whether transactions are sent while they run.
    pub const fn streaming(&self) -> Streaming {
        self.streaming
    }

    /// The [options](https://www.postgresql.org/docs/current/protocol-logical-replication.html#PROTOCOL-LOGICAL-REPLICATION-PARAMS)
    /// of START_REPLICATION that ask for it, with their values, unquoted.
    pub fn options(&self) -> Vec<(&'static str, &'static str)> {
        let version = match self.version {
            2 => "2",
            3 => "3",
            4 => "4",
            _ => "1",
        };
        let mut options = vec![("proto_version", version)];
        match self.streaming {
            Streaming::Off => {}
            Streaming::On => options.push(("streaming", "on")),
            Streaming::Parallel => options.push(("streaming", "parallel")),
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_what_the_server_has() {
        let table = [
            (130_022, true, 1, Streaming::Off),
            (140_000, false, 2, Streaming::Off),
            (140_000, true, 2, Streaming::On),
            (150_018, true, 3, Streaming::On),
            (160_000, true, 4, Streaming::Parallel),
            (180_001, false, 4, Streaming::Off),
            (190_000, true, 4, Streaming::Parallel),
        ];
        for (server, streaming, version, expected) in table {
            let protocol = Protocol::negotiate(server, streaming);
            assert_eq!(Some(protocol), Protocol::new(version, expected), "{server}");
            assert_eq!((protocol.version(), protocol.streaming()), (version, expected));
        }
    }

    #[test]
    fn options_are_those_of_the_manual() {
        let options = |version, streaming| Protocol::new(version, streaming).unwrap().options();
        assert_eq!(options(1, Streaming::Off), [("proto_version", "1")]);
        assert_eq!(options(2, Streaming::On), [("proto_version", "2"), ("streaming", "on")]);
        assert_eq!(options(3, Streaming::Off), [("proto_version", "3")]);
        let parallel = [("proto_version", "4"), ("streaming", "parallel")];
        assert_eq!(options(4, Streaming::Parallel), parallel);
    }

    #[test]
    fn a_version_has_only_what_it_has() {
        assert_eq!(Protocol::new(1, Streaming::On), None);
        assert_eq!(Protocol::new(3, Streaming::Parallel), None);
        assert_eq!(Protocol::new(0, Streaming::Off), None);
        assert_eq!(Protocol::new(5, Streaming::Off), None);
    }
}
