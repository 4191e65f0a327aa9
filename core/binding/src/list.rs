//! `resolver._core`, the list's part: documents are checked, compared and compiled without the interpreter; what they
//! come to is handed over as plain values.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use dnscore::list::{self, Action, Aliases, Announced, Compared, Guards, Hits, ListError, Matching};
use dnscore::sys::wipe;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::ListError as Refusal;
use crate::verdict::name_of;

/// The one conversion: the sentence is the message; `kind` and `line` say it to programs.
pub(crate) fn refused_at(py: Python<'_>, error: &ListError) -> PyErr {
    let refusal = Refusal::new_err(error.to_string());
    let value = refusal.value(py);
    let noted = value.setattr("kind", error.kind).and_then(|()| value.setattr("line", error.line));
    noted.err().unwrap_or(refusal)
}

/// How two versions of a list are compared.
fn compared(sealed: bool, rekeyed: bool) -> Compared {
    match (sealed, rekeyed) {
        (_, true) => Compared::ByReference,
        (true, false) => Compared::ByDigest,
        (false, false) => Compared::ByName,
    }
}

/// Run without the interpreter what takes long.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T, ListError>) -> PyResult<T> {
    py.detach(work).map_err(|error| refused_at(py, &error))
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Source {
    document: PathBuf,
    action: String,
    #[pyo3(default)]
    aliases: Option<String>,
    ede: u16,
    bases: Vec<String>,
    suspended: Vec<String>,
    #[pyo3(default)]
    seal: Option<[u8; list::DIGEST]>,
}

/// What was compiled.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct CompileSummary {
    entries: u32,
    names: u32,
    bytes: u64,
    hot_bytes: u64,
    suspended: u32,
}

#[pyfunction]
#[pyo3(signature = (document, *, size = 1 << 32, sealed = false))]
fn tally(py: Python<'_>, document: PathBuf, size: u64, sealed: bool) -> PyResult<BTreeMap<list::Kind, u64>> {
    detached(py, || list::tally(&document, sealed, size))
}

#[pyfunction]
#[pyo3(signature = (sources, output, meta, *, max_size = 1 << 32))]
fn compile(
    py: Python<'_>,
    sources: Vec<Source>,
    output: PathBuf,
    meta: Vec<u8>,
    max_size: u64,
) -> PyResult<CompileSummary> {
    let summary = detached(py, || {
        let sources = sources.iter().map(|source| {
            let action = Action::parse(&source.action)
                .ok_or_else(|| ListError::new("action", format!("{:?} is not an action", source.action)))?;
            let aliases =
                source.aliases.as_deref().map_or(Some(Aliases::default()), Aliases::parse).ok_or_else(|| {
                    ListError::new("aliases", format!("{:?} is not what becomes of aliases", source.aliases))
                })?;
            Ok(list::Source {
                document: &source.document,
                action,
                aliases,
                ede: source.ede,
                bases: &source.bases,
                suspended: &source.suspended,
                seal: source.seal,
            })
        });
        list::compile(&sources.collect::<Result<Vec<_>, ListError>>()?, &output, &meta, max_size)
    })?;
    let list::CompileSummary { entries, names, bytes, hot_bytes, suspended } = summary;
    Ok(CompileSummary { entries, names, bytes, hot_bytes, suspended })
}

/// One entry that changed.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Change {
    kind: &'static str,
    name: String,
    r#match: &'static str,
    reference: String,
}

/// How a document changed.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Changes {
    entries: u64,
    unchanged: u64,
    added: u64,
    removed: u64,
    widened: u64,
    narrowed: u64,
    prolonged: u64,
    shortened: u64,
    altered: u64,
    listed: Vec<Py<Change>>,
    reused: Vec<String>,
}

/// An addition that a guard objects to.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Finding {
    kind: &'static str,
    name: String,
    r#match: &'static str,
    reference: String,
    against: String,
}

/// What a new document comes to beside the old one.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Examination {
    changes: Py<Changes>,
    added: u64,
    removed: u64,
    protected: u64,
    public_suffix: u64,
    popular: u64,
    findings: Vec<Py<Finding>>,
}

fn changes_of(py: Python<'_>, changes: list::Changes, reused: Vec<String>) -> PyResult<Changes> {
    let listed = changes.listed.into_iter().map(|change| {
        let list::Change { kind, name, matching, reference } = change;
        Py::new(py, Change { kind, name, r#match: matching.as_str(), reference })
    });
    Ok(Changes {
        entries: changes.entries,
        unchanged: changes.unchanged,
        added: changes.added,
        removed: changes.removed,
        widened: changes.widened,
        narrowed: changes.narrowed,
        prolonged: changes.prolonged,
        shortened: changes.shortened,
        altered: changes.altered,
        listed: listed.collect::<PyResult<_>>()?,
        reused,
    })
}

#[pyfunction]
#[pyo3(signature = (old, new, *, withdrawn = Vec::new(), limit = 100, sealed = false, rekeyed = false))]
fn changes(
    py: Python<'_>,
    old: Option<PathBuf>,
    new: PathBuf,
    withdrawn: Vec<String>,
    limit: usize,
    sealed: bool,
    rekeyed: bool,
) -> PyResult<Changes> {
    let compared = compared(sealed, rekeyed);
    let found =
        detached(py, || list::examine(old.as_deref(), &new, None, &Guards::default(), compared, &withdrawn, limit))?;
    changes_of(py, found.changes, found.reused)
}

#[pyfunction]
#[pyo3(signature = (old, new, *, announced, protected, suffixes, popular, withdrawn = Vec::new(), limit = 100, key = None, rekeyed = false))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
fn examine(
    py: Python<'_>,
    old: Option<PathBuf>,
    new: PathBuf,
    announced: (u64, String, Vec<String>),
    protected: Vec<String>,
    suffixes: Vec<String>,
    popular: Vec<String>,
    withdrawn: Vec<String>,
    limit: usize,
    key: Option<[u8; list::KEY]>,
    rekeyed: bool,
) -> PyResult<Examination> {
    let found = detached(py, || {
        let guards = Guards::new(
            protected.iter().map(String::as_str),
            suffixes.iter().map(String::as_str),
            popular.iter().map(String::as_str),
        );
        let guards = match &key {
            Some(key) => guards.blind(key),
            None => guards,
        };
        let (size, state, bases) = &announced;
        let announced = Announced { size: *size, state, bases };
        let compared = compared(key.is_some(), rekeyed);
        list::examine(old.as_deref(), &new, Some(announced), &guards, compared, &withdrawn, limit)
    })?;
    let findings = found.findings.into_iter().map(|finding| {
        let list::Finding { kind, name, matching, reference, against } = finding;
        Py::new(py, Finding { kind, name, r#match: matching.as_str(), reference, against })
    });
    let [protected, public_suffix, popular] = found.objections;
    Ok(Examination {
        added: found.changes.added + found.changes.widened,
        removed: found.changes.removed,
        protected,
        public_suffix,
        popular,
        findings: findings.collect::<PyResult<_>>()?,
        changes: Py::new(py, changes_of(py, found.changes, found.reused)?)?,
    })
}

#[pyfunction]
#[pyo3(signature = (old, new, output, *, withdrawn = Vec::new(), sealed = false, rekeyed = false))]
fn restrain(
    py: Python<'_>,
    old: Option<PathBuf>,
    new: PathBuf,
    output: PathBuf,
    withdrawn: Vec<String>,
    sealed: bool,
    rekeyed: bool,
) -> PyResult<u64> {
    detached(py, || list::restrain(old.as_deref(), &new, compared(sealed, rekeyed), &withdrawn, &output))
}

#[pyfunction]
fn sealed_digest<'py>(py: Python<'py>, key: &[u8], name: &str) -> PyResult<Bound<'py, PyBytes>> {
    let key = list::key_of(key).map_err(|error| refused_at(py, &error))?;
    Ok(PyBytes::new(py, &list::sealed_digest(key, &name_of(name)?)))
}

/// What was written of a response policy zone.
#[pyclass(frozen, get_all, module = "resolver._core")]
struct Policies {
    names: u64,
    owners: u64,
    next: u32,
    unsayable: u64,
    told: Vec<String>,
}

#[pyfunction]
fn policy_changes(
    py: Python<'_>,
    old: PathBuf,
    new: PathBuf,
    limit: usize,
) -> PyResult<Option<Vec<(String, String, String)>>> {
    let changes = detached(py, || list::policy_changes(&old, &new, limit))?;
    Ok(changes.map(|changes| changes.into_iter().map(|change| (change.name, change.old, change.new)).collect()))
}

/// One entry that a look-up met.
#[pyclass(frozen, get_all, module = "resolver._core")]
pub(crate) struct Match {
    name: String,
    r#match: &'static str,
    list: u8,
    action: &'static str,
    aliases: &'static str,
    ede: u16,
    expires: u32,
    issued: u32,
    basis: String,
    category: String,
    reference: String,
    distance: u8,
    row: u32,
}

/// A compiled file, open.
#[pyclass(frozen, module = "resolver._core")]
pub struct CompiledList {
    pub(crate) inner: Arc<list::CompiledList>,
}

#[pymethods]
impl CompiledList {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = detached(py, || list::CompiledList::open(&path))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    fn unseal(&self, py: Python<'_>, list: u8, key: &Bound<'_, PyByteArray>) -> PyResult<()> {
        let mut copy = key.to_vec();
        (0..copy.len()).try_for_each(|at| key.set_item(at, 0))?;
        let unsealed = list::key_of(&copy).and_then(|key| self.inner.unseal(list, key));
        wipe(&mut copy);
        unsealed.map_err(|error| refused_at(py, &error))
    }

    #[getter]
    fn rows(&self) -> u32 {
        self.inner.rows()
    }

    #[getter]
    fn entries(&self) -> u32 {
        self.inner.entries()
    }

    #[getter]
    fn hot_bytes(&self) -> u64 {
        self.inner.hot_bytes()
    }

    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.meta())
    }

    fn look_up(&self, name: &str) -> PyResult<Vec<Match>> {
        let name = name_of(name)?;
        let mut hits = Hits::new();
        self.inner.look_up(&[&name], &mut hits);
        let every = hits.of(0).iter().flat_map(|hit| self.matches(hit.row, hit.distance));
        Ok(every.collect())
    }

    fn entry(&self, number: u32) -> PyResult<Match> {
        let (row, rule) = self.inner.place(number).unwrap_or((u32::MAX, 0));
        let missing = || PyIndexError::new_err(format!("entry {number} of {}", self.inner.entries()));
        self.matches(row, 0).into_iter().nth(usize::from(rule)).ok_or_else(missing)
    }

    #[pyo3(signature = (output, *, lists, exceptions, now, room, limit = 100))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python function")]
    fn write_policies(
        &self,
        py: Python<'_>,
        output: PathBuf,
        lists: u64,
        exceptions: Vec<(String, String, u32)>,
        now: u32,
        room: usize,
        limit: usize,
    ) -> PyResult<Policies> {
        let inner = Arc::clone(&self.inner);
        let written = detached(py, || {
            let exceptions = exceptions.into_iter().map(|(name, word, until)| {
                let matching = Matching::parse(&word)
                    .ok_or_else(|| ListError::new("match", format!("{word:?} is not a kind of match")))?;
                Ok((name, matching, until))
            });
            let exceptions = exceptions.collect::<Result<Vec<_>, ListError>>()?;
            inner.write_policies(&output, list::Terms { lists, exceptions: &exceptions, now, room, limit })
        })?;
        let list::Policies { names, owners, next, unsayable, told } = written;
        Ok(Policies { names, owners, next, unsayable, told })
    }

    fn find(&self, py: Python<'_>, references: HashSet<String>) -> Vec<Match> {
        let has = |record: &list::Record<'_>| {
            std::str::from_utf8(&record.reference).is_ok_and(|reference| references.contains(reference))
        };
        let in_row = |row: &u32| {
            let rules = 0..self.inner.rules(*row).len();
            rules.filter_map(|rule| self.inner.record(*row, rule)).any(|record| has(&record))
        };
        let rows: Vec<u32> = py.detach(|| (0..self.inner.rows()).filter(in_row).collect());
        let matches = rows.into_iter().flat_map(|row| self.matches(row, 0));
        matches.filter(|found| references.contains(&found.reference)).collect()
    }

    fn sample(&self, n: u32, seed: u64) -> Vec<String> {
        let rows = u64::from(self.inner.rows());
        let mut state = seed;
        let mut names = Vec::new();
        for _ in 0..if rows == 0 { 0 } else { n } {
            // SplitMix64: any row is as likely as any other, and a seed gives the same ones again
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let row = u32::try_from((u128::from(mixed ^ (mixed >> 31)) * u128::from(rows)) >> 64).unwrap_or(0);
            names.extend(self.inner.name(row));
        }
        names
    }
}

impl CompiledList {
    /// The entries of one row.
    pub(crate) fn matches(&self, row: u32, distance: u8) -> Vec<Match> {
        let name = self.inner.name(row).unwrap_or_default();
        let mut matches = Vec::new();
        for (index, rule) in self.inner.rules(row).iter().enumerate() {
            let Some(record) = self.inner.record(row, index) else { continue };
            matches.push(Match {
                name: name.clone(),
                r#match: rule.matching.as_str(),
                list: rule.list,
                action: rule.action.as_str(),
                aliases: rule.aliases.as_str(),
                ede: rule.ede,
                expires: rule.expires,
                issued: record.issued,
                basis: record.basis.into(),
                category: record.category.into(),
                reference: String::from_utf8_lossy(&record.reference).into_owned(),
                distance,
                row,
            });
        }
        matches
    }
}

/// Register the list's part.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CompiledList>()?;
    module.add_class::<Match>()?;
    module.add_class::<CompileSummary>()?;
    module.add_class::<Change>()?;
    module.add_class::<Changes>()?;
    module.add_class::<Finding>()?;
    module.add_class::<Examination>()?;
    module.add_class::<Policies>()?;
    module.add_function(wrap_pyfunction!(policy_changes, module)?)?;
    module.add_function(wrap_pyfunction!(compile, module)?)?;
    module.add_function(wrap_pyfunction!(changes, module)?)?;
    module.add_function(wrap_pyfunction!(examine, module)?)?;
    module.add_function(wrap_pyfunction!(restrain, module)?)?;
    module.add_function(wrap_pyfunction!(sealed_digest, module)?)?;
    module.add_function(wrap_pyfunction!(tally, module)?)?;
    Ok(())
}
