//! The Python face of one question over QUIC, for `stopsign ask`.

use std::net::SocketAddr;
use std::time::Duration;

use dnscore::streams::quic::ask;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::refused;

#[pyfunction]
fn ask_quic<'py>(
    py: Python<'py>,
    message: &[u8],
    server: &str,
    name: &str,
    authorities: &[u8],
    patience: f64,
) -> PyResult<Bound<'py, PyBytes>> {
    let server: SocketAddr = server.parse().map_err(|error| refused(format_args!("{server}: {error}")))?;
    let patience = Duration::try_from_secs_f64(patience).map_err(refused)?;
    let answer = py.detach(|| ask(message, server, name, authorities, patience));
    answer.map(|answer| PyBytes::new(py, &answer)).map_err(refused)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ask_quic, module)?)
}
