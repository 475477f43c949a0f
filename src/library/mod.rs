//! What we share, as values: files, their names' index, and what a query asks of them. Pure: paths are names
//! here, never opened.

mod change;
mod criteria;
mod index;
mod kind;
mod parse;
mod postings;
mod shelf;
mod words;

pub use change::Change;
pub use criteria::{Criteria, CriteriaError};
pub use kind::Kind;
pub use shelf::{Library, RootId, SharedFile, Stamp};
pub use words::words;
