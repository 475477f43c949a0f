//! UPnP: the router as an Internet gateway device (IGD), found by SSDP, asked by SOAP over HTTP.
//!
//! Everybody on the LAN may answer a search, so only what the gateway itself says counts, and only addresses of its
//! own are asked (UPnP device architecture 1.1, sections 1 to 3; WANIPConnection:1). Bounds: a description of 128
//! KiB, an answer of 16 KiB.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::{Dialect, Mapping, OTHER_PORTS, Refused, Router, Transport, towards};
use crate::net::fetch::{FetchConfig, Link};
use crate::net::rt::{self, UdpSocket};
use crate::wire::head::{Headers, RawHead};
use crate::wire::http::{Request, Response};

/// How long the search for a device takes.
const SEARCH: Duration = Duration::from_secs(3);
/// Bytes of a device's description, and of an answer to a call.
const DESCRIPTION: usize = 128 * 1024;
const ANSWER: usize = 16 * 1024;
/// Services that map ports.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// What it answers: another has that port; only mappings without an end.
const CONFLICT: u16 = 718;
const ONLY_PERMANENT: u16 = 725;
/// A mapping without an end is looked after so often; it is removed when we stop.
const PERMANENT: Duration = Duration::from_secs(3600);

/// Where a device is asked, and for which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Igd {
    addr: SocketAddr,
    path: String,
    service: &'static str,
}

pub(super) async fn map(router: &Router, port: u16, wanted: u16, lifetime: u32) -> Result<Mapping, Refused> {
    let (igd, us) = find(router).await?;
    let external = external(&igd).await?;
    let mut lifetime = lifetime;
    let mut tries = 0;
    loop {
        let at = wanted.checked_add(tries).ok_or(Refused::Code(CONFLICT))?;
        match add(&igd, us, (Transport::Tcp, port), at, lifetime).await {
            Ok(()) => {
                let granted = if lifetime == 0 { PERMANENT } else { Duration::from_secs(lifetime.into()) };
                let external = SocketAddrV4::new(external, at);
                return Ok(Mapping::new(Dialect::Upnp(igd), port, external, granted));
            }
            Err(Refused::Code(ONLY_PERMANENT)) if lifetime > 0 => lifetime = 0,
            Err(Refused::Code(CONFLICT)) if tries < OTHER_PORTS => tries += 1,
            Err(refused) => return Err(refused),
        }
    }
}

/// The same port for UDP, at the device that has mapped it for TCP.
pub(super) async fn map_udp(
    router: &Router,
    igd: &Igd,
    port: u16,
    external: u16,
    lifetime: u32,
) -> Result<(), Refused> {
    let (_, us) = towards(router).await?;
    match add(igd, us, (Transport::Udp, port), external, lifetime).await {
        Err(Refused::Code(ONLY_PERMANENT)) => add(igd, us, (Transport::Udp, port), external, 0).await,
        other => other,
    }
}

pub(super) async fn remove(igd: &Igd, transport: Transport, external: u16) -> Result<(), Refused> {
    let protocol = transport.name();
    let arguments = format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>{protocol}</NewProtocol>"
    );
    call(igd, "DeletePortMapping", &arguments).await.map(|_| ())
}

async fn add(
    igd: &Igd,
    us: Ipv4Addr,
    (transport, port): (Transport, u16),
    external: u16,
    lifetime: u32,
) -> Result<(), Refused> {
    let protocol = transport.name();
    let arguments = format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>{protocol}</NewProtocol>\
         <NewInternalPort>{port}</NewInternalPort><NewInternalClient>{us}</NewInternalClient><NewEnabled>1</NewEnabled>\
         <NewPortMappingDescription>filbert</NewPortMappingDescription><NewLeaseDuration>{lifetime}</NewLeaseDuration>"
    );
    call(igd, "AddPortMapping", &arguments).await.map(|_| ())
}

async fn external(igd: &Igd) -> Result<Ipv4Addr, Refused> {
    let answer = call(igd, "GetExternalIPAddress", "").await?;
    let ip = element(&answer, "NewExternalIPAddress").and_then(|text| text.trim().parse().ok());
    ip.filter(|ip: &Ipv4Addr| !ip.is_unspecified()).ok_or(Refused::Garbage("no external address"))
}

/// Looks for the gateway's device, and our address towards it.
async fn find(router: &Router) -> Result<(Igd, Ipv4Addr), Refused> {
    // From the address by which the gateway knows us: the search leaves by that interface too.
    let (_, us) = towards(router).await?;
    let socket = UdpSocket::bind((us, 0)).await?;
    for device in [1, 2] {
        let search = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {}\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\
             ST: urn:schemas-upnp-org:device:InternetGatewayDevice:{device}\r\n\r\n",
            router.ssdp
        );
        socket.send_to(search.as_bytes(), router.ssdp).await?;
    }
    let mut buffer = [0; 2048];
    let answer = rt::timeout(SEARCH, async {
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            if from.ip() == IpAddr::V4(router.gateway)
                && let Some(at) = location(&buffer[..length], router.gateway)
            {
                return Ok::<_, Refused>(at);
            }
        }
    });
    let (addr, path) = answer.await.map_err(|_| Refused::Silent)??;
    let description = fetch(addr, &path, None, DESCRIPTION).await?.1;
    let (service, control) = control(&description).ok_or(Refused::Garbage("it maps no ports"))?;
    let path = path_at(&control, addr).ok_or(Refused::Garbage("it points to another host"))?;
    Ok((Igd { addr, path, service }, us))
}

/// `LOCATION: http://GATEWAY:PORT/PATH` in an answer to a search.
fn location(answer: &[u8], gateway: Ipv4Addr) -> Option<(SocketAddr, String)> {
    let (head, _) = RawHead::decode(answer, 2048).ok()??;
    let head = Response::parse(head).ok().filter(|head| head.code == 200)?;
    let rest = head.headers.get("LOCATION")?.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, path.to_owned()));
    let addr: SocketAddr = host.parse().ok().or_else(|| Some(SocketAddr::new(host.parse().ok()?, 80)))?;
    (addr.ip() == IpAddr::V4(gateway)).then_some((addr, format!("/{path}")))
}

/// The service that maps ports, and its control URL.
fn control(description: &str) -> Option<(&'static str, String)> {
    let services: Vec<&str> = description.split("<service>").skip(1).collect();
    SERVICES.into_iter().find_map(|wanted| {
        let service = services.iter().find(|text| element(text, "serviceType").map(str::trim) == Some(wanted))?;
        Some((wanted, element(service, "controlURL")?.trim().to_owned()))
    })
}

/// The path of a control URL, which may be a whole one at the same host.
fn path_at(control: &str, addr: SocketAddr) -> Option<String> {
    let Some(rest) = control.strip_prefix("http://") else {
        return Some(format!("/{}", control.trim_start_matches('/')));
    };
    let (host, path) = rest.split_once('/')?;
    let at: SocketAddr = host.parse().ok().or_else(|| Some(SocketAddr::new(host.parse().ok()?, 80)))?;
    (at == addr).then(|| format!("/{path}"))
}

/// What stands in the first element of that name; a name space before it, and attributes, are passed over.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = xml;
    loop {
        let (_, tag) = rest.split_once('<')?;
        let (head, after) = tag.split_once('>')?;
        let word = head.split_whitespace().next().unwrap_or_default();
        if word.rsplit(':').next() == Some(name) && !word.starts_with('/') {
            return after.split_once('<').map(|(text, _)| text);
        }
        rest = after;
    }
}

/// Calls an action; the text of its answer.
async fn call(igd: &Igd, action: &str, arguments: &str) -> Result<String, Refused> {
    let service = igd.service;
    let body = format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
         <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
    );
    let (code, answer) = fetch(igd.addr, &igd.path, Some((&format!("\"{service}#{action}\""), &body)), ANSWER).await?;
    match code {
        200 => Ok(answer),
        code => {
            let said = element(&answer, "errorCode").and_then(|text| text.trim().parse().ok());
            Err(Refused::Code(said.unwrap_or(code)))
        }
    }
}

async fn fetch(
    addr: SocketAddr,
    path: &str,
    action: Option<(&str, &str)>,
    limit: usize,
) -> Result<(u16, String), Refused> {
    let quick = Duration::from_secs(5);
    let config = FetchConfig { connect: quick, head: quick, stall: quick, piece: quick };
    let lost = |lost: crate::transfer::Lost| Refused::Io(std::io::Error::other(lost.to_string()));
    let mut headers = Headers::default().with("Host", addr.to_string()).with("Connection", "close");
    if let Some((action, body)) = action {
        headers = headers
            .with("Content-Type", "text/xml; charset=\"utf-8\"")
            .with("SOAPAction", action)
            .with("Content-Length", body.len().to_string());
    }
    let method = if action.is_some() { "POST" } else { "GET" };
    let request = Request { method: method.into(), target: path.to_owned(), version: (1, 1), headers };
    let mut link = Link::connect(addr, config).await.map_err(lost)?;
    let head = link.ask_with(&request, action.map_or(b"", |(_, body)| body.as_bytes())).await.map_err(lost)?;
    let mut text = vec![0; limit];
    let mut length = 0;
    while length < limit {
        match link.read(&mut text[length..]).await {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(how) => return Err(lost(how)),
        }
    }
    text.truncate(length);
    Ok((head.code, String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc::{Receiver, channel};

    use super::super::remove;
    use super::*;

    const DESCRIBED: &str = "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><serviceList>\
        <service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/l3f</controlURL></service>\
        <service>\n <serviceType> urn:schemas-upnp-org:service:WANIPConnection:1 </serviceType>\
        <controlURL>ctl/IPConn</controlURL></service></serviceList></device></root>";

    /// A device on loopback: what was asked of it comes out, action and body. Port 7000 is another's; a mapping has no end.
    fn device() -> (Router, Receiver<String>) {
        let http = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = http.local_addr().expect("an address");
        let (tell, told) = channel();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = http.accept() {
                let mut asked = Vec::new();
                let mut some = [0; 4096];
                let whole = |asked: &[u8]| {
                    let text = String::from_utf8_lossy(asked).into_owned();
                    let (head, body) = text.split_once("\r\n\r\n")?;
                    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
                    (body.len() >= length.unwrap_or(0)).then_some(text)
                };
                let text = loop {
                    if let Some(text) = whole(&asked) {
                        break text;
                    }
                    match stream.read(&mut some) {
                        Ok(n) if n > 0 => asked.extend_from_slice(&some[..n]),
                        _ => break String::new(),
                    }
                };
                let fault = |code| {
                    let detail = format!("<UPnPError><errorCode>{code}</errorCode></UPnPError>");
                    ("500 Internal Server Error", format!("<s:Fault><detail>{detail}</detail></s:Fault>"))
                };
                let (status, body) = match &text {
                    text if text.starts_with("GET /desc.xml ") => ("200 OK", DESCRIBED.to_owned()),
                    text if text.contains("#GetExternalIPAddress") => {
                        ("200 OK", "<u:R><NewExternalIPAddress>198.51.100.7</NewExternalIPAddress></u:R>".to_owned())
                    }
                    text if text.contains("<NewExternalPort>7000<") => fault(718),
                    text if text.contains("<NewLeaseDuration>3600<") => fault(725),
                    text if text.starts_with("POST /ctl/IPConn ") => ("200 OK", "<u:R></u:R>".to_owned()),
                    _ => ("404 Not Found", String::new()),
                };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes());
                let _ = tell.send(text);
            }
        });
        let ssdp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let SocketAddr::V4(group) = ssdp.local_addr().expect("an address") else { panic!("IPv4") };
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((length, from)) = ssdp.recv_from(&mut buffer) {
                assert!(buffer[..length].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                for place in ["http://127.0.0.9:80/evil", &format!("http://{at}/desc.xml")] {
                    let answer = format!("HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: {place}\r\n\r\n");
                    let _ = ssdp.send_to(answer.as_bytes(), from);
                }
            }
        });
        (Router { gateway: Ipv4Addr::LOCALHOST, port: 9, ssdp: group }, told)
    }

    fn igd(mapping: &Mapping) -> &Igd {
        let Dialect::Upnp(igd) = &mapping.dialect else { panic!("UPnP") };
        igd
    }

    /// `AddPortMapping TCP`
    fn call_of(asked: &str) -> String {
        let action = asked.split_once('#').and_then(|(_, rest)| rest.split_once('"')).map_or("", |(action, _)| action);
        format!("{action} {}", element(asked, "NewProtocol").unwrap_or_default())
    }

    #[test]
    fn a_device_maps_without_an_end_at_another_port_and_takes_back() {
        let (router, told) = device();
        let mapping = rt::block_on(map(&router, 6346, 7000, 3600)).expect("a mapping");
        assert_eq!((mapping.external.to_string(), mapping.lifetime), ("198.51.100.7:7001".into(), PERMANENT));
        assert_eq!(rt::block_on(map_udp(&router, igd(&mapping), 6346, 7001, 3600)).ok(), Some(()));
        rt::block_on(remove(&router, &Mapping { udp: true, ..mapping }));
        let told: Vec<String> = told.try_iter().collect();
        let kept = told.iter().filter(|text| text.contains("<NewExternalPort>7001<"));
        let done: Vec<_> =
            kept.filter(|text| !text.contains("<NewLeaseDuration>3600<")).map(|text| call_of(text)).collect();
        assert_eq!(
            done,
            ["AddPortMapping TCP", "AddPortMapping UDP", "DeletePortMapping TCP", "DeletePortMapping UDP"]
        );
        assert!(told.iter().any(|text| text.contains("<NewInternalClient>127.0.0.1<")), "{told:?}");
    }

    #[test]
    fn only_places_at_the_gateway_are_asked() {
        let gateway = Ipv4Addr::new(192, 168, 1, 1);
        let answer = |place: &str| format!("HTTP/1.1 200 OK\r\nLocation: {place}\r\n\r\n").into_bytes();
        for (place, read) in [
            ("http://192.168.1.1:5000/a/b.xml", Some("192.168.1.1:5000 /a/b.xml")),
            ("http://192.168.1.1", Some("192.168.1.1:80 /")),
            ("http://192.168.1.2:5000/a", None),
            ("http://example.com/a", None),
            ("https://192.168.1.1/a", None),
        ] {
            let found = location(&answer(place), gateway).map(|(addr, path)| format!("{addr} {path}"));
            assert_eq!(found.as_deref(), read, "{place}");
        }
        let addr = "192.168.1.1:5000".parse().expect("an address");
        for (control, path) in [
            ("/ctl", Some("/ctl")),
            ("ctl", Some("/ctl")),
            ("http://192.168.1.1:5000/ctl", Some("/ctl")),
            ("http://192.168.1.1/ctl", None),
            ("http://8.8.8.8:5000/ctl", None),
        ] {
            assert_eq!(path_at(control, addr).as_deref(), path, "{control}");
        }
    }

    #[test]
    fn elements_are_found_whatever_surrounds_them_and_nonsense_is_none() {
        assert_eq!(element("<a><u:b x=\"1\">c</u:b></a>", "b"), Some("c"));
        assert_eq!(control(DESCRIBED), Some((SERVICES[1], "ctl/IPConn".to_owned())));
        for xml in ["", "<", "<>", "<b", "</b>x<", "<bb>x</bb>", "\u{0}", "<service><serviceType>x"] {
            assert_eq!(element(xml, "b"), None, "{xml}");
            assert_eq!(control(xml), None, "{xml}");
        }
    }
}
