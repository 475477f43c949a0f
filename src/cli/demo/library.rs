//! The sample library, embedded: small texts, a picture and a sound, all made for this project.

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        /// Names and contents.
        pub const FILES: &[(&str, &[u8])] = &[$((
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/shared/", $name)),
        )),*];
    };
}

library!(
    "Night Train Blues.wav",
    "Mesh at Night.png",
    "The Night Train.txt",
    "How a Flood Travels.txt",
    "A Short History of a Nut.txt",
    "Glossary of the Hedge.txt",
    "Blue Train Timetable.txt",
    "Hazelnut Soup.txt",
    "Planting a Hedge.txt",
    "Letter to a Neighbour.txt",
    "Squirrel Ledger.txt",
    "Counting Song.txt",
    "Walk along the Canal.txt",
    "On Names.txt",
    "Weather Report.txt",
    "Train Songs, a List.txt",
);

/// What is looked for, and what is fetched: the largest file.
pub const WORDS: &str = "night train";
/// Its place in [`FILES`]: the first.
pub const WANTED: usize = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Criteria;

    #[test]
    fn the_library_is_small_and_the_words_find_the_sound_in_it() {
        let total: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!((100_000..500_000).contains(&total), "{total} bytes");
        let criteria = Criteria::parse(WORDS).expect("a query");
        let found: Vec<&str> = FILES.iter().map(|(name, _)| *name).filter(|name| criteria.matches(name, 1)).collect();
        assert_eq!(found, ["Night Train Blues.wav", "The Night Train.txt"]);
        assert_eq!(FILES[WANTED].0, found[0]);
    }

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shared");
        let on_disk: std::collections::BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the sample library")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .filter(|name| name != "README.txt")
            .collect();
        assert_eq!(on_disk, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
}
