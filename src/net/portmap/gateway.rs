//! The default gateway: where everything goes that has no better way.

use std::net::Ipv4Addr;

/// `RTF_UP | RTF_GATEWAY`.
const USABLE: u32 = 0x3;

/// The gateway of this host's default route, of several the preferred one; `None` where it cannot be told.
pub fn default_gateway() -> Option<Ipv4Addr> {
    in_table(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// `/proc/net/route`: a header, then `Iface Destination Gateway Flags RefCnt Use Metric Mask ...` with addresses in hex, as
/// the machine has them in memory.
fn in_table(table: &str) -> Option<Ipv4Addr> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let default = table.lines().skip(1).filter_map(|line| {
        let [_, to, gateway, flags, _, _, metric, mask, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_default = hex(to)? == 0 && hex(mask)? == 0 && hex(flags)? & USABLE == USABLE;
        is_default.then_some((metric.parse::<u32>().ok()?, hex(gateway)?))
    });
    let (_, gateway) = default.min()?;
    Some(Ipv4Addr::from(gateway.to_ne_bytes())).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_default_route_of_the_least_metric_has_it() {
        const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        for (rows, gateway) in [
            ("", None),
            ("eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", None),
            (
                "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                 eth0\t00000000\tFE00000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
                Some([10, 0, 0, 254]),
            ),
            ("tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", None),
            ("nonsense\n\tx\ty\n", None),
        ] {
            assert_eq!(in_table(&format!("{HEAD}{rows}")), gateway.map(Ipv4Addr::from), "{rows}");
        }
    }
}
