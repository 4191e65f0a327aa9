//! Structured DNS errors: how a client asks for them, with the numbers of the draft.
//!
//! draft-ietf-dnsop-structured-dns-error, as its working copy of mid-2026 has it, and its early revisions (Chromium 156).
//! When a number or a rule changes, this file changes, and beside it `resolver/dns/explanations.py`, which writes the JSON.
//!
//! | who | asks by |
//! |---|---|
//! | a client of draft -16 and later | the option SDE, of whatever length: its data "MUST [be] silently ignore[d]" |
//! | Chromium 156 with its flag on, clients of earlier drafts | an extended error of two zero octets |

use super::OPTION_EDE;

/// EDNS option "Structured DNS Error". Provisional: the draft says TBD, IANA has assigned none that was seen, and one public
/// library's table of options has 26.
pub const OPTION_SDE: u16 = 26;

/// "the server MUST NOT return the 'Forged Answer' extended error code" to such a client (RFC 8914, 4.5).
pub const FORGED_ANSWER: u16 = 4;

/// Whether an option in a query asks for structured errors.
#[inline]
pub fn asks(code: u16, value: &[u8]) -> bool {
    code == OPTION_SDE || (code == OPTION_EDE && value == [0, 0])
}
