//! `resolver._core`: the native module. One error type; the interpreter is released only where a call blocks.

mod ask;
mod desk;
mod desk_review;
mod list;
mod plane;
mod settings;
mod verdict;

use pyo3::prelude::*;

pyo3::create_exception!(_core, CoreError, pyo3::exceptions::PyException, "What the core refuses, in one sentence.");

pyo3::create_exception!(_core, ListError, CoreError, "What is wrong with a document or a compiled list.");

/// The one conversion of errors: whatever says a sentence becomes a `CoreError`.
pub(crate) fn refused(reason: impl std::fmt::Display) -> PyErr {
    CoreError::new_err(reason.to_string())
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("CoreError", module.py().get_type::<CoreError>())?;
    module.add("ListError", module.py().get_type::<ListError>())?;
    ask::register(module)?;
    desk::register(module)?;
    desk_review::register(module)?;
    list::register(module)?;
    plane::register(module)?;
    verdict::register(module)?;
    Ok(())
}
