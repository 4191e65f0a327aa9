//! The compression pointers in records that are to be moved.
//!
//! Enters: records as they came, names and lengths checked. Leaves: the place and the target of each pointer in their
//! owners, and in the data of those types whose names may be compressed (RFC 3597, 4). Data that is not what its type
//! says holds none: it passes as it is.

use super::message::{record_again, skip_part};

/// Octets before the first name in the data of a type, and how many names there are. Besides RFC 1035's own types those
/// that RFC 3597 wants a receiver to decompress, as far as they are of fixed form, and those whose names some server compressed.
const fn names_in(rtype: u16) -> (usize, usize) {
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, NXT, DNAME
        2..=5 | 7..=9 | 12 | 30 | 39 => (0, 1),
        // SOA, MINFO, RP
        6 | 14 | 17 => (0, 2),
        // MX, AFSDB, RT, KX
        15 | 18 | 21 | 36 => (2, 1),
        // PX
        26 => (2, 2),
        // SRV
        33 => (6, 1),
        // SIG
        24 => (18, 1),
        _ => (0, 0),
    }
}

/// Calls `each` with the offset of every pointer in `records`, and with its target.
pub fn pointers(records: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut at = 0;
    while let Some(rr) = record_again(records, at) {
        let record = &records[..rr.end];
        let mut name = |at: usize| {
            let (end, target) = skip_part(record, at)?;
            if let Some(target) = target {
                each(end - 2, target);
            }
            Some(end)
        };
        let (skipped, names) = names_in(rr.rtype);
        let mut within = rr.data + skipped;
        name(rr.start);
        for _ in 0..names {
            let Some(end) = name(within) else { break };
            within = end;
        }
        at = rr.end;
    }
}
