//! `resolver._core`, what signers and verifiers ask of a document or of a step: what it holds, what it means, and where it
//! leads. Lines are handed over only where a person is to see them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dnscore::list::{self, Following, Guards, Told};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::list::detached;

/// Names that people are to look at, and how many entries of each kind they see.
#[pyclass(frozen, module = "resolver._core")]
struct Attention {
    guards: Guards,
    withdrawn: Vec<String>,
    limit: usize,
}

#[pymethods]
impl Attention {
    #[new]
    #[pyo3(signature = (*, protected, suffixes, popular, withdrawn, limit = None))]
    fn new(
        protected: Vec<String>,
        suffixes: Vec<String>,
        popular: Vec<String>,
        withdrawn: Vec<String>,
        limit: Option<usize>,
    ) -> Self {
        let guards = Guards::new(
            protected.iter().map(String::as_str),
            suffixes.iter().map(String::as_str),
            popular.iter().map(String::as_str),
        );
        Self { guards, withdrawn, limit: limit.unwrap_or(usize::MAX) }
    }
}

impl Attention {
    fn told(&self) -> Told<'_> {
        Told { guards: &self.guards, withdrawn: &self.withdrawn, limit: self.limit }
    }
}

/// One entry, or before and after.
type Lines = (Py<PyBytes>, Option<Py<PyBytes>>);

/// What a change means.
#[pyclass(frozen, module = "resolver._core")]
struct Reviewed {
    inner: list::Review,
}

#[pymethods]
impl Reviewed {
    /// By kind: how many, and the lines of the first of them.
    #[getter]
    fn kinds(&self, py: Python<'_>) -> BTreeMap<&'static str, (u64, Vec<Lines>)> {
        let octets = |line: &Vec<u8>| PyBytes::new(py, line).unbind();
        let lines = |(one, other): &list::Pair| (octets(one), other.as_ref().map(octets));
        let kinds = list::KINDS.into_iter().zip(&self.inner.kinds);
        kinds.map(|(kind, found)| (kind, (found.count, found.first.iter().map(lines).collect()))).collect()
    }

    #[getter]
    fn by_basis(&self) -> BTreeMap<String, (u64, u64)> {
        self.inner.by_basis.clone()
    }

    #[getter]
    fn noted<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.inner.noted.iter().map(|line| PyBytes::new(py, line)).collect()
    }
}

/// What a document holds, or would hold.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Content {
    entries: u64,
    size: u64,
    state: String,
    bases: BTreeMap<String, u64>,
    review: Option<Py<Reviewed>>,
}

#[pyfunction]
#[pyo3(signature = (document, *, size, bases, sealed = false, withdrawn = Vec::new(), attention = None, marks = None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
fn check_document(
    py: Python<'_>,
    document: PathBuf,
    size: u64,
    bases: Vec<String>,
    sealed: bool,
    withdrawn: Vec<String>,
    attention: Option<&Bound<'_, Attention>>,
    marks: Option<PathBuf>,
) -> PyResult<Content> {
    let attention = attention.map(Bound::get);
    let found = detached(py, || {
        let told = attention.map(Attention::told);
        list::check_document(&document, sealed, size, &bases, &withdrawn, told, marks.as_deref())
    })?;
    let list::Content { entries, octets, state, bases, review } = found;
    let review = attention.map(|_| Py::new(py, Reviewed { inner: review })).transpose()?;
    Ok(Content { entries, size: octets, state, bases, review })
}

#[pyfunction]
fn review_step(py: Python<'_>, step: PathBuf, size: u64, attention: &Bound<'_, Attention>) -> PyResult<Reviewed> {
    let attention = attention.get();
    let inner = detached(py, || list::review_step((&step, size), attention.told()))?;
    Ok(Reviewed { inner })
}

#[pyfunction]
fn review_difference(
    py: Python<'_>,
    old: PathBuf,
    new: PathBuf,
    size: u64,
    attention: &Bound<'_, Attention>,
) -> PyResult<Reviewed> {
    let attention = attention.get();
    let inner = detached(py, || list::review_difference(&old, &new, size, attention.told()))?;
    Ok(Reviewed { inner })
}

#[pyfunction]
#[pyo3(signature = (old, step, review, *, size, bases, withdrawn = Vec::new(), counted = true, marks = None, compared = false))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
fn follow_step(
    py: Python<'_>,
    old: (PathBuf, u64),
    step: (PathBuf, u64),
    review: &Bound<'_, Reviewed>,
    size: u64,
    bases: Vec<String>,
    withdrawn: Vec<String>,
    counted: bool,
    marks: Option<PathBuf>,
    compared: bool,
) -> PyResult<Content> {
    let review = review.get();
    let found = detached(py, || {
        let marks = marks.as_deref();
        let asked = Following { size, bases: &bases, withdrawn: &withdrawn, counted, marks, compared };
        list::follow((&old.0, old.1), (&step.0, step.1), &review.inner, asked)
    })?;
    let list::Followed { entries, octets, state, bases } = found;
    Ok(Content { entries, size: octets, state, bases, review: None })
}

#[pyfunction]
#[pyo3(signature = (old, new, *, sealed, rekeyed = false))]
fn check_bonds(py: Python<'_>, old: (PathBuf, u64), new: (PathBuf, u64), sealed: bool, rekeyed: bool) -> PyResult<()> {
    detached(py, || list::check_bonds((&old.0, old.1), (&new.0, new.1), sealed, rekeyed))
}

/// Register what signers and verifiers ask.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Attention>()?;
    module.add_class::<Reviewed>()?;
    module.add_class::<Content>()?;
    module.add_function(wrap_pyfunction!(check_document, module)?)?;
    module.add_function(wrap_pyfunction!(review_step, module)?)?;
    module.add_function(wrap_pyfunction!(review_difference, module)?)?;
    module.add_function(wrap_pyfunction!(follow_step, module)?)?;
    module.add_function(wrap_pyfunction!(check_bonds, module)?)?;
    Ok(())
}
