//! Two pieces of work at once, or one after the other where no thread can be had.

use std::thread::Builder;

use super::types::ListError;

/// What `here` leaves, and what `other` leaves meanwhile, on a thread of this name: an error where that panics. Where there
/// is no thread, `other` is done afterwards.
pub(crate) fn beside<A: Send, B>(
    name: &str,
    other: impl Fn() -> A + Sync,
    here: impl FnOnce() -> B,
) -> (B, Result<A, ListError>) {
    std::thread::scope(|scope| {
        let thread = Builder::new().name(name.into()).spawn_scoped(scope, &other);
        let done = here();
        let failed = |_| ListError::new("internal", format!("the thread `{name}` failed"));
        (done, thread.map_or_else(|_| Ok(other()), |thread| thread.join().map_err(failed)))
    })
}
