//! `X-Features`: what a servent says that it can do, in handshakes and in requests for files and their answers.
//!
//! ```text
//! browse/1.0   it gives the list of what it shares        queue/1.0   it knows the queues of PARQ
//! IP/6.0       it uses IPv6 addresses beside others       IP/6.4      it uses no others (IPv6-Ready, section 5.1)
//! ```
//! Others say `fwalt/0.1` too (they take `X-Falt`), `tls/1.0`, `chat/0.1`, `g2/1.0`: none of these is true of us.
//!
//! gtk-gnutella never sees the first of the list (its `header_get_feature` takes the name for what follows it), so what it
//! reads, `queue` and `IP`, stands behind `browse`, which it does not.

use std::net::IpAddr;

use super::head::Headers;

const NAME: &str = "X-Features";

/// What we say of ourselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// We give the list of what we share.
    pub browse: bool,
    /// We know how to queue.
    pub queue: bool,
    /// IPv6 addresses are of use to us beside others.
    pub ipv6: bool,
}

impl Features {
    /// Says so.
    pub fn tell(self, headers: &mut Headers) {
        let Self { browse, queue, ipv6 } = self;
        let all = [(browse, "browse/1.0"), (queue, "queue/1.0"), (ipv6, "IP/6.0")];
        let said: Vec<&str> = all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        if !said.is_empty() {
            headers.push(NAME, said.join(", "));
        }
    }
}

/// Which addresses somebody has use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4: who says nothing and talks to us by IPv4.
    Four,
    /// IPv6 alone.
    Six,
    /// Both.
    Both,
}

impl Family {
    /// As a head says; `None` when it has no word of features, as on all but the first of a connection.
    pub fn told(headers: &Headers, from: IpAddr) -> Option<Self> {
        headers.get(NAME)?;
        let version = headers.items(NAME).find_map(|item| {
            let (name, version) = item.split_once('/')?;
            name.trim().eq_ignore_ascii_case("IP").then(|| version.trim())
        });
        Some(match version.and_then(|version| version.split_once('.')) {
            Some(("6", "4")) => Self::Six,
            Some(("6", _)) => Self::Both,
            _ => Self::of(from),
        })
    }

    /// Of somebody at `from` of whom nothing else is known.
    pub fn of(from: IpAddr) -> Self {
        if from.to_canonical().is_ipv4() { Self::Four } else { Self::Both }
    }

    /// Whether that address is of use.
    pub fn takes(self, ip: IpAddr) -> bool {
        match self {
            Self::Four => ip.to_canonical().is_ipv4(),
            Self::Six => ip.to_canonical().is_ipv6(),
            Self::Both => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_not_so_is_not_said() {
        for (browse, queue, ipv6, said) in [
            (true, true, true, Some("browse/1.0, queue/1.0, IP/6.0")),
            (true, false, true, Some("browse/1.0, IP/6.0")),
            (false, true, false, Some("queue/1.0")),
            (false, false, false, None),
        ] {
            let mut headers = Headers::default();
            Features { browse, queue, ipv6 }.tell(&mut headers);
            assert_eq!(headers.get("X-Features"), said);
        }
    }

    #[test]
    fn what_somebody_has_use_for_is_what_it_says_else_what_it_talks() {
        for (said, from, family) in [
            (Some("browse/1.0, fwalt/0.1, queue/1.1"), "1.2.3.4", Some(Family::Four)),
            (Some("browse/1.0, IP/6.0"), "1.2.3.4", Some(Family::Both)),
            (Some("ip/6.4, queue/1.1"), "2001:db8::1", Some(Family::Six)),
            (Some("queue/0.1"), "2001:db8::1", Some(Family::Both)),
            (Some("queue/0.1"), "::ffff:1.2.3.4", Some(Family::Four)),
            (Some("IP/7.0, IP"), "1.2.3.4", Some(Family::Four)),
            (Some("SKIP/6.0"), "1.2.3.4", Some(Family::Four)),
            (None, "1.2.3.4", None),
        ] {
            let headers = said.map(|said| Headers::default().with("X-Features", said)).unwrap_or_default();
            assert_eq!(Family::told(&headers, ip(from)), family, "{said:?} from {from}");
        }
        let takes = |family: Family| ["1.2.3.4", "2001:db8::1", "::ffff:1.2.3.4"].map(|it| family.takes(ip(it)));
        assert_eq!(takes(Family::Four), [true, false, true]);
        assert_eq!(takes(Family::Six), [false, true, false]);
        assert_eq!(takes(Family::Both), [true; 3]);
    }
}
