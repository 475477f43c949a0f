//! What a search asks for, and whether a name has it.
//!
//! A query is words of which all are wanted. A word matches a whole word of a name, never a part of one: that
//! is what QRP tables promise about us to our neighbours (some servents also answer for prefixes of words; we
//! do not, because a flood that asks for `art` should not return every `article`). Scripts without spaces match
//! where the name contains them. The language that people type is read in `parse`.

use std::fmt;

use super::kind::Kind;
use crate::wire::Urn;
use crate::wire::words::{self, Token};

/// The longest query text that can match anything, in bytes: names have 255 at most, and folding at most
/// multiplies that. Longer ones, which only come from strangers, match nothing.
pub(super) const MAX_TEXT: usize = 4096;
/// The most words of a query that a name can have. A query of more words matches nothing.
const MAX_WORDS: usize = 128;

/// What a search asks for. The empty one (`default()`) asks for nothing and matches nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Criteria {
    /// Content asked for by name: then nothing else counts.
    pub urns: Vec<Urn>,
    /// All of these are wanted; each is a choice between alternatives.
    pub(super) wanted: Vec<Vec<Phrase>>,
    /// None of these may be there.
    pub(super) unwanted: Vec<Phrase>,
    /// The name ends in one of these (folded, without the first dot); empty: in anything.
    pub(super) extensions: Vec<String>,
    /// ... and in none of these.
    pub(super) not_extensions: Vec<String>,
    /// One of these kinds; empty: any.
    pub(super) kinds: Vec<Kind>,
    /// ... and none of these.
    pub(super) not_kinds: Vec<Kind>,
    /// The fewest bytes.
    pub(super) min_size: u64,
    /// The most bytes.
    pub(super) max_size: Option<u64>,
}

/// Words that stand beside each other; most have one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phrase {
    /// As compared: folded text, never without a word in it.
    folded: String,
    /// As typed, in NFC: what the network is asked.
    typed: Vec<String>,
}

impl Phrase {
    /// The words of `text`, if it has any.
    pub(super) fn new(text: &str) -> Option<Self> {
        let folded = words::fold(text);
        words::tokens(&folded).next()?;
        // A mark that combines with nothing is no word: a query of it alone would ask for nothing.
        let mut typed = words::typed_words(text);
        typed.retain(|word| words::tokens(&words::fold(word)).next().is_some());
        Some(Self { folded, typed })
    }

    /// Each word of `text` on its own.
    pub(super) fn each(text: &str) -> Vec<Self> {
        words::typed_words(text).iter().filter_map(|word| Self::new(word)).collect()
    }

    /// Its tokens: at least one.
    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        words::tokens(&self.folded).collect()
    }

    /// Is it one plain word? Then a name that has the word has the phrase.
    pub(super) fn is_a_word(&self) -> bool {
        matches!(*self.tokens(), [Token::Word(_)])
    }
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

impl Criteria {
    /// Reads what a person typed: words (all wanted), `-word` (unwanted), `"a phrase"`, `a|b` (either) or `--any`
    /// (any of the words), `ext:flac`, `type:audio|video`, `size:>10M`, `size:1M..2G`, or `urn:sha1:...` alone.
    pub fn parse(text: &str) -> Result<Self, CriteriaError> {
        super::parse::parse(text)
    }

    /// Reads what a peer asks: plain words, all of them wanted, or content by name (then the words do not count).
    /// Text without words, more than 128 words or more than 4 KiB ask for nothing.
    pub fn from_wire(text: &str, urns: &[Urn]) -> Self {
        let mut criteria = Self { urns: urns.to_vec(), ..Self::default() };
        if text.len() > MAX_TEXT || !urns.is_empty() {
            return criteria;
        }
        for phrase in Phrase::each(text) {
            if !criteria.wanted.iter().any(|known| known[0].folded == phrase.folded) {
                criteria.wanted.push(vec![phrase]);
            }
        }
        if criteria.wanted.len() > MAX_WORDS {
            criteria.wanted.clear();
        }
        criteria
    }

    /// The plain words that the network is asked with: those that every match has. Where there is none, because
    /// all words are alternatives, it is the longest alternative, and what has only the others is not found:
    /// ask with all of [`Criteria::wire_texts`] to find that too. Empty when content is asked for by name.
    pub fn wire_text(&self) -> String {
        let texts = self.wire_texts();
        let longest = texts.iter().rev().max_by_key(|text| text.chars().filter(|c| *c != ' ').count());
        longest.cloned().unwrap_or_default()
    }

    /// The queries that together find every match: one, or where all words are alternatives one for each.
    pub fn wire_texts(&self) -> Vec<String> {
        let mut common: Vec<&str> = Vec::new();
        for choice in &self.wanted {
            let Some((first, others)) = choice.split_first() else { continue };
            for word in &first.typed {
                let folded = words::fold(word);
                let in_all = others.iter().all(|other| other.typed.iter().any(|w| words::fold(w) == folded));
                if in_all && !common.iter().any(|known| words::fold(known) == folded) {
                    common.push(word);
                }
            }
        }
        if !common.is_empty() {
            return vec![common.join(" ")];
        }
        // Of several choices the one with the fewest alternatives costs the fewest queries.
        let fewest = self.wanted.iter().min_by_key(|choice| choice.len());
        fewest.map(|choice| choice.iter().map(|phrase| phrase.typed.join(" ")).collect()).unwrap_or_default()
    }

    /// Does a file of that name and size match? When content is asked for by name, neither can tell, and the
    /// answer is yes: compare the URN.
    pub fn matches(&self, name: &str, size: u64) -> bool {
        if !self.urns.is_empty() {
            return true;
        }
        self.sieve().passes(name, size)
    }

    /// The same for many names one after the other. (Content asked for by name is not looked at.)
    pub(super) fn sieve(&self) -> Sieve<'_> {
        let wanted = self.wanted.iter().map(|choice| choice.iter().map(Phrase::tokens).collect()).collect();
        let unwanted = self.unwanted.iter().map(Phrase::tokens).collect();
        Sieve { criteria: self, wanted, unwanted, folded: String::new() }
    }

    /// Do files of any size match?
    pub(super) fn any_size(&self) -> bool {
        self.min_size == 0 && self.max_size.is_none()
    }

    /// Is a file of that size what is wanted?
    pub(super) fn fits(&self, size: u64) -> bool {
        size >= self.min_size && self.max_size.is_none_or(|max| size <= max)
    }

    /// Is a name that has all wanted terms and no unwanted word a match for sure? (If not, [`Criteria::matches`] tells.)
    pub(super) fn terms_suffice(&self) -> bool {
        let plain = |phrase: &Phrase| match *phrase.tokens() {
            [Token::Word(_)] => true,
            [Token::Run(run)] => run.chars().count() <= 2,
            _ => false,
        };
        self.unwanted.iter().all(Phrase::is_a_word)
            && self.extensions.is_empty()
            && self.not_extensions.is_empty()
            && self.kinds.is_empty()
            && self.not_kinds.is_empty()
            && self.wanted.iter().flatten().all(plain)
    }
}

/// Criteria taken apart once, for many names.
pub(super) struct Sieve<'a> {
    criteria: &'a Criteria,
    wanted: Vec<Vec<Vec<Token<'a>>>>,
    unwanted: Vec<Vec<Token<'a>>>,
    /// Reused between names.
    folded: String,
}

impl Sieve<'_> {
    /// Does a file of that name and size match?
    pub(super) fn passes(&mut self, name: &str, size: u64) -> bool {
        let criteria = self.criteria;
        if criteria.wanted.is_empty() || !criteria.fits(size) {
            return false;
        }
        self.folded.clear();
        words::fold_into(name, &mut self.folded);
        let folded = &*self.folded;
        if !criteria.extensions.is_empty() && !criteria.extensions.iter().any(|end| has_extension(folded, end))
            || criteria.not_extensions.iter().any(|end| has_extension(folded, end))
            || !criteria.kinds.is_empty() && !Kind::of(folded).is_some_and(|kind| criteria.kinds.contains(&kind))
            || !criteria.not_kinds.is_empty() && Kind::of(folded).is_some_and(|kind| criteria.not_kinds.contains(&kind))
        {
            return false;
        }
        let tokens: Vec<Token<'_>> = words::tokens(folded).collect();
        self.wanted.iter().all(|choice| choice.iter().any(|phrase| words::contains(&tokens, phrase)))
            && !self.unwanted.iter().any(|phrase| words::contains(&tokens, phrase))
    }
}

fn has_extension(folded: &str, end: &str) -> bool {
    folded.strip_suffix(end).is_some_and(|stem| stem.ends_with('.'))
}
