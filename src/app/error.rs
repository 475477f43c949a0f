//! What went wrong, for people and for scripts: what, why, and the next step.

use std::fmt;

use serde::Serialize;

/// An error of the running servent, as the API and the command line show it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Error {
    /// For scripts.
    pub code: ErrorCode,
    /// What is wrong, with the name of the thing that is.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

/// The kinds of errors; each has an HTTP status and an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Something failed: 500, exit 1.
    Failed,
    /// The request makes no sense: 400, exit 2.
    Usage,
    /// There is no such thing: 404, exit 3.
    NotFound,
    /// No peer is connected: 503, exit 4.
    NotConnected,
    /// Bytes did not match their name: 502, exit 5.
    VerificationFailed,
    /// Refused by policy or by the other side: 403, exit 6.
    Refused,
    /// It took too long: 504, exit 124.
    TimedOut,
    /// Somebody else has it: another servent holds this home or this port: 409, exit 1.
    InUse,
}

impl Error {
    /// An error with no hint yet.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: String::new() }
    }

    /// With the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl ErrorCode {
    /// The HTTP status of the API.
    pub const fn status(self) -> u16 {
        match self {
            Self::Failed => 500,
            Self::Usage => 400,
            Self::NotFound => 404,
            Self::NotConnected => 503,
            Self::VerificationFailed => 502,
            Self::Refused => 403,
            Self::TimedOut => 504,
            Self::InUse => 409,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, ". {}", self.hint) }
    }
}

impl std::error::Error for Error {}
