//! Counts and places in smaller integers, where the code around has seen to it that they fit. One that does not is a bug
//! like an overflow, and ends like one.

/// In eight bits.
#[inline(always)]
pub(crate) const fn to_u8(number: usize) -> u8 {
    assert!(number <= u8::MAX as usize);
    number as u8
}

/// In sixteen bits.
#[inline(always)]
pub(crate) const fn to_u16(number: usize) -> u16 {
    assert!(number <= u16::MAX as usize);
    number as u16
}

/// In thirty-two bits.
#[inline(always)]
pub(crate) const fn to_u32(number: usize) -> u32 {
    assert!(number <= u32::MAX as usize);
    number as u32
}
