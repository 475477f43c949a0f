//! `search`: hits stream in; then one line says what it took.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};

use super::args::Search;
use super::client::Client;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::servent::{self, Whose};
use super::{say, text};
use crate::app::SearchRequest;
use crate::app::view::{HitView, SearchDone, SearchLine, SearchView};
use crate::library::{self, Criteria};
use crate::net::rt;

/// Hits are shown when no further one comes for so long: till then they are put together by content ...
const SETTLED: Duration = Duration::from_millis(150);
/// ... but no hit waits for longer than that.
const LATEST: Duration = Duration::from_secs(1);
/// Time to tell the servent that a search was broken off.
const GOODBYE: Duration = Duration::from_secs(1);

/// `search`.
pub async fn search(config: &Config, args: &Search) -> Result<(), Failure> {
    let request = &request(args)?;
    let begun = &Mutex::new(None);
    let done = servent::with(config, &args.connect, |client, whose| async move {
        let search = begin(&client, request, whose).await?;
        if let (Whose::Running, Ok(mut begun)) = (whose, begun.lock()) {
            *begun = Some((client.clone(), search.id));
        }
        let mut lines = client.lines::<SearchLine>(&format!("/api/v1/searches/{}/hits?follow=1", search.id)).await?;
        let mut shown = Shown::default();
        loop {
            let line = match shown.patience() {
                Some(patience) => rt::timeout(patience, lines.next()).await,
                None => Ok(lines.next().await),
            };
            let Ok(line) = line else {
                shown.rows().iter().try_for_each(|row| config.say.line(row))?;
                continue;
            };
            match line.transpose()? {
                Some(SearchLine::Hit(hit)) if config.say.json => config.say.value(&hit)?,
                Some(SearchLine::Hit(hit)) => shown.take(hit),
                Some(SearchLine::Done(done)) => {
                    shown.rows().iter().try_for_each(|row| config.say.line(row))?;
                    return end(config, &request.query, &done);
                }
                None => break,
            }
        }
        Err(Failure::new(Exit::Failed, "the servent went away in the middle of the search"))
    })
    .await;
    let_go(&done, begun).await;
    done
}

/// When a search was broken off, nobody reads its hits any more: the servent need not gather them.
pub async fn let_go(done: &Result<(), Failure>, begun: &Mutex<Option<(Client, u64)>>) {
    let left = begun.lock().ok().and_then(|mut begun| begun.take());
    let broken_off = matches!(done, Err(failure) if matches!(failure.exit, Exit::Interrupted | Exit::TimedOut));
    if let (true, Some((client, id))) = (broken_off, left) {
        let _ = rt::timeout(GOODBYE, client.delete(&format!("/api/v1/searches/{id}"))).await;
    }
}

/// The request that was typed; nonsense ends here, before anybody is asked.
fn request(args: &Search) -> Result<SearchRequest, Failure> {
    for (flag, size) in [("--min-size", &args.min_size), ("--max-size", &args.max_size)] {
        if let Some(Err(error)) = size.as_deref().map(library::bytes) {
            return Err(Failure::new(Exit::Usage, format!("cannot use {flag}: {}", error.0)));
        }
    }
    let query = query(args);
    Criteria::parse(&query).map_err(|error| Failure::new(Exit::Usage, error.0))?;
    let wait_ms = match args.wait {
        Some(secs) if secs.is_finite() && (0.0..=86_400.0).contains(&secs) => Some((secs * 1000.0) as u64),
        Some(secs) => {
            return Err(Failure::new(Exit::Usage, format!("--wait {secs} is no time that can be waited"))
                .hint("Name seconds, a day of them at most: --wait 10"));
        }
        None => None,
    };
    if args.ttl.is_some_and(|ttl| !(1..=7).contains(&ttl)) {
        return Err(Failure::new(Exit::Usage, "--ttl goes from 1 to 7"));
    }
    if args.max == Some(0) {
        return Err(Failure::new(Exit::Usage, "--max 0 asks for no hit at all").hint("Name a number from 1 on"));
    }
    Ok(SearchRequest { query, ttl: args.ttl, wait_ms, max: args.max })
}

/// What was typed as one text in the query language.
fn query(args: &Search) -> String {
    let mut parts = words(&args.words);
    parts.extend(args.min_size.iter().map(|size| format!("size:>={size}")));
    parts.extend(args.max_size.iter().map(|size| format!("size:<={size}")));
    if args.any {
        parts.push("--any".into());
    }
    parts.join(" ")
}

/// The words in the query language. A single word may be a whole query (`'blue train -live'`);
/// among several, one with spaces in it was quoted and is a phrase.
pub fn words(typed: &[String]) -> Vec<String> {
    typed.iter().map(|word| if typed.len() > 1 { phrase(word) } else { word.clone() }).collect()
}

fn phrase(word: &str) -> String {
    let (dash, bare) = match word.strip_prefix('-') {
        Some(bare) => ("-", bare),
        None => ("", word),
    };
    if bare.contains(char::is_whitespace) && !bare.contains(['"', ':', '|']) {
        format!("{dash}\"{bare}\"")
    } else {
        word.to_owned()
    }
}

/// Behind its semicolon the servent says why, where it knows; what is to be done next is told once, by who asks.
fn reason(message: &str) -> Option<&str> {
    Some(message.split_once("; ")?.1)
}

/// Starts a search. A failure for want of neighbours says what to do about it.
pub async fn begin(client: &Client, request: &SearchRequest, whose: Whose) -> Result<SearchView, Failure> {
    let body = serde_json::to_value(request).map_err(std::io::Error::from)?;
    let started = client.post("/api/v1/searches", body).await;
    let why = |failure: &Failure| reason(&failure.message).map_or(String::new(), |why| format!("; {why}"));
    started.map_err(|failure| match (failure.exit, whose) {
        (Exit::NotConnected, Whose::Running) => {
            Failure::new(Exit::NotConnected, format!("cannot search: no neighbours yet{}", why(&failure)))
                .hint("Connect to somebody: `filbert connect HOST`, or add hosts: `filbert hosts import FILE`")
        }
        (Exit::NotConnected, Whose::Private) => {
            Failure::new(Exit::NotConnected, format!("cannot search: no neighbours found{}", why(&failure)))
                .hint("Say where to begin: --connect HOST:PORT, or run your own peer: `filbert up`")
        }
        _ => failure,
    })
}

fn end(config: &Config, query: &str, done: &SearchDone) -> Result<(), Failure> {
    if config.say.json {
        config.say.value(done)?;
    }
    let seconds = done.elapsed_ms as f64 / 1000.0;
    let asked = text::count(done.neighbours_asked, "peer");
    if done.hits == 0 {
        return Err(Failure::new(
            Exit::NothingFound,
            format!("nothing found for {query}: asked {asked} in {seconds:.1} s"),
        )
        .hint("Try fewer or other words"));
    }
    if !config.say.json {
        let hops = match hops(&done.explain) {
            Some((near, far)) if near == far => format!(", {} away", text::count(far, "hop")),
            Some((near, far)) => format!(", {near} to {far} hops away"),
            None => String::new(),
        };
        config.say.note(&format!(
            "asked {asked}: {} of {}{hops}, in {seconds:.1} s\nfetch one: filbert{} get 1",
            text::count(done.hits, "hit"),
            text::count(done.files, "file"),
            config.home.flag
        ));
    }
    Ok(())
}

/// The nearest and the farthest hit, from `explain.hits_by_hops`.
fn hops(explain: &Value) -> Option<(u64, u64)> {
    let hops = explain.get("hits_by_hops")?.as_object()?;
    let mut all: Vec<u64> = hops.keys().filter_map(|key| key.parse().ok()).collect();
    all.retain(|&hops| hops > 0); // By UDP nobody counts them.
    all.sort_unstable();
    Some((*all.first()?, *all.last()?))
}

/// Hits that wait to be shown, so that those of the same content stand in one line with the number of its sources.
#[derive(Default)]
struct Shown {
    /// In the order in which their first hits came.
    waiting: Vec<Content>,
    since: Option<Instant>,
    /// Of each content by its name: the number of its first hit, and its sources that were shown.
    known: BTreeMap<String, (u32, usize)>,
}

/// The hits of one content that came since it was last shown.
struct Content {
    first: HitView,
    sources: usize,
}

impl Shown {
    /// How long more hits may come before those that wait are shown; `None` when none does.
    fn patience(&self) -> Option<Duration> {
        self.since.map(|since| LATEST.saturating_sub(since.elapsed()).min(SETTLED))
    }

    fn take(&mut self, hit: HitView) {
        self.since.get_or_insert_with(Instant::now);
        let same = |content: &&mut Content| hit.urn.is_some() && content.first.urn == hit.urn;
        match self.waiting.iter_mut().find(same) {
            Some(content) => content.sources += 1,
            None => self.waiting.push(Content { first: hit, sources: 1 }),
        }
    }

    /// A line for each content that has hits which were not shown: itself, or, when it was, how many sources it has by now.
    fn rows(&mut self) -> Vec<String> {
        self.since = None;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().map(|content| self.row(content)).collect()
    }

    fn row(&mut self, Content { first: hit, sources }: &Content) -> String {
        let known = hit.urn.as_ref().and_then(|urn| self.known.get(urn)).copied();
        let (number, all) = known.map_or((hit.hit, *sources), |(number, shown)| (number, shown + sources));
        if let Some(urn) = &hit.urn {
            self.known.insert(urn.clone(), (number, all));
        }
        let (name, size) = match known {
            Some(_) => (format!("  = {number}, now"), String::new()),
            None => (text::safe(&hit.name), text::size(hit.size)),
        };
        let end = match all {
            1 => {
                let busy = if hit.source.busy { ", busy" } else { "" };
                let way = if hit.hops == 0 { "by UDP".to_owned() } else { text::count(hit.hops.into(), "hop") };
                format!("{:<21}  {way}{busy}", text::safe(&hit.source.addr))
            }
            all => format!("{:<21}", text::count(all as u64, "source")),
        };
        // Number, size, address and hops keep their columns; the name takes what is left.
        let name = say::rest_of_line(&name, 4 + 2 + 2 + 10 + 2 + 21 + 2 + 6);
        format!("{number:>4}  {name}  {size:>10}  {}", end.trim_end())
    }
}

/// The best hit of a search for `words`: the content that most sources have; of its sources one that is not
/// busy and near.
pub async fn best(client: &Client, words: &str, whose: Whose) -> Result<HitView, Failure> {
    let request = SearchRequest { query: words.to_owned(), ttl: None, wait_ms: None, max: None };
    let search = begin(client, &request, whose).await?;
    let mut lines = client.lines::<SearchLine>(&format!("/api/v1/searches/{}/hits?follow=1", search.id)).await?;
    let mut hits = Vec::new();
    while let Some(line) = lines.next().await {
        match line? {
            SearchLine::Hit(hit) => hits.push(hit),
            SearchLine::Done(_) => break,
        }
    }
    choose(&hits).cloned().ok_or_else(|| {
        Failure::new(Exit::NothingFound, format!("nothing found for {words}")).hint("Try fewer or other words")
    })
}

fn choose(hits: &[HitView]) -> Option<&HitView> {
    let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
    for urn in hits.iter().filter_map(|hit| hit.urn.as_deref()) {
        *sources.entry(urn).or_default() += 1;
    }
    hits.iter().max_by_key(|hit| {
        let shared_by = hit.urn.as_deref().and_then(|urn| sources.get(urn)).copied().unwrap_or(0);
        (shared_by, !hit.source.busy, !hit.source.push, u8::MAX - hit.hops, u32::MAX - hit.hit)
    })
}

/// A hit as `--json` prints it while `get --best` looks.
pub fn chosen(hit: &HitView) -> Value {
    json!({ "event": "chosen", "hit": hit.hit, "name": hit.name, "urn": hit.urn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::view::SourceView;

    #[test]
    fn the_next_step_is_told_once() {
        assert_eq!(reason("no neighbours yet"), None);
        assert_eq!(reason("no neighbours yet; nobody answered"), Some("nobody answered"));
    }

    fn args(words: &[&str]) -> Search {
        Search {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            any: false,
            min_size: None,
            max_size: None,
            ttl: None,
            wait: None,
            max: None,
            connect: Vec::new(),
        }
    }

    fn hit(number: u32, urn: &str, hops: u8, busy: bool) -> HitView {
        HitView {
            folder: String::new(),
            hit: number,
            name: "n".into(),
            size: 1,
            sha1: None,
            tth: None,
            blake3: None,
            urn: (!urn.is_empty()).then(|| urn.to_owned()),
            source: SourceView {
                addr: "a:1".into(),
                servent: String::new(),
                vendor: "FLBT".into(),
                push: false,
                busy,
                browse: false,
                proxies: Vec::new(),
            },
            alternates: Vec::new(),
            index: 0,
            hops,
            query_ms: 1,
            via: None,
        }
    }

    #[test]
    fn words_become_a_query() {
        let table: &[(&[&str], &str)] = &[
            (&["blue", "train"], "blue train"),
            (&["blue train -live"], "blue train -live"),
            (&["blue train", "coltrane"], "\"blue train\" coltrane"),
            (&["coltrane", "-blue train"], "coltrane -\"blue train\""),
            (&["\"blue train\"", "ext:flac"], "\"blue train\" ext:flac"),
        ];
        for (words, expected) in table {
            assert_eq!(query(&args(words)), *expected);
        }
        let all =
            Search { any: true, min_size: Some("10M".into()), max_size: Some("1G".into()), ..args(&["a1", "b2"]) };
        assert_eq!(query(&all), "a1 b2 size:>=10M size:<=1G --any");
        assert!(request(&all).is_ok(), "the query language reads what we write");
        assert_eq!(request(&args(&["-live"])).expect_err("nothing wanted").exit, Exit::Usage);
    }

    #[test]
    fn the_best_hit_has_most_sources_then_is_free_then_near() {
        let hits = [hit(1, "u:a", 1, false), hit(2, "u:b", 3, true), hit(3, "u:b", 2, false), hit(4, "", 1, false)];
        assert_eq!(choose(&hits).map(|hit| hit.hit), Some(3));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn a_content_has_one_line_with_its_sources_and_another_when_more_come() {
        let mut shown = Shown::default();
        for hit in [hit(1, "u:a", 1, false), hit(2, "u:b", 2, true), hit(3, "u:a", 2, true), hit(4, "", 1, false)] {
            shown.take(hit);
        }
        let rows = shown.rows();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[0].starts_with("   1  ") && rows[0].ends_with("2 sources"), "{rows:?}");
        assert!(rows[1].starts_with("   2  ") && rows[1].ends_with("2 hops, busy"), "{rows:?}");
        assert!(rows[2].starts_with("   4  ") && rows[2].ends_with("1 hop"), "{rows:?}");
        assert!(shown.rows().is_empty());
        shown.take(hit(5, "u:a", 3, false));
        shown.take(hit(6, "", 3, false));
        let rows = shown.rows();
        assert!(rows[0].starts_with("   1    = 1, now") && rows[0].ends_with("3 sources"), "{rows:?}");
        assert!(rows[1].starts_with("   6  "), "what has no content name is a line of its own: {rows:?}");
    }

    #[test]
    fn the_span_of_hops_is_read_from_the_explanation() {
        assert_eq!(hops(&json!({"hits_by_hops": {"1": 2, "3": 1}})), Some((1, 3)));
        assert_eq!(hops(&json!({"hits_by_hops": {"0": 2, "2": 1}})), Some((2, 2)));
        assert_eq!(hops(&json!({"hits_by_hops": {"0": 2}})), None);
        assert_eq!(hops(&json!({})), None);
    }
}
