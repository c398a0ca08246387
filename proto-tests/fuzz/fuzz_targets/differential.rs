#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    redstart_fuzz::differential(input);
});
