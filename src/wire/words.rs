//! Text to words: what two spellings of one name have in common.
//!
//! Names and queries are compared folded: compatibility-decomposed (NFKD), without accents, without case (`ß`
//! is `ss`, the final sigma a sigma), recomposed. A word ends at everything that is neither letter nor digit,
//! and at `_`. Scripts that are written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) become *runs*,
//! which match by their parts. Marks that change the letter rather than decorate it (voiced kana, vowel signs,
//! tones of Thai) stay. The disk's own spelling is never changed; this is for comparing only.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// A piece of folded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// Letters and digits between two separators: matches as a whole.
    Word(&'a str),
    /// Text of a script without spaces: matches wherever it is contained in another run.
    Run(&'a str),
}

impl<'a> Token<'a> {
    /// As it stands in the folded text.
    pub fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Run(text) => text,
        }
    }
}

/// Appends `text` to `folded` in the form in which names are compared.
pub fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        let before = folded.len();
        folded.push_str(text);
        folded[before..].make_ascii_lowercase();
        return;
    }
    let plain = text.nfkd().filter(|c| !is_decoration(*c));
    let lower = plain.flat_map(char::to_lowercase).flat_map(|c| match c {
        'ß' => ['s', 's'].into_iter().take(2),
        'ς' => ['σ', ' '].into_iter().take(1),
        // Lower case of some capitals is decomposed again; the accent goes the way of the others.
        c => [c, ' '].into_iter().take(usize::from(!is_decoration(c))),
    });
    folded.extend(lower.nfc());
}

/// `text` in the form in which names are compared.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// The words and runs of folded text, in order.
pub fn tokens(folded: &str) -> impl Iterator<Item = Token<'_>> {
    folded.split(|c| !is_word(c)).flat_map(Pieces)
}

/// Text without separators, taken apart where its script begins or stops to need spaces.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Token<'a>;
    fn next(&mut self) -> Option<Token<'a>> {
        let first = self.0.chars().next()?;
        if self.0.is_ascii() {
            return Some(Token::Word(std::mem::take(&mut self.0)));
        }
        let unspaced = is_unspaced(first);
        let end = self.0.find(|c| !is_combining_mark(c) && is_unspaced(c) != unspaced).unwrap_or(self.0.len());
        let (piece, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(if unspaced { Token::Run(piece) } else { Token::Word(piece) })
    }
}

/// The plain words of a text, folded: what other servents tell names apart by (QRP too).
pub fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    folded.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A query cut at separators but otherwise as it was typed (NFC). What folds to letters or to nothing separates
/// nothing.
pub fn typed_words(text: &str) -> Vec<String> {
    let composed: String = text.nfc().collect();
    let separates = |c: char| !is_word(c) && !is_decoration(c) && !c.nfkd().any(is_word);
    composed.split(separates).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Hands out the terms under which a token is found: the word itself, or a run's characters and pairs.
pub fn each_term(token: Token<'_>, mut term: impl FnMut(&str)) {
    match token {
        Token::Word(word) => term(word),
        Token::Run(run) => {
            let mut before = None;
            for (at, c) in run.char_indices() {
                let end = at + c.len_utf8();
                term(&run[at..end]);
                if let Some(before) = before {
                    term(&run[before..end]);
                }
                before = Some(at);
            }
        }
    }
}

/// Hands out the terms that a name with this token surely has: as few as say the most.
pub fn each_wanted_term(token: Token<'_>, mut term: impl FnMut(&str)) {
    let Token::Run(run) = token else { return term(token.text()) };
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
    match starts.len() {
        0..=2 => term(run),
        _ => starts.windows(3).for_each(|pair| term(&run[pair[0]..pair[2]])),
    }
}

/// Does `name` (its tokens) have `wanted` as neighbouring tokens?
pub fn contains(name: &[Token<'_>], wanted: &[Token<'_>]) -> bool {
    let Some(last) = wanted.len().checked_sub(1) else { return false };
    name.windows(wanted.len()).any(|window| {
        window.iter().zip(wanted).enumerate().all(|(at, pair)| match pair {
            (Token::Word(have), Token::Word(want)) => have == want,
            (Token::Run(have), Token::Run(want)) => match (at == 0, at == last) {
                (true, true) => have.contains(want),
                (true, false) => have.ends_with(want),
                (false, true) => have.starts_with(want),
                (false, false) => have == want,
            },
            _ => false,
        })
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Accents, points and joiners: what a name may have or lack and still be the same name.
fn is_decoration(c: char) -> bool {
    match c {
        // Soft hyphen, joiners, direction marks and overrides, variation selectors, enclosing marks, byte order mark.
        '\u{ad}' | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fe00}'..='\u{fe0f}' | '\u{20d0}'..='\u{20ff}' | '\u{feff}' => true,
        // Classes 7 to 9 are nukta, kana voicing and virama, 84 to 132 vowel signs and tones: letters' own parts.
        _ => matches!(canonical_combining_class(c), 1 | 10..=36 | 200..=255),
    }
}

/// Scripts that are written without spaces.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let folded = fold(text);
        tokens(&folded)
            .map(|token| match token {
                Token::Word(word) => format!("{word} "),
                Token::Run(run) => format!("<{run}> "),
            })
            .collect::<String>()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn spellings_of_one_name_fold_to_the_same_words() {
        for (text, expected) in [
            ("Blue_Train (Live).flac", "blue train live flac"),
            ("BEYONCÉ", "beyonce"),
            ("Beyonce\u{301}", "beyonce"),
            ("Straße_01", "strasse 01"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("Οδυσσεύς", "οδυσσευσ"),
            ("İstanbul", "istanbul"),
            ("ﬁne ① ℌ", "fine 1 h"),
            ("\u{202e}evil\u{ad}ly", "evilly"),
            ("שָׁלוֹם", "שלום"),
            ("Привет, мир", "привет мир"),
            ("a\u{200b}b", "a b"),
            ("___", ""),
            ("", ""),
        ] {
            assert_eq!(show(text), expected, "{text:?}");
        }
    }

    #[test]
    fn marks_that_make_the_letter_stay() {
        for (text, expected) in [
            ("がか", "<がか>"),
            ("か\u{3099}", "<が>"),
            ("ｶﾞ", "<ガ>"),
            ("हिन्दी", "हिन्दी"),
            ("東京tower2024年", "<東京> tower2024 <年>"),
            ("สวัสดี", "<สวัสดี>"),
        ] {
            assert_eq!(show(text), expected, "{text:?}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for text in ["İSTANBUL", "Straße", "ẞ", "ΟΔΥΣΣΕΥΣ", "ǅ", "Å", "K", "ﷺ", "がｶﾞ", "ŉ", "ΐ", "한글"]
        {
            let once = fold(text);
            assert_eq!(fold(&once), once, "{text}");
        }
    }

    #[test]
    fn a_run_is_found_under_its_characters_and_pairs() {
        let mut terms = Vec::new();
        each_term(Token::Run("東京都"), |term| terms.push(term.to_owned()));
        assert_eq!(terms, ["東", "京", "東京", "都", "京都"]);
        let mut wanted = Vec::new();
        each_wanted_term(Token::Run("東京都"), |term| wanted.push(term.to_owned()));
        each_wanted_term(Token::Run("東"), |term| wanted.push(term.to_owned()));
        each_wanted_term(Token::Word("tokyo"), |term| wanted.push(term.to_owned()));
        assert_eq!(wanted, ["東京", "京都", "東", "tokyo"]);
    }
}
