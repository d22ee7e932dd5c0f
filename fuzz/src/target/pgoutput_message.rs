//! One message of pgoutput, read as if it came outside and within a block of a streamed transaction, with aborts of
//! either length. What can be read is written back to the same bytes.

use decode::pgoutput::encode::Message;

use super::Target;

/// See the module.
pub static TARGET: Target =
    Target { name: "pgoutput_message", rounds: 200_000, run, mutate: crate::bytes };

fn run(data: &[u8]) -> bool {
    let ways = [(false, false), (false, true), (true, false), (true, true)];
    ways.map(|(in_block, parallel)| check(data, in_block, parallel)).contains(&true)
}

/// Whether it is a message; panics if it is one but not the same when it is written.
pub(super) fn check(data: &[u8], in_block: bool, parallel: bool) -> bool {
    let Ok((xid, message)) = Message::parse(data, in_block, parallel) else { return false };
    assert_eq!(xid.is_some(), in_block && message.is_part());
    let mut written = Vec::new();
    let result = message.write(xid, &mut written);
    assert_eq!(result, Ok(()), "what was read can't be written: {message:?}");
    assert_eq!(written, data, "in a block: {in_block}, parallel: {parallel}: {message:?}");
    true
}
