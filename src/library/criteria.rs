//! The query language: what a person types, what the network is asked, and what a name must have.

use std::fmt;

use crate::wire::Urn;

/// What a search asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Criteria {
    /// Content asked for by name: then nothing else counts.
    pub urns: Vec<Urn>,
}

/// Why a query cannot be asked: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriteriaError(pub String);

impl fmt::Display for CriteriaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CriteriaError {}

#[allow(unused_variables, clippy::todo)]
impl Criteria {
    /// Reads what a person typed.
    pub fn parse(text: &str) -> Result<Self, CriteriaError> {
        todo!()
    }
    /// Reads what a peer asks: plain words, all of them wanted.
    pub fn from_wire(text: &str, urns: &[Urn]) -> Self {
        todo!()
    }
    /// The plain words that the network is asked with (the longest alternative set that loses no hit).
    pub fn wire_text(&self) -> String {
        todo!()
    }
    /// Does a file of that name and size match?
    pub fn matches(&self, name: &str, size: u64) -> bool {
        todo!()
    }
}
