//! What a client is sent before its address is proven to be its own: three times what came from it (RFC 9000, 8.1).
//!
//! Enters: the lengths of datagrams from there, and the datagrams that `quinn-proto` makes. Leaves: those that may be sent.
//! `quinn-proto` looks before each datagram whether one octet more may be sent, so that its last one can go beyond the limit
//! by nearly all of its length. That one is held here until more came. A datagram that `quinn-proto` makes after the limit
//! is used up says that it has found the address proven.

use quinn_proto::Transmit;

use super::server::{Out, pass};

const TIMES: usize = 3;

/// See the module.
pub(super) struct Unproven {
    came: usize,
    made: usize,
    held: Option<(Transmit, Vec<u8>)>,
}

impl Unproven {
    /// The first datagram had that length.
    pub fn new(came: usize) -> Unproven {
        Unproven { came, made: 0, held: None }
    }

    /// Another one came, of that length.
    pub fn receive(&mut self, length: usize) {
        self.came += length;
    }

    /// Sends what was made, or holds it. True: the address is proven, and this is of no more use.
    pub fn send(&mut self, transmit: Transmit, octets: &[u8], out: &mut impl Out) -> bool {
        let is_proven = self.made >= TIMES * self.came;
        self.made += transmit.size;
        if is_proven {
            self.send_held(out);
        } else if self.made > TIMES * self.came {
            self.held = Some((transmit, octets.to_vec()));
            return false;
        }
        pass(&transmit, octets, out);
        is_proven
    }

    /// Sends what was held, if it may be sent now.
    pub fn send_on(&mut self, out: &mut impl Out) {
        if self.made <= TIMES * self.came {
            self.send_held(out);
        }
    }

    /// Sends what was held; the address is proven.
    pub fn send_held(&mut self, out: &mut impl Out) {
        if let Some((transmit, octets)) = self.held.take() {
            pass(&transmit, &octets, out);
        }
    }
}
