//! See [`fuzz::target::test_decoding_line`].
#![no_main]
#![allow(unsafe_code, reason = "the macro defines the functions that libFuzzer calls")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::target::test_decoding_line::TARGET.run(data);
});
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::libfuzzer::mutate(&fuzz::target::test_decoding_line::TARGET, data, size, max_size, seed)
});
