//! A payload decoded as what its header says it is.

use bytes::Bytes;

use super::bye::Bye;
use super::hit::QueryHit;
use super::ping::Ping;
use super::pong::Pong;
use super::push::Push;
use super::qrp::RouteTableUpdate;
use super::query::Query;
use super::vendor::Vendor;
use super::{DecodeError, Kind};

/// Any message's payload. What decodes encodes to the same bytes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who is there?
    Ping(Ping),
    /// I am.
    Pong(Pong),
    /// The sender leaves.
    Bye(Bye),
    /// A query routing table, whole or in part.
    RouteTableUpdate(RouteTableUpdate),
    /// A vendor message, standard or not.
    Vendor(Vendor),
    /// Please connect to this host.
    Push(Push),
    /// Who has this?
    Query(Query),
    /// I have these.
    QueryHit(QueryHit),
    /// A kind that we do not know.
    Other(Bytes),
}

impl Message {
    /// Reads `payload` as a message of `kind`.
    pub fn decode(kind: Kind, payload: &Bytes) -> Result<Self, DecodeError> {
        Ok(match kind {
            Kind::Ping => Self::Ping(Ping::decode(payload)?),
            Kind::Pong => Self::Pong(Pong::decode(payload)?),
            Kind::Bye => Self::Bye(Bye::decode(payload)?),
            Kind::RouteTableUpdate => Self::RouteTableUpdate(RouteTableUpdate::decode(payload)?),
            Kind::Vendor | Kind::VendorStandard => Self::Vendor(Vendor::decode(payload)?),
            Kind::Push => Self::Push(Push::decode(payload)?),
            Kind::Query => Self::Query(Query::decode(payload)?),
            Kind::QueryHit => Self::QueryHit(QueryHit::decode(payload)?),
            Kind::Other(_) => Self::Other(payload.clone()),
        })
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ping(ping) => ping.encode(),
            Self::Pong(pong) => pong.encode(),
            Self::Bye(bye) => bye.encode(),
            Self::RouteTableUpdate(update) => update.encode(),
            Self::Vendor(message) => message.encode(),
            Self::Push(push) => push.encode(),
            Self::Query(query) => query.encode(),
            Self::QueryHit(hit) => hit.encode(),
            Self::Other(payload) => payload.clone(),
        }
    }
}
