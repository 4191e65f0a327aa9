//! What Python gives a plane as settings, read into the core's own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use dnscore::answer;
use dnscore::clients::{Clients, Prefix};
use dnscore::list::Action;
use dnscore::plane as core;
use dnscore::streams;
use dnscore::tap;
use dnscore::wire::Name;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::plane::socket_address;
use crate::refused;

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
pub(crate) struct Explanation {
    action: Option<String>,
    bases: HashMap<String, (Vec<u8>, Vec<u8>)>,
    categories: HashMap<String, Vec<u8>>,
    otherwise: Vec<u8>,
    around: (Vec<u8>, Vec<u8>),
}

impl Explanation {
    pub(crate) fn read(self) -> PyResult<answer::Explanation> {
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
        pub(crate) struct Given {
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
    views: Vec<Vec<String>>,
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
    tls_to: Vec<String>,
    tap: TapSettings,
    sketch_key: (u64, u64),
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
    pub(crate) fn settings(self) -> PyResult<core::Settings> {
        let allowed = self.allow_clients.ok_or_else(|| refused("allow_clients: must be given"))?;
        let mut views = Vec::new();
        for (number, clients) in self.views.unwrap_or_default().iter().enumerate() {
            views.extend(prefixes(clients)?.into_iter().map(|prefix| (prefix, number)));
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
        settings.sketch_key = self.sketch_key;
        settings.https_path = self.https_path.unwrap_or_default();
        if let Some(StreamLimits { total, per_client, in_flight, idle_ms, stalled_ms, unwritten }) = self.streams {
            let us = |ms: u32| u64::from(ms) * 1000;
            let (idle, stalled) = (us(idle_ms), us(stalled_ms));
            settings.streams = streams::Limits { total, per_client, in_flight, idle, stalled, unwritten };
        }
        settings.seed = self.seed;
        settings.proxy_from = prefixes(&self.proxy_from.unwrap_or_default())?;
        let addresses = |texts: Option<Vec<String>>| -> PyResult<Vec<_>> {
            texts.unwrap_or_default().iter().map(|text| socket_address(text)).collect()
        };
        settings.proxy_to = addresses(self.proxy_to)?;
        settings.tls_to = addresses(self.tls_to)?;
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
