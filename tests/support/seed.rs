//! Chance that can be had again.

/// A generator that names its seed when the test fails.
pub struct Seed {
    value: u64,
    pub rng: fastrand::Rng,
}

impl Seed {
    pub fn new() -> Self {
        let value = super::number("WAL2ES_TEST_SEED", fastrand::u64(..));
        Seed { value, rng: fastrand::Rng::with_seed(value) }
    }

    /// Another generator, for another thread.
    pub fn fork(&mut self) -> fastrand::Rng {
        self.rng.fork()
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to have the same again: WAL2ES_TEST_SEED={}", self.value);
        }
    }
}
