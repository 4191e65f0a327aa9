//! The Python face of the compiled list.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::refused;

/// One generation of the compiled lists, mapped.
#[pyclass(frozen, module = "resolver._core")]
pub struct CompiledList {
    pub(crate) inner: Arc<dnscore::list::CompiledList>,
}

#[pymethods]
impl CompiledList {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<CompiledList> {
        let inner = py.detach(|| dnscore::list::CompiledList::open(&path)).map_err(refused)?;
        Ok(CompiledList { inner: Arc::new(inner) })
    }

    #[getter]
    fn rows(&self) -> u32 {
        self.inner.rows()
    }

    #[getter]
    fn meta(&self) -> &[u8] {
        self.inner.meta()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CompiledList>()
}
