//! Time, chance and small containers: what every other floor may stand on.
//!
//! Nothing here reads a clock or asks the operating system for randomness. Time is an argument, chance is
//! seeded from outside, and hash tables take their key from that chance, so that the same seed gives the
//! same bytes on any machine.

mod bucket;
mod hash;
mod lru;
mod rng;
mod size;
mod throttle;
mod time;

pub use bucket::TokenBucket;
pub use hash::{HashSeed, Map, Set};
pub use lru::Lru;
pub use rng::Rng;
pub use size::size;
pub use throttle::{Later, Speed, Throttle};
pub use time::{Instant, backoff};
