//! Vectors of hosts in GGEP: an address and a port after the other, the port little endian.
//!
//! ```text
//! IPv4(4) port(2), six bytes each          IPP, PUSH
//! IPv6(16) port(2), eighteen bytes each    IPP6, PUSH6     (IPv6-Ready, section 2)
//! ```
//! Bounds: the caller says how many are read. Bytes behind the last whole one are passed over.

use std::net::{IpAddr, SocketAddr};

use super::ggep::Ggep;

/// The ids of a vector with IPv4 addresses and of its fellow with IPv6 addresses.
pub(super) type Ids = [&'static str; 2];

/// Hosts of both vectors, `most` of them, those with IPv4 addresses first.
pub(super) fn read(ggep: &Ggep, ids: Ids, most: usize) -> Vec<SocketAddr> {
    let [four, six] = ids.map(|id| ggep.get(id).and_then(Result::ok).unwrap_or_default());
    let port = |p0, p1| u16::from_le_bytes([p0, p1]);
    let four = four.as_chunks::<6>().0.iter();
    let four = four.map(|&[a, b, c, d, p0, p1]| SocketAddr::from(([a, b, c, d], port(p0, p1))));
    let six = six.as_chunks::<18>().0.iter().map(|entry| {
        let (&octets, rest) = entry.split_first_chunk::<16>().unwrap_or((&[0; 16], &[0, 0]));
        SocketAddr::from((octets, port(rest[0], rest[1])))
    });
    four.chain(six).take(most).collect()
}

/// Adds those of the two vectors that hold any of `hosts`, of which `most` are taken.
pub(super) fn push(ggep: &mut Ggep, ids: Ids, hosts: &[SocketAddr], most: usize) {
    let mut values = [Vec::new(), Vec::new()];
    for host in hosts.iter().take(most) {
        let value = match host.ip().to_canonical() {
            IpAddr::V4(ip) => {
                values[0].extend_from_slice(&ip.octets());
                &mut values[0]
            }
            IpAddr::V6(ip) => {
                values[1].extend_from_slice(&ip.octets());
                &mut values[1]
            }
        };
        value.extend_from_slice(&host.port().to_le_bytes());
    }
    for (id, value) in ids.into_iter().zip(values) {
        if !value.is_empty() {
            ggep.push(id, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_both_families_come_back_and_what_is_cut_off_is_passed_over() {
        let hosts =
            |all: &[&str]| all.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let ids = ["IPP", "IPP6"];
        let rows: [(&[&str], &[&str]); 4] = [
            (&[], &[]),
            (&["10.0.0.1:6346", "1.2.3.4:80"], &["10.0.0.1:6346", "1.2.3.4:80"]),
            (&["[2001:db8::1]:6346", "10.0.0.1:1"], &["10.0.0.1:1", "[2001:db8::1]:6346"]),
            (&["[::ffff:10.0.0.1]:6346"], &["10.0.0.1:6346"]),
        ];
        for (given, want) in rows {
            let mut ggep = Ggep::default();
            push(&mut ggep, ids, &hosts(given), 8);
            assert_eq!(read(&ggep, ids, 8), hosts(want));
            assert_eq!(read(&ggep, ids, 1), hosts(&want[..want.len().min(1)]));
        }
        let mut ggep = Ggep::default();
        ggep.push("IPP", &[10, 0, 0, 1, 0xca, 0x18, 10, 0, 0]);
        ggep.push("IPP6", &[7; 17]);
        assert_eq!(read(&ggep, ids, 8), hosts(&["10.0.0.1:6346"]));
        // As real clients write it: deflated.
        let mut ggep = Ggep::default();
        let value: Vec<u8> =
            (1..=20).flat_map(|n| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n, 0xca, 0x18]).collect();
        ggep.push_deflated("IPP6", &value);
        assert!(ggep.extensions[0].deflated);
        assert_eq!(read(&ggep, ids, 64).len(), 20);
    }
}
