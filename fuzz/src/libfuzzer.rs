//! Between our way to change an input and libFuzzer's.

use fastrand::Rng;

use crate::Target;

/// Changes the first `size` bytes of `data`, which has room for `max_size`, and says how many there are now. Half of
/// the time it leaves that to libFuzzer, which knows what comparisons an input has failed.
pub fn mutate(target: &Target, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut rng = Rng::with_seed(u64::from(seed));
    let mut input = data.get(..size).unwrap_or_default().to_vec();
    if input.is_empty() || rng.bool() {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let other = input.clone();
    target.mutate(&mut rng, &mut input, &other);
    input.truncate(max_size.min(data.len()));
    if let Some(start) = data.get_mut(..input.len()) {
        start.copy_from_slice(&input);
    }
    input.len()
}
