//! Messages of the Domain Name System, as Multicast DNS sends them: just what finding a service takes.
//!
//! ```text
//! id  flags  questions  answers  authorities  more     questions: name, kind, class
//! 2   2      2          2        2            2 bytes  records:   name, kind, class, TTL (4), length (2), data
//! ```
//! RFC 1035 section 4; RFC 6762 section 18 for the flags. Numbers are big endian. Names may point back into the message when
//! read ("compression", RFC 1035 section 4.1.4), each time further back than before, so that reading ends; ours are written
//! in full. Bounds: [`LONGEST`] bytes, [`MAX_ITEMS`] questions and as many records, names of 255 bytes. Records of kinds
//! that we do not know are passed over.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Cause, DecodeError};

/// The longest message that is read: "9000 bytes, including IP and UDP headers" (RFC 6762 section 17).
pub const LONGEST: usize = 9000;
/// Questions, and records, that are read from one message; more are passed over.
pub const MAX_ITEMS: usize = 128;
/// Bytes of a name, and of one label of it (RFC 1035 section 2.3.4).
const NAME: usize = 255;
const LABEL: usize = 63;
/// "QR", and "AA" beside it, which Multicast DNS sets in all responses.
const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
/// In the class of a question: "unicast response"; in that of a record: "cache flush". The class itself is the Internet's.
const TOP_BIT: u16 = 0x8000;
const INTERNET: u16 = 1;

/// Kinds of records.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name that this name stands for.
    pub const PTR: u16 = 12;
    /// Words about a service.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// In a question: any kind.
    pub const ANY: u16 = 255;
}

/// A name: labels, of which the last one is at the top. Case does not matter when names are compared.
#[derive(Clone, Default)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// The name of these labels; of a label longer than 63 bytes the rest is cut off, as is a name after 255 bytes.
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut name, mut length) = (Self::default(), 1);
        for label in labels {
            let label = &label.as_bytes()[..label.floor_char_boundary(LABEL)];
            length += label.len() + 1;
            if !label.is_empty() && length <= NAME {
                name.0.push(label.to_vec());
            }
        }
        name
    }

    /// Whether it is `label.parent`.
    pub fn is_child_of(&self, parent: &Self) -> bool {
        self.0.split_first().is_some_and(|(_, rest)| same(rest, &parent.0))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for label in &self.0 {
            out.push(label.len() as u8);
            out.extend_from_slice(label);
        }
        out.push(0);
    }
}

fn same(a: &[Vec<u8>], b: &[Vec<u8>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|label| write!(f, "{}.", label.escape_ascii()))
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// About which name.
    pub name: Name,
    /// For records of which [`kind`].
    pub kind: u16,
    /// The answer may come to the asker alone.
    pub unicast: bool,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// An instance of a service.
    Ptr(Name),
    /// Host and port of a service. Priority and weight are not kept, and zero in ours.
    Srv {
        /// Where it listens.
        port: u16,
        /// On which host.
        host: Name,
    },
    /// Texts, `key=value` each, of 255 bytes at most.
    Txt(Vec<Vec<u8>>),
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub name: Name,
    /// Seconds that it holds; 0 takes it back.
    pub ttl: u32,
    /// It replaces what was known of that name and kind.
    pub flush: bool,
    /// What it says.
    pub data: Data,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Says nothing in Multicast DNS; an asker of the old kind wants it back.
    pub id: u16,
    /// It answers, or tells unasked.
    pub response: bool,
    /// What is asked.
    pub questions: Vec<Question>,
    /// Answers; in a question those that are known already.
    pub answers: Vec<Record>,
    /// What may help besides; authorities are read as such.
    pub more: Vec<Record>,
}

impl Message {
    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > LONGEST {
            return Err(bad("message", 0, Cause::TooLong { length: bytes.len(), limit: LONGEST }));
        }
        let mut at = 0;
        let header: [u16; 6] = {
            let [a, b, c, d, e, f] = [(); 6].map(|()| number(bytes, &mut at, "header"));
            [a?, b?, c?, d?, e?, f?]
        };
        let [id, flags, questions, answers, authorities, additional] = header;
        let mut message = Self { id, response: flags & RESPONSE != 0, ..Self::default() };
        for _ in 0..questions {
            let name = name(bytes, &mut at)?;
            let kind = number(bytes, &mut at, "question")?;
            let class = number(bytes, &mut at, "question")?;
            if message.questions.len() >= MAX_ITEMS {
                return Ok(message);
            }
            message.questions.push(Question { name, kind, unicast: class & TOP_BIT != 0 });
        }
        let more = usize::from(authorities) + usize::from(additional);
        for (count, into) in [(usize::from(answers), &mut message.answers), (more, &mut message.more)] {
            for _ in 0..count {
                if into.len() >= MAX_ITEMS {
                    break;
                }
                into.extend(record(bytes, &mut at)?);
            }
        }
        Ok(message)
    }

    /// Its bytes. Ours are far below [`LONGEST`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let flags = if self.response { RESPONSE | AUTHORITATIVE } else { 0 };
        let counts = [self.questions.len(), self.answers.len(), 0, self.more.len()].map(|n| n as u16);
        for number in [self.id, flags].into_iter().chain(counts) {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for Question { name, kind, unicast } in &self.questions {
            name.encode(&mut out);
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&(INTERNET | if *unicast { TOP_BIT } else { 0 }).to_be_bytes());
        }
        for record in self.answers.iter().chain(&self.more) {
            record.encode(&mut out);
        }
        out
    }
}

impl Record {
    fn encode(&self, out: &mut Vec<u8>) {
        self.name.encode(out);
        out.extend_from_slice(&self.kind().to_be_bytes());
        out.extend_from_slice(&(INTERNET | if self.flush { TOP_BIT } else { 0 }).to_be_bytes());
        out.extend_from_slice(&self.ttl.to_be_bytes());
        let mut data = Vec::new();
        match &self.data {
            Data::A(ip) => data.extend_from_slice(&ip.octets()),
            Data::Aaaa(ip) => data.extend_from_slice(&ip.octets()),
            Data::Ptr(name) => name.encode(&mut data),
            Data::Srv { port, host } => {
                data.extend_from_slice(&[0; 4]);
                data.extend_from_slice(&port.to_be_bytes());
                host.encode(&mut data);
            }
            // "An empty TXT record containing zero strings is not allowed" (RFC 6763 section 6.1).
            Data::Txt(texts) if texts.is_empty() => data.push(0),
            Data::Txt(texts) => {
                for text in texts {
                    let text = &text[..text.len().min(255)];
                    data.push(text.len() as u8);
                    data.extend_from_slice(text);
                }
            }
        }
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }

    /// Its [`kind`].
    pub fn kind(&self) -> u16 {
        match self.data {
            Data::A(_) => kind::A,
            Data::Aaaa(_) => kind::AAAA,
            Data::Ptr(_) => kind::PTR,
            Data::Srv { .. } => kind::SRV,
            Data::Txt(_) => kind::TXT,
        }
    }
}

/// The record at `at`; `None` for one of a kind or class that we do not know.
fn record(bytes: &[u8], at: &mut usize) -> Result<Option<Record>, DecodeError> {
    let name = name(bytes, at)?;
    let kind = number(bytes, at, "record")?;
    let class = number(bytes, at, "record")?;
    let ttl = u32::from_be_bytes(*take(bytes, at, "record")?);
    let length = usize::from(number(bytes, at, "record")?);
    let start = *at;
    let Some(data) = bytes[start..].get(..length) else {
        return Err(bad("data", start, Cause::Truncated { needed: length, had: bytes.len() - start }));
    };
    *at += length;
    let data = match kind {
        kind::A => data.try_into().ok().map(|octets: [u8; 4]| Data::A(octets.into())),
        kind::AAAA => data.try_into().ok().map(|octets: [u8; 16]| Data::Aaaa(octets.into())),
        kind::PTR => Some(Data::Ptr(self::name(&bytes[..*at], &mut start.clone())?)),
        kind::SRV => {
            let mut inside = start;
            let [_, _, port] = [(); 3].map(|()| number(&bytes[..*at], &mut inside, "SRV"));
            Some(Data::Srv { port: port?, host: self::name(&bytes[..*at], &mut inside)? })
        }
        kind::TXT => Some(Data::Txt(texts(data))),
        _ => None,
    };
    let ours = class & !TOP_BIT == INTERNET;
    Ok(data.filter(|_| ours).map(|data| Record { name, ttl, flush: class & TOP_BIT != 0, data }))
}

/// The texts of a TXT record; one that does not fit ends them.
fn texts(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let Some((text, rest)) = rest.split_at_checked(usize::from(length)) else { break };
        if !text.is_empty() {
            texts.push(text.to_vec());
        }
        data = rest;
    }
    texts
}

/// The name at `at`, which moves behind it.
fn name(bytes: &[u8], at: &mut usize) -> Result<Name, DecodeError> {
    let start = *at;
    let (mut name, mut length) = (Name::default(), 1);
    // Where we read, and before which a pointer must point: each further back than the last, so there is an end.
    let (mut here, mut before, mut jumped) = (start, start, false);
    loop {
        let &[first] = take(bytes, &mut here, "name")?;
        let label = match first {
            0 => break,
            1..=63 => usize::from(first),
            0xC0.. => {
                let &[second] = take(bytes, &mut here, "name")?;
                if !jumped {
                    *at = here;
                }
                let to = usize::from(first & 0x3F) << 8 | usize::from(second);
                if to >= before {
                    return Err(bad("name", start, Cause::Invalid("points forward")));
                }
                (here, before, jumped) = (to, to, true);
                continue;
            }
            _ => return Err(bad("name", start, Cause::Invalid("has a label of an unknown kind"))),
        };
        length += label + 1;
        if length > NAME {
            return Err(bad("name", start, Cause::TooLong { length, limit: NAME }));
        }
        let Some(bytes) = bytes[here..].get(..label) else {
            return Err(bad("name", start, Cause::Truncated { needed: label, had: bytes.len() - here }));
        };
        name.0.push(bytes.to_vec());
        here += label;
    }
    if !jumped {
        *at = here;
    }
    Ok(name)
}

fn number(bytes: &[u8], at: &mut usize, field: &'static str) -> Result<u16, DecodeError> {
    take(bytes, at, field).map(|bytes| u16::from_be_bytes(*bytes))
}

fn take<'a, const N: usize>(bytes: &'a [u8], at: &mut usize, field: &'static str) -> Result<&'a [u8; N], DecodeError> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let cause = Cause::Truncated { needed: N, had: rest.len() };
    let taken = rest.first_chunk().ok_or_else(|| bad(field, *at, cause))?;
    *at += N;
    Ok(taken)
}

fn bad(field: &'static str, offset: usize, cause: Cause) -> DecodeError {
    DecodeError::new("DNS message", field, offset, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a responder of another make sends for a printer: one PTR, with SRV, TXT and A behind it, names compressed.
    const REAL: &[u8] = b"\0\0\x84\0\0\0\0\x01\0\0\0\x03\
        \x04_ipp\x04_tcp\x05local\0\0\x0c\0\x01\0\0\x11\x94\0\x06\x03Ink\xc0\x0c\
        \xc0\x27\0\x21\x80\x01\0\0\0\x78\0\x0c\0\0\0\0\x02\x77\x03box\xc0\x16\
        \xc0\x27\0\x10\x80\x01\0\0\x11\x94\0\x0a\x09txtvers=1\
        \xc0\x3f\0\x01\x80\x01\0\0\0\x78\0\x04\x0a\0\0\x07";

    #[test]
    fn a_compressed_response_is_taken_apart() {
        let message = Message::decode(REAL).expect("a message");
        let service = Name::new(["_ipp", "_tcp", "local"]);
        let (instance, host) = (Name::new(["Ink", "_IPP", "_tcp", "local"]), Name::new(["box", "local"]));
        assert!(message.response && instance.is_child_of(&service) && !service.is_child_of(&service));
        let ptr = Record { name: service, ttl: 4500, flush: false, data: Data::Ptr(instance.clone()) };
        assert_eq!(message.answers, [ptr]);
        let srv = Data::Srv { port: 631, host: host.clone() };
        let rows = [
            (&instance, 120, srv),
            (&instance, 4500, Data::Txt(vec![b"txtvers=1".to_vec()])),
            (&host, 120, Data::A([10, 0, 0, 7].into())),
        ];
        let more = rows.map(|(name, ttl, data)| Record { name: name.clone(), ttl, flush: true, data });
        assert_eq!(message.more, more);
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_name_that_points_at_itself_or_forward_is_an_error() {
        let head = |questions| [0, 0, 0, 0, 0, questions, 0, 0, 0, 0, 0, 0];
        for name in [&b"\xc0\x0c"[..], b"\xc0\x20", b"\x01a\xc0\x0c", b"\x01a\xc0\x0e"] {
            let bytes = [&head(1)[..], name, b"\0\x0c\0\x01"].concat();
            let error = Message::decode(&bytes).expect_err("no name");
            assert_eq!(error.to_string(), "bad DNS message: name at byte 12 points forward", "{name:?}");
        }
        // Each pointer goes back, but the labels would be more than a name may have.
        let mut bytes = head(8).to_vec();
        for n in 0..8_u16 {
            bytes.push(63);
            bytes.extend([b'x'; 63]);
            match n {
                0 => bytes.push(0),
                n => bytes.extend((0xC000 | (12 + if n == 1 { 0 } else { 69 + 70 * (n - 2) })).to_be_bytes()),
            }
            bytes.extend([0, 12, 0, 1]);
        }
        let error = Message::decode(&bytes).expect_err("too long");
        assert!(error.to_string().contains("at most 255 are accepted"), "{error}");
    }

    #[test]
    fn more_records_than_we_read_are_passed_over() {
        let name = Name::new(["a"]);
        let record = Record { name, ttl: 1, flush: false, data: Data::A([1, 2, 3, 4].into()) };
        let message = Message { response: true, answers: vec![record; 300], ..Message::default() };
        assert_eq!(Message::decode(&message.encode()).expect("a message").answers.len(), MAX_ITEMS);
    }

    #[test]
    fn names_of_ours_never_break_the_bounds() {
        let long = "ü".repeat(60);
        let name = Name::new([long.as_str(), "", &long, &long, &long, &long, "local"]);
        let question = Question { name: name.clone(), kind: kind::PTR, unicast: true };
        let message = Message { questions: vec![question], ..Message::default() };
        assert_eq!(Message::decode(&message.encode()).expect("a message").questions[0].name, name);
    }
}
