//! How a command ends: the exit codes, which scripts rely on, and a failure with its words.

use std::io;
use std::process::ExitCode;

use crate::app::{Error, ErrorCode};

/// The exit codes: part of the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Nothing was found.
    NothingFound,
    /// No peer is connected.
    NotConnected,
    /// Bytes did not match their name.
    VerificationFailed,
    /// Refused, by policy or by the other side.
    Refused,
    /// No servent runs in this home.
    NoServent,
    /// Some of what was asked for is done, some is not.
    PartlyDone,
    /// It took longer than `--timeout` allows.
    TimedOut,
    /// Ctrl-C; state is kept.
    Interrupted,
}

impl Exit {
    /// All of them.
    pub const ALL: [Exit; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NothingFound,
        Self::NotConnected,
        Self::VerificationFailed,
        Self::Refused,
        Self::NoServent,
        Self::PartlyDone,
        Self::TimedOut,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NothingFound => 3,
            Self::NotConnected => 4,
            Self::VerificationFailed => 5,
            Self::Refused => 6,
            Self::NoServent => 7,
            Self::PartlyDone => 8,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }

    /// When a command ends so.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Done => "It is done",
            Self::Failed => "It failed",
            Self::Usage => "What was typed makes no sense",
            Self::NothingFound => "Nothing was found",
            Self::NotConnected => "No peer is connected",
            Self::VerificationFailed => "What came is not what was asked for",
            Self::Refused => "It was refused, here or by the other side",
            Self::NoServent => "No servent runs",
            Self::PartlyDone => "It is partly done",
            Self::TimedOut => "It was not done within --timeout",
            Self::Interrupted => "It was interrupted; what is there is kept",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Failed | ErrorCode::InUse => Self::Failed,
            ErrorCode::Usage => Self::Usage,
            ErrorCode::NotFound => Self::NothingFound,
            ErrorCode::NotConnected => Self::NotConnected,
            ErrorCode::VerificationFailed => Self::VerificationFailed,
            ErrorCode::Refused => Self::Refused,
            ErrorCode::TimedOut => Self::TimedOut,
        }
    }
}

/// Why a command did not do what it was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is wrong, for a person; empty when everything was said already.
    pub message: String,
    /// The next step; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure with its words.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new() }
    }

    /// With the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Ends with that code and says nothing more.
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// What stands on stderr; `None` when there is nothing to say.
    pub fn text(&self) -> Option<String> {
        match (self.message.trim_end_matches('.'), self.hint.as_str()) {
            ("", _) => None,
            (message, "") => Some(format!("filbert: {message}.")),
            (message, hint) if hint.ends_with('?') => Some(format!("filbert: {message}. {hint}")),
            (message, hint) => Some(format!("filbert: {message}. {}.", hint.trim_end_matches('.'))),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { exit: error.code.into(), message: error.message, hint: error.hint }
    }
}

/// Writing to stdout failed. A reader that went away (`filbert search ... | head -1`) is not an error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Done),
            _ => Self::new(Exit::Failed, format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 124, 130]);
    }

    #[test]
    fn every_error_of_the_servent_has_its_code() {
        let table = [
            (ErrorCode::Failed, 1),
            (ErrorCode::InUse, 1),
            (ErrorCode::Usage, 2),
            (ErrorCode::NotFound, 3),
            (ErrorCode::NotConnected, 4),
            (ErrorCode::VerificationFailed, 5),
            (ErrorCode::Refused, 6),
            (ErrorCode::TimedOut, 124),
        ];
        for (error, code) in table {
            assert_eq!(Exit::from(error).code(), code, "{error:?}");
        }
    }

    #[test]
    fn a_failure_ends_in_its_next_step() {
        let failure = Failure::new(Exit::NotConnected, "cannot search: no neighbours").hint("Try filbert connect HOST");
        assert_eq!(failure.text().as_deref(), Some("filbert: cannot search: no neighbours. Try filbert connect HOST."));
        assert_eq!(Failure::silent(Exit::NothingFound).text(), None);
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone, Failure::silent(Exit::Done));
    }
}
