//! Bytes to values and back: every message of Gnutella 0.6, its extensions, its handshake and its HTTP heads.
//!
//! Nothing here keeps state about a peer, and nothing here panics on what a stranger sends: lengths are
//! checked before anything is allocated, and a [`DecodeError`] names the message, the field and the offset.
//! What we do not know survives a round trip untouched.

pub mod addr;
pub mod alt;
mod any_row;
pub mod blake3_tree;
pub mod bye;
mod coding;
pub mod deflated;
mod digest;
pub mod dime;
pub mod disposition;
pub mod dns;
mod error;
mod extension;
pub mod features;
mod frame;
mod frames;
pub mod ggep;
mod guid;
pub mod handshake;
pub mod head;
pub mod hit;
pub mod http;
mod message;
mod packed;
pub mod ping;
pub mod pong;
pub mod print;
pub mod push;
pub mod qrp;
pub mod qrt;
pub mod query;
mod range;
mod row;
pub mod stream;
pub mod text;
pub mod thex;
mod tiger;
mod tree;
pub mod urn;
pub mod vendor;
pub mod words;

pub use any_row::{AnyRoot, AnyRow, TreeKind};
pub use blake3_tree::{Blake3Row, Blake3Tree, Part, PartTree};
pub use digest::{Digester, Digests};
pub use error::{Cause, DecodeError};
pub use frame::{Frame, HEADER_LEN, Header, Kind};
pub use frames::{FrameRef, Frames};
pub use guid::Guid;
pub use message::Message;
pub use row::{LEAF, MAX_ROW, Node, Row, good_depth, node_above, row_len};
pub use text::Text;
pub use tree::{TigerTree, TreeRow, TreeSlice};
pub use urn::{Blake3, Sha1, Tth, Urn};
