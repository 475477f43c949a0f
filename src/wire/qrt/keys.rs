//! Which hashes a name puts into a table, and which a query looks for.

use unicode_normalization::UnicodeNormalization;

use crate::wire::Urn;
use crate::wire::words::{self, Token};

/// "x * 0x4F1BBCDC": (sqrt(5) - 1) / 2, the golden ratio, in 31 bits (`QRP`, "Hashing details").
const GOLDEN: u32 = 0x4F1B_BCDC;
/// Shorter words than this are in nobody's table for sure.
const SHORTEST: usize = 3;
/// Words of one query that are looked for, and URNs; more words would hardly keep back more.
const MOST: usize = 16;
/// Words in whose spelling an accented one is looked for.
const SPELLED: usize = 64;
/// A longer text says nothing by which a query could be told: no servent of ours answers it.
const LONGEST: usize = 4096;

/// The hash of a word in lower case: "treat each 4 bytes as a little-endian number, XOR them, multiply". What are bytes
/// there are, for all who use it, the lower bytes of UTF-16 units.
pub fn hash(word: &str) -> u32 {
    let units = word.encode_utf16().enumerate();
    let folded = units.fold(0u32, |sum, (at, unit)| sum ^ u32::from(unit as u8) << (at % 4 * 8));
    folded.wrapping_mul(GOLDEN)
}

/// The hashes of a content name; only SHA-1 goes into tables, as a word. LimeWire's heirs hash it in lower case,
/// gtk-gnutella as it is written: a table that has both is understood by both.
pub fn urn_hashes(urn: &Urn) -> Option<[u32; 2]> {
    let written = Urn::Sha1(urn.sha1()?).to_string();
    Some([hash(&written), hash(&written.to_lowercase())])
}

/// Hands out the hashes of the words of a shared file's name.
pub fn each_hash(name: &str, mut to: impl FnMut(u32)) {
    let folded = words::fold(name);
    for token in words::tokens(&folded) {
        to(hash(token.text()));
        if let Token::Run(_) = token {
            words::each_term(token, |term| to(hash(term)));
        }
    }
    if !name.is_ascii() {
        // Some keep accents.
        with_accents(name).for_each(|word| to(hash(&word)));
    }
}

/// The hashes that a query looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Each word in the spellings that tables may have it in.
    pub(super) words: Vec<[u32; 2]>,
    pub(super) urns: Vec<u32>,
}

impl Keys {
    /// Whether one of the URNs is there, or all of the words are.
    pub(super) fn are_in(&self, has: impl Fn(u32) -> bool) -> bool {
        if self.urns.iter().any(|&urn| has(urn)) {
            return true;
        }
        let by_words = !self.words.is_empty() || self.urns.is_empty();
        by_words && self.words.iter().all(|spellings| spellings.iter().any(|&word| has(word)))
    }

    /// Those of a query with these words and URNs. Words by which not every servent could tell are left out: short
    /// ones, and text of scripts without spaces, which some cut and some do not.
    ///
    /// A URN that is in no table, or more of them than are looked for, may be found anywhere: then nothing can be told.
    pub fn of(text: &str, urns: &[Urn]) -> Self {
        let hashes: Option<Vec<[u32; 2]>> = urns.iter().take(MOST + 1).map(urn_hashes).collect();
        let Some(hashes) = hashes.filter(|hashes| hashes.len() <= MOST && text.len() <= LONGEST) else {
            return Self::default();
        };
        let mut keys = Self { words: Vec::new(), urns: hashes.into_iter().flatten().collect() };
        let folded = words::fold(text);
        let plain = words::tokens(&folded).filter_map(|token| match token {
            Token::Word(word) => Some(word),
            Token::Run(_) => None,
        });
        if text.is_ascii() {
            keys.words.extend(plain.filter(|word| word.len() >= SHORTEST).map(|word| [hash(word); 2]).take(MOST));
            return keys;
        }
        let accented: Vec<_> = with_accents(text).take(SPELLED).map(|typed| (words::fold(&typed), typed)).collect();
        for word in plain.filter(|word| word.chars().count() >= SHORTEST).take(MOST) {
            let typed = accented.iter().find(|(folded, _)| folded == word);
            keys.words.push([hash(word), typed.map_or_else(|| hash(word), |(_, typed)| hash(typed))]);
        }
        keys
    }
}

/// The words of a text in lower case, with their accents.
fn with_accents(text: &str) -> impl Iterator<Item = String> {
    words::typed_words(text).into_iter().map(|word| word.to_lowercase().nfc().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_specification() {
        // "QRP", appendix: the test cases that all implementations share.
        let slot = |word, bits: u32| hash(word) >> (32 - bits);
        for (word, bits, want) in [
            ("", 13, 0),
            ("eb", 13, 6791),
            ("ebc", 13, 7082),
            ("ebck", 13, 6698),
            ("ebckl", 13, 3179),
            ("ebcklm", 13, 3235),
            ("ebcklme", 13, 6438),
            ("ebcklmen", 13, 1062),
            ("ebcklmenq", 13, 3527),
            ("n", 16, 65003),
            ("nd", 16, 54193),
            ("ndflalem", 16, 37658),
            ("ndflaleme", 16, 45559),
            ("ol2j34lj", 10, 318),
            ("2459345938032343", 10, 146),
            ("zzzzzzzzzzz", 10, 944),
        ] {
            assert_eq!(slot(word, bits), want, "{word}");
        }
    }

    #[test]
    fn a_name_is_found_by_all_spellings_of_its_words() {
        let mut hashes = Vec::new();
        each_hash("Beyoncé 東京都 Straße.ogg", |hash| hashes.push(hash));
        for word in ["beyonce", "beyoncé", "東京都", "東京", "京", "strasse", "straße", "ogg"] {
            assert!(hashes.contains(&hash(word)), "{word}");
        }
        let keys = Keys::of("BEYONCÉ 東京", &[]);
        assert_eq!(keys.words, [[hash("beyonce"), hash("beyoncé")]]);
        assert_eq!(
            Keys::of("it is a Song of-the_road", &[]).words,
            ["song", "the", "road"].map(|word| [hash(word); 2])
        );
    }

    #[test]
    fn what_cannot_be_told_by_its_names_is_kept_from_nobody() {
        let sha1 = |n: u8| Urn::Sha1(crate::wire::Sha1([n; 20]));
        let told: Vec<Urn> = (0..MOST as u8).map(sha1).collect();
        assert_eq!(Keys::of("", &told).urns.len(), 2 * MOST, "each in both spellings");
        let many: Vec<Urn> = (0..=MOST as u8).map(sha1).collect();
        let other = [sha1(1), Urn::Blake3(crate::wire::Blake3([2; 32]))];
        for (text, urns) in [("", &many[..]), ("", &other), (&"a".repeat(LONGEST + 1), &[])] {
            assert_eq!(Keys::of(text, urns), Keys::default());
            assert!(Keys::of(text, urns).are_in(|_| false));
        }
    }

    #[test]
    fn long_queries_are_looked_up_by_their_first_words() {
        let text: String = (0..400).map(|n| format!("word{n} ")).collect();
        assert_eq!(Keys::of(&text, &[]).words.len(), MOST);
    }
}
