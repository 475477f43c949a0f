//! Alternate locations in HTTP heads: who else has a file (`X-Alt`), and who has not any more (`X-Nalt`).
//!
//! "X-ALT: a.b.c.d:e,f.g.h.i:j" (`doc/gnutella/x-alt`); "PORT: if 6346, you MAY omit it". Items of other kinds, a GUID with
//! push proxies or `tls=...`, are passed over. Of the old `X-Gnutella-Alternate-Location: http://HOST:PORT/...` (HUGE section 5)
//! the host and port are read; others write such links behind `X-Alt` too.

use std::net::SocketAddr;

use super::addr;
use super::head::Headers;
use super::text::strip;

/// Addresses read of one head, of each kind.
pub const MAX_READ: usize = 16;

const NAMES: [&str; 4] = ["X-Alt", "X-Gnutella-Alternate-Location", "Alternate-Location", "Alt-Location"];

/// Who else has it, as a head says.
pub fn read(headers: &Headers) -> Vec<SocketAddr> {
    let items = NAMES.iter().flat_map(|name| headers.items(name));
    items.filter_map(location).take(MAX_READ).collect()
}

/// Who has it no more.
pub fn read_gone(headers: &Headers) -> Vec<SocketAddr> {
    headers.items("X-Nalt").filter_map(location).take(MAX_READ).collect()
}

/// Tells of them.
pub fn write(headers: &mut Headers, has: &[SocketAddr], gone: &[SocketAddr]) {
    let list = |addrs: &[SocketAddr]| addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    if !has.is_empty() {
        headers.push("X-Alt", list(has));
    }
    if !gone.is_empty() {
        headers.push("X-Nalt", list(gone));
    }
}

fn location(item: &str) -> Option<SocketAddr> {
    let item = item.trim();
    match strip(item, "http://") {
        Some(rest) => addr::parse(rest.split('/').next()?),
        None => addr::parse(item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_others_write_them() {
        let read_of = |name: &str, value: &str| {
            let headers = Headers::default().with(name, value);
            let text = |addrs: Vec<SocketAddr>| addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            (text(read(&headers)), text(read_gone(&headers)))
        };
        for (name, value, has) in [
            ("X-Alt", "1.2.3.4:5,  6.7.8.9", "1.2.3.4:5 6.7.8.9:6346"),
            ("x-alt", "tls=8, 1.2.3.4:5", "1.2.3.4:5"),
            ("X-Alt", "QLFYWY2RI5WZCTEP6MJKR5CAFGP7FQ5X;1.2.3.4:5;9.9.9.9:1, [2001:db8::1]:7", "[2001:db8::1]:7"),
            ("X-Alt", "http://1.2.3.4:5/uri-res/N2R?urn:sha1:X 2003-01-01T00:00Z", "1.2.3.4:5"),
            ("X-Gnutella-Alternate-Location", "http://1.2.3.4/get/1/a", "1.2.3.4:6346"),
            ("Alt-Location", "nonsense, ,", ""),
            ("X-Other", "1.2.3.4:5", ""),
        ] {
            assert_eq!(read_of(name, value), (has.to_owned(), String::new()), "{name}: {value}");
        }
        assert_eq!(read_of("X-Nalt", "1.2.3.4:5"), (String::new(), "1.2.3.4:5".to_owned()));
        let many = (1..200).map(|port| format!("1.2.3.4:{port}")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&Headers::default().with("X-Alt", many)).len(), MAX_READ);
    }

    #[test]
    fn what_is_written_is_read() {
        let addrs = ["1.2.3.4:6346".parse().expect("one"), "[2001:db8::1]:7".parse().expect("two")];
        let mut headers = Headers::default();
        write(&mut headers, &addrs, &addrs[..1]);
        assert_eq!((read(&headers), read_gone(&headers)), (addrs.to_vec(), addrs[..1].to_vec()));
        let mut none = Headers::default();
        write(&mut none, &[], &[]);
        assert_eq!(none, Headers::default());
    }
}
