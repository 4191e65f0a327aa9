//! `load`: puts a DNS server under load and says what came back; and the bare limits to compare it with.
//!
//! ```text
//! load ask ADDRESS QUERIES [--seconds 3] [--window 256] [--sockets 8] [--rate N] [--edns] [--expect IPV4] [--skip N]
//! load stream ADDRESS QUERIES [--connections 500] [--count 100000] [--authorities FILE --name NAME] [--expect IPV4]
//! load echo ADDRESS               what the sockets alone can do: every datagram back as an answer
//! load echo-stream ADDRESS        the same over TCP
//! load relay ADDRESS UPSTREAM     the same, with a hop to an upstream and back
//! load answer ADDRESS IPV4        an upstream that knows every name
//! ```
//!
//! QUERIES: a file with `name TYPE` in each line. `ask` asks over UDP; `stream` over TCP, or over TLS where authorities and a
//! name are given: it says `ready` once it has connected, and asks at a line of input. Both print one line of JSON. All
//! servers run until they are killed.

mod ask;
mod message;
mod serve;
mod stream;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;

const USAGE: &str = "load ask ADDRESS QUERIES [--seconds S] [--window N] [--sockets N] [--rate N] [--edns] [--expect IPV4] \
                     [--skip N] | load stream ADDRESS QUERIES [--connections N] [--count N] [--authorities FILE \
                     --name NAME] [--expect IPV4] | load echo ADDRESS | load echo-stream ADDRESS | load relay ADDRESS UPSTREAM | load answer ADDRESS IPV4";

/// What went wrong, as a sentence.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: error: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ask", address, queries, options @ ..] => {
            let plan = plan(parse(address)?, options)?;
            let queries = message::read_queries(queries, plan.edns)?;
            println!("{}", ask::ask(&plan, &queries)?);
            Ok(())
        }
        ["stream", address, queries, options @ ..] => {
            let plan = stream_plan(parse(address)?, options)?;
            let queries = message::read_queries(queries, false)?;
            println!("{}", stream::ask(&plan, &queries)?);
            Ok(())
        }
        ["echo-stream", address] => Ok(serve::echo_stream(parse(address)?)?),
        ["echo", address] => Ok(serve::echo(parse(address)?)?),
        ["relay", address, upstream] => Ok(serve::relay(parse(address)?, parse(upstream)?)?),
        ["answer", address, ip] => Ok(serve::answer(parse(address)?, parse::<Ipv4Addr>(ip)?)?),
        _ => Err(USAGE.into()),
    }
}

fn plan(server: SocketAddr, options: &[&str]) -> Result<ask::Plan, Failure> {
    let mut plan = ask::Plan { server, ..ask::Plan::usual(server) };
    let mut words = options.iter();
    while let Some(&option) = words.next() {
        if option == "--edns" {
            plan.edns = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{option} needs a value; {USAGE}"))?;
        match option {
            "--seconds" => plan.seconds = parse(value)?,
            "--window" => plan.window = parse(value)?,
            "--sockets" => plan.sockets = parse::<usize>(value)?.max(1),
            "--rate" => plan.rate = Some(parse(value)?),
            "--expect" => plan.expect = Some(parse::<Ipv4Addr>(value)?.octets()),
            "--skip" => plan.skip = parse(value)?,
            _ => return Err(format!("there is no option {option}; {USAGE}").into()),
        }
    }
    Ok(plan)
}

fn stream_plan(server: SocketAddr, options: &[&str]) -> Result<stream::Plan, Failure> {
    let mut plan = stream::Plan::usual(server);
    let (mut authorities, mut name) = (None, None);
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value; {USAGE}", pair[0]).into()) };
        match *option {
            "--connections" => plan.connections = parse(value)?,
            "--count" => plan.count = parse(value)?,
            "--authorities" => authorities = Some((*value).to_owned()),
            "--name" => name = Some((*value).to_owned()),
            "--expect" => plan.expect = Some(parse::<Ipv4Addr>(value)?.octets()),
            _ => return Err(format!("there is no option {option}; {USAGE}").into()),
        }
    }
    plan.tls = match (authorities, name) {
        (Some(file), Some(name)) => Some((file, name)),
        (None, None) => None,
        _ => return Err("--authorities and --name go together".into()),
    };
    Ok(plan)
}

fn parse<T: FromStr>(text: &str) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|why| format!("{text:?}: {why}").into())
}
