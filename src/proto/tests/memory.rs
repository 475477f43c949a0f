//! A hundred thousand servents share one process: what one costs is pinned here.

use crate::base::{Instant, Rng};
use crate::proto::{Config, Servent};
use crate::wire::Guid;

#[test]
fn a_servent_is_small() {
    let size = size_of::<Servent>();
    assert!(size <= 2304, "a servent takes {size} bytes before it holds anything");
    let link = size_of::<crate::proto::link::Link>();
    assert!(link <= 544, "a link takes {link} bytes before anything waits on it");
}

#[test]
fn a_hundred_thousand_idle_servents_live_in_one_process() {
    let mut rng = Rng::from_number(1);
    let servents: Vec<_> =
        (0..100_000).map(|_| Servent::new(Config::new(Guid::random(&mut rng)), rng.fork(), Instant::ZERO)).collect();
    assert!(servents.iter().all(|servent| servent.next_timeout().is_none()));
}
