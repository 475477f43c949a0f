//! Who of those that fetch a file together asks for which blocks first.
//!
//! What the others ask for at this moment nobody knows, only what they had or were given a moment ago. So each block has
//! an order in which they are to ask for it, and each works it out alone: by a hash of the block's number and of the address,
//! highest first ("rendezvous hashing": Thaler, Ravishankar, Using Name-Based Mappings to Increase Hit Rates, 1998). Who
//! does not know all of the others errs in their blocks only.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

/// The order of us among others.
pub(super) struct Order {
    us: u64,
    others: Vec<u64>,
}

impl Order {
    pub(super) fn new(us: SocketAddr, others: impl Iterator<Item = SocketAddr>) -> Self {
        Self { us: mark(us), others: others.filter(|other| *other != us).map(mark).collect() }
    }

    /// How many of the others are to ask for that block before us.
    pub(super) fn before_us(&self, block: usize) -> usize {
        let ours = weight(self.us, block);
        self.others.iter().filter(|other| weight(**other, block) > ours).count()
    }
}

/// The same for all filberts: it has no key. Who picks an address that comes first everywhere is merely asked for by others
/// later than it could have been.
fn mark(addr: SocketAddr) -> u64 {
    let mut hasher = SipHasher13::new();
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.write(&addr.port().to_be_bytes());
    hasher.finish()
}

/// The finalizer of SplitMix64: a large file has thousands of blocks, and there may be dozens of others.
fn weight(mark: u64, block: usize) -> u64 {
    let mixed = mark ^ (block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 6346).into()
    }

    #[test]
    fn each_block_has_one_first_one_second_and_so_on_and_all_get_as_many() {
        let orders: Vec<Order> = (1..=5).map(|n| Order::new(addr(n), (1..=5).map(addr))).collect();
        let mut first = [0; 5];
        for block in 0..10_000 {
            let mut places: Vec<_> = orders.iter().map(|order| order.before_us(block)).collect();
            first[places.iter().position(|place| *place == 0).expect("one is first")] += 1;
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2, 3, 4], "{block}");
        }
        assert!(first.iter().all(|count| (1800..2200).contains(count)), "{first:?}");
    }

    #[test]
    fn who_knows_fewer_others_is_still_first_where_it_was() {
        let (all, some) = (Order::new(addr(1), (2..=9).map(addr)), Order::new(addr(1), (2..=5).map(addr)));
        let first = |order: &Order| (0..1000).filter(|block| order.before_us(*block) == 0).collect::<Vec<_>>();
        let (of_all, of_some) = (first(&all), first(&some));
        assert!(of_all.iter().all(|block| of_some.contains(block)) && of_all.len() < of_some.len());
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:6346".parse().expect("an address");
        assert_eq!(mark(mapped), mark(addr(1)));
        assert_ne!(mark(addr(1)), mark(([10, 0, 0, 1], 6347).into()));
    }
}
