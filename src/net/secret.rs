//! Links between filberts, encrypted: Noise XX once the handshake is through, then everything in records.
//!
//! ```text
//! 3 legs        X-Filbert-Noise: XX/25519/ChaChaPoly/BLAKE2s      offered, taken, confirmed (`proto`)
//! dialler       length (2, big endian), e
//! acceptor      length, e, ee, s, es
//! dialler       length, s, se
//! both          records: length, ciphertext with its tag of 16 bytes
//! ```
//! The prologue is a digest of the three legs as they were written and read: who changed a byte of them cannot get past
//! the second message. Bounds: a record holds [`RECORD`] bytes, at least one. Each direction numbers its records, so that
//! one that is changed, left out, repeated or moved is an error, and ends the link. Whose key it is nobody vouches for: ADR 0006.

use std::fmt;
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt};
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::{Builder, HandshakeState, StatelessTransportState};

use super::rt::TcpStream;
use crate::proto::{CloseReason, Direction};

/// `NoiseParams` of the header's value.
const NOISE: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
/// What the prologue begins with.
const PROLOGUE: &[u8; 16] = b"filbert noise 1\n";
/// Bytes in a record at most.
const RECORD: usize = 16 * 1024;
const TAG: usize = 16;
/// No message of the Noise handshake is longer: the longest is e, s and two tags.
const NOISE_MESSAGE: usize = 96;

/// A public key.
pub type Key = [u8; 32];

/// Our own key, and what others know it by.
#[derive(Clone)]
pub struct Identity {
    private: [u8; 32],
    public: Key,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", data_encoding::HEXLOWER.encode(&self.public))
    }
}

impl Identity {
    /// The owner of that private key; any 32 bytes are one.
    pub fn new(private: [u8; 32]) -> Self {
        let mut public = Key::default();
        if let Some(mut dh) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) {
            dh.set(&private);
            public.copy_from_slice(&dh.pubkey()[..32]);
        }
        Self { private, public }
    }

    /// What others know us by.
    pub fn public(&self) -> Key {
        self.public
    }
}

/// A digest of the legs of a handshake, in order, as they were on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Transcript([u8; 32]);

impl Transcript {
    /// The next leg.
    pub(super) fn add(&mut self, leg: &[u8]) {
        let mut digest = blake3::Hasher::new();
        digest.update(&self.0).update(leg);
        self.0 = *digest.finalize().as_bytes();
    }
}

/// Shakes hands: who dialled begins. `rest` is what came behind the last leg. Returns both ends of the link, and the other
/// side's key, which it has proved to own.
pub(super) async fn agree(
    stream: &TcpStream,
    rest: &mut Vec<u8>,
    direction: Direction,
    ours: &Identity,
    legs: Transcript,
) -> Result<(Sealer, Opener, Key), CloseReason> {
    let mut noise = begin(direction, ours, legs).map_err(failed)?;
    while !noise.is_handshake_finished() {
        if noise.is_my_turn() {
            let message = say(&mut noise).map_err(failed)?;
            let mut stream = stream;
            stream.write_all(&message).await.map_err(|_| CloseReason::Broken)?;
        } else {
            let length = usize::from(u16::from_be_bytes(take(stream, rest).await?));
            if length > NOISE_MESSAGE {
                return Err(CloseReason::Garbage("a Noise handshake of that length is none".to_owned()));
            }
            fill(stream, rest, length).await?;
            let message: Vec<u8> = rest.drain(..length).collect();
            noise.read_message(&message, &mut [0; NOISE_MESSAGE]).map_err(failed)?;
        }
    }
    finish(noise).map_err(failed)
}

fn begin(direction: Direction, ours: &Identity, legs: Transcript) -> Result<HandshakeState, snow::Error> {
    let prologue = [&PROLOGUE[..], &legs.0].concat();
    let builder = Builder::new(NOISE.parse()?).local_private_key(&ours.private)?.prologue(&prologue)?;
    match direction {
        Direction::Out => builder.build_initiator(),
        Direction::In => builder.build_responder(),
    }
}

/// Our next message, framed.
fn say(noise: &mut HandshakeState) -> Result<Vec<u8>, snow::Error> {
    let mut message = vec![0; 2 + NOISE_MESSAGE];
    let length = noise.write_message(&[], &mut message[2..])?;
    message[..2].copy_from_slice(&(length as u16).to_be_bytes());
    message.truncate(2 + length);
    Ok(message)
}

fn finish(noise: HandshakeState) -> Result<(Sealer, Opener, Key), snow::Error> {
    let theirs = noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(snow::Error::Input)?;
    let cipher = Arc::new(noise.into_stateless_transport_mode()?);
    let sealer = Sealer { cipher: Arc::clone(&cipher), next: 0 };
    Ok((sealer, Opener { cipher, next: 0, came: Vec::new() }, theirs))
}

fn failed(error: snow::Error) -> CloseReason {
    CloseReason::Garbage(format!("no encryption was agreed on: {error}"))
}

async fn take(stream: &TcpStream, rest: &mut Vec<u8>) -> Result<[u8; 2], CloseReason> {
    fill(stream, rest, 2).await?;
    let taken = [rest[0], rest[1]];
    rest.drain(..2);
    Ok(taken)
}

/// Reads until `rest` has so many bytes.
async fn fill(mut stream: &TcpStream, rest: &mut Vec<u8>, length: usize) -> Result<(), CloseReason> {
    let mut buffer = [0; 128];
    while rest.len() < length {
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(CloseReason::Closed),
            Ok(n) => rest.extend_from_slice(&buffer[..n]),
            Err(_) => return Err(CloseReason::Broken),
        }
    }
    Ok(())
}

/// Encrypts what we send.
pub(super) struct Sealer {
    cipher: Arc<StatelessTransportState>,
    next: u64,
}

impl Sealer {
    /// The records that `bytes` make.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Result<Vec<u8>, CloseReason> {
        let mut sealed = Vec::with_capacity(bytes.len() + (2 + TAG) * bytes.len().div_ceil(RECORD));
        for plain in bytes.chunks(RECORD) {
            let length = plain.len() + TAG;
            sealed.extend_from_slice(&(length as u16).to_be_bytes());
            let at = sealed.len();
            sealed.resize(at + length, 0);
            self.cipher.write_message(self.next, plain, &mut sealed[at..]).map_err(failed)?;
            self.next += 1;
        }
        Ok(sealed)
    }
}

/// Decrypts what comes. Between two records it holds nothing.
pub(super) struct Opener {
    cipher: Arc<StatelessTransportState>,
    next: u64,
    /// The beginning of a record.
    came: Vec<u8>,
}

impl Opener {
    /// Takes bytes off the wire; what they complete is returned. An error ends the link: nothing behind it can be read.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Result<Vec<u8>, CloseReason> {
        let mut all = std::mem::take(&mut self.came);
        all.extend_from_slice(bytes);
        let (mut rest, mut opened) = (&all[..], Vec::new());
        while let Some((&[high, low], behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if !(TAG + 1..=RECORD + TAG).contains(&length) {
                return Err(CloseReason::Garbage(format!("a record of {length} bytes on an encrypted link")));
            }
            let Some((sealed, behind)) = behind.split_at_checked(length) else { break };
            let at = opened.len();
            opened.resize(at + length - TAG, 0);
            let read = self.cipher.read_message(self.next, sealed, &mut opened[at..]);
            read.map_err(|_| CloseReason::Garbage("a record that was changed on its way".to_owned()))?;
            self.next += 1;
            rest = behind;
        }
        self.came = rest.to_vec();
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type End = (Sealer, Opener, Key);

    fn ends(
        ours: Transcript,
        theirs: Transcript,
        change: impl Fn(usize, &mut Vec<u8>),
    ) -> Result<(End, End), snow::Error> {
        let (a, b) = (Identity::new([1; 32]), Identity::new([2; 32]));
        let mut noise = [begin(Direction::Out, &a, ours)?, begin(Direction::In, &b, theirs)?];
        for turn in 0..3 {
            let mut message = say(&mut noise[turn % 2])?;
            assert_eq!(message.len(), 2 + [32, 96, 64][turn]);
            change(turn, &mut message);
            noise[(turn + 1) % 2].read_message(&message[2..], &mut [0; NOISE_MESSAGE])?;
        }
        let [a, b] = noise;
        Ok((finish(a)?, finish(b)?))
    }

    fn pair() -> (End, End) {
        ends(Transcript::default(), Transcript::default(), |_, _| ()).expect("an honest handshake")
    }

    #[test]
    fn both_ends_know_each_others_keys() {
        let ((.., theirs), (.., ours)) = pair();
        assert_eq!(theirs, Identity::new([2; 32]).public());
        assert_eq!(ours, Identity::new([1; 32]).public());
        assert_eq!(format!("{:?}", Identity::new([1; 32])).len(), "Identity()".len() + 64, "no private key in it");
    }

    #[test]
    fn who_changes_a_leg_or_a_bit_of_the_handshake_is_noticed() {
        let (mut ours, mut theirs) = (Transcript::default(), Transcript::default());
        ours.add(b"GNUTELLA CONNECT/0.6\r\nAccept-Encoding: deflate\r\n\r\n");
        theirs.add(b"GNUTELLA CONNECT/0.6\r\n\r\n");
        assert!(ends(ours, theirs, |_, _| ()).is_err());
        assert!(ends(ours, ours, |_, _| ()).is_ok());
        for turn in 0..3 {
            for byte in [2, 20, 33] {
                let flip = |at: usize, message: &mut Vec<u8>| message[byte] ^= u8::from(at == turn);
                assert!(ends(ours, ours, flip).is_err(), "message {turn}, byte {byte}");
            }
        }
    }

    #[test]
    fn legs_are_told_apart() {
        let digest = |legs: &[&[u8]]| {
            let mut transcript = Transcript::default();
            legs.iter().for_each(|leg| transcript.add(leg));
            transcript
        };
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[b"ab", b"c"]), digest(&[b"ab", b"c"]));
    }

    #[test]
    fn an_idle_end_holds_nothing() {
        let ((mut sealer, ..), (_, mut opener, _)) = pair();
        let sealed = sealer.seal(&[5; RECORD + 1]).expect("sealed");
        assert_eq!(sealed.len(), RECORD + 1 + 2 * (2 + TAG));
        let (first, last) = sealed.split_at(100);
        assert_eq!((opener.open(first), opener.came.len()), (Ok(Vec::new()), 100));
        assert_eq!(opener.open(last).expect("whole").len(), RECORD + 1);
        assert_eq!(opener.came.capacity(), 0);
    }

    #[test]
    fn records_of_no_length_or_too_long_are_refused_at_once() {
        for length in [0, TAG, RECORD + TAG + 1, 0xffff] {
            let (_, (_, mut opener, _)) = pair();
            assert!(opener.open(&(length as u16).to_be_bytes()).is_err(), "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_sealed_is_opened_however_it_is_cut(
            writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40_000), 1..4),
            cut in 1usize..5000,
        ) {
            let ((mut sealer, ..), (_, mut opener, _)) = pair();
            for bytes in writes {
                let sealed = sealer.seal(&bytes).expect("sealed");
                let mut got = Vec::new();
                for piece in sealed.chunks(cut) {
                    got.extend(opener.open(piece).expect("our own records"));
                }
                prop_assert_eq!(got, bytes);
            }
        }

        #[test]
        fn nothing_changed_left_out_repeated_or_moved_gets_through(
            flip in any::<(prop::sample::Index, u8)>(),
            other in 0usize..4,
        ) {
            let ((mut sealer, ..), (_, mut opener, _)) = pair();
            let records: Vec<_> = (0..3u8).map(|n| sealer.seal(&[n; 40]).expect("sealed")).collect();
            let wire = match other {
                0 => {
                    let mut wire = records.concat();
                    let at = flip.0.index(wire.len());
                    wire[at] ^= 1 << (flip.1 % 8);
                    wire
                }
                1 => records[1..].concat(),
                2 => [&records[0][..], &records[0]].concat(),
                _ => [&records[0][..], &records[2], &records[1]].concat(),
            };
            // A length that grew may only make it wait for more, which never comes right either.
            let opened = opener.open(&wire).and_then(|opened| Ok((opened, opener.open(&[0; 2 * RECORD])?)));
            prop_assert!(opened.is_err());
        }

        #[test]
        fn anything_else_is_an_error(bytes in prop::collection::vec(any::<u8>(), RECORD + 100..2 * RECORD)) {
            let (_, (_, mut opener, _)) = pair();
            prop_assert!(opener.open(&bytes).is_err());
        }
    }
}
