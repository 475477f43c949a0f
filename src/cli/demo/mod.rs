//! `demo`: a small network of real servents on loopback, one search, one download, told so that somebody who
//! has never heard of Gnutella understands it.
//!
//! Every servent has a home and a port of its own and knows only the neighbours that the mesh gives it. Every
//! number that is printed comes from the servents' own counters and events. Nothing is left behind.

mod canvas;
mod flood;
mod library;
mod mesh;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, join_all, select};
use serde_json::json;

use super::args::Demo;
use super::config::Config;
use super::exit::{Exit, Failure};
use super::{get, interrupt, servent, text};
use crate::app::view::{EventView, HitView, PeerView, SearchDone, SearchLine, TransferView};
use crate::app::{GetRequest, Limits, Node, Options, PortMapping, SearchRequest};
use crate::base::Rng;
use crate::disk::{self, Home};
use crate::net::rt;
use crate::proto::{Deflate, RoleChoice};
use crate::wire::Digester;
use canvas::Ink;
use flood::Flood;
use mesh::Mesh;

const NAMES: [&str; 24] = [
    "Ada", "Bo", "Cy", "Dee", "Eve", "Fay", "Gus", "Hal", "Ida", "Jo", "Kit", "Lou", "Mo", "Ned", "Oz", "Pam", "Quin",
    "Ray", "Sam", "Tess", "Uma", "Val", "Wes", "Zoe",
];
/// Links that the question travels.
const TTL: u8 = 7;
/// Time for a pause that lets a person read.
const PAUSE: Duration = Duration::from_millis(700);
/// Time for links and hashing to be there.
const PATIENCE: Duration = Duration::from_secs(15);

/// `demo`.
pub async fn demo(config: &Config, args: &Demo) -> Result<(), Failure> {
    if !(8..=NAMES.len()).contains(&args.nodes) {
        return Err(Failure::new(Exit::Usage, format!("--nodes goes from 8 to {}", NAMES.len())));
    }
    let bits = servent::random()?;
    // A short number can be typed again.
    let seed = args.seed.unwrap_or(u64::from_ne_bytes(bits) % 10_000);
    let place = Place::make(u64::from_ne_bytes(bits))?;
    let stage = Stage { config, args, seed, servents: Mutex::default(), place: &place.0 };
    let told = interrupt::bounded(config, stage.play()).await;
    let servents = std::mem::take(&mut *stage.servents.lock().unwrap_or_else(PoisonError::into_inner));
    join_all(servents.iter().map(|servent| servent.node.shutdown())).await;
    drop(servents);
    told
}

/// A folder that goes when the demo ends, however it ends.
struct Place(PathBuf);

impl Place {
    fn make(chance: u64) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("filbert-demo-{chance:016x}"));
        std::fs::create_dir(&path).map_err(|error| trouble(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

fn trouble(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot use {}: {error}", path.display()))
}

/// One of the servents.
#[derive(Clone)]
struct Servent {
    node: Arc<Node>,
    name: &'static str,
    addr: SocketAddr,
}

/// What came of a question.
struct Asked {
    flood: Flood,
    /// At which hop each servent heard it; the one that asked: 0.
    heard: BTreeMap<usize, u8>,
    /// Who had something.
    answered: BTreeSet<usize>,
    hits: Vec<HitView>,
}

/// Everything that the story needs. The servents are kept apart from the story so that they are closed
/// properly when the story is interrupted.
struct Stage<'a> {
    config: &'a Config,
    args: &'a Demo,
    seed: u64,
    servents: Mutex<Vec<Servent>>,
    place: &'a Path,
}

impl Stage<'_> {
    async fn play(&self) -> Result<(), Failure> {
        let mut rng = Rng::from_number(self.seed);
        let mesh = Mesh::random(self.args.nodes, &mut rng);
        let holds = deal(mesh.nodes, &mut rng);
        let owner = holds.iter().position(|files| files.contains(&library::WANTED)).unwrap_or(0);
        let seeker = mesh.farthest(owner, TTL.into());

        self.start(&mesh, &holds).await?;
        let servents = self.servents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.linked(&servents, &mesh).await?;
        self.show_mesh(&servents, &mesh, seeker).await?;

        let Asked { flood, heard, answered, hits } = self.ask(&servents, seeker).await?;
        self.show_flood(&servents, &mesh, &flood, &heard, &answered).await?;
        self.show_hits(&servents, &hits)?;

        let wanted = library::FILES[library::WANTED].0;
        let hit = hits.iter().find(|hit| hit.name == wanted).ok_or_else(|| {
            Failure::new(
                Exit::NothingFound,
                format!("nobody answered for {wanted}, which {} has", servents[owner].name),
            )
        })?;
        let transfer = self.fetch(&servents[seeker], hit).await?;
        self.end(&servents, seeker, &transfer)
    }

    /// Starts the servents one after the other; each calls those of its neighbours that are there already.
    async fn start(&self, mesh: &Mesh, holds: &[Vec<usize>]) -> Result<(), Failure> {
        let mut started: Vec<SocketAddr> = Vec::new();
        for (number, files) in holds.iter().enumerate() {
            let name = NAMES[number];
            let home = self.place.join(name);
            let share = home.join("shared");
            std::fs::create_dir_all(&share).map_err(|error| trouble(&share, &error))?;
            for (file, bytes) in files.iter().map(|&file| library::FILES[file]) {
                std::fs::write(share.join(file), bytes).map_err(|error| trouble(&share, &error))?;
            }
            let at = Home::at(&home);
            if self.args.corrupt && files.contains(&library::WANTED) {
                let path = share.join(library::FILES[library::WANTED].0);
                spoil(&at, &path).map_err(|error| trouble(&path, &error))?;
            }
            let callable = mesh.neighbours(number).filter(|&other| other < number);
            let options = Options {
                home: at,
                exclude: Vec::new(),
                share: vec![share.clone()],
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                listen_given: true,
                connect: callable.map(|other| started[other].to_string()).collect(),
                only_listed: true,
                lan: false,
                bootstrap: Vec::new(),
                role: RoleChoice::Ultrapeer,
                portmap: PortMapping::Off,
                browse: true,
                give_downloads: true,
                deflate: Deflate::default(),
                encrypt: Default::default(),
                out_of_band: Default::default(),
                neighbours: mesh.nodes,
                ttl: TTL,
                download_dir: None,
                speeds: Default::default(),
                limits: Limits::default(),
                watch_pace: crate::app::WatchPace::default(),
                private: false,
            };
            let node = Arc::new(Node::start(options).await?);
            let addr = node.listen_addr();
            started.push(addr);
            let mut servents = self.servents.lock().unwrap_or_else(PoisonError::into_inner);
            servents.push(Servent { node, name, addr });
        }
        Ok(())
    }

    /// Waits until every link of the mesh is up at both ends and every file is hashed.
    async fn linked(&self, servents: &[Servent], mesh: &Mesh) -> Result<(), Failure> {
        let ready = async {
            loop {
                let mut all = true;
                for (number, servent) in servents.iter().enumerate() {
                    let status = servent.node.status().await;
                    all &= status.neighbours as usize == mesh.neighbours(number).count();
                    all &= status.files > 0 && status.hashed == status.files;
                }
                if all {
                    return;
                }
                rt::sleep(Duration::from_millis(20)).await;
            }
        };
        rt::timeout(PATIENCE, ready).await.map_err(|rt::TimedOut| {
            Failure::new(Exit::Failed, "the servents did not find each other").hint("Is loopback switched off here?")
        })
    }

    async fn show_mesh(&self, servents: &[Servent], mesh: &Mesh, seeker: usize) -> Result<(), Failure> {
        let mut files = 0;
        let mut bytes = 0;
        for servent in servents {
            let status = servent.node.status().await;
            files += status.files;
            bytes += status.bytes;
        }
        let links: u64 = peers(servents).await.iter().map(|peers| peers.len() as u64).sum::<u64>() / 2;
        let say = &self.config.say;
        if say.json {
            let pairs: Vec<_> = mesh.links.iter().map(|&(a, b)| [NAMES[a], NAMES[b]]).collect();
            let addrs: BTreeMap<_, _> = servents.iter().map(|s| (s.name, s.addr.to_string())).collect();
            return say.value(&json!({ "event": "mesh", "seed": self.seed, "servents": addrs, "links": pairs,
                "files": files, "bytes": bytes, "asks": NAMES[seeker] }));
        }
        self.title(&format!("{} servents, {links} links, no server", servents.len()))?;
        let labels: Vec<String> = servents.iter().map(|servent| servent.name.to_owned()).collect();
        self.drawing(mesh, &labels)?;
        say.line(&format!(
            "All are equal; each has a home and a port of its own ({} is on {}).",
            servents[0].name,
            servents[0].addr.port()
        ))?;
        say.line(&format!("Together they share {} ({}), all hashed.", text::count(files, "file"), text::size(bytes)))?;
        self.pause(2).await;
        Ok(())
    }

    /// Asks, and gathers what every servent heard and counted.
    async fn ask(&self, servents: &[Servent], seeker: usize) -> Result<Asked, Failure> {
        let owner = |addr: &str| servents.iter().position(|servent| servent.addr.to_string() == addr);
        let before = flood::counts(&peers(servents).await, owner);
        let mut ears: Vec<_> = servents.iter().map(|servent| servent.node.events()).collect();

        let request = SearchRequest { query: library::WORDS.into(), ttl: Some(TTL), wait_ms: Some(1000), max: None };
        let node = &servents[seeker].node;
        let search = node.search(request).await?;
        let mut lines = node.hits(search.id).await?;
        let mut hits = Vec::new();
        while let Some(line) = lines.next().await {
            match line {
                SearchLine::Hit(hit) => hits.push(hit),
                SearchLine::Done(SearchDone { .. }) => break,
            }
        }
        let guid = node.searches().await.into_iter().find(|s| s.id == search.id).map(|s| s.guid).unwrap_or_default();

        let after = flood::counts(&peers(servents).await, owner);
        let (mut heard, mut answered) = (BTreeMap::from([(seeker, 0)]), BTreeSet::new());
        for (number, ears) in ears.iter_mut().enumerate() {
            while let Some(Some(event)) = futures::FutureExt::now_or_never(ears.next()) {
                if let EventView::Query { guid: of, hops, answered: files, .. } = event
                    && of == guid
                {
                    heard.entry(number).or_insert(hops);
                    answered.extend((files > 0).then_some(number));
                }
            }
        }
        Ok(Asked { flood: Flood::between(&before, &after, &heard), heard, answered, hits })
    }

    async fn show_flood(
        &self,
        servents: &[Servent],
        mesh: &Mesh,
        flood: &Flood,
        heard: &BTreeMap<usize, u8>,
        answered: &BTreeSet<usize>,
    ) -> Result<(), Failure> {
        let say = &self.config.say;
        let names = |of: &[usize]| of.iter().map(|&node| servents[node].name).collect::<Vec<_>>().join(", ");
        if say.json {
            for (hop, step) in (1..).zip(&flood.hops) {
                let first: Vec<_> = step.first.iter().map(|&node| servents[node].name).collect();
                say.value(&json!({ "event": "hop", "hop": hop, "copies": step.copies, "first": first,
                    "suppressed": step.suppressed }))?;
            }
            return say.value(&json!({ "event": "flood", "copies": flood.copies(), "reached": flood.reached(),
                "suppressed": flood.suppressed(), "ends_agree": flood.ends_agree }));
        }
        let seeker = heard.iter().find(|(_, hop)| **hop == 0).map_or("?", |(node, _)| servents[*node].name);
        self.title(&format!("{seeker} asks for \"{}\"", library::WORDS))?;
        let labels: Vec<String> = servents
            .iter()
            .enumerate()
            .map(|(node, servent)| match heard.get(&node) {
                Some(0) => format!("{} asks", servent.name),
                Some(hop) if answered.contains(&node) => format!("{} {hop}!", servent.name),
                Some(hop) => format!("{} {hop}", servent.name),
                None => format!("{} -", servent.name),
            })
            .collect();
        self.drawing(mesh, &labels)?;
        say.line("A number is the hop at which the question came, ! has something. In slow motion:")?;
        for (hop, step) in (1..).zip(&flood.hops) {
            self.pause(1).await;
            let copies = match step.copies {
                1 => "1 copy".to_owned(),
                n => format!("{n} copies"),
            };
            let first = match step.first.len() {
                0 => "nobody new".to_owned(),
                _ => format!("new to {}", names(&step.first)),
            };
            let again = match step.suppressed {
                0 => String::new(),
                n => format!("; {n} heard before, dropped"),
            };
            let row = format!("  hop {hop}  {copies:>9}: {first}{again}");
            text::wrap(&row, 78, 20).iter().try_for_each(|row| say.line(row))?;
        }
        let agree =
            if flood.ends_agree { "Both ends of every link counted the same" } else { "The ends of a link disagree" };
        say.line(&format!(
            "{} copies asked {} servents once each; {} duplicates went no further.",
            flood.copies(),
            flood.reached(),
            flood.suppressed()
        ))?;
        say.line(&say.dim(&format!("{agree}.")))?;
        self.pause(2).await;
        Ok(())
    }

    fn show_hits(&self, servents: &[Servent], hits: &[HitView]) -> Result<(), Failure> {
        let say = &self.config.say;
        if say.json {
            return hits.iter().try_for_each(|hit| say.value(hit));
        }
        self.title("The answers come back the way the question went")?;
        for hit in hits {
            let from = servents.iter().find(|s| s.addr.to_string() == hit.source.addr).map_or("?", |s| s.name);
            let row = format!(
                "  {:>2}  {}  {:>9}  {} ({}), after {} ms",
                hit.hit,
                text::fit(&text::safe(&hit.name), 22),
                text::size(hit.size),
                from,
                text::count(hit.hops.into(), "hop"),
                hit.query_ms
            );
            say.line(&row)?;
        }
        Ok(())
    }

    /// Downloads a hit, with a bar.
    async fn fetch(&self, seeker: &Servent, hit: &HitView) -> Result<TransferView, Failure> {
        let say = &self.config.say;
        if !say.json {
            self.pause(2).await;
            self.title(&format!("{} fetches number {} straight from its owner", seeker.name, hit.hit))?;
        }
        let request = GetRequest { what: hit.hit.to_string(), ..GetRequest::default() };
        let transfer = seeker.node.get(request).await?;
        let mut changes = seeker.node.watch_transfer(transfer.id).await?;
        let bar = (!say.json && !say.quiet).then(get::bar);
        let mut last = transfer;
        let mut late = pin!(rt::sleep(PATIENCE));
        while let Either::Left((Some(change), _)) = select(changes.next(), late.as_mut()).await {
            if let Some(bar) = &bar {
                bar.set_length(change.size.unwrap_or(0));
                bar.set_position(change.done);
                bar.set_prefix(text::fit(&text::safe(&change.name), 21));
                bar.set_message(get::situation(&change));
            }
            last = change;
        }
        if let Some(bar) = &bar {
            bar.abandon();
        }
        if last.state == "done" {
            return Ok(last);
        }
        let exit = last.error.map_or(Exit::Failed, Exit::from);
        Err(Failure::new(
            exit,
            format!("cannot get {} ({}): {}", text::safe(&last.name), last.state, text::safe(&last.reason)),
        ))
    }

    fn end(&self, servents: &[Servent], seeker: usize, transfer: &TransferView) -> Result<(), Failure> {
        let say = &self.config.say;
        let verified = transfer.verified.clone().unwrap_or_else(|| "none".into());
        let path = transfer.path.clone().unwrap_or_default();
        let urn = transfer.urn.clone().unwrap_or_default();
        if say.json {
            return say.value(&json!({ "event": "done", "path": path, "bytes": transfer.done, "verified": verified,
                "elapsed_ms": transfer.elapsed_ms, "urn": urn }));
        }
        say.line(&format!(
            "{} has {} in {} ms, verified by {verified}:",
            servents[seeker].name,
            text::size(transfer.done),
            transfer.elapsed_ms
        ))?;
        say.line(&format!("  {}", text::safe(&urn)))?;
        say.line("")?;
        say.line(&format!("That was Gnutella. The same mesh again: filbert demo --seed {}. Now you:", self.seed))?;
        let rows = [
            ("filbert up --share DIR", "offer a folder: your peer, in one terminal"),
            ("filbert search WORDS", "look around, in another"),
            ("filbert connect HOST", "before that, if the others are on other machines"),
        ];
        rows.iter()
            .try_for_each(|(command, what)| say.line(&format!("  {}  {what}", say.bold(&text::fit(command, 22)))))
    }

    fn title(&self, text: &str) -> Result<(), Failure> {
        self.config.say.line("")?;
        self.config.say.line(&self.config.say.bold(text))
    }

    fn drawing(&self, mesh: &Mesh, labels: &[String]) -> Result<(), Failure> {
        let ink = Ink::of_locale(|name| std::env::var(name).ok());
        canvas::draw(mesh, labels, ink).iter().try_for_each(|row| self.config.say.line(row))
    }

    /// Lets a person read.
    async fn pause(&self, beats: u32) {
        use std::io::IsTerminal;
        if !self.args.fast && !self.config.say.json && std::io::stdout().is_terminal() {
            rt::sleep(PAUSE * beats).await;
        }
    }
}

async fn peers(servents: &[Servent]) -> Vec<Vec<PeerView>> {
    join_all(servents.iter().map(|servent| servent.node.peers())).await
}

/// Deals the library out: every file to one servent, a few to a second one, at least one to everybody.
fn deal(nodes: usize, rng: &mut Rng) -> Vec<Vec<usize>> {
    let mut holds = vec![Vec::new(); nodes];
    let mut files: Vec<usize> = (0..library::FILES.len()).collect();
    rng.shuffle(&mut files);
    for (turn, &file) in files.iter().enumerate() {
        holds[turn % nodes].push(file);
    }
    for (node, files) in holds.iter_mut().enumerate() {
        // Never the file that is fetched: it stays single, so that its owner can be as far away as possible.
        let extra = library::WANTED + 1 + rng.below(library::FILES.len() - 1);
        if !files.contains(&extra) && (files.is_empty() || node % 3 == 0) {
            files.push(extra);
        }
    }
    holds
}

/// Makes a source of wrong bytes: one byte in the middle is another, and the servent believes that it hashed
/// the right ones.
fn spoil(home: &Home, path: &Path) -> std::io::Result<()> {
    let mut bytes = std::fs::read(path)?;
    let mut digester = Digester::new();
    digester.update(&bytes);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, &bytes)?;
    disk::pretend(&home.cache, path, digester.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_something_and_the_wanted_file_has_one_owner() {
        for seed in 0..50 {
            for nodes in [8, 9, 24] {
                let holds = deal(nodes, &mut Rng::from_number(seed));
                assert!(holds.iter().all(|files| !files.is_empty()), "{holds:?}");
                assert_eq!(holds.iter().flatten().filter(|&&file| file == library::WANTED).count(), 1);
                let all: std::collections::BTreeSet<_> = holds.iter().flatten().collect();
                assert_eq!(all.len(), library::FILES.len());
            }
        }
    }
}
