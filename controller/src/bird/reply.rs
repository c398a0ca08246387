//! Answers as BIRD's clients read them.
//!
//! `1007-text`: code, and more follows. ` text`: the same code again, and more follows.
//! `0000 text`: the last line. `+text`: a line of the log that has nothing to do with the command.

use std::{fmt, fmt::Write as _, io};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// What is kept before it is sent.
const BUFFER: usize = 32 * 1024;

/// What a line is about: BIRD's reply codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Done = 0,
    Welcome = 1,
    ReadingConfiguration = 2,
    AlreadyDisabled = 8,
    Disabled = 9,
    AlreadyEnabled = 10,
    Enabled = 11,
    Restarted = 12,
    StatusReport = 13,
    RouteCount = 14,
    Reloading = 15,
    Restricted = 16,
    ConfigurationOk = 20,
    Version = 1000,
    Interface = 1001,
    Protocol = 1002,
    InterfaceAddress = 1003,
    InterfaceFlags = 1004,
    InterfaceSummary = 1005,
    ProtocolDetails = 1006,
    Route = 1007,
    RouteType = 1008,
    Static = 1009,
    Symbol = 1010,
    Uptime = 1011,
    RouteAttributes = 1012,
    Memory = 1018,
    BfdSessions = 1020,
    ProtocolHeading = 2002,
    InterfaceHeading = 2005,
    NotFound = 8001,
    ConfigurationError = 8002,
    NoProtocolMatches = 8003,
    NotPossible = 8006,
    Denied = 8007,
    Failed = 8008,
    TooLong = 9000,
    NotUnderstood = 9001,
}

/// An answer on its way to a client.
#[derive(Debug)]
pub(super) struct Reply<W> {
    to: W,
    text: String,
    last: Option<Code>,
}

impl<W: AsyncWrite + Unpin> Reply<W> {
    pub(super) const fn new(to: W) -> Self {
        Self {
            to,
            text: String::new(),
            last: None,
        }
    }

    /// A line with more to follow.
    pub(super) fn line(&mut self, code: Code, text: impl fmt::Display) {
        self.begin(code);
        self.finish(text);
    }

    /// The last line of the answer.
    pub(super) fn end(&mut self, code: Code, text: impl fmt::Display) {
        let _ = write!(self.text, "{:04} ", code as u16);
        self.last = None;
        self.finish(text);
    }

    /// The end of an answer that has said everything.
    pub(super) fn done(&mut self) {
        self.end(Code::Done, "");
    }

    /// A line of the log.
    pub(super) fn log(&mut self, text: &str) {
        self.text.push('+');
        self.finish(text);
    }

    fn begin(&mut self, code: Code) {
        if self.last == Some(code) {
            self.text.push(' ');
        } else {
            let _ = write!(self.text, "{:04}-", code as u16);
        }
        self.last = Some(code);
    }

    /// A text must not begin a line of its own: an operator's text of another AS may try.
    fn finish(&mut self, text: impl fmt::Display) {
        let from = self.text.len();
        let _ = write!(self.text, "{text}");
        if self.text[from..].contains(['\n', '\r']) {
            let clean = self.text[from..].replace(['\n', '\r'], " ");
            self.text.truncate(from);
            self.text.push_str(&clean);
        }
        self.text.push('\n');
    }

    /// Sends what there is, if it is worth it. To be called now and then in a long answer.
    pub(super) async fn flush_some(&mut self) -> io::Result<()> {
        if self.text.len() < BUFFER {
            return Ok(());
        }
        self.flush().await
    }

    /// Sends what there is.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(self.text.as_bytes()).await?;
        self.text.clear();
        self.to.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_code_is_said_once_and_the_last_line_is_marked() {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out);
        reply.line(Code::ProtocolHeading, "Name");
        reply.line(Code::Protocol, "a");
        reply.line(Code::Protocol, "b");
        reply.line(Code::ProtocolDetails, "x");
        reply.line(Code::Protocol, "c");
        reply.done();
        reply.line(Code::Protocol, "d\ne");
        reply.log("news");
        reply.end(Code::NotFound, "Network not found");
        reply.flush().await.unwrap();
        let expected = "2002-Name\n1002-a\n b\n1006-x\n1002-c\n0000 \n\
                        1002-d e\n+news\n8001 Network not found\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
