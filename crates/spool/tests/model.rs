//! A spool gives what a plain list of messages gives, whatever the bound and the order of calls.

use std::collections::HashMap;

use proptest::prelude::*;
use spool::{Released, Spool, Stats};

use crate::support::{Temp, drain, release};

#[derive(Debug, Clone)]
enum Step {
    Hold { transaction: u32, part: u32, length: usize },
    Abort { transaction: u32, part: u32 },
    Release { transaction: u32 },
    Clear,
}

/// Close to where the counter wraps, so that parts are both above and below their transaction.
fn transaction() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![u32::MAX - 2, u32::MAX - 1, 7])
}

fn part(transaction: u32) -> impl Strategy<Value = u32> {
    (0..6u32).prop_map(move |age| transaction.wrapping_add(age))
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![8 => 0..40usize, 1 => 100..3000usize];
    prop_oneof![
        40 => transaction()
            .prop_flat_map(|it| (Just(it), part(it)))
            .prop_flat_map(move |(transaction, part)| length.clone().prop_map(move |length| {
                Step::Hold { transaction, part, length }
            })),
        8 => transaction()
            .prop_flat_map(|it| (Just(it), part(it)))
            .prop_map(|(transaction, part)| Step::Abort { transaction, part }),
        2 => transaction().prop_map(|transaction| Step::Release { transaction }),
        1 => Just(Step::Clear),
    ]
}

type Model = HashMap<u32, Vec<(u32, Vec<u8>)>>;

fn messages(model: &mut Model, transaction: u32) -> Vec<Vec<u8>> {
    let held = model.remove(&transaction).unwrap_or_default();
    held.into_iter().map(|(_, message)| message).collect()
}

fn take(
    spool: &mut Spool,
    model: &mut Model,
    transaction: u32,
    open: &mut Vec<(Released, Vec<Vec<u8>>)>,
) {
    let expected = messages(model, transaction);
    match spool.release(transaction).unwrap() {
        Some(released) => open.push((released, expected)),
        None => assert_eq!(expected, Vec::<Vec<u8>>::new()),
    }
}

fn run(memory: usize, steps: &[Step]) {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), memory).unwrap();
    let mut model = Model::new();
    let mut open = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Hold { transaction, part, length } => {
                let message: Vec<u8> =
                    (0u8..=255).cycle().skip(number % 256).take(length).collect();
                spool.hold(transaction, part, &message).unwrap();
                model.entry(transaction).or_default().push((part, message));
            }
            Step::Abort { transaction, part } => {
                spool.abort(transaction, part);
                if let Some(held) = model.get_mut(&transaction) {
                    held.retain(|it| part != transaction && it.0 != part);
                }
            }
            Step::Release { transaction } => {
                take(&mut spool, &mut model, transaction, &mut open);
            }
            Step::Clear => {
                spool.clear();
                model.clear();
                assert_eq!(spool.stats(), Stats::default());
            }
        }
        assert!(spool.stats().memory_bytes <= memory);
    }
    let rest: Vec<u32> = model.keys().copied().collect();
    for transaction in rest {
        take(&mut spool, &mut model, transaction, &mut open);
    }
    assert_eq!(spool.stats(), Stats::default());
    for (mut released, expected) in open {
        let (found, end) = drain(&mut released);
        end.unwrap();
        assert_eq!(found, expected);
        assert_eq!(released.next().unwrap(), None);
    }
    assert!(temp.files().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn it_gives_what_a_list_gives(
        memory in prop::sample::select(vec![0usize, 30, 100, 500, 1 << 20]),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        run(memory, &steps);
    }
}

#[test]
fn an_aborted_part_that_goes_on_keeps_only_what_is_new() {
    for memory in [0, 1 << 20] {
        let temp = Temp::new();
        let mut spool = Spool::open(temp.path(), memory).unwrap();
        spool.hold(10, 11, b"gone").unwrap();
        spool.hold(10, 10, b"stays").unwrap();
        spool.hold(10, 12, b"gone too, and further ahead than what comes").unwrap();
        spool.abort(10, 11);
        spool.abort(10, 12);
        spool.hold(10, 11, b"new").unwrap();
        assert_eq!(release(&mut spool, 10), [&b"stays"[..], b"new"]);
    }
}

#[test]
fn nothing_is_left_of_a_transaction_that_was_rolled_back_piece_by_piece() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 1000).unwrap();
    spool.hold(10, 11, b"a").unwrap();
    spool.abort(10, 11);
    assert_eq!(spool.stats(), Stats::default());
    assert!(spool.release(10).unwrap().is_none());
    spool.abort(10, 10);
    spool.abort(99, 100);
}
