//! The Python face of the plane: settings in, one call a wake.
//!
//! Nothing is decided here. A panic in the core is a bug; it is caught at this border, counted, and costs the batch it
//! happened in, not the worker.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use dnscore::counters;
use dnscore::list::reference_text;
use dnscore::plane as core;
use dnscore::relay::health::{Fault, State};
use dnscore::sketch::Sketch;
use dnscore::streams;
use dnscore::sys::{self, in_words};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::list::CompiledList;
use crate::refused;
use crate::settings::{Explanation, Given};

/// Everything a worker does with datagrams.
#[pyclass(unsendable, module = "resolver._core")]
pub struct Plane {
    inner: core::Plane,
}

/// A question that Python asks an upstream over TCP.
#[pyclass(frozen, module = "resolver._core")]
pub struct TcpAsk {
    inner: core::TcpAsk,
}

impl Plane {
    /// Runs `work`; a panic in it is counted and gives `otherwise`.
    fn guarded<T>(&mut self, otherwise: T, work: impl FnOnce(&mut core::Plane) -> T) -> T {
        // What `work` may leave half-changed is looked at by nobody before `recover` has cleared it, and the values that
        // `work` itself holds are dropped with it: so that the plane is no `UnwindSafe` does no harm.
        match catch_unwind(AssertUnwindSafe(|| work(&mut self.inner))) {
            Ok(value) => value,
            Err(_) => {
                self.inner.recover();
                otherwise
            }
        }
    }
}

#[pymethods]
impl Plane {
    #[new]
    fn new(settings: Given) -> PyResult<Plane> {
        let settings = settings.settings()?;
        let shown = settings.counters_path.clone().unwrap_or_default();
        let inner = core::Plane::new(settings).map_err(|error| {
            refused(format_args!("cannot make the plane (counters {}): {}", shown.display(), in_words(&error)))
        })?;
        Ok(Plane { inner })
    }

    fn fileno(&self) -> RawFd {
        self.inner.fd()
    }

    fn pump(&mut self) -> bool {
        self.guarded((), core::Plane::pump);
        self.inner.has_work()
    }

    fn tick(&mut self) -> bool {
        self.guarded((), core::Plane::tick);
        self.inner.has_work()
    }

    #[getter]
    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn listen(&mut self, fd: RawFd) -> PyResult<()> {
        let served = sys::with_borrowed(fd, |socket| self.inner.listen(socket));
        served.map_err(|error| refused(format_args!("cannot listen on descriptor {fd}: {}", in_words(&error))))
    }

    #[pyo3(signature = (fd, kind = "tcp"))]
    fn listen_stream(&mut self, fd: RawFd, kind: &str) -> PyResult<()> {
        let kind = match kind {
            "tcp" => streams::Kind::Tcp,
            "tls" => streams::Kind::Tls,
            "https" => streams::Kind::Https,
            other => return Err(refused(format_args!("{other:?} is no kind of stream"))),
        };
        let served = sys::with_borrowed(fd, |socket| self.inner.listen_stream(socket, kind));
        served.map_err(|error| refused(format_args!("cannot accept on descriptor {fd}: {}", in_words(&error))))
    }

    fn share(&mut self, tickets: [u8; streams::SECRET], period: u32, rotation: u32, quic: [u8; streams::SECRET]) {
        self.inner.share(streams::Secrets::new(tickets, period, rotation, quic));
    }

    fn set_identity(&mut self, chain: &[u8], key: &[u8]) -> PyResult<()> {
        self.inner.set_identity(chain, key).map_err(refused)
    }

    fn listen_quic(&mut self, fd: RawFd) -> PyResult<bool> {
        sys::with_borrowed(fd, |socket| self.inner.listen_quic(socket)).map_err(refused)
    }

    #[getter]
    fn streams(&self) -> usize {
        self.inner.streams()
    }

    #[getter]
    fn streams_busy(&mut self) -> bool {
        self.inner.streams_busy()
    }

    fn stop_listening(&mut self) -> PyResult<()> {
        self.inner.stop_listening().map_err(refused)
    }

    #[pyo3(signature = (compiled, views = Vec::new(), counters = Vec::new()))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of a Python function")]
    fn set_list(&mut self, compiled: Option<&Bound<'_, CompiledList>>, views: Vec<u64>, counters: Vec<u8>) {
        self.inner.set_list(compiled.map(|list| Arc::clone(&list.get().inner)), &views, &counters);
    }

    fn explain(&mut self, explanations: Vec<Option<Explanation>>) -> PyResult<()> {
        let read = |one: Option<Explanation>| one.map(Explanation::read).transpose();
        self.inner.explain(explanations.into_iter().map(read).collect::<PyResult<_>>()?);
        Ok(())
    }

    fn set_exceptions(
        &mut self,
        exceptions: Vec<(String, String, i64)>,
        bypass_all: bool,
        bypass_lists: u64,
    ) -> PyResult<()> {
        let names = exceptions.iter().map(|(name, matching, until)| {
            (name.as_str(), matching.as_str(), u32::try_from((*until).max(0)).unwrap_or(u32::MAX))
        });
        self.inner.set_exceptions(core::exceptions(names, bypass_all, bypass_lists).map_err(refused)?);
        Ok(())
    }

    fn set_upstreams(&mut self, addresses: Vec<String>) -> PyResult<()> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|text| socket_address(text)).collect::<PyResult<_>>()?;
        self.inner.set_upstreams(&addresses);
        Ok(())
    }

    fn upstreams<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let one = |upstream: &dnscore::relay::health::Upstream| {
            let (state, reason) = match upstream.state {
                State::Up => ("up", ""),
                State::Suspect(fault) => ("suspect", fault.as_str()),
                State::Down(fault) => ("down", fault.as_str()),
            };
            let dict = PyDict::new(py);
            dict.set_item("address", upstream.address.to_string())?;
            dict.set_item("state", state)?;
            dict.set_item("reason", reason)?;
            dict.set_item("failing", upstream.failing)?;
            dict.set_item("tcp_closed", upstream.is_tcp_closed())?;
            dict.set_item("rtt_us", upstream.rtt_us)?;
            dict.set_item("answers", upstream.answers)?;
            dict.set_item("timeouts", upstream.timeouts)?;
            dict.set_item("mismatches", upstream.mismatches)?;
            Ok(dict)
        };
        self.inner.upstreams().iter().map(one).collect()
    }

    fn take_tcp_asks(&mut self) -> Vec<TcpAsk> {
        self.inner.take_tcp_asks().into_iter().map(|inner| TcpAsk { inner }).collect()
    }

    fn take_tcp_overdue(&mut self) -> Vec<u64> {
        self.inner.take_tcp_overdue()
    }

    fn tcp_answered(&mut self, ask: &Bound<'_, TcpAsk>, message: &[u8]) -> bool {
        let ask = &ask.get().inner;
        self.guarded(false, |plane| plane.tcp_answered(ask, message))
    }

    #[pyo3(signature = (ask, fault = None))]
    fn tcp_failed(&mut self, ask: &Bound<'_, TcpAsk>, fault: Option<&str>) -> PyResult<()> {
        let fault = fault.map(|word| Fault::of_word(word).ok_or_else(|| refused(format!("{word:?} is no fault"))));
        let (ask, fault) = (&ask.get().inner, fault.transpose()?);
        self.guarded((), |plane| plane.tcp_failed(ask, fault));
        Ok(())
    }

    fn note_starved(&mut self, starved: bool) {
        self.inner.note_starved(starved);
    }

    fn take_tap<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.take_tap())
    }

    fn flush_cache(&mut self) {
        self.inner.flush_cache();
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in counters::names().into_iter().zip(self.inner.counters().values()) {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    fn count_in(&mut self, path: PathBuf, at: usize) -> PyResult<()> {
        let counted = self.inner.count_in(&path, at);
        counted.map_err(|error| refused(format_args!("cannot count in {}: {}", path.display(), in_words(&error))))
    }

    fn set_shadow_lists(&mut self, lists: Vec<(u8, u8, String)>) {
        self.inner
            .set_shadow_lists(lists.into_iter().map(|(list, of, id)| core::ShadowList { list, of, id }).collect());
    }

    fn shadow_sketches<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for core::Seen { list, everyone, met } in self.inner.shadow_sketches() {
            let entries = PyDict::new(py);
            for (reference, sketch) in met {
                let reference = reference_text(reference);
                entries.set_item(String::from_utf8_lossy(&reference), PyBytes::new(py, sketch.octets()))?;
            }
            all.set_item(&list.id, (PyBytes::new(py, everyone.octets()), entries))?;
        }
        Ok(all)
    }
}

#[pymethods]
impl TcpAsk {
    #[getter]
    fn number(&self) -> u64 {
        self.inner.number
    }

    #[getter]
    fn question(&self) -> u64 {
        self.inner.question
    }

    #[getter]
    fn upstream(&self) -> String {
        self.inner.upstream.to_string()
    }

    #[getter]
    fn message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.message)
    }

    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.header)
    }
}

pub(crate) fn socket_address(text: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| refused(format_args!("{text:?} is not an address with a port")))
}

/// How many different clients a sketch saw, about.
#[pyfunction]
fn distinct(sketch: &[u8]) -> PyResult<f64> {
    Ok(sketch_of(sketch)?.estimate())
}

/// One sketch of what two saw together.
#[pyfunction]
fn joined<'py>(py: Python<'py>, one: &[u8], other: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let mut both = sketch_of(one)?;
    both.join(&sketch_of(other)?);
    Ok(PyBytes::new(py, both.octets()))
}

/// The secret of session tickets so many periods later.
#[pyfunction]
fn later_secret(tickets: [u8; streams::SECRET], periods: u32) -> [u8; streams::SECRET] {
    streams::later_secret(tickets, periods)
}

/// Run this thread at lower priority.
#[pyfunction]
fn set_background(nice: i32) {
    sys::set_background(nice);
}

/// Ticks whenever this process works.
#[pyfunction]
fn tick_when_busy() {
    sys::tick_when_busy();
}

/// This thread answers queries: it runs as soon as it wakes.
#[pyfunction]
fn set_latency_sensitive() {
    sys::set_latency_sensitive();
}

fn sketch_of(octets: &[u8]) -> PyResult<Sketch> {
    Sketch::from_octets(octets).ok_or_else(|| refused("these octets are no sketch"))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Plane>()?;
    module.add_class::<TcpAsk>()?;
    module.add_function(wrap_pyfunction!(distinct, module)?)?;
    module.add_function(wrap_pyfunction!(joined, module)?)?;
    module.add_function(wrap_pyfunction!(later_secret, module)?)?;
    module.add_function(wrap_pyfunction!(set_background, module)?)?;
    module.add_function(wrap_pyfunction!(set_latency_sensitive, module)?)?;
    module.add_function(wrap_pyfunction!(tick_when_busy, module)?)?;
    module.add("LIFE", dnscore::relay::LIFE as f64 / 1e6)?;
    module.add("COUNTERS", counters::names())?;
    module.add("COUNTERS_MARK", PyBytes::new(module.py(), &counters::mark().to_le_bytes()))
}
