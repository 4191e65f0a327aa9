//! Where the cache's memory comes from: taken once for the arena and once for the index.

use std::io;

use memmap2::{Advice, MmapMut};

/// Zeroed memory that the system hands out as it is touched. In huge pages where it can: look-ups go anywhere in it, and
/// under a hypervisor a page walk costs as much as the memory.
pub(super) fn memory(bytes: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(bytes)?;
    // A kernel built without them says no, and small pages it is.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}
