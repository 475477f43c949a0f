//! The second driver: the same servent in virtual time.
//!
//! A [`World`] holds many [`Servent`](crate::proto::Servent)s, carries what they send over links with
//! latencies, and wakes them when their deadlines come. It is pure, as the core is: no sockets, no files, no
//! clock, no threads, and chance only from its seed. The same seed gives the same bytes in every report, on
//! any machine.
//!
//! ```text
//! topology   graphs: who is linked to whom                link       how long and how much a link carries
//! workload   which files at whom, what is asked           flood      what the world saw of one query
//! world      the driver: one match over `Output`          carriage   dials, links and datagrams between servents
//! acts       what tests and scenarios do with a world     inspect    what they ask it
//! crawl      a stranger that draws a map of a world
//! scenario   a world described in JSON                    report     columns as text and as JSON lines
//! table  run  compare  trace                              the four `filbert sim` commands
//! ```
//!
//! Nothing in here decides how a message travels. If a table changes, a rule in `proto` did.

mod acts;
mod carriage;
mod compare;
mod crawl;
mod flood;
mod inspect;
mod link;
mod options;
mod report;
mod run;
mod scenario;
mod table;
pub mod topology;
mod trace;
mod workload;
mod world;

pub use compare::{CompareOptions, CompareRow, Comparison, compare, summaries};
pub use crawl::Crawl;
pub use flood::{Copy, Flood, Sight, Step};
pub use inspect::Asymmetry;
pub use link::{Capacity, Latency};
pub use options::{Found, Hop, Lan, NotSettled, WorldOptions};
pub use run::{RunError, RunOptions, RunReport, Sample, SearchRow, run};
pub use scenario::{Asking, Knobs, Scenario};
pub use table::{Table, TableOptions, TableRow, table};
pub use topology::{Graph, GraphError, Topology};
pub use trace::{Trace, TraceOptions, TraceRow, trace};
pub use workload::{SharedFile, Workload};
pub use world::{ServentId, World};
