//! Cuts the octets of a connection into messages.
//!
//! TCP delivers octets in any portions; the framer keeps what is incomplete and hands out whole
//! messages. It holds at most one message and what arrived with its last portion: the reader must
//! take all messages before it pushes more.

use bytes::{Bytes, BytesMut};

use super::{header::Header, notification::Notification};

/// Incremental message boundaries of one connection.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    extended: bool,
}

impl Framer {
    /// A framer at the start of a connection, with messages of 4096 octets at most.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts messages up to 65535 octets from here on (RFC 8654), or no longer.
    pub const fn set_extended(&mut self, extended: bool) {
        self.extended = extended;
    }

    /// Appends what was read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, header included; `None` if more octets are needed.
    ///
    /// # Errors
    /// The header is wrong: Message Header Error with the data of RFC 4271 section 6.1. The stream
    /// has lost its message boundaries, so every later call says the same.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: None means not yet"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, Notification> {
        match Header::read(&self.buffer, self.extended)? {
            Some(header) if self.buffer.len() >= header.len => {
                Ok(Some(self.buffer.split_to(header.len).freeze()))
            }
            Some(header) => {
                // One allocation for a long message instead of one for each portion of it.
                self.buffer.reserve(header.len - self.buffer.len());
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// What is here of a message that is not whole, once all whole ones are taken.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        &self.buffer
    }

    /// Octets that wait for the rest of their message.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
}
