//! How far a message may still go.
//!
//! "TTL: Time To Live. The number of times the descriptor will be forwarded by Gnutella servents before it
//! is removed from the network. Hops: The number of times the descriptor has been forwarded. As a
//! descriptor is passed from servent to servent, the TTL and Hops fields of the header
//! must satisfy the following condition: TTL(0) = TTL(i) + Hops(i)" (Gnutella 0.6 draft, section 2.2.1).
//!
//! The sum is a stranger's word. We clip it on arrival, so that a TTL of 255 travels no farther than ours.

use crate::wire::Header;

/// The header of a message that just came, its TTL clipped so that TTL + hops is `max_ttl` at most.
///
/// `None` if it should not have come at all: its TTL was used up a link earlier, or would be after clipping.
pub(super) fn arrive(header: Header, max_ttl: u8) -> Option<Header> {
    let ttl = header.ttl.min(max_ttl.saturating_sub(header.hops));
    (ttl > 0).then_some(Header { ttl, ..header })
}

/// The header with which a message that came goes on; `None` if it goes no farther.
pub(super) fn onward(header: Header) -> Option<Header> {
    let ttl = header.ttl.checked_sub(1).filter(|&ttl| ttl > 0)?;
    Some(Header { ttl, hops: header.hops.saturating_add(1), ..header })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Guid, Kind};

    fn header(ttl: u8, hops: u8) -> Header {
        Header { guid: Guid([1; 16]), kind: Kind::Query, ttl, hops }
    }

    #[test]
    fn a_message_goes_as_far_as_ttl_hops_and_the_limit_allow() {
        // (TTL, hops) as it came; TTL after clipping; (TTL, hops) as it goes on. The limit is 7.
        let rows = [
            ((0, 0), None, None),
            ((0, 3), None, None),
            ((1, 0), Some(1), None),
            ((2, 0), Some(2), Some((1, 1))),
            ((4, 0), Some(4), Some((3, 1))),
            ((3, 1), Some(3), Some((2, 2))),
            ((7, 0), Some(7), Some((6, 1))),
            ((8, 0), Some(7), Some((6, 1))),
            ((255, 0), Some(7), Some((6, 1))),
            ((255, 3), Some(4), Some((3, 4))),
            ((255, 6), Some(1), None),
            ((1, 6), Some(1), None),
            ((1, 7), None, None),
            ((255, 7), None, None),
            ((1, 255), None, None),
            ((255, 255), None, None),
        ];
        for ((ttl, hops), clipped, on) in rows {
            let came = arrive(header(ttl, hops), 7);
            assert_eq!(came.map(|h| h.ttl), clipped, "TTL {ttl}, hops {hops}: clipped");
            assert_eq!(came.map(|h| h.hops), clipped.map(|_| hops), "TTL {ttl}, hops {hops}: hops stay");
            assert_eq!(came.and_then(onward).map(|h| (h.ttl, h.hops)), on, "TTL {ttl}, hops {hops}: onward");
        }
    }

    #[test]
    fn the_sum_of_ttl_and_hops_never_grows_on_the_way() {
        for ttl in 0..=255 {
            for hops in 0..=255 {
                let Some(came) = arrive(header(ttl, hops), 7) else { continue };
                assert!(came.ttl + came.hops <= 7);
                let Some(on) = onward(came) else { continue };
                assert_eq!(on.ttl + on.hops, came.ttl + came.hops);
            }
        }
    }
}
