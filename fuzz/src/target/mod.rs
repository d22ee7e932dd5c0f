//! The kinds of input, each with what must hold for it.

pub mod bulk_response;
pub mod copy_row;
pub mod pgoutput_message;
pub mod pgoutput_stream;
pub mod spool_file;
pub mod test_decoding_line;
pub mod text_value;

use fastrand::Rng;

/// One kind of input.
#[derive(Debug)]
pub struct Target {
    /// The name of its module, its binary and its directory of seeds.
    pub name: &'static str,
    /// Mutations that the bounded test makes unless it is told otherwise, so many that it takes a few seconds.
    pub rounds: u32,
    run: fn(&[u8]) -> bool,
    mutate: fn(&mut Rng, &mut Vec<u8>, &[u8]),
}

impl Target {
    /// Panics when `data` breaks a property. True if all of it was understood, as all is that a real server sends.
    pub fn run(&self, data: &[u8]) -> bool {
        (self.run)(data)
    }

    /// Changes `data` at random in a way that leaves it worth reading; `other` is another input to take pieces from.
    pub fn mutate(&self, rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
        (self.mutate)(rng, data, other);
    }
}

/// All of them.
pub static TARGETS: [&Target; 7] = [
    &pgoutput_message::TARGET,
    &pgoutput_stream::TARGET,
    &test_decoding_line::TARGET,
    &text_value::TARGET,
    &copy_row::TARGET,
    &bulk_response::TARGET,
    &spool_file::TARGET,
];
