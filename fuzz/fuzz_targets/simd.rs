#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fusewire_fuzz_bodies::simd(bytes));
