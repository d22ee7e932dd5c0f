//! Whole sessions, compared with a model of the server; and the same with something broken.

use decode::pgoutput::{Protocol, Streaming};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::receiver::{Receiver, Said};
use crate::server::{Change, Inner, Kind, SLOTS, Step, TABLES, session};

fn change() -> impl Strategy<Value = Change> {
    let kinds = [Kind::Insert, Kind::Update, Kind::UpdateKey, Kind::UpdateFull, Kind::Delete];
    let row = (0..TABLES, prop::sample::select(kinds.to_vec()), any::<u8>());
    prop_oneof![
        8 => row.prop_map(|(table, kind, value)| Change::Row(table, kind, value)),
        1 => (0..TABLES).prop_map(Change::Truncate),
        1 => any::<u8>().prop_map(Change::Message),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let slot = || 0..SLOTS;
    let inner = prop_oneof![
        4 => change().prop_map(Inner::Change),
        2 => Just(Inner::Savepoint),
        1 => Just(Inner::ReleaseSavepoint),
    ];
    prop_oneof![
        3 => vec(change(), 0..4).prop_map(Step::Plain),
        2 => (0..TABLES).prop_map(Step::Alter),
        6 => (slot(), vec(inner, 0..6)).prop_map(|(slot, inner)| Step::Block(slot, inner)),
        2 => slot().prop_map(Step::RollBackTo),
        3 => (slot(), prop::bool::weighted(0.8)).prop_map(|(slot, commit)| Step::End(slot, commit)),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    let version = |server| Protocol::negotiate(server, true);
    prop::sample::select(vec![version(140_000), version(150_000), version(160_000)])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..40)
}

/// Hands all messages in until one is refused; what is said of them does not matter.
fn must_not_panic(protocol: Protocol, messages: impl Iterator<Item = Vec<u8>>) {
    let mut receiver = Receiver::new(protocol);
    for message in messages {
        if let Err(error) = receiver.take(&message) {
            assert!(!error.to_string().is_empty());
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_session_says_what_the_server_meant(steps in steps(), protocol in protocol()) {
        let mut receiver = Receiver::new(protocol);
        for (message, expected) in session(&steps, protocol) {
            prop_assert_eq!(receiver.take(&message).unwrap(), expected);
        }
    }

    #[test]
    fn without_streaming_the_rest_is_the_same(plain in vec(vec(change(), 0..4), 1..20), version in 1..=4u8) {
        let protocol = Protocol::new(version, Streaming::Off).unwrap();
        let steps: Vec<_> = plain.into_iter().map(Step::Plain).collect();
        let mut receiver = Receiver::new(protocol);
        for (message, expected) in session(&steps, protocol) {
            prop_assert_eq!(receiver.take(&message).unwrap(), expected);
        }
    }

    #[test]
    fn a_broken_byte_never_panics(
        steps in steps(),
        protocol in protocol(),
        line in any::<Index>(),
        at in any::<Index>(),
        byte in any::<u8>(),
    ) {
        let mut messages: Vec<_> = session(&steps, protocol).into_iter().map(|line| line.0).collect();
        if !messages.is_empty() {
            let line = line.index(messages.len());
            let message = &mut messages[line];
            let at = at.index(message.len());
            message[at] = byte;
        }
        must_not_panic(protocol, messages.into_iter());
    }

    #[test]
    fn what_is_cut_lost_or_doubled_never_panics(
        steps in steps(),
        protocol in protocol(),
        line in any::<Index>(),
        at in any::<Index>(),
        sort in 0..3u8,
    ) {
        let mut messages: Vec<_> = session(&steps, protocol).into_iter().map(|line| line.0).collect();
        if !messages.is_empty() {
            let line = line.index(messages.len());
            match sort {
                0 => {
                    let at = at.index(messages[line].len());
                    messages[line].truncate(at);
                }
                1 => drop(messages.remove(line)),
                _ => messages.insert(line, messages[line].clone()),
            }
        }
        must_not_panic(protocol, messages.into_iter());
    }
}

/// The model is worth something only if it comes by what makes streaming hard.
#[test]
fn the_model_can_say_what_is_hard() {
    let protocol = Protocol::negotiate(160_000, true);
    let plain = |value| Change::Row(0, Kind::Insert, value);
    let insert = |value| Inner::Change(plain(value));
    let steps = [
        Step::Block(0, vec![insert(1), Inner::Savepoint, insert(2)]),
        Step::Alter(0),
        Step::Plain(vec![plain(3)]),
        Step::Block(0, vec![insert(4)]),
        Step::RollBackTo(0),
        Step::Block(1, vec![insert(5)]),
        Step::End(0, true),
        Step::Plain(vec![plain(6)]),
        Step::End(1, false),
    ];
    let mut receiver = Receiver::new(protocol);
    let mut rows = Vec::new();
    for (message, expected) in session(&steps, protocol) {
        let said = receiver.take(&message).unwrap();
        assert_eq!(said, expected);
        rows.extend(said.into_iter().filter_map(|said| match said {
            Said::Row(row) => Some(row),
            _ => None,
        }));
    }
    let expected = [
        r#"public.t0v1(c0v1,c1v1)  -> ["3", "3"]"#,
        r#"public.t0v0(c0v0)  -> ["1"]"#,
        r#"public.t0v1(c0v1,c1v1)  -> ["6", "6"]"#,
    ];
    assert_eq!(rows, expected);
}
