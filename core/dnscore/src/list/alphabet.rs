//! The 39 bytes that keys are made of, numbered in their order.

use super::key::{SEPARATOR, is_label_byte};
use crate::narrow::to_u8;

/// Different bytes in keys.
pub(crate) const SIZE: usize = 39;

/// Number of a byte; 0xFF: no key holds it.
pub(crate) const NUMBER: [u8; 256] = {
    let mut numbers = [0xFF; 256];
    let mut next = 0;
    let mut byte = 0;
    while byte < 256 {
        if byte == SEPARATOR as usize || is_label_byte(to_u8(byte)) {
            numbers[byte] = next;
            next += 1;
        }
        byte += 1;
    }
    assert!(next as usize == SIZE);
    numbers
};

/// The byte of a number.
pub(crate) const BYTE: [u8; SIZE] = {
    let mut bytes = [0; SIZE];
    let mut byte = 0;
    while byte < 256 {
        if NUMBER[byte] != 0xFF {
            bytes[NUMBER[byte] as usize] = to_u8(byte);
        }
        byte += 1;
    }
    bytes
};
