//! Advice to the kernel about large tables.

/// A table that is read at random is better off on huge pages: a miss then costs one walk of the page tables less, which
/// in a virtual machine is most of what it costs. Where the kernel does not listen nothing changes but speed.
pub fn prefer_huge_pages<T>(table: &mut [T]) {
    const PAGE: usize = 4096;
    let start = (table.as_mut_ptr() as usize).next_multiple_of(PAGE);
    let end = (table.as_mut_ptr() as usize + size_of_val(table)) / PAGE * PAGE;
    if start < end {
        // SAFETY: the pages lie wholly inside `table`, and the advice changes how they are backed, never what they hold.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}
