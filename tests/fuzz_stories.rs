//! Random bytes through what the fuzzers call: short runs without a fuzzer, on every change.

mod fuzz_entries;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_through_any_target(bytes in prop::collection::vec(any::<u8>(), 0..1000)) {
        for (_, run) in fuzz_entries::TARGETS {
            run(&bytes);
        }
    }
}
