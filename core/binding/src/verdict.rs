//! `resolver._core`, the verdict's part: the worker's own decision on one name, for those who tell people of it.

use dnscore::list::{Hits, Matching};
use dnscore::plane;
use dnscore::verdict as core;
use dnscore::wire::Name;
use pyo3::prelude::*;

use crate::list::{CompiledList, Match};
use crate::refused;

/// Exceptions, parsed once for many verdicts.
#[pyclass(frozen, module = "resolver._core")]
struct Exceptions {
    inner: core::Exceptions,
}

#[pymethods]
impl Exceptions {
    #[new]
    fn new(names: Vec<(String, String, i64)>, bypass_all: bool, bypass_lists: u64) -> PyResult<Self> {
        let names = names.iter().map(|(name, matching, until)| (name.as_str(), matching.as_str(), seconds(*until)));
        Ok(Self { inner: plane::exceptions(names, bypass_all, bypass_lists).map_err(refused)? })
    }
}

/// What the lists and the operator together say about one name.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Judgement {
    stop: Option<Py<Match>>,
    monitored: Option<Py<Match>>,
    excused: bool,
    entries: Vec<(Py<Match>, &'static str)>,
}

#[pyfunction]
fn verdict(
    py: Python<'_>,
    compiled: &CompiledList,
    qname: &str,
    exceptions: &Exceptions,
    view: u64,
    now: i64,
) -> PyResult<Judgement> {
    let name = name_of(qname)?;
    let (list, exceptions, now) = (&compiled.inner, &exceptions.inner, seconds(now));
    let mut hits = Hits::new();
    list.look_up(&[&name], &mut hits);
    let core::Judgement { stop, monitored, excused } = core::verdict(list, hits.of(0), &name, exceptions, view, now);
    let mut judgement = Judgement { stop: None, monitored: None, excused, entries: Vec::new() };
    for (hit, rule, standing) in core::standings(list, hits.of(0), &name, exceptions, view, now) {
        let Some(found) = compiled.matches(hit.row, hit.distance).into_iter().nth(usize::from(rule)) else { continue };
        let found = Py::new(py, found)?;
        if stop.is_some_and(|stop| (stop.row, stop.rule) == (hit.row, rule)) {
            judgement.stop = Some(found.clone_ref(py));
        }
        if monitored.is_some_and(|first| (first.row, first.rule) == (hit.row, rule)) {
            judgement.monitored = Some(found.clone_ref(py));
        }
        judgement.entries.push((found, standing.as_str()));
    }
    Ok(judgement)
}

#[pyfunction]
fn covers(name: &str, r#match: &str, qname: &str) -> PyResult<bool> {
    let matching = Matching::parse(r#match).ok_or_else(|| refused(format!("{match:?} is not a kind of match")))?;
    let (apex, qname) = (name_of(name)?, name_of(qname)?);
    let distance = qname.labels().checked_sub(apex.labels());
    let covers = |distance| matching.covers(Matching::distance(distance, qname.service_labels()));
    Ok(qname.is_at_or_below(apex.wire()) && distance.is_some_and(covers))
}

/// A name, by its text in presentation format.
pub(crate) fn name_of(text: &str) -> PyResult<Name> {
    Name::from_text(text).ok_or_else(|| refused(format!("{text:?} is not a name")))
}

/// Unix time as the core counts it.
fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// Register the verdict's part.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Exceptions>()?;
    module.add_class::<Judgement>()?;
    module.add_function(wrap_pyfunction!(verdict, module)?)?;
    module.add_function(wrap_pyfunction!(covers, module)?)?;
    Ok(())
}
