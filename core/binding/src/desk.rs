//! `resolver._core`, the desk's part: names are gathered, steps made and applied without the interpreter touching an entry
//! that stays as it is.

use std::path::PathBuf;
use std::sync::Arc;

use dnscore::list::{self, Known, Made, Origin, Plain, Sign, Signed, Wanted, WantedKind, Writing};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::list::{detached, refused_at};

/// The names that an import takes.
#[pyclass(module = "resolver._core")]
struct Names {
    inner: Arc<list::Names>,
}

#[pymethods]
impl Names {
    #[new]
    fn new(
        tops: &Bound<'_, PyAny>,
        seconds: &Bound<'_, PyAny>,
        near: &Bound<'_, PyAny>,
        wildcards: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let set = |names: &Bound<'_, PyAny>| {
            names.try_iter()?.map(|name| Ok(name?.extract::<String>()?.into_bytes())).collect::<PyResult<_>>()
        };
        let plain = Plain { tops: set(tops)?, seconds: set(seconds)?, near: set(near)?, wildcards: set(wildcards)? };
        Ok(Self { inner: Arc::new(list::Names::new(plain)) })
    }

    #[pyo3(signature = (text, *, at, line, kind, writing))]
    fn take(
        &mut self,
        py: Python<'_>,
        text: &[u8],
        at: usize,
        line: u32,
        kind: u32,
        writing: &str,
    ) -> PyResult<(usize, u32)> {
        let writing = match writing {
            "bare" => Writing::Bare,
            "hosts" => Writing::Hosts,
            "rule" => Writing::Rule,
            _ => return Err(PyTypeError::new_err("names are written bare, as in hosts, or as a rule")),
        };
        // not detached: in files of odd lines this is called once a line
        Arc::make_mut(&mut self.inner).take(text, at, line, kind, writing).map_err(|error| refused_at(py, &error))
    }

    fn put(&mut self, py: Python<'_>, name: &str, line: u32, kind: u32) -> PyResult<Option<(u32, u32)>> {
        let names = Arc::make_mut(&mut self.inner);
        names.put(name.as_bytes(), line, kind).map_err(|error| refused_at(py, &error))
    }

    fn add(&mut self, py: Python<'_>, name: &str, line: u32, kind: u32) -> PyResult<()> {
        let names = Arc::make_mut(&mut self.inner);
        names.add(name.as_bytes(), line, kind).map_err(|error| refused_at(py, &error))
    }

    fn clear(&mut self) {
        Arc::make_mut(&mut self.inner).clear();
    }

    fn kinds(&self) -> Vec<u64> {
        self.inner.kinds()
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __getitem__(&self, index: usize) -> PyResult<(u32, String, u32)> {
        self.inner.get(index).ok_or_else(|| PyIndexError::new_err(format!("row {index} of {}", self.inner.len())))
    }
}

/// Lines that go and lines that come.
#[pyclass(frozen, module = "resolver._core")]
struct Steps {
    inner: list::Steps,
}

#[pymethods]
impl Steps {
    #[new]
    fn new(lines: Vec<(Vec<u8>, Vec<u8>)>) -> PyResult<Self> {
        let sign = |sign: &[u8]| match sign {
            &[octet] => Sign::parse(octet),
            _ => None,
        };
        let lines = lines.into_iter().map(|(octets, line)| {
            let sign = sign(&octets).ok_or_else(|| PyTypeError::new_err("a sign is b'-' or b'+'"))?;
            Ok((sign, line))
        });
        Ok(Self { inner: list::Steps::of(lines.collect::<PyResult<_>>()?) })
    }

    fn bases(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let bases = self.inner.bases().map_err(|error| refused_at(py, &error))?;
        Ok(bases.into_iter().collect())
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut lines = Vec::with_capacity(self.inner.len());
        let each =
            self.inner.each(|sign, line| lines.push((PyBytes::new(py, &[sign.octet()]), PyBytes::new(py, line))));
        each.map_err(|error| refused_at(py, &error))?;
        Ok(PyList::new(py, lines)?.as_any().try_iter()?.into_any())
    }
}

/// What was written.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Applied {
    entries: u64,
    size: u64,
    state: String,
    sha256: String,
    delta_size: u64,
}

/// Random octets that are asked for at a time.
const DRAWN: usize = 1 << 20;

/// Match, basis, and the line before the name and after the reference, where it is an entry's.
type Form = (String, String, Option<(String, String)>);

#[pyfunction]
#[pyo3(signature = (names, kinds, *, document, withdrawn, replace, random))]
fn wanted(
    py: Python<'_>,
    names: &mut Names,
    kinds: Vec<Form>,
    document: Option<(PathBuf, u64)>,
    withdrawn: Vec<String>,
    replace: bool,
    random: &Bound<'_, PyAny>,
) -> PyResult<(Steps, Vec<usize>)> {
    let kinds = kinds.into_iter().map(|(matching, basis, form)| WantedKind { matching, basis, form }).collect();
    Arc::make_mut(&mut names.inner).settle();
    let names = Arc::clone(&names.inner);
    let wanted = detached(py, || {
        let mut wanted = Wanted::new(names, kinds)?;
        if let Some((path, size)) = &document {
            wanted.meet(path, *size, &withdrawn, replace)?;
        }
        Ok(wanted)
    })?;
    let needed = 10 * wanted.len();
    let mut octets = Vec::with_capacity(needed);
    while octets.len() < needed {
        let drawn = random.call1(((needed - octets.len()).min(DRAWN),))?;
        let drawn = drawn.cast::<PyBytes>()?.as_bytes();
        if drawn.is_empty() {
            break; // of too few the core says so
        }
        octets.extend_from_slice(drawn);
    }
    let (inner, unfit) = detached(py, || wanted.steps(octets))?;
    Ok((Steps { inner }, unfit))
}

/// A step: made here, or a delta file and at most how many octets come out of it.
#[derive(FromPyObject)]
enum Step {
    Made(Py<Steps>),
    File((PathBuf, u64)),
}

/// A document: its file, octets uncompressed, the signed state if there is one, the file of its marks.
type Before = (PathBuf, u64, Option<String>, Option<PathBuf>);

#[pyfunction]
#[pyo3(signature = (old, step, new, *, level, limit = 1 << 32, delta = None, marks = None, same_as = None, sealed = false))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
fn apply(
    py: Python<'_>,
    old: Option<Before>,
    step: Step,
    new: PathBuf,
    level: i32,
    limit: u64,
    delta: Option<PathBuf>,
    marks: Option<PathBuf>,
    same_as: Option<(PathBuf, [u8; 32], PathBuf)>,
    sealed: bool,
) -> PyResult<Applied> {
    let list::Written { new, file, delta } = detached(py, || {
        let old = old.as_ref().map(|(path, size, state, marks)| Signed {
            path,
            size: *size,
            state: state.as_deref(),
            marks: marks.as_deref(),
        });
        let origin = match &step {
            Step::Made(steps) => Origin::Made(&steps.get().inner),
            Step::File((path, size)) => Origin::File(path, *size),
        };
        let same_as = same_as.as_ref().map(|(path, hash, marks)| Known { path, hash: *hash, marks });
        let made = Made { new: &new, level, limit, marks: marks.as_deref(), delta: delta.as_deref(), same_as, sealed };
        list::apply(old, origin, made)
    })?;
    let list::Summary { entries, size, state } = new;
    let sha256 = file.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Applied { entries, size, state, sha256, delta_size: delta.map_or(0, |delta| delta.size) })
}

#[pyfunction]
#[pyo3(signature = (document, *, size, names = Vec::new(), references = Vec::new()))]
fn find<'py>(
    py: Python<'py>,
    document: PathBuf,
    size: u64,
    names: Vec<String>,
    references: Vec<String>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let found = detached(py, || list::find(&document, size, &names, &references))?;
    Ok(found.iter().map(|line| PyBytes::new(py, line)).collect())
}

#[pyfunction]
#[pyo3(signature = (document, *, size, marks = None))]
fn summary(py: Python<'_>, document: PathBuf, size: u64, marks: Option<PathBuf>) -> PyResult<(u64, u64, String)> {
    let list::Summary { entries, size, state } = detached(py, || list::summary(&document, size, marks.as_deref()))?;
    Ok((entries, size, state))
}

#[pyfunction]
fn lines_in(text: &[u8]) -> u64 {
    list::lines_in(text)
}

#[pyfunction]
fn marked(py: Python<'_>, document: PathBuf, marks: PathBuf) -> PyResult<Option<(u64, u64, String)>> {
    let found = detached(py, || Ok(list::marked(&document, &marks)))?;
    Ok(found.map(|list::Summary { entries, size, state }| (entries, size, state)))
}

#[pyfunction]
#[pyo3(signature = (document, output, *, size, level))]
fn first_step(py: Python<'_>, document: PathBuf, output: PathBuf, size: u64, level: i32) -> PyResult<()> {
    detached(py, || list::first_step(&document, size, &output, level))
}

/// Register the desk's part.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Names>()?;
    module.add_class::<Steps>()?;
    module.add_class::<Applied>()?;
    module.add_function(wrap_pyfunction!(wanted, module)?)?;
    module.add_function(wrap_pyfunction!(apply, module)?)?;
    module.add_function(wrap_pyfunction!(find, module)?)?;
    module.add_function(wrap_pyfunction!(first_step, module)?)?;
    module.add_function(wrap_pyfunction!(summary, module)?)?;
    module.add_function(wrap_pyfunction!(marked, module)?)?;
    module.add_function(wrap_pyfunction!(lines_in, module)?)?;
    Ok(())
}
