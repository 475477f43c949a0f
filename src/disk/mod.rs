//! Files: the home directory, the share and its watch, hashing, partial files and state.

mod home;

pub use home::Home;
