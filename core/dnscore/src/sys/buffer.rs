//! Memory that the headers of system calls point into for as long as it lives.
//!
//! A pointer into a box counts only until the box is moved or borrowed again. Here the memory is held by a raw pointer,
//! and both what the headers hold and every reference are derived from that: a reference ends the use of no pointer, as
//! long as it is not used while the kernel is.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A slice of its own that does not move.
pub(super) struct Buffer<T>(NonNull<[T]>);

impl<T: Copy> Buffer<T> {
    pub fn new(value: T, length: usize) -> Buffer<T> {
        Buffer(NonNull::from(Box::leak(vec![value; length].into_boxed_slice())))
    }

    /// The place of that number, for a header.
    #[inline]
    pub fn pointer(&self, number: usize) -> *mut T {
        assert!(number < self.0.len());
        self.0.as_ptr().cast::<T>().wrapping_add(number)
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the memory was a box's, so it is aligned and holds values, until `drop`. Only the kernel writes to it
        // otherwise, in calls for which its owner is borrowed exclusively.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; and `self` is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: the memory was a box's that nobody else frees, and the headers that point into it go with their owner.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
