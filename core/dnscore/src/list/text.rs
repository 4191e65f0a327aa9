//! Which characters a signed text may hold: the table that the issuer's half reads, included as it stands.
//!
//! Enters: a code point. Leaves: whether it is refused. `blocklists/text.py` states the rules.

/// First and last code point of each range that is refused, in order.
const REFUSED: &[(u32, u32)] = &include!("../../../../blocklists/text.table");

/// Is this a character that no signed text holds?
pub(crate) fn is_refused(character: u32) -> bool {
    let after = REFUSED.partition_point(|&(first, _)| first <= character);
    after.checked_sub(1).is_some_and(|at| character <= REFUSED[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_edges_hold() {
        assert!(REFUSED.windows(2).all(|pair| pair[0].1 < pair[1].0));
        for (first, last) in REFUSED.iter().copied() {
            assert!(first <= last && is_refused(first) && is_refused(last), "{first:x}");
        }
        for fine in [0x20, 0x7E, 0xA1, 0xE4, 0x2027, 0x203B, 0xFFFD, 0x1_F600, 0x2_FA20] {
            assert!(!is_refused(fine), "{fine:x}");
        }
    }
}
