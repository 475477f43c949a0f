//! Random bytes through what the fuzzers call: short runs without a fuzzer, on every change.

mod fuzz_entries;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_story_of_a_servent_keeps_what_it_promises(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_entries::servent::servent(&bytes);
    }
}
