//! The hits of a search, or the files of a host, and which of them are of the same content.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use super::view::HitView;

/// Hits by their numbers, from 1 on. Those of one content are a chain: a folder of thousands of files is fetched without looking at
/// all of them for each.
#[derive(Debug, Default)]
pub(super) struct List {
    hits: Vec<HitView>,
    /// The last hit of each content, by its hash.
    last: HashMap<u64, u32>,
    /// For each hit, the one of the same hash before it, or 0.
    before: Vec<u32>,
    hasher: RandomState,
}

impl List {
    /// One more; it gets the next number.
    pub(super) fn push(&mut self, mut hit: HitView) {
        let number = self.hits.len() as u32 + 1;
        hit.hit = number;
        let before = self.last.insert(self.hasher.hash_one(content_of(&hit)), number);
        self.before.push(before.unwrap_or(0));
        self.hits.push(hit);
    }

    /// How many contents there are.
    pub(super) fn contents(&self) -> usize {
        self.last.len()
    }

    /// The hit of that number, and the others of its content; none are known of one without a hash.
    pub(super) fn with_same(&self, number: u32) -> Option<(HitView, Vec<HitView>)> {
        let wanted = self.at(number)?;
        let content = content_of(wanted);
        let mut same = Vec::new();
        if wanted.urn.is_some() {
            let mut next = self.last.get(&self.hasher.hash_one(&content)).copied().unwrap_or(0);
            while let Some(hit) = self.at(next) {
                if hit.hit != number && content_of(hit) == content {
                    same.push(hit.clone());
                }
                next = self.before.get(next as usize - 1).copied().unwrap_or(0);
            }
            same.reverse();
        }
        Some((wanted.clone(), same))
    }

    fn at(&self, number: u32) -> Option<&HitView> {
        self.hits.get(number.checked_sub(1)? as usize)
    }
}

impl Deref for List {
    type Target = [HitView];

    fn deref(&self) -> &[HitView] {
        &self.hits
    }
}

impl FromIterator<HitView> for List {
    fn from_iter<I: IntoIterator<Item = HitView>>(hits: I) -> Self {
        let mut list = Self::default();
        hits.into_iter().for_each(|hit| list.push(hit));
        list
    }
}

/// What hits of the same content have in common; without a hash, name and size.
pub(super) fn content_of(hit: &HitView) -> String {
    match (&hit.sha1, &hit.urn) {
        (Some(sha1), _) => sha1.clone(),
        (None, Some(urn)) => urn.clone(),
        (None, None) => format!("{}/{}", hit.name.to_lowercase(), hit.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(sha1: Option<&str>, name: &str) -> HitView {
        serde_json::from_value(serde_json::json!({
            "hit": 0, "folder": "", "name": name, "size": 7, "sha1": sha1, "tth": null, "blake3": null,
            "urn": sha1.map(|sha1| format!("urn:sha1:{sha1}")),
            "source": { "addr": "10.0.0.1:1", "servent": "", "vendor": "", "push": false, "busy": false, "browse": false, "proxies": [] },
            "alternates": [], "index": 1, "hops": 1, "query_ms": 0, "via": null
        }))
        .expect("a hit")
    }

    #[test]
    fn hits_of_one_content_are_found_whatever_is_between_them() {
        let shas = [Some("A"), Some("B"), None, Some("A"), None, Some("B"), Some("A")];
        let list: List = shas.iter().map(|sha1| hit(*sha1, "a.txt")).collect();
        assert_eq!((list.len(), list.contents()), (7, 3));
        let same = |number| {
            let (wanted, same) = list.with_same(number)?;
            Some((wanted.hit, same.iter().map(|hit| hit.hit).collect::<Vec<_>>()))
        };
        for (number, found) in [
            (0, None),
            (1, Some((1, vec![4, 7]))),
            (2, Some((2, vec![6]))),
            (3, Some((3, vec![]))),
            (4, Some((4, vec![1, 7]))),
            (7, Some((7, vec![1, 4]))),
            (8, None),
        ] {
            assert_eq!(same(number), found, "{number}");
        }
    }
}
