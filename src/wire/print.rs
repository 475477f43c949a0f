//! Messages for people: one line for the header, indented lines for the payload.

use super::Frame;

/// The message in words. Names from strangers are escaped: no control characters reach a terminal.
pub fn frame(_frame: &Frame) -> String {
    todo!()
}
