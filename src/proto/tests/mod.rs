//! The servent as a whole: alone against a scripted driver ([`lone`]), and in small worlds ([`world`]).

mod datagrams;
mod dynamic;
mod handshaking;
mod leaves;
mod lone;
mod memory;
mod mesh;
mod oob;
mod pongs;
mod random;
mod roles;
mod routing;
mod slow;
mod timing;
mod walls;
mod world;
