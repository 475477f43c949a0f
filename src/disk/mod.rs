//! Files: the home directory, the share and its watch, hashing, partial files and state.

mod home;
mod lock;
mod state;

pub use home::Home;
pub use lock::{HomeLock, LockError};
pub use state::{Durable, StateFile};
