//! Which files lie where, and which words are asked.

use serde::{Deserialize, Serialize};

use crate::base::Rng;

use super::ServentId;

/// A file that a servent of the world shares: a name and a size, no content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

impl SharedFile {
    /// Whether every word of `text` is a word of the name. The library's index does this for real files; here
    /// plain comparison is enough, because the simulator studies the network and not the index.
    pub fn matches(&self, text: &str) -> bool {
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
        };
        let (asked, named) = (words(text), words(&self.name));
        !asked.is_empty() && asked.iter().all(|word| named.contains(word))
    }
}

/// One file in several places, and the words that find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// The file.
    pub file: SharedFile,
    /// Servents in a thousand that hold it; one at least.
    pub holders_per_mille: usize,
    /// What is asked.
    pub query: String,
}

impl Default for Workload {
    fn default() -> Self {
        let file = SharedFile { name: "blue train.flac".to_owned(), size: 31_415_926 };
        Self { file, holders_per_mille: 10, query: "blue train".to_owned() }
    }
}

impl Workload {
    /// Who holds the file in a world of `nodes`, never the one who asks; ascending.
    pub fn holders(&self, nodes: usize, asks: ServentId, rng: &mut Rng) -> Vec<ServentId> {
        let mut others: Vec<ServentId> = (0..nodes).filter(|&node| node != asks).collect();
        rng.shuffle(&mut others);
        others.truncate((nodes * self.holders_per_mille / 1000).max(1));
        others.sort_unstable();
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_must_be_in_the_name_in_any_case_and_order() {
        let file = SharedFile { name: "John Coltrane - Blue_Train (1958).flac".to_owned(), size: 1 };
        for (query, found) in
            [("blue train", true), ("TRAIN blue", true), ("flac 1958", true), ("blue trains", false), ("", false)]
        {
            assert_eq!(file.matches(query), found, "{query:?}");
        }
    }

    #[test]
    fn one_in_a_hundred_holds_the_file_but_never_the_one_who_asks() {
        let workload = Workload::default();
        let holders = workload.holders(1000, 17, &mut Rng::from_number(1));
        assert_eq!(holders.len(), 10);
        assert!(holders.is_sorted() && !holders.contains(&17));
        assert_eq!(workload.holders(2, 0, &mut Rng::from_number(1)), [1]);
    }
}
