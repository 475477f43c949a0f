//! The password that opens the API for other machines: what may be one, and the hash of it that is kept.
//!
//! Argon2id with OWASP's parameters, as a PHC string (<https://github.com/P-H-C/phc-string-format>). The password itself is
//! kept nowhere. It is brought into NFC first, as RFC 8265 asks: a phone may write é in one piece, a laptop in two.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use unicode_normalization::UnicodeNormalization;

use crate::app::{Error, ErrorCode};
use crate::disk::Home;

/// KiB that one try takes; for hashes that we find, the most.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Characters that a password must have.
pub const SHORTEST: usize = 8;
/// Bytes that it may have.
pub const LONGEST: usize = 1024;
/// Bytes of the file that are read; ours has about a hundred.
const FILE: u64 = 1024;

/// The hash of a password, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashed(String);

/// Where that is kept, for the owner alone.
pub fn path(home: &Home) -> PathBuf {
    home.state.join("password")
}

/// Says why a text cannot be a password.
pub fn check(password: &str) -> Result<(), Error> {
    let refused = |why: String| {
        Err(Error::new(ErrorCode::Usage, why).hint("Several words are easy to remember and hard to guess"))
    };
    match password {
        long if long.len() > LONGEST => refused(format!("a password has {LONGEST} bytes at most")),
        short if short.chars().count() < SHORTEST => refused(format!("a password has {SHORTEST} characters at least")),
        _ => Ok(()),
    }
}

impl Hashed {
    /// Hashes a password that was [`check`]ed. Takes a while and [`MEMORY`].
    pub fn of(password: &str, salt: [u8; 16]) -> Result<Self, Error> {
        let failed =
            |error: &dyn fmt::Display| Error::new(ErrorCode::Failed, format!("cannot hash the password: {error}"));
        let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|error| failed(&error))?;
        let salt = SaltString::encode_b64(&salt).map_err(|error| failed(&error))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = argon2.hash_password(in_nfc(password).as_bytes(), &salt).map_err(|error| failed(&error))?;
        Ok(Self(hash.to_string()))
    }

    /// Reads one that was kept; `None` if it is no Argon2id, or asks for more than ours.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hash = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let modest = params.m_cost() <= MEMORY && params.t_cost() <= PASSES && params.p_cost() <= LANES;
        let whole = hash.salt.is_some() && hash.hash.is_some();
        (hash.algorithm == Algorithm::Argon2id.ident() && modest && whole).then(|| Self(text.to_owned()))
    }

    /// The one of a home; `None` without one, and for one that others can read.
    pub fn load(home: &Home) -> Option<Self> {
        let path = path(home);
        let file = File::open(&path).ok()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if file.metadata().ok()?.permissions().mode() & 0o077 != 0 {
                log::warn!("{} can be read by others and does not count: set the password anew", path.display());
                return None;
            }
        }
        let mut text = String::new();
        file.take(FILE).read_to_string(&mut text).ok()?;
        let hashed = Self::parse(&text);
        if hashed.is_none() {
            log::warn!("{} holds no password of ours: set it anew", path.display());
        }
        hashed
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether that is the password. Takes a while and [`MEMORY`].
    pub fn is(&self, password: &str) -> bool {
        password.len() <= LONGEST
            && PasswordHash::new(&self.0)
                .is_ok_and(|hash| Argon2::default().verify_password(in_nfc(password).as_bytes(), &hash).is_ok())
    }
}

/// Not shown: who has it can try passwords on it.
impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashed(..)")
    }
}

fn in_nfc(password: &str) -> String {
    password.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_opens_in_whatever_form_it_is_typed() {
        let hashed = Hashed::of("caf\u{e9} au lait", [7; 16]).expect("hashed");
        assert!(hashed.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hashed.as_str());
        assert!(hashed.is("caf\u{e9} au lait") && hashed.is("cafe\u{301} au lait"), "é in one piece, and in two");
        for wrong in ["", "cafe au lait", "caf\u{e9} au lai", "caf\u{e9} au lait ", hashed.as_str()] {
            assert!(!hashed.is(wrong), "{wrong:?}");
        }
        assert!(!hashed.is(&"x".repeat(LONGEST + 1)));
        assert_eq!(Hashed::parse(&format!("{}\n", hashed.as_str())), Some(hashed.clone()));
        assert_ne!(Hashed::of("caf\u{e9} au lait", [8; 16]).expect("hashed"), hashed, "the salt counts");
        assert_eq!(format!("{hashed:?}"), "Hashed(..)");
    }

    #[test]
    fn what_is_short_or_very_long_is_no_password() {
        for (text, good) in [("1234567", false), ("12345678", true), ("äöüäöüäö", true), ("äöüäöüä", false)]
        {
            assert_eq!(check(text).is_ok(), good, "{text}");
        }
        assert!(check(&"x".repeat(LONGEST)).is_ok() && check(&"x".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn a_hash_that_is_not_ours_does_not_count() {
        let ours = Hashed::of("correct horse", [7; 16]).expect("hashed");
        let changed = |from: &str, to: &str| ours.as_str().replace(from, to);
        for bad in [
            String::new(),
            "correct horse".to_owned(),
            changed("argon2id", "argon2i"),
            changed("m=19456", "m=4000000"),
            changed("t=2", "t=4000"),
            changed("p=1", "p=64"),
            ours.as_str()[..30].to_owned(),
        ] {
            assert_eq!(Hashed::parse(&bad), None, "{bad}");
        }
    }
}
