//! What we share, as values: files, their names' index, and what a query asks of them. Pure: paths are names
//! here, never opened.

mod criteria;
mod shelf;

pub use criteria::{Criteria, CriteriaError};
pub use shelf::{Library, RootId, SharedFile, Stamp};
