//! The Python face of the plane: settings in, one call a wake, streams' messages.
//!
//! Nothing is decided here. A panic in the core is a bug; it is caught at this border, counted, and costs the batch it
//! happened in, not the worker.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use dnscore::answer;
use dnscore::clients::{Clients, Prefix};
use dnscore::counters;
use dnscore::list::{Action, reference_text};
use dnscore::plane as core;
use dnscore::relay::health::State;
use dnscore::sketch::Sketch;
use dnscore::streams;
use dnscore::sys;
use dnscore::tap;
use dnscore::wire::Name;
use dnscore::wire::proxy::{self, Ends, Header, Read};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict};

use crate::list::CompiledList;
use crate::refused;

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

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct View {
    clients: Vec<String>,
    lists: u64,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Rate {
    queries_per_second: f64,
    burst: f64,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct TapSettings {
    identity: String,
    version: String,
    client_addresses: bool,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Explanation {
    action: Option<String>,
    bases: HashMap<String, (Vec<u8>, Vec<u8>)>,
    categories: HashMap<String, Vec<u8>>,
    otherwise: Vec<u8>,
    around: (Vec<u8>, Vec<u8>),
}

impl Explanation {
    fn read(self) -> PyResult<answer::Explanation> {
        let action = |word: String| {
            Action::parse(&word).ok_or_else(|| refused(format_args!("explain: {word:?} is not an action")))
        };
        Ok(answer::Explanation {
            action: self.action.map(action).transpose()?,
            bases: self.bases.into_iter().map(|(basis, (long, short))| (basis, [long, short])).collect(),
            categories: self.categories,
            otherwise: self.otherwise,
            around: self.around.into(),
        })
    }
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct StreamLimits {
    total: usize,
    per_client: usize,
    in_flight: usize,
    idle_ms: u32,
    stalled_ms: u32,
    unwritten: usize,
}

/// Reads one key of the settings; one that is absent or None is none.
fn setting<'py, T>(settings: &Bound<'py, PyDict>, key: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
    for<'a> <T as FromPyObject<'a, 'py>>::Error: std::fmt::Display,
{
    match settings.get_item(key)?.filter(|value| !value.is_none()) {
        Some(value) => value.extract::<T>().map(Some).map_err(|error| refused(format_args!("{key}: {error}"))),
        None => Ok(None),
    }
}

/// The settings as Python gives them: each key once, with its type; a key that is none of these is refused by its name.
macro_rules! given {
    ($($key:ident: $type:ty,)+) => {
        struct Given {
            $($key: Option<$type>,)+
        }

        impl<'py> FromPyObject<'_, 'py> for Given {
            type Error = PyErr;

            fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Given> {
                let given = given.cast::<PyDict>()?;
                for key in given.keys() {
                    let key: String = key.extract()?;
                    if ![$(stringify!($key)),+].contains(&key.as_str()) {
                        return Err(refused(format_args!("{key}: no such setting")));
                    }
                }
                Ok(Given { $($key: setting(&given, stringify!($key))?,)+ })
            }
        }
    };
}

given! {
    allow_clients: Vec<String>,
    stop_ipv4: String,
    stop_ipv6: String,
    portal_url: String,
    health_name: String,
    health_mark: String,
    own_answers: Vec<(Vec<u8>, bool)>,
    views: Vec<View>,
    cache_bytes: usize,
    cache_stale_s: u32,
    counters_path: PathBuf,
    rate: Rate,
    patience_ms: u32,
    upstream_timeout_ms: u32,
    max_in_flight: usize,
    per_client_in_flight: usize,
    per_zone_in_flight: usize,
    remote_sockets: usize,
    udp_gso: bool,
    proxy_from: Vec<String>,
    proxy_to: Vec<String>,
    tap: TapSettings,
    watch_key: (u64, u64),
    streams: StreamLimits,
    https_path: String,
    seed: u64,
}

fn prefixes(texts: &[String]) -> PyResult<Vec<Prefix>> {
    texts.iter().map(|text| Prefix::parse(text).map_err(refused)).collect()
}

/// An address of the stop page, of the family that its key says.
fn page_address<T>(key: &str, text: Option<String>, of_family: fn(IpAddr) -> Option<T>) -> PyResult<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    let address: IpAddr = text.parse().map_err(|_| refused(format_args!("{key}: {text:?} is not an address")))?;
    let found = of_family(address);
    found.map(Some).ok_or_else(|| refused(format_args!("{key}: {address} is of the other family")))
}

fn v4(address: IpAddr) -> Option<[u8; 4]> {
    if let IpAddr::V4(v4) = address { Some(v4.octets()) } else { None }
}

fn v6(address: IpAddr) -> Option<[u8; 16]> {
    if let IpAddr::V6(v6) = address { Some(v6.octets()) } else { None }
}

impl Given {
    /// As the core has them: what is not given keeps its default.
    fn settings(self) -> PyResult<core::Settings> {
        let allowed = self.allow_clients.ok_or_else(|| refused("allow_clients: must be given"))?;
        let mut views = Vec::new();
        for View { clients, lists } in self.views.unwrap_or_default() {
            views.extend(prefixes(&clients)?.into_iter().map(|prefix| (prefix, lists)));
        }
        let mut settings = core::Settings::new(Clients::new(&prefixes(&allowed)?, &views));
        settings.page.ipv4 = page_address("stop_ipv4", self.stop_ipv4, v4)?;
        settings.page.ipv6 = page_address("stop_ipv6", self.stop_ipv6, v6)?;
        settings.page.portal = self.portal_url.unwrap_or_default().into_bytes();
        let health = |text: String| {
            Name::from_text(&text).ok_or_else(|| refused(format_args!("health_name: {text:?} is no name")))
        };
        settings.health = self.health_name.map(health).transpose()?;
        settings.health_mark = self.health_mark.unwrap_or_default().into_bytes();
        if settings.health_mark.len() > usize::from(u8::MAX) {
            return Err(refused("health_mark: is longer than 255 octets"));
        }
        for (message, every_type) in self.own_answers.unwrap_or_default() {
            let own = core::OwnAnswer::read(&message, every_type);
            settings.own_answers.push(own.ok_or_else(|| refused("own_answers: not one question and its answer"))?);
        }
        settings.counters_path = self.counters_path;
        settings.rate = self.rate.map(|rate| (rate.queries_per_second, rate.burst));
        settings.watch_key = self.watch_key;
        settings.https_path = self.https_path.unwrap_or_default();
        if let Some(StreamLimits { total, per_client, in_flight, idle_ms, stalled_ms, unwritten }) = self.streams {
            let us = |ms: u32| u64::from(ms) * 1000;
            let (idle, stalled) = (us(idle_ms), us(stalled_ms));
            settings.streams = streams::Limits { total, per_client, in_flight, idle, stalled, unwritten };
        }
        settings.seed = self.seed;
        settings.proxy_from = prefixes(&self.proxy_from.unwrap_or_default())?;
        let told = self.proxy_to.unwrap_or_default();
        settings.proxy_to = told.iter().map(|text| socket_address(text)).collect::<PyResult<_>>()?;
        settings.tap = self.tap.map(|TapSettings { identity, version, client_addresses }| tap::Settings {
            identity,
            version,
            client_addresses,
        });
        settings.cache_bytes = self.cache_bytes.unwrap_or(settings.cache_bytes);
        settings.cache_stale = self.cache_stale_s.unwrap_or(settings.cache_stale);
        settings.remote_sockets = self.remote_sockets.unwrap_or(settings.remote_sockets);
        settings.joins = self.udp_gso.unwrap_or(settings.joins);
        let us = |ms: Option<u32>, otherwise: u64| ms.map_or(otherwise, |ms| u64::from(ms) * 1000);
        let limits = &mut settings.limits;
        limits.in_flight = self.max_in_flight.unwrap_or(limits.in_flight);
        limits.per_client = self.per_client_in_flight.unwrap_or(limits.per_client);
        limits.per_zone = self.per_zone_in_flight.unwrap_or(limits.per_zone);
        limits.patience = us(self.patience_ms, limits.patience);
        limits.upstream_timeout = us(self.upstream_timeout_ms, limits.upstream_timeout);
        Ok(settings)
    }
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
        let inner = core::Plane::new(settings)
            .map_err(|error| refused(format_args!("cannot make the plane (counters {}): {error}", shown.display())))?;
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
        served.map_err(|error| refused(format_args!("cannot listen on descriptor {fd}: {error}")))
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
        served.map_err(|error| refused(format_args!("cannot accept on descriptor {fd}: {error}")))
    }

    fn set_identity(&mut self, chain: &[u8], key: &[u8], secret: [u8; streams::SECRET]) -> PyResult<()> {
        self.inner.set_identity(streams::Identity::new(chain, key, secret).map_err(refused)?);
        Ok(())
    }

    #[getter]
    fn streams(&self) -> usize {
        self.inner.streams()
    }

    #[getter]
    fn streams_busy(&self) -> bool {
        self.inner.streams_busy()
    }

    fn stop_listening(&mut self) -> PyResult<()> {
        self.inner.stop_listening().map_err(refused)
    }

    fn set_list(&mut self, compiled: Option<&Bound<'_, CompiledList>>) {
        self.inner.set_list(compiled.map(|list| Arc::clone(&list.get().inner)));
    }

    fn explain(&mut self, explanations: Vec<Option<Explanation>>) -> PyResult<()> {
        let read = |one: Option<Explanation>| one.map(Explanation::read).transpose();
        self.inner.explain(explanations.into_iter().map(read).collect::<PyResult<_>>()?);
        Ok(())
    }

    fn set_passes(&mut self, passes: Vec<(String, String, i64)>, bypass_all: bool, bypass_lists: u64) -> PyResult<()> {
        let names = passes.iter().map(|(name, matching, until)| {
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

    #[pyo3(signature = (message, client, asked, stream = 0))]
    fn decide<'py>(
        &mut self,
        py: Python<'py>,
        message: &[u8],
        client: (&str, u16),
        asked: (&str, u16),
        stream: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ends = Ends { source: end("client", client)?, destination: end("asked", asked)? };
        let decision = self.guarded(core::Decision::Close, |plane| plane.decide(message, &ends, stream));
        Ok(match decision {
            core::Decision::Answer(bytes) => PyBytes::new(py, &bytes).into_any(),
            core::Decision::Waits => PyBool::new(py, true).to_owned().into_any(),
            core::Decision::Close => PyBool::new(py, false).to_owned().into_any(),
        })
    }

    fn take_answers<'py>(&mut self, py: Python<'py>) -> Vec<(u64, Bound<'py, PyBytes>)> {
        let answers = self.inner.take_answers();
        answers.into_iter().map(|(stream, message)| (stream, PyBytes::new(py, &message))).collect()
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

    fn tcp_failed(&mut self, ask: &Bound<'_, TcpAsk>) {
        let ask = &ask.get().inner;
        self.guarded((), |plane| plane.tcp_failed(ask));
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
        counted.map_err(|error| refused(format_args!("cannot count in {}: {error}", path.display())))
    }

    fn watch(&mut self, watches: Vec<(u8, u8, String)>) {
        self.inner.watch(watches.into_iter().map(|(list, of, id)| core::Watch { list, of, id }).collect());
    }

    fn watched<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for core::Seen { watch, everyone, met } in self.inner.watched() {
            let entries = PyDict::new(py);
            for (reference, sketch) in met {
                let reference = reference_text(reference);
                entries.set_item(String::from_utf8_lossy(&reference), PyBytes::new(py, sketch.octets()))?;
            }
            all.set_item(&watch.id, (PyBytes::new(py, everyone.octets()), entries))?;
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

/// Two ends as (address, port).
type Said = ((String, u16), (String, u16));

/// The PROXY header at the beginning of `data`: its length and the two ends, if it says any. `None`: more is to come.
#[pyfunction]
fn read_proxy_header(data: &[u8]) -> PyResult<Option<(usize, Option<Said>)>> {
    let pair = |address: SocketAddr| (address.ip().to_string(), address.port());
    match proxy::read(data) {
        Read::Begun => Ok(None),
        Read::Refused => Err(refused("not a PROXY header of version 2")),
        Read::Header(Header { length, ends }) => {
            Ok(Some((length, ends.map(|ends| (pair(ends.source), pair(ends.destination))))))
        }
    }
}

/// An end of a stream. A link-local address comes with its zone (`fe80::1%eth0`), which is no part of it.
fn end(what: &str, (text, port): (&str, u16)) -> PyResult<SocketAddr> {
    let address = text.split('%').next().unwrap_or(text);
    let ip: IpAddr = address.parse().map_err(|_| refused(format_args!("{what}: {text:?} is not an address")))?;
    Ok(SocketAddr::new(ip.to_canonical(), port))
}

fn socket_address(text: &str) -> PyResult<SocketAddr> {
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
    module.add_function(wrap_pyfunction!(read_proxy_header, module)?)?;
    module.add_function(wrap_pyfunction!(distinct, module)?)?;
    module.add_function(wrap_pyfunction!(joined, module)?)?;
    module.add_function(wrap_pyfunction!(set_background, module)?)?;
    module.add_function(wrap_pyfunction!(set_latency_sensitive, module)?)?;
    module.add_function(wrap_pyfunction!(tick_when_busy, module)?)?;
    module.add("LIFE", dnscore::relay::LIFE as f64 / 1e6)?;
    module.add("COUNTERS", counters::names())?;
    module.add("COUNTERS_MARK", PyBytes::new(module.py(), &counters::mark().to_le_bytes()))
}
