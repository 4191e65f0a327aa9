//! `resolver._core`: the native module. One error type; the interpreter is released only where a call blocks.

use pyo3::prelude::*;

pyo3::create_exception!(
    _core,
    CoreError,
    pyo3::exceptions::PyException,
    "What the core refuses, in one sentence."
);

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CoreError", module.py().get_type::<CoreError>())?;
    Ok(())
}
