#![no_main]

#[path = "../../tests/fuzz_entries/mod.rs"]
#[allow(dead_code)]
mod fuzz_entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_entries::disposition::disposition(data));
