//! Our own address as peers see it, and when we believe them.
//!
//! A change of it is a new question for all that rests on it (`reach`, push proxies, what hits say), so that nobody may
//! cause one alone: who told the address that holds may take it back, else two voices have to agree. All of one public /24
//! (or /48) are one voice. The first word is taken as it comes; there is nothing to lose then.

use std::net::IpAddr;

use super::address::{is_public, narrow_net};

/// What is known of the address of one family.
#[derive(Debug, Default)]
pub(super) struct Sight {
    held: Option<Box<Claim>>,
    /// What one other voice said since.
    rival: Option<Box<Claim>>,
}

#[derive(Debug)]
struct Claim {
    us: IpAddr,
    by: IpAddr,
}

impl Sight {
    /// The address that holds.
    pub(super) fn us(&self) -> Option<IpAddr> {
        self.held.as_ref().map(|held| held.us)
    }

    /// Who dialled us says so: better than nothing.
    pub(super) fn first(&mut self, us: IpAddr, by: IpAddr) {
        self.held.get_or_insert_with(|| Box::new(Claim { us, by }));
    }

    /// Whom we dialled says so.
    pub(super) fn told(&mut self, us: IpAddr, by: IpAddr) {
        let believed = self.held.as_ref().is_none_or(|held| {
            let backed = self.rival.as_ref().is_some_and(|rival| rival.us == us && !is_one_voice(rival.by, by));
            held.us == us || is_one_voice(held.by, by) || backed
        });
        let claim = Some(Box::new(Claim { us, by }));
        if believed {
            (self.held, self.rival) = (claim, None);
        } else {
            self.rival = claim;
        }
    }
}

fn is_one_voice(a: IpAddr, b: IpAddr) -> bool {
    a == b || (is_public(a) && is_public(b) && narrow_net(a) == narrow_net(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_voice_cannot_take_our_address_away_and_two_can() {
        let rows: [(&[(&str, &str)], &str); 6] = [
            (&[("7.7.7.7", "1.1.1.1")], "7.7.7.7"),
            (&[("7.7.7.7", "1.1.1.1"), ("6.6.6.6", "2.2.2.2")], "7.7.7.7"),
            (&[("7.7.7.7", "1.1.1.1"), ("6.6.6.6", "2.2.2.2"), ("6.6.6.6", "2.2.2.99")], "7.7.7.7"),
            (&[("7.7.7.7", "1.1.1.1"), ("6.6.6.6", "2.2.2.2"), ("6.6.6.6", "3.3.3.3")], "6.6.6.6"),
            (&[("7.7.7.7", "1.1.1.1"), ("6.6.6.6", "1.1.1.1")], "6.6.6.6"),
            (
                &[("7.7.7.7", "1.1.1.1"), ("6.6.6.6", "2.2.2.2"), ("7.7.7.7", "4.4.4.4"), ("6.6.6.6", "3.3.3.3")],
                "7.7.7.7",
            ),
        ];
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        for (told, us) in rows {
            let mut sight = Sight::default();
            told.iter().for_each(|(us, by)| sight.told(ip(us), ip(by)));
            assert_eq!(sight.us(), Some(ip(us)), "{told:?}");
            sight.first(ip("5.5.5.5"), ip("9.9.9.9"));
            assert_eq!(sight.us(), Some(ip(us)), "who dials us changes nothing");
        }
    }
}
