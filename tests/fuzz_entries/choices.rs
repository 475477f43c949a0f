//! Bytes taken as decisions, so that whoever makes bytes (a fuzzer, a property test, a corpus) makes stories.

use std::net::SocketAddr;

/// What is left of the bytes. When they are used up every decision is zero.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        let n = if bound > 256 { usize::from(self.word()) } else { usize::from(self.byte()) };
        n % bound
    }

    /// One of `some`.
    pub fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())]
    }

    /// At most `most` bytes; how many is said by the byte before them.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let len = usize::from(self.byte()).min(most).min(self.0.len());
        let (some, rest) = self.0.split_at(len);
        self.0 = rest;
        some
    }

    /// The same as text.
    pub fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(self.bytes(most)).into_owned()
    }

    /// One of few hosts of every sort, so that things meet.
    pub fn host(&mut self) -> SocketAddr {
        const IPS: [&str; 16] = [
            "10.0.0.1",
            "10.0.0.2",
            "127.0.0.1",
            "192.168.1.1",
            "8.8.1.1",
            "8.8.1.2",
            "8.8.2.1",
            "9.9.9.9",
            "77.1.2.3",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "2001:db8::1",
            "fe80::1",
            "::ffff:8.8.1.1",
        ];
        const PORTS: [u16; 6] = [6346, 6347, 80, 25, 0, 40_000];
        let n = self.byte();
        // Most addresses are public ones with a usual port.
        let ip = IPS[usize::from(n % 16)].parse().expect("an address");
        SocketAddr::new(ip, PORTS[usize::from(n / 16) % PORTS.len()])
    }
}
