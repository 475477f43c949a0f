//! QueryHit: I have these.
//!
//! ```text
//! offset  0      1     3     7      11       end - 16
//!         count  port  IPv4  speed  entries, trailer  servent
//!         1      2     4     4                        16 bytes; numbers little endian, the address as it is read
//!
//! entry    index(4)  size(4)  name NUL  extensions NUL
//! trailer  vendor(4)  length(1)  open data(length)  private data
//! ```
//! Gnutella 0.6 draft, section 2.2.5, and HUGE section 5; the trailer is the "query hit descriptor" (QHD) and
//! old servents send none. Bounds: 255 entries by the count's size; otherwise those of [`ggep`](super::ggep::Ggep),
//! and 64 content names an entry.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4};

use bytes::Bytes;

use super::ggep::{self, Ggep};
use super::query::SECURE;
use super::{Blake3, Cause, DecodeError, Guid, Sha1, Text, Tth, Urn, addr, extension, packed};

/// A QueryHit's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryHit {
    /// The address in the fixed part (IPv4 only).
    pub addr: SocketAddrV4,
    /// Speed in kbit/s.
    pub speed: u32,
    /// The files.
    pub entries: Vec<Entry>,
    /// The trailer between the entries and the servent GUID; `None` when there is none (old servents).
    pub qhd: Option<Qhd>,
    /// Names the servent that has the files: Pushes are addressed to it.
    pub servent: Guid,
}

/// One file in a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The servent's number for the file.
    pub index: u32,
    /// Size in the fixed field; `u32::MAX` with GGEP `LF` for files of 4 GiB and more.
    pub size32: u32,
    /// Name, without path.
    pub name: Text,
    /// Between the two NULs, as it came; `encode` writes this.
    pub extension: Bytes,
    /// URNs in the extension, HUGE and GGEP `H`.
    pub urns: Vec<Urn>,
    /// GGEP blocks in the extension, merged.
    pub ggep: Ggep,
}

/// The query hit descriptor: vendor and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qhd {
    /// Four letters.
    pub vendor: [u8; 4],
    /// "Open data": two bytes of flags (see [`Qhd::new`]), then anything; at most 255 bytes.
    pub open: Vec<u8>,
    /// Private data as it came, GGEP included.
    pub private: Bytes,
    /// GGEP found in the private data.
    pub ggep: Ggep,
}

impl Entry {
    /// An entry of ours; names go into HUGE text and GGEP `H` (and `LF` for a large file).
    pub fn new(index: u32, size: u64, name: &str, urns: &[Urn]) -> Self {
        Self::in_folder(index, size, name, urns, "")
    }

    /// ... of a file in that folder of the share, its parts separated by `/`: see [`Entry::folder`].
    pub fn in_folder(index: u32, size: u64, name: &str, urns: &[Urn], folder: &str) -> Self {
        let mut ggep = Ggep::default();
        if !folder.is_empty() && folder.len() <= MAX_FOLDER {
            ggep.push("PATH", folder.as_bytes());
        }
        let size32 = u32::try_from(size).unwrap_or(u32::MAX);
        if u64::from(size32) != size {
            ggep.push("LF", &shortest(size));
        }
        let space = extension::write(urns, ggep);
        let (urns, ggep) = extension::read(&space);
        // A NUL would end the name, and with it the sense of all that follows.
        let name = Text::from(name.replace('\0', "").as_str());
        Self { index, size32, name, extension: space.into(), urns, ggep }
    }

    /// The size, 64 bit: GGEP `LF` ("large file": little endian without its leading zeros) if it is there.
    pub fn size(&self) -> u64 {
        let Some(Ok(value)) = self.ggep.get("LF") else { return u64::from(self.size32) };
        let mut bytes = [0; 8];
        match bytes.get_mut(..value.len()) {
            Some(low) if !low.is_empty() => low.copy_from_slice(&value),
            _ => return u64::from(self.size32),
        }
        u64::from_le_bytes(bytes)
    }

    /// The folder that the file is in, as its servent tells: GGEP `PATH`, "relative to" the shared folder, with `/`
    /// between its parts. A stranger's words, of [`MAX_FOLDER`] bytes at most: a longer one is none.
    pub fn folder(&self) -> Option<Text> {
        let value = self.ggep.get("PATH")?.ok()?;
        (!value.is_empty() && value.len() <= MAX_FOLDER).then(|| Text(value.to_vec()))
    }

    /// How many bytes it takes in a payload.
    pub fn wire_len(&self) -> usize {
        8 + self.name.0.len() + 1 + self.extension.len() + 1
    }

    /// Who else has the file: GGEP `ALT` and `ALT6` (six and eighteen bytes each). At most [`MAX_ALT`] are read.
    pub fn alternates(&self) -> Vec<SocketAddr> {
        packed::read(&self.ggep, ALTERNATES, MAX_ALT)
    }

    /// The same entry, which also names who else has the file: GGEP `ALT`, and `ALT6`, which are for who takes IPv6 addresses
    /// ([`Query::takes`](super::query::Query::takes)). At most [`MAX_ALT`] are told; without a SHA-1 there is nothing that they
    /// could be asked for, and none are.
    #[must_use]
    pub fn with_alternates(mut self, others: &[SocketAddr]) -> Self {
        if others.is_empty() || self.sha1().is_none() {
            return self;
        }
        let mut ggep = self.ggep;
        // Its names are written anew, all into one block.
        ggep.extensions.retain(|extension| !matches!(extension.id.as_slice(), b"ALT" | b"ALT6" | b"H"));
        packed::push(&mut ggep, ALTERNATES, others, MAX_ALT);
        let space = extension::write(&self.urns, ggep);
        (self.urns, self.ggep) = extension::read(&space);
        self.extension = space.into();
        self
    }

    /// The first SHA-1 among its names.
    pub fn sha1(&self) -> Option<Sha1> {
        self.urns.iter().find_map(Urn::sha1)
    }

    /// The first Tiger tree root among its names.
    pub fn tth(&self) -> Option<Tth> {
        self.urns.iter().find_map(Urn::tth)
    }

    /// The first BLAKE3 digest among its names.
    pub fn blake3(&self) -> Option<Blake3> {
        self.urns.iter().find_map(Urn::blake3)
    }

    /// Reads the entry that begins at `at` in `payload` and ends before `end`.
    fn decode(payload: &Bytes, at: &mut usize, end: usize) -> Result<Self, DecodeError> {
        let start = *at;
        let Some([i0, i1, i2, i3, s0, s1, s2, s3]) = payload[start..end].first_chunk::<8>().copied() else {
            return Err(bad("entry", start, Cause::Truncated { needed: 8, had: end - start }));
        };
        let ended = |field, from: usize| {
            let length = payload[from..end].iter().position(|&byte| byte == 0);
            length.map(|length| from + length).ok_or_else(|| bad(field, from, Cause::Invalid("is not ended by a NUL")))
        };
        let name_end = ended("name", start + 8)?;
        let space_end = ended("extensions", name_end + 1)?;
        let space = payload.slice(name_end + 1..space_end);
        let (urns, ggep) = extension::read(&space);
        *at = space_end + 1;
        Ok(Self {
            index: u32::from_le_bytes([i0, i1, i2, i3]),
            size32: u32::from_le_bytes([s0, s1, s2, s3]),
            name: Text(payload[start + 8..name_end].to_vec()),
            extension: space,
            urns,
            ggep,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.size32.to_le_bytes());
        out.extend_from_slice(&self.name.0);
        out.push(0);
        out.extend_from_slice(&self.extension);
        out.push(0);
    }
}

/// `size` in little endian without its leading zeros.
fn shortest(size: u64) -> Vec<u8> {
    let bytes = size.to_le_bytes();
    let zeros = size.leading_zeros() as usize / 8;
    bytes[..8 - zeros].to_vec()
}

impl Qhd {
    const PUSH: u8 = 0x01;
    const BUSY: u8 = 0x04;
    /// "We use an open data bit 5": there is GGEP in the private data.
    const GGEP: u8 = 0x20;

    /// A trailer of ours: push needed? all upload slots busy?
    pub fn new(vendor: [u8; 4], push: bool, busy: bool) -> Self {
        let flag = |is_set, bit| if is_set { bit } else { 0 };
        // Each flag has a value and a bit that says that it is stated; for "push" the two bytes change places.
        let first = flag(push, Self::PUSH) | Self::BUSY;
        let second = Self::PUSH | flag(busy, Self::BUSY);
        Self { vendor, open: vec![first, second], private: Bytes::new(), ggep: Ggep::default() }
    }

    /// The same with `ggep` as its private data.
    pub fn with_ggep(mut self, ggep: Ggep) -> Self {
        if let ([first, second, ..], false) = (self.open.as_mut_slice(), ggep.is_empty()) {
            *first |= Self::GGEP;
            *second |= Self::GGEP;
        }
        let mut private = Vec::new();
        ggep.encode(&mut private);
        self.private = private.into();
        self.ggep = ggep;
        self
    }

    /// Who passes a Push on to this servent: GGEP `PUSH` ("the payload is an array of IP/Ports", six bytes each,
    /// `push_proxy` section 4.1) and `PUSH6` (eighteen bytes each). At most [`MAX_PROXIES`] are read.
    pub fn proxies(&self) -> Vec<SocketAddr> {
        packed::read(&self.ggep, PROXIES, MAX_PROXIES)
    }

    /// What [`Self::proxies`] reads.
    pub fn push_proxies(ggep: &mut Ggep, proxies: &[SocketAddr]) {
        packed::push(ggep, PROXIES, proxies, MAX_PROXIES);
    }

    /// Whether it can be browsed: GGEP `BH`, without a payload (`doc/gnutella/browse_host`).
    pub fn browse(&self) -> bool {
        self.ggep.has("BH")
    }

    /// What [`Self::browse`] reads.
    pub fn push_browse(ggep: &mut Ggep) {
        ggep.push("BH", &[]);
    }

    /// The token that its receiver gave out for hits by UDP: GGEP `SO` (`out-of-band-v3`).
    pub fn token(&self) -> Option<Vec<u8>> {
        self.ggep.get(SECURE)?.ok()
    }

    /// What [`Self::token`] reads.
    pub fn push_token(ggep: &mut Ggep, token: &[u8]) {
        ggep.push(SECURE, token);
    }

    /// The "push needed" flag, if it is stated.
    pub fn push(&self) -> Option<bool> {
        let [first, second, ..] = self.open[..] else { return None };
        (second & Self::PUSH != 0).then_some(first & Self::PUSH != 0)
    }

    /// The "all slots busy" flag, if it is stated.
    pub fn busy(&self) -> Option<bool> {
        let [first, second, ..] = self.open[..] else { return None };
        (first & Self::BUSY != 0).then_some(second & Self::BUSY != 0)
    }

    /// Reads a trailer that fills `payload[at..end]`.
    fn decode(payload: &Bytes, at: usize, end: usize) -> Result<Self, DecodeError> {
        let bytes = &payload[at..end];
        let Some(([v0, v1, v2, v3, length], rest)) = bytes.split_first_chunk::<5>() else {
            return Err(bad("trailer", at, Cause::Truncated { needed: 5, had: bytes.len() }));
        };
        let Some(open) = rest.get(..usize::from(*length)) else {
            return Err(bad("open data", at + 5, Cause::Truncated { needed: usize::from(*length), had: rest.len() }));
        };
        let private = payload.slice(at + 5 + open.len()..end);
        let stated = matches!(open, [first, second, ..] if first & second & Self::GGEP != 0);
        // "Search for the GGEP block by looking for the first occurrence of the GGEP magic byte."
        let block = private.iter().position(|&byte| byte == ggep::MAGIC).filter(|_| stated);
        let ggep = block.map(|block| extension::read(&private[block..]).1).unwrap_or_default();
        Ok(Self { vendor: [*v0, *v1, *v2, *v3], open: open.to_vec(), private, ggep })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        // One byte holds the length; open data of ours has two bytes, a decoded one came with such a byte.
        let open = &self.open[..self.open.len().min(255)];
        out.extend_from_slice(&self.vendor);
        out.push(open.len() as u8);
        out.extend_from_slice(open);
        out.extend_from_slice(&self.private);
    }
}

/// Other sources read from one entry, and told with one of ours: as many as a widely used client tells.
pub const MAX_ALT: usize = 10;
/// Bytes of a folder that is told or read: a widely used client reads so many.
pub const MAX_FOLDER: usize = 1023;
/// Push proxies read from one hit.
pub const MAX_PROXIES: usize = 8;
/// Vectors of push proxies.
const PROXIES: packed::Ids = ["PUSH", "PUSH6"];
/// Vectors of those who have a file too.
const ALTERNATES: packed::Ids = ["ALT", "ALT6"];

const FIXED: usize = 11;
const SERVENT: usize = 16;

const fn bad(field: &'static str, offset: usize, cause: Cause) -> DecodeError {
    DecodeError::new("query hit", field, offset, cause)
}

impl QueryHit {
    /// Bytes of a payload besides its entries, with a trailer of ours.
    pub const OVERHEAD: usize = 11 + 16 + 64;
    /// An entry count is one byte.
    pub const MAX_ENTRIES: usize = 255;

    /// A hit of ours; an IPv6 address goes into GGEP `6` of the trailer beside an IPv4 address of 127.0.0.0.
    /// Entries above [`MAX_ENTRIES`](Self::MAX_ENTRIES) are left out.
    pub fn new(addr: SocketAddr, speed: u32, mut entries: Vec<Entry>, qhd: Qhd, servent: Guid) -> Self {
        entries.truncate(Self::MAX_ENTRIES);
        let mut ggep = qhd.ggep.clone();
        let addr = addr::pack(addr, &mut ggep);
        let qhd = if ggep == qhd.ggep { qhd } else { qhd.with_ggep(ggep) };
        Self { addr, speed, entries, qhd: Some(qhd), servent }
    }

    /// The address it speaks of: the one in GGEP `6` if the fixed part says that there is no IPv4 address.
    pub fn host(&self) -> SocketAddr {
        match &self.qhd {
            Some(qhd) => addr::unpack(self.addr, &qhd.ggep),
            None => self.addr.into(),
        }
    }

    /// A hit of ours whose servent is to be reached at that IPv6 address as well, at the same port: `6` "present, valid IPv4"
    /// (`IPv6-Ready`, section 2.1).
    #[must_use]
    pub fn with_also_at(mut self, ip: Ipv6Addr) -> Self {
        self.qhd = self.qhd.map(|qhd| {
            let mut ggep = qhd.ggep.clone();
            addr::push_beside(&mut ggep, ip);
            qhd.with_ggep(ggep)
        });
        self
    }

    /// What [`Self::with_also_at`] wrote.
    pub fn also_at(&self) -> Option<SocketAddr> {
        self.qhd.as_ref().and_then(|qhd| addr::beside(self.addr, &qhd.ggep))
    }

    /// The same for one to whom only IPv6 leads: its host is there, if it is there as well.
    #[must_use]
    pub fn by_ipv6(mut self) -> Self {
        if self.also_at().is_some() {
            self.addr.set_ip(addr::NO_IPV4);
        }
        self
    }

    /// Its push proxies ([`Qhd::proxies`]).
    pub fn proxies(&self) -> Vec<SocketAddr> {
        self.qhd.as_ref().map(Qhd::proxies).unwrap_or_default()
    }

    /// The servent GUID alone: the last 16 bytes. The router reads nothing else of a hit it forwards.
    pub fn servent_of(payload: &[u8]) -> Option<Guid> {
        if payload.len() < FIXED + SERVENT {
            return None;
        }
        payload.last_chunk().copied().map(Guid)
    }

    /// Reads a payload.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let Some(servent) = Self::servent_of(payload) else {
            return Err(bad("fixed parts", 0, Cause::Truncated { needed: FIXED + SERVENT, had: payload.len() }));
        };
        let [count, p0, p1, a, b, c, d, s0, s1, s2, s3] = payload[..FIXED] else {
            return Err(bad("fixed parts", 0, Cause::Invalid("are short")));
        };
        let end = payload.len() - SERVENT;
        let mut at = FIXED;
        // What is allocated follows what is there, not what the count claims.
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(Entry::decode(payload, &mut at, end)?);
        }
        let qhd = if at == end { None } else { Some(Qhd::decode(payload, at, end)?) };
        Ok(Self {
            addr: SocketAddrV4::new([a, b, c, d].into(), u16::from_le_bytes([p0, p1])),
            speed: u32::from_le_bytes([s0, s1, s2, s3]),
            entries,
            qhd,
            servent,
        })
    }

    /// The payload. Entries above [`MAX_ENTRIES`](Self::MAX_ENTRIES) are left out.
    pub fn encode(&self) -> Bytes {
        let entries = &self.entries[..self.entries.len().min(Self::MAX_ENTRIES)];
        let length: usize = entries.iter().map(Entry::wire_len).sum();
        let mut out = Vec::with_capacity(Self::OVERHEAD + length);
        out.push(entries.len() as u8);
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        out.extend_from_slice(&self.addr.ip().octets());
        out.extend_from_slice(&self.speed.to_le_bytes());
        entries.iter().for_each(|entry| entry.encode(&mut out));
        if let Some(qhd) = &self.qhd {
            qhd.encode(&mut out);
        }
        out.extend_from_slice(&self.servent.0);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha1() -> Urn {
        "urn:sha1:GKECXDEZDWGCRBZWKYBJD5GGT4KAUE5V".parse().expect("a urn")
    }

    fn hit(entries: Vec<Entry>) -> QueryHit {
        let addr = "10.0.0.1:6346".parse().expect("an address");
        QueryHit::new(addr, 1000, entries, Qhd::new(*b"FLBT", true, false), Guid([3; 16]))
    }

    #[test]
    fn our_hits_read_back_as_they_were_built() {
        let bitprint = Urn::Bitprint(sha1().sha1().expect("a sha1"), Tth([0; 24]));
        let blake3 = Urn::Blake3(Blake3([0; 32]));
        let hit = hit(vec![
            Entry::new(0, 0, "", &[]),
            Entry::new(1, 12, "blue train.ogg", &[sha1()]),
            Entry::new(2, u64::from(u32::MAX), "large.iso", &[bitprint.clone(), blake3.clone()]),
            Entry::new(u32::MAX, u64::from(u32::MAX) + 1, "larger.iso", std::slice::from_ref(&bitprint)),
            Entry::new(4, u64::MAX, &"n".repeat(2000), std::slice::from_ref(&blake3)),
        ]);
        let payload = hit.encode();
        assert_eq!(QueryHit::decode(&payload), Ok(hit.clone()));
        let lengths: usize = hit.entries.iter().map(Entry::wire_len).sum();
        assert!(payload.len() <= QueryHit::OVERHEAD + lengths);
        let sizes: Vec<u64> = hit.entries.iter().map(Entry::size).collect();
        assert_eq!(sizes, [0, 12, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX]);
        assert_eq!(hit.entries[2].urns, [sha1(), blake3, bitprint]);
        assert!(!hit.entries[2].ggep.has("LF") && hit.entries[3].ggep.has("LF"));
    }

    #[test]
    fn the_folder_of_a_file_is_laid_out_as_other_clients_write_it_and_a_long_one_is_none() {
        let entry = Entry::in_folder(1, 5, "a", &[], "jazz/blue");
        // The only extension of its block, an id of four letters, nine bytes as they are.
        assert_eq!(&entry.extension[..], b"\xc3\x84PATH\x49jazz/blue");
        let told = |entry: &Entry| entry.folder().map(|folder| folder.to_str().into_owned());
        assert_eq!(told(&entry), Some("jazz/blue".into()));
        assert_eq!(told(&Entry::new(1, 5, "a", &[])), None);
        let longest = "x".repeat(MAX_FOLDER);
        assert_eq!(told(&Entry::in_folder(1, 5, "a", &[], &longest)), Some(longest.clone()));
        assert_eq!(told(&Entry::in_folder(1, 5, "a", &[], &format!("{longest}x"))), None, "not told");
        let mut ggep = Ggep::default();
        ggep.push("PATH", &[b'x'; MAX_FOLDER + 1]);
        assert_eq!(told(&Entry { ggep, ..entry.clone() }), None, "not read");
        let both =
            Entry::in_folder(1, 5, "a", &[sha1()], "jazz").with_alternates(&["10.0.0.9:1".parse().expect("one")]);
        assert_eq!((told(&both), both.alternates().len()), (Some("jazz".into()), 1));
        let read = QueryHit::decode(&hit(vec![both.clone()]).encode()).expect("our own");
        assert_eq!(read.entries, [both]);
    }

    #[test]
    fn an_entry_with_sha1_and_tree_is_laid_out_as_other_clients_read_it() {
        let urn = Urn::Bitprint(Sha1([1; 20]), Tth([2; 24]));
        let entry = Entry::new(1, 5, "a", &[urn]);
        let text = Urn::Sha1(Sha1([1; 20])).to_string();
        // Text, separator, then block: "H", 45 bytes, type 2.
        let block = [&b"\xc3\x81H\x6d\x02"[..], &[1; 20], &[2; 24]].concat();
        assert_eq!(entry.extension, [text.as_bytes(), b"\x1c", &block].concat());
    }

    #[test]
    fn others_who_have_a_file_are_told_beside_its_names() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let urns = [Urn::Bitprint(Sha1([1; 20]), Tth([2; 24])), Urn::Blake3(Blake3([3; 32]))];
        let entry = Entry::new(1, 1 << 40, "a", &urns);
        let others = [addr("10.0.0.2:6346"), addr("[2001:db8::9]:1"), addr("[::ffff:9.9.9.9]:80")];
        let told = entry.clone().with_alternates(&others);
        let hit = QueryHit::decode(&hit(vec![told]).encode()).expect("a hit");
        let [read] = &hit.entries[..] else { panic!("one entry") };
        assert_eq!((&read.urns, read.size()), (&entry.urns, 1 << 40));
        assert_eq!(
            read.alternates().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.2:6346", "9.9.9.9:80", "[2001:db8::9]:1"]
        );
        let blocks = read.extension.iter().filter(|&&byte| byte == ggep::MAGIC).count();
        assert_eq!(blocks, 1, "one block");
        let many: Vec<_> = (1..50).map(|port| SocketAddr::from(([10, 0, 0, 2], port))).collect();
        assert_eq!(entry.clone().with_alternates(&many).alternates().len(), MAX_ALT);
        assert_eq!(entry.clone().with_alternates(&[]), entry);
        let nameless = Entry::new(1, 5, "a", &[]);
        assert_eq!(nameless.clone().with_alternates(&others), nameless);
    }

    #[test]
    fn no_zero_byte_of_ours_breaks_an_entry() {
        let zeros = Urn::Bitprint(Sha1([0; 20]), Tth([0; 24]));
        let entry = Entry::new(0, 1 << 40, "a\0b", &[zeros]);
        assert_eq!(entry.name.to_str(), "ab");
        assert!(!entry.extension.contains(&0));
        assert_eq!((entry.size(), entry.tth()), (1 << 40, Some(Tth([0; 24]))));
    }

    #[test]
    fn flags_have_a_value_and_a_bit_that_states_it() {
        for (push, busy) in [(false, false), (true, false), (false, true), (true, true)] {
            let qhd = Qhd::new(*b"FLBT", push, busy);
            assert_eq!((qhd.push(), qhd.busy()), (Some(push), Some(busy)));
        }
        let with_open = |open: &[u8]| Qhd { open: open.to_vec(), ..Qhd::new(*b"ABCD", false, false) };
        // gtk-gnutella's, from a capture: not firewalled, not busy.
        assert_eq!((with_open(&[0x2c, 0x21]).push(), with_open(&[0x2c, 0x21]).busy()), (Some(false), Some(false)));
        for unstated in [&[][..], &[0x05], &[0x01, 0x04], &[0, 0]] {
            assert_eq!((with_open(unstated).push(), with_open(unstated).busy()), (None, None));
        }
    }

    #[test]
    fn the_private_data_is_searched_for_ggep_only_when_the_flags_say_so() {
        let mut ggep = Ggep::default();
        ggep.push("BH", b"");
        let mut hit = hit(vec![]);
        let qhd = hit.qhd.take().expect("a trailer of ours").with_ggep(ggep.clone());
        let old = Qhd { private: [b"\x07", &qhd.private[..]].concat().into(), ..qhd.clone() };
        let silent = Qhd { open: vec![0x05, 0x01], ggep: Ggep::default(), ..qhd.clone() };
        for expected in [qhd, old, silent] {
            hit.qhd = Some(expected.clone());
            assert_eq!(QueryHit::decode(&hit.encode()).expect("a hit").qhd, Some(expected));
        }
    }

    #[test]
    fn an_ipv6_host_is_found_in_the_trailer() {
        let addr: SocketAddr = "[2001:db8::9]:6346".parse().expect("an address");
        let hit = QueryHit::new(addr, 0, vec![], Qhd::new(*b"FLBT", false, false), Guid([3; 16]));
        let back = QueryHit::decode(&hit.encode()).expect("a hit");
        assert_eq!((back.host(), back.addr.to_string().as_str()), (addr, "127.0.0.0:6346"));
        assert_eq!(back.also_at(), None, "there is no other");
        let both = hit.with_also_at("2001:db8::9".parse().expect("an address"));
        assert_eq!(both.also_at(), None, "nor does it say one twice");
    }

    #[test]
    fn a_host_with_an_address_of_either_family_tells_both() {
        let both = hit(vec![]).with_also_at("2001:db8::9".parse().expect("an address"));
        let back = QueryHit::decode(&both.encode()).expect("a hit");
        assert_eq!((back.host(), back.proxies()), (hit(vec![]).host(), vec![]));
        assert_eq!(back.also_at(), Some(SocketAddr::new("2001:db8::9".parse().expect("one"), back.addr.port())));
        assert_eq!(Some(back.clone().by_ipv6().host()), back.also_at());
        assert_eq!((hit(vec![]).also_at(), hit(vec![]).by_ipv6()), (None, hit(vec![])));
    }

    #[test]
    fn a_hit_without_a_trailer_or_entries_is_read_and_stays_so() {
        let mut old = hit(vec![Entry::new(1, 5, "a.txt", &[])]);
        old.qhd = None;
        for payload in [old.encode(), Bytes::from_static(&[0; 27])] {
            let hit = QueryHit::decode(&payload).expect("a hit");
            assert_eq!((&hit.qhd, hit.encode()), (&None, payload));
        }
    }

    #[test]
    fn every_cut_of_a_hit_is_an_error_that_names_a_field() {
        let payload = hit(vec![Entry::new(1, 5, "a", &[])]).encode();
        for (payload, field, offset) in [
            (payload.slice(..26), "fixed parts", 0),
            ([&payload[..11], &[0; 7], &[3; 16]].concat().into(), "entry", 11),
            ([&payload[..20], &[3; 16]].concat().into(), "name", 19),
            ([&payload[..21], &[3; 16]].concat().into(), "extensions", 21),
            ([&payload[..26], &[3; 16]].concat().into(), "trailer", 22),
            ([&payload[..28], &[3; 16]].concat().into(), "open data", 27),
        ] {
            let error = QueryHit::decode(&payload).expect_err(field);
            assert_eq!((error.field, error.offset), (field, offset));
        }
        assert_eq!(QueryHit::servent_of(&payload), Some(Guid([3; 16])));
        assert_eq!(QueryHit::servent_of(&payload[..26]), None);
    }

    #[test]
    fn push_proxies_stand_in_the_private_data_as_real_clients_write_them() {
        // From recording 21: a firewalled gtk-gnutella and its ultrapeer.
        let mut ggep = Ggep::default();
        let proxies = ["100.64.77.1:6346", "[2001:db8::1]:9"].map(|text| text.parse().expect("an address"));
        Qhd::push_proxies(&mut ggep, &proxies);
        assert_eq!(ggep.get("PUSH"), Some(Ok(b"\x64\x40\x4d\x01\xca\x18".to_vec())));
        let qhd = Qhd::new(*b"FLBT", true, false).with_ggep(ggep);
        let hit = QueryHit { qhd: Some(qhd), ..hit(Vec::new()) };
        let back = QueryHit::decode(&hit.encode()).expect("a hit");
        assert_eq!(back.proxies(), proxies);
        let mut many = Ggep::default();
        many.push("PUSH", &[1; 6 * 300 + 5]);
        assert_eq!(Qhd::new(*b"FLBT", true, false).with_ggep(many).proxies().len(), MAX_PROXIES);
    }
}
