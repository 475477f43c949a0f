//! Who else has a file: what requests and answers say (`X-Alt`, `X-Nalt`), and what our own downloads found.
//!
//! It is passed on to whoever asks for the file, and to our own download of it. Nobody names an address that reaches less
//! far than himself, or is told one (`proto::may_name`). An address that a download of ours could not connect to is told
//! as gone, and forgotten; one that others call gone is forgotten when two say so, or who named it. Nobody is told an address
//! of a family of which he has no use: what he says of that (`wire::features`) counts until his connection ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::events::lock;
use crate::base::{HashSeed, Instant, Lru, Rng};
use crate::proto::{is_dialable, is_strangers_port, may_name};
use crate::wire::addr::is_public;
use crate::wire::features::Family;
use crate::wire::head::Headers;
use crate::wire::{Sha1, alt};

/// Contents of which others are remembered; the one that was asked for longest ago is forgotten.
const CONTENTS: usize = 1024;
/// Addresses remembered for one content; the oldest is forgotten.
const EACH: usize = 16;
/// An address that nobody named again for so long is forgotten.
const AGE: Duration = Duration::from_secs(3600);
/// Hosts of which is remembered what addresses they use; the one that was met longest ago is forgotten.
const MET: usize = 1024;
/// Addresses told at a time; those that are gone.
pub const TOLD: usize = 10;
const TOLD_GONE: usize = 5;

/// A bounded table of alternate locations.
pub struct Alternates {
    began: std::time::Instant,
    table: Mutex<Lru<Sha1, Known>>,
    met: Mutex<Lru<SocketAddr, Family>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The one that was named last comes last.
    has: Vec<Has>,
    gone: Vec<(SocketAddr, Instant)>,
}

#[derive(Debug)]
struct Has {
    addr: SocketAddr,
    at: Instant,
    /// Who named it; `None` when we fetched from it ourselves.
    by: Option<IpAddr>,
    /// Somebody who says that it is gone.
    doubted: Option<IpAddr>,
}

impl Alternates {
    /// An empty one.
    pub fn new(mut rng: Rng) -> Self {
        let table = Mutex::new(Lru::new(CONTENTS, HashSeed::new(&mut rng)));
        let met = Mutex::new(Lru::new(MET, HashSeed::new(&mut rng)));
        Self { began: std::time::Instant::now(), table, met }
    }

    /// A head of somebody there: it may say of what addresses he has use.
    pub fn meet(&self, who: SocketAddr, headers: &Headers) {
        if let Some(family) = Family::told(headers, who.ip()) {
            lock(&self.met).put(who, family);
        }
    }

    /// Of what addresses somebody there has use.
    pub fn family(&self, who: SocketAddr) -> Family {
        lock(&self.met).get(&who).copied().unwrap_or_else(|| Family::of(who.ip()))
    }

    /// His connection has ended.
    pub fn part(&self, who: SocketAddr) {
        lock(&self.met).remove(&who);
    }

    /// Reads what the head of somebody at `from` says. Returns those who have the file, as far as he may name them.
    pub fn hear(&self, content: &Sha1, headers: &Headers, from: IpAddr) -> Vec<SocketAddr> {
        let (has, gone) = (alt::read(headers), alt::read_gone(headers));
        if has.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let (has, now) = (has.into_iter().filter(|addr| may_be(from, *addr)).collect::<Vec<_>>(), self.now());
        let mut table = self.table();
        let known = table.get_or_put(*content, Known::default);
        gone.into_iter().for_each(|addr| known.doubt(addr, from));
        has.iter().for_each(|addr| known.add(*addr, Some(from), now));
        has
    }

    /// We fetched from there.
    pub fn good(&self, content: &Sha1, addr: SocketAddr) {
        let now = self.now();
        self.table().get_or_put(*content, Known::default).add(addr, None, now);
    }

    /// We could not connect to it.
    pub fn failed(&self, content: &Sha1, addr: SocketAddr) {
        let now = self.now();
        if let Some(known) = self.table().get(content) {
            known.has.retain(|has| has.addr != addr);
            known.gone.retain(|(gone, _)| *gone != addr);
            known.gone.push((addr, now));
            if known.gone.len() > TOLD_GONE {
                known.gone.remove(0);
            }
        }
    }

    /// Those who have it and are `of_use`, for somebody at `to`: at most `most`, those first that were named last.
    pub fn others(
        &self,
        content: &Sha1,
        to: IpAddr,
        most: usize,
        of_use: impl Fn(SocketAddr) -> bool,
    ) -> Vec<SocketAddr> {
        let now = self.now();
        let mut table = self.table();
        let Some(known) = table.get(content) else { return Vec::new() };
        known.has.retain(|has| now.since(has.at) < AGE);
        let tell = known.has.iter().rev().map(|has| has.addr).filter(|addr| may_name(to, addr.ip()));
        tell.filter(|addr| of_use(*addr)).take(most).collect()
    }

    /// Tells somebody at `to` who has it and who has not, behind `first` (ourselves). He himself is left out.
    pub fn tell(&self, content: &Sha1, to: SocketAddr, first: Option<SocketAddr>, headers: &mut Headers) {
        let family = self.family(to);
        let takes = |addr: SocketAddr| family.takes(addr.ip());
        let mut has: Vec<SocketAddr> = first.into_iter().filter(|us| takes(*us)).collect();
        let of_use = |addr| takes(addr) && addr != to && Some(addr) != first;
        has.extend(self.others(content, to.ip(), TOLD - has.len(), of_use));
        let now = self.now();
        let mut table = self.table();
        let gone = table.get(content).map_or(&[][..], |known| {
            known.gone.retain(|(_, at)| now.since(*at) < AGE);
            &known.gone
        });
        let gone = gone.iter().map(|(addr, _)| *addr).filter(|addr| may_name(to.ip(), addr.ip()) && takes(*addr));
        alt::write(headers, &has, &gone.collect::<Vec<_>>());
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    fn table(&self) -> MutexGuard<'_, Lru<Sha1, Known>> {
        lock(&self.table)
    }
}

impl Known {
    fn add(&mut self, addr: SocketAddr, by: Option<IpAddr>, now: Instant) {
        let before = self.has.iter().position(|has| has.addr == addr).map(|at| self.has.remove(at));
        // What we found out ourselves is not changed by what others say.
        let by = by.filter(|_| before.as_ref().is_none_or(|has| has.by.is_some()));
        let ours = by.is_none();
        if !ours && self.gone.iter().any(|(gone, _)| *gone == addr) {
            return;
        }
        self.gone.retain(|(gone, _)| *gone != addr);
        let doubted = before.and_then(|has| has.doubted).filter(|_| !ours);
        self.has.push(Has { addr, at: now, by, doubted });
        if self.has.len() > EACH {
            self.has.remove(0);
        }
    }

    fn doubt(&mut self, addr: SocketAddr, by: IpAddr) {
        self.has.retain_mut(|has| {
            if has.addr != addr || has.by.is_none() {
                return true;
            }
            let sure = has.by == Some(by) || has.doubted.is_some_and(|other| other != by);
            has.doubted = Some(by);
            !sure
        });
    }
}

/// Whether somebody at `from` may name it.
fn may_be(from: IpAddr, addr: SocketAddr) -> bool {
    let port = !is_public(addr.ip()) || is_strangers_port(addr.port());
    port && is_dialable(addr) && may_name(from, addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Sha1 = Sha1([1; 20]);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn hear(table: &Alternates, name: &str, value: &str, from: &str) {
        table.hear(&FILE, &Headers::default().with(name, value), ip(from));
    }

    fn told(table: &Alternates, to: &str) -> String {
        table.others(&FILE, ip(to), TOLD, |_| true).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn table() -> Alternates {
        Alternates::new(Rng::from_number(1))
    }

    #[test]
    fn nobody_names_or_is_told_what_reaches_less_far() {
        let table = table();
        hear(&table, "X-Alt", "10.0.0.1:5000, 127.0.0.1:5000, 9.9.9.9:5000, 9.9.9.8:25, 0.0.0.0:1", "8.8.8.8");
        assert_eq!(told(&table, "8.8.4.4"), "9.9.9.9:5000");
        hear(&table, "X-Alt", "10.0.0.1:5000, 127.0.0.1:5000", "10.0.0.9");
        assert_eq!(told(&table, "10.0.0.7"), "10.0.0.1:5000 9.9.9.9:5000");
        assert_eq!(told(&table, "8.8.4.4"), "9.9.9.9:5000");
    }

    #[test]
    fn what_is_gone_is_forgotten_when_two_say_so_or_we_found_out() {
        let table = table();
        hear(&table, "X-Alt", "10.0.0.1:5000, 10.0.0.2:5000", "10.0.0.9");
        hear(&table, "X-Nalt", "10.0.0.1:5000", "10.0.0.8");
        assert_eq!(told(&table, "10.0.0.7"), "10.0.0.2:5000 10.0.0.1:5000", "one may lie");
        hear(&table, "X-Nalt", "10.0.0.1:5000", "10.0.0.6");
        assert_eq!(told(&table, "10.0.0.7"), "10.0.0.2:5000");
        table.failed(&FILE, "10.0.0.2:5000".parse().expect("an address"));
        assert_eq!(told(&table, "10.0.0.7"), "");
        hear(&table, "X-Alt", "10.0.0.2:5000", "10.0.0.9");
        assert_eq!(told(&table, "10.0.0.7"), "", "we know better");
        let mut headers = Headers::default();
        table.tell(&FILE, "10.0.0.7:1".parse().expect("an address"), None, &mut headers);
        assert_eq!(headers, Headers::default().with("X-Nalt", "10.0.0.2:5000"));
        table.good(&FILE, "10.0.0.2:5000".parse().expect("an address"));
        hear(&table, "X-Nalt", "10.0.0.2:5000", "10.0.0.6");
        hear(&table, "X-Nalt", "10.0.0.2:5000", "10.0.0.5");
        assert_eq!(told(&table, "10.0.0.7"), "10.0.0.2:5000", "what we fetched from is there");
    }

    #[test]
    fn nobody_is_told_an_address_of_which_he_has_no_use() {
        let table = table();
        hear(&table, "X-Alt", "9.9.9.9:5000, [2001:db8::9]:5000, 9.9.9.8:5000, [2001:db8::8]:5000", "8.8.8.8");
        let addr = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        table.failed(&FILE, addr("9.9.9.8:5000"));
        table.failed(&FILE, addr("[2001:db8::8]:5000"));
        let (four, six) = (addr("8.8.4.4:1"), addr("[2001:db8::1]:1"));
        let told = |to, us: &str| {
            let mut headers = Headers::default();
            table.tell(&FILE, to, us.parse().ok(), &mut headers);
            ["X-Alt", "X-Nalt"].map(|name| headers.get(name).unwrap_or_default().to_owned())
        };
        let fours = ["7.7.7.7:1,9.9.9.9:5000".to_owned(), "9.9.9.8:5000".to_owned()];
        let sixes = ["[2001:db8::9]:5000".to_owned(), "[2001:db8::8]:5000".to_owned()];
        let both = ["7.7.7.7:1,[2001:db8::9]:5000,9.9.9.9:5000", "9.9.9.8:5000,[2001:db8::8]:5000"].map(str::to_owned);
        assert_eq!(told(four, "7.7.7.7:1"), fours, "who talks IPv4 and says nothing");
        assert_eq!(told(four, "[2001:db8::7]:1")[0], "9.9.9.9:5000", "ourselves neither");
        assert_eq!(told(six, "7.7.7.7:1"), both, "who talks IPv6 may have both");
        let says = |who, features: &str| table.meet(who, &Headers::default().with("X-Features", features));
        says(four, "browse/1.0, IP/6.0");
        says(six, "browse/1.0, IP/6.4");
        assert_eq!(told(four, "7.7.7.7:1"), both);
        assert_eq!(told(six, "7.7.7.7:1"), sixes);
        table.meet(four, &Headers::default().with("Range", "bytes=7-"));
        assert_eq!(told(four, "7.7.7.7:1"), both, "it says so once on a connection");
        table.part(four);
        assert_eq!(told(four, "7.7.7.7:1"), fours, "the next connection is another's");
        for port in 0..2 * MET as u16 {
            says(SocketAddr::new(four.ip(), port), "IP/6.0");
        }
        assert_eq!(lock(&table.met).len(), MET);
    }

    #[test]
    fn it_is_bounded_and_leaves_out_who_asks() {
        let table = table();
        for port in 1..100 {
            hear(&table, "X-Alt", &format!("10.0.0.1:{port}"), "10.0.0.9");
        }
        assert_eq!(table.others(&FILE, ip("10.0.0.9"), 100, |_| true).len(), EACH);
        let mut headers = Headers::default();
        let us = "10.0.0.3:1".parse().ok();
        table.tell(&FILE, "10.0.0.1:99".parse().expect("an address"), us, &mut headers);
        let alt = headers.get("X-Alt").expect("some");
        assert!(alt.starts_with("10.0.0.3:1,10.0.0.1:98,"), "{alt}");
        assert_eq!(alt.split(',').count(), TOLD);
        for number in 0..2 * CONTENTS as u32 {
            let mut sha1 = [0; 20];
            sha1[..4].copy_from_slice(&number.to_le_bytes());
            table.good(&Sha1(sha1), "10.0.0.1:1".parse().expect("an address"));
        }
        assert_eq!(table.table().len(), CONTENTS);
    }
}
