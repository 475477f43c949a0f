//! Lists of hosts, as people and other programs write them: what each line names, and what came of it.
//!
//! Read are `HOST:PORT` alone; with what gtk-gnutella (`hosts`, `ultras`: a time) or WireShare (`gnutella.net`: commas) know of it
//! behind; and `h|HOST:PORT|AGE` of a GWebCache. Empty lines and what follows a `#` are passed over. A line that is not taken
//! keeps no other from being taken.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use super::resolve::HostPort;
use super::view::{ImportView, NotTakenView};
use crate::proto::is_dialable;
use crate::wire::print::is_treacherous;

/// Lines told that were not taken; more are only counted.
pub const TOLD: usize = 20;
/// Characters of such a line.
const TEXT: usize = 80;

/// What a line says: nothing without a comment and blanks.
pub fn bare(line: &str) -> &str {
    line.trim_start_matches('\u{feff}').split('#').next().unwrap_or_default().trim()
}

/// The host that it names, or what is wrong.
pub(super) fn host(bare: &str) -> Result<HostPort, &'static str> {
    let cached = bare.strip_prefix("h|").or(bare.strip_prefix("H|"));
    let line = cached.and_then(|cached| cached.split('|').next()).unwrap_or(bare);
    let host = HostPort::read(line.split(|c: char| c == ',' || c.is_whitespace()).next().unwrap_or(line))?;
    // Words are no list of hosts: nobody is asked for the first of each line.
    let prose = host.addr().is_none() && line.contains(char::is_whitespace);
    if prose { Err("is no host") } else { Ok(host) }
}

/// A list being taken.
pub(super) struct Import {
    /// So far.
    pub(super) report: ImportView,
    /// Hosts that are to be learnt.
    pub(super) fresh: Vec<SocketAddr>,
    /// Those that were named, though they are known.
    pub(super) again: Vec<SocketAddr>,
    known: HashSet<SocketAddr>,
    /// So many more may be learnt.
    room: usize,
}

impl Import {
    /// Of hosts that are known, so many were named by the user; `most` of these are kept.
    pub(super) fn new(known: HashSet<SocketAddr>, users: usize, most: usize) -> Self {
        let room = most.saturating_sub(users);
        Self { report: ImportView::default(), fresh: Vec::new(), again: Vec::new(), known, room }
    }

    /// A line, with the addresses that it names or what is wrong.
    pub(super) fn line(&mut self, number: usize, text: &str, addrs: Result<Vec<SocketAddr>, String>) {
        self.report.named += 1;
        match addrs.and_then(|addrs| self.take(addrs)) {
            Ok(true) => self.report.added += 1,
            Ok(false) => self.report.known += 1,
            Err(why) => {
                self.report.refused += 1;
                if self.report.not_taken.len() < TOLD {
                    self.report.not_taken.push(NotTakenView { line: number, text: shown(text), why });
                }
            }
        }
    }

    /// Whether one of them is new; none of any use is an error.
    fn take(&mut self, addrs: Vec<SocketAddr>) -> Result<bool, String> {
        let (mut new, mut known, mut why) = (false, false, "it names no address");
        for addr in addrs {
            if !is_dialable(addr) {
                why = "no host has such an address";
            } else if self.known.contains(&addr) {
                self.again.push(addr);
                known = true;
            } else if self.fresh.len() >= self.room {
                why = "there is no room: too many hosts that you named are known";
            } else {
                self.known.insert(addr);
                self.fresh.push(addr);
                new = true;
            }
        }
        if new || known { Ok(new) } else { Err(why.to_owned()) }
    }
}

/// Whether that is a servent that listens there.
pub(super) fn is_own(addr: SocketAddr, listen: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified() && addr.ip().is_loopback();
    addr.port() == listen.port() && (addr.ip() == listen.ip() || any(listen.ip()))
}

/// A stranger's line, cut, as a terminal may see it.
fn shown(text: &str) -> String {
    let mut chars = text.chars().map(|c| if is_treacherous(c) { '?' } else { c });
    let shown: String = chars.by_ref().take(TEXT).collect();
    if chars.next().is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn lines_of_other_programs_are_read() {
        for (line, host_port) in [
            ("10.1.1.1:6346", "10.1.1.1:6346"),
            ("  attic.local \t# the attic", "attic.local:6346"),
            ("\u{feff}10.1.1.1", "10.1.1.1:6346"),
            ("10.1.1.1:6347 2026-11-27 03:50:15Z", "10.1.1.1:6347"),
            ("[2001:db8::1]:6346 2026-11-27 03:50:15Z", "[2001:db8::1]:6346"),
            ("h|10.1.1.1:6348|3600", "10.1.1.1:6348"),
            ("10.1.1.1:6349,86400,1195600000000,1195600000000;1195600000000,,en,", "10.1.1.1:6349"),
        ] {
            assert_eq!(host(bare(line)).map(|host| host.to_string()).as_deref(), Ok(host_port), "{line}");
        }
        for nothing in ["", "  ", "# THIS FILE IS AUTOMATICALLY GENERATED -- DO NOT EDIT", "\u{feff}# x", "\r"] {
            assert_eq!(bare(nothing), "", "{nothing:?}");
        }
        for none in [
            "u|http://cache.example/",
            "<html>",
            "Hello world",
            "10.1.1.1:0",
            "10.1.1.1:65536",
            "|||",
            &"x".repeat(254),
        ] {
            assert!(host(bare(none)).is_err(), "{none}");
        }
    }

    #[test]
    fn each_line_counts_once_and_is_told_when_it_is_not_taken() {
        let mut import = Import::new(HashSet::from([addr("10.0.0.1:1")]), 0, 3);
        let lines = [
            ("10.0.0.1:1", Ok(vec![addr("10.0.0.1:1")])),
            ("two.example", Ok(vec![addr("10.0.0.2:1"), addr("[fd00::2]:1")])),
            ("10.0.0.2:1", Ok(vec![addr("10.0.0.2:1")])),
            ("0.0.0.0:1", Ok(vec![addr("0.0.0.0:1")])),
            ("half.example", Ok(vec![addr("0.0.0.0:1"), addr("10.0.0.3:1")])),
            ("10.0.0.4:1", Ok(vec![addr("10.0.0.4:1")])),
            ("\u{1b}[2Jno", Err("is no host".to_owned())),
        ];
        for (at, (text, addrs)) in lines.into_iter().enumerate() {
            import.line(at + 1, text, addrs);
        }
        let ImportView { named, added, known, refused, not_taken } = &import.report;
        assert_eq!((*named, *added, *known, *refused), (7, 2, 2, 3));
        let told: Vec<_> = not_taken.iter().map(|it| (it.line, it.text.as_str())).collect();
        assert_eq!(told, [(4, "0.0.0.0:1"), (6, "10.0.0.4:1"), (7, "?[2Jno")]);
        assert!(not_taken[1].why.contains("no room"), "{}", not_taken[1].why);
        assert_eq!(import.fresh.len(), 3);
        for number in 0..100 {
            import.line(number, &"x".repeat(1000), Err("is no host".to_owned()));
        }
        let report = &import.report;
        assert_eq!((report.refused, report.not_taken.len()), (103, TOLD));
        assert_eq!(report.not_taken[TOLD - 1].text.chars().count(), TEXT + 1);
    }

    #[test]
    fn a_servent_knows_its_own_address() {
        assert!(is_own(addr("127.0.0.1:5"), addr("0.0.0.0:5")) && is_own(addr("10.0.0.1:5"), addr("10.0.0.1:5")));
        assert!(!is_own(addr("127.0.0.1:6"), addr("0.0.0.0:5")) && !is_own(addr("10.0.0.2:5"), addr("10.0.0.1:5")));
        assert!(!is_own(addr("127.0.0.1:5"), addr("10.0.0.1:5")));
    }
}
