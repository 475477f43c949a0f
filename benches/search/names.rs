//! A million file names as people give them, made by chance from a fixed seed: the same on each machine.
//!
//! Words are drawn by Zipf's law from a vocabulary without end (the number of different ones grows with the number of
//! names, as it does in life); they are syllables in a row, shorter the more common they are. Around them stand what
//! names have besides words: track and episode numbers, years, cameras' counters, makers' tags, and extensions. One
//! name in twenty is not English: accents, Greek, Cyrillic, Japanese. Names have 35 bytes on average.

use filbert::base::Rng;

/// Where a file is, and how it is called.
pub struct Name {
    pub folder: String,
    pub name: String,
}

/// The first `count` names of that seed.
pub fn names(seed: u64, count: usize) -> Vec<Name> {
    let mut maker = Maker { rng: Rng::from_number(seed), album: Vec::new(), folder: String::new(), left: 0, kind: 0 };
    (0..count).map(|number| maker.name(number)).collect()
}

struct Maker {
    rng: Rng,
    /// The words that the files of a folder share.
    album: Vec<String>,
    folder: String,
    left: usize,
    kind: usize,
}

/// Words are drawn from among so many.
const VOCABULARY: f64 = 2_000_000.0;
const SYLLABLES: [&str; 48] = [
    "la", "ro", "mi", "ten", "sa", "der", "lo", "ve", "ka", "ni", "ter", "un", "ba", "so", "re", "in", "al", "mo",
    "ta", "li", "en", "sha", "do", "ra", "ver", "ne", "co", "el", "tu", "ma", "san", "pe", "is", "da", "ton", "ki",
    "gra", "ber", "lu", "no", "chi", "per", "fo", "ge", "an", "ste", "wi", "ho",
];
const SHORT: [&str; 24] = [
    "the", "of", "a", "in", "and", "to", "love", "you", "live", "my", "on", "me", "for", "de", "i", "la", "remix",
    "night", "is", "day", "it", "one", "time", "version",
];
const FOREIGN: [&str; 20] = [
    "été",
    "Käse",
    "niño",
    "Straße",
    "façade",
    "Łódź",
    "Ωμέγα",
    "μουσική",
    "Привет",
    "ночь",
    "любовь",
    "東京",
    "日本語",
    "さくら",
    "音楽",
    "写真",
    "한국",
    "ไทย",
    "ÅNGSTRÖM",
    "cafe\u{301}",
];

impl Maker {
    fn name(&mut self, number: usize) -> Name {
        if self.left == 0 {
            self.open_folder(number);
        }
        self.left -= 1;
        let track = 1 + number % 20;
        let mut name = match self.kind {
            0..=44 => {
                let title = self.words(1, 4, " ");
                let artist = self.album[0].clone();
                match self.rng.below(3) {
                    0 => format!("{track:02} - {artist} - {title}"),
                    1 => format!("{artist} - {title}"),
                    _ => format!("{track:02} {title}"),
                }
            }
            45..=59 => {
                let show = self.album.join(".");
                let (season, quality) = (1 + self.rng.below(9), ["720p", "1080p", "480p"][self.rng.below(3)]);
                let coder = ["x264", "x265", "h264", "XviD"][self.rng.below(4)];
                let group = self.word().to_uppercase();
                format!("{show}.S{season:02}E{track:02}.{quality}.{coder}-{group}")
            }
            60..=79 => match self.rng.below(3) {
                0 => {
                    let (year, month, day) =
                        (2004 + self.rng.below(20), 1 + self.rng.below(12), 1 + self.rng.below(28));
                    format!("IMG_{year}{month:02}{day:02}_{:06}", self.rng.below(240_000))
                }
                1 => format!("DSC{:05}", self.rng.below(100_000)),
                _ => format!("{} {}", self.words(1, 3, " "), self.rng.below(1_000)),
            },
            80..=91 => {
                let year = 1970 + self.rng.below(55);
                format!("{} ({year})", self.words(3, 7, " "))
            }
            _ => format!("{}_v{}.{}", self.words(2, 4, "_"), self.rng.below(12), self.rng.below(40)),
        };
        if self.rng.below(20) == 0 {
            name += " ";
            name += FOREIGN[self.rng.below(FOREIGN.len())];
        }
        let extension = match self.kind {
            0..=44 => ["mp3", "mp3", "mp3", "flac", "ogg", "m4a"][self.rng.below(6)],
            45..=59 => ["mkv", "avi", "mp4", "srt"][self.rng.below(4)],
            60..=79 => ["jpg", "JPG", "png"][self.rng.below(3)],
            80..=91 => ["pdf", "epub", "mobi", "txt"][self.rng.below(4)],
            _ => ["zip", "tar.gz", "iso", "exe"][self.rng.below(4)],
        };
        Name { folder: self.folder.clone(), name: format!("{name}.{extension}") }
    }

    fn open_folder(&mut self, number: usize) {
        self.left = 1 + self.rng.below(40);
        self.kind = self.rng.below(100);
        self.album = (0..1 + self.rng.below(3)).map(|_| self.word()).collect();
        self.folder = format!("{}/{} {number}", self.album[0], self.album.join(" "));
    }

    fn words(&mut self, least: usize, most: usize, between: &str) -> String {
        let count = least + self.rng.below(most - least + 1);
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(between)
    }

    /// A word of a rank drawn by Zipf's law: with exponent 1 the logarithm of the rank is spread evenly.
    fn word(&mut self) -> String {
        let even = self.rng.below(1 << 30) as f64 / (1_u64 << 30) as f64;
        let rank = VOCABULARY.powf(even) as usize - 1;
        let mut word = match SHORT.get(rank) {
            Some(word) => (*word).to_owned(),
            None => {
                let (mut rest, mut word) = (rank, String::new());
                while rest > 0 {
                    word += SYLLABLES[rest % SYLLABLES.len()];
                    rest /= SYLLABLES.len();
                }
                word
            }
        };
        if self.rng.below(2) == 0 {
            word[..1].make_ascii_uppercase();
        }
        word
    }
}
