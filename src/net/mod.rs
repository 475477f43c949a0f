//! Sockets: the one port that everything comes in by, Gnutella links, peer HTTP, and the task that drives the
//! servent. Nothing here decides what a message means or touches a file by its path.

pub mod rt;
pub mod serve;
