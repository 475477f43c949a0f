//! Settings: flag > environment > `config.toml` > default, and which of them won.
//!
//! One table, [`KEYS`], says what there is. `config.toml` is people's: it is changed only by `config set`,
//! which keeps comments and order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item};

use super::exit::{Exit, Failure};
use crate::app::{LIMITS, LimitKey, Limits, PortMapping, SpeedLimits, parse_speed, speed_text};
use crate::proto::{Deflate, Encrypt, OutOfBand, RoleChoice};
use crate::web::{Names, Reach, Setting};

/// A setting that can be made.
pub struct Key {
    /// Its name in `config.toml`; its variable is `FILBERT_` and the name in capitals.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    kind: Kind,
    default: Cow<'static, str>,
}

#[derive(Clone, Copy)]
enum Kind {
    Address,
    /// Separated by commas.
    List,
    Switch,
    Number(u64, u64),
    Word(&'static [&'static str]),
    Path,
    Speed,
    Limit(&'static LimitKey),
    /// How much is logged.
    Log,
}

/// Every setting: these, and the limits of the servent.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let defaults = Limits::default();
    let limit = |limit: &'static LimitKey| Key {
        name: limit.name,
        what: limit.what,
        kind: Kind::Limit(limit),
        default: limit.text(&defaults).into(),
    };
    BASIC.into_iter().chain(LIMITS.iter().map(limit)).collect()
});

const BASIC: [Key; 27] = [
    key("listen", Kind::Address, "0.0.0.0:6346", "where peers reach you; port 0 is any free one"),
    key("api", Kind::Address, "127.0.0.1:7346", "where the control API listens"),
    key("api_remote", Kind::Switch, "false", "let other machines use the control API and the page, by the password"),
    key("api_host", Kind::List, "", "names of this machine for them, and of proxies before it: HOST or HOST:PORT"),
    key("connect", Kind::List, "", "hosts to stay connected to"),
    key("only_listed", Kind::Switch, "false", "make neighbours only of the hosts in `connect`"),
    key("neighbours", Kind::Number(0, 256), "8", "how many neighbours to look for"),
    key("ttl", Kind::Number(1, 7), "4", "how many links your searches travel"),
    key(
        "deflate",
        Kind::Word(Deflate::WORDS),
        "receive",
        "which directions of links to neighbours are deflated, where they want it too",
    ),
    key(
        "encrypt",
        Kind::Word(Encrypt::WORDS),
        "off",
        "whether links to neighbours are encrypted: only filberts can; require makes no others; downloads never are",
    ),
    key(
        "udp_hits",
        Kind::Word(OutOfBand::WORDS),
        "auto",
        "whether hits go by UDP, past the neighbours; auto: to who asks for it, and asks for it itself once 100 hosts are known",
    ),
    key(
        "role",
        Kind::Word(RoleChoice::WORDS),
        "auto",
        "what to be in the network: an ultrapeer routes for others, a leaf does not; auto is an ultrapeer until 100 hosts are known",
    ),
    key("browse", Kind::Switch, "true", "let others see the list of all that you share"),
    key(
        "give_downloads",
        Kind::Switch,
        "true",
        "give those who fetch the same file as you what is there of it, until a quarter of an hour after it is done",
    ),
    key(
        "lan",
        Kind::Switch,
        "true",
        "look for peers on this network, by multicast; never where only loopback is listened on",
    ),
    key(
        "bootstrap",
        Kind::List,
        "",
        "host caches to ask while no peer is found: udp:HOST:PORT, or http://HOST/PATH for a GWebCache; none unless you name some",
    ),
    key(
        "portmap",
        Kind::Word(PortMapping::WORDS),
        "auto",
        "have the router let others in (PCP, NAT-PMP, UPnP); auto: if it is at a private address",
    ),
    key("exclude", Kind::List, "", "what is not shared of any folder: patterns of names or, with a /, of paths"),
    key("limit_down", Kind::Speed, "off", "bytes a second of all downloads: 500K, 1.5M, 64Ki; 0 pauses, off removes"),
    key("limit_up", Kind::Speed, "off", "bytes a second of all uploads"),
    key("limit_peer_up", Kind::Speed, "off", "bytes a second of the uploads to one address"),
    key("turtle", Kind::Switch, "false", "whether the next two hold as well"),
    key("turtle_down", Kind::Speed, "64K", "bytes a second of all downloads while the turtle is on"),
    key("turtle_up", Kind::Speed, "16K", "bytes a second of all uploads while the turtle is on"),
    key("log", Kind::Log, "warn", "how much `up` logs, by subsystem: warn,filbert::net=debug"),
    key("template", Kind::Path, "", "where `get` puts files below their folder: {peer}/{dir}/{name}; empty: {name}"),
    key("download_dir", Kind::Path, "", "where finished files go; empty: the home's own folder"),
];

const fn key(name: &'static str, kind: Kind, default: &'static str, what: &'static str) -> Key {
    Key { name, what, kind, default: Cow::Borrowed(default) }
}

/// Values by name, each with its origin.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<&'static str, (Value, &'static str)>);

impl Settings {
    /// Puts the four places together. `flags` holds only what was typed.
    pub fn load(
        file: &Path,
        env: impl Fn(&str) -> Option<String>,
        flags: &BTreeMap<&'static str, Value>,
    ) -> Result<Self, Failure> {
        let document = read(file)?;
        for name in names(&document) {
            if find(&name).is_none() {
                log::warn!("{}: there is no setting {name:?}", file.display());
            }
        }
        let mut settings = BTreeMap::new();
        for key in KEYS.iter() {
            let variable = key.variable();
            let won = if let Some(value) = flags.get(key.name) {
                (value.clone(), "flag")
            } else if let Some(text) = env(&variable) {
                (key.parse(&text).map_err(|why| bad(&variable, &why))?, "env")
            } else if let Some(item) = item(&document, key.name) {
                let place = format!("{} in {}", key.name, file.display());
                (key.parse(&plain(item)).map_err(|why| bad(&place, &why))?, "file")
            } else {
                (key.parse(&key.default).unwrap_or_default(), "default")
            };
            settings.insert(key.name, won);
        }
        Ok(Self(settings))
    }

    /// Lets what was kept of earlier runs, by name and as it would be typed, beat the defaults. What cannot be read is
    /// passed over: it is no user's text.
    pub fn with_kept(mut self, kept: Vec<(&'static str, String)>) -> Self {
        for (name, text) in kept {
            let value = find(name).and_then(|key| key.parse(&text).ok());
            if let (Some(value), Some(now)) = (value, self.0.get_mut(name).filter(|(_, origin)| *origin == "default")) {
                *now = (value, "state");
            }
        }
        self
    }

    /// As the API lists them.
    pub fn views(&self) -> Vec<Setting> {
        let views = self.0.iter();
        views
            .map(|(key, (value, origin))| Setting {
                key: (*key).into(),
                value: value.clone(),
                origin: (*origin).into(),
            })
            .collect()
    }

    /// The value of that name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|(value, _)| value)
    }

    /// Whether somebody chose the value.
    pub fn given(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|(_, origin)| *origin != "default")
    }

    /// A text; empty if it is none.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(|(value, _)| value.as_str()).unwrap_or_default()
    }

    /// An address: every address in the table was parsed once.
    pub fn address(&self, name: &str) -> Result<SocketAddr, Failure> {
        self.text(name).parse().map_err(|_| bad(name, "no ADDR:PORT"))
    }

    /// A number; 0 if it is none.
    pub fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(|(value, _)| value.as_u64()).unwrap_or_default()
    }

    /// A switch; off if it is none.
    pub fn switch(&self, name: &str) -> bool {
        self.0.get(name).and_then(|(value, _)| value.as_bool()).unwrap_or_default()
    }

    /// The limits of the servent.
    pub fn limits(&self) -> Result<Limits, Failure> {
        let mut limits = Limits::default();
        for key in LIMITS {
            key.set(&mut limits, self.text(key.name)).map_err(|why| bad(key.name, &why))?;
        }
        Ok(limits)
    }

    /// How fast files may come and go.
    pub fn speeds(&self) -> Result<SpeedLimits, Failure> {
        let speed = |name: &str| parse_speed(self.text(name)).map_err(|error| bad(name, &error.to_string()));
        Ok(SpeedLimits {
            down: speed("limit_down")?,
            up: speed("limit_up")?,
            peer_up: speed("limit_peer_up")?,
            turtle: self.switch("turtle"),
            turtle_down: speed("turtle_down")?,
            turtle_up: speed("turtle_up")?,
        })
    }

    /// How far the control API reaches.
    pub fn reach(&self) -> Result<Reach, Failure> {
        match self.switch("api_remote") {
            true => Ok(Reach::Beyond(Names::parse(&self.list("api_host"))?)),
            false => Ok(Reach::Machine),
        }
    }

    /// A list of texts.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.get(name).and_then(|(value, _)| value.as_array());
        values.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }
}

/// Writes one setting into the file and keeps everything else in it.
pub fn set(file: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let key = find(name).ok_or_else(|| unknown(name))?;
    let value = key.parse(text).map_err(|why| bad(name, &why))?;
    let mut document = read(file)?;
    let written = match &value {
        Value::Bool(on) => toml_edit::value(*on),
        Value::Number(n) => toml_edit::value(n.as_i64().unwrap_or_default()),
        Value::Array(list) => toml_edit::value(list.iter().filter_map(Value::as_str).collect::<toml_edit::Array>()),
        other => toml_edit::value(other.as_str().unwrap_or_default()),
    };
    match key.name.split_once('.') {
        None => document[key.name] = written,
        Some((table, name)) => {
            document.entry(table).or_insert_with(toml_edit::table)[name] = written;
        }
    }
    super::files::write(file, document.to_string().as_bytes(), super::files::Secrecy::Plain)
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// There is no setting of that name; perhaps another was meant.
pub fn unknown(name: &str) -> Failure {
    let near = KEYS.iter().map(|key| (strsim::jaro_winkler(key.name, name), key.name));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
    let hint = match best {
        Some((_, near)) => format!("Did you mean {near}?"),
        None => "See filbert config: it lists them".to_owned(),
    };
    Failure::new(Exit::Usage, format!("there is no setting {name:?}")).hint(hint)
}

impl Key {
    /// What holds when nobody chose, as it would be typed.
    pub fn default_text(&self) -> &str {
        &self.default
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("FILBERT_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// The value in a text, or what would have been right.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self.kind {
            Kind::Address => match text.parse::<SocketAddr>() {
                Ok(addr) => Ok(json!(addr.to_string())),
                Err(_) => Err(format!("{text:?} is no ADDR:PORT")),
            },
            Kind::List => Ok(json!(text.split(',').map(str::trim).filter(|host| !host.is_empty()).collect::<Vec<_>>())),
            Kind::Switch => match text {
                "true" | "on" | "yes" | "1" => Ok(json!(true)),
                "false" | "off" | "no" | "0" => Ok(json!(false)),
                _ => Err(format!("{text:?} is neither true nor false")),
            },
            Kind::Number(least, most) => match text.parse::<u64>() {
                Ok(n) if (least..=most).contains(&n) => Ok(json!(n)),
                _ => Err(format!("{text:?} is no number from {least} to {most}")),
            },
            Kind::Word(words) if words.contains(&text) => Ok(json!(text)),
            Kind::Word(words) => Err(format!("{text:?} is none of {}", words.join(", "))),
            Kind::Path => Ok(json!(text)),
            Kind::Speed => parse_speed(text).map(|speed| json!(speed_text(speed))).map_err(|error| error.to_string()),
            Kind::Log => super::logging::check(text).map(|()| json!(text)),
            Kind::Limit(limit) => limit.set(&mut Limits::default(), text).map(|()| json!(text)),
        }
    }
}

fn bad(place: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("cannot use the setting {place}: {why}"))
}

fn read(file: &Path) -> Result<DocumentMut, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::new(Exit::Failed, format!("cannot read {}: {error}", file.display()))),
    };
    text.parse().map_err(|error: toml_edit::TomlError| {
        let first = error.to_string();
        let line = first.lines().next().unwrap_or_default().to_owned();
        Failure::new(Exit::Usage, format!("cannot read {}: {line}", file.display()))
            .hint("Mend it with filbert config edit")
    })
}

/// The setting of that name in the file: `a`, or `b` in the table `a` for `a.b`.
fn item<'a>(document: &'a DocumentMut, name: &str) -> Option<&'a Item> {
    match name.split_once('.') {
        None => document.get(name),
        Some((table, name)) => document.get(table)?.get(name),
    }
}

/// The names of all settings in the file.
fn names(document: &DocumentMut) -> Vec<String> {
    let in_table = |(name, item): (&str, &Item)| match item.as_table_like() {
        Some(table) => table.iter().map(|(inner, _)| format!("{name}.{inner}")).collect(),
        None => vec![name.to_owned()],
    };
    document.iter().flat_map(in_table).collect()
}

/// A TOML value as it would be typed.
fn plain(item: &Item) -> String {
    if let Some(text) = item.as_str() {
        text.to_owned()
    } else if let Some(list) = item.as_array() {
        list.iter().map(|value| value.as_str().unwrap_or_default()).collect::<Vec<_>>().join(",")
    } else {
        item.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "neighbours = 5\nttl = 3\nlan = false\nconnect = [\"a:1\", \"b\"]\n").expect("written");
        let env = |name: &str| match name {
            "FILBERT_NEIGHBOURS" => Some("6".to_owned()),
            "FILBERT_TTL" => Some("2".to_owned()),
            _ => None,
        };
        let flags = BTreeMap::from([("neighbours", json!(7))]);
        let settings = Settings::load(&file, env, &flags).expect("all readable");
        let origin = |name: &str| settings.0[name].1;
        assert_eq!((settings.number("neighbours"), origin("neighbours")), (7, "flag"));
        assert_eq!((settings.number("ttl"), origin("ttl")), (2, "env"));
        assert_eq!((settings.switch("lan"), origin("lan")), (false, "file"));
        assert_eq!((settings.text("listen"), origin("listen")), ("0.0.0.0:6346", "default"));
        assert_eq!(settings.list("connect"), ["a:1", "b"]);
        assert!(settings.given("lan") && !settings.given("listen"));
    }

    #[test]
    fn what_was_kept_beats_the_default_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "limit_up = \"1M\"\n").expect("written");
        let settings = Settings::load(&file, |_| None, &BTreeMap::new()).expect("all readable");
        let kept = [("limit_up", "2M"), ("limit_down", "3M"), ("turtle", "true"), ("turtle_up", "no speed")];
        let settings = settings.with_kept(kept.map(|(name, text)| (name, text.to_owned())).to_vec());
        let now = |name: &str| (settings.0[name].0.clone(), settings.0[name].1);
        assert_eq!(now("limit_up"), (json!("1M"), "file"));
        assert_eq!(now("limit_down"), (json!("3M"), "state"));
        assert_eq!(now("turtle"), (json!(true), "state"));
        assert_eq!(now("turtle_up"), (json!("16K"), "default"));
    }

    #[test]
    fn setting_one_keeps_comments_and_the_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("deep").join("config.toml");
        set(&file, "neighbours", "9").expect("written, folder and all");
        std::fs::write(&file, "# mine\nneighbours = 9 # nine\nttl = 2\n").expect("written");
        set(&file, "ttl", "3").expect("written");
        set(&file, "connect", "a:1, b").expect("written");
        let text = std::fs::read_to_string(&file).expect("there");
        assert!(text.starts_with("# mine\nneighbours = 9 # nine\nttl = 3\n"), "{text}");
        assert!(text.contains("connect = [\"a:1\", \"b\"]"), "{text}");
    }

    #[test]
    fn limits_have_a_table_of_their_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("config.toml");
        set(&file, "limits.queries", "off").expect("written");
        set(&file, "limits.uploads", "3").expect("written");
        let text = std::fs::read_to_string(&file).expect("there");
        assert_eq!(text, "[limits]\nqueries = \"off\"\nuploads = \"3\"\n");
        let env = |name: &str| (name == "FILBERT_LIMITS_DOWNLOADS").then(|| "5".to_owned());
        let settings = Settings::load(&file, env, &BTreeMap::new()).expect("all readable");
        let limits = settings.limits().expect("all limits");
        assert_eq!(limits.messages.queries, crate::proto::Rate::OFF);
        assert_eq!((limits.uploads.slots, limits.downloads), (3, 5));
        std::fs::write(&file, "[limits]\nuploads = 4\n").expect("written");
        let settings = Settings::load(&file, |_| None, &BTreeMap::new()).expect("all readable");
        assert_eq!(settings.limits().expect("all limits").uploads.slots, 4);
    }

    #[test]
    fn wrong_values_and_names_are_refused_with_the_right_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("config.toml");
        for (name, value, word) in [
            ("neighbours", "many", "0 to 256"),
            ("ttl", "8", "1 to 7"),
            ("listen", "6346", "ADDR:PORT"),
            ("lan", "maybe", "neither"),
            ("role", "king", "ultrapeer"),
            ("neighbors", "3", "Did you mean neighbours?"),
            ("xyz", "3", "See filbert config"),
        ] {
            let failure = set(&file, name, value).expect_err("refused");
            assert_eq!(failure.exit, Exit::Usage);
            let text = failure.text().unwrap_or_default();
            assert!(text.contains(word), "{text}");
        }
        assert!(!file.exists(), "nothing was written");
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS.iter() {
            assert!(key.parse(&key.default).is_ok(), "{}", key.name);
        }
    }
}
