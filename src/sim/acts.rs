//! What scenarios and tests do with a world: build it, ask, break it, and let time pass.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::proto::{CloseReason, Command, Config, ConnId, Input, SearchId, Servent, Strategy};
use crate::wire::qrt::{Draft, each_hash};
use crate::wire::query::Query;
use crate::wire::{Frame, Guid};

use super::options::{NotSettled, WorldOptions};
use super::topology::Graph;
use super::workload::SharedFile;
use super::world::{Machine, Node, Parcel, ServentId, World};

impl World {
    /// A world whose links are the edges of `graph` and no others: each servent opens the links to its higher
    /// neighbours, as `--only-listed --connect` does, and the world runs until all are up.
    pub fn of_graph(options: WorldOptions, graph: &Graph) -> Result<Self, NotSettled> {
        Self::of_graph_with(options, graph, |_, _| {})
    }

    /// The same, with servents that differ: `tune` sees the configuration of each before it is built.
    pub fn of_graph_with(
        options: WorldOptions,
        graph: &Graph,
        mut tune: impl FnMut(ServentId, &mut Config),
    ) -> Result<Self, NotSettled> {
        let mut world = Self::new(options);
        for id in 0..graph.len() {
            let mut config = world.options.config.clone();
            config.only_listed = true;
            config.neighbours = config.neighbours.max(graph.degree(id));
            tune(id, &mut config);
            world.add_with(config);
        }
        for (a, b) in graph.edges() {
            world.connect(a, b);
        }
        world.settle(graph, Duration::from_secs(60))?;
        Ok(world)
    }

    /// A new servent of the world's configuration.
    pub fn add(&mut self) -> ServentId {
        self.add_with(self.options.config.clone())
    }

    /// A new servent of that configuration, but for its servent GUID, which is drawn.
    pub fn add_with(&mut self, mut config: Config) -> ServentId {
        let id = self.nodes.len();
        config.servent = Guid::random(&mut self.rng);
        let servent = Servent::new(config, self.rng.fork(), self.now);
        let node = Node { servent: Some(servent), ..Node::new(id) };
        let addr = node.addr;
        self.nodes.push(node);
        self.command(id, Command::Listening(addr));
        id
    }

    /// Lets a servent share a file.
    pub fn share(&mut self, id: ServentId, file: SharedFile) {
        self.nodes[id].files.push(file);
        let files = &self.nodes[id].files;
        let kib = files.iter().map(|file| file.size / 1024).sum::<u64>();
        let command = Command::Sharing { files: files.len() as u32, kib: u32::try_from(kib).unwrap_or(u32::MAX) };
        self.command(id, command);
    }

    /// Lets a servent tell its neighbours the words of its files, as running servents do. Who does not is asked everything.
    pub fn tell_words(&mut self, id: ServentId) {
        let mut draft = Draft::for_hashes(0);
        self.nodes[id].files.iter().for_each(|file| each_hash(&file.name, |hash| draft.add(hash)));
        self.command(id, Command::Table(Arc::new(draft.finish())));
    }

    /// Gives a servent a command, now.
    pub fn command(&mut self, id: ServentId, command: Command) {
        self.tell(id, Input::Command(command));
    }

    /// Lets `a` connect to `b`, as `--connect` does.
    pub fn connect(&mut self, a: ServentId, b: ServentId) {
        let addr = self.nodes[b].addr;
        self.command(a, Command::Connect(addr));
    }

    /// Lets a servent ask for `text`; `None` when it is dead. The GUID finds the [`Flood`](super::Flood), of which there
    /// is none when the servent has no neighbour.
    pub fn search(&mut self, id: ServentId, text: &str, ttl: Option<u8>) -> Option<Guid> {
        self.search_by(id, text, ttl, Some(Strategy::Flood))
    }

    /// The same by that strategy, or as the network calls for.
    pub fn search_by(
        &mut self,
        id: ServentId,
        text: &str,
        ttl: Option<u8>,
        strategy: Option<Strategy>,
    ) -> Option<Guid> {
        self.searches += 1;
        let search = SearchId(self.searches);
        let query = Query::new(text, &[]);
        self.command(id, Command::Search { id: search, query, ttl, strategy });
        self.nodes[id].asked.get(&search).copied()
    }

    /// Puts a message on the link from `a` to `b` as if `a` had sent it: what strangers might send. `false` if
    /// there is no such link.
    pub fn inject(&mut self, a: ServentId, b: ServentId, frame: Frame) -> bool {
        let conn = self.conn_between(a, b);
        if let Some(conn) = conn {
            self.carry(a, conn, Parcel::Frame(frame));
        }
        conn.is_some()
    }

    /// Ends a servent as `kill -9` does: its machine closes its connections, nobody says Bye.
    pub fn kill(&mut self, id: ServentId) {
        for conn in self.vanish_conns(id) {
            self.carry(id, conn, Parcel::End(CloseReason::Broken));
        }
        self.nodes[id].conns.clear();
    }

    /// Ends a servent as a pulled plug does: nobody is told anything, and who dials it waits in vain.
    pub fn vanish(&mut self, id: ServentId) {
        self.nodes[id].machine = Machine::Off;
        self.vanish_conns(id);
        self.nodes[id].conns.clear();
    }

    /// Lets a servent say goodbye, and ends it when its connections are closed.
    pub fn stop(&mut self, id: ServentId) {
        self.command(id, Command::Shutdown);
        self.kill(id);
    }

    /// Lets nothing pass between the servents below `first` and the others, until [`Self::heal`].
    pub fn partition(&mut self, first: ServentId) {
        self.wall = Some(first);
    }

    /// Takes the partition away. What was lost stays lost.
    pub fn heal(&mut self) {
        self.wall = None;
    }

    /// Sets the latency between two servents, for links that come to be after this.
    pub fn set_latency(&mut self, a: ServentId, b: ServentId, latency: Duration) {
        self.latencies.insert((a.min(b), a.max(b)), latency);
    }

    /// Runs until `deadline` or until `done` says so, whatever comes first; returns whether it was `done`.
    /// `done` is asked before each thing that happens.
    pub fn run_until(&mut self, deadline: Instant, mut done: impl FnMut(&World) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            match self.agenda.first_key_value() {
                Some((&(at, _), _)) if at <= deadline => self.step(),
                _ => {
                    self.now = self.now.max(deadline);
                    return false;
                }
            }
        }
    }

    /// Runs for that long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time, |_| false);
    }

    /// Runs until no query and no hit is on any link, or for `limit`; returns whether it became quiet. On
    /// links with a capacity, messages may wait inside servents while none is under way.
    pub fn run_until_quiet(&mut self, limit: Duration) -> bool {
        self.run_until(self.now + limit, World::is_quiet)
    }

    /// Runs until no message of any kind is on any link, or for `limit`; returns whether it became still.
    pub fn run_until_still(&mut self, limit: Duration) -> bool {
        self.run_until(self.now + limit, |world| world.frames == 0)
    }

    /// Runs until exactly the edges of `graph` are links, for `limit` at most.
    pub fn settle(&mut self, graph: &Graph, limit: Duration) -> Result<(), NotSettled> {
        let began = self.now;
        while self.now - began < limit {
            self.run_for(Duration::from_millis(250));
            if self.graph() == *graph {
                return Ok(());
            }
        }
        let up = self.graph();
        let missing = graph.edges().filter(|&(a, b)| !up.has_edge(a, b)).collect();
        Err(NotSettled { waited: limit, missing })
    }

    /// The servent is no more; its ends are closed. Its connections are still named, for a last word.
    fn vanish_conns(&mut self, id: ServentId) -> Vec<ConnId> {
        self.nodes[id].servent = None;
        let conns = self.nodes[id].conns.clone();
        for (link, side) in conns.values().copied().flatten() {
            self.links[link].ends[side].open = false;
        }
        conns.into_keys().collect()
    }
}
