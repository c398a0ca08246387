#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| redstart_fuzz::round_trip(input));
