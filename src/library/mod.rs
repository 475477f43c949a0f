//! What we share, as values: files, their names' index, and what a query asks of them. Pure: paths are names
//! here, never opened.

mod cells;
mod change;
mod contents;
mod criteria;
mod folders;
mod index;
mod kind;
mod lists;
mod many;
mod parse;
mod records;
mod seek;
mod shelf;
mod stamp;
mod table;

pub use crate::wire::words::words;
pub use change::Change;
pub use criteria::{Criteria, CriteriaError};
pub use index::Index;
pub use kind::Kind;
pub use parse::bytes;
pub use shelf::{Library, Listed, RootId, SharedFile};
pub use stamp::Stamp;
