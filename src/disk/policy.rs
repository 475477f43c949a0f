//! What is not shared without a second thought: whole homes and systems, and names that look private.
//!
//! Hidden files, other programs' unfinished downloads and temporary files are never shared. Symbolic links are
//! never followed: one that leads out of the share would share what nobody named, and one that stays inside
//! would only show the same file twice. A folder refused here can be shared when the user says that they mean
//! it; filbert's own state never can.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use unicode_normalization::UnicodeNormalization;

use super::Home;

/// Why something in a shared folder is not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Its name begins with a dot.
    Hidden,
    /// A symbolic link out of the shared folder, or to nothing.
    LinkOut,
    /// A symbolic link to something in the share, which is shared under its own name.
    Link,
    /// We may not read it.
    Unreadable,
    /// A device, a socket, a pipe.
    Special,
    /// An unfinished download.
    Partial,
    /// A temporary file of another program.
    Temporary,
    /// Our own state or cache.
    Own,
    /// More than [`super::scan::MAX_DEPTH`] folders deep.
    TooDeep,
    /// The user said so.
    Excluded,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden => "hidden",
            Self::LinkOut => "link out of the share",
            Self::Link => "link within the share",
            Self::Unreadable => "unreadable",
            Self::Special => "not a file",
            Self::Partial => "unfinished",
            Self::Temporary => "temporary",
            Self::Own => "filbert's own",
            Self::TooDeep => "too deep",
            Self::Excluded => "excluded",
        })
    }
}

/// Why a folder is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It holds the servent's own state: never shared.
    Own(PathBuf),
    /// It holds much more than anyone wants to share; allowed when the user means it.
    Broad(PathBuf, &'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(path) => write!(f, "{} holds filbert's own state and is never shared", path.display()),
            Self::Broad(path, what) => {
                write!(f, "{} is {what}: share a folder in it, or say --i-mean-it", path.display())
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// May `root` (canonical) be shared by the servent of `home`? `user_home` is the user's home directory.
pub fn may_share(root: &Path, home: &Home, user_home: Option<&Path>, i_mean_it: bool) -> Result<(), Refusal> {
    if home.own().iter().any(|own| root.starts_with(own)) || root == home.state.parent().unwrap_or(&home.state) {
        return Err(Refusal::Own(root.to_owned()));
    }
    if i_mean_it {
        return Ok(());
    }
    let broad = |what| Err(Refusal::Broad(root.to_owned(), what));
    if root.parent().is_none() {
        return broad("the whole system");
    }
    if let Some(user_home) = user_home {
        if root == user_home {
            return broad("the whole home directory");
        }
        if user_home.starts_with(root) {
            return broad("where the home directories are");
        }
        if let Ok(inside) = root.strip_prefix(user_home) {
            if inside.iter().next().is_some_and(is_hidden) {
                return broad("where programs keep keys and settings");
            }
            if ["Documents", "Desktop"].iter().any(|name| inside == Path::new(name)) {
                return broad("where personal files are");
            }
        }
    }
    if root.iter().any(|part| [".ssh", ".gnupg", ".aws", ".kube"].iter().any(|secret| part == OsStr::new(secret))) {
        return broad("where keys are");
    }
    let system = ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/usr"];
    let ours = user_home.is_some_and(|user_home| root.starts_with(user_home)) || removable(root);
    if !ours && system.iter().any(|dir| root.starts_with(dir) && !root.starts_with("/usr/share")) {
        return broad("part of the system");
    }
    if ["/home", "/var", "/opt", "/tmp", "/mnt", "/media"].iter().any(|dir| root == Path::new(dir)) {
        return broad("not only yours");
    }
    Ok(())
}

/// Where desktops mount the user's sticks and disks.
fn removable(root: &Path) -> bool {
    root.starts_with("/run/media") && root.iter().count() > 3
}

/// The longest pattern.
const MAX_PATTERN: usize = 1024;

/// What a user does not want to share: a pattern of names.
///
/// `*` is any part of a name, `[ab]` one of those, `{a,b}` either, `?` any byte; a pattern with a `/` in it is held
/// against the path beneath the shared folder (`**` is any part of that), another against the name of each file and
/// folder. Upper and lower case are the same, and so are the two ways to write an accent. A folder that matches is left
/// out with all that is in it.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    globs: GlobSet,
    /// Held against the path, not the name.
    of_path: bool,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.of_path) == (&other.text, other.of_path)
    }
}

impl Pattern {
    /// Reads a pattern, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("it has more than {MAX_PATTERN} bytes"));
        }
        let of_path = text.trim_end_matches('/').contains('/');
        let text = text.trim_end_matches('/').trim_start_matches("./").trim_start_matches('/');
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let text = folded(text);
        let glob = GlobBuilder::new(&text).literal_separator(true).build().map_err(|error| error.kind().to_string())?;
        // This, other than a matcher of one pattern, says so when it becomes too large or too deep.
        let globs = GlobSetBuilder::new().add(glob).build().map_err(|_| "it is too deep or too large".to_owned())?;
        Ok(Self { text, globs, of_path })
    }

    /// Does it depend on where a file is?
    pub(super) fn is_of_path(&self) -> bool {
        self.of_path
    }

    /// Does it match a file or folder in the folder `below` (beneath the shared one)?
    pub(super) fn matches(&self, below: &Path, name: &OsStr) -> bool {
        if self.of_path {
            self.globs.is_match(folded(&below.join(name).to_string_lossy()))
        } else {
            self.globs.is_match(folded(&name.to_string_lossy()))
        }
    }
}

/// As patterns and names are compared.
fn folded(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).collect()
}

/// Does the name begin with a dot?
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

/// Why a file or folder of that name is not shared, if so.
pub(super) fn skip_name(name: &OsStr, is_folder: bool) -> Option<SkipReason> {
    if is_hidden(name) {
        return Some(SkipReason::Hidden);
    }
    let lower = name.to_string_lossy().to_lowercase();
    if is_folder {
        return (lower == "incomplete").then_some(SkipReason::Partial);
    }
    let partial = [".part", ".part.map", ".partial", ".crdownload", ".download", ".aria2", ".!qb", ".!ut"];
    if partial.iter().any(|end| lower.ends_with(end)) {
        return Some(SkipReason::Partial);
    }
    let temporary = [".tmp", ".temp", ".swp", ".lock", "~"].iter().any(|end| lower.ends_with(end))
        || ["~$", ".~", "#"].iter().any(|begin| lower.starts_with(begin))
        || ["thumbs.db", "desktop.ini"].contains(&&*lower);
    temporary.then_some(SkipReason::Temporary)
}

/// Does the name look like something that its owner would not want others to have?
pub fn looks_private(name: &OsStr) -> bool {
    let lower = name.to_string_lossy().to_lowercase();
    let (stem, extension) = lower.rsplit_once('.').unwrap_or((&lower, ""));
    let keys = ["pem", "key", "kdb", "kdbx", "p12", "pfx", "ppk", "asc", "gpg", "jks", "keystore", "ovpn", "wallet"];
    let names =
        ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "wallet.dat", "known_hosts", "authorized_keys", "shadow"];
    let parts = ["passw", "secret", "credential", "private", "confidential", "bank statement", "kontoauszug"];
    let words =
        ["tax", "taxes", "steuer", "payslip", "salary", "passport", "invoice", "seed phrase", "token", "tokens"];
    keys.contains(&extension)
        || names.contains(&&*lower)
        || lower.starts_with(".env")
        || lower.starts_with("id_rsa")
        || parts.iter().any(|part| lower.contains(part))
        || stem.split(|c: char| !c.is_alphabetic()).any(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_homes_and_systems_are_refused() {
        let home = Home::at(Path::new("/home/ann/filbert"));
        let user = Some(Path::new("/home/ann"));
        for (root, refused) in [
            ("/", true),
            ("/home", true),
            ("/home/ann", true),
            ("/home/ann/.ssh", true),
            ("/home/ann/.config/x", true),
            ("/home/ann/Documents", true),
            ("/home/ann/Documents/songs", false),
            ("/home/ann/Music", false),
            ("/srv/backup/.gnupg/x", true),
            ("/etc", true),
            ("/etc/ssl", true),
            ("/root/x", true),
            ("/proc/1", true),
            ("/usr/share/doc", false),
            ("/run/media/ann/stick", false),
            ("/run/media", true),
            ("/mnt", true),
            ("/mnt/music", false),
            ("/tmp/songs", false),
        ] {
            let root = Path::new(root);
            assert_eq!(may_share(root, &home, user, false).is_err(), refused, "{}", root.display());
            assert_eq!(may_share(root, &home, user, true), Ok(()), "{}", root.display());
        }
    }

    #[test]
    fn our_own_state_is_refused_even_when_meant() {
        let home = Home::at(Path::new("/srv/f"));
        for root in ["/srv/f", "/srv/f/state", "/srv/f/cache/x"] {
            let root = Path::new(root);
            assert_eq!(may_share(root, &home, None, true), Err(Refusal::Own(root.to_owned())));
        }
        assert_eq!(may_share(Path::new("/srv/f/downloads"), &home, None, false), Ok(()));
        let root = Some(Path::new("/root"));
        assert_eq!(may_share(Path::new("/root/Music"), &home, root, false), Ok(()));
        assert!(may_share(Path::new("/root"), &home, root, false).is_err());
    }

    #[test]
    fn names_that_look_private_are_noticed() {
        for (name, private) in [
            ("id_rsa", true),
            ("id_rsa.pub", true),
            ("server.PEM", true),
            ("my passwords.txt", true),
            (".env", true),
            ("wallet.dat", true),
            ("Taxes 2023.pdf", true),
            ("vault.kdbx", true),
            ("taxi driver.mkv", false),
            ("Blue Train.flac", false),
            ("monkey.png", false),
        ] {
            assert_eq!(looks_private(OsStr::new(name)), private, "{name}");
        }
    }

    #[test]
    fn patterns_match_names_or_paths() {
        for (pattern, path, expected) in [
            ("*.iso", "a/b/disk.ISO", true),
            ("*.iso", "disk.iso.txt", false),
            ("draft*", "a/Drafts", true),
            ("draft*", "a/my draft", false),
            ("node_modules", "a/node_modules", true),
            ("node_modules/", "a/node_modules", true),
            ("?.txt", "a.txt", true),
            ("??.txt", "\u{e9}.txt", true),
            ("\u{fc}ber*", "\u{dc}ber.txt", true),
            ("\u{fc}ber*", "u\u{308}ber.txt", true),
            ("U\u{308}BER*", "\u{fc}ber.txt", true),
            ("{a,b}.txt", "B.TXT", true),
            ("?.txt", "ab.txt", false),
            ("a/*.txt", "a/x.txt", true),
            ("a/*.txt", "a/b/x.txt", false),
            ("/a/*.txt", "b/a/x.txt", false),
            ("a/**/x", "a/x", true),
            ("a/**/x", "a/b/c/x", true),
            ("a/**/x", "ab/x", false),
            ("a/**/x", "a/b/zx", false),
            ("a/**", "a/b/zx", true),
            ("**/cache/*.db", "cache/1.db", true),
            ("**/cache/*.db", "u/v/cache/1.db", true),
            ("**/cache/*.db", "u/v/cache/w/1.db", false),
            ("*a*b*c*", "xxaxxbxxbxxcxx", true),
            ("*a*b*c*", "xxaxxbxxbxx", false),
            ("*", "anything", true),
        ] {
            let path = Path::new(path);
            let (below, name) = (path.parent().expect("a folder"), path.file_name().expect("a name"));
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(below, name), expected, "{pattern} {}", path.display());
        }
        for (wrong, why) in [("/", "it is empty"), ("", "it is empty"), ("[a", "unclosed character class; missing ']'")]
        {
            assert_eq!(Pattern::parse(wrong), Err(why.to_owned()), "{wrong:?}");
        }
        let deep = format!("{}a{}", "{".repeat(300), "}".repeat(300));
        assert_eq!(Pattern::parse(&deep), Err("it is too deep or too large".to_owned()));
        assert!(Pattern::parse(&"a".repeat(MAX_PATTERN + 1)).is_err());
        let many = Pattern::parse(&"*a".repeat(500)).expect("a pattern");
        assert!(!many.matches(Path::new(""), OsStr::new(&"a".repeat(255))));
    }

    #[test]
    fn hidden_unfinished_and_temporary_names_are_skipped() {
        for (name, folder, reason) in [
            (".git", true, Some(SkipReason::Hidden)),
            ("incomplete", true, Some(SkipReason::Partial)),
            ("incomplete", false, None),
            ("song.mp3.part", false, Some(SkipReason::Partial)),
            ("song.mp3.part.map", false, Some(SkipReason::Partial)),
            ("x.crdownload", false, Some(SkipReason::Partial)),
            ("notes.txt~", false, Some(SkipReason::Temporary)),
            ("~$letter.docx", false, Some(SkipReason::Temporary)),
            ("parting.mp3", false, None),
        ] {
            assert_eq!(skip_name(OsStr::new(name), folder), reason, "{name}");
        }
    }
}
