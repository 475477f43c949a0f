//! Files: the home directory, the share and its watch, hashing, partial files and state.

mod both_trees;
mod cache;
mod claim;
mod hash;
pub mod home;
mod journal;
mod keeper;
pub mod lock;
mod open;
mod partial;
mod pass;
mod place;
mod policy;
mod room;
mod scan;
mod share;
mod stamp;
pub mod state;
mod trees;
mod watch;

pub use both_trees::BothTrees;
pub use cache::pretend;
pub use claim::Claim;
pub use home::{Home, quoted};
pub use journal::{Journal, Journalled};
pub use lock::{Lock, LockError};
pub use open::open_beneath;
pub use partial::{
    Checked, DiskError, Ends, Fault, Finishing, Judged, Moved, Partial, PartialSpec, Slot, Together, Wrote, node_of,
    read_range, remove_empty,
};
pub use pass::{BUFFER, Threads, pass};
pub use place::{OnExists, UnknownPolicy};
pub use policy::{Pattern, Refusal, SkipReason, looks_private, may_share};
pub use room::{last_written, next_step, open_to_others, room_in, why_unwritten};
pub use scan::{MAX_DEPTH, Preview, preview};
pub use share::{LeftOut, Options as ShareOptions, Phase, ShareState, Shares};
pub use stamp::stamp_of;
pub use state::{Loaded, StateFile, set_aside, write_atomically};
pub use trees::{Kept, MAX_LOG, MAX_WAITING, Open, Trees};
pub use watch::kernel_limit as watch_limit;

pub use crate::library::Change;
